/** What commands have in common: how they are run, and what they say when they fail. */
import { isBatchError, isKernelError, isUnsupportedError, isValidationError } from '../errors/index.js'
import { isSystemError } from '../errors/system.js'
import type { Netns } from '../net/index.js'
import type { Transport } from '../netlink/index.js'
import { exitUsage, UsageError } from './exit.js'
import { netnsOf } from './netns.js'
import { commonOptions, type Given, type OptionRow, readOptions } from './options.js'
import { type Streams, write } from './streams.js'

/** Where a command works. */
export interface RunOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket, closed in the end. */
  readonly transport?: Transport | undefined
  /** Ends commands that go on until they are interrupted. */
  readonly signal?: AbortSignal | undefined
}

/** What a command is given. */
export interface Invocation extends RunOptions, Given {
  readonly streams: Streams
  readonly isJson: boolean
}

/** A command below `viaduct NAME`. */
export interface Subcommand {
  /** Beside those that all have. */
  readonly options: readonly OptionRow[]
  /** How it ends if the kernel refuses. */
  readonly exitCode: number
  run(invocation: Invocation): Promise<void>
}

/** As messages and help call them. */
export interface Commands {
  readonly program: string
  readonly subcommands: Readonly<Record<string, Subcommand>>
  /** Loaded only if it is asked for. */
  readonly help: () => Promise<string>
}

/** Does what the words behind the command's own name say, and resolves to the exit code. */
export async function runCommand(
  { program, subcommands, help }: Commands,
  argv: readonly string[],
  streams: Streams,
  options: RunOptions,
): Promise<number> {
  const [name, ...words] = argv
  if (name === '--help' || name === '-h') {
    await write(streams.stdout, await help())
    return 0
  }
  let exitCode = exitUsage
  try {
    const subcommand = name !== undefined && Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
    if (subcommand === undefined) {
      const known = Object.keys(subcommands).join(', ')
      throw usage(`${name === undefined ? 'a command is missing' : `there is no command ${name}`}: ${known}`)
    }
    const given = readOptions(words, [...subcommand.options, ...commonOptions])
    if (given.options.has('help')) {
      await write(streams.stdout, await help())
      return 0
    }
    const netns = netnsOf(given.options.get('netns')) ?? options.netns
    exitCode = subcommand.exitCode
    await subcommand.run({ ...options, netns, ...given, streams, isJson: given.options.has('json') })
    return 0
  } catch (error) {
    const line = messageOf(error)
    if (line === undefined) throw error
    await write(streams.stderr, `${program}: ${line}\n`)
    return error instanceof UsageError ? error.exitCode : isValidationError(error) ? exitUsage : exitCode
  }
}

export function usage(message: string): UsageError {
  return new UsageError(message, exitUsage)
}

/** Undefined for what is no failure of the system's or the user's. */
function messageOf(error: unknown): string | undefined {
  const isKnown =
    error instanceof UsageError ||
    isKernelError(error) ||
    isBatchError(error) ||
    isUnsupportedError(error) ||
    isValidationError(error) ||
    // Whoever reads no more is no failure.
    (isSystemError(error) && error.code !== 'EPIPE')
  return isKnown ? error.message : undefined
}

/**
 * Works with a client, and closes it.
 * @throws UsageError if it cannot be opened: then nothing can be done here.
 */
export async function using<T extends { close(): void }>(
  open: () => Promise<T>,
  work: (client: T) => Promise<void>,
): Promise<void> {
  const client = await open().catch((error: unknown) => {
    const message = messageOf(error)
    throw message === undefined ? error : usage(message)
  })
  try {
    await work(client)
  } finally {
    client.close()
  }
}

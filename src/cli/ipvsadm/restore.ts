/**
 * `-R`: a command on each line of standard input. Changes go in batches; a bad line is told with its number and stops
 * none behind it. (ipvsadm ends at a line that it cannot read, and forgets all that the kernel refused but the last.)
 */
import { isKernelError } from '../../errors/index.js'
import type { BatchOutcome } from '../../netlink/index.js'
import { Slices } from '../../slices.js'
import { exitRefused, UsageError } from '../exit.js'
import { type Change, type Command, exitOf, UnresolvedName } from './command.js'
import { kernelMessage } from './messages.js'

export interface Restorer {
  /** @throws UsageError, UnresolvedName */
  parse(argv: readonly string[]): Command
  find(name: UnresolvedName): Promise<void>
  apply(changes: Iterable<Change>): Promise<BatchOutcome>
  /** Does what is no change. */
  perform(command: Exclude<Command, { command: 'restore' }>): Promise<void>
  /** Says what went wrong. */
  complain(text: string): Promise<void>
}

interface Problem {
  readonly line: number
  readonly text: string
  readonly message: string
  readonly exitCode: number
}

const linesAtOnce = 8192

/** Returns how the command ends: as its first bad line would. */
export async function restore(
  input: AsyncIterable<Uint8Array | string>,
  restorer: Restorer,
): Promise<number> {
  let exitCode = 0
  let number = 0
  let problems: Problem[] = []
  let waiting: { line: number; text: string; change: Change }[] = []

  const settle = async (): Promise<void> => {
    if (waiting.length > 0) {
      const sent = waiting
      waiting = []
      const { failures } = await restorer.apply(sent.map(({ change }) => change))
      for (const { index, error } of failures) {
        const { line, text, change } = sent[index]!
        problems.push({
          line,
          text: text.trim(),
          message: kernelMessage(error, change.command),
          exitCode: exitRefused,
        })
      }
    }
    const told = problems.sort((a, b) => a.line - b.line)
    problems = []
    exitCode ||= told[0]?.exitCode ?? 0
    if (told.length > 0) {
      await restorer.complain(
        told.map(({ line, message, text }) => `line ${line}: ${message} (${text})\n`).join(''),
      )
    }
  }

  const take = async (text: string, words: readonly string[]): Promise<void> => {
    const line = number
    const problem = (message: string, code: number): void => {
      problems.push({ line, text: text.trim(), message, exitCode: code })
    }
    try {
      const command = restorer.parse(words)
      if (isChange(command)) {
        waiting.push({ line, text, change: command })
      } else if (command.command === 'restore') {
        problem('-R cannot stand in what -R reads', exitRefused)
      } else {
        await settle()
        await restorer.perform(command).catch((error: unknown) => {
          if (!isKernelError(error)) throw error
          problem(kernelMessage(error, command.command), exitOf(command))
        })
      }
    } catch (error) {
      if (error instanceof UnresolvedName) {
        await restorer.find(error)
        return take(text, words)
      }
      if (!(error instanceof UsageError)) throw error
      problem(error.message.trimEnd(), error.exitCode)
    }
  }

  const slices = new Slices()
  for await (const lines of linesOf(input)) {
    for (const text of lines) {
      number++
      const words = wordsOf(text)
      if (words.length === 0) continue
      await take(text, words)
      if (waiting.length >= linesAtOnce) await settle()
      if (slices.isOver) await slices.next()
    }
    // Whoever writes line by line and keeps the pipe open sees each done; a file comes in pieces of thousands.
    await settle()
  }
  return exitCode
}

function isChange(command: Command): command is Change {
  return 'service' in command && command.command !== 'zero' && command.command !== 'list'
}

/** A leading `ipvsadm` is left out, and what stands behind a `#`. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  for (let at = 0; at < line.length; at++) {
    const start = at
    while (at < line.length && !isBlank(line.charCodeAt(at))) at++
    if (at === start) continue
    if (line.charCodeAt(start) === 35) break
    const word = line.slice(start, at)
    if (word !== 'ipvsadm') words.push(word)
  }
  return words
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13
}

async function* linesOf(
  input: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<string[], void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of input) {
    const text = typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true })
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    yield lines
  }
  if (rest !== '') yield [rest]
}

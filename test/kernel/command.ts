/** Commands of this package and of Debian's in a namespace, side by side. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { RunOptions } from '../../src/cli/command.js'
import type { Streams } from '../../src/cli/streams.js'
import type { NetworkNamespace } from '../../src/net/index.js'
import { streamsTo } from '../unit/support/outcome.js'

interface Packages {
  readonly ensurePackages: (names: readonly string[], options: { readonly why: string }) => Promise<void>
}

/** Programs of Debian that commands are compared with. */
export async function ensurePeers(...names: readonly string[]): Promise<void> {
  const script = new URL('../../../scripts/packages.mjs', import.meta.url)
  const { ensurePackages } = (await import(script.href)) as Packages
  await ensurePackages([...names, 'util-linux'], { why: 'compare commands with their peers' })
}

/** A file that stands for the namespace, as long as its descriptor is open. */
export function fileOf(netns: NetworkNamespace): string {
  return `/proc/${process.pid}/fd/${netns.fd}`
}

/** What another program prints in the namespace. */
export async function peer(netns: NetworkNamespace, words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('nsenter', [`--net=${fileOf(netns)}`, ...words])
  return stdout
}

/** The words that run `viaduct` as a program in the namespace. */
export function program(netns: NetworkNamespace): string[] {
  return [fileURLToPath(new URL('../../src/cli/main.js', import.meta.url)), '--netns', fileOf(netns)]
}

/** The same, as it is published: with what it takes from packages in its own files. */
export function published(netns: NetworkNamespace): string[] {
  return [fileURLToPath(new URL('../../bundle/cli/main.js', import.meta.url)), '--netns', fileOf(netns)]
}

/** What something prints as time goes by. */
export class Told {
  readonly lines: string[] = []
  stderr = ''
  #rest = ''
  readonly #waiting = new Set<() => void>()

  push(where: 'stdout' | 'stderr', text: string): void {
    if (where === 'stderr') this.stderr += text
    else {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop()!
      this.lines.push(...lines)
    }
    for (const wake of [...this.#waiting]) wake()
  }

  /** When it fits; asked whenever something was printed. `nudge` is done again and again until then. */
  async until(fits: (told: Told) => boolean, nudge?: () => Promise<unknown>): Promise<void> {
    while (!fits(this)) {
      await nudge?.()
      await new Promise<void>((resolve) => {
        const timer = nudge && setTimeout(resolve, 20)
        const wake = (): void => {
          clearTimeout(timer)
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }
}

/** A command that goes on until it is ended. */
export interface Running extends Told {
  /** Resolves to the exit code. */
  end(): Promise<number | null>
}

/** One of this package's commands, within this process. */
export function follow(
  run: (words: readonly string[], streams: Streams, options: RunOptions) => Promise<number>,
  words: readonly string[],
  netns: NetworkNamespace,
): Running {
  const told = new Told()
  const controller = new AbortController()
  const exitCode = run(
    words,
    streamsTo((where, text) => told.push(where, text)),
    { netns, signal: controller.signal },
  )
  return Object.assign(told, {
    end: () => {
      controller.abort()
      return exitCode
    },
  })
}

/** Any program. */
export function start(
  file: string,
  args: readonly string[],
): Running & {
  readonly process: ChildProcess
  /** Its exit code, once it has ended. */
  readonly ended: Promise<number | null>
} {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const told = new Told()
  child.stdout.setEncoding('utf8').on('data', (text: string) => told.push('stdout', text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => told.push('stderr', text))
  const exit = new Promise<number | null>((resolve) => child.on('close', resolve))
  return Object.assign(told, {
    process: child,
    ended: exit,
    end: () => {
      child.kill('SIGINT')
      return exit
    },
  })
}

/** Any program in the namespace. */
export function startPeer(netns: NetworkNamespace, words: readonly string[]): ReturnType<typeof start> {
  return start('nsenter', [`--net=${fileOf(netns)}`, ...words])
}

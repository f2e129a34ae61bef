/** Processes that stand beside this one: what others have written, and cases of ours. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const run = promisify(execFile)

export const root = fileURLToPath(new URL('../../../', import.meta.url))

/** Compiles a C program of the benchmarks; `source` is its path below test/bench. */
export async function compile(source: string, program: string): Promise<void> {
  const path = `${root}test/bench/${source}`
  await run('cc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, path])
}

/** A namespace as the file that stands for it, which other programs find, too. */
export interface Place {
  readonly path: string
}

/** In a namespace, or here. */
export function within(netns: Place | undefined, command: readonly string[]): [string, string[]] {
  const words = netns === undefined ? command : ['nsenter', `--net=${netns.path}`, ...command]
  return [words[0]!, words.slice(1)]
}

/** No program here takes so long, on a slow machine neither. */
export const deadlineMilliseconds = 20 * 60 * 1000

/** A process that does its work once for each line, and answers each with a line. */
export class Turns<T> {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  /** If this process ends in any way, the child does, too. */
  constructor([program, args]: [string, string[]]) {
    const words = ['--pdeathsig', 'KILL', '--', program, ...args]
    this.#child = spawn('setpriv', words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  /** Of what runs: neither setpriv nor taskset is a process of its own. */
  protected get pid(): number {
    return this.#child.pid!
  }

  protected async turn(line: string): Promise<T> {
    this.#child.stdin!.write(`${line}\n`)
    return this.next()
  }

  /** What it says without being asked. */
  protected async next(): Promise<T> {
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error(`void: ${this.#child.spawnargs.join(' ')} ended`)
    return JSON.parse(value) as T
  }

  protected signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  /** It ends with its input; one that is stuck is killed, because it keeps its namespace alive. */
  async close(): Promise<void> {
    this.signal('SIGCONT')
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await closed
    clearTimeout(timer)
  }
}

/** One of our cases: a program that `serve` runs. */
export class WorkerProcess<Task, Answer> extends Turns<Answer> {
  constructor(program: URL, args: readonly string[]) {
    super([process.execPath, [fileURLToPath(program), ...args]])
  }

  /** It runs until it has answered: whatever else it would do then (collecting garbage) is not what the next case costs. */
  async ask(task: Task): Promise<Answer> {
    this.signal('SIGCONT')
    const answer = await this.turn(JSON.stringify(task))
    this.signal('SIGSTOP')
    return answer
  }
}

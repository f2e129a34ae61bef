/** The programs that stand beside ours: the C program, and Debian's ipvsadm. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ColdAnswer } from './cold.js'
import type { Size } from './table.js'
import type { Case, Task, WorkerAnswer } from './worker.js'

const run = promisify(execFile)

export const root = fileURLToPath(new URL('../../../../', import.meta.url))

/** Compiles peer.c. */
export async function compilePeer(program: string): Promise<void> {
  const source = `${root}test/bench/ipvs/peer.c`
  await run('cc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source])
}

export interface PeerAnswer {
  readonly nanoseconds: number
  readonly errors?: number
  readonly commands?: number
  readonly services?: number
  readonly destinations?: number
}

/** A namespace as the file that stands for it, which other programs find, too. */
export interface Place {
  readonly path: string
}

/** In a namespace, or here. */
function within(netns: Place | undefined, command: readonly string[]): [string, string[]] {
  const words = netns === undefined ? command : ['nsenter', `--net=${netns.path}`, ...command]
  return [words[0]!, words.slice(1)]
}

/** No program here takes so long, ipvsadm -R on a slow machine included. */
const deadlineMilliseconds = 20 * 60 * 1000

/** Runs it to its end; throws when anything of what it did failed, because then its time means nothing. */
export async function peer(netns: Place, command: readonly string[]): Promise<PeerAnswer> {
  const { stdout } = await run(...within(netns, command), { timeout: deadlineMilliseconds })
  const answer = JSON.parse(stdout) as PeerAnswer
  if (answer.errors !== undefined && answer.errors > 0) {
    throw new Error(`void: ${answer.errors} errors in ${command.join(' ')}`)
  }
  return answer
}

/** A process that does its work once for each line, and answers each with a line. */
class Turns<T> {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  /** If this process ends in any way, the child does, too. */
  constructor([program, args]: [string, string[]]) {
    const words = ['--pdeathsig', 'KILL', '--', program, ...args]
    this.#child = spawn('setpriv', words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  protected async turn(line: string): Promise<T> {
    this.#child.stdin!.write(`${line}\n`)
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

/** `peer exchange`. */
export class PeerExchange extends Turns<PeerAnswer> {
  constructor(program: string, file: string, netns?: Place) {
    super(within(netns, [program, 'exchange', file]))
  }

  /** Nanoseconds for so many exchanges. */
  async exchange(count: number): Promise<number> {
    const { nanoseconds, errors = 0 } = await this.turn(String(count))
    if (errors > 0) throw new Error(`void: ${errors} errors in an exchange of the C program`)
    return nanoseconds
  }
}

/** One of our cases. */
export class Worker extends Turns<WorkerAnswer> {
  constructor(name: Case, size: Size) {
    const program = fileURLToPath(new URL('worker.js', import.meta.url))
    super([process.execPath, [program, name, sizeText(size)]])
  }

  /** It runs until it has answered: whatever else it would do then (collecting garbage) is not what the next case costs. */
  async ask(task: Task): Promise<WorkerAnswer> {
    this.signal('SIGCONT')
    const answer = await this.turn(JSON.stringify(task))
    this.signal('SIGSTOP')
    return answer
  }
}

/** What a program that loads the table takes from its start to its end, and what it says of it. */
export async function coldProcess(
  netns: Place,
  size: Size,
  what: 'time' | 'watch',
): Promise<ColdAnswer & { seconds: number }> {
  const program = fileURLToPath(new URL('cold.js', import.meta.url))
  const start = performance.now()
  const { stdout } = await run(process.execPath, [program, netns.path, sizeText(size), what], {
    timeout: deadlineMilliseconds,
  })
  const seconds = (performance.now() - start) / 1000
  return { ...(JSON.parse(stdout) as ColdAnswer), seconds }
}

function sizeText({ services, destinationsEach }: Size): string {
  return JSON.stringify({ services, destinationsEach })
}

/** Seconds that `ipvsadm` takes in a namespace, with files for its input and output. */
export async function ipvsadm(
  netns: Place,
  args: string,
  input = '/dev/null',
  output = '/dev/null',
): Promise<number> {
  const start = performance.now()
  const { stderr } = await run(
    ...within(netns, ['sh', '-c', `exec ipvsadm ${args} < ${input} > ${output}`]),
    { maxBuffer: 1 << 26, timeout: deadlineMilliseconds },
  )
  const seconds = (performance.now() - start) / 1000
  if (stderr !== '') throw new Error(`void: ipvsadm ${args} said ${stderr.slice(0, 500)}`)
  return seconds
}

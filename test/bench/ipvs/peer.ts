/** The programs that stand beside ours: the C program, and Debian's ipvsadm. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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

/** In a namespace with a name, or here. */
function within(netns: string | undefined, command: readonly string[]): [string, string[]] {
  const words = netns === undefined ? command : ['nsenter', `--net=/run/netns/${netns}`, ...command]
  return [words[0]!, words.slice(1)]
}

/** Runs it to its end; throws when anything of what it did failed, because then its time means nothing. */
export async function peer(netns: string, command: readonly string[]): Promise<PeerAnswer> {
  const { stdout } = await run(...within(netns, command), { maxBuffer: 1 << 20 })
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

  constructor([program, args]: [string, string[]]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  protected async turn(line: string): Promise<T> {
    this.#child.stdin!.write(`${line}\n`)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error(`void: ${this.#child.spawnargs.join(' ')} ended`)
    return JSON.parse(value) as T
  }

  async close(): Promise<void> {
    const closed = once(this.#child, 'close')
    this.#child.stdin!.end()
    await closed
  }
}

/** `peer exchange`. */
export class PeerExchange extends Turns<PeerAnswer> {
  constructor(program: string, file: string, netns?: string) {
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
  constructor(name: Case, { services, destinationsEach }: Size) {
    const program = fileURLToPath(new URL('worker.js', import.meta.url))
    super([process.execPath, [program, name, JSON.stringify({ services, destinationsEach })]])
  }

  ask(task: Task): Promise<WorkerAnswer> {
    return this.turn(JSON.stringify(task))
  }
}

/** Seconds that `ipvsadm` takes in a namespace, with files for its input and output. */
export async function ipvsadm(
  netns: string,
  args: string,
  input = '/dev/null',
  output = '/dev/null',
): Promise<number> {
  const start = performance.now()
  const { stderr } = await run(
    ...within(netns, ['sh', '-c', `exec ipvsadm ${args} < ${input} > ${output}`]),
    {
      maxBuffer: 1 << 26,
    },
  )
  const seconds = (performance.now() - start) / 1000
  if (stderr !== '') throw new Error(`void: ipvsadm ${args} said ${stderr.slice(0, 500)}`)
  return seconds
}

/** The programs that stand beside ours: the C program, and Debian's ipvsadm. */
import { fileURLToPath } from 'node:url'
import { deadlineMilliseconds, type Place, run, Turns, within, WorkerProcess } from '../processes.js'
import type { WorkerAnswer } from '../serve.js'
import type { ColdAnswer } from './cold.js'
import type { Size } from './table.js'
import type { Case, Task } from './worker.js'

export interface PeerAnswer {
  readonly nanoseconds: number
  readonly errors?: number
  readonly commands?: number
  readonly services?: number
  readonly destinations?: number
}

/** Runs it to its end; throws when anything of what it did failed, because then its time means nothing. */
export async function peer(netns: Place, command: readonly string[]): Promise<PeerAnswer> {
  const { stdout } = await run(...within(netns, command), { timeout: deadlineMilliseconds })
  const answer = JSON.parse(stdout) as PeerAnswer
  if (answer.errors !== undefined && answer.errors > 0) {
    throw new Error(`void: ${answer.errors} errors in ${command.join(' ')}`)
  }
  return answer
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
export class Worker extends WorkerProcess<Task, WorkerAnswer> {
  constructor(name: Case, size: Size) {
    super(new URL('worker.js', import.meta.url), [name, sizeText(size)])
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

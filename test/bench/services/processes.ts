/** Processes with our library. */
import { fileURLToPath } from 'node:url'
import type { DataplaneKind } from '../../../src/dataplane/index.js'
import { deadlineMilliseconds, type Place, run, WorkerProcess } from '../processes.js'
import type { WorkerAnswer } from '../serve.js'
import type { Size } from './objects.js'
import type { Answer, Task } from './worker.js'

/** What a process that has just started says of itself (cold.ts). */
export interface Cold {
  readonly seconds: number
  /** Of all its threads, in the same time. */
  readonly userSeconds: number
  readonly peakMegabytes: number
  readonly residentMegabytes: number
  readonly writes: number
  readonly failures: number
}

/** @throws Error if anything of it failed */
export async function cold(netns: Place, size: Size, how?: 'streamed' | 'ipvs'): Promise<Cold> {
  const file = fileURLToPath(new URL('cold.js', import.meta.url))
  const args = [file, netns.path, JSON.stringify(size), ...(how === undefined ? [] : [how])]
  const { stdout } = await run(process.execPath, args, { timeout: deadlineMilliseconds })
  const answer = JSON.parse(stdout) as Cold
  if (answer.failures > 0) throw new Error(`void: ${stdout}`)
  return answer
}

export class Worker extends WorkerProcess<Task, WorkerAnswer & Partial<Answer>> {
  constructor(size: Size, kind: DataplaneKind) {
    super(new URL('worker.js', import.meta.url), [JSON.stringify(size), kind])
  }
}

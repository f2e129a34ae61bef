/** The other end of a `WorkerProcess`: a case that is run once for each line of standard input. */
import { createInterface } from 'node:readline'
import { type LoopDelay, timed, watched } from './measure.js'

export interface WorkerAnswer {
  readonly seconds?: number
  readonly loop?: LoopDelay
  /** Pages of memory that were touched for the first time (minor page faults). */
  readonly faults: number
  readonly residentMegabytes: number
}

type Work = () => Promise<unknown>
/** Does what does not count, and what counts by `measure`. What it returns is told beside the figures. */
export type Prepare<Task> = (task: Task, measure: (work: Work) => Promise<void>) => Promise<unknown>

/** Of a task with `watch` how long it holds the event loop is told, and not how long it takes. */
export async function serve<Task extends { readonly watch?: boolean }>(
  prepare: Prepare<Task>,
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: WorkerAnswer | undefined
    const task = JSON.parse(line) as Task
    const more: unknown = await prepare(task, async (work) => {
      const before = process.resourceUsage().minorPageFault
      const measured = task.watch === true ? { loop: await watched(work) } : { seconds: await timed(work) }
      const { minorPageFault, maxRSS } = process.resourceUsage()
      answer = { ...measured, faults: minorPageFault - before, residentMegabytes: maxRSS / 1024 }
    })
    // When all is closed, for nothing of it may go on in another case.
    process.stdout.write(`${JSON.stringify({ ...answer, ...(more as object | undefined) })}\n`)
  }
}

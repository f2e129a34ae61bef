/** What changes on this host, and work that is done about it. */
import { setTimeout } from 'node:timers/promises'
import type { EventOptions, Rtnetlink, RtnetlinkEvent } from '../rtnetlink/index.js'

/** After a failure that nobody tells the end of. */
export const retryMilliseconds = 1000

/**
 * Takes events one after the other until the signal is aborted. What fails, listening or taking, is told, and it listens again
 * after a while.
 */
export async function followHost(
  rtnetlink: Rtnetlink,
  { what, signal }: { readonly what: EventOptions['what']; readonly signal: AbortSignal },
  take: (event: RtnetlinkEvent) => Promise<void>,
  failed: (error: Error) => void = () => undefined,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of rtnetlink.events({ what, signal })) await take(event)
    } catch (error) {
      if (signal.aborted) return
      failed(error as Error)
      await setTimeout(retryMilliseconds, undefined, { signal }).catch(() => undefined)
    }
  }
}

/** Work that is never done twice at once: who asks for it meanwhile has it done once more. */
export class Repeatable {
  readonly #work: () => Promise<void>
  #running: Promise<void> | undefined
  #isAsked = false

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** What is under way. */
  get running(): Promise<void> | undefined {
    return this.#running
  }

  /** Resolved when all that was asked for is done; rejects with what the work throws. */
  run(): Promise<void> {
    this.#isAsked = true
    return (this.#running ??= this.#runAll())
  }

  async #runAll(): Promise<void> {
    try {
      while (this.#isAsked) {
        this.#isAsked = false
        await this.#work()
      }
    } finally {
      this.#running = undefined
    }
  }
}

/** Who is master: what the edge needs to know of it, whatever decides. */

/** What changed. */
export type LeaderEvent =
  /** This host is the one now. */
  | { readonly event: 'acquired' }
  /** It is no more. `reason` is for people. */
  | { readonly event: 'lost'; readonly reason: string }
  /**
   * It still is, and another host was one as well until now: after a partition. Whoever has learnt from that one where the addresses
   * are has to be told again.
   */
  | { readonly event: 'contested' }

/** Takes an event. What it returns is waited for by `resign()` and `close()`, so that a host that steps down has let go. */
export type LeaderListener = (event: LeaderEvent) => void | Promise<void>

/**
 * Decides which of several hosts is the one that has the addresses. `VrrpLeader` does it by VRRP; a lock that a program already
 * has becomes one by `leaderFromLock`.
 */
export interface Leader {
  /** Whether this host is the one. */
  readonly isLeader: boolean
  /**
   * Tells every change from now on, in the order in which they happen, and at once that it is `acquired` already.
   * @returns what ends it
   */
  subscribe(listener: LeaderListener): () => void
  /** Steps down in order and stands aside, until `compete()`. Resolved when the listeners have let go. */
  resign(): Promise<void>
  /** Takes part again. */
  compete(): void
  /** Resigns, and gives everything back that it has opened. */
  close(): Promise<void>
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Listeners, and what they are still at. */
export class LeaderListeners {
  readonly #listeners = new Set<LeaderListener>()
  readonly #running = new Set<Promise<void>>()
  #isLeader = false

  get isLeader(): boolean {
    return this.#isLeader
  }

  subscribe(listener: LeaderListener): () => void {
    // One function may be given twice, and is two listeners then.
    const own: LeaderListener = (event) => listener(event)
    this.#listeners.add(own)
    if (this.#isLeader) this.#call(own, { event: 'acquired' })
    return () => void this.#listeners.delete(own)
  }

  tell(event: LeaderEvent): void {
    const isLeader = event.event !== 'lost'
    if (event.event === 'contested' ? !this.#isLeader : isLeader === this.#isLeader) return
    this.#isLeader = isLeader
    for (const listener of [...this.#listeners]) this.#call(listener, event)
  }

  /** Until every listener is done with what it was told. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** A listener that throws is the program's fault, and no other listener's. */
  #call(listener: LeaderListener, event: LeaderEvent): void {
    const work = (async () => listener(event))()
      .catch((error: unknown) => {
        process.nextTick(() => {
          throw error
        })
      })
      .finally(() => this.#running.delete(work))
    this.#running.add(work)
  }
}

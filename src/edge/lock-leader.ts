import { type Leader, type LeaderListener, LeaderListeners } from './leader.js'

/** A lock that one program of several has, as a lease in a database is. */
export interface Lock {
  /** Waits until this program has it, or rejects when the signal is aborted. */
  acquire(options: { readonly signal: AbortSignal }): Promise<HeldLock>
}

/** A lock that this program has. */
export interface HeldLock {
  /** Resolved when it is lost without having been released: a lease has run out. */
  readonly lost: Promise<unknown>
  /** Gives it to others. */
  release(): Promise<void>
}

const retryMilliseconds = 1000

/**
 * Who has the lock is the leader. Listeners have let go before it is released: no two hosts have the addresses then.
 */
export function leaderFromLock(lock: Lock): Leader {
  return new LockLeader(lock)
}

class LockLeader implements Leader {
  readonly #lock: Lock
  readonly #listeners = new LeaderListeners()
  #stopping: AbortController | undefined
  #running: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(lock: Lock) {
    this.#lock = lock
    this.compete()
  }

  get isLeader(): boolean {
    return this.#listeners.isLeader
  }

  subscribe(listener: LeaderListener): () => void {
    return this.#listeners.subscribe(listener)
  }

  compete(): void {
    if (this.#isClosed || this.#stopping !== undefined) return
    const stopping = new AbortController()
    this.#stopping = stopping
    this.#running = this.#running.then(() => this.#run(stopping.signal))
  }

  async resign(): Promise<void> {
    this.#stopping?.abort(new Error('the leader has resigned'))
    this.#stopping = undefined
    await this.#running
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.resign()
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const held = await this.#lock.acquire({ signal })
        await this.#hold(held, signal)
      } catch {
        // Whoever offers the lock is away: nobody is leader by it.
        if (!signal.aborted) await pause(signal)
      }
    }
  }

  async #hold(held: HeldLock, signal: AbortSignal): Promise<void> {
    if (!signal.aborted) this.#listeners.tell({ event: 'acquired' })
    const isLost = await Promise.race([held.lost.then(() => true), aborted(signal).then(() => false)])
    this.#listeners.tell({ event: 'lost', reason: isLost ? 'the lock is lost' : 'it has resigned' })
    await this.#listeners.settled()
    if (!isLost) await held.release()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, retryMilliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

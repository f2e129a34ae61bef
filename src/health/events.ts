/** What is told of health: every change, with its reason. */

/** What happened. */
export type HealthEventKind =
  /** A server has a verdict, or another one. */
  | 'up'
  | 'down'
  /** Its check cannot be run from here; it can again. The verdict stays as it is meanwhile. */
  | 'check-blocked'
  | 'check-unblocked'
  /** It goes up and down too often and is kept out; it comes back. */
  | 'damped'
  | 'undamped'
  /** The kernel's numbers speak against it; its time is over. */
  | 'ejected'
  | 'returned'
  /** It is taken out of its service; it is in again. */
  | 'taken-out'
  | 'put-back'
  /** It should be out and stays in, because too many are out already; that is over. */
  | 'kept-in'
  | 'no-longer-kept'
  /** It has another weight: a slow start, or what an agent says. */
  | 'weight'
  /** The service has too few servers; it has enough. */
  | 'quorum-lost'
  | 'quorum-met'

/** One change. */
export interface HealthEvent {
  /** What it tells. */
  readonly event: HealthEventKind
  /** The service's key. */
  readonly service: string
  /** Which server; undefined for what is of the service as a whole. */
  readonly server?: { readonly address: string; readonly port: number } | undefined
  /** Why, for people. */
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** The new weight, of what changes it. */
  readonly weight?: number | undefined
}

/** Events were lost, because nobody took them: read the state anew. */
export interface EventsLost {
  /** What it tells. */
  readonly event: 'resynchronise'
}

/** So many wait for one reader; then they are lost. */
const mostWaiting = 10_000

/** Those who read events, each at its own pace. */
export class EventQueues {
  readonly #readers = new Set<Reader>()

  /** Whether anybody would read it. */
  get hasReaders(): boolean {
    return this.#readers.size > 0
  }

  push(event: HealthEvent): void {
    for (const reader of this.#readers) reader.push(event)
  }

  /** Nothing comes any more: what waits is read first. */
  end(): void {
    for (const reader of this.#readers) reader.finish()
    this.#readers.clear()
  }

  open(signal: AbortSignal | undefined): AsyncIterableIterator<HealthEvent | EventsLost> {
    signal?.throwIfAborted()
    const reader = new Reader(() => this.#readers.delete(reader), signal)
    this.#readers.add(reader)
    return reader
  }
}

type Result = IteratorResult<HealthEvent | EventsLost>

class Reader implements AsyncIterableIterator<HealthEvent | EventsLost> {
  readonly #queue: (HealthEvent | EventsLost)[] = []
  readonly #waiting: {
    readonly resolve: (result: Result) => void
    readonly reject: (error: unknown) => void
  }[] = []
  readonly #leave: () => void
  readonly #signal: AbortSignal | undefined
  #isOver = false
  #isAborted = false

  constructor(leave: () => void, signal: AbortSignal | undefined) {
    this.#leave = leave
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  push(event: HealthEvent): void {
    const next = this.#waiting.shift()
    if (next !== undefined) return next.resolve({ value: event, done: false })
    if (this.#queue.length >= mostWaiting) {
      this.#queue.length = 0
      this.#queue.push({ event: 'resynchronise' })
    }
    this.#queue.push(event)
  }

  finish(): void {
    this.#isOver = true
    this.#signal?.removeEventListener('abort', this.#abort)
    for (const { resolve } of this.#waiting.splice(0)) resolve({ value: undefined, done: true })
  }

  next(): Promise<Result> {
    const value = this.#queue.shift()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#isAborted) {
      this.#isAborted = false
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is whatever it is
      return Promise.reject(this.#signal?.reason)
    }
    if (this.#isOver) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  return(): Promise<Result> {
    this.#leave()
    this.finish()
    this.#queue.length = 0
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  readonly #abort = (): void => {
    const waiting = this.#waiting.splice(0)
    // Told once: to who waits, or else to who asks next.
    this.#isAborted = waiting.length === 0
    this.#leave()
    this.finish()
    for (const { reject } of waiting) reject(this.#signal?.reason)
  }
}

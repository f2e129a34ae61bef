/** Events for one who reads them at his own pace: what `for await` goes through. */

type Result<T> = IteratorResult<T, undefined>

/** How it ends, and what is kept meanwhile. */
export interface EventQueueOptions<T> {
  /** Aborting it makes whoever reads throw its reason. */
  readonly signal: AbortSignal | undefined
  /** Called once, whatever ends it. */
  readonly ended: () => void
  /** When more than `most` wait, all of them are dropped, and `instead` stands in their place. Without it all are kept. */
  readonly bound?: { readonly most: number; readonly instead: () => T } | undefined
}

/** What is pushed is read in its order, each once. After the end what waits is read first. */
export class EventQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: EventQueueOptions<T>
  readonly #queue: T[] = []
  readonly #waiting: { resolve(result: Result<T>): void; reject(error: unknown): void }[] = []
  #failure: { readonly error: unknown } | undefined
  #isOver = false

  /** @throws what the signal says, if it is aborted already */
  constructor(options: EventQueueOptions<T>) {
    options.signal?.throwIfAborted()
    this.#options = options
    options.signal?.addEventListener('abort', this.#abort)
  }

  push(event: T): void {
    const next = this.#waiting.shift()
    if (next !== undefined) return next.resolve({ value: event, done: false })
    const { bound } = this.#options
    if (bound !== undefined && this.#queue.length >= bound.most) {
      this.#queue.length = 0
      this.#queue.push(bound.instead())
    }
    this.#queue.push(event)
  }

  /** Nothing comes any more; with a reason, because of that. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#isOver) return
    this.#isOver = true
    // Told once: to who waits, or else to who asks next.
    this.#failure = this.#waiting.length === 0 ? failure : undefined
    this.#options.ended()
    this.#options.signal?.removeEventListener('abort', this.#abort)
    for (const next of this.#waiting.splice(0)) {
      if (failure === undefined) next.resolve({ value: undefined, done: true })
      else next.reject(failure.error)
    }
  }

  next(): Promise<Result<T>> {
    const value = this.#queue.shift()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#failure !== undefined) {
      const { error } = this.#failure
      this.#failure = undefined
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is whatever it is
      return Promise.reject(error)
    }
    if (this.#isOver) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  return(): Promise<Result<T>> {
    this.end()
    this.#queue.length = 0
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  readonly #abort = (): void => this.end({ error: this.#options.signal?.reason })
}

/** What changed last, for any number of watchers: each keeps its place in it, and nothing is kept for one of them. */
import { ValidationError } from '../errors/index.js'
import type { SourceEvent } from './source.js'

/** An event before it has its revision. */
export type Change = SourceEvent extends infer E
  ? E extends { readonly revision: string }
    ? Omit<E, 'revision'>
    : never
  : never

/** How many events are kept where nothing was said. */
export const usualHistory = 4096

/** The last events of a source. Its revisions are the numbers of its events. */
export class Journal {
  readonly #length: number
  /** A ring: event n stands at n modulo its length. */
  readonly #ring: SourceEvent[] = []
  readonly #waiting = new Set<() => void>()
  #last = 0

  /** @throws ValidationError if `length` is no positive integer */
  constructor(length: number) {
    if (!Number.isSafeInteger(length) || length < 1)
      throw new ValidationError('options.history', length, 'an integer from 1')
    this.#length = length
  }

  /** Of the last event. */
  get revision(): string {
    return String(this.#last)
  }

  /** Writes an event down, and wakes who waits for it. */
  append(change: Change): void {
    this.#last++
    this.#ring[this.#last % this.#length] = { ...change, revision: this.revision }
    for (const wake of [...this.#waiting]) wake()
  }

  /**
   * The events after a revision, as they come; over when `left` is aborted. One that is not kept any more, or is none of
   * this journal, gives `resynchronise` alone.
   *
   * @throws the reason of `signal`, when that is aborted
   */
  async *after(
    revision: string,
    signal: AbortSignal | undefined,
    left: AbortSignal,
  ): AsyncGenerator<SourceEvent, void, undefined> {
    let at = /^\d{1,15}$/.test(revision) ? Number(revision) : Infinity
    while (!left.aborted) {
      signal?.throwIfAborted()
      if (at > this.#last || at < this.#last - this.#length) {
        yield { event: 'resynchronise' }
        return
      }
      const event = at < this.#last ? this.#ring[++at % this.#length] : undefined
      if (event === undefined) await this.#more(signal, left)
      else yield event
    }
  }

  #more(...signals: (AbortSignal | undefined)[]): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        for (const signal of signals) signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      for (const signal of signals) signal?.addEventListener('abort', wake)
    })
  }
}

/**
 * A generator that can be left while it waits: its own `return` would wait for the next event first. What it is made of
 * gets a signal that says so.
 */
export function leavable<T>(
  make: (left: AbortSignal) => AsyncGenerator<T, void, undefined>,
): AsyncIterableIterator<T> {
  const left = new AbortController()
  const generator = make(left.signal)
  return {
    next: () => generator.next(),
    return() {
      left.abort()
      return generator.return()
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** When what failed is tried again: each time twice as late. */
export class Backoff {
  readonly #first: number
  readonly #most: number
  #failures = 0

  /** Milliseconds. */
  constructor(first = 100, most = 30_000) {
    this.#first = first
    this.#most = most
  }

  get failures(): number {
    return this.#failures
  }

  /** It failed. @returns milliseconds until the next try */
  fail(): number {
    return Math.min(this.#most, this.#first * 2 ** this.#failures++)
  }

  succeed(): void {
    this.#failures = 0
  }
}

/** How late checks are begun: a monitor that has too much to do is seen by it. */

/** Milliseconds; each is the upper bound of a class that is an eighth wide. */
export interface Lateness {
  /** Half of all were begun by then. */
  readonly p50: number
  /** All but a hundredth. */
  readonly p99: number
  /** The latest of all. */
  readonly most: number
}

/** Classes of 1/8 octave from a sixteenth of a millisecond on. */
const classes = 8 * 24
const least = 1 / 16

/** Counts by classes, so that it costs the same for any number of checks. */
export class LatenessCounts {
  readonly #counts = new Float64Array(classes)
  #total = 0
  #most = 0

  add(milliseconds: number): void {
    const place = milliseconds <= least ? 0 : Math.ceil(Math.log2(milliseconds / least) * 8)
    this.#counts[Math.min(classes - 1, place)]!++
    this.#total++
    if (milliseconds > this.#most) this.#most = milliseconds
  }

  get value(): Lateness {
    return { p50: this.#at(0.5), p99: this.#at(0.99), most: this.#most }
  }

  clear(): void {
    this.#counts.fill(0)
    this.#total = 0
    this.#most = 0
  }

  #at(part: number): number {
    let rest = this.#total * part
    for (let place = 0; place < classes; place++) {
      rest -= this.#counts[place]!
      if (rest <= 0) return Math.min(this.#most, least * 2 ** (place / 8))
    }
    return this.#most
  }
}

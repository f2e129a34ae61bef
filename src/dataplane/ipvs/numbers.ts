/** Numbers of virtual services: each has one for as long as it is there, and takes it up again after a restart. Pure. */
import { UnsupportedError } from '../../errors/index.js'

export class Numbers {
  readonly #most: number
  readonly #byKey = new Map<string, number>()
  readonly #used = new Set<number>()
  #next = 1

  constructor(most: number) {
    this.#most = most
  }

  /**
   * @param before  Numbers that it may have had, the first one that nobody else has is taken.
   * @param isTaken  Those that stand in the kernel, for whomever.
   */
  of(key: string, before: Iterable<number>, isTaken: (number: number) => boolean): number {
    const own = this.#byKey.get(key)
    if (own !== undefined) return own
    for (const number of before) {
      if (number >= 1 && number <= this.#most && !this.#used.has(number)) return this.#give(key, number)
    }
    for (let tried = 0; tried < this.#most; tried++) {
      const number = this.#next
      this.#next = number === this.#most ? 1 : number + 1
      if (!this.#used.has(number) && !isTaken(number)) return this.#give(key, number)
    }
    throw new UnsupportedError('another virtual service', `fewer than ${this.#most} of them`)
  }

  isUsed(number: number): boolean {
    return this.#used.has(number)
  }

  release(key: string): void {
    const number = this.#byKey.get(key)
    if (number === undefined) return
    this.#byKey.delete(key)
    this.#used.delete(number)
  }

  #give(key: string, number: number): number {
    this.#byKey.set(key, number)
    this.#used.add(number)
    return number
  }
}

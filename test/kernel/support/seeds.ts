/** Random choices that can be made again: `VIADUCT_SEED` repeats a run. */
import type { Test } from 'tap'

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to `below` - 1 (the generator is mulberry32). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let value = this.#state
    value = Math.imul(value ^ (value >>> 15), value | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 0x1_0000_0000) * below)
  }

  /** Once in so many times. */
  once(inTimes: number): boolean {
    return this.below(inTimes) === 0
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
  }

  /** Some of them, at least so many, in any order. */
  some<T>(choices: readonly T[], least = 0, most = choices.length): T[] {
    const left = [...choices]
    const count = least + this.below(Math.min(most, left.length) - least + 1)
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]!)
  }
}

/** Says which seed it takes, so that a run that failed can be repeated. */
export function seeded(t: Test): Random {
  const seed = Number(process.env['VIADUCT_SEED'] ?? Date.now() % 0x7fff_ffff)
  t.comment(`VIADUCT_SEED=${seed}`)
  return new Random(seed)
}

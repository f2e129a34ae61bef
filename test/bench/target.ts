/** What a benchmark is to reach, and whether it does. */

/** One thing to reach. */
export interface Target {
  readonly what: string
  /** NaN where nothing was measured. */
  readonly value: number
  readonly unit: string
  readonly limit: number
  readonly atLeast: boolean
  /** `void`: it should have been measured and was not. */
  readonly verdict: 'reached' | 'missed' | 'left out' | 'void'
}

/** The event loop must never be held longer by anything of ours. */
export const longestHoldMilliseconds = 25

export function atMost(what: string, limit: number, unit: string): (value: number) => Target {
  return (value) => target(what, limit, unit, false, value, value <= limit)
}

export function atLeast(what: string, limit: number, unit: string): (value: number) => Target {
  return (value) => target(what, limit, unit, true, value, value >= limit)
}

function target(
  what: string,
  limit: number,
  unit: string,
  atLeast: boolean,
  value: number,
  reached: boolean,
): Target {
  const verdict = Number.isFinite(value) ? (reached ? 'reached' : 'missed') : 'void'
  return { what, value, unit, limit, atLeast, verdict }
}

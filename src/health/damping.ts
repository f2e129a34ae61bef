/**
 * Flap damping, as routers do it with routes (RFC 2439): each time that a server goes down costs a penalty of 1, which
 * halves in a time. Above one threshold the server is kept out, below another it comes back. Pure.
 */

/** When a server that keeps going up and down is kept out. */
export interface DampingRules {
  /** The penalty halves in so long; 60,000 unless said. */
  readonly halfLifeMilliseconds?: number | undefined
  /** At this penalty the server is kept out; 2.5 unless said: at the third time down within half a minute. */
  readonly suppressAt?: number | undefined
  /** At this penalty it comes back; 1 unless said. */
  readonly reuseAt?: number | undefined
  /** It is never kept out longer than this after its last time down; 300,000 unless said. */
  readonly mostMilliseconds?: number | undefined
}

/** With everything filled in. */
export interface Damping {
  readonly halfLifeMilliseconds: number
  readonly suppressAt: number
  readonly reuseAt: number
  readonly mostMilliseconds: number
}

/** What the penalty has come down to. */
export function decayed(damping: Damping, penalty: number, milliseconds: number): number {
  return penalty * 2 ** (-Math.max(0, milliseconds) / damping.halfLifeMilliseconds)
}

/** One more time down. Never so much that it would take longer than `mostMilliseconds` to come back. */
export function penalized(damping: Damping, penalty: number): number {
  const ceiling = damping.reuseAt * 2 ** (damping.mostMilliseconds / damping.halfLifeMilliseconds)
  return Math.min(ceiling, penalty + 1)
}

/** How long until the server comes back. */
export function millisecondsUntilReuse(damping: Damping, penalty: number): number {
  if (penalty <= damping.reuseAt) return 0
  return damping.halfLifeMilliseconds * Math.log2(penalty / damping.reuseAt)
}

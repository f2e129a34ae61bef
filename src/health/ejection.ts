/**
 * Passive ejection: servers are taken out by what the kernel sees of their clients' connections, without a check. Pure: the
 * numbers come in. They may be IPVS' (new connections, and inactive ones that never became active) or conntrack's (flows,
 * and those that ended by a reset).
 */

/** What the kernel counts of a server. Both only grow; one that is less than before begins anew. */
export interface PassiveSample {
  /** IPv4 or IPv6. */
  readonly address: string
  /** That it listens on. */
  readonly port: number
  /** New connections so far. */
  readonly connections: number
  /** Of these, those that went wrong. */
  readonly failures: number
}

/** When a server is ejected, and for how long. */
export interface EjectionRules {
  /** How often the numbers are read; 10,000 unless said. */
  readonly intervalMilliseconds?: number | undefined
  /** Fewer new connections in an interval say nothing; 20 unless said. */
  readonly leastConnections?: number | undefined
  /** The part of an interval's connections that must have failed; 0.5 unless said. */
  readonly failureShare?: number | undefined
  /** And so many times the part of the service's median server, so that a client's fault takes nobody out; 3 unless said. */
  readonly timesMedian?: number | undefined
  /** How long; so many times longer as it was ejected in a row. 30,000 unless said. */
  readonly baseMilliseconds?: number | undefined
  /** At most; 300,000 unless said. */
  readonly mostMilliseconds?: number | undefined
}

/** With everything filled in. */
export interface Ejection {
  readonly intervalMilliseconds: number
  readonly leastConnections: number
  readonly failureShare: number
  readonly timesMedian: number
  readonly baseMilliseconds: number
  readonly mostMilliseconds: number
}

/** One interval of a server. */
export interface Passing {
  readonly connections: number
  readonly failures: number
}

/** What happened between two samples. Hostile or wrong numbers are none. */
export function between(before: PassiveSample | undefined, after: PassiveSample): Passing | undefined {
  const sound = [after.connections, after.failures].every((count) => Number.isFinite(count) && count >= 0)
  if (!sound || before === undefined) return undefined
  const connections = after.connections - before.connections
  const failures = after.failures - before.failures
  // It was counted anew in between.
  if (connections < 0 || failures < 0) return undefined
  return { connections, failures: Math.min(failures, connections) }
}

/** Which of a service's servers are outliers. @returns their places */
export function outliers(rules: Ejection, passings: readonly (Passing | undefined)[]): number[] {
  const shares = passings.map((one) =>
    one === undefined || one.connections < rules.leastConnections
      ? undefined
      : one.failures / one.connections,
  )
  const known = shares.filter((share) => share !== undefined).sort((a, b) => a - b)
  // One alone has nobody to be compared with.
  if (known.length < 2) return []
  const median = known[(known.length - 1) >> 1]!
  return shares.flatMap((share, index) =>
    share !== undefined &&
    share > 0 &&
    share >= rules.failureShare &&
    (median === 0 || share >= rules.timesMedian * median)
      ? [index]
      : [],
  )
}

/** How long the nth ejection in a row lasts, from 1. */
export function ejectionMilliseconds(rules: Ejection, times: number): number {
  return Math.min(rules.mostMilliseconds, rules.baseMilliseconds * times)
}

/** The kernel's schedulers (net/netfilter/ipvs/ip_vs_<name>.c), a row each. */
export interface SchedulerFacts {
  /** As the kernel and `ipvsadm -s` have it: `wlc`. */
  readonly name: string
  /** In words: what it is short for. */
  readonly title: string
  /** The first kernel that has it. */
  readonly since?: string
  /** What its flags are called, from `flag-1` on. */
  readonly flags?: readonly SchedulerFlag[]
}

/**
 * Switches of a scheduler. `sh-…` and `mh-…` are the same two bits, named by what they do: `fallback` chooses another
 * server when the hashed one has weight 0, `port` hashes the source port, too.
 */
export type SchedulerFlag =
  'sh-fallback' | 'sh-port' | 'mh-fallback' | 'mh-port' | 'flag-1' | 'flag-2' | 'flag-3'

/** Every scheduler that the kernel has, by name. */
export const schedulers = {
  rr: { title: 'round robin' },
  wrr: { title: 'weighted round robin' },
  lc: { title: 'least connections' },
  wlc: { title: 'weighted least connections' },
  lblc: { title: 'locality-based least connections' },
  lblcr: { title: 'locality-based least connections with replication' },
  dh: { title: 'destination hashing' },
  sh: { title: 'source hashing', flags: ['sh-fallback', 'sh-port'] },
  sed: { title: 'shortest expected delay' },
  nq: { title: 'never queue' },
  fo: { title: 'weighted fail-over', since: '3.11' },
  ovf: { title: 'weighted overflow', since: '4.3' },
  mh: { title: 'Maglev hashing', since: '4.18', flags: ['mh-fallback', 'mh-port'] },
  twos: { title: 'weighted random choice of two', since: '5.12' },
} as const satisfies Readonly<Record<string, Omit<SchedulerFacts, 'name'>>>

/** A scheduler that is known here, or any other that the kernel has a module for. */
export type SchedulerName = keyof typeof schedulers | (string & {})

/** What is known of a scheduler, or undefined for one that is not in the table. */
export function schedulerFacts(name: string): SchedulerFacts | undefined {
  return Object.hasOwn(schedulers, name)
    ? { name, ...schedulers[name as keyof typeof schedulers] }
    : undefined
}

/** What a server has done so far. */
export interface DnsCounts {
  /** Messages that came over UDP. */
  readonly udp: number
  /** Messages that came over TCP. */
  readonly tcp: number
  /** Of them, those that others were asked for. */
  readonly forwarded: number
  /** Those that there was nothing to say to. */
  readonly unanswered: number
  /** Answers that were too many for their network: cut, or dropped. */
  readonly limited: number
  /** Connections that were refused, or ended before their client did: too many, idle, or no DNS. */
  readonly ended: number
  /** What went wrong here: a defect. */
  readonly failed: number
}

export type Tally = { -readonly [Count in keyof DnsCounts]: DnsCounts[Count] }

export function newTally(): Tally {
  return { udp: 0, tcp: 0, forwarded: 0, unanswered: 0, limited: 0, ended: 0, failed: 0 }
}

/** The servers of a service together: who is in, with which weight, and whether there are enough. Pure. */
import type { RealServer } from '../model/index.js'
import type { Rules } from './rules.js'
import { isSilent, type ServerState, weightOf } from './state.js'

/** A server and what is known of it. */
export interface Member {
  readonly server: RealServer
  readonly state: ServerState
}

/** Why a server is to be out. */
export type OutCause = 'down' | 'not-checked' | 'drained-by-agent' | 'ejected' | 'damped'

/** What becomes of a server. */
export interface Placement {
  /** `kept`: it should be out, and stays in because too many are out already. */
  readonly place: 'in' | 'out' | 'kept'
  /** Why it is out, or should be. */
  readonly cause: OutCause | undefined
  /** 0 for `out`. */
  readonly weight: number
  /** Whether its connections are to be ended, if it is out. */
  readonly isLost: boolean
}

/** Why it is to be out, and since when; undefined if it is not. */
export function causeOf(
  rules: Rules,
  state: ServerState,
): { readonly cause: OutCause; readonly since: number } | undefined {
  if (state.verdict === 'down') return { cause: 'down', since: state.since }
  if (state.verdict === 'unknown' && rules.initial === 'down')
    return { cause: 'not-checked', since: state.since }
  if (state.share === 0) return { cause: 'drained-by-agent', since: state.since }
  if (state.ejectedSince !== undefined) return { cause: 'ejected', since: state.ejectedSince }
  if (state.dampedSince !== undefined) return { cause: 'damped', since: state.dampedSince }
  return undefined
}

/** Who is rather out than others: one that fails before one that only misbehaves. */
const order: readonly OutCause[] = ['down', 'drained-by-agent', 'ejected', 'damped', 'not-checked']

/** How many of so many servers may be out. */
export function mostOut({ mostOut }: Rules, servers: number): number {
  // 0.29 × 100 is 28.999…
  return Math.floor(servers * mostOut + 1e-9)
}

/**
 * Places them. Never more than the cap are out: those that have failed for the longest are, and the others stay. Of equals
 * those that stand first are out.
 */
export function place(rules: Rules, members: readonly Member[], now: number): Placement[] {
  const wanting = members.flatMap(({ state }, index) => {
    const found = causeOf(rules, state)
    return found === undefined ? [] : [{ ...found, index }]
  })
  wanting.sort(
    (a, b) => order.indexOf(a.cause) - order.indexOf(b.cause) || a.since - b.since || a.index - b.index,
  )
  const placements = members.map(({ server, state }): Placement => ({
    place: 'in',
    cause: undefined,
    weight: weightOf(rules, state, server.weight, now),
    isLost: false,
  }))
  const most = mostOut(rules, members.length)
  for (const [rank, { cause, index }] of wanting.entries()) {
    const { server, state } = members[index]!
    const isLost = rules.onFailure === 'end-connections' && isSilent(state)
    placements[index] =
      rank < most
        ? { place: 'out', cause, weight: 0, isLost }
        : // One that asks for no connections gets some: the alternative is that nobody does.
          {
            place: 'kept',
            cause,
            weight: weightOf(rules, { ...state, share: state.share || 1 }, server.weight, now),
            isLost,
          }
  }
  return placements
}

/** How many are up by themselves, whether they are kept in or not. */
export function countUp(rules: Rules, members: readonly Member[]): number {
  let count = 0
  for (const { state } of members) if (causeOf(rules, state) === undefined) count++
  return count
}

/** Whether there are enough, with the hysteresis: between the two bounds it stays as it was. */
export function hasQuorum({ quorum, hysteresis }: Rules, up: number, had: boolean): boolean {
  return had ? up >= quorum - hysteresis : up >= quorum + hysteresis
}

/** What a service's servers are: a list with weights, of which 0 means that no new connections go there. */
export function serversOf(
  rules: Rules,
  members: readonly Member[],
  placements: readonly Placement[],
  isQuorate: boolean,
): RealServer[] {
  if (!isQuorate && rules.sorryServer !== undefined) {
    const { sorryServer } = rules
    const sorry = { ...sorryServer, weight: Math.max(1, sorryServer.weight * rules.weightScale) }
    if (rules.onFailure === 'remove') return [sorry]
    // Connections that there are go on.
    const others = members.filter(
      ({ server: { address, port } }, index) =>
        !placements[index]!.isLost && (address !== sorry.address || port !== sorry.port),
    )
    return [sorry, ...others.map(({ server }) => ({ ...server, weight: 0 }))]
  }
  return members.flatMap(({ server }, index) => {
    const { place, weight, isLost } = placements[index]!
    if (place === 'out' && (isLost || rules.onFailure === 'remove')) return []
    return [{ ...server, weight }]
  })
}

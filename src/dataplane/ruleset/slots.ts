/**
 * Who gets how many slots of a service: a slot is drawn evenly, so that a server's share of the slots is its share of the
 * connections. Pure.
 */
import { ValidationError } from '../../errors/index.js'
import type { RealServer } from '../../model/index.js'

/** Weights that have no common measure are rounded to a share of so many. */
const mostSlotsByWeight = 1024
/** A prime number of slots for consistent hashing: it stays the same whatever the servers are. */
export const consistentSlots = 1021
/** A service of more would make each change of it slow. */
const mostServers = 65_536

/** Servers by slot: each server at least once. @throws ValidationError if there are too many */
export function slotsOf(
  servers: readonly RealServer[],
  previous: readonly RealServer[] = [],
): readonly RealServer[] {
  if (servers.length > mostServers) {
    throw new ValidationError('servers', servers.length, `at most ${mostServers} servers of one port`)
  }
  const counts = countsOf(servers)
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === servers.length && (previous.length === 0 || haveTheirSlots(servers, previous))) return servers
  return keepingSlots(servers, counts, total, previous)
}

/** How many slots each one gets. */
function countsOf(servers: readonly RealServer[]): readonly number[] {
  let divisor = 0
  let sum = 0
  for (const { weight } of servers) {
    divisor = greatestCommonDivisor(divisor, weight)
    sum += weight
  }
  if (sum / divisor <= Math.max(mostSlotsByWeight, servers.length)) {
    return servers.map(({ weight }) => weight / divisor)
  }
  const most = Math.max(mostSlotsByWeight, servers.length * 4)
  return servers.map(({ weight }) => Math.max(1, Math.round((weight / sum) * most)))
}

function greatestCommonDivisor(one: number, other: number): number {
  while (other !== 0) [one, other] = [other, one % other]
  return one
}

/** Whether each one has one slot, in the servers' own order. */
function haveTheirSlots(servers: readonly RealServer[], previous: readonly RealServer[]): boolean {
  return (
    servers.length === previous.length &&
    servers.every(({ address, port }, slot) => {
      const before = previous[slot]
      return before?.address === address && before.port === port
    })
  )
}

/** Who has a slot keeps it as far as it may have so many; what is left over at the end fills the holes. */
function keepingSlots(
  servers: readonly RealServer[],
  counts: readonly number[],
  total: number,
  previous: readonly RealServer[],
): readonly RealServer[] {
  const due = new Map<string, { readonly server: RealServer; left: number }>()
  for (const [index, server] of servers.entries()) due.set(nameOf(server), { server, left: counts[index]! })
  const slots = new Array<RealServer | undefined>(total).fill(undefined)
  for (let slot = 0; slot < Math.min(total, previous.length); slot++) {
    const before = previous[slot]
    const wanted = before === undefined ? undefined : due.get(nameOf(before))
    if (wanted === undefined || wanted.left === 0) continue
    slots[slot] = wanted.server
    wanted.left--
  }
  let hole = 0
  for (const { server, left } of due.values()) {
    for (let count = 0; count < left; count++) {
      while (slots[hole] !== undefined) hole++
      slots[hole] = server
    }
  }
  return slots as RealServer[]
}

function nameOf({ address, port }: RealServer): string {
  return `${address} ${port}`
}

/**
 * Consistent hashing: for each slot the server with the highest score of those that both make (rendezvous hashing with
 * weights: Wang and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; Schindelhauer and Schomaker,
 * "Weighted Distributed Hash Tables", 2005). It has no history: the same servers always give the same slots, and a server
 * that leaves moves its own slots alone.
 */
export function consistentSlotsOf(servers: readonly RealServer[]): readonly RealServer[] {
  if (servers.length <= 1) return servers
  const seeds = servers.map((server) => hashOfText(nameOf(server)))
  const slots = new Array<RealServer>(consistentSlots)
  for (let slot = 0; slot < consistentSlots; slot++) {
    let best = servers[0]!
    let highest = -Infinity
    for (const [index, server] of servers.entries()) {
      const drawn = (mixed(seeds[index]! ^ Math.imul(slot + 1, 0x9e3779b1)) + 0.5) / 0x1_0000_0000
      const score = -server.weight / Math.log(drawn)
      if (score > highest) {
        highest = score
        best = server
      }
    }
    slots[slot] = best
  }
  return slots
}

/** FNV-1a. */
function hashOfText(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return mixed(hash)
}

/** Every bit of the result depends on each of the value's (the finalizer of MurmurHash3). */
function mixed(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

/** Who gets how many of many new connections, as connection tracking has it. */
import t, { type Test } from 'tap'
import { consistentSlots } from '../../src/dataplane/ruleset/slots.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { type Family, choiceNetwork as network, nameOf, servers } from './support/choices.js'
import type { Datagram } from './support/datagrams.js'
import { Random, seeded } from './support/seeds.js'
import { clusterAddress, virtualService } from './services-network.js'

const connections = 20_000
/** Of a normal distribution: outside of it is one in two millions. */
const sigmas = 5

function udp(list: readonly RealServer[], more: Partial<VirtualService> = {}): VirtualService {
  return virtualService(list, { protocol: 'udp', ...more })
}

/** As many clients as there are connections, each with an address of its own. */
function* clients(family: Family, seed: number, count = connections): Generator<Datagram> {
  const random = new Random(seed)
  for (let number = 0; number < count; number++) {
    const from =
      family === 'ipv4'
        ? `198.18.${number >> 8}.${number & 255}`
        : `2001:db8::${(number >> 8).toString(16)}:${(number & 255).toString(16)}`
    yield { from, fromPort: 1024 + random.below(60_000), to: clusterAddress[family], toPort: 80 }
  }
}

function countsOf(choices: ReadonlyMap<string, string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const server of choices.values()) counts.set(server, (counts.get(server) ?? 0) + 1)
  return counts
}

/** Whether each has its share; `slots` where these, too, were given out at random. */
function hasShares(
  t: Test,
  choices: ReadonlyMap<string, string>,
  list: readonly RealServer[],
  slots = Infinity,
): void {
  const [counts, total] = [countsOf(choices), choices.size]
  const weights = list.reduce((sum, { weight }) => sum + weight, 0)
  t.equal(total, connections, 'every connection was given to somebody')
  for (const server of list) {
    const share = server.weight / weights
    const deviation = Math.sqrt(share * (1 - share) * (1 / total + 1 / slots))
    const found = (counts.get(nameOf(server)) ?? 0) / total
    t.ok(
      Math.abs(found - share) <= sigmas * deviation,
      `${found.toFixed(4)} for a share of ${share.toFixed(4)} ± ${(sigmas * deviation).toFixed(4)}`,
    )
  }
}

void t.test('at random by weight', { timeout: 120_000 }, async (t) => {
  const { dataplane, choices } = await network(t)
  const seed = seeded(t).below(1e9)
  for (const [family, weights] of [
    ['ipv4', [1, 1, 1]],
    ['ipv4', [3, 1]],
    ['ipv4', [5, 2, 1]],
    ['ipv4', [1000, 999, 3]],
    ['ipv6', [5, 2, 1]],
  ] as const) {
    const list = servers(weights, family)
    const service = udp(list, { family })
    await dataplane.synchronize([service])
    const counts = async () => (await dataplane.stats(service.key))[0]!.connections!
    const before = await counts()
    hasShares(t, await choices(family, clients(family, seed)), list)
    t.equal((await counts()) - before, BigInt(connections), 'as many were counted')
  }
})

void t.test('in turn: exactly by weight', { timeout: 120_000 }, async (t) => {
  const { dataplane, choices } = await network(t)
  for (const [scheduler, family, weights, shares] of [
    ['rr', 'ipv4', [1, 1, 1, 1], [5000, 5000, 5000, 5000]],
    ['wrr', 'ipv4', [3, 1], [15_000, 5000]],
    ['wrr', 'ipv4', [10, 4, 2], [12_500, 5000, 2500]],
    ['wrr', 'ipv6', [5, 2, 1], [12_500, 5000, 2500]],
  ] as const) {
    const list = servers(weights, family)
    await dataplane.synchronize([udp(list, { family, scheduler })])
    const counts = countsOf(await choices(family, clients(family, 1)))
    t.same(
      list.map((server) => counts.get(nameOf(server))),
      shares,
      `${scheduler} ${weights.join(':')}`,
    )
  }
})

void t.test('by the source: shares, and always the same one', { timeout: 120_000 }, async (t) => {
  const { dataplane, choices } = await network(t)
  const seed = seeded(t).below(1e9)
  for (const [scheduler, family, weights] of [
    ['sh', 'ipv4', [1, 1, 1]],
    ['sh', 'ipv6', [5, 2, 1]],
    ['mh', 'ipv4', [1, 1, 1]],
    ['mh', 'ipv4', [5, 2, 1]],
    ['mh', 'ipv6', [3, 1]],
  ] as const) {
    const list = servers(weights, family)
    await dataplane.synchronize([udp(list, { family, scheduler })])
    const first = await choices(family, clients(family, seed))
    hasShares(t, first, list, scheduler === 'mh' ? consistentSlots : Infinity)
    // The same addresses, other ports.
    const again = await choices(family, clients(family, seed + 1))
    const bySource = (of: ReadonlyMap<string, string>) =>
      new Map([...of].map(([client, server]) => [client.split(' ')[0]!, server]))
    t.equal(moved(bySource(first), bySource(again)), 0, `${scheduler}: nobody moves`)
  }
})

/** How many have another one than before. */
function moved(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): number {
  let count = 0
  for (const [client, server] of before) if (after.get(client) !== server) count++
  return count
}

void t.test('consistent hashing: few move, and all come back', { timeout: 120_000 }, async (t) => {
  const { dataplane, choices } = await network(t)
  for (const [family, weights] of [
    ['ipv4', new Array<number>(10).fill(1)],
    ['ipv6', [4, 2, 1, 1]],
  ] as const) {
    const list = servers(weights, family)
    const asked = () => choices(family, clients(family, 1))
    await dataplane.synchronize([udp(list, { family, scheduler: 'mh' })])
    const first = await asked()
    const leaving = list[1]!
    const had = countsOf(first).get(nameOf(leaving))!
    const others = list.filter((one) => one !== leaving)
    await dataplane.apply({ upserted: [udp(others, { family, scheduler: 'mh' })], deleted: [] })
    const without = await asked()
    const share = leaving.weight / list.reduce((sum, { weight }) => sum + weight, 0)
    const count = moved(first, without)
    t.equal(count, had, 'those alone move that had the server that left')
    t.ok(count <= 2 * share * connections, `${count} moved, ${share * connections} have to`)
    t.notOk(countsOf(without).has(nameOf(leaving)))
    await dataplane.apply({ upserted: [udp(list, { family, scheduler: 'mh' })], deleted: [] })
    t.equal(moved(first, await asked()), 0, 'it came back, and everybody has the one of before')
    // What other nodes are told may come in any order.
    await dataplane.teardown()
    await dataplane.synchronize([udp([...list].reverse(), { family, scheduler: 'mh' })])
    t.equal(moved(first, await asked()), 0, 'in another order, the same')
  }
})

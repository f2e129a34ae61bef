/** Clients that stay with their servers. */
import t from 'tap'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { until } from '../lab/support/until.js'
import { choiceNetwork, type Family, nameOf, servers } from './support/choices.js'
import type { Datagram } from './support/datagrams.js'
import { clusterAddress, virtualService } from './services-network.js'

const external = { ipv4: '192.0.2.10', ipv6: '2001:db8:ffff::10' }
const nodePort = 30_080
const clientCount = 200

function clientAddress(family: Family, number: number): string {
  return family === 'ipv4' ? `198.18.0.${number}` : `2001:db8::${number.toString(16)}`
}

/** The clients that had each server. */
function byClient(choices: ReadonlyMap<string, string>): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const [client, server] of choices) {
    const address = client.split(' ')[0]!
    found.set(address, (found.get(address) ?? new Set()).add(server))
  }
  return found
}

for (const family of ['ipv4', 'ipv6'] as const) {
  void t.test(`${family}: a client stays, at every address of a service`, { timeout: 60_000 }, async (t) => {
    const { node, dataplane, choices } = await choiceNetwork(t)
    const own = node.towards('client')
    const frontends = [
      [clusterAddress[family], 80],
      [external[family], 80],
      [family === 'ipv4' ? own.address : own.address6, nodePort],
    ] as const
    const list = servers([1, 1, 1, 1], family)
    const service = (of: readonly RealServer[], affinitySeconds = 600): VirtualService =>
      virtualService(of, {
        family,
        protocol: 'udp',
        affinitySeconds,
        frontends: [
          { kind: 'cluster', address: clusterAddress[family], port: 80 },
          { kind: 'external', address: external[family], port: 80 },
          { kind: 'node-port', port: nodePort },
        ],
      })
    await dataplane.synchronize([service(list)])
    let port = 1024
    /** Each client at each address, so often. */
    const ask = async (times: number): Promise<Map<string, Set<string>>> => {
      const datagrams: Datagram[] = []
      for (let time = 0; time < times; time++) {
        for (const [to, toPort] of frontends) {
          for (let client = 1; client <= clientCount; client++) {
            datagrams.push({ from: clientAddress(family, client), fromPort: port, to, toPort })
          }
          port++
        }
      }
      return byClient(await choices(family, datagrams))
    }
    const first = await ask(5)
    t.equal(first.size, clientCount)
    t.ok(
      [...first.values()].every(({ size }) => size === 1),
      'each has one',
    )
    const shares = new Map<string, number>()
    for (const [server] of first.values()) shares.set(server!, (shares.get(server!) ?? 0) + 1)
    // Of a binomial distribution of 200 clients and four servers, 5 standard deviations.
    for (const one of list) t.ok(Math.abs(shares.get(nameOf(one))! - 50) < 31, 'clients are spread')

    const gone = list[2]!
    const left = list.filter((one) => one !== gone)
    await dataplane.apply({ upserted: [service(left)], deleted: [] })
    const second = await ask(2)
    for (const [client, [server]] of first) {
      const now = second.get(client)!
      if (now.size !== 1) t.fail(`${client} has several`)
      if (server !== nameOf(gone) && !now.has(server!))
        t.fail(`${client} was moved, though its server is there`)
      if (server === nameOf(gone) && now.has(server)) t.fail(`${client} is at a server that is gone`)
    }
    // It is there again, and those who were moved stay where they are now.
    await dataplane.apply({ upserted: [service(list)], deleted: [] })
    t.same(await ask(1), second)

    // Nothing is left of it after the timeout.
    await dataplane.apply({ upserted: [service(list, 1)], deleted: [] })
    await ask(1)
    await using nftables = await Nftables.open({ netns: node.netns })
    const affinity = `affinity${family.at(-1)}`
    const remembered = async () =>
      (await nftables.elements({ family: 'inet', table: 'viaduct', name: affinity })).elements
    await until('all are forgotten', async () => (await remembered()).length === 0)
    const last = await ask(1)
    const others = [...last].filter(([client, [server]]) => !second.get(client)!.has(server!)).length
    // Three of four choose another one.
    t.ok(others > 100, `${others} of ${clientCount} have another server`)
  })
}

void t.test('a new connection begins the time anew', { timeout: 60_000 }, async (t) => {
  const { node, dataplane, choices } = await choiceNetwork(t)
  const service = virtualService(servers([1, 1, 1]), { protocol: 'udp', affinitySeconds: 100 })
  await dataplane.synchronize([service])
  await using nftables = await Nftables.open({ netns: node.netns })
  const left = async (): Promise<number> => {
    const { elements } = await nftables.elements({ family: 'inet', table: 'viaduct', name: 'affinity4' })
    return Number(elements[0]!.expirationMilliseconds)
  }
  const ask = (fromPort: number) =>
    choices('ipv4', [{ from: '198.18.0.1', fromPort, to: clusterAddress.ipv4, toPort: 80 }])
  await ask(1024)
  const first = await left()
  t.ok(first > 90_000 && first <= 100_000)
  const before = await until('time has gone by', async () => {
    const now = await left()
    return now < first - 100 && now
  })
  await ask(1025)
  t.ok((await left()) > before, 'it is remembered for longer than before')
})

/**
 * What is deleted while it has connections, or had some a moment ago, waits in the kernel's trash for up to two minutes.
 * It comes back from there as it was (`ip_vs_trash_get_dest`, net/netfilter/ipvs/ip_vs_ctl.c).
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Ipvs, type IpvsConnection, type ServiceKey } from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, server, virtualAddress } from './support/balanced.js'
import { until } from './support/until.js'

ipvsTest('a destination that is still in the trash comes back with its connections', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const key: ServiceKey = { protocol: 'tcp', address: virtualAddress, port: 80 }
  const read = async (): Promise<unknown> =>
    (await ipvs.destinations(key)).map(({ weight, activeConnections }) => ({ weight, activeConnections }))
  // While there is a service of its family, whichever, every packet goes by IPVS: see the last of these tests.
  const other: ServiceKey = { protocol: 'udp', address: virtualAddress, port: 9 }
  await ipvs.createService(other)
  await ipvs.createService({ ...key, scheduler: 'rr' })
  await ipvs.createDestination(key, server('a'))
  const held = await connect(client, { address: virtualAddress, port: 80 })
  t.same(await read(), [{ weight: 1, activeConnections: 1 }])

  await t.test('deleted and made again', async (t) => {
    await ipvs.deleteDestination(key, server('a'))
    t.same(await read(), [])
    t.match(await connections(ipvs), [{ state: 'ESTABLISHED' }], 'its connection is still in the table')
    await ipvs.createDestination(key, server('a', { weight: 5 }))
    t.same(await read(), [{ weight: 5, activeConnections: 1 }], 'with its new weight and its old connection')
    await goesOn(held.socket)
  })

  await t.test('a packet between the two is dropped, and its connection goes on', async (t) => {
    await ipvs.deleteDestination(key, server('a'))
    const answer = once(held.socket, 'data', { signal: AbortSignal.timeout(20_000) })
    const before = await packetsOf(director)
    held.socket.write('?')
    await until(
      'the director has seen the packet',
      async () => (await packetsOf(director)) > before || undefined,
    )
    t.equal((await connections(ipvs))[0]?.state, 'ESTABLISHED')
    await ipvs.createDestination(key, server('a'))
    // The client sends it once more.
    t.equal(String((await answer)[0]), 'a')
  })

  await t.test('the same when its service is deleted with it', async (t) => {
    await ipvs.deleteService(key)
    t.equal(await ipvs.service(key), undefined)
    await ipvs.createService({ ...key, scheduler: 'rr' })
    await ipvs.createDestination(key, server('a'))
    t.same(await read(), [{ weight: 1, activeConnections: 1 }])
    await goesOn(held.socket)
  })

  await t.test('and when 2,000 are deleted and made again at once', async (t) => {
    const servers = Array.from({ length: 2000 }, (_, index) => ({
      address: `10.9.${index >> 8}.${index & 255}`,
      port: 8080,
    }))
    for (let round = 1; round <= 2; round++) {
      const batch = ipvs.batch()
      for (const one of servers) batch.createDestination(key, one)
      for (const one of servers) batch.deleteDestination(key, one)
      const outcome = await batch.send()
      t.same([outcome.applied, outcome.failures], [2 * servers.length, []])
    }
    t.same(await read(), [{ weight: 1, activeConnections: 1 }])
    await goesOn(held.socket)
  })

  await t.test(
    'with the last service of its family IPVS sees no packet any more: the connection is reset',
    async (t) => {
      await ipvs.deleteService(other)
      await ipvs.deleteService(key)
      const failed = once(held.socket, 'error', { signal: AbortSignal.timeout(20_000) })
      held.socket.write('?')
      t.match(await failed, [{ code: 'ECONNRESET' }], 'by the director itself, whose address it is')
    },
  )
  held.socket.destroy()
})

/** Servers say their name for every piece they get. */
async function goesOn(socket: Socket): Promise<void> {
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(20_000) })
  socket.write('?')
  await answer
}

async function connections(ipvs: Ipvs): Promise<IpvsConnection[]> {
  const found: IpvsConnection[] = []
  for await (const one of ipvs.connections()) found.push(one)
  return found
}

/** Received by the director's end of the client's link. */
async function packetsOf(director: Host): Promise<number> {
  const { statistics } = await director.rtnetlink.links.get('eth0')
  return Number(statistics?.receivedPackets)
}

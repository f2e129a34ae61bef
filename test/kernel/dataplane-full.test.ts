/** The connection table is full: what is there goes on, nothing new gets through, and services can be changed all the same. */
import { once } from 'node:events'
import t from 'tap'
import { Conntrack, type FlowInput } from '../../src/conntrack/index.js'
import { openNftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import { ask, clusterAddress, server, serviceNetwork, virtualService } from './services-network.js'

/** Of the family that the services are not of. Those that were answered (assured) give way to nobody (early_drop). */
function* fill(count: number): Generator<FlowInput> {
  for (let number = 0; number < count; number++) {
    yield {
      original: {
        protocol: 'udp',
        source: `2001:db8::${(number >>> 16).toString(16)}`,
        destination: '2001:db8:1::1',
        sourcePort: number & 0xffff,
        destinationPort: 53,
      },
      status: ['assured', 'seen-reply'],
      timeoutSeconds: 600,
    }
  }
}

void t.test('a full connection table', { timeout: 120_000 }, async (t) => {
  const { hosts } = await serviceNetwork(t)
  const { client, node, a, b } = hosts
  await a.serveTcp((socket) => socket.pipe(socket), { port: 7000 })
  await using dataplane = await openNftablesDataplane({ netns: node.netns })
  const echo = virtualService([server(a, 'ipv4', { port: 7000 })], {
    name: 'echo',
    frontends: [{ kind: 'cluster', address: clusterAddress.ipv4, port: 7 }],
  })
  const udp = virtualService([server(a)], { protocol: 'udp' })
  await dataplane.synchronize([virtualService([server(a)]), echo, udp])
  const socket = await client.connect({ address: clusterAddress.ipv4, port: 7 })
  t.teardown(() => socket.destroy())
  const answered = async (): Promise<void> => {
    const answer = once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    socket.write('?')
    await answer
  }
  await answered()

  await using conntrack = await Conntrack.open({ netns: node.netns })
  const { entries, limit } = await conntrack.usage()
  const { applied, failures } = await conntrack.createMany(fill(limit! - entries + 10))
  t.ok(failures.length >= 10, `${applied} flows, and no more`)
  t.match(failures[0]!.error, { code: 'ENOMEM' })

  await answered()
  const refused = client.connect({ address: clusterAddress.ipv4, port: 80, deadlineMilliseconds: 500 })
  await t.rejects(refused, { code: 'ETIMEDOUT' }, 'a new connection gets no answer')
  const change = [
    virtualService([server(b)], { affinitySeconds: 60 }),
    virtualService([server(b)], { protocol: 'udp' }),
  ]
  const { failures: refusals } = await dataplane.apply({ upserted: change, deleted: [] })
  t.equal(refusals.size, 0)
  t.equal((await dataplane.synchronize([...change, echo])).writes, 0)
  await answered()

  await conntrack.deleteMatching({ family: 'ipv6' })
  t.same(await ask(client, clusterAddress.ipv4), ['b'], 'once there is room, it is as it was changed')
  await answered()
})

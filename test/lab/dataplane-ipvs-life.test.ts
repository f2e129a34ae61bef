/** The dataplane of IPVS over time: who ends, what is found again, what is somebody else's. */
import { once } from 'node:events'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Conntrack } from '../../src/conntrack/index.js'
import { isUnsupportedError } from '../../src/errors/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, countOf, nameOf } from './support/balanced.js'
import { uses } from './support/features.js'
import { nft } from './support/nft.js'
import { until } from './support/until.js'
import {
  clusterAddress,
  endpoint,
  nodeOf,
  serviceNetwork,
  virtualService,
} from './support/virtual-services.js'

const to = { address: clusterAddress, port: 80 }
const tcpKey = { protocol: 'tcp', address: clusterAddress, port: 80 } as const

/** Of all services, without what was counted; in an order that is not the kernel's. */
async function settingsOf(ipvs: Ipvs): Promise<string[]> {
  const services = await ipvs.services()
  return services.map((service) => JSON.stringify({ ...service, statistics: undefined })).sort()
}

ipvsTest('what another process left is adopted, and what is somebody else’s stays', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const options = { netns: director.netns, node: nodeOf(director) }
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const foreign = { protocol: 'tcp', address: '10.96.0.50', port: 80 } as const
  await ipvs.createService({ ...foreign, scheduler: 'rr' })
  await ipvs.createService({ firewallMark: 0x7600_0001, family: 'ipv4', scheduler: 'rr' })
  const theirs = await settingsOf(ipvs)
  const web = virtualService('web', { cluster: [endpoint('a'), endpoint('b')] })
  const other = virtualService(
    'other',
    { cluster: [endpoint('c')] },
    {
      frontends: [
        { kind: 'cluster', address: '10.96.0.51', port: 80 },
        { kind: 'node-port', port: 30_051 },
      ],
    },
  )
  const taken = virtualService(
    'taken',
    { cluster: [endpoint('c')] },
    { frontends: [{ kind: 'cluster', address: foreign.address, port: 80 }] },
  )

  const first = await openIpvsDataplane(options)
  const applied = await first.synchronize([web, other, taken])
  t.same([...applied.failures], [])
  t.match(applied.conditions.get(taken.key), [{ reason: 'AddressTaken' }], 'an address that is taken is told')
  t.same(applied.conditions.get(web.key), [])
  const held = [await connect(client, to), await connect(client, to)].find(({ server }) => server === 'a')!
  // As if it had been killed: nothing is taken back.
  first.close()

  // And others have changed things since.
  await ipvs.deleteDestination(tcpKey, endpoint('b'))
  await ipvs.deleteService({ protocol: 'tcp', address: director.address, port: 30_051 })
  await ipvs.createDestination(tcpKey, endpoint('d'))
  await director.rtnetlink.addresses.delete({ device: 'viaduct0', address: '10.96.0.51/32' })
  director.sysctl('net.ipv4.vs.expire_nodest_conn', 0)

  await using second = await openIpvsDataplane(options)
  const repaired = await second.synchronize([web, other, taken])
  t.same([...repaired.failures], [])
  t.ok(repaired.writes > 0 && repaired.writes < 10, `what differs is mended: ${repaired.writes} messages`)
  t.match(await second.read(), [
    { cluster: [{ address: '10.0.2.11' }, { address: '10.0.2.12' }] },
    { cluster: [{ address: '10.0.2.13' }] },
  ])
  t.equal((await connect(client, { address: '10.96.0.51', port: 80 })).server, 'c', 'and serves again')
  t.equal((await connect(client, { address: director.address, port: 30_051 })).server, 'c')
  t.equal(director.sysctl('net.ipv4.vs.expire_nodest_conn'), '1')
  held.socket.write('?')
  t.equal(String(((await once(held.socket, 'data')) as [Buffer])[0]), held.server, 'a connection has gone on')
  await until(
    'the stranger among the servers is gone',
    async () =>
      (await second.synchronize([web, other, taken])).writes === 0 &&
      (await ipvs.destinations(tcpKey)).length === 2,
  )

  // A third knows nothing, and takes it all away.
  second.close()
  await using third = await openIpvsDataplane(options)
  await third.teardown()
  t.same(await settingsOf(ipvs), theirs, 'services of others are as they were')
  await using nftables = await Nftables.open({ netns: director.netns })
  t.same(await nftables.tables(), [])
  for (const name of ['conntrack', 'expire_nodest_conn', 'expire_quiescent_template']) {
    t.equal(director.sysctl(`net.ipv4.vs.${name}`), '0', `${name} is as it was before the first`)
  }
})

ipvsTest('a server that leaves keeps its connections, and goes with the last of them', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const pair = virtualService('web', { cluster: [endpoint('a'), endpoint('b')] })
  await dataplane.synchronize([pair])
  const held = [await connect(client, to), await connect(client, to)].find(({ server }) => server === 'b')!
  const alone = { ...pair, servers: { ...pair.servers, cluster: [endpoint('a')] } }
  await dataplane.apply({ upserted: [alone], deleted: [] })
  t.match(
    (await ipvs.destinations(tcpKey)).find(({ address }) => address === endpoint('b').address),
    { weight: 0 },
    'it takes none any more',
  )
  t.equal((await connect(client, to)).server, 'a')
  t.equal((await dataplane.synchronize([alone])).writes, 0, 'a synchronisation leaves it to end')
  held.socket.write('?')
  t.equal(String(((await once(held.socket, 'data')) as [Buffer])[0]), 'b', 'what it has goes on')
  held.socket.destroy()
  await until('it is deleted', async () => (await ipvs.destinations(tcpKey)).length === 1)

  const ending = virtualService('web', { cluster: [endpoint('a')], draining: [endpoint('b')] })
  await dataplane.apply({ upserted: [ending], deleted: [] })
  t.match(
    (await ipvs.destinations(tcpKey)).find(({ address }) => address === endpoint('b').address),
    { weight: 0 },
    'one that the model says is ending is kept',
  )
  t.equal(
    (await dataplane.apply({ upserted: [pair], deleted: [] })).writes,
    1,
    'it comes back with one message',
  )

  const names = virtualService('names', { cluster: [endpoint('a')] }, { protocol: 'udp' })
  await dataplane.apply({ upserted: [names], deleted: [] })
  const socket = await client.udp({ address: client.address })
  const ask = async (): Promise<string> => {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(20_000) })
    socket.send('?', 80, clusterAddress)
    return String(((await answer) as [Buffer])[0])
  }
  t.equal(await ask(), 'a')
  await dataplane.apply({
    upserted: [{ ...names, servers: { ...names.servers, cluster: [endpoint('c')] } }],
    deleted: [],
  })
  await using conntrack = await Conntrack.open({ netns: director.netns })
  t.same(await conntrack.list({ protocol: 'udp' }), [], 'flows of a server that is gone are forgotten')
  t.equal(await until('the same socket reaches the other one', () => ask().catch(() => undefined)), 'c')
})

ipvsTest(
  'a scheduler that is not there, another’s frontend, statistics, and what others change',
  async (t, sandbox) => {
    const { client, director } = (await balanced(sandbox)).hosts
    await using ipvs = await Ipvs.open({ netns: director.netns })
    await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
    const web = virtualService('web', { cluster: [endpoint('a'), endpoint('b')] }, { scheduler: 'rr' })
    const strange = virtualService(
      'strange',
      { cluster: [endpoint('a')] },
      { scheduler: 'nosuch', frontends: [{ kind: 'cluster', address: '10.96.0.60', port: 80 }] },
    )
    const same = { ...web, key: 'test/same:80/tcp/ipv4' }
    const { failures } = await dataplane.apply({ upserted: [web, strange, same], deleted: [] })
    t.same([...failures.keys()].sort(), [same.key, strange.key].sort(), 'the others are programmed')
    t.ok(isUnsupportedError(failures.get(strange.key)), 'a scheduler')
    t.match(failures.get(strange.key)?.message, 'nosuch', 'by its name')
    t.equal((await ipvs.services()).length, 1, 'of what failed nothing is there')
    t.equal((await ipvs.services())[0]!.scheduler, 'rr')
    t.match(
      (await dataplane.apply({ upserted: [{ ...web, scheduler: 'nosuch' }], deleted: [] })).failures.get(
        web.key,
      )?.message,
      'nosuch',
    )
    t.equal((await dataplane.synchronize([web])).writes, 0, 'and it is as it was')
    t.equal(
      (await dataplane.apply({ upserted: [{ ...web, scheduler: 'lc' }], deleted: [] })).writes,
      1,
      'another scheduler',
    )

    for (let count = 0; count < 4; count++) (await connect(client, to)).socket.destroy()
    const counted = await until('IPVS has counted', async () => {
      const [one] = await dataplane.stats(web.key)
      return one?.connections === 4n && one
    })
    t.ok(counted.inPackets! > 0n && counted.outBytes! > 0n)
    t.same(counted.servers.map(({ connections }) => connections).sort(), [2n, 2n])

    const changed = new Promise<void>((resolve) => {
      const stop = dataplane.watch(() => {
        stop()
        resolve()
      })
    })
    await ipvs.deleteDestination(tcpKey, endpoint('b'))
    await changed
    t.pass('somebody else’s change is told')
    t.equal((await dataplane.repair()).writes, 1, 'and mended')
    await using nftables = await Nftables.open({ netns: director.netns })
    await nftables.transaction().flush('set', { family: 'inet', table: 'viaduct', name: 'hairpin4' }).commit()
    const fewer = { ...web, scheduler: 'lc', servers: { ...web.servers, cluster: [endpoint('a')] } }
    const unasked = await dataplane.apply({ upserted: [fewer], deleted: [] })
    t.same([...unasked.failures], [], 'what a change runs into is read and mended, too')
    t.equal((await dataplane.synchronize([fewer])).writes, 0)
  },
)
ipvsTest('a client stays with its server', async (t, sandbox) => {
  const net = await serviceNetwork(sandbox)
  const { client, director, pod, servers: host } = net.hosts
  for (const place of ['a', 'b', 'c'].map((name) => endpoint(name))) {
    await host.serveTcp((socket) => socket.write(nameOf(place)), { address: place.address, port: place.port })
  }
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const servers = { cluster: [endpoint('a'), endpoint('b'), endpoint('c')], local: [endpoint('a')] }
  const frontends = [
    { kind: 'cluster', address: clusterAddress, port: 80 },
    { kind: 'external', address: '203.0.113.90', port: 8000 },
    { kind: 'node-port', port: 30_080 },
  ] as const
  const web = virtualService('web', servers, { frontends, affinitySeconds: 300 })
  const { conditions } = await dataplane.synchronize([web])
  t.same(conditions.get(web.key), [])
  const targets = [to, { address: '203.0.113.90', port: 8000 }, { address: director.address, port: 30_080 }]
  const kept = new Set<string>()
  for (const localAddress of ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4']) {
    const names: string[] = []
    for (const target of [...targets, ...targets]) {
      const { server, socket } = await connect(client, { ...target, localAddress })
      names.push(server)
      socket.destroy()
    }
    t.equal(
      Object.keys(countOf(names)).length,
      1,
      `${localAddress} stays at every address: ${names.join(' ')}`,
    )
    kept.add(names[0]!)
  }
  t.equal(kept.size, 3, 'different clients go to different servers')
  t.equal((await dataplane.synchronize([web])).writes, 0)
  t.match(await dataplane.read(), [{ affinitySeconds: 300, cluster: [{}, {}, {}], local: [] }])
  t.match(await nft(director, 'list ruleset'), 'chain learn-300', 'nft can list the table')

  // From outside only the node's own, whoever was remembered; a Pod stays with its own.
  await dataplane.apply({ upserted: [{ ...web, externalTrafficPolicy: 'local' as const }], deleted: [] })
  for (const localAddress of ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4']) {
    const { server } = await connect(client, { ...targets[1]!, localAddress })
    t.equal(server, 'a', `${localAddress} gets the server of the node`)
  }
  const inside: string[] = []
  for (const target of [...targets, ...targets]) inside.push((await connect(pod, target)).server)
  t.equal(new Set(inside).size, 1, `a Pod stays, too: ${inside.join(' ')}`)
  const left = {
    ...web,
    servers: {
      ...web.servers,
      cluster: servers.cluster.filter(({ address }) => address !== endpoint(inside[0]!).address),
      local: [],
    },
  }
  await dataplane.apply({ upserted: [left], deleted: [] })
  const then = (await connect(pod, to)).server
  t.not(then, inside[0], 'its server is gone: another one')
  t.equal((await connect(pod, targets[1]!)).server, then, 'with which it stays')
  await dataplane.apply({ upserted: [{ ...left, affinitySeconds: undefined }], deleted: [] })
  t.equal((await dataplane.synchronize([{ ...left, affinitySeconds: undefined }])).writes, 0)
  t.notMatch(await nft(director, 'list ruleset'), 'chain learn-300', 'its rules are gone')
  uses('ipvs-conntrack')
})

/** The nftables dataplane with real packets: a client outside, a node, Pods on it and a server elsewhere. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Conntrack } from '../../src/conntrack/index.js'
import { type NodeSettings, openDataplane } from '../../src/dataplane/index.js'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { nftIn } from './nft.js'
import { ask, clusterAddress, server, serviceNetwork, virtualService as service } from './services-network.js'

async function network(t: Test, node: NodeSettings = {}) {
  const { hosts, peers } = await serviceNetwork(t)
  const open = async (): Promise<NftablesDataplane> => {
    const dataplane = await openNftablesDataplane({
      netns: hosts.node.netns,
      node: { serviceRanges: ['172.30.0.0/16', 'fd30::/64'], ...node },
    })
    t.teardown(() => dataplane.close())
    return dataplane
  }
  return { hosts, peers, open }
}

for (const family of ['ipv4', 'ipv6'] as const) {
  t.test(`${family}: a cluster address reaches every server, and follows a change`, async (t) => {
    const { hosts, open } = await network(t)
    const { client, node, a, b, c } = hosts
    const dataplane = await open()
    const first = [server(a, family), server(b, family)]
    await dataplane.synchronize([service(first, { family })])
    const seen = new Set(await ask(client, clusterAddress[family], 20))
    t.same([...seen].sort(), ['a', 'b'])
    t.equal((await ask(node, clusterAddress[family]))[0]!.length, 1)
    const applied = await dataplane.apply({
      upserted: [service([server(b, family), server(c, family)], { family })],
      deleted: [],
    })
    t.equal(applied.failures.size, 0)
    const after = new Set(await ask(client, clusterAddress[family], 20))
    t.same([...after].sort(), ['b', 'c'])
    await t.rejects(ask(client, clusterAddress[family], 1, 81), { code: 'ECONNREFUSED' })
    await dataplane.apply({ upserted: [service([], { family })], deleted: [] })
    await t.rejects(ask(client, clusterAddress[family]), { code: 'ECONNREFUSED' })
  })
}

t.test('a restart adopts what is there and writes nothing; nft lists it', async (t) => {
  const { hosts, open } = await network(t, { clusterRanges: ['10.0.1.0/24', '10.0.2.0/24'] })
  const { client, node, a, b } = hosts
  const services = [
    service([server(a), server(b)], { affinitySeconds: 60 }),
    service([server(a, 'ipv4', { weight: 3 }), server(b)], {
      name: 'out',
      frontends: [
        { kind: 'external', address: '192.0.2.1', port: 80 },
        { kind: 'node-port', port: 30080 },
        { kind: 'load-balancer', address: '192.0.2.2', port: 80 },
      ],
      sourceRanges: ['10.0.0.0/24', '10.0.0.0/8'],
      externalTrafficPolicy: 'local',
    }),
    service([server(a, 'ipv6'), server(b, 'ipv6')], { family: 'ipv6', scheduler: 'rr' }),
  ]
  const one = await open()
  t.ok((await one.synchronize(services)).writes > 0)
  t.equal((await one.synchronize(services)).writes, 0)
  const other = await open()
  t.equal((await other.synchronize(services)).writes, 0)
  const listing = (await promisify(execFile)(...nftIn(node.netns, ['list', 'table', 'inet', 'viaduct'])))
    .stdout
  t.match(listing, /map services4/)
  const again = await ask(client, clusterAddress.ipv4, 10)
  t.equal(new Set(again).size, 1, 'a client stays with its server')
  await other.teardown()
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  t.same(await nftables.tables(), [])
})

t.test('a restart where somebody took away a slot puts that one back', async (t) => {
  const { hosts, open } = await network(t)
  const { client, node, a, b } = hosts
  const services = [service([server(a), server(b)])]
  await (await open()).synchronize(services)
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  const table = { family: 'inet', table: 'viaduct' } as const
  const slots = (await nftables.elements({ ...table, name: 'backends4' })).elements
  // Slot 0: what is left has a hole.
  const { key } = slots.find(({ key }) => key!.subarray(4).every((byte) => byte === 0))!
  await nftables
    .transaction()
    .delete('elements', { ...table, set: 'backends4', elements: [{ key }] })
    .commit()
  const { writes, failures } = await (await open()).synchronize(services)
  t.same([writes, failures.size], [1, 0])
  t.same([...new Set(await ask(client, clusterAddress.ipv4, 20))].sort(), ['a', 'b'])
})

t.test('a node port, with the node in between; and a server that reaches itself', async (t) => {
  const { hosts, open, peers } = await network(t)
  const { client, node, a } = hosts
  const dataplane = await open()
  await dataplane.synchronize([
    service([server(a, 'ipv4', { isLocal: true })], {
      frontends: [
        { kind: 'node-port', port: 30080 },
        { kind: 'cluster', address: clusterAddress.ipv4, port: 80 },
      ],
    }),
  ])
  t.same(await ask(client, node.address, 1, 30080), ['a'])
  t.same(peers.splice(0), [node.towards('a').address])
  t.same(await ask(node, node.address, 1, 30080), ['a'])
  peers.splice(0)
  t.same(await ask(a, clusterAddress.ipv4), ['a'])
  t.same(peers, [node.towards('a').address])
})

t.test('datagrams of a known flow leave a server that is gone', async (t) => {
  const { hosts, open } = await network(t)
  const { client, node, a, b } = hosts
  for (const host of [a, b]) {
    await host.serveUdp((_bytes, _from, reply) => reply(Buffer.from(host.name)), { port: 8080 })
  }
  const dataplane = await open()
  const frontends = [{ kind: 'external', address: '192.0.2.9', port: 80 }] as const
  const udp = (servers: Parameters<typeof service>[0]) => service(servers, { protocol: 'udp', frontends })
  const socket = await client.udp()
  const answer = async (): Promise<string> => {
    const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer]
    return message.toString()
  }
  const send = (): void => socket.send('?', 80, frontends[0].address)
  await dataplane.synchronize([])
  // A flow that begins before there is a service.
  const conntrack = await Conntrack.open({ netns: node.netns })
  t.teardown(() => conntrack.close())
  const flows = conntrack.events()
  send()
  t.match(await flows.next(), { value: { flow: { original: { destination: frontends[0].address } } } })
  await flows.return?.()
  await dataplane.apply({ upserted: [udp([server(a)])], deleted: [] })
  send()
  t.equal(await answer(), 'a')
  await dataplane.apply({ upserted: [udp([server(b)])], deleted: [] })
  send()
  t.equal(await answer(), 'b')
})

t.test('what somebody else takes away is told, and is there again after the next pass', async (t) => {
  const { hosts, open } = await network(t)
  const { client, node, a, b } = hosts
  const services = [service([server(a), server(b)])]
  const dataplane = await open()
  await dataplane.synchronize(services)
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  const place = { family: 'inet', table: 'viaduct' } as const
  const elements = await nftables.elements({ ...place, name: 'services4' })
  const slots = await nftables.elements({ ...place, name: 'backends4' })
  const acts: Record<string, () => Promise<unknown>> = {
    table: () => nftables.transaction().delete('table', { family: 'inet', name: 'viaduct' }).commit(),
    element: () =>
      nftables
        .transaction()
        .delete('elements', { ...place, set: 'services4', elements: [{ key: elements.elements[0]!.key! }] })
        .commit(),
    slot: () =>
      nftables
        .transaction()
        .delete('elements', {
          ...place,
          set: 'backends4',
          elements: slots.elements.map(({ key }) => ({ key })),
        })
        .commit(),
    rules: () =>
      nftables
        .transaction()
        .flush('chain', { ...place, name: 'dispatch' })
        .commit(),
    chain: () =>
      nftables
        .transaction()
        .delete('chain', { ...place, name: 'prerouting' })
        .commit(),
  }
  for (const [name, act] of Object.entries(acts)) {
    const told = new Promise<void>((resolve) => {
      const stop = dataplane.watch(() => {
        stop()
        resolve()
      })
    })
    await act()
    await told
    t.ok((await dataplane.repair()).writes > 0, `${name}: it differs`)
    t.equal((await dataplane.synchronize(services)).writes, 0, `${name}: and then no more`)
    t.equal((await ask(client, clusterAddress.ipv4)).length, 1)
    // Also a change alone finds out.
    await act()
    await dataplane.apply({ upserted: services, deleted: [] })
    await dataplane.apply({ upserted: [service([server(a)])], deleted: [] })
    await dataplane.apply({ upserted: services, deleted: [] })
    await dataplane.synchronize(services)
    t.equal((await dataplane.synchronize(services)).writes, 0, `${name}: a change left nothing behind`)
  }
})

t.test("a table of this name that is somebody else's is left alone", async (t) => {
  const { hosts, open } = await network(t)
  const nftables = await Nftables.open({ netns: hosts.node.netns })
  t.teardown(() => nftables.close())
  await nftables.transaction().add('table', { family: 'inet', name: 'viaduct' }).commit()
  const dataplane = await open()
  const expected = /name: expected a name that no other table of family inet has/
  await t.rejects(dataplane.synchronize([service([server(hosts.a)])]), { message: expected })
  await t.rejects(dataplane.teardown(), { message: expected })
  t.equal((await nftables.tables()).length, 1)
})

t.test('two services at one frontend: who had it keeps it', async (t) => {
  const { hosts, open } = await network(t)
  const { client, a, b } = hosts
  const dataplane = await open()
  const applied = await dataplane.synchronize([service([server(a)]), service([server(b)], { name: 'late' })])
  t.same([...applied.failures.keys()], ['default/late:80/tcp/ipv4'])
  t.match(applied.failures.values().next().value!.message, /default\/web:80\/tcp\/ipv4 has it/)
  t.same(new Set(await ask(client, clusterAddress.ipv4, 8)), new Set(['a']))
  // It changes hands within one change.
  const after = await dataplane.apply({
    upserted: [service([server(b)], { name: 'late' })],
    deleted: ['default/web:80/tcp/ipv4'],
  })
  t.equal(after.failures.size, 0)
  t.same(new Set(await ask(client, clusterAddress.ipv4, 8)), new Set(['b']))
})

t.test('connections are counted where that is asked for, and else said to be unknown', async (t) => {
  const { hosts, open } = await network(t)
  const { client, node, a, b } = hosts
  const services = [
    service([server(a), server(b)]),
    service([server(a)], {
      name: 'sticky',
      affinitySeconds: 60,
      frontends: [{ kind: 'external', address: '192.0.2.9', port: 80 }],
    }),
  ]
  const plain = await open()
  await plain.synchronize(services)
  t.same(await plain.stats(services[1]!.key), [
    { key: services[1]!.key, servers: [{ address: a.address, port: 8080 }] },
  ])
  t.same(plain.capabilities.statistics.connections, false)
  const counting = await openNftablesDataplane({ netns: node.netns, statistics: true })
  t.teardown(() => counting.close())
  await counting.synchronize(services)
  await ask(client, clusterAddress.ipv4, 10)
  await ask(client, '192.0.2.9', 5)
  const [web, sticky] = await counting.stats()
  t.equal(web!.connections, 10n)
  t.equal(
    web!.servers.reduce((sum, { connections }) => sum + connections!, 0n),
    10n,
  )
  t.same(sticky!.servers, [{ address: a.address, port: 8080, connections: 5n }])
  t.equal((await counting.synchronize(services)).writes, 0)
})

t.test('a plan says in nft what a change will do, and does nothing', async (t) => {
  const { hosts, open } = await network(t)
  const { client, a, b } = hosts
  const dataplane = await open()
  await dataplane.synchronize([service([server(a)])])
  const change = { upserted: [service([server(b)])], deleted: [] }
  const plan = await dataplane.plan(change)
  t.equal(
    String(plan),
    [
      'delete element inet viaduct backends4 { 0x00000001 . 0x00000000 }',
      `delete element inet viaduct hairpin4 { ${a.address} . ${a.address} }`,
      `add element inet viaduct backends4 { 0x00000001 . 0x00000000 : ${b.address} . 8080 }`,
      `add element inet viaduct hairpin4 { ${b.address} . ${b.address} }`,
      '',
    ].join('\n'),
  )
  t.equal(plan.writes, 4)
  t.match(
    String(await dataplane.plan({ upserted: [service([server(a), server(b)])], deleted: [] })),
    /add chain/,
  )
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
  t.equal((await dataplane.apply(change)).writes, 4)
  t.same(await ask(client, clusterAddress.ipv4), ['b'])
  await dataplane.apply({ upserted: [service([server(a), server(b)])], deleted: [] })
  t.same(new Set(await ask(client, clusterAddress.ipv4, 20)), new Set(['a', 'b']))
})

t.test('a table of another layout is replaced without a gap', async (t) => {
  const { hosts, open } = await network(t)
  const { client, node, a, b } = hosts
  const services = [service([server(a), server(b)])]
  const first = await open()
  await first.synchronize(services)
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  // Requests that come one after the other meanwhile, and a connection that was there before.
  const held = await client.connect({ address: clusterAddress.ipv4, port: 80 })
  t.teardown(() => held.destroy())
  let isOver = false
  let answered = 0
  const load = (async () => {
    while (!isOver) answered += (await ask(client, clusterAddress.ipv4)).length
  })()
  for (const comment of ['viaduct nftables, layout 0', 'viaduct nftables, layout 999']) {
    // The table of a release that is older or newer: another comment, and nothing of what we know in it.
    const table = { family: 'inet', name: 'viaduct' } as const
    const found = await nftables.ruleset({ family: 'inet', table: 'viaduct' })
    const transaction = nftables
      .transaction()
      .delete('table', table)
      .add('table', { ...table, comment })
    for (const set of found.sets) if (set.name !== 'affinity6') transaction.add('set', set)
    for (const chain of found.chains) transaction.add('chain', chain)
    for (const elements of found.elements) transaction.add('elements', elements)
    for (const rule of found.rules) transaction.add('rule', rule)
    await transaction.commit()
    const next = await open()
    t.ok((await next.synchronize(services)).writes > 0)
    const before = answered
    while (answered < before + 5) await new Promise((resolve) => setImmediate(resolve))
    t.match(await nftables.tables(), [{ name: 'viaduct', comment: 'viaduct nftables, layout 1' }])
    t.equal((await next.synchronize(services)).writes, 0)
  }
  isOver = true
  await load
  held.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  const [answer] = (await once(held, 'data', { signal: AbortSignal.timeout(5000) })) as [Buffer]
  t.match(String(answer), /^HTTP\/1.1 200/)
})

t.test('a table that the other dataplane has is left to it', async (t) => {
  const netns = NetworkNamespace.create()
  t.teardown(() => netns.close())
  await using nftables = await Nftables.open({ netns })
  const table = { family: 'inet', name: 'viaduct', comment: 'viaduct ipvs 0123456789abcdef' } as const
  await nftables.transaction().add('table', table).commit()
  await using dataplane = await openNftablesDataplane({ netns })
  await t.rejects(dataplane.synchronize([]), {
    name: 'UnsupportedError',
    message: /the ipvs dataplane has it/,
  })
  await t.rejects(dataplane.teardown(), { name: 'UnsupportedError' })
  t.match(await nftables.tables(), [table])
})

t.test('auto takes nftables where the kernel has it, and says so', async (t) => {
  const netns = NetworkNamespace.create()
  t.teardown(() => netns.close())
  const dataplane = await openDataplane({ netns })
  t.teardown(() => dataplane.close())
  t.equal(dataplane.kind, 'nftables')
  t.equal(dataplane.chosenBecause, 'the kernel has nf_tables, with tables of family inet')
  await t.rejects(openDataplane({ kind: 'ebpf' as 'auto', netns }), {
    message: /kind: expected nftables, ipvs or auto/,
  })
})

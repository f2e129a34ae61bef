/** What rules do to packets: through hosts and links of the running kernel. */
import { once } from 'node:events'
import { release } from 'node:os'
import t, { type Test } from 'tap'
import { isOlder } from '../../src/netlink/newer.js'
import {
  accept,
  addRule,
  concat,
  counter,
  ct,
  dnat,
  drop,
  endpoint4,
  goto,
  ip,
  jhash,
  jump,
  limit,
  lookup,
  masquerade,
  meta,
  NamedMap,
  NamedSet,
  Nftables,
  numgen,
  type Part,
  put,
  redirect,
  reject,
  tcp,
  tproxy,
  types,
  udp,
  VerdictMap,
  vmap,
} from '../../src/nftables/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'
import { uses } from '../lab/support/features.js'

const table = 't'
const family = 'inet'
const where = { family, table } as const

/** A client, a router with a table of ours, and two servers behind it that name themselves. */
async function network(t: Test) {
  const net = await sandbox({
    hosts: ['client', 'router', 'a', 'b'],
    links: [
      ['client', 'router'],
      ['router', 'a', 'b'],
    ],
  })
  t.teardown(() => net.close())
  const { client, router, a, b } = net.hosts
  const peers: string[] = []
  for (const host of [a, b]) {
    await host.serve(
      (request, response) => {
        peers.push(request.socket.remoteAddress!)
        response.end(host.name)
      },
      { port: 8080 },
    )
  }
  const nftables = await Nftables.open({ netns: router.netns })
  t.teardown(() => nftables.close())
  await nftables.transaction().add('table', { family, name: table }).commit()
  return { client, router, a, b, nftables, peers }
}

/** The address of a host on the client's side. */
const clientSide = (host: Host): string => host.interfaces[0]!.address

async function chain(nftables: Nftables, name: string, rules: readonly (readonly Part[])[]): Promise<void> {
  const hooks = {
    pre: { type: 'nat', hook: 'prerouting', priority: 'dstnat' },
    post: { type: 'nat', hook: 'postrouting', priority: 'srcnat' },
    forward: { hook: 'forward', priority: 'filter' },
    input: { hook: 'input', priority: 'filter' },
    mangle: { hook: 'prerouting', priority: 'mangle' },
  } as const
  const transaction = nftables.transaction()
  transaction.add('chain', { ...where, name, ...hooks[name as keyof typeof hooks] })
  for (const parts of rules) addRule(transaction, { ...where, chain: name }, ...parts)
  await transaction.commit()
}

t.test('masquerade: servers see the router, and answers come back', async (t) => {
  const { client, a, router, nftables, peers } = await network(t)
  await chain(nftables, 'post', [[ip.saddr.within('10.0.1.0/24'), masquerade()]])
  const answer = await client.fetch(`http://${a.address}:8080/`)
  t.equal(answer.text(), 'a')
  t.same(peers, [router.interfaces[1]!.address])
})

t.test('a map spreads over servers, and moves with one element', async (t) => {
  const { client, router, a, b, nftables } = await network(t)
  const backends = new NamedMap({ ...where, name: 'backends' }, types.integer32, endpoint4)
  const fill = backends.entriesOf([
    [0, [a.address, 8080]],
    [1, [b.address, 8080]],
  ])
  await nftables.transaction().add('set', backends.input).add('elements', fill).commit()
  const endpoint = lookup(numgen('incremental', { modulus: 2 }), backends)
  await chain(nftables, 'pre', [[tcp.dport.is(80), dnat({ endpoint, family: 'ip' })]])
  const ask = async (): Promise<string> => (await client.fetch(`http://${clientSide(router)}/`)).text()
  const said = [await ask(), await ask(), await ask(), await ask()]
  t.same(said.sort(), ['a', 'a', 'b', 'b'])
  // Both slots to one server: an element is replaced by deleting and adding it in one transaction.
  await nftables
    .transaction()
    .delete('elements', backends.elementsOf([1]))
    .add('elements', backends.entriesOf([[1, [a.address, 8080]]]))
    .commit()
  t.same([await ask(), await ask(), await ask()], ['a', 'a', 'a'])
})

t.test('the same source goes to the same server', async (t) => {
  const { client, router, a, b, nftables } = await network(t)
  const slots = new NamedMap({ ...where, name: 'slots' }, types.integer32, endpoint4)
  const entries = Array.from(
    { length: 16 },
    (_, slot) => [slot, [slot % 2 === 0 ? a.address : b.address, 8080]] as const,
  )
  await nftables.transaction().add('set', slots.input).add('elements', slots.entriesOf(entries)).commit()
  const endpoint = lookup(jhash(ip.saddr as never, { modulus: 16, seed: 5 }), slots)
  await chain(nftables, 'pre', [
    [ip.daddr.is(clientSide(router)), tcp.dport.is(80), dnat({ endpoint, family: 'ip' })],
  ])
  const said = new Set<string>()
  for (let round = 0; round < 6; round++)
    said.add((await client.fetch(`http://${clientSide(router)}/`)).text())
  t.equal(said.size, 1)
})

t.test('a verdict map decides for each address and port', async (t) => {
  const { client, a, b, nftables } = await network(t)
  const map = new VerdictMap({ ...where, name: 'v' }, types.concatenated([types.ipv4Addr, types.inetService]))
  await nftables
    .transaction()
    .add('set', map.input)
    .add('chain', { ...where, name: 'refuse' })
    .add(
      'elements',
      map.entriesOf([
        [[a.address, 8080], { code: 'accept' }],
        [[b.address, 8080], { code: 'goto', chain: 'refuse' }],
      ]),
    )
    .commit()
  const transaction = nftables.transaction()
  addRule(transaction, { ...where, chain: 'refuse' }, counter, reject('tcp-reset'))
  await transaction.commit()
  await chain(nftables, 'forward', [[vmap(concat(ip.daddr, tcp.dport), map)]])
  t.equal((await client.fetch(`http://${a.address}:8080/`)).text(), 'a')
  await t.rejects(client.fetch(`http://${b.address}:8080/`), { code: 'ECONNREFUSED' })
  const [rule] = await nftables.rules({ ...where, chain: 'refuse' })
  t.match(
    rule!.expressions!.find(({ name }) => name === 'counter'),
    { packets: 1n },
  )
})

t.test('a packet puts its source into a set, where it stays for its time', async (t) => {
  const { client, a, nftables } = await network(t)
  const seen = new NamedSet({ ...where, name: 'seen' }, types.ipv4Addr, {
    flags: ['timeout', 'dynamic'],
    size: 10,
  })
  await nftables.transaction().add('set', seen.input).commit()
  await chain(nftables, 'forward', [
    [tcp.dport.is(8080), put('update', seen, ip.saddr, { timeoutMilliseconds: 1000 })],
  ])
  await client.fetch(`http://${a.address}:8080/`)
  const place = { family, table, name: 'seen' } as const
  const [element] = (await nftables.elements(place)).elements
  t.same(element!.key, types.ipv4Addr.encode(client.address))
  t.ok(element!.expirationMilliseconds! <= 1000)
  const deadline = performance.now() + 20_000
  while ((await nftables.elements(place)).elements.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.same((await nftables.elements(place)).elements, [])
})

t.test('a limit lets through what it says', async (t) => {
  const { client, a, nftables } = await network(t)
  await chain(nftables, 'forward', [
    [udp.dport.is(9), limit({ rate: 1, per: 'hour', burst: 5 }), counter, accept],
    [udp.dport.is(9), counter, drop],
  ])
  const socket = await client.udp({})
  t.teardown(() => socket.close())
  for (let index = 0; index < 20; index++) {
    await new Promise<void>((resolve, reject) =>
      socket.send('x', 9, a.address, (error) => (error === null ? resolve() : reject(error))),
    )
  }
  const counters = async () =>
    (await nftables.rules({ ...where, chain: 'forward' })).map(
      ({ expressions }) =>
        (expressions!.find(({ name }) => name === 'counter') as { packets: bigint }).packets,
    )
  t.same(await counters(), [5n, 15n])
})

t.test('reject tells by ICMP, and what is established goes on', async (t) => {
  const { client, a, nftables } = await network(t)
  // Connections are tracked from the first rule on that asks for it.
  await chain(nftables, 'forward', [[ct.state.has('established', 'related'), accept]])
  const connection = await client.connect({ address: a.address, port: 8080 })
  t.teardown(() => connection.destroy())
  const transaction = nftables.transaction()
  addRule(transaction, { ...where, chain: 'forward' }, tcp.dport.is(8080), reject('admin-prohibited'))
  await transaction.commit()
  await t.rejects(client.connect({ address: a.address, port: 8080 }), { code: 'EHOSTUNREACH' })
  connection.write('GET / HTTP/1.0\r\n\r\n')
  const [data] = (await once(connection, 'data')) as [Buffer]
  t.match(data.toString(), /200 OK/)
})

t.test('redirect brings connections to this host', async (t) => {
  const { client, router, a, nftables } = await network(t)
  await router.serve((_, response) => response.end('router'), { port: 3128 })
  await chain(nftables, 'pre', [[tcp.dport.is(81), redirect({ port: 3128 })]])
  t.equal((await client.fetch(`http://${a.address}:81/`)).text(), 'router')
})

t.test('a traced packet is told place by place, with the rule that matched', async (t) => {
  const { client, a, nftables } = await network(t)
  // The second is what has connections tracked.
  await chain(nftables, 'forward', [
    [tcp.dport.is(8080), meta.nftrace.set(1)],
    [ip.daddr.is(a.address), ct.state.has('new', 'established'), counter, accept],
  ])
  const handles = (await nftables.rules({ ...where, chain: 'forward' })).map(({ handle }) => handle)
  const events = nftables.trace()
  await client.fetch(`http://${a.address}:8080/`)
  const told: unknown[] = []
  for await (const event of events) {
    t.equal(event.event, 'trace')
    if (event.event !== 'trace') break
    told.push([event.family, event.table, event.chain, event.type, event.ruleHandle, event.verdict?.code])
    // The packet's headers and its flow come with the first of them.
    const isFirst = told.length === 1
    t.equal(event.networkHeader?.[0], isFirst ? 0x45 : undefined)
    const isFlow = isFirst && !isOlder(release(), '6.16')
    t.match(event, isFlow ? { conntrackState: Number, conntrackId: Number } : { conntrackState: undefined })
    if (isFlow) uses('nftables-trace-conntrack')
    if (event.verdict?.code === 'accept') break
  }
  t.same(told, [
    [family, table, 'forward', 'rule', handles[0], 'continue'],
    [family, table, 'forward', 'rule', handles[1], 'accept'],
  ])
})

for (const version of ['IPv4', 'IPv6'] as const) {
  t.test(`a transparent proxy takes connections to somewhere else: ${version}`, async (t) => {
    const { client, router, a, nftables } = await network(t)
    const [server, address] = version === 'IPv4' ? [a.address, '127.0.0.1'] : [a.address6, '::1']
    const anywhere = version === 'IPv4' ? '0.0.0.0' : '::'
    const proxied: unknown[] = []
    const proxy = await router.serveTcp(
      (socket) => {
        proxied.push([socket.localAddress, socket.localPort])
        socket.end('the proxy')
      },
      { address: anywhere, transparent: true },
    )
    // What is marked comes to this host, whatever it is addressed to.
    const { rtnetlink } = router
    const family = version === 'IPv4' ? 'ipv4' : 'ipv6'
    await rtnetlink.rules.add({ family, firewallMark: 7, table: 100 })
    await rtnetlink.routes.add({
      destination: version === 'IPv4' ? '0.0.0.0/0' : '::/0',
      type: 'local',
      table: 100,
      device: 'lo',
    })
    await rtnetlink.links.set('lo', { up: true })
    const mine = tcp.dport.is(7000)
    await chain(nftables, 'mangle', [
      [mine, tproxy({ address, port: proxy.port }), meta.mark.set(7), counter, accept],
      [tcp.dport.is(8080), counter],
    ])
    const ask = async (port: number): Promise<string> => {
      const socket = await client.connect({ address: server, port })
      socket.end('GET / HTTP/1.0\r\n\r\n')
      const chunks: Buffer[] = []
      for await (const chunk of socket) chunks.push(chunk as Buffer)
      return Buffer.concat(chunks).toString()
    }
    t.equal(await ask(7000), 'the proxy')
    t.same(proxied, [[server, 7000]], 'it knows where they wanted to go')
    t.match(await ask(8080), /200 OK[^]*a$/, 'all others go there')
    const [taken, others] = await counted(nftables, 'mangle')
    t.ok(taken! >= 3n && others! >= 3n, 'packets of both were seen')
  })
}

/** What the counters of a chain's rules say, in their order. */
async function counted(nftables: Nftables, chain: string): Promise<bigint[]> {
  const rules = await nftables.rules({ ...where, chain })
  return rules.flatMap(({ expressions = [] }) =>
    expressions.flatMap((one) =>
      one.name === 'counter' ? [(one as { readonly packets: bigint }).packets] : [],
    ),
  )
}

/** A port where datagrams are counted, by where they came from. */
async function listener(t: Test, host: Host, port: number) {
  const socket = await host.udp({ port })
  t.teardown(() => socket.close())
  const from: string[] = []
  socket.on('message', (_, { address }) => {
    from.push(address)
    socket.emit('counted')
  })
  return {
    from,
    /** As many have come: each of them passed the router before. */
    async arrived(count: number): Promise<void> {
      while (from.length < count) await once(socket, 'counted')
    },
  }
}

/** So many datagrams of one flow, one after the other. */
async function flow(t: Test, host: Host, address: string, port: number, count: number): Promise<void> {
  const socket = await host.udp()
  t.teardown(() => socket.close())
  for (let index = 0; index < count; index++) {
    await new Promise<void>((resolve, reject) =>
      socket.send('x', port, address, (error) => (error === null ? resolve() : reject(error))),
    )
  }
}

t.test('NAT and masquerade count flows, other rules every packet', async (t) => {
  const { client, router, a, nftables } = await network(t)
  const heard = await listener(t, a, 5000)
  await chain(nftables, 'pre', [[udp.dport.is(4000), counter, dnat({ address: a.address, port: 5000 })]])
  await chain(nftables, 'post', [[udp.dport.is(5000), counter, masquerade()]])
  await chain(nftables, 'forward', [[udp.dport.is(5000), counter, accept]])
  for (const count of [5, 3, 1]) await flow(t, client, clientSide(router), 4000, count)
  await heard.arrived(9)
  t.same(new Set(heard.from), new Set([router.interfaces[1]!.address]))
  t.same(await counted(nftables, 'pre'), [3n])
  t.same(await counted(nftables, 'post'), [3n])
  t.same(await counted(nftables, 'forward'), [9n])
})

t.test('a verdict map, a limit and a set with timeouts let through what they count', async (t) => {
  const { client, a, nftables } = await network(t)
  const [plain, limited, known] = [
    await listener(t, a, 5001),
    await listener(t, a, 5003),
    await listener(t, a, 5004),
  ]
  const seen = new NamedSet({ ...where, name: 'seen' }, types.ipv4Addr, {
    flags: ['timeout', 'dynamic'],
    size: 9,
  })
  const setUp = nftables.transaction().add('set', seen.input)
  for (const name of ['taken', 'gone', 'some', 'knocked']) setUp.add('chain', { ...where, name })
  addRule(setUp, { ...where, chain: 'taken' }, counter, accept)
  addRule(setUp, { ...where, chain: 'gone' }, counter, drop)
  addRule(setUp, { ...where, chain: 'some' }, limit({ rate: 1, per: 'day', burst: 4 }), counter, accept)
  addRule(setUp, { ...where, chain: 'some' }, counter, drop)
  addRule(setUp, { ...where, chain: 'knocked' }, ip.saddr.in(seen), counter, accept)
  addRule(
    setUp,
    { ...where, chain: 'knocked' },
    put('add', seen, ip.saddr, { timeoutMilliseconds: 600_000 }),
    counter,
    drop,
  )
  await setUp.commit()
  await chain(nftables, 'forward', [
    [
      vmap(udp.dport, [
        [5001, jump('taken')],
        [5002, goto('gone')],
        [5003, jump('some')],
        [5004, jump('knocked')],
      ]),
    ],
  ])
  await flow(t, client, a.address, 5002, 6)
  await flow(t, client, a.address, 5003, 20)
  await flow(t, client, a.address, 5004, 7)
  // What was sent before has passed the router when this has come.
  await flow(t, client, a.address, 5001, 3)
  await plain.arrived(3)
  await limited.arrived(4)
  await known.arrived(6)
  t.same(await counted(nftables, 'taken'), [3n])
  t.same(await counted(nftables, 'gone'), [6n])
  t.same(await counted(nftables, 'some'), [4n, 16n])
  t.same(await counted(nftables, 'knocked'), [6n, 1n])
  t.same([plain.from.length, limited.from.length, known.from.length], [3, 4, 6])
})

t.test('every connection that is rejected is counted, and told to its client', async (t) => {
  const { client, a, nftables } = await network(t)
  await chain(nftables, 'forward', [[tcp.dport.in([8080, 8081]), counter, reject('tcp-reset')]])
  for (let attempt = 0; attempt < 4; attempt++) {
    await t.rejects(client.connect({ address: a.address, port: 8080 + (attempt % 2) }), {
      code: 'ECONNREFUSED',
    })
  }
  t.same(await counted(nftables, 'forward'), [4n])
})

/** What rtnetlink clients send, and how they read what a kernel may answer. */
import t from 'tap'
import type { KernelError } from '../../src/errors/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, viewOf, Writer } from '../../src/netlink/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import {
  addressHeader,
  linkHeader,
  neighbourHeader,
  routeHeader,
  ruleHeader,
} from '../../src/rtnetlink/headers.js'
import { field, structure } from '../../src/netlink/index.js'
import { address, group, link, message, neighbour, route, rule, tables } from '../../src/rtnetlink/wire.js'
import { type FakeAnswer, FakeKernel, fakeReply, type FakeRequest } from '../../src/testing/index.js'
import { u16, u8 } from '../../src/netlink/index.js'
import { samples, uncovered } from '../lab/support/rtnetlink-samples.js'

async function open(
  handle: (request: FakeRequest) => FakeAnswer,
): Promise<{ rt: Rtnetlink; kernel: FakeKernel }> {
  const kernel = new FakeKernel({ handle })
  return { kernel, rt: await Rtnetlink.open({ transport: kernel }) }
}
function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}
function bytesOf(
  header: { write(writer: Writer, value: never, record: object): void },
  value: object,
): Uint8Array {
  const writer = new Writer()
  header.write(writer, value as never, {})
  return writer.bytes.slice(0, writer.length)
}

/** eth0 is number 2, br0 number 3; everything else is not there. */
function links(request: FakeRequest): FakeAnswer {
  if (request.type !== message.getLink) return undefined
  const { name } = request.decode(link, 32)
  const index = ['lo', 'eth0', 'br0'].indexOf(name ?? '') + 1
  return index === 0 ? { code: 'ENODEV' } : [linkReply({ index }, { name })]
}
function linkReply(head: object, record: object) {
  return fakeReply(link, record, { type: message.newLink, header: bytesOf(linkHeader, head) })
}
const sentTo = (kernel: FakeKernel, type: number): FakeRequest => {
  const found = kernel.requests.filter((request) => request.type === type).at(-1)
  if (found === undefined) throw new Error(`nothing of type ${type} was sent`)
  return found
}
const header = <T>(structure: { read(...args: never[]): T }, request: FakeRequest): T =>
  structure.read(...([request.bytes, viewOf(request.bytes), 16, request.bytes.length - 16, {}] as never[]))

t.test('a link to make: kind, data, peer, and nothing that may exist', async (t) => {
  const { rt, kernel } = await open(links)
  await rt.links.add({
    kind: 'veth',
    name: 'v0',
    mtu: 1400,
    up: true,
    data: { peer: { name: 'v1', mtu: 1300 } },
  })
  const veth = sentTo(kernel, message.newLink)
  t.equal(veth.flags & (NLM_F_CREATE | NLM_F_EXCL | NLM_F_REPLACE), NLM_F_CREATE | NLM_F_EXCL)
  t.match(header(linkHeader, veth), { index: 0, flags: ['up'], change: ['up'] })
  t.same(veth.decode(link, 32), {
    name: 'v0',
    mtu: 1400,
    info: { kind: 'veth', data: { peer: { name: 'v1', mtu: 1300 } } },
  })
  await rt.links.add({
    kind: 'gre',
    name: 'g0',
    index: 9,
    link: 'eth0',
    data: { local: '192.0.2.1', incomingKey: 5, incomingFlags: ['key'], encapsulation: 'gue' },
  })
  const gre = sentTo(kernel, message.newLink)
  t.match(header(linkHeader, gre), { index: 9, flags: [], change: [] })
  t.match(gre.decode(link, 32), {
    link: 2,
    info: {
      kind: 'gre',
      data: { local: '192.0.2.1', incomingKey: 5, incomingFlags: ['key'], encapsulation: 'gue' },
    },
  })
})

t.test('a link is changed by its index, also when it is named', async (t) => {
  const { rt, kernel } = await open(links)
  await rt.links.set('eth0', { up: false, master: 'br0', name: 'eth9', group: 5 })
  const sent = sentTo(kernel, message.newLink)
  t.equal(sent.flags & (NLM_F_CREATE | NLM_F_REPLACE | NLM_F_EXCL), 0)
  t.match(header(linkHeader, sent), { index: 2, flags: [], change: ['up'] })
  t.same(sent.decode(link, 32), { name: 'eth9', master: 3, group: 5 })
  for (const alias of ['', null]) {
    await rt.links.set(2, { alias })
    t.same(sentTo(kernel, message.newLink).decode(link, 32), { alias: '' }, 'which takes it away')
  }
  await rt.links.set(2, { master: null })
  t.same(sentTo(kernel, message.newLink).decode(link, 32), { master: 0 })

  const before = kernel.requests.length
  t.match(await failure(rt.links.set('gone', { group: 5 })), {
    code: 'ENODEV',
    operation: 'rtnetlink.setLink',
    object: { device: 'gone' },
  })
  t.equal(kernel.requests.length, before + 1, 'with an absent name the kernel would change the whole group')
})

t.test('what a link cannot be is refused with the path that the caller knows', async (t) => {
  const { rt, kernel } = await open(links)
  const wrong: readonly (readonly [Promise<unknown>, string])[] = [
    [rt.links.add({ kind: 'sit', name: 's', data: { ttl: 256 } }), 'link.data.ttl'],
    [
      rt.links.add({ kind: 'veth', name: 'v', data: { peer: { name: 'a'.repeat(16) } } }),
      'link.data.peer.name',
    ],
    [rt.links.add({ kind: 'wireguard' as 'bridge', name: 'v' }), 'link.kind'],
    [rt.links.list({ kind: 'wireguard' as 'bridge' }), 'kind'],
    [rt.links.list({ master: 0 }), 'master'],
    [rt.links.set(1, { kind: 'wireguard' as 'bridge', data: {} }), 'link.kind'],
    [rt.links.set(1, { data: {} } as never), 'link.kind'],
    [
      rt.links.add({ kind: 'vlan', name: 'v', link: 1, data: { id: 1, flags: { gvrp: 1 as never } } }),
      'link.data.flags',
    ],
    [
      rt.links.add({ kind: 'vlan', name: 'v', link: 1, data: { id: 1, flags: { grvp: true } as object } }),
      'link.data.flags',
    ],
    [rt.links.add({ kind: 'vxlan', name: 'v', data: { id: 1, ttlInherit: false } }), 'link.data.ttlInherit'],
    [
      rt.links.add({ kind: 'vxlan', name: 'v', data: { sourcePorts: { lowest: 65536, highest: 1 } } }),
      'link.data.sourcePorts.lowest',
    ],
    [rt.links.add({ kind: 'vxlan', name: 'v', data: { remoteIpv4: '2001:db8::1' } }), 'link.data.remoteIpv4'],
    [rt.links.add({ kind: 'bridge', name: '' }), 'link.name'],
    [rt.links.add({ kind: 'bridge', name: 'b', address: '1:2' }), 'link.address'],
    [rt.links.add({ kind: 'bridge', name: 'b', ...{ alias: 'x' } }), 'link.alias'],
    // Where 4 bytes are taken, the kernel would take the first 4 of 16.
    [rt.links.add({ kind: 'ipip', name: 't', data: { local: '2001:db8::1' } }), 'link.data.local'],
    [rt.links.add({ kind: 'gre', name: 't', data: { remote: '2001:db8::1' } }), 'link.data.remote'],
    [rt.links.add({ kind: 'ip6gre', name: 't', data: { local: '192.0.2.1' } }), 'link.data.local'],
    [rt.links.add({ kind: 'sit', name: 't', data: { sixRdPrefix: '192.0.2.1' } }), 'link.data.sixRdPrefix'],
    [rt.links.set(1, { mtu: 1.5 }), 'link.mtu'],
    [rt.links.set(2 ** 40, { mtu: 1 }), 'device'],
    [rt.links.set(undefined as unknown as number, { mtu: 1 }), 'device'],
    [rt.links.set('a'.repeat(16), { mtu: 1 }), 'device'],
    [rt.links.get(0), 'device'],
    [rt.links.get('a'.repeat(16)), 'device'],
    [rt.links.delete('a'.repeat(16)), 'device'],
    [rt.links.delete(-1), 'device'],
    [rt.links.set(1, { master: 0 }), 'link.master'],
    [rt.links.add({ kind: 'gre', name: 't', link: 0 }), 'link.link'],
    [rt.links.add({ kind: 'veth', name: 'v', data: undefined as never }), 'link.data.peer'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/8', peer: '2001:db8::1/64' }), 'address.peer'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/8', broadcast: 'fe80::1' }), 'address.broadcast'],
    [rt.addresses.delete({ device: 1, address: '2001:db8::1/64', peer: '10.0.0.1' }), 'address.peer'],
    [rt.routes.add({ destination: '10.0.0.0/8', source: '2001:db8::1' }), 'route.source'],
    [rt.routes.add({ destination: '2001:db8::/32', source: '10.0.0.1' }), 'route.source'],
    [rt.routes.add({ destination: '10.0.0.0/8', from: '2001:db8::/32' }), 'route.from'],
    [rt.addresses.add({ device: 0, address: '10.0.0.1/8' }), 'address.device'],
    [rt.routes.add({ destination: '10.0.0.0/8', device: 0 }), 'route.device'],
    [rt.routes.add({ destination: '10.0.0.0/8', nextHops: [{ device: 0 }] }), 'route.nextHops[0].device'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/33' }), 'address.address'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/8', validSeconds: -1 }), 'address.validSeconds'],
    [rt.routes.add({ destination: '10.0.0.0/8', mtu: -1 }), 'route.mtu'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/8', flags: ['nodad' as 'no-dad'] }), 'address.flags'],
    [rt.addresses.add({ device: 1, address: '10.0.0.1/8', scope: 'planet' as 'site' }), 'address.scope'],
    [rt.routes.add({ destination: 'default' }), 'route.destination'],
    [rt.routes.add({ destination: '10.0.0.0/8', gateway: 'host' }), 'route.gateway'],
    [
      rt.routes.add({ destination: '10.0.0.0/8', nextHops: [{}, { gateway: '1.2.3' }] }),
      'route.nextHops[1].gateway',
    ],
    [rt.routes.add({ destination: '10.0.0.0/8', nextHops: [{ device: 1, weight: 0 }] }), 'route.nextHops'],
    [rt.routes.add({ destination: '10.0.0.0/8', table: -1 }), 'route.table'],
    [rt.routes.add({ destination: '10.0.0.0/8', metrics: { mtu: -1 } }), 'route.metrics.mtu'],
    [rt.routes.add({ destination: '10.0.0.0/8', mtu: -1, metrics: { hopLimit: 1 } }), 'route.mtu'],
    [
      rt.routes.add({ destination: '10.0.0.0/8', mtu: 1280, metrics: { hopLimit: -1 } }),
      'route.metrics.hopLimit',
    ],
    [rt.rules.add({ table: 7 }), 'rule.family'],
    [rt.rules.add({ family: 'ipx' as 'ipv4', table: 7 }), 'rule.family'],
    [rt.rules.add({ family: 'ipv4', from: '2001:db8::/32' }), 'rule.from'],
    [rt.rules.add({ from: '10.0.0.0/8', to: '2001:db8::/32' }), 'rule.to'],
    [rt.rules.add({ from: '10.0.0.0/8', sourcePorts: 65536 }), 'rule.sourcePorts.first'],
    [rt.rules.add({ from: '10.0.0.0/8', action: 'drop' as 'blackhole' }), 'rule.action'],
    [rt.rules.add({ from: '10.0.0.0/8', incomingDevice: 'a'.repeat(16) }), 'rule.incomingDevice'],
    [rt.rules.delete({ family: 'ipv4' }), 'rule'],
    [rt.rules.delete({}), 'rule'],
    [rt.neighbours.add({ device: 1, address: '10.0.0.0/8' }), 'neighbour.address'],
    [rt.neighbours.add({ device: 0, address: '10.0.0.1' }), 'neighbour.device'],
    [rt.neighbours.add({ device: 1, address: '10.0.0.1', linkAddress: '1:2' }), 'neighbour.linkAddress'],
    [rt.neighbours.add({ device: 1, address: '10.0.0.1', state: 'up' as 'none' }), 'neighbour.state'],
    [rt.neighbours.list({ device: -1 }), 'device'],
  ]
  for (const [work, path] of wrong) t.match(await failure(work), { name: 'ValidationError', path })
  t.equal(kernel.requests.length, 0)
})

t.test('what the kernel points at is told by the path that the caller knows', async (t) => {
  /** Of a request: where the last of these attributes stands, each within the one before. */
  const placeOf = (request: FakeRequest, numbers: readonly number[], header = 0): number => {
    const view = viewOf(request.bytes)
    let at = 32
    for (const [depth, number] of numbers.entries()) {
      // Only the other end of a veth pair has a header of its own: the last but one of its four.
      if (depth > 0) at += 4 + (depth === 3 ? header : 0)
      while ((view.getUint16(at + 2, true) & 0x3fff) !== number) at += (view.getUint16(at, true) + 3) & ~3
    }
    return at
  }
  const pathOf = async (
    work: (rt: Rtnetlink) => Promise<unknown>,
    refusal: (request: FakeRequest) => object,
  ): Promise<string | undefined> => {
    const { rt } = await open((request) => ({ code: 'EINVAL', ...refusal(request) }))
    return (await failure(work(rt))).attribute?.path
  }
  const path = (input: Parameters<Rtnetlink['links']['add']>[0], refusal: (request: FakeRequest) => object) =>
    pathOf((rt) => rt.links.add(input), refusal)
  const tunnel = { kind: 'ipip', name: 't', mtu: 1400, data: { local: '192.0.2.1', ttl: 7 } } as const
  t.equal(await path(tunnel, (sent) => ({ offset: placeOf(sent, [4]) })), 'link.mtu')
  t.equal(await path(tunnel, (sent) => ({ offset: placeOf(sent, [18, 2]) })), 'link.data')
  t.equal(await path(tunnel, (sent) => ({ offset: placeOf(sent, [18, 2, 4]) })), 'link.data.ttl')
  t.equal(
    await path({ ...tunnel, kind: 'gre' }, (sent) => ({ offset: placeOf(sent, [18, 2, 8]) })),
    'link.data.ttl',
  )
  t.equal(
    await path(tunnel, (sent) => ({ missing: 3, missingIn: placeOf(sent, [18, 2]) })),
    'link.data.remote',
  )
  t.equal(await path(tunnel, () => ({ missing: 5 })), 'link.link')
  const veth = { kind: 'veth', name: 'v', data: { peer: { name: 'w', mtu: 1 } } } as const
  t.equal(await path(veth, (sent) => ({ offset: placeOf(sent, [18, 2, 1, 4], 16) })), 'link.data.peer.mtu')

  await using namespace = NetworkNamespace.open()
  const moved = (rt: Rtnetlink) => rt.links.set(1, { netns: { fd: namespace.fd } })
  t.equal(await pathOf(moved, (sent) => ({ offset: placeOf(sent, [28]) })), 'link.netns')

  const given = { device: 1, address: '10.0.0.1/8', validSeconds: 1 } as const
  const address = (more: object, number: number) =>
    pathOf(
      (rt) => rt.addresses.add({ ...given, ...more }),
      () => ({ missing: number }),
    )
  t.equal(await address({}, 1), 'address.address')
  t.equal(await address({}, 2), 'address.address')
  t.equal(await address({ peer: '10.0.0.2/8' }, 1), 'address.peer')
  t.equal(await address({ peer: '10.0.0.2/8' }, 2), 'address.address')
  t.equal(await address({}, 6), 'address.validSeconds')
  const route = (number: number, more: object = {}) =>
    pathOf(
      (rt) => rt.routes.add({ destination: '10.0.0.0/8', ...more }),
      () => ({ missing: number }),
    )
  t.equal(await route(18), 'route.gateway')
  t.equal(await route(8), 'route.metrics')
  t.equal(await route(8, { mtu: 1280 }), 'route.mtu')
  t.equal(await route(8, { mtu: 1280, metrics: { hopLimit: 3 } }), 'route.metrics')
  t.equal(await route(7), 'route.source')
})

t.test('what the kernel says about a kind that it lacks, or about permission', async (t) => {
  const { rt } = await open(() => ({ code: 'EOPNOTSUPP', message: 'Unknown device type' }))
  t.match(await failure(rt.links.add({ kind: 'dummy', name: 'd0' })), {
    name: 'UnsupportedError',
    feature: 'link kind dummy',
    needs: 'the kernel module dummy (CONFIG_DUMMY)',
    cause: { code: 'EOPNOTSUPP', operation: 'rtnetlink.addLink', object: { kind: 'dummy', name: 'd0' } },
  })
  const other = await open(() => ({ code: 'EOPNOTSUPP', message: 'not this flag' }))
  t.match(await failure(other.rt.links.add({ kind: 'dummy', name: 'd0' })), {
    name: 'KernelError',
    code: 'EOPNOTSUPP',
  })
  const bare = await open(() => ({ code: 'EOPNOTSUPP' }))
  t.match(await failure(bare.rt.rules.list()), { code: 'EOPNOTSUPP', hint: /CONFIG_IP_MULTIPLE_TABLES/ })
  const without = await open(() => ({ code: 'EAFNOSUPPORT' }))
  t.same(await without.rt.rules.list({ family: 'ipv6' }), [], 'a kernel without IPv6')
  t.same(await without.rt.neighbours.list({ family: 'ipv6' }), [])
  const forbidden = await open(() => ({ code: 'EPERM' }))
  t.match(await failure(forbidden.rt.links.delete('eth0')), {
    operation: 'rtnetlink.deleteLink',
    hint: /CAP_NET_ADMIN/,
  })
})

t.test('the transport for fou is closed with the client, used or not', async (t) => {
  const generic = new FakeKernel()
  const rt = await Rtnetlink.open({ transport: new FakeKernel(), genericTransport: generic })
  rt.close()
  await t.rejects(generic.exchange(new Uint8Array(16), 16, 'batch', 1000), { code: 'EBADF' })
  t.match(await failure(rt.fou.list()), { name: 'KernelError', code: 'EBADF' })
  t.equal(generic.requests.length, 0)
  const { rt: own } = await open(() => undefined)
  own.close()
  t.match(await failure(own.fou.list()), { name: 'KernelError', code: 'EBADF' }, 'it is not opened any more')
})

t.test('what is given to a client that cannot be opened is closed', async (t) => {
  const [transport, genericTransport] = [new FakeKernel(), new FakeKernel()]
  const netns = 'viaduct-is-not-there'
  t.match(await failure(Rtnetlink.open({ transport, netns })), { code: 'ENOENT' })
  t.match(await failure(Rtnetlink.open({ genericTransport, netns })), { code: 'ENOENT' })
  for (const given of [transport, genericTransport]) {
    await t.rejects(given.exchange(new Uint8Array(16), 16, 'batch', 1000), { code: 'EBADF' })
  }
})

t.test('the first to ask for fou may fail, others do not with it', async (t) => {
  const generic = new FakeKernel({ families: [{ name: 'fou', handle: () => [] }], synchronous: false })
  await using rt = await Rtnetlink.open({ transport: new FakeKernel(), genericTransport: generic })
  generic.disturb({ fails: 'ENOMEM' })
  const [first, second] = await Promise.allSettled([rt.fou.list(), rt.fou.list()])
  t.match(first, { status: 'rejected', reason: { code: 'ENOMEM' } })
  t.match(second, { status: 'fulfilled', value: [] })
  t.same(await rt.fou.list(), [])
})

t.test('an acknowledgement is no link', async (t) => {
  const { rt } = await open(() => undefined)
  t.match(await failure(rt.links.get(7)), { name: 'MalformedMessageError' })
  t.match(
    await failure(rt.links.find(7)),
    { name: 'MalformedMessageError' },
    'nor does it say that there is none',
  )
})

t.test('a link of a kind from the future is told with all that came', async (t) => {
  const unknown = [{ type: 9, bytes: new Uint8Array([1, 2]) }]
  const { rt } = await open(() => [
    linkReply(
      { index: 7, type: '4711' },
      { name: 'x0', operationalState: '9', info: { kind: 'future', data: { unknown } } },
    ),
    linkReply({ index: 8, flags: ['up', 'bit-30'] }, { name: 'eth0' }),
  ])
  const [future, plain] = await rt.links.list()
  t.match(future, {
    index: 7,
    type: '4711',
    kind: 'future',
    data: { unknown },
    operationalState: '9',
    up: false,
  })
  t.match(plain, { kind: undefined, up: true, flags: ['up', 'bit-30'] })
})

t.test('addresses: own, peer and prefix', async (t) => {
  const reply = (head: object, record: object) =>
    fakeReply(address, record, { type: message.newAddress, header: bytesOf(addressHeader, head) })
  const { rt, kernel } = await open((request) => {
    if (request.type !== message.getAddress) return links(request)
    return [
      reply(
        { family: 'ipv4', prefixLength: 24, index: 2 },
        { address: '192.0.2.1', local: '192.0.2.1', label: 'eth0' },
      ),
      reply({ family: 'ipv4', prefixLength: 30, index: 3 }, { address: '10.0.0.2', local: '10.0.0.1' }),
      reply(
        { family: 'ipv6', prefixLength: 64, index: 2, scope: 'link' },
        { address: 'fe80::1', flags: ['no-dad'] },
      ),
      // rtnl_dump_all also asks families that are none of ours.
      reply({ family: '45', index: 2 }, {}),
    ]
  })
  const own = await rt.addresses.list({ device: 'eth0' })
  t.match(own, [
    { device: 2, family: 'ipv4', address: '192.0.2.1/24', label: 'eth0', flags: [] },
    { device: 2, family: 'ipv6', address: 'fe80::1/64', scope: 'link', flags: ['no-dad'] },
  ])
  t.match(await rt.addresses.list({ device: 3 }), [{ address: '10.0.0.1/32', peer: '10.0.0.2/30' }])
  t.equal((await rt.addresses.list({ family: 'ipv6' })).length, 1)

  await rt.addresses.add({ device: 'eth0', address: '10.0.0.1', peer: '10.0.0.2/30', validSeconds: 60 })
  const sent = sentTo(kernel, message.newAddress)
  t.match(header(addressHeader, sent), { family: 'ipv4', prefixLength: 30, scope: 'universe', index: 2 })
  t.match(sent.decode(address, 24), {
    local: '10.0.0.1',
    address: '10.0.0.2',
    lifetime: { preferredSeconds: 60, validSeconds: 60 },
  })
  await rt.addresses.delete({ device: 2, address: '127.0.0.2/8' })
  t.match(header(addressHeader, sentTo(kernel, message.deleteAddress)), { prefixLength: 8, scope: 'host' })
})

t.test('routes: what is left out, what depends on what', async (t) => {
  const { rt, kernel } = await open(links)
  const sent = async (input: Parameters<typeof rt.routes.add>[0], type: number = message.newRoute) => {
    await (type === message.newRoute ? rt.routes.add(input) : rt.routes.delete(input))
    const request = sentTo(kernel, type)
    return { ...header(routeHeader, request), ...request.decode(route, 28) }
  }
  t.match(await sent({ destination: '0.0.0.0/0', gateway: '192.0.2.1' }), {
    family: 'ipv4',
    destinationLength: 0,
    destination: undefined,
    gateway: '192.0.2.1',
    scope: 'universe',
    table: 254,
    type: 'unicast',
    protocol: 'static',
  })
  t.match(await sent({ destination: '10.0.0.0/8', device: 'eth0' }), { scope: 'link', device: 2 })
  t.match(await sent({ destination: '10.0.0.1', type: 'local', device: 'lo', table: 255 }), {
    scope: 'host',
    destinationLength: 32,
    table: 255,
  })
  t.match(await sent({ destination: '::/0', device: 'eth0', table: 1000 }), {
    family: 'ipv6',
    scope: 'universe',
    table: 1000,
  })
  t.match(await sent({ destination: '10.0.0.0/8', gateway: 'fe80::1', device: 2, onlink: true }), {
    via: 'fe80::1',
    gateway: undefined,
    flags: ['onlink'],
  })
  t.match(
    await sent({
      destination: '10.0.0.0/8',
      nextHops: [{ gateway: '192.0.2.1', weight: 3 }, { device: 'br0' }],
    }),
    {
      scope: 'universe',
      nextHops: [
        { gateway: '192.0.2.1', weight: 3, device: 0 },
        { device: 3, weight: 1 },
      ],
    },
  )
  t.match(await sent({ destination: '10.0.0.0/8' }, message.deleteRoute), {
    scope: 'nowhere',
    type: 'unspecified',
    protocol: 'unspecified',
  })
})

t.test('routes of another table or family than asked for are left out', async (t) => {
  const reply = (head: object, record: object) =>
    fakeReply(route, record, { type: message.newRoute, header: bytesOf(routeHeader, head) })
  const all = [
    reply(
      { family: 'ipv4', destinationLength: 8, table: 254 },
      { destination: '10.0.0.0', table: 254, device: 2 },
    ),
    reply({ family: 'ipv4', table: 100 }, { nextHops: [{ device: 3 }], table: 100 }),
  ]
  // As a kernel without IPv6, which answers with the routes of IPv4; and one before 4.20, which filters nothing.
  const { rt } = await open((request) => (request.type === message.getRoute ? all : links(request)))
  t.match(await rt.routes.list(), [{ destination: '10.0.0.0/8', family: 'ipv4', table: 254, device: 2 }])
  t.equal((await rt.routes.list()).length, 1)
  t.match(await rt.routes.list({ table: 'all' }), [{ table: 254 }, { table: 100, destination: '0.0.0.0/0' }])
  t.match(await rt.routes.list({ table: 'all', device: 'br0' }), [{ nextHops: [{ device: 3, weight: 1 }] }])
  const none = await open(() => ({ code: 'ENOENT', message: 'ipv4: FIB table does not exist' }))
  t.same(await none.rt.routes.list({ table: 7 }), [])
})

t.test('events of all groups as a client reads them, and one for those that were lost', async (t) => {
  const { rt, kernel } = await open(() => undefined)
  const events = rt.events()
  const told = (head: object, record: object, type: number) =>
    fakeReply(link, record, { type, header: bytesOf(linkHeader, head) })
  kernel.emit(
    group.link,
    told({ index: 7, type: '4711' }, { name: 'x0', info: { kind: 'future' } }, message.newLink),
    // A bridge's port: no link is gone.
    told({ index: 7, family: 'bridge' }, { name: 'x0' }, message.deleteLink),
    told({ index: 7 }, { name: 'x0' }, message.deleteLink),
  )
  kernel.overrun(group.ipv6Rule)
  kernel.emit(
    group.ipv6Rule,
    fakeReply(
      rule,
      { priority: 9, suppressPrefixLength: -1, from: '2001:db8::' },
      {
        type: message.newRule,
        header: bytesOf(ruleHeader, { family: 'ipv6', action: '77', fromLength: 32 }),
      },
    ),
  )
  kernel.emit(
    group.neighbour,
    // Of a bridge's forwarding table.
    fakeReply(
      neighbour,
      { linkAddress: '02:00:00:00:00:01' },
      { type: message.newNeighbour, header: bytesOf(neighbourHeader, { family: 'bridge', index: 3 }) },
    ),
  )
  const next = async () => ((await events.next()) as { readonly value: unknown }).value
  t.match(await next(), { event: 'made', kind: 'link', object: { index: 7, name: 'x0', kind: 'future' } })
  t.match(await next(), { event: 'gone', kind: 'link', object: { index: 7, name: 'x0' } })
  t.same(await next(), { event: 'resynchronise' })
  t.same(await next(), {
    event: 'made',
    kind: 'rule',
    object: {
      family: 'ipv6',
      priority: 9,
      from: '2001:db8::/32',
      tos: 0,
      action: '77',
      table: 0,
      invert: false,
      flags: [],
    },
  })
  rt.close()
  await t.rejects(events.next(), { code: 'EBADF' })
  t.same(await events.next(), { value: undefined, done: true }, 'told once')

  const own = await open(() => undefined)
  t.throws(() => own.rt.events({ signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
})

t.test('fou ports go by a family of their own, which may be absent', async (t) => {
  const generic = new FakeKernel({ families: [{ name: 'fou', handle: () => undefined }] })
  const rt = await Rtnetlink.open({ transport: new FakeKernel(), genericTransport: generic })
  t.equal(generic.requests.length, 0, 'resolved when it is needed')
  await rt.fou.add({ port: 6080, encapsulation: 'gue' })
  t.match(generic.requests.at(-1), { command: 1, family: 'fou' })
  rt.close()
  t.ok(generic.closed)
  const without = await Rtnetlink.open({
    transport: new FakeKernel(),
    genericTransport: new FakeKernel({ families: [{ name: 'other', handle: () => undefined }] }),
  })
  t.match(await failure(without.fou.list()), { name: 'UnsupportedError', feature: 'fou' })
})

t.test('structures: zero where nothing is said, refused by field, malformed when short', async (t) => {
  const pair = structure('struct pair', 8, { one: field(0, 'one', u8), two: field(4, 'two', u16) })
  const writer = new Writer()
  writer.append(new Uint8Array(64).fill(0xff))
  writer.reset()
  pair.write(writer, { two: 0x0102 }, {})
  t.same([...writer.bytes.subarray(0, writer.length)], [0, 0, 0, 0, 2, 1, 0, 0])
  t.same(pair.read(writer.bytes, writer.view, 0, 8, {}), { one: 0, two: 0x0102 })
  t.throws(() => pair.write(writer, { one: 300 }, {}), { path: 'one' } as unknown as Error)
  t.throws(() => pair.read(writer.bytes, writer.view, 0, 7, {}), /struct pair of 7 bytes/)
})

t.test('every attribute that can be written has a sample for the kernels, or a reason', (t) => {
  t.strictSame(uncovered(tables, samples), [])
  const { metrics, ...others } = samples
  const [{ hopLimit, ...most }] = metrics.records as [{ hopLimit: number }]
  t.equal(hopLimit, 9)
  t.strictSame(uncovered(tables, { ...others, metrics: { records: [most] } }), ['metrics.hopLimit'])
  t.strictSame(uncovered({ route }, { route: { ...samples.route, unsaid: {} } }), ['route.ttlPropagate'])
  t.end()
})

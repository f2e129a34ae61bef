/** Links, addresses and routes as the running kernel has them: what is made is read back, what is wrong is refused. */
import type { KernelError } from '../../src/errors/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { kernelTest } from './kernel-test.js'

const one = { hosts: ['one'] } as const
const two = { hosts: ['one', 'two'] } as const

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

kernelTest('a veth pair, its ends in two namespaces', {}, async (t, sandbox) => {
  const { one: a, two: b } = (await sandbox(two)).hosts
  const { links } = a.rtnetlink
  await links.add({
    kind: 'veth',
    name: 'left',
    address: '02:00:00:00:00:01',
    mtu: 1400,
    transmitQueueLength: 10,
    up: true,
    data: { peer: { name: 'right', address: '02:00:00:00:00:02', mtu: 1300, netns: b.netns } },
  })
  await b.rtnetlink.links.set('right', { up: true })
  await links.set('left', { alias: 'to the right' })
  const left = await links.get('left')
  const right = await b.rtnetlink.links.get('right')
  t.match(left, {
    name: 'left',
    kind: 'veth',
    type: 'ether',
    address: '02:00:00:00:00:01',
    mtu: 1400,
    transmitQueueLength: 10,
    alias: 'to the right',
    up: true,
    link: right.index,
  })
  t.match(right, { kind: 'veth', address: '02:00:00:00:00:02', mtu: 1300, up: true })
  t.ok(left.flags.includes('lower-up'), 'both ends are up, so it carries')
  t.type(left.statistics?.receivedBytes, 'bigint')
  t.equal((await links.get(left.index)).name, 'left', 'by index too')

  t.match(await failure(links.add({ kind: 'veth', name: 'left', data: { peer: { name: 'x' } } })), {
    code: 'EEXIST',
    operation: 'rtnetlink.addLink',
  })
  await links.delete('left')
  t.equal(await links.find('left'), undefined)
  t.equal(await b.rtnetlink.links.find('right'), undefined, 'both ends are gone')
  t.match(await failure(links.delete('left')), { code: 'ENODEV', object: { device: 'left' } })
})

kernelTest('a bridge and its ports', {}, async (t, sandbox) => {
  const { links } = (await sandbox(one)).hosts.one.rtnetlink
  await links.add({
    kind: 'bridge',
    name: 'br0',
    data: { ageingTime: 4200, multicastSnooping: false, priority: 7 },
  })
  await links.add({ kind: 'veth', name: 'port', master: 'br0', data: { peer: { name: 'far' } } })
  const bridge = await links.get('br0')
  t.equal(bridge.kind, 'bridge')
  t.match(bridge.data, { ageingTime: 4200, multicastSnooping: false, priority: 7, vlanFiltering: false })
  t.match(await links.get('port'), { master: bridge.index, portKind: 'bridge' })
  await links.set('port', { master: null })
  t.match(await links.get('port'), { master: undefined, portKind: undefined })
  await links.set('port', { master: bridge.index })
  t.equal((await links.list()).filter(({ master }) => master === bridge.index).length, 1)
})

kernelTest('a link is changed: down, name, MTU, address, namespace', {}, async (t, sandbox) => {
  const { one: a, two: b } = (await sandbox(two)).hosts
  const { links } = a.rtnetlink
  await links.add({ kind: 'bridge', name: 'before', index: 77, up: true })
  await links.set('before', { up: false, mtu: 1280, address: '02:00:00:00:00:09' })
  t.match(await links.get(77), { up: false, mtu: 1280, address: '02:00:00:00:00:09' })
  await links.set(77, { name: 'after' })
  t.equal(await links.find('before'), undefined)
  await links.set('after', { families: { ipv6: { addressGeneration: 'none' } } })
  t.equal((await links.get('after')).families?.ipv6?.addressGeneration, 'none')
  t.match(await failure(links.set('after', { mtu: 1 })), {
    code: 'EINVAL',
    operation: 'rtnetlink.setLink',
    object: { device: 'after', mtu: 1 },
    kernelMessage: 'mtu less than device minimum',
  })
  t.match(
    await failure(links.set('after', { netns: b.netns })),
    { code: 'EINVAL' },
    'a bridge stays where it is',
  )
  await links.add({ kind: 'veth', name: 'goes', data: { peer: { name: 'stays' } } })
  await links.set('goes', { netns: b.netns, name: 'came' })
  t.equal((await b.rtnetlink.links.get('came')).kind, 'veth')
})

kernelTest('addresses of both families', {}, async (t, sandbox) => {
  const { addresses, links } = (await sandbox(one)).hosts.one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  await addresses.add({ device: 'br0', address: '192.0.2.1/24', broadcast: '192.0.2.255', label: 'br0:1' })
  await addresses.add({ device: 'br0', address: '10.0.0.1', peer: '10.0.0.2/31' })
  await addresses.add({
    device: 'br0',
    address: '2001:db8::1/64',
    flags: ['no-dad', 'no-prefix-route'],
    metric: 7,
    validSeconds: 3600,
    preferredSeconds: 60,
  })
  const all = await addresses.list({ device: 'br0' })
  t.match(all, [
    {
      address: '192.0.2.1/24',
      broadcast: '192.0.2.255',
      label: 'br0:1',
      scope: 'universe',
      flags: ['permanent'],
    },
    { address: '10.0.0.1/32', peer: '10.0.0.2/31', family: 'ipv4' },
    { address: '2001:db8::1/64', family: 'ipv6', metric: 7, lifetime: { preferredSeconds: 60 } },
  ])
  t.same(all[2]?.flags, ['no-dad', 'no-prefix-route'])
  t.match(await failure(addresses.add({ device: 'br0', address: '192.0.2.1/24' })), {
    code: 'EEXIST',
    operation: 'rtnetlink.addAddress',
    object: { device: 'br0', address: '192.0.2.1/24' },
  })
  await addresses.replace({ device: 'br0', address: '2001:db8::1/64', flags: ['no-dad'], validSeconds: 7200 })
  await addresses.delete({ device: 'br0', address: '192.0.2.1/24' })
  await addresses.delete({ device: 'br0', address: '10.0.0.1', peer: '10.0.0.2/31' })
  const left = await addresses.list({ device: 'br0' })
  t.match(left, [{ address: '2001:db8::1/64' }])
  t.equal(left.length, 1)
  t.match(await failure(addresses.delete({ device: 'br0', address: '192.0.2.1/24' })), {
    code: 'EADDRNOTAVAIL',
  })
  t.match(await failure(addresses.add({ device: 'br9', address: '192.0.2.1/24' })), {
    code: 'ENODEV',
    operation: 'rtnetlink.addAddress',
  })
})

kernelTest(
  'routes: gateways, devices, tables, sources, metrics, several next hops',
  {},
  async (t, sandbox) => {
    const { addresses, links, routes } = (await sandbox(one)).hosts.one.rtnetlink
    await links.add({ kind: 'bridge', name: 'br0', up: true })
    await addresses.add({ device: 'br0', address: '192.0.2.1/24' })
    await addresses.add({ device: 'br0', address: '192.0.2.9/24' })
    await addresses.add({ device: 'br0', address: '2001:db8::1/64', flags: ['no-dad'] })
    const br0 = (await links.get('br0')).index
    const made = [
      { destination: '0.0.0.0/0', gateway: '192.0.2.2', source: '192.0.2.9' },
      { destination: '198.51.100.0/24', device: 'br0', metric: 5, mtu: 1280 },
      { destination: '203.0.113.0/24', gateway: '2001:db8::2', device: 'br0' },
      {
        destination: '10.0.0.0/8',
        nextHops: [{ gateway: '192.0.2.3', weight: 3 }, { gateway: '192.0.2.4' }],
      },
      { destination: '10.1.0.0/16', type: 'unreachable' },
      { destination: '2001:db8:1::/48', gateway: '2001:db8::2', metric: 9 },
      { destination: '192.0.2.128/25', gateway: '192.0.2.2', table: 1000 },
      { destination: '2001:db8:2::/48', type: 'blackhole', table: 1000 },
    ] as const
    for (const route of made) await routes.add(route)
    const found = new Map((await routes.list({ table: 'all' })).map((route) => [route.destination, route]))
    t.match(found.get('0.0.0.0/0'), {
      gateway: '192.0.2.2',
      source: '192.0.2.9',
      device: br0,
      protocol: 'static',
    })
    t.match(found.get('198.51.100.0/24'), { device: br0, metric: 5, scope: 'link', metrics: { mtu: 1280 } })
    t.match(found.get('203.0.113.0/24'), { gateway: '2001:db8::2', family: 'ipv4' })
    t.match(found.get('10.0.0.0/8'), {
      nextHops: [
        { gateway: '192.0.2.3', weight: 3, device: br0 },
        { gateway: '192.0.2.4', weight: 1, device: br0 },
      ],
    })
    t.match(found.get('10.1.0.0/16'), { type: 'unreachable' })
    t.match(found.get('2001:db8:1::/48'), { gateway: '2001:db8::2', metric: 9, family: 'ipv6' })
    t.match(found.get('192.0.2.128/25'), { table: 1000 })
    t.match(found.get('2001:db8:2::/48'), { table: 1000, type: 'blackhole' })
    t.same(
      (await routes.list({ table: 1000 })).map(({ destination }) => destination),
      ['192.0.2.128/25', '2001:db8:2::/48'],
    )
    t.same(await routes.list({ table: 4711 }), [], 'a table that does not exist')
    t.equal((await routes.list({ device: 'lo' })).length, 0)

    t.match(await failure(routes.add({ destination: '0.0.0.0/0', gateway: '192.0.2.3' })), {
      code: 'EEXIST',
      operation: 'rtnetlink.addRoute',
      object: { destination: '0.0.0.0/0', gateway: '192.0.2.3' },
    })
    await routes.replace({ destination: '0.0.0.0/0', gateway: '192.0.2.3' })
    t.match(
      (await routes.list({ family: 'ipv4' })).filter(({ destination }) => destination === '0.0.0.0/0'),
      [{ gateway: '192.0.2.3', source: undefined }],
    )
    for (const { destination, ...more } of made) {
      await routes.delete({ destination, ...('table' in more ? { table: more.table } : {}) })
    }
    t.match(await failure(routes.delete({ destination: '0.0.0.0/0' })), { code: 'ESRCH' })
    t.same(await routes.list({ table: 1000 }), [])
    t.match(await failure(routes.add({ destination: '10.0.0.0/8', gateway: '8.8.8.8' })), {
      code: 'ENETUNREACH',
      kernelMessage: 'Nexthop has invalid gateway',
    })
  },
)

kernelTest('the namespace may be a descriptor, a path or a process', {}, async (t, sandbox) => {
  const { one: host } = (await sandbox(one)).hosts
  await host.rtnetlink.links.add({ kind: 'bridge', name: 'br7' })
  for (const netns of [{ fd: host.netns.fd }, { path: `/proc/self/fd/${host.netns.fd}` }]) {
    const rt = await Rtnetlink.open({ netns })
    t.equal((await rt.links.get('br7')).kind, 'bridge')
    await rt[Symbol.asyncDispose]()
    t.match(await failure(rt.links.list()), { code: 'EBADF' })
  }
  const here = await Rtnetlink.open({ netns: { pid: process.pid } })
  t.equal(await here.links.find('br7'), undefined)
  here.close()
})

kernelTest('the alias of a link is taken away again', {}, async (t, sandbox) => {
  const { links } = (await sandbox(one)).hosts.one.rtnetlink
  for (const none of ['', null]) {
    await links.set('lo', { alias: 'itself' })
    t.equal((await links.get('lo')).alias, 'itself')
    await links.set('lo', { alias: none })
    t.equal((await links.get('lo')).alias, undefined)
  }
})

kernelTest(
  'fou stays in the namespace that the client was opened in, whatever its name is then',
  {},
  async (t) => {
    const name = `viaduct-fou-${process.pid}`
    const namespace = NetworkNamespace.createNamed(name)
    const rt = await Rtnetlink.open({ netns: name })
    namespace.close()
    NetworkNamespace.delete(name)
    try {
      // On a kernel without fou that is what is missing, and not the namespace.
      const ports = await rt.fou.list().catch((error: unknown) => error)
      if (Array.isArray(ports)) t.same(ports, [])
      else t.match(ports, { name: 'UnsupportedError', feature: 'fou' })
    } finally {
      rt.close()
    }
  },
)

kernelTest('a thousand links and routes in one list', { timeoutSeconds: 120 }, async (t, sandbox) => {
  const { links, routes } = (await sandbox(one)).hosts.one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  const many = Array.from({ length: 1000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`)
  await Promise.all(many.map((destination) => routes.add({ destination, device: 'br0' })))
  t.same(new Set((await routes.list()).map(({ destination }) => destination)), new Set(many))
  for (let index = 0; index < 100; index++) await links.add({ kind: 'bridge', name: `many${index}` })
  t.equal((await links.list()).length, 102)
})

kernelTest('a link of index 0 is none, and changes no group', {}, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const { links } = one.rtnetlink
  const before = (await links.get('lo')).mtu
  for (const device of [0, -1, 1.5]) {
    await t.rejects(links.set(device, { group: 0, mtu: 1280 }), {
      code: 'ERR_VIADUCT_VALIDATION',
      path: 'device',
    })
  }
  t.equal((await links.get('lo')).mtu, before)
})

kernelTest('an address of the other family never comes to the kernel', {}, async (t, sandbox) => {
  const { addresses, routes } = (await sandbox(one)).hosts.one.rtnetlink
  const wrong: readonly (readonly [Promise<unknown>, string])[] = [
    [addresses.add({ device: 'lo', address: '10.0.0.1/8', broadcast: '2001:db8::1' }), 'address.broadcast'],
    [addresses.add({ device: 'lo', address: '10.0.0.2/8', peer: '2001:db8::1/32' }), 'address.peer'],
    [routes.add({ destination: '10.1.0.0/16', device: 'lo', source: '2001:db8::1' }), 'route.source'],
  ]
  for (const [work, path] of wrong) t.match(await failure(work), { name: 'ValidationError', path })
  const left = await addresses.list({ device: 'lo', family: 'ipv4' })
  t.same(
    left.filter(({ address }) => address.startsWith('10.')),
    [],
  )
  t.same(await routes.list({ family: 'ipv4' }), [])
})

kernelTest('what the kernel refuses is named as the caller named it', {}, async (t, sandbox) => {
  const { links } = (await sandbox(one)).hosts.one.rtnetlink
  // One byte where the kernel's policy has four.
  const short = (type: number) => ({ unknown: [{ type, bytes: new Uint8Array(1) }] })
  t.match(await failure(links.add({ kind: 'bridge', name: 'br0', data: short(1) })), {
    attribute: { path: 'link.data.forwardDelay' },
  })
  t.match(await failure(links.add({ kind: 'veth', name: 'v', data: { peer: { name: 'w', ...short(4) } } })), {
    attribute: { path: 'link.data.peer.mtu' },
  })
})

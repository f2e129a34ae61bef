/** Routes as the running kernel has them: types, tables, metrics, several next hops. iproute2 reads the same. */
import type { KernelError } from '../../src/errors/index.js'
import type { RouteInput } from '../../src/rtnetlink/index.js'
import type { Host } from '../../src/testing/index.js'
import { ip } from './ip.js'
import { kernelTest, type MakeSandbox } from './kernel-test.js'

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

/** A host with a link that has a network of both families. */
async function host(sandbox: MakeSandbox): Promise<Host> {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const { addresses, links } = one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  await addresses.add({ device: 'br0', address: '192.0.2.1/24' })
  await addresses.add({ device: 'br0', address: '2001:db8::1/64', flags: ['no-dad'] })
  return one
}

/** What `ip route` says of one destination of a table. */
async function said(
  one: Host,
  destination: string,
  table: number,
): Promise<Record<string, unknown> | undefined> {
  const family = destination.includes(':') ? '-6' : '-4'
  return (await ip(one, family, 'route', 'show', 'table', String(table)))?.find(
    ({ dst }) => dst === destination,
  )
}

kernelTest('routes of every type, in both families', {}, async (t, sandbox) => {
  const one = await host(sandbox)
  const { routes } = one.rtnetlink
  const types = ['unicast', 'local', 'blackhole', 'unreachable', 'prohibit', 'throw', 'anycast'] as const
  const more = ['broadcast', 'multicast'] as const
  for (const family of ['ipv4', 'ipv6'] as const) {
    // IPv6 has no broadcast; its multicast routes are for multicast destinations.
    for (const [at, type] of [...types, ...(family === 'ipv4' ? more : [])].entries()) {
      const destination = family === 'ipv4' ? `10.${at}.0.0/16` : `2001:db8:${at + 1}::/48`
      const needsDevice = ['unicast', 'local', 'anycast', ...more].includes(type)
      await routes.add({ destination, type, table: 1000, ...(needsDevice ? { device: 'br0' } : {}) })
      const [read] = await routes.list({ table: 1000, type, family })
      t.match(read, { destination, type, table: 1000, family }, `${family} ${type}`)
      const told = await said(one, destination, 1000)
      if (told !== undefined) t.equal(told['type'], type, `${family} ${type}`)
      await routes.delete({ destination, type, table: 1000 })
      t.same(await routes.list({ table: 1000 }), [])
    }
  }
})

kernelTest('metrics, preference and realm', {}, async (t, sandbox) => {
  const one = await host(sandbox)
  const { routes } = one.rtnetlink
  const metrics = {
    window: 1002,
    advertisedMss: 1007,
    hopLimit: 9,
    initialCongestionWindow: 10,
    initialReceiveWindow: 12,
    quickAcknowledgement: 1,
    congestionControl: 'reno',
  }
  const made: readonly RouteInput[] = [
    {
      destination: '198.51.100.0/24',
      gateway: '192.0.2.2',
      mtu: 1280,
      metrics,
      realm: 0x0001_0002,
      table: 1000,
    },
    { destination: '2001:db8:1::/48', gateway: '2001:db8::2', metrics, preference: 'high', table: 1000 },
  ]
  for (const route of made) await routes.add(route)
  const found = await routes.list({ table: 1000 })
  t.match(found, [
    { destination: '198.51.100.0/24', metrics: { mtu: 1280, ...metrics }, realm: 0x0001_0002 },
    { destination: '2001:db8:1::/48', metrics, preference: 'high' },
  ])
  const told = await said(one, '198.51.100.0/24', 1000)
  if (told !== undefined) {
    t.match(told, {
      metrics: [
        { mtu: 1280, window: 1002, advmss: 1007, hoplimit: 9, initcwnd: 10, initrwnd: 12, quickack: 1 },
      ],
    })
    t.match(await said(one, '2001:db8:1::/48', 1000), { pref: 'high' })
  }
})

kernelTest('several next hops with their weights, replaced at once', {}, async (t, sandbox) => {
  const one = await host(sandbox)
  const { routes } = one.rtnetlink
  const destinations = [
    ['198.51.100.0/24', '192.0.2'],
    ['2001:db8:1::/48', '2001:db8:'],
  ] as const
  for (const [destination, network] of destinations) {
    const gateway = (number: number) => `${network}${network.includes(':') ? ':' : '.'}${number}`
    const hops = (...weights: readonly number[]) =>
      weights.map((weight, at) => ({ gateway: gateway(at + 2), weight, device: 'br0' }))
    await routes.add({ destination, nextHops: hops(3, 1, 256) })
    const find = async () =>
      (await routes.list({ device: 'br0' })).find((each) => each.destination === destination)
    t.match((await find())?.nextHops, [
      { gateway: gateway(2), weight: 3 },
      { gateway: gateway(3), weight: 1 },
      { gateway: gateway(4), weight: 256 },
    ])
    const told = await said(one, destination, 254)
    if (told !== undefined) {
      t.match(told['nexthops'], [
        { gateway: gateway(2), dev: 'br0', weight: 3 },
        { gateway: gateway(3), dev: 'br0', weight: 1 },
        { gateway: gateway(4), dev: 'br0', weight: 256 },
      ])
    }
    await routes.replace({ destination, nextHops: hops(7, 8) })
    t.match((await find())?.nextHops, [{ weight: 7 }, { weight: 8 }])
    t.equal((await find())?.nextHops?.length, 2)
    await routes.replace({ destination, gateway: gateway(9) })
    t.match(await find(), { gateway: gateway(9), nextHops: undefined })
    t.match(await failure(routes.add({ destination, gateway: gateway(8) })), { code: 'EEXIST' })
    await routes.delete({ destination })
    t.equal(await find(), undefined)
  }
})

kernelTest('the same destination in several tables, and with several metrics', {}, async (t, sandbox) => {
  const { routes } = (await host(sandbox)).rtnetlink
  const destination = '198.51.100.0/24'
  for (const table of [100, 1000, 4_294_967_295]) await routes.add({ destination, device: 'br0', table })
  for (const metric of [5, 6]) await routes.add({ destination, device: 'br0', metric })
  const found = await routes.list({ table: 'all', device: 'br0', family: 'ipv4', protocol: 'static' })
  t.same(
    found.map(({ table, metric }) => [table, metric]).sort(([a], [b]) => a! - b!),
    [
      [100, undefined],
      [254, 5],
      [254, 6],
      [1000, undefined],
      [4_294_967_295, undefined],
    ],
  )
  await routes.delete({ destination, metric: 6 })
  await routes.delete({ destination, table: 1000 })
  t.match(await failure(routes.delete({ destination, table: 1000 })), { code: 'ESRCH' })
  t.same(
    (await routes.list({ protocol: 'static' })).map(({ metric }) => metric),
    [5],
  )
})

kernelTest('a next hop object is named by its number', {}, async (t, sandbox) => {
  const one = await host(sandbox)
  const { routes } = one.rtnetlink
  t.match(await failure(routes.add({ destination: '198.51.100.0/24', nextHopId: 7 })), {
    code: 'EINVAL',
    kernelMessage: 'Nexthop id does not exist',
  })
  if ((await ip(one, 'nexthop', 'add', 'id', '7', 'via', '192.0.2.2', 'dev', 'br0')) === undefined) return
  await routes.add({ destination: '198.51.100.0/24', nextHopId: 7 })
  t.match(
    (await routes.list()).find((each) => each.destination === '198.51.100.0/24'),
    { nextHopId: 7, gateway: '192.0.2.2', scope: 'universe' },
  )
})

/** The plan of a sandbox: addresses, names and routes, without a kernel. */
import t from 'tap'
import { planSandbox, type SandboxLayout } from '../../src/testing/layout.js'

function routesOf(layout: SandboxLayout<string>): Record<string, string[]> {
  return Object.fromEntries(
    planSandbox(layout).hosts.map(({ name, routes }) => [
      name,
      routes.map(({ destination, gateway }) => `${destination} ${gateway}`),
    ]),
  )
}

t.test('links are numbered in their order, hosts in the order of the link', async (t) => {
  const { hosts, links } = planSandbox({
    hosts: ['a', 'b', 'c'],
    links: [
      ['b', 'a'],
      ['a', 'b', 'c'],
    ],
  })
  t.match(hosts[0]?.interfaces, [
    {
      device: 'eth0',
      towards: ['b'],
      address: '10.0.1.2',
      address6: 'fd00:1::2',
      addresses: ['10.0.1.2/24', 'fd00:1::2/64'],
      hardwareAddress: '02:00:00:00:01:02',
      mtu: 1500,
    },
    { device: 'eth1', towards: ['b', 'c'], address: '10.0.2.1', address6: 'fd00:2::1' },
  ])
  t.match(hosts[2]?.interfaces, [
    { device: 'eth0', address: '10.0.2.3', hardwareAddress: '02:00:00:00:02:03' },
  ])
  t.same(
    links.map(({ isSwitched }) => isSwitched),
    [false, true],
  )
})

t.test('networks of their own, across a byte, or none', async (t) => {
  const [a, b] = planSandbox({
    hosts: ['a', 'b'],
    links: [{ hosts: ['a', 'b'], ipv4: '192.0.2.254/16', ipv6: null }],
  }).hosts
  t.match(a?.interfaces, [{ address: '192.0.2.255', address6: '', addresses: ['192.0.2.255/16'] }])
  t.match(b?.interfaces, [{ address: '192.0.3.0', addresses: ['192.0.3.0/16'] }])
})

t.test('a link has no more hosts than it has addresses for', async (t) => {
  const plan = (count: number, more: object = {}) => {
    const hosts = Array.from({ length: count }, (_, index) => `h${index}`)
    return planSandbox({ hosts, links: [{ hosts, ...more }] })
  }
  const refused = (count: number, more?: object) =>
    t.throws(() => plan(count, more), { name: 'ValidationError', path: 'links[0]', value: count })
  t.match(plan(254).hosts.at(-1)?.interfaces, [{ address: '10.0.1.254' }])
  refused(255)
  const wide = { ipv4: '10.1.0.0/16' }
  t.match(plan(255, wide).hosts.at(-1)?.interfaces, [{ hardwareAddress: '02:00:00:00:01:ff' }])
  refused(256, wide)
  t.match(plan(2, { ipv4: '192.0.2.0/30' }).hosts[1]?.interfaces, [{ address: '192.0.2.2' }])
  refused(3, { ipv4: '192.0.2.0/30' })
  refused(3, { ipv4: '192.0.2.252/24' })
  refused(2, { ipv4: '192.0.2.1/32' })
  t.match(plan(3, { ipv4: null, ipv6: 'fd00::/126' }).hosts[2]?.interfaces, [{ address6: 'fd00::3' }])
  refused(4, { ipv4: null, ipv6: 'fd00::/126' })
})

t.test('who forwards, and where everything else goes', async (t) => {
  const chain: SandboxLayout<string> = {
    hosts: ['client', 'r1', 'r2', 'server'],
    links: [
      ['client', 'r1'],
      ['r1', 'r2'],
      ['r2', 'server'],
    ],
  }
  t.same(
    planSandbox(chain).hosts.map(({ forwarding }) => forwarding),
    [false, true, true, false],
  )
  t.same(routesOf(chain), {
    client: ['0.0.0.0/0 10.0.1.2', '::/0 fd00:1::2'],
    r1: ['0.0.0.0/0 10.0.2.2', '::/0 fd00:2::2'],
    r2: ['0.0.0.0/0 10.0.2.1', '::/0 fd00:2::1'],
    server: ['0.0.0.0/0 10.0.3.1', '::/0 fd00:3::1'],
  })
  const star: SandboxLayout<string> = {
    hosts: ['client', 'director', 'a', 'b'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b'],
    ],
  }
  t.same(routesOf(star), {
    client: ['0.0.0.0/0 10.0.1.2', '::/0 fd00:1::2'],
    director: [],
    a: ['0.0.0.0/0 10.0.2.1', '::/0 fd00:2::1'],
    b: ['0.0.0.0/0 10.0.2.1', '::/0 fd00:2::1'],
  })
  t.match(
    routesOf({
      ...star,
      settings: {
        client: { defaultRoute: false },
        a: { defaultRoute: 'b' },
        b: {
          routes: [
            { destination: '192.0.2.0/24', via: 'a' },
            { destination: '2001:db8::/32', via: 'fe80::1' },
          ],
        },
        director: { forwarding: false },
      },
    }),
    {
      client: [],
      a: ['0.0.0.0/0 10.0.2.3', '::/0 fd00:2::3'],
      b: ['192.0.2.0/24 10.0.2.2', '2001:db8::/32 fe80::1'],
    },
  )
})

t.test('more addresses: on lo, or towards a host', async (t) => {
  const plan = planSandbox({
    hosts: ['a', 'b'],
    links: [['a', 'b']],
    settings: { a: { addresses: ['192.0.2.1/32', { address: '198.51.100.1/32', towards: 'b' }] } },
  })
  t.same(plan.hosts[0]?.ownAddresses, ['192.0.2.1/32'])
  t.same(plan.hosts[0]?.interfaces[0]?.addresses, ['10.0.1.1/24', 'fd00:1::1/64', '198.51.100.1/32'])
  const far = { a: { addresses: [{ address: '198.51.100.1/32', towards: 'c' }] } }
  t.throws(() => planSandbox({ hosts: ['a', 'b', 'c'], links: [['a', 'b']], settings: far }), {
    path: 'settings.a.addresses',
  } as unknown as Error)
})

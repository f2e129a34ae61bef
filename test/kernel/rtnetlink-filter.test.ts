/** Lists of a part: the kernel sends that part alone (NETLINK_GET_STRICT_CHK), and nothing is missed. */
import { forEachMessage, NETLINK_ROUTE, openSocket, type Transport, viewOf } from '../../src/netlink/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { message } from '../../src/rtnetlink/wire.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'

/** A client, and how many objects of a type the kernel has sent to it in dumps. */
async function counting(host: Host) {
  const transport = openSocket({ protocol: NETLINK_ROUTE, netns: host.netns })
  let sent = 0
  const counted: Transport = {
    exchangeSync: transport.exchangeSync?.bind(transport),
    async exchange(...request) {
      const replies = await transport.exchange(...request)
      forEachMessage(replies.bytes, viewOf(replies.bytes), (type) => {
        if (types.has(type)) sent++
      })
      return replies
    },
    close: () => transport.close(),
  }
  const rt = await Rtnetlink.open({ transport: counted })
  return {
    rt,
    /** What a list returned, and how many the kernel sent for it. */
    list: async <T>(listed: Promise<readonly T[]>): Promise<{ found: readonly T[]; sent: number }> => {
      sent = 0
      const found = await listed
      return { found, sent }
    },
  }
}
const types = new Set<number>([
  message.newLink,
  message.newAddress,
  message.newRoute,
  message.newRule,
  message.newNeighbour,
])

kernelTest('the kernel sends what the filter says, and no more', {}, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const { links, addresses, neighbours, routes, rules } = one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  for (const [name, number] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    await links.add({ kind: 'veth', name, up: true, data: { peer: { name: `${name}-far` } } })
    await links.set(name, { families: { ipv6: { addressGeneration: 'none' } } })
    await addresses.add({ device: name, address: `10.${number}.0.1/24` })
    await addresses.add({ device: name, address: `2001:db8:${number}::1/64`, flags: ['no-dad'] })
    await neighbours.add({
      device: name,
      address: `10.${number}.0.7`,
      linkAddress: '02:00:00:00:00:07',
    })
    await routes.add({ destination: '10.9.0.0/16', device: name, table: 1000, metric: number })
    await routes.add({ destination: '2001:db8:9::/48', device: name, table: 1000, metric: number })
    await routes.add({ destination: `10.8.${number}.0/24`, type: 'blackhole', table: 1000, protocol: 'bgp' })
  }
  await rules.add({ family: 'ipv6', table: 1000, priority: 5 })
  await links.set('a', { master: 'br0' })
  const a = (await links.get('a')).index
  const { rt, list } = await counting(one)
  try {
    const check = async <T extends object>(
      what: string,
      listed: Promise<readonly T[]>,
      expected: readonly object[],
    ): Promise<void> => {
      const { found, sent } = await list(listed)
      t.match(found, expected, what)
      t.equal(found.length, expected.length, what)
      t.equal(sent, expected.length, `${what}: the kernel filters`)
    }
    await check('links by kind', rt.links.list({ kind: 'bridge' }), [{ name: 'br0' }])
    await check('links by master', rt.links.list({ master: 'br0' }), [{ name: 'a' }])
    await check('addresses by device', rt.addresses.list({ device: 'a' }), [
      { device: a, address: '10.1.0.1/24' },
      { device: a, address: '2001:db8:1::1/64' },
    ])
    await check('addresses by device and family', rt.addresses.list({ device: 'a', family: 'ipv6' }), [
      { address: '2001:db8:1::1/64' },
    ])
    for (const device of ['gone', 999]) {
      const wrong = { code: 'ENODEV', operation: /^rtnetlink\.list(Addresses|Routes)$/, object: { device } }
      await t.rejects(rt.addresses.list({ device }), wrong)
      await t.rejects(rt.routes.list({ device }), wrong)
    }
    await check('routes by table and device', rt.routes.list({ table: 1000, device: 'a' }), [
      { destination: '10.9.0.0/16', metric: 1 },
      { destination: '2001:db8:9::/48', metric: 1 },
    ])
    await check('routes by type', rt.routes.list({ table: 1000, type: 'blackhole' }), [
      { destination: '10.8.1.0/24' },
      { destination: '10.8.2.0/24' },
    ])
    await check('routes by protocol', rt.routes.list({ table: 'all', protocol: 'bgp', family: 'ipv4' }), [
      { destination: '10.8.1.0/24' },
      { destination: '10.8.2.0/24' },
    ])
    await check('neighbours by device', rt.neighbours.list({ device: 'a', family: 'ipv4' }), [
      { address: '10.1.0.7' },
    ])
    await check('neighbours by master', rt.neighbours.list({ master: 'br0', family: 'ipv4' }), [
      { address: '10.1.0.7' },
    ])
    await check('rules by family', rt.rules.list({ family: 'ipv6' }), [{}, {}, {}])
    // What no kernel filters is looked at here.
    const ofTable = await list(rt.rules.list({ table: 1000 }))
    t.match(ofTable.found, [{ priority: 5 }])
    t.ok(ofTable.sent > 1)
    const free = await list(rt.links.list({ master: null, kind: 'veth' }))
    t.same(free.found.map(({ name }) => name).sort(), ['a-far', 'b', 'b-far'])
    t.equal(free.sent, 4)
  } finally {
    rt.close()
  }
})

/** Links that a usual kernel has as modules: made, read back, and packets through every kind of tunnel. */
import { execFileSync } from 'node:child_process'
import type { LinkInput } from '../../src/rtnetlink/index.js'
import { kernelTest } from '../kernel/kernel-test.js'
import { isFeature, uses } from './support/features.js'

const timeoutSeconds = 240

kernelTest('a dummy link', { needs: { links: ['dummy'] }, timeoutSeconds }, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const { links, addresses, routes } = one.rtnetlink
  await links.add({ kind: 'dummy', name: 'd0', address: '02:00:00:00:00:07', mtu: 1234, up: true })
  t.match(await links.get('d0'), { kind: 'dummy', address: '02:00:00:00:00:07', mtu: 1234, up: true })
  await addresses.add({ device: 'd0', address: '192.0.2.1/24' })
  t.match(await routes.list({ device: 'd0' }), [{ destination: '192.0.2.0/24', source: '192.0.2.1' }])
  uses('link-dummy')
})

type Tunnel = Extract<LinkInput, { kind: 'ipip' | 'sit' | 'ip6tnl' | 'gre' | 'ip6gre' }>
type Data = NonNullable<Tunnel['data']>

/** Each kind, what else it is given (read back as given), and which family goes inside. */
const tunnels: readonly (readonly [kind: Tunnel['kind'], inside: 'ipv4' | 'ipv6', given: Data])[] = [
  ['ipip', 'ipv4', { ttl: 33, pathMtuDiscovery: true }],
  ['sit', 'ipv6', { ttl: 34, protocol: 'ipv6' }],
  ['ip6tnl', 'ipv4', { hopLimit: 35, protocol: 'ipip', encapsulationLimit: 3 }],
  [
    'gre',
    'ipv4',
    { ttl: 36, incomingKey: 7, outgoingKey: 7, incomingFlags: ['key'], outgoingFlags: ['key'] },
  ],
  ['ip6gre', 'ipv6', { ttl: 37, incomingFlags: ['checksum'], outgoingFlags: ['checksum'] }],
]

for (const [kind, inside, given] of tunnels) {
  kernelTest(
    `${inside} through ${kind}`,
    { needs: { links: [kind] }, timeoutSeconds },
    async (t, sandbox) => {
      const { left, right } = (await sandbox({ hosts: ['left', 'right'], links: [['left', 'right']] })).hosts
      const outside = kind.startsWith('ip6') ? 'address6' : 'address'
      for (const [host, other, number] of [
        [left, right, 1],
        [right, left, 2],
      ] as const) {
        const data = { ...given, local: host[outside], remote: other[outside] }
        await host.rtnetlink.links.add({ kind, name: 'tunnel', up: true, data } as Tunnel)
        t.match(await host.rtnetlink.links.get('tunnel'), { kind, up: true, data })
        const address = inside === 'ipv4' ? `192.0.2.${number}/24` : `2001:db8::${number}/64`
        await host.rtnetlink.addresses.add({
          device: 'tunnel',
          address,
          flags: inside === 'ipv6' ? ['no-dad'] : [],
        })
      }
      const far = inside === 'ipv4' ? '192.0.2.2' : '2001:db8::2'
      t.equal((await left.ping(far, { deadlineMilliseconds: 10_000 })).address, far)
      const { statistics } = await right.rtnetlink.links.get('tunnel')
      t.ok(statistics !== undefined && statistics.receivedPackets > 0n, 'it came through the tunnel')
      if (isFeature(`link-${kind}`)) uses(`link-${kind}`)
    },
  )
}

// Debian's user-mode Linux has fou's receiving side alone (no CONFIG_NET_FOU_IP_TUNNELS): not scheduled there.
const encapsulations = process.env['VIADUCT_LAB'] === 'uml' ? [] : (['fou', 'gue'] as const)
for (const encapsulation of encapsulations) {
  kernelTest(
    `ipip within ${encapsulation}`,
    { needs: { links: ['ipip'] }, timeoutSeconds },
    async (t, sandbox) => {
      const { left, right } = (await sandbox({ hosts: ['left', 'right'], links: [['left', 'right']] })).hosts
      // Its family of generic netlink is the one that the kernel does not load when it is asked for.
      execFileSync('modprobe', ['fou'])
      const port = { port: 5555, encapsulation: encapsulation === 'gue' ? 'gue' : 'direct' } as const
      for (const [host, other, number] of [
        [left, right, 1],
        [right, left, 2],
      ] as const) {
        await host.rtnetlink.fou.add(encapsulation === 'gue' ? port : { ...port, protocol: 'ipip' })
        const data = {
          local: host.address,
          remote: other.address,
          encapsulation,
          encapsulationDestinationPort: 5555,
          encapsulationSourcePort: 4444,
          encapsulationFlags: ['checksum'] as const,
        }
        await host.rtnetlink.links.add({ kind: 'ipip', name: 'tunnel', up: true, data })
        t.match(await host.rtnetlink.links.get('tunnel'), { data })
        await host.rtnetlink.addresses.add({ device: 'tunnel', address: `192.0.2.${number}/24` })
      }
      t.match(await right.rtnetlink.fou.list(), [{ ...port, family: 'ipv4' }])
      t.equal((await left.ping('192.0.2.2', { deadlineMilliseconds: 10_000 })).address, '192.0.2.2')
      await t.rejects(right.rtnetlink.fou.add(port), { code: 'EADDRINUSE', operation: 'fou.add' })
      await right.rtnetlink.fou.delete(port)
      t.same(await right.rtnetlink.fou.list(), [])
    },
  )
}

kernelTest('over a switch, and SCTP beside a kernel that has it', { timeoutSeconds }, async (t, sandbox) => {
  // It then aborts what it does not know: the answer from user space counts all the same.
  execFileSync('modprobe', ['sctp'])
  const { a, b, c } = (await sandbox({ hosts: ['a', 'b', 'c'], links: [['a', 'b', 'c']] })).hosts
  await b.serve((_, response) => response.end('b'), { port: 80 })
  t.equal((await a.fetch(`http://${b.address}/`)).text(), 'b')
  t.equal((await a.fetch(`http://[${b.address6}]/`)).text(), 'b')
  await c.serveSctp({ port: 9000, name: 'c' })
  t.match(await a.sctpInit({ to: c.address, port: 9000, deadlineMilliseconds: 20_000 }), { name: 'c' })
  t.match(await a.sctpInit({ to: c.address6, port: 9000, deadlineMilliseconds: 20_000 }), { name: 'c' })
  await t.rejects(a.sctpInit({ to: c.address, port: 9001, deadlineMilliseconds: 20_000 }), {
    code: 'ECONNREFUSED',
  })
})

/** Links of the kinds that the running kernel has: what is given comes back, and iproute2 reads the same. */
import { isUnsupportedError, type KernelError } from '../../src/errors/index.js'
import { kinds, type LinkInput, type LinkKind } from '../../src/rtnetlink/index.js'
import { requires } from '../../src/testing/index.js'
import { asGiven, knownHere, linkOf, samples } from '../lab/support/rtnetlink-samples.js'
import { ip } from './ip.js'
import { kernelTest } from './kernel-test.js'

const pair = { hosts: ['one', 'two'], links: [['one', 'two']] } as const

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

/** Those that are made of more than a usual kernel has are for the lab. */
const here = (['vlan', 'macvlan', 'ipvlan', 'vxlan', 'geneve'] as const).filter(
  (kind) => requires({ links: [kind] }) === undefined,
)

for (const kind of here) {
  kernelTest(`every attribute of ${kind}, here`, {}, async (t, sandbox) => {
    const { links } = (await sandbox(pair)).hosts.one.rtnetlink
    for (const whole of samples[kind].records) {
      const record = knownHere(kinds[kind], whole)
      await links.add(linkOf(kind, record, 'eth0'))
      const read = (await links.get('sample')).data
      t.strictSame(asGiven(read, record), record, Object.keys(record).join(', '))
      await links.delete('sample')
    }
  })
}

/** What iproute2 calls them: of `linkinfo.info_data`. */
const toldByIp: readonly (readonly [LinkInput, object])[] = [
  [
    {
      kind: 'vxlan',
      name: 'sample',
      data: {
        id: 42,
        remoteIpv4: '10.0.1.2',
        localIpv4: '10.0.1.1',
        ttl: 7,
        destinationPort: 4789,
        learning: false,
        proxy: true,
        routeShortCircuit: true,
        l2Miss: true,
        l3Miss: true,
        ageingSeconds: 111,
        mostAddresses: 77,
        sourcePorts: { lowest: 5000, highest: 6000 },
        groupPolicy: true,
        udpChecksum: false,
        dontFragment: 'set',
      },
    },
    {
      id: 42,
      remote: '10.0.1.2',
      local: '10.0.1.1',
      ttl: 7,
      port: 4789,
      learning: false,
      proxy: true,
      rsc: true,
      l2miss: true,
      l3miss: true,
      ageing: 111,
      limit: 77,
      port_range: { low: 5000, high: 6000 },
      gbp: true,
      udp_csum: false,
      df: 'set',
    },
  ],
  [
    {
      kind: 'macvlan',
      name: 'sample',
      link: 'eth0',
      data: {
        mode: 'source',
        addressChange: 'set',
        sourceAddresses: ['02:00:00:00:00:21'],
        broadcastQueueLength: 5000,
      },
    },
    { mode: 'source', macaddr_count: 1, macaddr_data: ['02:00:00:00:00:21'], bcqueuelen: 5000 },
  ],
  [
    {
      kind: 'vlan',
      name: 'sample',
      link: 'eth0',
      data: { id: 77, protocol: '802.1ad', flags: { gvrp: true, 'reorder-header': false } },
    },
    { protocol: '802.1ad', id: 77, flags: ['GVRP'] },
  ],
  [
    { kind: 'ipvlan', name: 'sample', link: 'eth0', data: { mode: 'l3s', flags: ['vepa'] } },
    { mode: 'l3s', mode_flag: 'vepa' },
  ],
  [
    {
      kind: 'geneve',
      name: 'sample',
      data: { id: 5, remoteIpv4: '10.0.1.2', ttl: 7, destinationPort: 6082 },
    },
    { id: 5, remote: '10.0.1.2', ttl: 7, port: 6082 },
  ],
]

for (const [input, told] of toldByIp) {
  const { kind, name } = input
  if (!(here as readonly LinkKind[]).includes(kind)) continue
  kernelTest(`a ${kind} link is to iproute2 what it was made as`, {}, async (t, sandbox) => {
    const { one } = (await sandbox(pair)).hosts
    await one.rtnetlink.links.add(input)
    t.match(await one.rtnetlink.links.get(name), { kind, data: { ...input.data, addressChange: undefined } })
    const said = await ip(one, 'link', 'show', name)
    if (said !== undefined) t.match(said, [{ linkinfo: { info_kind: kind, info_data: told } }])
  })
}

kernelTest('a kind that the kernel lacks is named with its module', {}, async (t, sandbox) => {
  const { links } = (await sandbox(pair)).hosts.one.rtnetlink
  for (const kind of Object.keys(kinds) as LinkKind[]) {
    const data = kind === 'veth' ? { peer: { name: 'other' } } : kind === 'vlan' ? { id: 5 } : { id: 6 }
    const input = linkOf(kind, kind === 'veth' || 'id' in kinds[kind].rows ? data : {}, 'eth0')
    const made = await links.add(input).catch((error: unknown) => error)
    if (made === undefined) await links.delete('sample')
    else if (!isUnsupportedError(made)) t.match(made, { code: 'EINVAL' }, `${kind}: a tunnel without ends`)
    else t.match(made, { feature: `link kind ${kind}`, needs: /^the kernel module \w+ \(CONFIG_\w+\)$/ })
    t.equal(requires({ links: [kind] }) !== undefined, isUnsupportedError(made), `${kind}: as tests are told`)
  }
})

kernelTest(
  "what a kind has of its own is changed with the kind's name beside it",
  { needs: { links: ['vxlan', 'macvlan'] } },
  async (t, sandbox) => {
    const { links } = (await sandbox(pair)).hosts.one.rtnetlink
    await links.add({ kind: 'bridge', name: 'br0' })
    await links.set('br0', { kind: 'bridge', data: { ageingTime: 4300, priority: 7 }, mtu: 1400 })
    t.match(await links.get('br0'), { mtu: 1400, data: { ageingTime: 4300, priority: 7 } })
    await links.add({ kind: 'vxlan', name: 'vx', data: { id: 7, remoteIpv4: '10.0.1.2' } })
    await links.set('vx', { kind: 'vxlan', data: { learning: false, ageingSeconds: 55 } })
    t.match(await links.get('vx'), { data: { id: 7, learning: false, ageingSeconds: 55 } })
    t.match(await failure(links.set('vx', { kind: 'vxlan', data: { destinationPort: 4789 } })), {
      code: 'EOPNOTSUPP',
      kernelMessage: 'Cannot change port',
    })
    t.match(await failure(links.set('vx', { kind: 'bridge', data: { ageingTime: 1 } })), {
      code: 'EOPNOTSUPP',
    })
    await links.add({ kind: 'macvlan', name: 'mv', link: 'eth0', data: { mode: 'source' } })
    const addresses = ['02:00:00:00:00:21', '02:00:00:00:00:22']
    for (const sourceAddress of addresses) {
      await links.set('mv', { kind: 'macvlan', data: { addressChange: 'add', sourceAddress } })
    }
    const { data } = (await links.get('mv')) as Extract<LinkInput, { kind: 'macvlan' }>
    t.same([...(data?.sourceAddresses ?? [])].sort(), addresses)
    await links.set('mv', { kind: 'macvlan', data: { addressChange: 'flush' } })
    t.match(await links.get('mv'), { data: { sourceAddressCount: 0 } })
  },
)

kernelTest(
  'a macvlan link in another namespace than the one below',
  { needs: { links: ['macvlan'] } },
  async (t, sandbox) => {
    const { one, two } = (await sandbox(pair)).hosts
    await one.rtnetlink.links.add({
      kind: 'macvlan',
      name: 'mv',
      link: 'eth0',
      netns: two.netns,
      data: { mode: 'bridge' },
    })
    t.equal(await one.rtnetlink.links.find('mv'), undefined)
    const eth0 = (await one.rtnetlink.links.get('eth0')).index
    t.match(await two.rtnetlink.links.get('mv'), { kind: 'macvlan', link: eth0, data: { mode: 'bridge' } })
  },
)

kernelTest('links of one kind, and ports of one bridge', {}, async (t, sandbox) => {
  const { links } = (await sandbox({ hosts: ['one'] })).hosts.one.rtnetlink
  for (const name of ['br0', 'br1']) await links.add({ kind: 'bridge', name })
  for (const name of ['a', 'b', 'c']) {
    await links.add({ kind: 'veth', name, data: { peer: { name: `${name}-far` } } })
  }
  await links.set('a', { master: 'br0' })
  await links.set('b', { master: 'br0' })
  await links.set('c', { master: 'br1' })
  const names = async (filter: Parameters<typeof links.list>[0]) =>
    (await links.list(filter)).map(({ name }) => name)
  t.same(await names({ kind: 'bridge' }), ['br0', 'br1'])
  t.same(await names({ master: 'br0' }), ['b', 'a'].sort())
  t.same(await names({ master: 'br1', kind: 'veth' }), ['c'])
  t.same(await names({ master: 'br1', kind: 'bridge' }), [])
  t.same(await names({ master: null, kind: 'veth' }), ['a-far', 'b-far', 'c-far'])
  for (const kind of Object.keys(kinds) as LinkKind[]) {
    const found = await links.list({ kind })
    t.ok(
      found.every((link) => link.kind === kind),
      `${kind}: of a kind that is not loaded the kernel would tell all`,
    )
  }
  t.match(await failure(links.list({ master: 'br9' })), { code: 'ENODEV', operation: 'rtnetlink.listLinks' })
})

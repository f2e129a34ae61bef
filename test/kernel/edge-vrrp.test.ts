/** Two virtual routers of ours on one network. */
import { parseAddress } from '../../src/address/index.js'
import { writeIpv4Packet, writeIpv6Packet } from '../../src/edge/vrrp/ip-header.js'
import { downInterval } from '../../src/edge/vrrp/machine.js'
import { writeAdvertisement } from '../../src/edge/vrrp/packet.js'
import { openRaw } from '../../src/net/index.js'
import { kernelTest } from './kernel-test.js'
import { startLeader, until } from './support/edge.js'
import { seeded } from './support/seeds.js'

const network = { hosts: ['one', 'two', 'client'], links: [['one', 'two', 'client']] } as const
const router = { virtualRouterId: 51, intervalCentiseconds: 10, addresses: ['10.0.1.100'] }
const router6 = { ...router, addresses: ['fd00:1::100'] }
/** What a busy machine may take longer. */
const grace = 200

for (const [what, settings, peersOf] of [
  ['IPv4, by multicast', router, undefined],
  ['IPv4, to peers', router, (one: string, two: string) => [[two], [one]]],
  ['IPv6, by multicast', router6, undefined],
  ['IPv6, to peers', router6, (one: string, two: string) => [[two], [one]]],
] as const) {
  kernelTest(`one of two is master: ${what}`, {}, async (t, sandbox) => {
    const { one, two } = (await sandbox(network)).hosts
    const isIpv6 = settings === router6
    const own = isIpv6 ? 'address6' : 'address'
    const [peersOfOne, peersOfTwo] = peersOf?.(one[own], two[own]) ?? []
    const first = await startLeader(one, {
      ...settings,
      priority: 200,
      peers: peersOfOne,
      leastHopLimit: 255,
    })
    const second = await startLeader(two, {
      ...settings,
      priority: 100,
      peers: peersOfTwo,
      leastHopLimit: 255,
    })
    try {
      await first.until('acquired')
      await until(() => second.leader.status().received >= 3)
      t.same(second.told, [], 'the other stays backup')
      t.match(second.leader.status(), {
        state: 'backup',
        heard: { source: first.leader.status().source, priority: 200 },
        dropped: {},
      })
      // It steps down, and the other does not wait for its silence.
      const resigned = performance.now()
      await first.leader.resign()
      t.match(first.told.at(-1), { event: 'lost', reason: 'it has resigned' })
      const took = (await second.until('acquired')) - resigned
      t.ok(took < 100 * (156 / 256) + grace, `taken over at once: ${took} ms`)
      t.equal(first.leader.status().state, 'initialize')
      // It comes back, and is the better one.
      first.leader.compete()
      await first.until('acquired')
      await second.until('lost')
      t.match(second.told.at(-1), { reason: `${first.leader.status().source} is master, with priority 200` })
    } finally {
      await first.leader.close()
      await second.leader.close()
    }
    t.match(second.told.map(({ event }) => event).slice(0, 2), ['acquired', 'lost'])
  })
}

kernelTest(
  'a master that falls silent is followed within three intervals and the skew',
  {},
  async (t, sandbox) => {
    const { one, two } = (await sandbox(network)).hosts
    const first = await startLeader(one, { ...router, priority: 200 })
    const second = await startLeader(two, { ...router, priority: 100 })
    try {
      await first.until('acquired')
      await until(() => second.leader.status().received >= 2)
      const silent = performance.now()
      await one.rtnetlink.links.set('eth0', { up: false })
      t.match(await first.until('lost').then(() => first.told.at(-1)), { reason: 'eth0 is down' })
      const took = (await second.until('acquired')) - silent
      t.comment(`${Math.round(took)} ms of at most ${downInterval(100, 10)}`)
      t.ok(took <= downInterval(100, 10) + grace)
      // Its interface comes back, and so does it.
      await one.rtnetlink.links.set('eth0', { up: true })
      await first.until('acquired')
      await second.until('lost')
    } finally {
      await first.leader.close()
      await second.leader.close()
    }
  },
)

kernelTest('health lowers the priority, or puts aside', {}, async (t, sandbox) => {
  const { one, two } = (await sandbox(network)).hosts
  let effect: number | 'fault' = 0
  const first = await startLeader(one, { ...router, priority: 200, health: () => effect })
  const second = await startLeader(two, { ...router, priority: 150 })
  try {
    await first.until('acquired')
    effect = 100
    await second.until('acquired')
    await first.until('lost')
    t.equal(first.leader.status().priority, 100)
    effect = 0
    await first.until('acquired')
    effect = 'fault'
    first.leader.checkHealth()
    t.match(first.leader.status(), { state: 'initialize', reason: 'its health is at fault' })
    await second.until('acquired')
    effect = NaN
    first.leader.checkHealth()
    t.equal(first.leader.status().state, 'initialize', 'no number is a fault, too')
    effect = 50
    await until(() => first.leader.status().state === 'backup')
    t.equal(first.leader.status().priority, 150)
  } finally {
    await first.leader.close()
    await second.leader.close()
  }
})

kernelTest('without pre-emption the master stays', {}, async (t, sandbox) => {
  const { one, two } = (await sandbox(network)).hosts
  const first = await startLeader(one, { ...router, priority: 100 })
  await first.until('acquired')
  const second = await startLeader(two, { ...router, priority: 200, preempt: false })
  try {
    await until(() => second.leader.status().received >= 8)
    t.equal(second.leader.status().state, 'backup')
    t.ok(first.leader.isLeader)
  } finally {
    await first.leader.close()
    await second.leader.close()
  }
})

kernelTest('advertisements that do not count', {}, async (t, sandbox) => {
  const { one, client } = (await sandbox(network)).hosts
  const random = seeded(t)
  const { leader } = await startLeader(one, { ...router, priority: 50 })
  const socket = openRaw({ netns: client.netns, device: 'eth0', protocol: 112, headerIncluded: true })
  try {
    const source = parseAddress(client.address)!
    const group = parseAddress('224.0.0.18')!
    const good = { virtualRouterId: 51, priority: 254, intervalCentiseconds: 10, addresses: ['10.0.1.100'] }
    const send = (packet: Uint8Array): void => socket.send(packet, { address: '224.0.0.18' })
    const packetOf = (advertisement: typeof good, change?: (packet: Uint8Array) => void): Uint8Array => {
      const packet = writeIpv4Packet(source, group, writeAdvertisement(advertisement, source, group))
      change?.(packet)
      return packet
    }
    const bad = {
      'hop-limit': packetOf(good, (packet) => (packet[8] = 254)),
      checksum: packetOf(good, (packet) => (packet[22] = 255)),
      'other-router': packetOf({ ...good, virtualRouterId: 52 }),
      length: packetOf({ ...good, addresses: ['10.0.1.100', '10.0.1.101'] }, (packet) => (packet[23] = 1)),
    }
    for (const [fault, packet] of Object.entries(bad)) {
      // Multicast gets lost where nobody has time to take it.
      await until(() => {
        const isDropped = fault in leader.status().dropped
        if (!isDropped) send(packet)
        return isDropped
      })
    }
    t.strictSame(Object.keys(leader.status().dropped).sort(), Object.keys(bad).sort())
    for (let count = 0; count < 300; count++) {
      const length = random.below(80)
      const payload = Uint8Array.from({ length }, () => random.below(256))
      if (random.once(2)) payload[0] = 0x31
      send(writeIpv4Packet(source, group, payload))
    }
    // Behind all of it, as often as it takes.
    const before = leader.status().dropped['other-router']!
    await until(() => {
      send(bad['other-router'])
      return leader.status().dropped['other-router']! > before
    })
    t.equal(leader.status().received, 0)
    await until(() => leader.isLeader)
    // A good one does: the test itself sends what is right.
    send(packetOf(good))
    await until(() => !leader.isLeader)
    t.match(leader.status(), { state: 'backup', heard: { source: client.address, priority: 254 } })
  } finally {
    socket.close()
    await leader.close()
  }
})

kernelTest('advertisements of IPv6 that have passed a router do not count', {}, async (t, sandbox) => {
  const { one, client } = (await sandbox(network)).hosts
  const group = 'ff02::12'
  const { leader } = await startLeader(one, { ...router6, priority: 50 })
  const { leader: peered } = await startLeader(one, {
    ...router6,
    virtualRouterId: 52,
    priority: 50,
    peers: [client.address6],
    leastHopLimit: 255,
  })
  const { index } = await client.rtnetlink.links.get('eth0')
  const local = (await client.rtnetlink.addresses.list({ device: 'eth0', family: 'ipv6' })).find(
    ({ scope }) => scope === 'link',
  )!
  const linkLocal = parseAddress(local.address.split('/')[0]!)!
  const socket = openRaw({
    netns: client.netns,
    device: 'eth0',
    family: 'ipv6',
    protocol: 112,
    headerIncluded: true,
  })
  try {
    const send = (to: string, source: Uint8Array, virtualRouterId: number, hopLimit: number): void => {
      const advertisement = { ...router6, virtualRouterId, priority: 254 }
      const target = parseAddress(to)!
      const packet = writeIpv6Packet(source, target, writeAdvertisement(advertisement, source, target))
      packet[7] = hopLimit
      socket.send(packet, { address: to, interfaceIndex: to === group ? index : undefined })
    }
    const own = parseAddress(client.address6)!
    const sendAll = (hopLimit: number): void => {
      send(group, linkLocal, 51, hopLimit)
      send(one.address6, own, 52, hopLimit)
    }
    await until(() => leader.isLeader && peered.isLeader)
    for (const hopLimit of [254, 64, 1]) sendAll(hopLimit)
    for (const each of [leader, peered]) {
      await until(() => (each.status().dropped['hop-limit'] ?? 0) === 3)
      t.equal(each.status().received, 0)
      t.ok(each.isLeader, 'however good the sender says it is')
    }
    // The same with 255 counts.
    sendAll(255)
    for (const each of [leader, peered]) await until(() => !each.isLeader)
  } finally {
    socket.close()
    await leader.close()
    await peered.close()
  }
})

kernelTest('to peers: others are not listened to', {}, async (t, sandbox) => {
  const { one, two, client } = (await sandbox(network)).hosts
  const first = await startLeader(one, { ...router, priority: 100, peers: [client.address] })
  const stranger = await startLeader(two, { ...router, priority: 200, peers: [one.address] })
  try {
    await stranger.until('acquired')
    await until(() => (first.leader.status().dropped['unknown-sender'] ?? 0) > 3)
    await first.until('acquired')
    t.equal(first.leader.status().received, 0)
  } finally {
    await first.leader.close()
    await stranger.leader.close()
  }
})

kernelTest('groups are joined and left', {}, async (t, sandbox) => {
  const { one, two } = (await sandbox(network)).hosts
  const { index } = await one.rtnetlink.links.get('eth0')
  for (const [family, group] of [
    ['ipv4', '224.0.0.18'],
    ['ipv6', 'ff02::12'],
  ] as const) {
    const socket = openRaw({ netns: one.netns, family, device: 'eth0', protocol: 112 })
    const members = () => one.readFile(family === 'ipv4' ? '/proc/net/igmp' : '/proc/net/igmp6')
    const written = family === 'ipv4' ? '120000E0' : 'ff020000000000000000000000000012'
    socket.joinGroup(group, index)
    t.match(members(), written)
    t.throws(() => socket.joinGroup(group, index), { code: 'EADDRINUSE', operation: 'datagram.joinGroup' })
    socket.leaveGroup(group, index)
    t.notMatch(members(), written)
    t.throws(() => socket.leaveGroup(group, index), { code: 'EADDRNOTAVAIL' })
    t.throws(() => socket.joinGroup(group, 9999), { code: 'ENODEV' })
    t.throws(() => socket.joinGroup(family === 'ipv4' ? 'ff02::12' : '224.0.0.18', index), TypeError)
    socket.close()
    t.throws(() => socket.joinGroup(group, index), { code: 'EBADF' })
  }
  t.ok(two)
})

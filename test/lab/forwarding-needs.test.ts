/** What docs/guides/forwarding-methods.md says about each method: what it needs, what it costs, what else it does. */
import { once } from 'node:events'
import type { Test } from 'tap'
import { type DestinationInput, Ipvs, type ServiceKey } from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere, uses } from './support/features.js'
import { type Case, cases, network, type Network, port, realPort } from './support/forwarding.js'
import { nft } from './support/nft.js'
import { until } from './support/until.js'

const all = cases()
const named = (name: string): Case => all.find((one) => one.name === name)!
const keyOf = ({ address }: Case): ServiceKey => ({ protocol: 'udp', address, port })

interface Bench extends Network {
  readonly ipvs: Ipvs
}

interface Question {
  readonly address: string
  readonly from: string
  readonly bytes?: number | undefined
  readonly mark?: number | undefined
}

/** A datagram that has been sent, and what may come back. */
async function send(host: Host, { address, from, bytes = 4, mark }: Question) {
  const socket = await host.udp({ address: from, mark })
  const message = once(socket, 'message', { signal: AbortSignal.timeout(30_000) })
  // An error that comes back is for those who look for it.
  socket.on('error', () => undefined)
  socket.send(new Uint8Array(bytes), port, address)
  return {
    async answer(): Promise<{ text: string; from: string }> {
      const [text, { address }] = (await message) as [Buffer, { address: string }]
      return { text: String(text), from: address }
    },
    async close(): Promise<void> {
      message.catch(() => undefined)
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

/** Who answers, and from where. */
async function ask(host: Host, question: Question): Promise<{ text: string; from: string }> {
  const sent = await send(host, question)
  try {
    return await sent.answer()
  } finally {
    await sent.close()
  }
}

/** Sends a datagram that is to be dropped, and waits until something has counted that. */
async function sendInVain(
  client: Host,
  one: Case,
  what: string,
  count: () => number | Promise<number>,
): Promise<void> {
  const before = await count()
  const sent = await send(client, one)
  try {
    await until(what, async () => (await count()) > before || undefined)
  } finally {
    await sent.close()
  }
}

/** Says its name, and who asks. */
async function serveUdp(host: Host, address: string, own: number, name = host.name): Promise<void> {
  await host.serveUdp((_, from, reply) => reply(Buffer.from(`${name} ${from.address}`)), {
    address,
    port: own,
  })
}

const receiveErrors = async (host: Host, device: string): Promise<number> =>
  Number((await host.rtnetlink.links.get(device)).statistics?.receiveErrors)

/** Of a file below /proc/net: names in one line, numbers in the next, both behind the name of their group. */
function counter(host: Host, file: string, group: string, name: string): number {
  const [names, numbers] = host
    .readFile(`/proc/net/${file}`)
    .split('\n')
    .filter((line) => line.startsWith(`${group}:`))
    .map((line) => line.split(' '))
  return Number(numbers![names!.indexOf(name)])
}

/** Packets from addresses that cannot be, of all processors together. */
function martians(host: Host): number {
  const [names, ...lines] = host
    .readFile('/proc/net/stat/rt_cache')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const column = names!.indexOf('in_martian_src')
  return lines.reduce((sum, numbers) => sum + Number.parseInt(numbers[column]!, 16), 0)
}

/** Bytes of the outer headers, by the tunnel and the family outside. */
const headerBytes: Readonly<Record<string, number>> = {
  'ipip over ipv4': 20,
  'ipip over ipv6': 40,
  'gue over ipv4': 32,
  'gue over ipv6': 52,
  'gue+checksum over ipv4': 32,
  'gue+checksum over ipv6': 52,
  'gue+remote-checksum over ipv4': 40,
  'gue+remote-checksum over ipv6': 60,
  'gre over ipv4': 24,
  'gre over ipv6': 44,
  'gre+checksum over ipv4': 28,
  'gre+checksum over ipv6': 48,
}

const ICMP = 1
const ICMPV6 = 58

/** The MTU that the next ICMP error of the kind tells. */
async function toldMtu(socket: ReturnType<Host['raw']>, protocol: number): Promise<number> {
  for (;;) {
    const { bytes } = await socket.receive({ deadlineMilliseconds: 30_000 })
    // A raw IPv4 socket gives the IP header, too.
    const message = protocol === ICMP ? bytes.subarray((bytes[0]! & 15) * 4) : bytes
    const view = new DataView(message.buffer, message.byteOffset, message.length)
    if (protocol === ICMP && message[0] === 3 && message[1] === 4) return view.getUint16(6)
    if (protocol === ICMPV6 && message[0] === 2) return view.getUint32(4)
  }
}

const checks: Readonly<Record<string, (t: Test, bench: Bench) => Promise<void>>> = {
  async 'tunnels tell the client how much fits'(t, { hosts: { client, director } }) {
    // All of them, not some a second.
    director.sysctl('net.ipv4.icmp_ratemask', 0)
    const errors = {
      ipv4: client.raw({ protocol: ICMP }),
      ipv6: client.raw({ protocol: ICMPV6, family: 'ipv6' }),
    }
    for (const one of all) {
      if (one.server !== 'far') continue
      const ownHeaders = one.family === 'ipv4' ? 28 : 48
      const sent = await send(client, { ...one, bytes: 1500 - ownHeaders })
      const mtu = await toldMtu(errors[one.family], one.family === 'ipv4' ? ICMP : ICMPV6)
      t.equal(1500 - mtu, headerBytes[one.name.replace(/^ipv. by /, '')], one.name)
      await sent.close()
    }
    for (const socket of Object.values(errors)) socket.close()
  },

  async 'reverse path filtering drops what was unwrapped'(t, { hosts: { client, far } }) {
    const one = named('ipv4 by ipip over ipv4')
    far.sysctl('net.ipv4.conf.all.rp_filter', 1)
    await sendInVain(client, one, 'the packet is filtered', () =>
      counter(far, 'netstat', 'TcpExt', 'IPReversePathFilter'),
    )
    far.sysctl('net.ipv4.conf.all.rp_filter', 0)
    t.same(await ask(client, one), { text: `far ${one.from}`, from: one.address })
  },

  async 'a GRE link takes packets with a checksum, or those without'(t, { ipvs, hosts: { client, far } }) {
    const [plain, checked] = [named('ipv4 by gre over ipv4'), named('ipv4 by gre+checksum over ipv4')]
    const swapped = (one: Case, other: Case): DestinationInput => ({
      ...one.destination,
      address: other.destination.address,
    })
    const to = async (one: Case, destination: DestinationInput): Promise<void> => {
      for (const { address } of await ipvs.destinations(keyOf(one))) {
        await ipvs.deleteDestination(keyOf(one), { address })
      }
      await ipvs.createDestination(keyOf(one), destination)
    }
    for (const [one, other, device] of [
      [plain, checked, 'checked0'],
      [checked, plain, 'gre0'],
    ] as const) {
      await to(one, swapped(one, other))
      await sendInVain(client, one, `${device} drops it`, () => receiveErrors(far, device))
      await to(one, one.destination)
      t.equal((await ask(client, one)).text, `far ${one.from}`, one.name)
    }
  },

  async 'a director in the network of its servers redirects them, unless told not to'(t, { ipvs, hosts }) {
    const { client, director, near } = hosts
    const one = named('ipv4 by masquerade')
    const inLink = near.address
    await serveUdp(near, inLink, realPort)
    await ipvs.createDestination(keyOf(one), { address: inLink, port: realPort })
    await ipvs.setDestination(keyOf(one), { ...one.destination, weight: 0 })
    const addClient = async (from: string): Promise<void> => {
      await client.rtnetlink.addresses.add({ device: 'eth0', address: `${from}/24` })
      await near.rtnetlink.routes.add({ destination: `${from}/32`, gateway: director.address })
    }
    const redirects = (): number => counter(director, 'snmp', 'Icmp', 'OutRedirects')

    await addClient('10.0.1.101')
    t.equal((await ask(client, { ...one, from: '10.0.1.101' })).from, one.address, 'the first answer')
    await until('the director redirects', () => redirects() > 0 || undefined)
    const another = await until('an answer by the shorter way', async () => {
      const { from } = await ask(client, { ...one, from: '10.0.1.101' })
      return from === one.address ? undefined : from
    })
    t.equal(another, inLink, 'comes from the wrong address')

    for (const device of ['all', 'eth0']) director.sysctl(`net.ipv4.conf.${device}.send_redirects`, 0)
    const before = redirects()
    await addClient('10.0.1.102')
    for (let times = 1; times <= 3; times++) {
      t.equal((await ask(client, { ...one, from: '10.0.1.102' })).from, one.address)
    }
    t.equal(redirects(), before)
    await ipvs.setDestination(keyOf(one), one.destination)
    await ipvs.deleteDestination(keyOf(one), { address: inLink, port: realPort })
  },

  async 'a director drops answers that come by it from the address of the service'(
    t,
    { hosts: { client, director } },
  ) {
    // Answers to this client go through the director.
    const one = { ...named('ipv4 by direct routing'), from: named('ipv4 by masquerade').from }
    await sendInVain(client, one, 'the answer is dropped', () => martians(director))
    director.sysctl('net.ipv4.conf.all.accept_local', 1)
    t.same(
      await ask(client, one),
      { text: `near ${one.from}`, from: one.address },
      'unless accept_local is set',
    )
    director.sysctl('net.ipv4.conf.all.accept_local', 0)
  },

  async 'a process of the director on another port is reached by masquerade'(t, { ipvs, hosts }) {
    const { client, director } = hosts
    for (const [name, own] of [
      ['ipv4 to the director itself', director.address],
      ['ipv6 to the director itself', director.address6],
    ] as const) {
      const one = named(name)
      await serveUdp(director, own, realPort, 'another port')
      await ipvs.createDestination(keyOf(one), { address: own, port: realPort })
      await ipvs.setDestination(keyOf(one), { ...one.destination, weight: 0 })
      t.same(await ask(client, one), { text: `another port ${one.from}`, from: one.address }, one.name)
    }
  },

  async 'clients on the director itself'(t, { ipvs, hosts: { director } }) {
    for (const [name, from, elsewhere, family] of [
      ['ipv4 by masquerade', director.address, '198.51.100.1', 'ipv4'],
      ['ipv6 by masquerade', director.address6, '2001:db8:1::1', 'ipv6'],
    ] as const) {
      const one = named(name)
      t.same(await ask(director, { ...one, from }), { text: `near ${from}`, from: one.address }, name)
      const key: ServiceKey = { firewallMark: 77, family }
      await ipvs.createService(key)
      await ipvs.createDestination(key, one.destination)
      const answer = await ask(director, { address: elsewhere, from, mark: 77 })
      t.same(answer, { text: `near ${from}`, from: elsewhere }, `${name}, by the mark of its socket`)
    }
  },

  async 'a real server answers ARP for an address on lo, but not with arp_ignore'(
    t,
    { hosts: { router, near } },
  ) {
    await near.rtnetlink.addresses.add({ device: 'lo', address: '10.0.2.98/32' })
    await near.rtnetlink.addresses.add({ device: 'lo', address: 'fd00:2::98/128' })
    const silent = { deadlineMilliseconds: 1500 }
    await t.rejects(router.ping('10.0.2.98', silent), { code: /ETIMEDOUT|EHOSTUNREACH/ })
    await t.rejects(router.ping('fd00:2::98', silent), { code: /ETIMEDOUT|EHOSTUNREACH/ }, 'IPv6: not anyway')
    near.sysctl('net.ipv4.conf.all.arp_ignore', 0)
    // A ping that is sent while the router still asks in vain is dropped with that question.
    const answer = await until('the address on lo answers', () =>
      router.ping('10.0.2.98', { deadlineMilliseconds: 2000 }).catch(() => undefined),
    )
    t.equal(answer.address, '10.0.2.98')
    near.sysctl('net.ipv4.conf.all.arp_ignore', 1)
  },
}

/** A server whose answers do not go by the director. */
async function checkMasqueradedClients(t: Test, { ipvs, hosts: { client, director } }: Bench): Promise<void> {
  const one = named('ipv4 by masquerade')
  const server = one.destination.address
  const from = client.address
  t.same(
    await ask(client, { ...one, from }),
    { text: `near ${from}`, from: server },
    'the wrong address answers',
  )
  await ipvs.settings.set({ conntrack: true })
  await nft(
    director,
    `table ip clients {
      chain leaving { type nat hook postrouting priority srcnat; ip daddr ${server} masquerade; }
    }`,
  )
  t.same(await ask(client, { ...one, from }), { text: 'near 10.0.4.1', from: one.address })
  uses('nftables-nat', 'ipvs-conntrack')
}

ipvsTest('what each forwarding method needs', async (t, sandbox) => {
  const net = await network(sandbox, all)
  const { director, near, far } = net.hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  for (const one of all) {
    await ipvs.createService({ ...keyOf(one), scheduler: 'rr' })
    await ipvs.createDestination(keyOf(one), one.destination)
  }
  await serveUdp(near, '10.0.4.2', realPort)
  await serveUdp(near, 'fd00:4::2', realPort)
  await serveUdp(near, named('ipv4 by direct routing').address, port)
  for (const { address, name } of all) if (/ over /.test(name)) await serveUdp(far, address, port)
  const bench = { ...net, ipvs }
  for (const [name, check] of Object.entries(checks)) await t.test(name, (t) => check(t, bench))
  if (await isHere('nftables-nat')) {
    await t.test('clients are masqueraded too, by conntrack and a rule', (t) =>
      checkMasqueradedClients(t, bench),
    )
  }
})

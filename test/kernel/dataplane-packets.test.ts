/** Packets that are not the usual ones: fragments, SCTP, what ICMP says, links with less room, servers that end. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { formatAddress } from '../../src/address/index.js'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { VirtualService } from '../../src/model/index.js'
import type { DatagramSocket } from '../../src/net/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'
import { clusterAddress, server, serverPort, serviceNetwork, virtualService } from './services-network.js'

type Family = 'ipv4' | 'ipv6'
const external = { ipv4: '192.0.2.10', ipv6: '2001:db8:ffff::10' }
const patience = 10_000

async function open(t: Test, node: Host, services: readonly VirtualService[]): Promise<NftablesDataplane> {
  const dataplane = await openNftablesDataplane({ netns: node.netns })
  t.teardown(() => dataplane.close())
  const { failures } = await dataplane.synchronize(services)
  t.equal(failures.size, 0)
  return dataplane
}

/** An address inside, where the server sees the client, and one outside, where it sees the node. */
function both(family: Family): VirtualService['frontends'] {
  return [
    { kind: 'cluster', address: clusterAddress[family], port: 80 },
    { kind: 'external', address: external[family], port: 80 },
  ]
}

/** A message of ICMP about a packet that could not be delivered. */
interface Told {
  readonly from: string
  readonly type: number
  readonly code: number
  readonly mtu: number
  /** Of the packet that it is about. */
  readonly source: string
  readonly destination: string
  readonly destinationPort: number
}

function told(bytes: Uint8Array, from: string, family: Family): Told {
  const packet = family === 'ipv4' ? bytes.subarray((bytes[0]! & 15) * 4) : bytes
  const inner = packet.subarray(8)
  const [source, length, transport] = family === 'ipv4' ? [12, 4, (inner[0]! & 15) * 4] : [8, 16, 40]
  const number = (of: Uint8Array, at: number): number => (of[at]! << 8) | of[at + 1]!
  return {
    from,
    type: packet[0]!,
    code: packet[1]!,
    mtu: number(packet, 6),
    source: formatAddress(inner.slice(source, source + length)),
    destination: formatAddress(inner.slice(source + length, source + 2 * length)),
    destinationPort: number(inner, transport + 2),
  }
}

/** ICMP that comes to a host from now on. */
function listenToIcmp(host: Host, family: Family): DatagramSocket {
  return host.raw({ family, protocol: family === 'ipv4' ? 1 : 58 })
}

async function nextTold(icmp: DatagramSocket, family: Family, type: number): Promise<Told> {
  const deadline = performance.now() + patience
  for (;;) {
    const { bytes, address } = await icmp.receive({ deadlineMilliseconds: deadline - performance.now() })
    if (bytes[family === 'ipv4' ? (bytes[0]! & 15) * 4 : 0] === type) return told(bytes, address, family)
  }
}

for (const family of ['ipv4', 'ipv6'] as const) {
  const any = family === 'ipv4' ? '0.0.0.0' : '::'

  void t.test(`${family}: datagrams in several pieces, there and back`, async (t) => {
    const { hosts } = await serviceNetwork(t)
    const { client, node, a, b } = hosts
    for (const host of [a, b])
      await host.serveUdp((bytes, _from, reply) => reply(bytes), { port: serverPort })
    const list = [server(a, family), server(b, family)]
    await open(t, node, [virtualService(list, { family, protocol: 'udp', frontends: both(family) })])
    for (const address of [clusterAddress[family], external[family]]) {
      for (const size of [4000, 60_000]) {
        const socket = await client.udp({ address: any })
        const sent = Buffer.alloc(size, 7).fill(size % 251, 2000)
        const answered = once(socket, 'message', { signal: AbortSignal.timeout(patience) })
        socket.send(sent, 80, address)
        const [bytes] = (await answered) as [Buffer]
        t.ok(sent.equals(bytes), `${size} bytes by way of ${address}`)
        socket.close()
      }
    }
  })

  void t.test(`${family}: an association of SCTP`, async (t) => {
    const { hosts } = await serviceNetwork(t)
    const { client, node, a, b } = hosts
    for (const host of [a, b]) await host.serveSctp({ port: serverPort, name: host.name })
    const list = [server(a, family), server(b, family)]
    const service = { family, protocol: 'sctp', scheduler: 'rr', frontends: both(family) } as const
    await open(t, node, [virtualService(list, service)])
    const names = new Set<string>()
    for (let count = 0; count < 4; count++) {
      const to = count % 2 === 0 ? clusterAddress[family] : external[family]
      const reply = await client.sctpInit({ to, port: 80 })
      t.equal(reply.address, to)
      names.add(reply.name)
    }
    t.same([...names].sort(), ['a', 'b'])
  })

  void t.test(`${family}: a server's "no such port" comes to the client as the service's`, async (t) => {
    const { hosts } = await serviceNetwork(t)
    const { client, node, a } = hosts
    const service = virtualService([server(a, family, { port: 9999 })], {
      family,
      protocol: 'udp',
      frontends: both(family),
    })
    await open(t, node, [service])
    for (const to of [clusterAddress[family], external[family]]) {
      const icmp = listenToIcmp(client, family)
      const socket = await client.udp({ address: any })
      const connected = once(socket, 'connect')
      socket.connect(80, to)
      await connected
      const failed = once(socket, 'error', { signal: AbortSignal.timeout(patience) })
      socket.send('?')
      const found = await nextTold(icmp, family, family === 'ipv4' ? 3 : 1)
      t.match(found, {
        from: to,
        code: family === 'ipv4' ? 3 : 4,
        source: family === 'ipv4' ? client.address : client.address6,
        destination: to,
        destinationPort: 80,
      })
      t.match(await failed, [{ code: 'ECONNREFUSED' }])
      socket.close()
      icmp.close()
    }
  })

  void t.test(`${family}: a server that ends keeps its connections, and gets no new ones`, async (t) => {
    const { hosts } = await serviceNetwork(t)
    const { client, node, a, b } = hosts
    for (const host of [a, b]) {
      await host.serveTcp((socket) => socket.on('data', () => socket.write(host.name)), { port: 7000 })
      await host.serveUdp((_bytes, _from, reply) => reply(Buffer.from(host.name)), { port: 7000 })
    }
    const of = (host: Host) => server(host, family, { port: 7000 })
    const services = (ready: readonly Host[], draining: readonly Host[]): VirtualService[] =>
      (['tcp', 'udp'] as const).map((protocol) => {
        const one = virtualService(ready.map(of), { family, protocol })
        return { ...one, servers: { ...one.servers, draining: draining.map(of) } }
      })
    const dataplane = await open(t, node, services([a], []))
    const socket = await client.connect({ address: clusterAddress[family], port: 80 })
    t.teardown(() => socket.destroy())
    const datagrams = await client.udp({ address: any })
    const overTcp = async (by: Socket): Promise<string> => {
      const answered = once(by, 'data', { signal: AbortSignal.timeout(patience) })
      by.write('?')
      return String((await answered)[0])
    }
    const overUdp = async (by = datagrams): Promise<string> => {
      const answered = once(by, 'message', { signal: AbortSignal.timeout(patience) })
      by.send('?', 80, clusterAddress[family])
      return String((await answered)[0])
    }
    t.same([await overTcp(socket), await overUdp()], ['a', 'a'])
    await dataplane.apply({ upserted: services([b], [a]), deleted: [] })
    t.same([await overTcp(socket), await overUdp()], ['a', 'a'], 'what it has it keeps')
    for (let count = 0; count < 10; count++) {
      const other = await client.connect({ address: clusterAddress[family], port: 80 })
      const otherDatagrams = await client.udp({ address: any })
      t.same([await overTcp(other), await overUdp(otherDatagrams)], ['b', 'b'])
      other.destroy()
      otherDatagrams.close()
    }
    // It is gone: datagrams go to another one at once, a connection of TCP is left to its ends.
    await dataplane.apply({ upserted: services([b], []), deleted: [] })
    t.equal(await overUdp(), 'b')
    t.equal(await overTcp(socket), 'a')
  })

  for (const narrow of ['servers', 'clients'] as const) {
    void t.test(`${family}: a link with less room on the side of the ${narrow}`, async (t) => {
      const { client, node, real } = await narrowNetwork(t, narrow)
      const size = 1_000_000
      await real.serveTcp(
        (socket) => {
          let received = 0
          socket.on('data', (bytes) => {
            received += bytes.length
            if (received === size) socket.write(Buffer.alloc(size))
          })
        },
        { port: serverPort },
      )
      await open(t, node, [virtualService([server(real, family)], { family, frontends: both(family) })])
      // Who sends more than there is room for, and is told so by a router on the other side of the node.
      const sender = narrow === 'servers' ? client : real
      for (const to of [clusterAddress[family], external[family]]) {
        const icmp = listenToIcmp(sender, family)
        const socket = await client.connect({ address: to, port: 80 })
        let received = 0
        const answered = new Promise<void>((resolve, reject) => {
          socket.on('data', (bytes) => {
            received += bytes.length
            if (received === size) resolve()
          })
          socket.on('close', () => reject(new Error(`closed after ${received} bytes`)))
        })
        socket.write(Buffer.alloc(size))
        const found = await nextTold(icmp, family, family === 'ipv4' ? 3 : 2)
        t.match(found, { code: family === 'ipv4' ? 4 : 0, mtu: narrowMtu })
        const [source, destination] =
          narrow === 'servers'
            ? [family === 'ipv4' ? client.address : client.address6, to]
            : [family === 'ipv4' ? real.address : real.address6, undefined]
        t.equal(found.source, source, 'it is about the packet as its sender knows it')
        if (destination !== undefined) t.match(found, { destination, destinationPort: 80 })
        await answered
        t.equal(received, size, 'and the connection goes on')
        socket.destroy()
        icmp.close()
      }
    })
  }
}

const narrowMtu = 1300

/** On one side of the node there are two routers with a narrow link between them, whose ends know nothing of it. */
async function narrowNetwork(t: Test, narrow: 'servers' | 'clients') {
  const net = await sandbox({
    hosts: ['client', 'node', 'real', 'near', 'far'],
    links:
      narrow === 'servers'
        ? [
            { hosts: ['client', 'node'], ipv4: '10.7.0.0/24', ipv6: 'fd07::/64' },
            ['node', 'near'],
            { hosts: ['near', 'far'], mtu: narrowMtu },
            { hosts: ['far', 'real'], ipv4: '10.8.0.0/24', ipv6: 'fd08::/64' },
          ]
        : [
            { hosts: ['client', 'far'], ipv4: '10.7.0.0/24', ipv6: 'fd07::/64' },
            { hosts: ['far', 'near'], mtu: narrowMtu },
            ['near', 'node'],
            { hosts: ['node', 'real'], ipv4: '10.8.0.0/24', ipv6: 'fd08::/64' },
          ],
    settings: {
      node: { defaultRoute: 'near', sysctls: { 'net.ipv4.conf.all.rp_filter': 0 } },
      far: { defaultRoute: 'near' },
      near: {
        defaultRoute: 'node',
        routes: (narrow === 'servers' ? ['10.8.0.0/24', 'fd08::/64'] : ['10.7.0.0/24', 'fd07::/64']).map(
          (destination) => ({ destination, via: 'far' }),
        ),
      },
    },
  })
  t.teardown(() => net.close())
  return net.hosts
}

/** Packets through every forwarding method, of both families and mixed ones, by TCP, UDP, SCTP and firewall mark. */
import { once } from 'node:events'
import type { Test } from 'tap'
import { type Destination, type DestinationInput, Ipvs, type ServiceKey } from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere, uses } from './support/features.js'
import { type Case, cases, network, type Network, port, realPort } from './support/forwarding.js'
import { type Capture, capture } from './support/frames.js'
import { inLanes } from './support/lanes.js'
import { markIncoming } from './support/marks.js'
import { until } from './support/until.js'

/** More than fits a packet: what a tunnel's header leaves no room for must get through, too. */
const upload = new Uint8Array(4000)
const deadlineMilliseconds = 30_000

/** Servers that say who they are, where they took the packet, and from whom. */
async function serve({ hosts }: Network, all: readonly Case[]): Promise<void> {
  for (const host of [hosts.near, hosts.far, hosts.director]) {
    for (const own of [port, realPort]) {
      await host.serveTcp(
        (socket) => {
          let received = 0
          socket.on('data', (piece) => {
            received += piece.length
            if (received < upload.length) return
            socket.end(`${host.name} ${socket.localAddress} ${socket.localPort} ${socket.remoteAddress}`)
          })
        },
        { port: own },
      )
    }
  }
  // Those of masquerade have one place in common.
  const places = new Map(all.map(({ server, takenAt }) => [`${server} ${takenAt}`, hosts[server]]))
  for (const [name, host] of places) {
    const [, address, own] = name.split(' ') as [string, string, string]
    const place = { address, port: Number(own) }
    await host.serveUdp((_, from, reply) => reply(Buffer.from(`${name} ${from.address}`)), place)
    await host.serveSctp({ ...place, name })
  }
}

async function overTcp(client: Host, { address, from }: Case): Promise<string> {
  const socket = await client.connect({ address, port, localAddress: from, deadlineMilliseconds })
  socket.write(upload)
  const [answer] = (await once(socket, 'data', { signal: AbortSignal.timeout(deadlineMilliseconds) })) as [
    Buffer,
  ]
  socket.destroy()
  return String(answer)
}

async function overUdp(client: Host, { address, from }: Case): Promise<string> {
  const socket = await client.udp({ address: from })
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(deadlineMilliseconds) })
  socket.send('who?', port, address)
  const [bytes, { address: answeredFrom }] = (await answer) as [Buffer, { address: string }]
  socket.close()
  if (answeredFrom !== address) throw new Error(`the answer came from ${answeredFrom}`)
  return String(bytes)
}

async function overSctp(client: Host, { address, from }: Case): Promise<string> {
  const reply = await client.sctpInit({ to: address, port, from, deadlineMilliseconds })
  if (reply.address !== address) throw new Error(`the answer came from ${reply.address}`)
  return `${reply.name} ${from}`
}

const protocols = { tcp: overTcp, udp: overUdp, sctp: overSctp } as const
type Protocol = keyof typeof protocols
const everyProtocol = Object.keys(protocols) as Protocol[]

/** One connection through each case, a few at a time. */
async function checkAll(
  t: Test,
  { hosts }: Network,
  all: readonly Case[],
  protocol: Protocol,
  links: Readonly<Record<string, Capture>>,
): Promise<void> {
  const answers = await inLanes(all, (one) => protocols[protocol](hosts.client, one).catch(String))
  for (const [index, { name, server, takenAt, from, address, comesBy }] of all.entries()) {
    t.equal(answers[index], `${server} ${takenAt} ${from}`, `${protocol}: ${name}`)
    if (comesBy === undefined) continue
    const seen = links[`${server} ${comesBy.device}`]!.arrivedAs(address, protocol)
    // A kernel that has SCTP loaded answers beside ours (ABORT), with a checksum that is not made yet.
    const ours =
      protocol === 'sctp' ? seen.filter((way) => way !== `${comesBy.as(protocol)}+remote-checksum`) : seen
    t.same(ours, [comesBy.as(protocol)], `${protocol}: ${name}, as the server's link sees it`)
  }
}

async function withCaptures(
  { hosts: { near, far } }: Network,
  work: (links: Readonly<Record<string, Capture>>) => Promise<void>,
): Promise<void> {
  const links = { 'near eth0': capture(near, 'eth0'), 'far eth0': capture(far, 'eth0') }
  try {
    await work(links)
  } finally {
    for (const link of Object.values(links)) link.close()
  }
}

async function addAll(
  ipvs: Ipvs,
  entries: readonly (readonly [ServiceKey, DestinationInput])[],
): Promise<void> {
  const batch = ipvs.batch()
  for (const [service, destination] of entries) {
    batch.createService({ ...service, scheduler: 'rr' }).createDestination(service, destination)
  }
  const { failures } = await batch.send()
  if (failures.length > 0) throw new AggregateError(failures.map(({ error }) => error))
}

/**
 * Statistics follow within two seconds (the estimator's period); these are exact. SCTP's go before they are counted:
 * a handshake that the director sees one half of is forgotten within seconds.
 */
function connectionsOf({ activeConnections, inactiveConnections }: Destination): number {
  return activeConnections + inactiveConnections
}

ipvsTest('every forwarding method, of both families and mixed', async (t, sandbox) => {
  const all = cases()
  const net = await network(sandbox, all)
  await serve(net, all)
  const { director } = net.hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })

  await t.test('TCP, UDP and SCTP services', async (t) => {
    const keyOf = (protocol: Protocol, { address }: Case): ServiceKey => ({ protocol, address, port })
    await addAll(
      ipvs,
      everyProtocol.flatMap((protocol) => all.map((one) => [keyOf(protocol, one), one.destination] as const)),
    )
    await withCaptures(net, async (links) => {
      for (const protocol of everyProtocol) {
        await checkAll(t, net, all, protocol, links)
        for (const { service, destinations } of await ipvs.list()) {
          if (service.protocol !== protocol || protocol === 'sctp') continue
          t.same(
            destinations.map(connectionsOf),
            [1],
            `${protocol}: IPVS has sent on what ${service.address} got`,
          )
        }
        if (protocol === 'tcp') await checkStates(t, ipvs, all)
      }
    })
  })

  uses(
    'ipvs-ipv6',
    'ipvs-udp',
    'ipvs-sctp',
    'sctp-sockets',
    'ipvs-mixed-families',
    'link-veth',
    'link-bridge',
  )
  uses('tunnel-ipip', 'tunnel-gue', 'tunnel-gre', 'fou-ipv6')
  if (!(await isHere('nftables-mark'))) return
  await t.test('services by firewall mark take every protocol', async (t) => {
    await ipvs.flush()
    const some = all.filter(({ name }) => !name.includes('+'))
    const marks = new Map(some.map(({ address }, index) => [address, 1000 + index]))
    await markIncoming(director, marks)
    const keyOf = ({ address, family }: Case): ServiceKey => ({ firewallMark: marks.get(address)!, family })
    await addAll(
      ipvs,
      some.map((one) => [keyOf(one), one.destination] as const),
    )
    await withCaptures(net, async (links) => {
      for (const protocol of ['tcp', 'udp'] as const) await checkAll(t, net, some, protocol, links)
      for (const { service, destinations } of await ipvs.list()) {
        t.same(destinations.map(connectionsOf), [2], `IPVS has sent on what has mark ${service.firewallMark}`)
      }
      await checkAll(t, net, some, 'sctp', links)
    })
    uses('nftables-mark', 'ipvs-firewall-mark')
  })
})

/** Both sides have closed. Where answers do not come by the director, it has seen the client's half alone. */
async function checkStates(t: Test, ipvs: Ipvs, all: readonly Case[]): Promise<void> {
  const seesAnswers = (one: Case): boolean => one.server === 'director' || one.name.includes('masquerade')
  const expected = new Map(all.map((one) => [one.address, seesAnswers(one) ? 'TIME_WAIT' : 'FIN_WAIT']))
  const states = new Map<string, string>()
  await until('every connection is over', async () => {
    for await (const { virtual, state } of ipvs.connections({ protocol: 'tcp' }))
      states.set(virtual!.address, state)
    return all.every(({ address }) => /WAIT/.test(states.get(address) ?? '')) || undefined
  })
  for (const { name, address } of all) t.equal(states.get(address), expected.get(address), `state of ${name}`)
}

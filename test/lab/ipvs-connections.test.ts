/** The connection table as the kernel shows it: what passes through is told, filtered and read piece by piece. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import {
  type ConnectionFilter,
  type ConnectionsOptions,
  Ipvs,
  type IpvsConnection,
  isUnsupportedError,
} from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import type { MakeSandbox } from '../kernel/kernel-test.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere, uses } from './support/features.js'
import { until } from './support/until.js'

const virtual = '192.0.2.10'
const virtual6 = '2001:db8::10'
const port = 7000

interface Net {
  readonly client: Host
  readonly director: Host
  readonly a: Host
  readonly b: Host
  readonly ipvs: Ipvs
}

async function network(sandbox: MakeSandbox): Promise<Net> {
  const net = await sandbox({
    hosts: ['client', 'director', 'a', 'b'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b'],
    ],
    settings: { director: { addresses: [`${virtual}/32`, `${virtual6}/128`] } },
  })
  return { ...net.hosts, ipvs: await Ipvs.open({ netns: net.hosts.director.netns }) }
}

async function listed(
  ipvs: Ipvs,
  filter?: ConnectionFilter,
  options?: ConnectionsOptions,
): Promise<IpvsConnection[]> {
  const found: IpvsConnection[] = []
  for await (const connection of ipvs.connections(filter, options)) found.push(connection)
  return found
}

/** One connection to each server, held. */
async function hold({ client }: Net, address: string, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let index = 0; index < count; index++) {
    const socket = await client.connect({ address, port })
    socket.on('error', () => undefined)
    await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    sockets.push(socket)
  }
  return sockets
}

ipvsTest(
  'a connection is told with client, service, server, state and time, in both families',
  async (t, sandbox) => {
    const net = await network(sandbox)
    const { client, a, b, ipvs } = net
    t.strictSame(await listed(ipvs), [], 'an empty table is an empty list')
    for (const server of [a, b]) {
      await server.serveTcp((socket) => void socket.on('error', () => undefined).write('hello'), { port })
    }
    for (const [address, key] of [
      [virtual, 'address'],
      [virtual6, 'address6'],
    ] as const) {
      const service = { protocol: 'tcp', address, port } as const
      await ipvs.createService({ ...service, scheduler: 'rr' })
      for (const server of [a, b]) await ipvs.createDestination(service, { address: server[key] })
    }
    const sockets = [...(await hold(net, virtual, 2)), ...(await hold(net, virtual6, 2))]

    const found = await until('four established connections', async () => {
      const found = await listed(ipvs, { state: 'ESTABLISHED' })
      return found.length === 4 ? found : undefined
    })
    for (const socket of sockets) {
      const ipv6 = socket.remoteFamily === 'IPv6'
      // Both families may have been given the same port.
      const [own, ...others] = found.filter(
        ({ family, client }) => client.port === socket.localPort && (family === 'ipv6') === ipv6,
      )
      t.equal(others.length, 0)
      t.match(own, {
        protocol: 'tcp',
        family: ipv6 ? 'ipv6' : 'ipv4',
        client: { address: ipv6 ? client.address6 : client.address, port: socket.localPort! },
        virtual: { address: ipv6 ? virtual6 : virtual, port },
        firewallMark: undefined,
        state: 'ESTABLISHED',
        template: false,
        origin: undefined,
      })
      const seconds = own?.expiresSeconds ?? 0
      t.ok(seconds > 700 && seconds <= 900, `expires in ${seconds} s: the kernel's 15 minutes`)
    }
    t.strictSame(
      found.map(({ destination }) => destination.address).sort(),
      [a.address, b.address, a.address6, b.address6].sort(),
      'one on each server',
    )

    const count = async (filter: ConnectionFilter): Promise<number> => (await listed(ipvs, filter)).length
    t.equal(await count({ service: { protocol: 'tcp', address: virtual6, port } }), 2)
    t.equal(await count({ service: { protocol: 'tcp', address: virtual, port: port + 1 } }), 0)
    t.equal(await count({ destination: { address: a.address } }), 1)
    t.equal(await count({ destination: { address: a.address, port: port + 1 } }), 0)
    t.equal(await count({ client: 'fd00::/16' }), 2)
    t.equal(await count({ client: client.address, clientPort: sockets[0]!.localPort }), 1)
    t.equal(await count({ protocol: 'udp' }), 0)
    t.equal(await count({ template: true }), 0)
    t.strictSame(
      (await listed(ipvs, {}, { origins: true })).map(({ origin }) => origin),
      ['local', 'local', 'local', 'local'],
    )
    for (const { address, activeConnections } of await ipvs.destinations({
      protocol: 'tcp',
      address: virtual,
      port,
    })) {
      t.equal(await count({ destination: { address }, state: 'ESTABLISHED' }), activeConnections, address)
    }

    sockets[0]!.end()
    await until('the end of one', async () => (await count({ state: 'ESTABLISHED' })) === 3)
    t.equal(await count({ state: ['FIN_WAIT', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK'] }), 1)
    ipvs.close()
    uses('ipvs-connection-list')
  },
)

ipvsTest('persistence templates are told apart, with their engine and firewall mark', async (t, sandbox) => {
  const net = await network(sandbox)
  const { client, director, a, ipvs } = net
  const service = { protocol: 'udp', address: virtual, port } as const
  await ipvs.createService({
    ...service,
    scheduler: 'rr',
    persistenceTimeoutSeconds: 360,
    persistenceNetmask: 24,
  })
  await ipvs.createDestination(service, { address: a.address })
  const socket = await client.udp()
  socket.send('hello', port, virtual)
  const [template] = await until('a template', async () => {
    const found = await listed(ipvs, { service, template: true })
    return found.length > 0 ? found : undefined
  })
  t.match(template, {
    client: { address: client.address.replace(/\d+$/, '0'), port: 0 },
    virtual: { address: virtual, port },
    destination: { address: a.address, port },
    template: true,
    persistenceEngine: undefined,
  })
  const [own] = await listed(ipvs, { service, template: false })
  t.match(own, { client: { address: client.address, port: socket.address().port }, state: 'UDP' })

  if (await isHere('ipvs-persistence-engine-sip')) {
    const sip = { protocol: 'udp', address: virtual, port: 5060 } as const
    await ipvs.createService({
      ...sip,
      scheduler: 'rr',
      persistenceTimeoutSeconds: 60,
      persistenceEngine: 'sip',
    })
    await ipvs.createDestination(sip, { address: a.address })
    socket.send(
      'INVITE sip:b@example SIP/2.0\r\nCall-ID: a84b4c76e66710@pc33.example\r\n\r\n',
      sip.port,
      virtual,
    )
    const [called] = await until('a template of the engine', async () => {
      const found = await listed(ipvs, { service: sip, template: true })
      return found.length > 0 ? found : undefined
    })
    t.match(called, { persistenceEngine: 'sip', persistenceData: 'a84b4c76e66710@pc33.example' })
  }

  const mark = 0xabcd0042
  const marked = { firewallMark: mark, family: 'ipv4' } as const
  await ipvs.createService({ ...marked, scheduler: 'rr', persistenceTimeoutSeconds: 60 })
  await ipvs.createDestination(marked, { address: a.address })
  // What the director itself sends: marked where it is sent, and balanced where it goes out.
  const own2 = await director.udp({ mark })
  own2.send('hello', 9999, virtual)
  const [byMark] = await until('a template by mark', async () => {
    const found = await listed(ipvs, { service: marked })
    return found.length > 0 ? found : undefined
  })
  t.match(byMark, { protocol: 'ip', template: true, firewallMark: mark, virtual: undefined })
  t.equal((await listed(ipvs, { service: { firewallMark: mark + 1, family: 'ipv4' } })).length, 0)
  t.equal((await listed(ipvs, { service: { firewallMark: mark, family: 'ipv6' } })).length, 0)
  ipvs.close()
})

ipvsTest('a large table is read piece by piece, each connection once', async (t, sandbox) => {
  const net = await network(sandbox)
  const { client, a, ipvs } = net
  const service = { protocol: 'udp', address: virtual, port } as const
  await ipvs.createService({ ...service, scheduler: 'rr' })
  await ipvs.createDestination(service, { address: a.address })
  const raw = client.raw({ family: 'ipv4', protocol: 17 })
  const flows = 3000
  const datagram = new Uint8Array(12)
  const view = new DataView(datagram.buffer)
  for (let index = 0; index < flows; index++) {
    // struct udphdr: a source port of its own, no checksum.
    view.setUint16(0, 10_000 + index)
    view.setUint16(2, port)
    view.setUint16(4, datagram.length)
    raw.send(datagram, { address: virtual })
    if (index % 200 === 199) await new Promise((resolve) => setImmediate(resolve))
  }
  await until('all flows', async () => (await listed(ipvs, { service })).length === flows, {
    deadlineSeconds: 60,
  })

  let turns = 0
  const turn = (): void => {
    turns++
    immediate = setImmediate(turn)
  }
  let immediate = setImmediate(turn)
  const found = await listed(ipvs)
  clearImmediate(immediate)
  t.equal(found.length, flows)
  t.strictSame(
    found.map((connection) => connection.client.port).sort((x, y) => x - y),
    Array.from({ length: flows }, (_, index) => 10_000 + index),
  )
  t.ok(turns >= 3, `the event loop turned ${turns} times meanwhile`)
  t.equal((await listed(ipvs, { clientPort: 10_007 })).length, 1)

  await t.test('stopping early and aborting close the file', async (t) => {
    // What is left open fails the test, see kernelTest.
    for await (const { protocol } of ipvs.connections()) {
      t.equal(protocol, 'udp')
      break
    }
    const controller = new AbortController()
    const reading = (async () => {
      for await (const _ of ipvs.connections({}, { signal: controller.signal })) controller.abort()
    })()
    await t.rejects(reading, { name: 'AbortError' })
    await t.rejects(listed(ipvs, {}, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  })
  ipvs.close()
})

ipvsTest('what came from another director is told by its origin', async (t, sandbox) => {
  const net = await sandbox({
    hosts: ['client', 'director', 'backup', 'a'],
    links: [
      ['client', 'director'],
      ['director', 'backup', 'a'],
    ],
    settings: {
      director: { addresses: [`${virtual}/32`] },
      backup: { addresses: [`${virtual}/32`] },
    },
  })
  const { client, director, backup, a } = net.hosts
  await a.serveTcp((socket) => void socket.on('error', () => undefined).pipe(socket), { port })
  const service = { protocol: 'tcp', address: virtual, port } as const
  const [master, slave] = [
    await Ipvs.open({ netns: director.netns }),
    await Ipvs.open({ netns: backup.netns }),
  ]
  for (const [ipvs, state, host] of [
    [slave, 'backup', backup],
    [master, 'master', director],
  ] as const) {
    // Every packet of an established connection is worth a message.
    await ipvs.settings.set({ syncThreshold: { threshold: 0, period: 1 } })
    await ipvs.createService({ ...service, scheduler: 'rr' })
    await ipvs.createDestination(service, { address: a.address })
    await ipvs.startDaemon({ state, interface: host.towards('a').device, syncId: 7 })
  }
  const socket = await client.connect({ address: virtual, port })
  socket.on('error', () => undefined).on('data', () => undefined)
  const [learnt] = await until(
    'the connection on the backup',
    async () => {
      socket.write('?')
      const found: IpvsConnection[] = []
      for await (const connection of slave.connections({}, { origins: true })) found.push(connection)
      return found.length > 0 ? found : undefined
    },
    { deadlineSeconds: 60, everyMilliseconds: 200 },
  )
  t.match(learnt, {
    origin: 'sync',
    client: { port: socket.localPort! },
    destination: { address: a.address },
  })
  for (const [ipvs, state] of [
    [slave, 'backup'],
    [master, 'master'],
  ] as const) {
    await ipvs.stopDaemon(state)
    ipvs.close()
  }
})

void t.test('without a namespace the error is not that IPVS is absent', async (t) => {
  const { connections } = await import('../../src/index.js')
  const error: unknown = await connections({ path: '/nonexistent' })
    .next()
    .catch((error: unknown) => error)
  t.match(error, { name: 'KernelError', code: 'ENOENT', operation: 'netns.open' })
  t.notOk(isUnsupportedError(error))
})

/** Sockets of the running kernel, in namespaces of our own. */
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { connectTcp, listenTcp, NetworkNamespace, openUdp } from '../../src/net/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { type DiagSocket, Sockdiag } from '../../src/sockdiag/index.js'
import { uses } from '../lab/support/features.js'
import { kernelTest } from './kernel-test.js'

interface Place {
  readonly netns: NetworkNamespace
  readonly sockdiag: Sockdiag
  /** What is called at the end. */
  readonly later: (close: () => unknown) => void
}

function socketTest(name: string, work: (t: Test, place: Place) => Promise<void>): void {
  kernelTest(name, { needs: { capabilities: ['CAP_NET_ADMIN'] } }, async (t) => {
    const netns = NetworkNamespace.create()
    const closers: (() => unknown)[] = [() => netns.close()]
    try {
      const rtnetlink = await Rtnetlink.open({ netns })
      await rtnetlink.links.set('lo', { up: true })
      rtnetlink.close()
      const sockdiag = await Sockdiag.open({ netns })
      closers.push(() => sockdiag.close())
      await work(t, { netns, sockdiag, later: (close) => closers.push(close) })
    } finally {
      for (const close of closers.reverse()) await close()
    }
  })
}

async function listening({ netns, later }: Place, address: string, port: number) {
  const server = await listenTcp({ netns, address, port })
  server.on('connection', (socket) => {
    socket.on('error', () => undefined)
    later(() => socket.destroy())
  })
  later(() => new Promise((resolve) => server.close(resolve)))
  return server
}

async function connected({ netns, later }: Place, address: string, port: number): Promise<Socket> {
  const socket = await connectTcp({ netns, address, port })
  later(() => socket.destroy())
  return socket
}

/** The code of the error that ends it. */
function fate(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code)))
}

const brief = (sockets: readonly DiagSocket[]): string[] =>
  sockets.map(({ localAddress, localPort, state }) => `${localAddress} ${localPort} ${state}`).sort()

socketTest('who listens on a port, of both families, with the process', async (t, place) => {
  const { netns, sockdiag, later } = place
  await listening(place, '127.0.0.1', 7001)
  await listening(place, '::1', 7001)
  await listening(place, '127.0.0.1', 7002)
  const udp = await openUdp({ netns, address: '127.0.0.1', port: 7001 })
  later(() => udp.close())
  const found = await sockdiag.listeners(7001)
  t.same(brief(found), ['127.0.0.1 7001 listen', '::1 7001 listen'])
  for (const socket of found) {
    t.match(socket, {
      protocol: 'tcp',
      family: socket.localAddress === '::1' ? 'ipv6' : 'ipv4',
      remotePort: 0,
      uid: process.getuid!(),
      receiveQueue: 0,
      processes: [{ pid: process.pid, descriptors: [Number] }],
    })
  }
  t.same(brief(await sockdiag.listeners(7001, 'udp')), ['127.0.0.1 7001 close'])
  t.same(await sockdiag.listeners(7003), [])
  t.same(
    await sockdiag.owners([{ ...found[0]!, inode: 0 }]).then(([one]) => one!.processes),
    [],
    'nobody holds what has no inode',
  )
  await t.rejects(sockdiag.listeners(0), { code: 'ERR_VIADUCT_VALIDATION', path: 'filter.localPort' })
})

socketTest('sockets by their states, ports and addresses', async (t, place) => {
  const { sockdiag } = place
  await listening(place, '0.0.0.0', 7001)
  await listening(place, '::', 7002)
  await connected(place, '127.0.0.1', 7001)
  await connected(place, '127.0.0.2', 7001)
  await connected(place, '127.0.0.1', 7002)
  await connected(place, '::1', 7002)
  const count = async (filter: object): Promise<number> =>
    (await sockdiag.sockets({ protocol: 'tcp', ...filter })).length
  t.equal(await count({}), 10, 'two that listen, and both ends of four')
  t.equal(await count({ states: ['listen'] }), 2)
  t.equal(await count({ states: ['established'] }), 8)
  t.equal(await count({ states: ['syn-sent', 'time-wait'] }), 0)
  t.equal(await count({ family: 'ipv4' }), 6)
  t.equal(await count({ localPort: 7001 }), 3)
  t.equal(await count({ remotePort: 7001 }), 2)
  t.equal(await count({ remoteAddress: '127.0.0.2' }), 1)
  t.equal(await count({ remoteAddress: '127.0.0.0/8', remotePort: 7002 }), 1)
  t.equal(await count({ localAddress: '127.0.0.1', localPort: 7002 }), 1, '::ffff:127.0.0.1 of the one at ::')
  t.equal(await count({ localAddress: '::1' }), 2)
  const [one] = await sockdiag.sockets({ protocol: 'tcp', remoteAddress: '127.0.0.2' })
  t.match(one, { family: 'ipv4', state: 'established', remotePort: 7001, shutdown: [] })
  await t.rejects(count({ remoteAddress: 'nowhere' }), {
    code: 'ERR_VIADUCT_VALIDATION',
    path: 'filter.remoteAddress',
  })
  await t.rejects(count({ states: ['open'] }), { code: 'ERR_VIADUCT_VALIDATION', path: 'filter.states' })
  await t.rejects(count({ protocol: 'sctp' }), { code: 'ERR_VIADUCT_VALIDATION', path: 'filter.protocol' })
})

socketTest('connections are ended from outside, and no others', async (t, place) => {
  const { netns, sockdiag, later } = place
  await listening(place, '0.0.0.0', 7001)
  await listening(place, '::', 7002)
  const [one, two, three, four] = [
    await connected(place, '127.0.0.2', 7001),
    await connected(place, '127.0.0.2', 7001),
    await connected(place, '127.0.0.3', 7001),
    await connected(place, '::1', 7002),
  ]
  const [found] = await sockdiag.sockets({ protocol: 'tcp', localPort: one.localPort! })
  const ended = fate(one)
  await t.rejects(sockdiag.destroy({ ...found!, cookie: found!.cookie + 1_000_000n }), { code: 'ENOENT' })
  await sockdiag.destroy(found!)
  t.equal(await ended, 'ECONNABORTED')
  await t.rejects(sockdiag.destroy(found!), {
    code: 'ENOENT',
    operation: 'sockdiag.destroy',
    object: { remoteAddress: '127.0.0.2', remotePort: 7001 },
  })
  const second = fate(two)
  t.equal(await sockdiag.destroyMatching({ protocol: 'tcp', remoteAddress: '127.0.0.2' }), 1)
  t.equal(await second, 'ECONNABORTED')
  const fourth = fate(four)
  t.equal(await sockdiag.destroyMatching({ protocol: 'tcp', remotePort: 7002, family: 'ipv6' }), 1)
  t.equal(await fourth, 'ECONNABORTED')
  t.equal(await sockdiag.destroyMatching({ protocol: 'tcp', remotePort: 7002 }), 0)
  t.equal((await sockdiag.sockets({ protocol: 'tcp', localPort: three.localPort! })).length, 1)
  const udp = await openUdp({ netns, address: '127.0.0.1', port: 7005 })
  later(() => udp.close())
  const failed = new Promise((resolve) => udp.once('error', resolve))
  const [listener] = await sockdiag.listeners(7005, 'udp')
  const { processes: _, ...key } = listener!
  await sockdiag.destroy({ ...key, cookie: undefined } as never)
  t.match(await failed, { code: 'ECONNABORTED' })
  uses('sockdiag')
})

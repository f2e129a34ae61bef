import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, readdirSync, readFileSync, readlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { parseAddress } from '../../src/address/index.js'
import { loadNative } from '../../src/native.js'
import {
  connectTcp,
  DatagramSocket,
  listenTcp,
  type Netns,
  NetworkNamespace,
  openFile,
  openPacket,
  openPingSocket,
  openRaw,
  openTcpListener,
  openUdp,
  ping,
  readChunks,
  readFile,
  readLines,
  writeFile,
} from '../../src/net/index.js'
import {
  attribute,
  cable,
  dumpLinks,
  exchangeNow,
  indexOf,
  linkOf,
  openDescriptors,
  openNetlink,
  replies,
  request,
  rtnetlink,
  setLink,
} from '../native/messages.js'
import { scenario } from '../native/process.js'

const here = readlinkSync('/proc/self/ns/net')
const bytesOf = (address: string) => parseAddress(address)!
const client = NetworkNamespace.create()
const server = NetworkNamespace.create()
cable(
  {
    name: 'client',
    netns: client,
    addresses: [
      [bytesOf('10.0.0.1'), 24],
      [bytesOf('fd00::1'), 64],
    ],
  },
  {
    name: 'server',
    netns: server,
    addresses: [
      [bytesOf('10.0.0.2'), 24],
      [bytesOf('fd00::2'), 64],
    ],
  },
)
t.teardown(() => {
  client.close()
  server.close()
})

// libuv keeps one descriptor in reserve from the first time that it listens (uv__emfile_trick).
const first = createServer().listen(0, '127.0.0.1')
await once(first, 'listening')
first.close()
await once(first, 'close')

/** Nothing that a test opens stays open. */
async function keepsDescriptors(t: Test, work: () => Promise<void>): Promise<void> {
  const before = openDescriptors()
  await work()
  // Handles of libuv close in the next turns of the event loop.
  for (let turn = 0; turn < 1000 && openDescriptors() > before; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(openDescriptors(), before, 'descriptors')
}

function linksOf(netns: { readonly fd: number }): number {
  const socket = openNetlink({ netnsFd: netns.fd })
  const count = replies(exchangeNow(socket, request(dumpLinks(1))).bytes).filter((r) => r.type === 16).length
  socket.close()
  return count
}

t.test(
  'a namespace is made, entered by other threads than Node’s, and goes with its descriptor',
  async (t) => {
    await keepsDescriptors(t, async () => {
      const namespace = NetworkNamespace.create()
      t.ok(linksOf(namespace) >= 1)
      const names: string[] = []
      for await (const line of readLines('/proc/net/dev', { netns: namespace })) names.push(line.trim())
      t.match(names.slice(2), [/^lo:/])
      namespace.close()
      t.equal(namespace.fd, -1)
      namespace.close()
      t.throws(() => readFile('/proc/net/dev', { netns: namespace }), { code: 'ERR_VIADUCT_VALIDATION' })
    })
    for (const thread of readdirSync('/proc/self/task')) {
      t.equal(readlinkSync(`/proc/self/task/${thread}/ns/net`), here, 'every thread is where it was')
    }
  },
)

t.test('namespaces go with the thread that made them, also if it is ended', async (t) => {
  t.match(await scenario('namespaces'), { code: 0, output: 'left open: 0\n', errors: '' })
})

t.test('names are those of `ip netns`', async (t) => {
  const name = `viaduct-test-${process.pid}`
  await keepsDescriptors(t, async () => {
    t.equal(NetworkNamespace.find(name), undefined)
    const made = NetworkNamespace.createNamed(name)
    t.equal(made.name, name)
    t.throws(() => NetworkNamespace.createNamed(name), {
      name: 'KernelError',
      code: 'EEXIST',
      errno: -17,
      operation: 'netns.create',
      object: { name },
    })
    t.ok(NetworkNamespace.list().includes(name))
    t.ok(mounts().some((line) => line.includes(` /run/netns/${name} `) && line.includes(' nsfs ')))
    t.ok(mounts().some((line) => line.includes(' /run/netns ') && line.includes(' shared:')))
    writeFile('/proc/sys/net/ipv4/ip_forward', '1', { netns: name })
    made.close()
    // The name holds it.
    const found = NetworkNamespace.find(name)
    t.equal(readFile('/proc/sys/net/ipv4/ip_forward', { netns: found }), '1\n')
    t.equal(readFile('/proc/sys/net/ipv4/ip_forward', { netns: { path: `/run/netns/${name}` } }), '1\n')
    found?.close()
    NetworkNamespace.delete(name)
    t.notOk(NetworkNamespace.list().includes(name))
    t.throws(() => lstatSync(`/run/netns/${name}`), { code: 'ENOENT' })
    t.throws(() => NetworkNamespace.delete(name), { code: 'ENOENT', operation: 'netns.delete' })
    t.throws(() => NetworkNamespace.open(name), {
      code: 'ENOENT',
      operation: 'netns.open',
      object: { netns: name },
    })
  })
  for (const wrong of ['', '.', '..', 'a/b', 'a\0', 'x'.repeat(256)]) {
    t.throws(() => NetworkNamespace.createNamed(wrong), { code: 'ERR_VIADUCT_VALIDATION' })
  }
})

t.test('a file that is left over from a namespace is none', async (t) => {
  const name = `viaduct-left-${process.pid}`
  NetworkNamespace.createNamed(`${name}-other`).close()
  writeFileSync(`/run/netns/${name}`, '')
  await keepsDescriptors(t, async () => {
    t.equal(NetworkNamespace.find(name), undefined)
    t.notOk(NetworkNamespace.list().includes(name))
    t.throws(() => openTcpListener({ netns: name }), {
      code: 'EINVAL',
      operation: 'tcp.listen',
      object: { netns: name },
    })
    NetworkNamespace.delete(name)
  })
  NetworkNamespace.delete(`${name}-other`)
  t.throws(() => unlinkSync(`/run/netns/${name}`), { code: 'ENOENT' })
})

t.test('a namespace is told by process, path or descriptor', async (t) => {
  const all: Netns[] = [{ pid: process.pid }, { path: '/proc/self/ns/net' }]
  for (const netns of all) {
    const opened = NetworkNamespace.open(netns)
    t.equal(readlinkSync(`/proc/self/fd/${opened.fd}`), here)
    opened.close()
  }
  const copy = NetworkNamespace.open(client)
  t.not(copy.fd, client.fd)
  t.equal(readlinkSync(`/proc/self/fd/${copy.fd}`), readlinkSync(`/proc/self/fd/${client.fd}`))
  copy.close()
  t.throws(() => NetworkNamespace.open({ pid: 0 }), { code: 'ERR_VIADUCT_VALIDATION' })
  t.throws(() => NetworkNamespace.open({ pid: 2 ** 22 + 1 }), { code: 'ENOENT' })
})

t.test('files are those of the namespace that opens them', async (t) => {
  await keepsDescriptors(t, async () => {
    const forwarding = '/proc/sys/net/ipv4/ip_forward'
    const outside = readFile(forwarding)
    for (const value of ['0\n', '1\n']) {
      writeFile(forwarding, value, { netns: client })
      t.equal(readFile(forwarding, { netns: client }), value)
      t.equal(readFile(forwarding), outside)
    }
    t.match(readFile('/proc/net/if_inet6', { netns: client }), /^fd0{29}1 .* cable$/m)
    t.match(readFile('/proc/self/net/if_inet6', { netns: client }), /cable/)
    t.equal(readFile('/proc/net/route'), readFileSync('/proc/net/route', 'utf8'))
    t.throws(() => writeFile(forwarding, 'no', { netns: client }), {
      name: 'KernelError',
      code: 'EINVAL',
      operation: 'file.write',
    })
    t.throws(() => openFile('/proc/net/nothing', { netns: client }), {
      code: 'ENOENT',
      operation: 'file.open',
    })
  })
})

t.test('huge files come in pieces, and early ends close them', async (t) => {
  const path = '/proc/kallsyms'
  const expected = readFileSync(path)
  t.ok(expected.length > 1_000_000)
  await keepsDescriptors(t, async () => {
    const pieces: Uint8Array[] = []
    for await (const piece of readChunks(path, { chunkBytes: 100_000 })) pieces.push(piece)
    t.ok(pieces.every((piece) => piece.length <= 100_000))
    t.ok(Buffer.concat(pieces).equals(expected))
    let lines = 0
    let length = 0
    for await (const line of readLines(path, { chunkBytes: 65_537 })) {
      lines++
      length += line.length + 1
    }
    t.equal(length, expected.length)
    t.equal(lines, expected.toString().split('\n').length - 1)
    for await (const _line of readLines(path)) break
    const controller = new AbortController()
    const aborted = (async () => {
      for await (const _piece of readChunks(path, { signal: controller.signal, chunkBytes: 1000 })) {
        controller.abort(new Error('enough'))
      }
    })()
    await t.rejects(aborted, { message: 'enough' })
    await t.rejects(readLines('/proc/net/nothing').next(), { code: 'ENOENT' })
    await t.rejects(readChunks('/dev/zero').next(), { code: 'EINVAL', operation: 'file.read' })
  })
})

t.test('what would have to be waited for is refused', async (t) => {
  const pipe = `${t.testdir()}/pipe`
  execFileSync('mkfifo', [pipe])
  await keepsDescriptors(t, async () => {
    t.throws(() => readFile(pipe), { code: 'EINVAL', operation: 'file.read', object: { path: pipe } })
    t.throws(() => readFile('/dev/zero'), { code: 'EINVAL' })
    t.throws(() => writeFile(pipe, 'no'), { code: 'ENXIO', operation: 'file.open', hint: /pipe/ })
    await t.rejects(readLines(pipe).next(), { code: 'EINVAL', operation: 'file.read', hint: /Regular files/ })
    t.throws(() => readFile('/proc/net/dev', { netns: { path: pipe } }), { code: 'EINVAL' })
    // The log of the kernel: who has read it all would wait for the next line.
    const readAll = async () => {
      for await (const _piece of readChunks('/proc/kmsg'));
    }
    await t.rejects(readAll(), { code: 'EAGAIN', operation: 'file.read', hint: /nothing to read/ })
  })
})

function body(url: string, socket: Awaited<ReturnType<typeof connectTcp>>): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { createConnection: () => socket }, (response: IncomingMessage) => {
      let text = ''
      response.on('data', (piece: Buffer) => (text += String(piece)))
      socket.once('close', () => resolve(text))
    }).once('error', reject)
  })
}

t.test('HTTP between two namespaces, over both families', async (t) => {
  await keepsDescriptors(t, async () => {
    for (const [address, listen] of [
      ['10.0.0.2', '0.0.0.0'],
      ['fd00::2', '::'],
    ] as const) {
      const http = await listenTcp(
        { netns: server, address: listen, ipv6Only: listen === '::' ? true : undefined },
        createServer((request, response) => response.end(`to ${request.socket.remoteAddress}`)),
      )
      const { port } = http.address() as AddressInfo
      const socket = await connectTcp({ netns: client, address, port })
      const host = address.includes(':') ? `[${address}]` : address
      t.equal(await body(`http://${host}:${port}/`, socket), `to ${listen === '::' ? 'fd00::1' : '10.0.0.1'}`)
      http.close()
      await once(http, 'close')
    }
  })
})

t.test('opening in other namespaces, and making some, leaves no descriptor', async (t) => {
  await keepsDescriptors(t, async () => {
    const addon = loadNative()
    for (let round = 0; round < 10_000; round++) openNetlink({ netnsFd: server.fd }).close()
    for (let round = 0; round < 1000; round++) {
      addon.closeDescriptor(addon.openFile(server.fd, '/proc/thread-self/net/dev', 0))
      addon.closeDescriptor(addon.openSocket(server.fd, { family: 2, type: 2, protocol: 0 }))
      t.throws(() => addon.openFile(server.fd, '/nonexistent', 0), { code: 'ENOENT' })
    }
    for (let round = 0; round < 50; round++) NetworkNamespace.create().close()
  })
})

t.test('buffers are as large as asked for, whatever net.core permits', async (t) => {
  const most = Number(readFile('/proc/sys/net/core/rmem_max'))
  // The reply to each takes some hundred bytes of memory.
  const count = Math.ceil(most / 100)
  const failing = request(
    ...Array.from({ length: count }, (_, index) => ({
      ...dumpLinks(index + 1),
      flags: 1,
      payload: linkOf(4711),
    })),
  )
  const sendBufferBytes = 4 * failing.length
  for (const [receiveBufferBytes, lost] of [
    [0, true],
    [64 * most, false],
  ] as const) {
    const socket = openNetlink({ netnsFd: server.fd, receiveBufferBytes, sendBufferBytes })
    t.equal(exchangeNow(socket, failing).lost, lost)
    socket.close()
  }
  const small = openNetlink({ netnsFd: server.fd, sendBufferBytes: 1 })
  t.throws(() => exchangeNow(small, failing), { code: 'EMSGSIZE' })
  small.close()
})

t.test('as many connections wait to be accepted as was said', async (t) => {
  await keepsDescriptors(t, async () => {
    for (const [options, expected] of [
      [{ backlog: 7 }, 7],
      [{}, 511],
    ] as const) {
      const listener = await listenTcp({ netns: server, ...options })
      t.strictSame(backlogs(server), [expected])
      listener.close()
      await once(listener, 'close')
    }
  })
})

/** Of the listening sockets over IPv4: struct inet_diag_msg has it as the send queue (net/ipv4/tcp_diag.c). */
function backlogs(netns: { readonly fd: number }): number[] {
  const NETLINK_SOCK_DIAG = 4
  const SOCK_DIAG_BY_FAMILY = 20
  const socket = openNetlink({ protocol: NETLINK_SOCK_DIAG, netnsFd: netns.fd, strictChecking: false })
  // struct inet_diag_req_v2: AF_INET, IPPROTO_TCP, and of the states TCP_LISTEN alone.
  const payload = Buffer.alloc(56)
  payload.set([2, 6])
  payload.writeUInt32LE(1 << 10, 4)
  const { bytes } = exchangeNow(socket, request({ ...dumpLinks(1), type: SOCK_DIAG_BY_FAMILY, payload }))
  socket.close()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const found: number[] = []
  for (let at = 0; at < bytes.length; at += view.getUint32(at, true)) {
    if (view.getUint16(at + 4, true) === SOCK_DIAG_BY_FAMILY) found.push(view.getUint32(at + 16 + 60, true))
  }
  return found
}

t.test('connections that do not come about say why', async (t) => {
  await keepsDescriptors(t, async () => {
    await t.rejects(connectTcp({ netns: client, address: '10.0.0.2', port: 9 }), {
      name: 'KernelError',
      code: 'ECONNREFUSED',
      errno: -111,
      operation: 'tcp.connect',
      object: { address: '10.0.0.2', port: 9 },
    })
    await t.rejects(connectTcp({ netns: client, address: '192.0.2.1', port: 9 }), { code: 'ENETUNREACH' })
    // Nobody has this address, so nobody answers for it on the link.
    const silent = { netns: client, address: '10.0.0.99', port: 9 }
    const start = performance.now()
    await t.rejects(connectTcp({ ...silent, deadlineMilliseconds: 50 }), { code: 'ETIMEDOUT' })
    t.ok(performance.now() - start < 2500)
    const controller = new AbortController()
    const aborted = connectTcp({ ...silent, signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await t.rejects(aborted, { message: 'changed my mind' })
    await t.rejects(connectTcp({ ...silent, signal: controller.signal }), { message: 'changed my mind' })
    await t.rejects(connectTcp({ ...silent, address: 'localhost' }), { code: 'ERR_VIADUCT_VALIDATION' })
    await t.rejects(connectTcp({ ...silent, port: 70_000 }), { code: 'ERR_VIADUCT_VALIDATION' })
  })
})

/** struct fib_rule_hdr: packets with the mark are prohibited (FR_ACT_PROHIBIT); FRA_FWMARK. */
function prohibitMark(netns: { readonly fd: number }, mark: number): void {
  const rule = Buffer.alloc(12)
  rule.set([2, 0, 0, 0, 0, 0, 0, 8])
  rtnetlink(netns, { type: 32, flags: 0x400, payload: Buffer.concat([rule, attribute(10, mark)]) })
}

t.test('sockets bear marks, stay on devices and take addresses that are not there', async (t) => {
  prohibitMark(client, 7)
  await keepsDescriptors(t, async () => {
    const listener = await listenTcp({ netns: server })
    const { port } = listener.address() as AddressInfo
    const target = { netns: client, address: '10.0.0.2', port }
    await t.rejects(connectTcp({ ...target, mark: 7 }), { code: 'EACCES', hint: /^A route or rule/ })
    for (const options of [{ mark: 8 }, { device: 'cable' }, { localAddress: '10.0.0.1', localPort: 4711 }]) {
      const accepted = once(listener, 'connection')
      const socket = await connectTcp({ ...target, ...options })
      const [peer] = (await accepted) as [typeof socket]
      if ('localPort' in options) t.equal(peer.remotePort, 4711)
      socket.resetAndDestroy()
      peer.destroy()
      await once(peer, 'close')
    }
    await t.rejects(connectTcp({ ...target, device: 'lo', deadlineMilliseconds: 200 }), {
      code: /^(ENETUNREACH|EHOSTUNREACH|ETIMEDOUT)$/,
    })
    await t.rejects(connectTcp({ ...target, device: 'nothere' }), { code: 'ENODEV' })
    await t.rejects(connectTcp({ ...target, device: 'much too long for one' }), {
      code: 'ERR_VIADUCT_VALIDATION',
    })
    await t.rejects(connectTcp({ ...target, mark: -1 }), { code: 'ERR_VIADUCT_VALIDATION' })
    listener.close()
    await once(listener, 'close')

    for (const address of ['203.0.113.5', '2001:db8::5']) {
      await t.rejects(listenTcp({ netns: server, address }), { code: 'EADDRNOTAVAIL' })
      for (const option of [{ transparent: true }, { freebind: true }]) {
        const bound = await listenTcp({ netns: server, address, ...option })
        t.equal((bound.address() as AddressInfo).address, address)
        bound.close()
        await once(bound, 'close')
      }
    }
    const busy = await listenTcp({ netns: server })
    await t.rejects(listenTcp({ netns: server }, busy), { code: 'ERR_SERVER_ALREADY_LISTEN' })
    busy.close()
    await once(busy, 'close')
    const first = await listenTcp({ netns: server, port: 8080, reusePort: true })
    const second = await listenTcp({ netns: server, port: 8080, reusePort: true })
    await t.rejects(listenTcp({ netns: server, port: 8080 }), { code: 'EADDRINUSE' })
    for (const one of [first, second]) {
      one.close()
      await once(one, 'close')
    }
  })
})

t.test('other sockets bear them too', async (t) => {
  await keepsDescriptors(t, async () => {
    writeFile('/proc/sys/net/ipv4/ping_group_range', '0 2147483647', { netns: server })
    prohibitMark(server, 7)
    const bytes = new Uint8Array(16)
    bytes[0] = 8
    const target = { address: '10.0.0.1' }
    const prohibited = { code: 'EACCES', operation: 'datagram.send', hint: /^A route or rule/ }
    for (const open of [
      (options: object) => openPingSocket({ netns: server, family: 'ipv4', ...options }),
      (options: object) => openRaw({ netns: server, protocol: 1, ...options }),
    ]) {
      const use = (options: object, work: (socket: DatagramSocket) => void) => {
        const socket = open(options)
        work(socket)
        socket.close()
      }
      use({ mark: 7 }, (socket) => t.throws(() => socket.send(bytes, target), prohibited))
      use({ mark: 8, device: 'cable' }, (socket) => socket.send(bytes, target))
      t.throws(() => open({ device: 'nothere' }), { code: 'ENODEV' })
      t.throws(() => open({ address: '203.0.113.5' }), { code: 'EADDRNOTAVAIL' })
      use({ address: '203.0.113.5', transparent: true }, () => undefined)
    }
    const udp = await openUdp({ netns: server, mark: 7 })
    const failed = new Promise((resolve) => udp.send('no', 9, '10.0.0.1', resolve))
    t.match(await failed, { code: 'EACCES' })
    udp.close()
    const far = { netns: server, address: '203.0.113.5' }
    await t.rejects(openUdp(far), { code: 'EADDRNOTAVAIL' })
    const taken = await openUdp({ ...far, transparent: true, device: 'cable' })
    t.equal(taken.address().address, '203.0.113.5')
    taken.close()
    await t.rejects(openUdp({ ...far, device: 'nothere' }), { code: 'ENODEV' })
    openPacket({ netns: server, mark: 7 }).close()
    t.throws(() => openPacket({ netns: server, mark: -1 }), { code: 'ERR_VIADUCT_VALIDATION' })
  })
})

t.test('UDP between two namespaces, over both families', async (t) => {
  await keepsDescriptors(t, async () => {
    for (const [address, any] of [
      ['10.0.0.2', '0.0.0.0'],
      ['fd00::2', '::'],
    ] as const) {
      const receiver = await openUdp({ netns: server, address, port: 5353 })
      const sender = await openUdp({ netns: client, address: any })
      const arrived = once(receiver, 'message')
      sender.send('hello', 5353, address)
      const [message, from] = (await arrived) as [Buffer, { address: string }]
      t.equal(String(message), 'hello')
      t.equal(from.address, any === '::' ? 'fd00::1' : '10.0.0.1')
      await t.rejects(openUdp({ netns: server, address, port: 5353 }), {
        code: 'EADDRINUSE',
        operation: 'udp.open',
      })
      receiver.close()
      sender.close()
    }
  })
})

t.test('pings of both families, through ping sockets and raw ones', async (t) => {
  await keepsDescriptors(t, async () => {
    t.throws(
      () => openPingSocket({ netns: client, family: 'ipv4' }),
      { code: 'EACCES', hint: /ping_group_range/ },
      'none in a new namespace',
    )
    for (const range of ['1 0', '0 2147483647']) {
      writeFile('/proc/sys/net/ipv4/ping_group_range', range, { netns: client })
      for (const address of ['10.0.0.2', 'fd00::2']) {
        const reply = await ping({ netns: client, address, payloadBytes: 33 })
        t.equal(reply.address, address)
        t.ok(reply.milliseconds > 0)
      }
      // Nobody answers: a raw and a ping socket hear of it in their own ways, or not before the deadline.
      await t.rejects(ping({ netns: client, address: '10.0.0.77', deadlineMilliseconds: 30 }), {
        name: 'KernelError',
        operation: 'ping',
        object: { address: '10.0.0.77' },
        code: 'ETIMEDOUT',
      })
    }
    await t.rejects(ping({ netns: client, address: '192.0.2.9' }), { code: 'ENETUNREACH', operation: 'ping' })
  })
})

t.test('raw sockets', async (t) => {
  await keepsDescriptors(t, async () => {
    // A protocol number for experiments (RFC 3692).
    const receiver = openRaw({ netns: server, protocol: 253 })
    const sender = openRaw({ netns: client, protocol: 253, address: '10.0.0.1' })
    sender.send(Uint8Array.of(1, 2, 3), { address: '10.0.0.2' })
    const arrived = await receiver.receive({ deadlineMilliseconds: 5000 })
    t.equal(arrived.address, '10.0.0.1')
    t.equal(arrived.bytes[9], 253)
    t.strictSame([...arrived.bytes.subarray(20)], [1, 2, 3])

    const own = openRaw({ netns: client, protocol: 253, headerIncluded: true })
    const header = Uint8Array.from([
      0x45,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      64,
      253,
      0,
      0,
      ...bytesOf('10.0.0.42'),
      ...bytesOf('10.0.0.2'),
      9,
    ])
    own.send(header, { address: '10.0.0.2' })
    const forged = await receiver.receive({ deadlineMilliseconds: 5000 })
    t.equal(forged.address, '10.0.0.42')
    t.equal(forged.bytes[20], 9)

    const v6 = openRaw({ netns: server, family: 'ipv6', protocol: 253 })
    const v6Sender = openRaw({ netns: client, address: 'fd00::1', protocol: 253 })
    v6Sender.send(Uint8Array.of(4, 5), { address: 'fd00::2' })
    const received = await v6.receive({ deadlineMilliseconds: 5000 })
    t.match(received, { address: 'fd00::1' })
    t.strictSame([...received.bytes], [4, 5])

    await t.rejects(v6.receive({ deadlineMilliseconds: 10 }), {
      code: 'ETIMEDOUT',
      operation: 'datagram.receive',
    })
    await t.rejects(v6.receive({ signal: AbortSignal.abort(new Error('no')) }), { message: 'no' })
    const controller = new AbortController()
    const aborted = v6.receive({ signal: controller.signal })
    controller.abort(new Error('later'))
    await t.rejects(aborted, { message: 'later' })
    t.throws(() => sender.send(new Uint8Array(1), { address: 'nobody' }), { code: 'ERR_VIADUCT_VALIDATION' })
    t.throws(() => sender.send(new Uint8Array(1), { address: '192.0.2.1' }), { code: 'ENETUNREACH' })
    t.throws(() => sender.send(new Uint8Array(1), { address: 'fd00::2' }), { name: 'TypeError' })

    // Those that come while nobody waits are kept, in their order; closing ends who waits.
    for (let number = 0; number < 5; number++) v6Sender.send(Uint8Array.of(number), { address: 'fd00::2' })
    const order: number[] = []
    for await (const { bytes } of v6) {
      order.push(bytes[0]!)
      if (order.length === 5) v6.close()
    }
    t.strictSame(order, [0, 1, 2, 3, 4])
    const waiting = receiver.receive()
    for (const socket of [receiver, sender, own, v6Sender]) socket.close()
    await t.rejects(waiting, { code: 'EBADF' })
    await t.rejects(receiver.receive(), { code: 'EBADF' })
    receiver.close()
  })
})

t.test('packet sockets send and receive whole frames', async (t) => {
  await keepsDescriptors(t, async () => {
    const at = openPacket({ netns: server, device: 'cable', protocol: 0x88b5 })
    const from = openPacket({ netns: client, device: 'cable' })
    // An EtherType for experiments (IEEE 802), to everybody.
    const frame = Uint8Array.from([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 0x88, 0xb5, 1, 2, 3])
    from.send(frame, { address: 'ff:ff:ff:ff:ff:ff', interfaceIndex: indexOf(client, 'cable') })
    const arrived = await at.receive({ deadlineMilliseconds: 5000 })
    t.strictSame([...arrived.bytes], [...frame])
    t.match(arrived, { address: '02:00:00:00:00:09', port: 0x88b5, interfaceIndex: indexOf(server, 'cable') })
    t.throws(() => openPacket({ netns: server, device: 'nothere' }), { code: 'ENODEV' })

    // The link goes down under it: an error in the place of a datagram.
    const down = at.receive({ deadlineMilliseconds: 5000 })
    setLink(client, indexOf(client, 'cable'), false)
    setLink(server, indexOf(server, 'cable'), false)
    await t.rejects(down, { code: 'ENETDOWN' })
    at.close()
    from.close()
  })
})

t.test('frames are whole, however large', async (t) => {
  const own = NetworkNamespace.create()
  await keepsDescriptors(t, async () => {
    setLink(own, 1, true)
    const at = openPacket({ netns: own, device: 'lo', protocol: 0x88b5 })
    const from = openPacket({ netns: own, device: 'lo' })
    const send = (length: number) => {
      const frame = new Uint8Array(length).fill(7)
      frame.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0xb5])
      from.send(frame, { address: '00:00:00:00:00:00', interfaceIndex: 1 })
    }
    // As much as `lo` takes unless told: a header and 64 KiB.
    send(14 + 65_536)
    const { bytes } = await at.receive({ deadlineMilliseconds: 5000 })
    t.equal(bytes.length, 14 + 65_536)
    t.equal(bytes.at(-1), 7)
    // IFLA_MTU
    rtnetlink(own, { type: 16, flags: 0, payload: Buffer.concat([linkOf(1), attribute(4, 150_000)]) })
    send(14 + 140_000)
    send(100)
    await t.rejects(at.receive({ deadlineMilliseconds: 5000 }), { code: 'EMSGSIZE' })
    t.equal((await at.receive({ deadlineMilliseconds: 5000 })).bytes.length, 100, 'and goes on')
    at.close()
    from.close()
  })
  own.close()
})

t.test('a deadline may be as far away as one likes', async (t) => {
  const socket = openRaw({ netns: server, protocol: 253 })
  for (const deadlineMilliseconds of [2 ** 31, Infinity]) {
    const controller = new AbortController()
    const waiting = socket.receive({ deadlineMilliseconds, signal: controller.signal })
    // One that goes off at once would do so before this.
    await t.rejects(socket.receive({ deadlineMilliseconds: 20 }), { code: 'ETIMEDOUT' })
    controller.abort(new Error('enough'))
    await t.rejects(waiting, { message: 'enough' })
  }
  socket.close()
})

t.test('an error that nothing comes after closes the socket', async (t) => {
  await keepsDescriptors(t, async () => {
    const open = () => {
      // Not connected, and no datagram socket at all: it can be read from only once, and to no end.
      return new DatagramSocket(loadNative().openSocket(client.fd, { family: 2, type: 1, protocol: 0 }))
    }
    const socket = open()
    const both = [socket.receive(), socket.receive()] as const
    await t.rejects(both[0], { code: 'ENOTCONN', operation: 'datagram.receive' })
    await t.rejects(both[1], { code: 'EBADF' })
    await t.rejects(socket.receive(), { code: 'EBADF' })
    const iterated = open()
    const all = async () => {
      for await (const _datagram of iterated);
    }
    await t.rejects(all(), { code: 'ENOTCONN' })
  })
})

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
}

import { writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { ExchangeKind, loadNative } from '../../src/native.js'
import { openUdp, openUdpServer } from '../../src/net/index.js'
import { openSocket } from '../../src/netlink/socket.js'
import {
  dumpLinks,
  exchangeNow,
  getLoopback,
  getNothing,
  linkOf,
  NETLINK_FIB_LOOKUP,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  openDescriptors,
  openNetlink,
  replies,
  request,
  RTM_NEWLINK,
  unanswered,
} from '../native/messages.js'
import { scenario } from '../native/process.js'

const ENODEV = -19

function exchange(
  socket: ReturnType<typeof openNetlink>,
  bytes: Uint8Array,
  kind: keyof typeof ExchangeKind,
  timeoutMilliseconds = 5000,
) {
  return Promise.resolve(socket.exchange(bytes, bytes.length, ExchangeKind[kind], timeoutMilliseconds))
}

t.test('a request is answered at once, in the buffer of the socket', async (t) => {
  const socket = openNetlink()
  const bytes = request(getLoopback(7))
  const length = socket.exchangeSync(bytes, bytes.length, 0, 1000)
  const found = replies(socket.receiveBuffer.subarray(0, length))
  t.match(found, [
    { type: RTM_NEWLINK, sequence: 7 },
    { type: NLMSG_ERROR, sequence: 7, errno: 0 },
  ])
  t.equal(found.length, 2)
  t.ok(socket.portId > 0)
  t.equal(socket.receiveBuffer, socket.receiveBuffer, 'one view for all calls')
  socket.close()
})

t.test('only the first `length` bytes of a request are sent', async (t) => {
  const socket = openNetlink()
  const one = request(getLoopback(1))
  const two = request(getLoopback(1), getNothing(2))
  const length = socket.exchangeSync(two, one.length, 0, 1000)
  t.strictSame(
    replies(socket.receiveBuffer.subarray(0, length)).map((reply) => reply.sequence),
    [1, 1],
  )
  socket.close()
})

t.test('an error is told without having been asked for, success is not', async (t) => {
  const socket = openNetlink()
  t.match(replies(exchangeNow(socket, request(getNothing(1, NLM_F_REQUEST))).bytes), [{ errno: ENODEV }])
  t.strictSame(replies(exchangeNow(socket, request(unanswered(2))).bytes), [], 'nothing is waited for')
  const mixed = request(
    getNothing(3, NLM_F_REQUEST),
    getLoopback(4, NLM_F_REQUEST),
    getNothing(5, NLM_F_REQUEST),
    getLoopback(6),
  )
  t.strictSame(
    replies(exchangeNow(socket, mixed).bytes)
      .filter((reply) => reply.type === NLMSG_ERROR)
      .map(({ sequence, errno }) => [sequence, errno]),
    [
      [3, ENODEV],
      [5, ENODEV],
      [6, 0],
    ],
  )
  socket.close()
})

t.test('a dump is read to its end also as a batch', async (t) => {
  const socket = openNetlink()
  const message = { ...dumpLinks(3), flags: dumpLinks(3).flags | NLM_F_ACK }
  const here = replies(exchangeNow(socket, request(message)).bytes)
  t.equal(here.at(-1)?.type, NLMSG_DONE)
  const there = replies((await exchange(socket, request(message), 'batch')).bytes)
  t.strictSame(there, here)
  socket.close()
})

t.test('dumps are read one after the other, and a message that is none ends by itself', async (t) => {
  const socket = openNetlink()
  const { bytes, lost } = await exchange(
    socket,
    request(
      dumpLinks(1),
      getLoopback(2),
      getLoopback(3, NLM_F_REQUEST),
      getNothing(4, NLM_F_REQUEST),
      dumpLinks(5),
    ),
    'dumps',
  )
  t.equal(lost, false)
  const found = replies(bytes)
  const ends = (sequence: number) => found.filter((reply) => reply.sequence === sequence).at(-1)
  t.equal(ends(1)?.type, NLMSG_DONE)
  t.match(ends(2), { type: NLMSG_ERROR, errno: 0 })
  t.equal(ends(3)?.type, RTM_NEWLINK)
  t.match(ends(4), { type: NLMSG_ERROR, errno: ENODEV })
  t.equal(ends(5)?.type, NLMSG_DONE)
  t.strictSame(
    found.map((reply) => reply.sequence),
    found.map((reply) => reply.sequence).sort((a, b) => a - b),
  )
  socket.close()
})

t.test('replies go into memory that is lent for them, or elsewhere if they do not fit', async (t) => {
  const socket = openNetlink()
  const bytes = request(...Array.from({ length: 20 }, (_, index) => dumpLinks(index + 1)))
  const ask = (into?: Uint8Array) =>
    Promise.resolve(socket.exchange(bytes, bytes.length, ExchangeKind.dumps, 5000, into))
  const expected = replies((await ask()).bytes)
  const memory = new Uint8Array(1 << 20)
  const lent = memory.subarray(64)
  for (let round = 0; round < 3; round++) {
    const found = await ask(lent)
    t.equal(found.bytes.buffer, memory.buffer)
    t.equal(found.bytes.byteOffset, 64)
    t.strictSame(replies(found.bytes), expected)
    memory.fill(0xff)
  }
  // Room for one datagram, and not for the next; and none at all.
  for (const small of [new Uint8Array(129 * 1024), new Uint8Array(100), new Uint8Array()]) {
    const found = await ask(small)
    t.not(found.bytes.buffer, small.buffer)
    t.strictSame(replies(found.bytes), expected)
  }
  t.throws(() => ask([] as unknown as Uint8Array), { name: 'TypeError' })
  t.strictSame(replies((await ask(lent)).bytes), expected, 'and nothing was sent')
  const late = Promise.resolve(socket.exchange(bytes, 0, ExchangeKind.batch, 5000, lent))
  await t.rejects(late, { code: 'EINVAL' })
  socket.close()
})

t.test('the request may be written over as soon as `exchange` has returned', async (t) => {
  const socket = openNetlink()
  const bytes = request(getLoopback(1))
  const answer = exchange(socket, bytes, 'batch')
  bytes.fill(0xff)
  t.match(replies((await answer).bytes), [{ type: RTM_NEWLINK, sequence: 1 }, { errno: 0 }])
  socket.close()
})

t.test('a Promise of somebody else’s making does not get at the request', async (t) => {
  const socket = openNetlink()
  const bytes = request(getLoopback(1))
  const own = globalThis.Promise
  globalThis.Promise = class<T> extends own<T> {
    constructor(executor: ConstructorParameters<typeof own<T>>[0]) {
      super(executor)
      bytes.fill(0xff)
    }
  }
  let answer
  try {
    answer = exchange(socket, bytes, 'batch')
  } finally {
    globalThis.Promise = own
  }
  t.equal(bytes[0], 0xff)
  t.match(replies((await answer).bytes), [{ type: RTM_NEWLINK, sequence: 1 }, { errno: 0 }])
  socket.close()
})

t.test(
  'of messages that are applied together all that was answered is read, and nothing waited for',
  async (t) => {
    const socket = openNetlink()
    t.strictSame(replies((await exchange(socket, request(unanswered(1)), 'atomic')).bytes), [])
    const mixed = request(
      getNothing(1, NLM_F_REQUEST),
      getLoopback(2, NLM_F_REQUEST),
      getNothing(3),
      unanswered(4),
    )
    t.strictSame(
      replies((await exchange(socket, mixed, 'atomic')).bytes)
        .filter((reply) => reply.type === NLMSG_ERROR)
        .map(({ sequence, errno }) => [sequence, errno]),
      [
        [1, ENODEV],
        [3, ENODEV],
      ],
    )
    // One after the other, as fast as it goes: a thread looks out for the next, and the caller for the answer.
    for (let round = 1; round <= 2000; round++) {
      const found = replies((await exchange(socket, request(getLoopback(round)), 'atomic')).bytes)
      if (found.length !== 2 || found.some(({ sequence }) => sequence !== round)) t.fail(`round ${round}`)
    }
    // Large ones are not looked at, and what is closed meanwhile is told all the same.
    const large = request(
      ...Array.from({ length: 1000 }, (_, index) => unanswered(index + 1)),
      ...Array.from({ length: 100 }, (_, index) => getNothing(index + 1001)),
    )
    t.equal(replies((await exchange(socket, large, 'atomic')).bytes).length, 100)
    const late = exchange(socket, large, 'atomic')
    await t.rejects(exchange(socket, mixed, 'atomic'), { code: 'EBUSY' })
    socket.close()
    await late.then(
      ({ bytes }) => t.equal(replies(bytes).length, 100),
      (error: unknown) => t.match(error, { code: 'ECANCELED' }),
    )
    await t.rejects(exchange(socket, mixed, 'atomic'), { code: 'EBADF' })
  },
)

t.test('replies that were lost are told, and the next exchange is in order again', async (t) => {
  // As small as the kernel lets it be.
  const socket = openNetlink({ receiveBufferBytes: 1 })
  const failing = Array.from({ length: 300 }, (_, index) => getNothing(index + 1, NLM_F_REQUEST))
  for (const answer of [
    exchangeNow(socket, request(...failing, getNothing(301))),
    await exchange(socket, request(...failing, getNothing(301)), 'batch'),
  ]) {
    t.equal(answer.lost, true)
    const found = replies(answer.bytes)
    t.ok(found.length > 0 && found.length < 301, `${found.length} replies fitted`)
    t.ok(found.every((reply) => reply.errno === ENODEV))
  }
  const { bytes, lost } = exchangeNow(socket, request(getNothing(500)))
  t.equal(lost, false)
  t.match(replies(bytes), [{ sequence: 500, errno: ENODEV }])
  socket.close()
})

t.test('late replies of an exchange that was given up do not reach the next', async (t) => {
  const socket = openNetlink()
  const late = request(getLoopback(50))
  // As if the answers had come after the deadline.
  writeSync(socket.fd, late)
  writeSync(socket.fd, late)
  t.strictSame(
    replies(exchangeNow(socket, request(getLoopback(51))).bytes).map((reply) => reply.sequence),
    [51, 51],
  )
  writeSync(socket.fd, late)
  t.strictSame(
    new Set(
      replies((await exchange(socket, request(dumpLinks(52)), 'dumps')).bytes).map((reply) => reply.sequence),
    ),
    new Set([52]),
  )
  // A dump that was never read to its end would make the next one fail (EBUSY).
  writeSync(socket.fd, request(dumpLinks(53)))
  await t.rejects(exchange(socket, request(unanswered(54)), 'dumps', 20), { code: 'ETIMEDOUT' })
  const { bytes } = await exchange(socket, request(dumpLinks(55)), 'dumps')
  t.equal(replies(bytes).at(-1)?.type, NLMSG_DONE)
  t.strictSame(new Set(replies(bytes).map((reply) => reply.sequence)), new Set([55]))
  socket.close()
})

t.test('no wait is without a deadline', async (t) => {
  const silent = openNetlink({ protocol: NETLINK_FIB_LOOKUP })
  const bytes = request({ type: 16, flags: NLM_F_REQUEST | NLM_F_ACK, sequence: 1 })
  for (const milliseconds of [0, 30]) {
    const start = performance.now()
    t.throws(() => silent.exchangeSync(bytes, bytes.length, 0, milliseconds), {
      code: 'ETIMEDOUT',
      errno: -110,
      syscall: 'recv',
    })
    await t.rejects(exchange(silent, bytes, 'batch', milliseconds), { code: 'ETIMEDOUT' })
    const elapsed = performance.now() - start
    t.ok(elapsed >= milliseconds * 2 - 1 && elapsed < milliseconds * 2 + 2000, `${elapsed} ms`)
  }
  silent.close()
})

t.test('a row of dumps that never waits ends at its deadline too', async (t) => {
  const socket = openNetlink()
  const many = request(...Array.from({ length: 100 }, (_, index) => dumpLinks(index + 1)))
  await t.rejects(exchange(socket, many, 'dumps', 0), { code: 'ETIMEDOUT', errno: -110 })
  // Nothing of it is left for the next.
  const { bytes } = await exchange(socket, request(dumpLinks(101)), 'dumps')
  t.strictSame(new Set(replies(bytes).map((reply) => reply.sequence)), new Set([101]))
  socket.close()
})

t.test('a wait for a connection is as long as it was said, whatever was done before', async (t) => {
  const addon = loadNative()
  // A listening socket never gets writable.
  const fd = addon.openSocket(-1, { family: 2, type: 1, protocol: 0, bindPort: 0, listenBacklog: 1 })
  const start = performance.now()
  while (performance.now() < start + 300);
  const begun = performance.now()
  await t.rejects(addon.waitWritable(fd, 200), { code: 'ETIMEDOUT' })
  const elapsed = performance.now() - begun
  // Timers of libuv count whole milliseconds.
  t.ok(elapsed >= 198, `${elapsed} ms`)
  addon.closeDescriptor(fd)
})

t.test('a signal that comes while it waits neither ends nor shortens the wait', async (t) => {
  let signals = 0
  const count = () => {
    signals++
  }
  process.on('SIGUSR2', count)
  const worker = new Worker(
    `setInterval(() => process.kill(process.pid, 'SIGUSR2'), 5)
     require('node:worker_threads').parentPort.postMessage('started')`,
    { eval: true },
  )
  await new Promise((resolve) => worker.once('message', resolve))
  const silent = openNetlink({ protocol: NETLINK_FIB_LOOKUP })
  const bytes = request({ type: 16, flags: NLM_F_REQUEST | NLM_F_ACK, sequence: 1 })
  const start = performance.now()
  t.throws(() => silent.exchangeSync(bytes, bytes.length, 0, 300), { code: 'ETIMEDOUT' })
  t.ok(performance.now() - start >= 299)
  await worker.terminate()
  // Handlers are called by the event loop, which stood still.
  for (let turn = 0; turn < 1000 && signals === 0; turn++)
    await new Promise((resolve) => setImmediate(resolve))
  t.ok(signals > 0, `${signals} signals`)
  process.off('SIGUSR2', count)
  silent.close()
})

t.test('one exchange at a time, and none on a closed socket', async (t) => {
  const socket = openNetlink()
  const bytes = request(getLoopback(1))
  const waiting = exchange(socket, request(unanswered(1)), 'dumps', 60_000)
  t.throws(() => socket.exchangeSync(bytes, bytes.length, 0, 1000), { code: 'EBUSY', errno: -16 })
  await t.rejects(exchange(socket, bytes, 'batch'), { code: 'EBUSY' })
  t.throws(() => socket.startReceiving(() => undefined), { code: 'EBUSY' })
  socket.close()
  t.equal(socket.fd, -1)
  await t.rejects(waiting, { code: 'ECANCELED' })
  socket.close()
  t.throws(() => socket.exchangeSync(bytes, bytes.length, 0, 1000), { code: 'EBADF' })
  t.throws(() => socket.joinGroup(1), { code: 'EBADF' })
  t.throws(() => socket.startReceiving(() => undefined), { code: 'EBADF' })
  await t.rejects(exchange(socket, bytes, 'batch'), { code: 'EBADF' })
})

t.test('arguments that cannot be meant throw a TypeError and send nothing', async (t) => {
  const addon = loadNative()
  const socket = openNetlink()
  const call = socket as unknown as Record<string, (...args: unknown[]) => unknown>
  const bytes = request(getLoopback(1))
  for (const args of [
    [],
    [bytes],
    [bytes, 32],
    ['text', 4, 1000],
    [bytes.buffer, 32, 1000],
    [new Uint16Array(16), 32, 1000],
    [bytes, bytes.length + 1, 1000],
    [bytes, '32', 1000],
  ]) {
    t.throws(() => call['exchangeSync']!(...args), { name: 'TypeError' })
  }
  t.throws(() => socket.exchange(bytes, 33, 0, 1000), { name: 'TypeError' })
  t.throws(() => socket.exchange(bytes, 32, 3, 1000), { name: 'TypeError' })
  t.throws(() => socket.joinGroup(0), { name: 'TypeError' })
  t.throws(() => call['startReceiving']!('listener'), { name: 'TypeError' })
  t.throws(() => call['exchangeSync']!.call({}, bytes, 32, 1000), { name: 'TypeError' })
  const withoutNew = addon.NetlinkSocket as unknown as (options: object) => void
  t.throws(() => withoutNew({ protocol: 0 }), { name: 'TypeError', message: /\bnew\b/ })
  t.throws(() => new addon.NetlinkSocket({ protocol: 'route' } as never), { name: 'TypeError' })
  t.throws(() => addon.openFile(-1, 'a\0b', 0), { name: 'TypeError' })
  // What is no row of messages would be dropped by the kernel without a word.
  for (const wrong of [new Uint8Array(0), new Uint8Array(15), bytes.subarray(0, 20), new Uint8Array(64)]) {
    t.throws(() => socket.exchangeSync(wrong, wrong.length, 0, 1000), { code: 'EINVAL' })
    await t.rejects(exchange(socket, wrong, 'dumps'), { code: 'EINVAL' })
  }
  socket.close()
})

t.test('getters refuse objects that are not of their class', async (t) => {
  const addon = loadNative()
  const netlink = openNetlink()
  const fd = addon.openSocket(-1, { family: 2, type: 2, protocol: 0, bindPort: 0 })
  const datagram = new addon.DatagramSocket(fd)
  const others = [{}, Object.create(netlink) as object, globalThis, addon.NetlinkSocket.prototype]
  for (const name of ['receiveBuffer', 'fd', 'portId']) {
    for (const other of [datagram, ...others]) {
      t.throws(() => Reflect.get(addon.NetlinkSocket.prototype, name, other) as unknown, {
        name: 'TypeError',
      })
    }
  }
  for (const other of [netlink, ...others]) {
    t.throws(() => Reflect.get(addon.DatagramSocket.prototype, 'fd', other) as unknown, { name: 'TypeError' })
  }
  t.equal(Reflect.get(addon.NetlinkSocket.prototype, 'fd', netlink), netlink.fd)
  t.equal(datagram.fd, fd)
  netlink.close()
  datagram.close()
})

t.test('errors of the system tell code, errno and the call', async (t) => {
  const addon = loadNative()
  t.throws(() => openNetlink({ protocol: 255 }), {
    code: 'EPROTONOSUPPORT',
    errno: -93,
    syscall: 'socket',
    message: /^EPROTONOSUPPORT: .*, socket$/,
  })
  t.throws(() => addon.openFile(-1, '/nonexistent', 0), { code: 'ENOENT', errno: -2, syscall: 'open' })
  t.throws(() => openNetlink({ netnsFd: 1_000_000 }), { code: 'EBADF', syscall: 'setns' })
  const socket = openNetlink()
  const large = request(...Array.from({ length: 20_000 }, (_, index) => getNothing(index)))
  t.throws(() => socket.exchangeSync(large, large.length, 0, 1000), { code: 'EMSGSIZE', syscall: 'sendmsg' })
  await t.rejects(exchange(socket, large, 'batch'), { code: 'EMSGSIZE' })
  socket.close()
})

t.test('questions over UDP are taken and answered by the batch', async (t) => {
  const server = openUdpServer({ address: '127.0.0.1' })
  const client = await openUdp({ address: '127.0.0.1' })
  // Sent before anything is received, so that they are a batch; one is too long, one is empty.
  const batches: number[] = []
  const lengths: number[] = []
  const answered = new Promise<void>((resolve) => {
    let count = 0
    server.start(
      (_, filled) => {
        batches.push(filled)
        for (let slot = 0; slot < filled; slot++) {
          const [start, length] = [server.startOf(slot), server.lengthOf(slot)]
          lengths.push(length)
          t.equal(server.address(slot), '127.0.0.1')
          const to = server.room
          server.sent.set(server.received.subarray(start, start + length), to)
          server.answer(slot, length)
          // One slot may have several answers, of which some leave before the others.
          if (length > 3) {
            t.ok(server.room >= 0)
            server.answer(slot, 4000)
          }
          if (++count === 202) {
            server.send(Uint8Array.of(1), server.peer(slot))
            resolve()
          }
        }
      },
      (error) => t.fail(error.message),
    )
  })
  const got: number[] = []
  // All of them, the long answer, and the one that took its time.
  const told = new Promise<void>((resolve) => {
    client.on('message', (bytes) => {
      got.push(bytes.length)
      if (got.length === 204) resolve()
    })
  })
  const send = (bytes: Uint8Array) => client.send(bytes, server.port, '127.0.0.1')
  for (let count = 0; count < 200; count++) send(new Uint8Array(count === 7 ? 900 : 2).fill(7))
  send(new Uint8Array(2000))
  send(new Uint8Array(0))
  await answered
  await told
  t.ok(Math.max(...batches) > 1 && Math.max(...batches) <= 64, `batches of ${batches.join(', ')}`)
  t.equal(lengths.filter((length) => length === 0).length, 2, 'the long one and the empty one')
  t.equal(got.filter((length) => length === 2).length, 199)
  t.same(
    got.filter((length) => length !== 2).sort((a, b) => a - b),
    [0, 0, 1, 900, 4000],
  )
  client.close()
  server.close()
  server.close()
  server.send(Uint8Array.of(1), new Uint8Array(28))
})

t.test('a server over UDP keeps to the memory that it was lent', (t) => {
  const addon = loadNative()
  const areas = () =>
    [98_304, 1792, 1024, 4096].map((bytes) => new Uint8Array(bytes)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
  const fd = addon.openSocket(-1, { family: 2, type: 2, protocol: 0, bindPort: 0 })
  for (let lacking = 0; lacking < 3; lacking++) {
    const list = areas()
    list[lacking] = list[lacking]!.subarray(1)
    t.throws(() => new addon.UdpServer(fd, ...list), { name: 'TypeError' })
  }
  t.throws(() => new addon.UdpServer(fd, ...([1, 2, 3, 4] as unknown as ReturnType<typeof areas>)), {
    name: 'TypeError',
  })
  const list = areas()
  const server = new addon.UdpServer(fd, ...list)
  const rows = new Uint32Array(list[2].buffer)
  for (const row of [
    [64, 0, 1],
    [0, 4096, 1],
    [0, 1, 4096],
    [0, 0xffff_ffff, 2],
  ]) {
    rows.set(row, 1)
    t.throws(() => server.send(1), { name: 'TypeError' }, row.join())
  }
  t.throws(() => server.send(65), { name: 'TypeError' })
  t.throws(() => server.sendTo(new Uint8Array(1), new Uint8Array(27)), { name: 'TypeError' })
  rows.set([0, 0, 1], 1)
  server.send(1) // to nobody: it is lost
  server.startReceiving(() => undefined)
  t.throws(() => server.startReceiving(() => undefined), { code: 'EBUSY' })
  t.equal(server.receiving, true)
  server.close()
  t.equal(server.receiving, false)
  t.throws(() => server.startReceiving(() => undefined), { code: 'EBADF' })
  t.throws(() => Reflect.get(addon.UdpServer.prototype, 'receiving', {}) as unknown, { name: 'TypeError' })
  t.end()
})

t.test('10,000 rounds of opening and closing leave no descriptor', async (t) => {
  const addon = loadNative()
  const before = openDescriptors()
  const bytes = request(getLoopback(1))
  for (let round = 0; round < 10_000; round++) {
    const socket = openNetlink()
    socket.exchangeSync(bytes, bytes.length, 0, 1000)
    socket.close()
  }
  t.equal(openDescriptors(), before, 'netlink sockets')
  for (let round = 0; round < 2000; round++) {
    const fd = addon.openSocket(-1, { family: 2, type: 2, protocol: 0, bindPort: 0 })
    const socket = new addon.DatagramSocket(fd)
    socket.startReceiving(() => undefined)
    socket.close()
    addon.closeDescriptor(addon.openFile(-1, '/proc/thread-self/net/dev', 0))
  }
  for (let round = 0; round < 200; round++) {
    const server = openUdpServer({ address: '127.0.0.1' })
    server.start(
      () => undefined,
      () => undefined,
    )
    server.close()
  }
  t.equal(openDescriptors(), before, 'datagram sockets and files')
  for (let round = 0; round < 500; round++) {
    const socket = openNetlink()
    await exchange(socket, bytes, 'batch')
    const canceled = exchange(socket, request(unanswered(1)), 'dumps', 60_000)
    socket.close()
    await t.rejects(canceled, { code: 'ECANCELED' })
  }
  t.equal(openDescriptors(), before, 'asynchronous exchanges')
  for (let round = 0; round < 500; round++) {
    t.throws(() => addon.openSocket(-1, { family: 2, type: 99, protocol: 0 }))
    t.throws(() => addon.openSocket(-1, { family: 2, type: 1, protocol: 0, device: 'nothere', bindPort: 0 }))
    t.throws(() => addon.openSocket(-1, { family: 2, type: 2, protocol: 0, bindAddress: new Uint8Array(16) }))
  }
  t.equal(openDescriptors(), before, 'failures')
})

t.test('a subscription that fails leaves no descriptor', async (t) => {
  const transport = openSocket({ protocol: 0 })
  const before = openDescriptors()
  for (let round = 0; round < 10; round++) {
    t.throws(() => transport.subscribe?.(100_000, () => undefined), { code: 'EINVAL' })
  }
  t.equal(openDescriptors(), before)
  transport.close()
})

t.test('bytes that are kept outlive their socket', async (t) => {
  const socket = openNetlink()
  const { bytes } = await exchange(socket, request(dumpLinks(1), dumpLinks(2), dumpLinks(3)), 'dumps')
  const shown = socket.receiveBuffer
  shown.fill(7)
  socket.close()
  t.equal(replies(bytes).at(-1)?.type, NLMSG_DONE)
  t.ok(shown.every((byte) => byte === 7))
})

t.test('a buffer that is given away takes nothing from the socket', async (t) => {
  const socket = openNetlink()
  const memory = socket.receiveBuffer.buffer as ArrayBuffer
  // Who gets it gets a copy: memory that is the addon's cannot be given away.
  const taken = new Uint8Array(structuredClone(memory, { transfer: [memory] }))
  const before = taken.slice()
  const bytes = request(getLoopback(9))
  const length = socket.exchangeSync(bytes, bytes.length, 0, 1000)
  t.match(replies(socket.receiveBuffer.subarray(0, length)), [
    { type: RTM_NEWLINK, sequence: 9 },
    { sequence: 9, errno: 0 },
  ])
  t.ok(Buffer.from(taken).equals(before))
  socket.close()
})

t.test('errors come without the request that they answer', async (t) => {
  const socket = openNetlink()
  const [failed] = replies(exchangeNow(socket, request(getNothing(1))).bytes)
  const NLM_F_CAPPED = 0x100
  t.match(failed, { errno: ENODEV })
  t.equal((failed?.flags ?? 0) & NLM_F_CAPPED, NLM_F_CAPPED)
  socket.close()
})

t.test('the kernel checks dump requests strictly if asked to', async (t) => {
  const EINVAL = -22
  // A dump of all links with an index in its header, which means nothing.
  const bytes = request({ ...dumpLinks(1), payload: linkOf(1) })
  for (const strictChecking of [true, false]) {
    const socket = openNetlink({ strictChecking })
    const [first] = replies((await exchange(socket, bytes, 'dumps')).bytes)
    t.match(first, strictChecking ? { errno: EINVAL } : { type: RTM_NEWLINK })
    socket.close()
  }
})

t.test('the addon is loaded once', async (t) => {
  t.equal(loadNative(), loadNative())
})

t.test('^C ends a process whose exchange is waiting', async (t) => {
  const plain = await scenario('interrupted', { interruptAt: 'waiting' })
  t.match(plain, { code: null, signal: 'SIGINT', output: 'waiting\n' })
  const handled = await scenario('handled', { interruptAt: 'waiting' })
  t.match(handled, { code: 3, signal: null, output: 'waiting\nhandler\n' })
  const exits = await scenario('exits')
  t.match(exits, { code: 4, signal: null, output: '', errors: '' })
  for (const { milliseconds } of [plain, handled, exits]) t.ok(milliseconds < 20_000)
})

t.test('what is collected with requests in flight settles them and leaves no descriptor', async (t) => {
  const ended = await scenario('collected', { flags: ['--expose-gc'] })
  t.match(ended, { code: 0, output: 'left open: 0\n' })
})

t.test('threads use it at once, and may be ended with everything in flight', async (t) => {
  const ended = await scenario('threads')
  t.match(ended, { code: 0, output: 'left open: 0\nleft running: 0\n', errors: '' })
})

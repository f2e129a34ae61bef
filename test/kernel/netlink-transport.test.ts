/** docs/examples/netlink-transport.ts: another package's socket below everything else. */
import netlink from 'netlink'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { netlinkTransport } from '../../docs/examples/netlink-transport.js'
import { GenericFamily } from '../../src/genetlink/index.js'
import {
  Connection,
  forEachMessage,
  NETLINK_GENERIC,
  type Request,
  type Transport,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'

const [NLMSG_NOOP, NLMSG_DONE, nlctrl] = [1, 3, 0x10]
const [NLM_F_REQUEST, NLM_F_ACK] = [1, 4]

function open(t: Test): { socket: netlink.RawNetlinkSocket; transport: Transport; connection: Connection } {
  const socket = new netlink.RawNetlinkSocket(NETLINK_GENERIC)
  const transport = netlinkTransport(socket)
  const connection = new Connection(transport)
  t.teardown(() => connection.close())
  return { socket, transport, connection }
}

/** A generic netlink request of the family of families. */
function control(operation: string, command: number): Request {
  return {
    operation,
    write(writer, flags, sequence) {
      const start = writer.beginMessage(nlctrl, flags, sequence)
      writer.append(Uint8Array.of(command, 1, 0, 0))
      writer.endMessage(start)
    },
  }
}

const families = control('genetlink.families', 3)

function noop(flags: number, sequence: number, payload = 0): Uint8Array {
  const writer = new Writer(64 + payload)
  const start = writer.beginMessage(NLMSG_NOOP, NLM_F_REQUEST | flags, sequence)
  writer.append(new Uint8Array(payload))
  writer.endMessage(start)
  return writer.bytes.slice(0, writer.length)
}

/** The kernel answers it with nothing. */
const unanswered = noop(0, 7)

const exchange = (transport: Transport, bytes: Uint8Array, deadlineMilliseconds = 10_000) =>
  transport.exchange(bytes, bytes.length, 'dumps', deadlineMilliseconds)

void t.test('requests, errors and many at once over the npm package netlink', async (t) => {
  const { connection } = open(t)
  const control = await GenericFamily.open(connection, 'nlctrl', 1)
  t.equal(control.id, nlctrl)
  t.equal(control.multicastGroup('notify'), 0x10)
  const names = await Promise.all(
    Array.from({ length: 20 }, async () => (await GenericFamily.open(connection, 'nlctrl', 1)).name),
  )
  t.same(names, Array<string>(20).fill('nlctrl'))
  await t.rejects(GenericFamily.open(connection, 'nosuchfamily', 1), {
    code: 'ENOENT',
    operation: 'genetlink.getFamily',
  })
})

void t.test('whole tables over the npm package netlink, several in one exchange', async (t) => {
  const { connection } = open(t)
  const once = await connection.dump(families, (_bytes, _view, offset, end) => end - offset)
  t.ok(once.length > 1, `${once.length} families`)
  const thrice = await connection.dumps(
    [families, families, families],
    (request) => request,
    (_bytes, _view, offset, end) => end - offset,
    (_, found) => found,
  )
  t.same(thrice, [once, once, once])
})

void t.test('a batch over the npm package netlink tells which of it failed', async (t) => {
  const { connection } = open(t)
  const codec = {
    write: (writer: Writer, flags: number, sequence: number, command: number) =>
      control('', command).write(writer, flags, sequence),
    target: (command: number) => ({ operation: 'genetlink.nonsense', object: { command } }),
  }
  const { applied, failures } = await connection.batch([200, 201, 202], codec)
  t.equal(applied, 0)
  t.match(
    failures.map(({ index, error }) => [index, error]),
    [200, 201, 202].map((command, index) => [index, { code: 'EOPNOTSUPP', object: { command } }]),
  )
})

void t.test('a malformed datagram rejects, and the next exchange is as any other', async (t) => {
  const { socket, transport, connection } = open(t)
  const answer = exchange(transport, unanswered)
  // As the package hands on what the kernel sends, which sends no such thing.
  socket.emit('message', Buffer.from([200, 0, 0, 0, ...new Uint8Array(16)]), { port: 0, groups: 0 })
  await t.rejects(answer, { code: 'ERR_VIADUCT_MALFORMED' })
  t.equal((await GenericFamily.open(connection, 'nlctrl', 1)).id, nlctrl)
})

void t.test('what another process sends to its port is no answer', async (t) => {
  const { socket, transport } = open(t)
  const other = new netlink.RawNetlinkSocket(NETLINK_GENERIC)
  t.teardown(() => other.close())
  const answer = exchange(transport, Buffer.concat([unanswered, noop(NLM_F_ACK, 8)]))
  const forged = Buffer.from(noop(0, 7))
  forged.writeUInt16LE(NLMSG_DONE, 4)
  const arrival = once(socket, 'message')
  other.send(forged, { port: socket.address().port })
  await arrival
  socket.emit('message', forged, { port: 0, groups: 0 })
  const types: number[] = []
  const { bytes } = await answer
  forEachMessage(bytes, viewOf(bytes), (type, _flags, sequence) => types.push(type, sequence))
  t.same(types, [NLMSG_DONE, 7, 2, 8], 'the one of port 0, and the acknowledgement behind it')
})

void t.test('close rejects what is under way and what comes after', async (t) => {
  const { transport, connection } = open(t)
  const answer = exchange(transport, unanswered)
  await t.rejects(exchange(transport, unanswered), { code: 'EBUSY', errno: -16 })
  transport.close()
  await t.rejects(answer, { code: 'ECANCELED', errno: -125 })
  await t.rejects(exchange(transport, unanswered), { code: 'EBADF', errno: -9 })
  await t.rejects(
    connection.dump(families, () => 1),
    { code: 'EBADF', operation: 'genetlink.families' },
  )
  transport.close()
})

void t.test('one deadline holds for all dumps of an exchange', async (t) => {
  const { socket, transport } = open(t)
  const parts = Array.from({ length: 4 }, (_, index) => noop(0, index + 1))
  // Each is answered when two thirds of the deadline are over, counted from its sending.
  const answers = [1, 2, 3, 4].map((sequence) =>
    setTimeout(() => {
      const done = Buffer.from(noop(0, sequence))
      done.writeUInt16LE(NLMSG_DONE, 4)
      socket.emit('message', done, { port: 0, groups: 0 })
    }, sequence * 200),
  )
  t.teardown(() => answers.forEach(clearTimeout))
  await t.rejects(exchange(transport, Buffer.concat(parts), 300), { code: 'ETIMEDOUT', errno: -110 })
})

void t.test('the package’s errors are told as Node has them', async (t) => {
  const { transport } = open(t)
  // More than the send buffer holds.
  const bytes = noop(NLM_F_ACK, 1, 1 << 24)
  await t.rejects(transport.exchange(bytes, bytes.length, 'batch', 10_000), {
    code: 'EMSGSIZE',
    errno: -90,
    syscall: 'sendmsg',
  })
})

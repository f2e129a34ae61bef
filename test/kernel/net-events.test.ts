import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NetworkNamespace } from '../../src/net/index.js'
import {
  exchangeNow,
  getNothing,
  openDescriptors,
  openNetlink,
  replies,
  request,
  RTM_NEWLINK,
  setLink,
} from '../native/messages.js'
import { scenario } from '../native/process.js'

/** RTNLGRP_LINK */
const links = 1
const loopback = 1
const ENOBUFS = -105

const namespace = NetworkNamespace.create()
t.teardown(() => namespace.close())
// A change to what is already so makes no event.
t.beforeEach(() => setLink(namespace, loopback, false))

interface Event {
  readonly errno: number
  readonly bytes: Uint8Array
}

/** Collects events until `enough` says so. */
class Listener {
  readonly events: Event[] = []
  readonly #waiting: { enough: (events: Event[]) => boolean; resolve: () => void }[] = []

  readonly listen = (errno: number, bytes: Uint8Array): void => {
    this.events.push({ errno, bytes })
    for (const { enough, resolve } of this.#waiting) if (enough(this.events)) resolve()
  }

  until(enough: (events: Event[]) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ enough, resolve })
      if (enough(this.events)) resolve()
    })
  }
}

const immediate = () => new Promise((resolve) => setImmediate(resolve))

t.test('events of a group come in order, and none after it was stopped', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd })
  const listener = new Listener()
  socket.joinGroup(links)
  socket.startReceiving(listener.listen)
  t.throws(() => socket.startReceiving(listener.listen), { code: 'EBUSY' })
  t.throws(() => exchangeNow(socket, request(getNothing(1))), { code: 'EBUSY' })
  for (const isUp of [true, false, true]) setLink(namespace, loopback, isUp)
  await listener.until((events) => events.length >= 3)
  t.ok(listener.events.every(({ errno }) => errno === 0))
  t.strictSame(
    listener.events.map(({ bytes }) => new DataView(bytes.buffer).getUint32(24, true) & 1),
    [1, 0, 1],
    'IFF_UP',
  )
  t.ok(listener.events.every(({ bytes }) => replies(bytes)[0]?.type === RTM_NEWLINK))

  socket.stopReceiving()
  socket.stopReceiving()
  socket.leaveGroup(links)
  setLink(namespace, loopback, false)
  t.match(replies(exchangeNow(socket, request(getNothing(2))).bytes), [{ sequence: 2, errno: -19 }])
  t.equal(listener.events.length, 3)

  socket.joinGroup(links)
  socket.startReceiving(listener.listen)
  setLink(namespace, loopback, true)
  await listener.until((events) => events.length >= 4)
  t.equal(listener.events.length, 4)
  socket.close()
})

t.test('an overrun is told, and receiving goes on', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd, receiveBufferBytes: 1 })
  const listener = new Listener()
  socket.joinGroup(links)
  socket.startReceiving(listener.listen)
  for (let round = 1; round <= 3; round++) {
    // Out of the listener, in which these promises go on: what was queued has then been read.
    await immediate()
    const before = listener.events.length
    // All of them before the event loop gets to read any.
    for (let count = 0; count < 20; count++) setLink(namespace, loopback, count % 2 === 0)
    await listener.until((events) => events.slice(before).some(({ errno }) => errno === ENOBUFS))
    const came = listener.events.slice(before)
    t.ok(came.every(({ errno, bytes }) => errno === 0 || (errno === ENOBUFS && bytes.length === 0)))
    // What comes after it is complete again.
    await immediate()
    const after = listener.events.length
    setLink(namespace, loopback, true)
    await listener.until((events) => events.slice(after).some(({ errno }) => errno === 0))
  }
  socket.close()
})

t.test('what is lost while an overrun is being told is told too', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd, receiveBufferBytes: 1 })
  const changeMuch = () => {
    for (let count = 0; count < 20; count++) setLink(namespace, loopback, count % 2 === 0)
  }
  const errors: number[] = []
  await new Promise<void>((resolve) => {
    socket.joinGroup(links)
    socket.startReceiving((errno) => {
      if (errno === 0) return
      errors.push(errno)
      if (errors.length === 5) return resolve()
      // As a listener does that reads the state anew, while it changes again.
      changeMuch()
    })
    changeMuch()
  })
  t.strictSame(errors, Array(5).fill(ENOBUFS))
  socket.close()
})

t.test('many events at once all come', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd, receiveBufferBytes: 8 << 20 })
  const listener = new Listener()
  socket.joinGroup(links)
  socket.startReceiving(listener.listen)
  for (let count = 0; count < 500; count++) setLink(namespace, loopback, count % 2 === 0)
  await listener.until((events) => events.length >= 500)
  t.ok(listener.events.every(({ errno }) => errno === 0))
  socket.close()
})

t.test('a listener may close its socket, and open the next', async (t) => {
  const before = openDescriptors()
  for (let round = 0; round < 50; round++) {
    await new Promise<void>((resolve) => {
      const socket = openNetlink({ netnsFd: namespace.fd })
      let calls = 0
      socket.joinGroup(links)
      socket.startReceiving(() => {
        calls++
        socket.close()
        t.equal(calls, 1)
        resolve()
      })
      setLink(namespace, loopback, true)
      setLink(namespace, loopback, false)
    })
  }
  t.equal(openDescriptors(), before)
})

t.test('only what the kernel says is believed', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd })
  const listener = new Listener()
  socket.joinGroup(links)
  socket.startReceiving(listener.listen)
  const program = `${t.testdir()}/forge`
  const source = fileURLToPath(new URL('../../../test/native/forge.c', import.meta.url))
  execFileSync('cc', ['-Wall', '-Wextra', '-Werror', source, '-o', program])
  const said = execFileSync(program, [
    `/proc/${process.pid}/fd/${namespace.fd}`,
    String(socket.portId),
    String(1 << (links - 1)),
  ])
  t.equal(
    String(said),
    'Connection refused\nsent\n',
    'what goes to the port is refused, what goes to the group is not',
  )
  setLink(namespace, loopback, true)
  await listener.until((events) => events.length >= 1)
  t.equal(listener.events.length, 1)
  t.equal(replies(listener.events[0]!.bytes)[0]?.type, RTM_NEWLINK)
  t.ok(listener.events[0]!.bytes.length > 32, 'the forged message, which came first, was not told')
  socket.close()
})

t.test('a listener that throws becomes an uncaughtException, and receiving goes on', async (t) => {
  t.match(await scenario('throws'), {
    code: 0,
    output: 'uncaught: event 1\nuncaught: event 2\nuncaught: event 3\nstill here\n',
  })
  const died = await scenario('dies')
  t.equal(died.code, 1)
  t.match(died.errors, /Error: nobody catches this\n\s+at .*scenario/)
})

t.test('a group that the protocol does not have is refused', async (t) => {
  const socket = openNetlink({ netnsFd: namespace.fd })
  t.throws(() => socket.joinGroup(100_000), { code: 'EINVAL', syscall: 'setsockopt NETLINK_ADD_MEMBERSHIP' })
  socket.close()
})

/** What needs a process of its own: `node [--expose-gc] scenario.js NAME`. The parent looks at how it ends. */
import { once } from 'node:events'
import { readdirSync, readlinkSync, writeSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Worker, isMainThread, parentPort, threadId, workerData } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { ExchangeKind, loadNative } from '../../src/native.js'
import {
  closeDescriptor,
  connectTcp,
  listenTcp,
  NetworkNamespace,
  openFile,
  openTcpListener,
  openUdp,
  openUdpServer,
  readFile,
  readLines,
} from '../../src/net/index.js'
import {
  dumpLinks,
  exchangeNow,
  getLoopback,
  openDescriptors,
  openNetlink,
  replies,
  request,
  setLink,
  unanswered,
} from './messages.js'

const say = (line: string): void => void writeSync(1, `${line}\n`)

function hang(): void {
  const socket = openNetlink()
  const bytes = request(unanswered(1))
  Promise.resolve(socket.exchange(bytes, bytes.length, ExchangeKind.dumps, 600_000)).catch(
    (error: unknown) => {
      say(`rejected: ${String(error)}`)
    },
  )
}

/** A socket with link events of a namespace of its own, and what makes such an event there. */
function subscribed() {
  const netnsFd = loadNative().createNamespace()
  const socket = openNetlink({ netnsFd })
  socket.joinGroup(1)
  let isUp = false
  const change = () => {
    isUp = !isUp
    setLink({ fd: netnsFd }, 1, isUp)
  }
  return { socket, change }
}

const scenarios: Readonly<Record<string, () => Promise<void> | void>> = {
  /** Waits for a reply that does not come, until a signal ends it. */
  interrupted() {
    hang()
    say('waiting')
  },

  /** The same with a handler of its own. */
  handled() {
    process.on('SIGINT', () => {
      say('handler')
      process.exit(3)
    })
    hang()
    say('waiting')
  },

  /** Leaves while exchanges are under way. */
  exits() {
    hang()
    setTimeout(() => process.exit(4), 50)
  },

  /** Sockets that nobody holds any more, with requests in flight: they settle, and then their descriptors go. */
  async collected() {
    const collect = (globalThis as { gc?: () => void }).gc
    if (collect === undefined) throw new Error('start with --expose-gc')
    openNetlink().close()
    const before = openDescriptors()
    const inFlight: Promise<{ bytes: Uint8Array }>[] = []
    for (let round = 0; round < 50; round++) {
      const bytes = request(...Array.from({ length: 20 }, (_, index) => dumpLinks(index + 1)))
      inFlight.push(Promise.resolve(openNetlink().exchange(bytes, bytes.length, ExchangeKind.dumps, 20_000)))
      // One that only ever was opened, and one whose buffer outlives it.
      openNetlink()
      const kept = openNetlink().receiveBuffer
      collect()
      kept.fill(1)
    }
    const answers = await Promise.all(inFlight)
    for (const { bytes } of answers) {
      const ends = replies(bytes).filter((reply) => reply.type === 3)
      if (ends.length !== 20) throw new Error(`${ends.length} dumps ended`)
    }
    for (let round = 0; round < 200 && openDescriptors() > before; round++) {
      collect()
      await new Promise((resolve) => setImmediate(resolve))
    }
    say(`left open: ${openDescriptors() - before}`)
  },

  /** A listener that throws at every event: each becomes an uncaughtException, and receiving goes on. */
  async throws() {
    process.on('uncaughtException', (error) => say(`uncaught: ${error.message}`))
    const { socket, change } = subscribed()
    let events = 0
    const done = new Promise<void>((resolve) => {
      socket.startReceiving(() => {
        events++
        if (events === 3) {
          socket.close()
          resolve()
        }
        throw new Error(`event ${events}`)
      })
    })
    for (let count = 0; count < 3; count++) change()
    await done
    // What was thrown last is told before this goes on.
    await new Promise((resolve) => setImmediate(resolve))
    say('still here')
  },

  /** The same with nobody to catch it: the process ends as it does for any listener. */
  dies() {
    const { socket, change } = subscribed()
    socket.startReceiving(() => {
      throw new Error('nobody catches this')
    })
    change()
  },

  /** Threads that use the addon at once, and ones that are ended with everything in flight. */
  async threads() {
    await Promise.all(Array.from({ length: 4 }, () => workerEnds({ what: 'works' })))
    const before = threads()
    // Where nobody accepts, the first connection waits in the queue and the next ones come to nothing.
    const port = portOf(openTcpListener({ address: '127.0.0.1', backlog: 0 }))
    say(`left open: ${await leftBy({ what: 'hangs', port })}`)
    say(`left running: ${threads() - before}`)
  },

  /** The same with namespaces, which their descriptors hold. */
  async namespaces() {
    say(`left open: ${await leftBy({ what: 'makes namespaces' })}`)
  },
}

/** Of this process. */
const threads = (): number => readdirSync('/proc/self/task').length

interface Task {
  readonly what: 'works' | 'hangs' | 'makes namespaces'
  readonly port?: number
}

/** The port of a TCP socket over IPv4. */
function portOf(fd: number): number {
  const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0]
  const row = readFile('/proc/net/tcp')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => fields[9] === inode)
  return Number.parseInt(row?.[1]?.split(':')[1] ?? '', 16)
}

/** How many descriptors are left by threads that are ended in the midst of it. */
async function leftBy(task: Task): Promise<number> {
  let before = 0
  for (let round = 0; round < 15; round++) {
    const worker = startWorker(task)
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    await worker.terminate()
    // With the first, libuv opens some for the whole process.
    if (round === 0) before = openDescriptors()
  }
  return openDescriptors() - before
}

function startWorker(task: Task): Worker {
  return new Worker(fileURLToPath(import.meta.url), { workerData: task })
}

async function workerEnds(task: Task): Promise<void> {
  const worker = startWorker(task)
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`worker: ${code}`))))
  })
}

async function inWorker(): Promise<void> {
  const { what, port = 0 } = workerData as Task
  // Such as node:fs gives when it closes what it has not opened.
  process.on('warning', (warning) => {
    throw warning
  })
  if (what === 'works') return works()
  if (what === 'hangs') await hangs(port)
  else NetworkNamespace.create()
  parentPort?.postMessage('ready')
  await new Promise(() => undefined)
}

async function works(): Promise<void> {
  const socket = openNetlink()
  for (let round = 1; round <= 1000; round++) {
    const { bytes } = exchangeNow(socket, request(getLoopback(round)))
    const sequences = new Set(replies(bytes).map((reply) => reply.sequence))
    if (sequences.size !== 1 || !sequences.has(round)) throw new Error(`thread ${threadId}: crossed replies`)
  }
  for (let round = 1; round <= 50; round++) {
    const bytes = request(dumpLinks(round))
    const answer = await socket.exchange(bytes, bytes.length, ExchangeKind.dumps, 5000)
    if (replies(answer.bytes).at(-1)?.type !== 3) throw new Error(`thread ${threadId}: a dump without end`)
  }
  const namespace = NetworkNamespace.open()
  readFile('/proc/sys/net/ipv4/ip_forward')
  closeDescriptor(openFile('/proc/net/dev'))
  for await (const _line of readLines('/proc/kallsyms')) break
  namespace.close()
  const server = await listenTcp({ address: '127.0.0.1' })
  const accepted = once(server, 'connection')
  const client = await connectTcp({ address: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const [peer] = (await accepted) as [typeof client]
  client.destroy()
  peer.destroy()
  server.close()
  const udp = await openUdp({ address: '127.0.0.1' })
  udp.close()
  // Closes no more: what is open goes with the thread.
}

async function hangs(port: number): Promise<void> {
  const addon = loadNative()
  for (let count = 0; count < 3; count++) hang()
  const events = openNetlink()
  events.joinGroup(1)
  events.startReceiving(() => undefined)
  const udp = new addon.DatagramSocket(addon.openSocket(-1, { family: 2, type: 2, protocol: 0, bindPort: 0 }))
  udp.startReceiving(() => undefined)
  openUdpServer({ address: '127.0.0.1' }).start(
    () => undefined,
    () => undefined,
  )
  const listener = addon.openSocket(-1, { family: 2, type: 1, protocol: 0, bindPort: 0, listenBacklog: 1 })
  // A listening socket never gets writable.
  addon.waitWritable(listener, 600_000).catch(() => undefined)
  addon.readSome(addon.openFile(-1, '/proc/kallsyms', 0), 1 << 24).catch(() => undefined)
  for (let count = 0; count < 3; count++) {
    connectTcp({ address: '127.0.0.1', port, deadlineMilliseconds: 600_000 }).catch(() => undefined)
  }
  const lines = readLines('/proc/kallsyms')
  await lines.next()
}

if (!isMainThread) await inWorker()
else {
  const scenario = scenarios[process.argv[2] ?? '']
  if (scenario === undefined) throw new Error(`scenarios: ${Object.keys(scenarios).join(', ')}`)
  await scenario()
}

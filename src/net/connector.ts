/** TCP connects by the thousand: gathered, begun together, and their results handed out together. */
import { ValidationError } from '../errors/index.js'
import { loadNative, type NativeTcpConnector } from '../native.js'
import { checkPort, endpoint } from './endpoints.js'
import { type Netns, withNamespaceFd } from './namespace.js'

/** Where to connect, and how. Made once by `prepareConnect` and used any number of times. */
export interface ConnectPlan {
  /** Where the socket is made; undefined for the process's own. */
  readonly netns: Netns | undefined
  /** The request as the addon takes it, but for its id and deadline. */
  readonly words: Uint32Array
}

/** What `prepareConnect` takes. */
export interface ConnectPlanOptions {
  /** Numeric. */
  readonly address: string
  /** 1 to 65535. */
  readonly port: number
  /** The network namespace; the current one if left out. It is entered by a thread at each `flush`. */
  readonly netns?: Netns | undefined
  /** The end here; the kernel's choice if left out. */
  readonly localAddress?: string | undefined
  /** Firewall mark of what it sends (SO_MARK). Takes CAP_NET_ADMIN. */
  readonly mark?: number | undefined
  /** Name of the interface that it is bound to (SO_BINDTODEVICE). */
  readonly device?: string | undefined
  /**
   * What becomes of a connection that came about. `keep`: its descriptor is handed over, and
   * whoever closes it resets the connection (SO_LINGER of 0). `reset`: it is closed by a reset, so that
   * neither side is left with TIME_WAIT. `half`: as well, and the last packet of the handshake is held back until then, so
   * that the server's program never hears of it (TCP_QUICKACK off).
   */
  readonly end: 'keep' | 'reset' | 'half'
}

/** What came of a connect. */
export interface ConnectOutcome {
  /** Negative, as Node has it; 0 if the connection came about. ETIMEDOUT at the deadline. */
  readonly errno: number
  /** Of an error: it was the call that failed, so that no packet came back. */
  readonly isLocal: boolean
  /** With `keep`: the caller's, to be given to a `net.Socket` or closed. */
  readonly fd: number | undefined
  /** From the call to the outcome. */
  readonly milliseconds: number
}

const requestWords = 18
const most = 1024
const flag = { v6: 1, keep: 2, reset: 4, half: 8, mark: 16, local: 32, device: 64 }

/** @throws ValidationError */
export function prepareConnect(options: ConnectPlanOptions): ConnectPlan {
  const { address, port, netns, localAddress, mark, device, end } = options
  const words = new Uint32Array(requestWords)
  const bytes = new Uint8Array(words.buffer)
  const remote = endpoint('address', address)
  let flags = remote.bytes.length === 16 ? flag.v6 : 0
  flags |= end === 'keep' ? flag.keep | flag.reset : end === 'reset' ? flag.reset : flag.reset | flag.half
  bytes.set(remote.bytes, 24)
  if (checkPort('port', port) === 0) throw new ValidationError('port', port, 'an integer from 1 to 65535')
  new Uint16Array(words.buffer)[8] = port
  if (localAddress !== undefined) {
    const local = endpoint('localAddress', localAddress)
    if (local.family !== remote.family) {
      throw new ValidationError('localAddress', localAddress, `an address of the family of ${address}`)
    }
    flags |= flag.local
    bytes.set(local.bytes, 40)
  }
  if (mark !== undefined) {
    if (!(Number.isInteger(mark) && mark >= 0 && mark <= 0xffff_ffff)) {
      throw new ValidationError('mark', mark, 'an integer from 0 to 4294967295')
    }
    flags |= flag.mark
    words[3] = mark
  }
  if (device !== undefined) {
    const name = new TextEncoder().encode(device)
    if (!/^[^/\s\0]{1,15}$/.test(device) || name.length > 15) {
      throw new ValidationError('device', device, 'the name of an interface, of at most 15 bytes')
    }
    flags |= flag.device
    bytes.set(name, 56)
  }
  words[1] = flags
  return { netns, words }
}

/** A connect that was asked for: what `cancel` takes. */
export interface PendingConnect {
  /** Its number as long as the addon has it, else -1. */
  id: number
  /** `done` was called, or will not be. */
  isOver: boolean
  /** What was given to `connect`. */
  readonly done: (outcome: ConnectOutcome) => void
}

/** Numbers of attempts are small, and used again. */
interface Gathered {
  readonly netns: Netns | undefined
  words: Uint32Array
  count: number
}

/**
 * Connects by the thousand. Where `node:net` needs an object, a handle and a promise for each, here they are rows of one table:
 * a connect costs little more than the kernel's own work. It keeps the process alive while any is under way.
 */
export class TcpConnector {
  readonly #native: NativeTcpConnector
  readonly #waiting: (PendingConnect | undefined)[] = []
  readonly #free: number[] = []
  readonly #gathered = new Map<Netns | undefined, Gathered>()
  #isClosed = false

  constructor() {
    this.#native = new (loadNative().TcpConnector)((results) => this.#take(results))
  }

  /**
   * Asks for a connection; it is begun at the next `flush`. `done` is called once, from the event loop or in `flush`, unless it is
   * cancelled before.
   * @returns what `cancel` takes
   */
  connect(
    plan: ConnectPlan,
    timeoutMilliseconds: number,
    done: (outcome: ConnectOutcome) => void,
  ): PendingConnect {
    if (this.#isClosed) throw new ValidationError('connector', undefined, 'one that is open')
    const id = this.#free.pop() ?? this.#waiting.length
    const pending: PendingConnect = { id, isOver: false, done }
    this.#waiting[id] = pending
    let gathered = this.#gathered.get(plan.netns)
    if (gathered === undefined) {
      gathered = { netns: plan.netns, words: new Uint32Array(64 * requestWords), count: 0 }
      this.#gathered.set(plan.netns, gathered)
    }
    let at = gathered.count * requestWords
    if (at === gathered.words.length) {
      if (gathered.count === most) {
        this.#send(gathered)
        at = 0
      } else {
        const words = new Uint32Array(at * 2)
        words.set(gathered.words)
        gathered.words = words
      }
    }
    gathered.words.set(plan.words, at)
    gathered.words[at] = id
    gathered.words[at + 2] = Math.max(1, Math.ceil(timeoutMilliseconds))
    gathered.count++
    return pending
  }

  /** Begins all that was asked for. */
  flush(): void {
    for (const gathered of this.#gathered.values()) if (gathered.count > 0) this.#send(gathered)
    // Namespaces come and go; those in use are few.
    if (this.#gathered.size > 64) this.#gathered.clear()
  }

  /** Gives one up: `done` is not called. */
  cancel(pending: PendingConnect): void {
    if (this.#isClosed || pending.isOver) return
    pending.isOver = true
    // One that is not begun yet would be begun under a number that is another's by then.
    if (pending.id !== -1) this.flush()
    if (pending.id === -1) return
    this.#native.cancel(pending.id)
    this.#release(pending.id)
  }

  /** Gives all up: nobody is told. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#native.close()
    this.#waiting.length = 0
    this.#gathered.clear()
  }

  #send(gathered: Gathered): void {
    const { netns, words, count } = gathered
    const requests = new Uint8Array(words.buffer, 0, count * requestWords * 4)
    gathered.count = 0
    let results: Uint8Array | undefined
    try {
      results = withNamespaceFd(netns, (fd) => this.#native.connect(fd, requests))
    } catch (error) {
      // The namespace is gone, or may not be entered: nothing was begun.
      const { errno = -5 } = error as { errno?: number }
      const outcome = { errno, isLocal: true, fd: undefined, milliseconds: 0 }
      const rows = Array.from({ length: count }, (_, index) => this.#release(words[index * requestWords]!))
      for (const pending of rows) settle(pending, outcome)
      return
    }
    if (results !== undefined) this.#take(results)
  }

  #take(results: Uint8Array): void {
    const rows = new Int32Array(results.buffer, results.byteOffset, results.byteLength / 4)
    // All numbers are free before anybody is told, who may ask for more.
    const pendings: (PendingConnect | undefined)[] = []
    for (let at = 0; at < rows.length; at += 4) pendings.push(this.#release(rows[at]!))
    for (const [index, pending] of pendings.entries()) {
      const at = index * 4
      const what = rows[at + 2]!
      const value = rows[at + 3]!
      const fd = (what & outcome.descriptor) === 0 ? undefined : value
      settle(pending, {
        errno: rows[at + 1]!,
        isLocal: (what & outcome.failedHere) !== 0,
        fd,
        milliseconds: fd === undefined ? value / 1000 : 0,
      })
    }
  }

  #release(id: number): PendingConnect | undefined {
    const pending = this.#waiting[id]
    if (pending === undefined) return undefined
    pending.id = -1
    this.#waiting[id] = undefined
    this.#free.push(id)
    return pending
  }
}

const outcome = { failedHere: 1, descriptor: 2 }

function settle(pending: PendingConnect | undefined, told: ConnectOutcome): void {
  if (pending === undefined || pending.isOver) {
    // Nobody wants it any more.
    if (told.fd !== undefined) loadNative().closeDescriptor(told.fd)
    return
  }
  pending.isOver = true
  pending.done(told)
}

/** What was handed over with `keep`, to be given to `new Socket({ fd })` at once. */
export function takeOver(fd: number): number {
  loadNative().releaseDescriptor(fd)
  return fd
}

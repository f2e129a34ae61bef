import { systemError } from './errno.js'
import { FakeFamilies, type FakeFamily } from './fake-families.js'
import { FakeRequest, type FakeAnswer, type FakeReply, messagesOf, Replier } from './fake-messages.js'
import type { EventListener, Replies, RequestKind, Transport } from '../netlink/index.js'

/** What goes wrong with one exchange. Several may be given together. */
export interface Disturbance {
  /** This many replies are dropped, the last ones, as by a receive buffer that is full (ENOBUFS). */
  readonly lost?: number | undefined
  /** Dumps are marked as interrupted: the table changed while it was read. */
  readonly interrupted?: boolean | undefined
  /** The reply ends after this many bytes. */
  readonly truncatedTo?: number | undefined
  /** The reply's bytes are replaced by what this returns: hostile bytes. */
  readonly replies?: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** The answer comes that much later. Later than the deadline: ETIMEDOUT, although the kernel did it. */
  readonly delayMilliseconds?: number | undefined
  /** The socket fails with this code before anything was sent. */
  readonly fails?: string | undefined
}

/** What a fake kernel does. */
export interface FakeKernelOptions {
  /** What the kernel does with a message that no family takes: rtnetlink, nfnetlink, … ENOENT-like refusal if left out. */
  readonly handle?: ((request: FakeRequest) => FakeAnswer) | undefined
  /** Families of generic netlink; the controller, which tells their numbers, is there by itself. */
  readonly families?: readonly FakeFamily[] | undefined
  /** False: it offers no `exchangeSync`, as transports that cannot. True unless said. */
  readonly synchronous?: boolean | undefined
  /**
   * Between the replies come what real sockets also see: answers to requests that were given up, and messages that
   * say nothing. True unless said.
   */
  readonly strays?: boolean | undefined
}

/**
 * A kernel that is a function: a Transport to give to any client in place of its socket, so that what a program sends
 * and how it takes every answer can be tested without privileges and without Linux.
 *
 * It keeps what a socket promises: requests are handled in their order, each is acknowledged if it asked for that or
 * failed, dumps come in several messages and an end, replies of `exchangeSync` are gone at the next call.
 */
export class FakeKernel implements Transport {
  /** Every message that was sent, in order. */
  readonly requests: FakeRequest[] = []
  readonly exchangeSync: Transport['exchangeSync']
  readonly #families: FakeFamilies
  readonly #handle: (request: FakeRequest) => FakeAnswer
  readonly #strays: boolean
  readonly #disturbances: (Disturbance | undefined)[] = []
  readonly #listeners = new Map<number, Set<EventListener>>()
  readonly #pending = new Set<(error: Error) => void>()
  #receiveBuffer = new Uint8Array(0)
  #busy = false
  #closed = false

  constructor(options: FakeKernelOptions = {}) {
    this.#families = new FakeFamilies(options.families ?? [])
    this.#handle = options.handle ?? (() => ({ code: 'EOPNOTSUPP' }))
    this.#strays = options.strays ?? true
    this.exchangeSync =
      options.synchronous === false
        ? undefined
        : (request, length, kind, deadline) => this.#exchangeSync(request, length, kind, deadline)
  }

  /** Disturbs the exchanges to come: the first the next one, and so on; undefined leaves one alone. */
  disturb(...disturbances: readonly (Disturbance | undefined)[]): void {
    this.#disturbances.push(...disturbances)
  }

  /** The module of a generic family was loaded anew: its number is another one. Returns it. */
  reload(family: string): number {
    return this.#families.reload(family)
  }

  /** The module of a generic family is gone. */
  unload(family: string): void {
    this.#families.unload(family)
  }

  /** The number of a multicast group of a generic family, for `emit`. */
  group(family: string, name: string): number {
    return this.#families.group(family, name)
  }

  /** Sends events to those who subscribed to the group, as one datagram. */
  emit(group: number, ...events: readonly FakeReply[]): void {
    const replier = new Replier(false)
    for (const event of events) replier.event(event)
    this.#tell(group, { bytes: replier.take() })
  }

  /** Events of the group were lost: the receive buffer was full. */
  overrun(group: number): void {
    this.#tell(group, { overrun: true })
  }

  /** What a client sends. */
  async exchange(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    deadlineMilliseconds: number,
  ): Promise<Replies> {
    this.#take()
    // The caller may write over the request as soon as this function has returned.
    const sent = request.slice(0, length)
    this.#busy = true
    try {
      const { replies, delay } = this.#answer(sent, kind)
      await this.#wait(Math.min(delay, deadlineMilliseconds))
      if (delay > deadlineMilliseconds) throw systemError('ETIMEDOUT', 'recvmsg')
      return replies
    } finally {
      this.#busy = false
    }
  }

  /** Events of multicast groups. They come by a socket of their own, whatever is under way on this one. */
  subscribe(groups: number | readonly number[], listener: EventListener): () => void {
    if (this.#closed) throw systemError('EBADF', 'bind')
    const joined = [groups].flat().map((group) => {
      const listeners = this.#listeners.get(group) ?? new Set()
      this.#listeners.set(group, listeners.add(listener))
      return listeners
    })
    return () => joined.forEach((listeners) => listeners.delete(listener))
  }

  /** Whether the client has closed its socket. */
  get closed(): boolean {
    return this.#closed
  }

  /** What a client does at its end. */
  close(): void {
    this.#closed = true
    const listeners = new Set([...this.#listeners.values()].flatMap((each) => [...each]))
    this.#listeners.clear()
    for (const listener of listeners) listener({ error: systemError('EBADF', 'close') })
    for (const reject of this.#pending) reject(systemError('ECANCELED', 'close'))
  }

  #exchangeSync(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    deadlineMilliseconds: number,
  ): Replies {
    this.#take()
    const { replies, delay } = this.#answer(request.slice(0, length), kind)
    if (delay > deadlineMilliseconds) throw systemError('ETIMEDOUT', 'recvmsg')
    // One buffer for all, as the addon has it: who keeps its bytes sees them change.
    this.#receiveBuffer.fill(0xff)
    if (this.#receiveBuffer.length < replies.bytes.length) {
      this.#receiveBuffer = new Uint8Array(replies.bytes.length * 2)
    }
    this.#receiveBuffer.set(replies.bytes)
    return { bytes: this.#receiveBuffer.subarray(0, replies.bytes.length), lost: replies.lost }
  }

  /** A socket that is closed or has an exchange under way takes no other. */
  #take(): void {
    if (this.#closed) throw systemError('EBADF', 'sendmsg')
    if (this.#busy) throw systemError('EBUSY', 'sendmsg')
  }

  #answer(sent: Uint8Array, kind: RequestKind): { replies: Replies; delay: number } {
    const disturbance = this.#disturbances.shift() ?? {}
    if (disturbance.fails !== undefined) throw systemError(disturbance.fails, 'sendmsg')
    const replier = new Replier(this.#strays)
    for (const request of messagesOf(sent)) {
      this.requests.push(request)
      if (kind === 'dumps' && !request.isDump) throw systemError('EINVAL', 'sendmsg')
      // A batch of netfilter begins with a number that is the controller's elsewhere.
      const answer = kind === 'atomic' ? this.#handle(request) : this.#perform(request)
      replier.answer(request, answer, disturbance.interrupted === true)
    }
    const dropped = disturbance.lost ?? 0
    let bytes = replier.take(dropped)
    if (disturbance.truncatedTo !== undefined) bytes = bytes.slice(0, disturbance.truncatedTo)
    if (disturbance.replies !== undefined) bytes = disturbance.replies(bytes)
    return { replies: { bytes, lost: dropped > 0 }, delay: disturbance.delayMilliseconds ?? 0 }
  }

  #perform(request: FakeRequest): FakeAnswer {
    // NLMSG_NOOP and its like are acknowledged and do nothing: netlink_rcv_skb (net/netlink/af_netlink.c).
    if (request.type < 16) return undefined
    return this.#families.perform(request) ?? this.#handle(request)
  }

  #tell(group: number, event: Parameters<EventListener>[0]): void {
    for (const listener of [...(this.#listeners.get(group) ?? [])]) listener(event)
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer)
        this.#pending.delete(settle)
        if (error === undefined) resolve()
        else reject(error)
      }
      const timer = setTimeout(settle, milliseconds)
      this.#pending.add(settle)
    })
  }
}

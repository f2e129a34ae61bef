import { ExchangeKind, loadNative, type NativeNetlinkSocket } from '../native.js'
import { type Netns, withNamespaceFd } from '../net/namespace.js'
import type { EventListener, Replies, RequestKind, Transport } from './transport.js'

/** Where and how a socket is opened. */
export interface SocketOptions {
  /** NETLINK_GENERIC, NETLINK_ROUTE, NETLINK_NETFILTER. */
  readonly protocol: number
  /** The network namespace to open it in; the current one if left out. */
  readonly netns?: Netns | undefined
  /** NETLINK_GET_STRICT_CHK: the kernel checks dump requests and filters by them. True unless said. */
  readonly strictChecking?: boolean | undefined
  /** 8 MiB unless said; as much as net.core.rmem_max permits without CAP_NET_ADMIN. */
  readonly receiveBufferBytes?: number | undefined
  /** 4 MiB unless said; as much as net.core.wmem_max permits without CAP_NET_ADMIN. */
  readonly sendBufferBytes?: number | undefined
}

/** 8 MiB hold the replies of several thousand failed requests. */
const receiveBufferBytes = 8 * 1024 * 1024
const sendBufferBytes = 4 * 1024 * 1024

/** Opens the addon's netlink socket: the Transport that everything uses unless another is given. */
export function openSocket(options: SocketOptions): Transport {
  const { NetlinkSocket } = loadNative()
  const open = (groups: readonly number[]): NativeNetlinkSocket =>
    withNamespaceFd(options.netns, (netnsFd) => {
      const socket = new NetlinkSocket({
        protocol: options.protocol,
        netnsFd,
        receiveBufferBytes: options.receiveBufferBytes ?? receiveBufferBytes,
        sendBufferBytes: options.sendBufferBytes ?? sendBufferBytes,
        strictChecking: options.strictChecking ?? true,
      })
      try {
        for (const group of groups) socket.joinGroup(group)
      } catch (error) {
        socket.close()
        throw error
      }
      return socket
    })
  return new SocketTransport(open([]), open)
}

class SocketTransport implements Transport {
  readonly #socket: NativeNetlinkSocket
  readonly #open: (groups: readonly number[]) => NativeNetlinkSocket
  readonly #listeners = new Map<() => void, EventListener>()
  #buffer: Uint8Array

  constructor(socket: NativeNetlinkSocket, open: (groups: readonly number[]) => NativeNetlinkSocket) {
    this.#socket = socket
    this.#open = open
    this.#buffer = socket.receiveBuffer
  }

  get portId(): number {
    return this.#socket.portId
  }

  exchangeSync(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    deadlineMilliseconds: number,
  ): Replies {
    const result = this.#socket.exchangeSync(request, length, ExchangeKind[kind], deadlineMilliseconds)
    const lost = result < 0
    const size = lost ? -1 - result : result
    const bytes = size <= this.#buffer.length ? this.#buffer.subarray(0, size) : this.#socket.takeOverflow()
    return { bytes, lost }
  }

  exchange(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    deadlineMilliseconds: number,
    into?: Uint8Array,
  ): Promise<Replies> {
    return this.#socket.exchange(request, length, ExchangeKind[kind], deadlineMilliseconds, into)
  }

  /** Events have a socket of their own: they must not come between a request and its replies. */
  subscribe(groups: number | readonly number[], listener: EventListener): () => void {
    const socket = this.#open(typeof groups === 'number' ? [groups] : groups)
    const stop = (): void => {
      if (this.#listeners.delete(stop)) socket.close()
    }
    this.#listeners.set(stop, listener)
    socket.startReceiving((errno, bytes) => {
      if (errno === 0) return listener({ bytes })
      if (errno === -105) return listener({ overrun: true })
      stop()
      listener({ error: Object.assign(new Error(`netlink events: errno ${errno}`), { errno }) })
    })
    return stop
  }

  close(): void {
    for (const [stop, listener] of [...this.#listeners]) {
      stop()
      // Whoever waits for the next event would wait for ever.
      listener({ error: Object.assign(new Error('EBADF: closed'), { errno: -9, code: 'EBADF' }) })
    }
    this.#socket.close()
  }
}

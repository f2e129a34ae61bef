import { formatAddress, formatMac, parseAddress, parseMac } from '../address/index.js'
import { errnoCode, isKernelError, KernelError, ValidationError } from '../errors/index.js'
import { loadNative, type NativeDatagramSocket } from '../native.js'
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  endpoint,
  hints,
  openIn,
  pingHints,
  sendHints,
  SOCK_DGRAM,
  SOCK_RAW,
  type SocketOptions,
} from './endpoints.js'
import { attempt } from './failure.js'

/** What was received. */
export interface Datagram {
  /** Of a raw IPv4 socket the IP header stands in front, of a packet socket the link's; of others none does. */
  readonly bytes: Uint8Array
  /** Who sent it: an IP address, or a MAC such as `02:00:00:00:00:01`. */
  readonly address: string
  /** Of a packet socket: the protocol (0x0800 for IPv4). 0 for raw sockets. */
  readonly port: number
  /** The interface it came by: of packet sockets, and of IPv6 from link-local addresses; else 0. */
  readonly interfaceIndex: number
  /** The address that it was sent to. Of IPv6, where `receiveArrival` asks for it. */
  readonly destination?: string | undefined
  /** How many routers it could still have passed. Of IPv6, where `receiveArrival` asks for it. */
  readonly hopLimit?: number | undefined
}

/** Where to send. */
export interface SendTarget {
  /** An IP address, or a MAC for packet sockets. */
  readonly address: string
  /** UDP's; for packet sockets the EtherType (0x0800 for IPv4). 0 unless said. */
  readonly port?: number | undefined
  /** The link to send over, for packet sockets and link-local addresses. */
  readonly interfaceIndex?: number | undefined
}

/** How long to wait. */
export interface ReceiveOptions {
  /** Left out, it waits for as long as the socket is open. */
  readonly deadlineMilliseconds?: number | undefined
  /** Aborting rejects with its reason; the socket stays open. */
  readonly signal?: AbortSignal | undefined
}

export interface RawOptions extends SocketOptions {
  /** Of the address to bind to; left out, everything of the protocol is received. */
  readonly address?: string | undefined
  /** `ipv4` unless `address` says otherwise. */
  readonly family?: 'ipv4' | 'ipv6' | undefined
  /** Number of the IP protocol: 1 for ICMP, 6 for TCP, … */
  readonly protocol: number
  /** What is sent starts with an IP header of the caller's making. */
  readonly headerIncluded?: boolean | undefined
  /** Tells `destination` and `hopLimit` of what is received. Of IPv6: IPv4's stand in the header before it. */
  readonly receiveArrival?: boolean | undefined
}

/** Where a packet socket is opened. */
export interface PacketOptions extends Pick<SocketOptions, 'netns' | 'device' | 'mark'> {
  /** 0x0003, every protocol, unless said (linux/if_ether.h, ETH_P_ALL). */
  readonly protocol?: number | undefined
}

export interface PingSocketOptions extends SocketOptions {
  /** Of ICMP: echoes of IPv4, or of IPv6. */
  readonly family: 'ipv4' | 'ipv6'
  /** To send from; the kernel's choice if left out. */
  readonly address?: string | undefined
  /**
   * ICMP errors about what was sent come in the place of datagrams: EHOSTUNREACH and its like. After the first one it is to be
   * closed.
   */
  readonly receiveErrors?: boolean | undefined
}

/** A raw socket (SOCK_RAW). Takes CAP_NET_RAW in the namespace. */
export function openRaw(options: RawOptions): DatagramSocket {
  const bound = options.address === undefined ? undefined : endpoint('address', options.address)
  const { protocol, headerIncluded, receiveArrival } = options
  const fd = openIn('raw.open', { protocol, address: options.address }, options, {
    family: bound?.family ?? (options.family === 'ipv6' ? AF_INET6 : AF_INET),
    type: SOCK_RAW,
    protocol,
    headerIncluded,
    receiveArrival,
    bindAddress: bound?.bytes,
  })
  return new DatagramSocket(fd)
}

/** A packet socket: whole frames, as the interface sees them. Takes CAP_NET_RAW in the namespace. */
export function openPacket(options: PacketOptions = {}): DatagramSocket {
  const { device, protocol = 0x0003 } = options
  const fd = openIn('packet.open', { device, protocol }, options, {
    family: AF_PACKET,
    type: SOCK_RAW,
    protocol,
  })
  return new DatagramSocket(fd)
}

/**
 * A ping socket: echo requests and the replies to its own. Takes no capability, but a group within
 * `net.ipv4.ping_group_range`, which is empty in a new namespace (EACCES).
 */
export function openPingSocket(options: PingSocketOptions): DatagramSocket {
  const v6 = options.family === 'ipv6'
  const own = {
    family: v6 ? AF_INET6 : AF_INET,
    type: SOCK_DGRAM,
    protocol: v6 ? 58 : 1,
    receiveErrors: options.receiveErrors,
    bindAddress: options.address === undefined ? undefined : endpoint('address', options.address).bytes,
  }
  return new DatagramSocket(openIn('ping.open', { family: options.family }, options, own, pingHints))
}

/** Timers of more milliseconds go off at once; these are 24 days. */
const longestTimeout = 2 ** 31 - 1

/** While so many are not taken, no more are read: the kernel's receive buffer holds (and then drops) the rest. */
const mostQueued = 1024

interface Waiting {
  resolve(datagram: Datagram): void
  reject(error: Error): void
}

/**
 * What `node:dgram` cannot hold: raw, packet and ping sockets. From the first `receive()` to `close()` it keeps the
 * process alive.
 */
export class DatagramSocket {
  readonly #native: NativeDatagramSocket
  readonly #queue: (Datagram | KernelError)[] = []
  readonly #waiting = new Set<Waiting>()
  #receiving = false
  #closed = false

  /** Takes the descriptor over. */
  constructor(fd: number) {
    this.#native = new (loadNative().DatagramSocket)(fd)
  }

  /** Sends one datagram; without a target to where the socket is connected. EAGAIN if the send buffer is full. */
  send(bytes: Uint8Array, target?: SendTarget): void {
    attempt('datagram.send', target, sendHints, () =>
      target === undefined
        ? this.#native.send(bytes)
        : this.#native.send(
            bytes,
            addressBytes(target.address),
            target.port ?? 0,
            target.interfaceIndex ?? 0,
          ),
    )
  }

  /**
   * Receives what is sent to a multicast group on an interface, as long as the socket is open. Raw sockets get nothing of a
   * group that nobody on the host has joined.
   *
   * @throws KernelError EADDRINUSE if it is a member already, ENODEV if there is no such interface, ENOBUFS where a host's
   *   limit is reached (`net.ipv4.igmp_max_memberships`)
   */
  joinGroup(group: string, interfaceIndex: number): void {
    attempt('datagram.joinGroup', { group, interfaceIndex }, hints, () =>
      this.#native.joinGroup(addressBytes(group), interfaceIndex),
    )
  }

  /** The reverse. */
  leaveGroup(group: string, interfaceIndex: number): void {
    attempt('datagram.leaveGroup', { group, interfaceIndex }, hints, () =>
      this.#native.leaveGroup(addressBytes(group), interfaceIndex),
    )
  }

  /**
   * The next datagram. Errors of the socket (ECONNREFUSED, ENETDOWN) come in its place; after one that it cannot go on
   * from it is closed.
   */
  async receive({ deadlineMilliseconds, signal }: ReceiveOptions = {}): Promise<Datagram> {
    signal?.throwIfAborted()
    const queued = this.#queue.shift()
    if (queued !== undefined) {
      this.#adjust()
      if (queued instanceof KernelError) throw queued
      return queued
    }
    if (this.#closed) throw closedError()
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(waiting)
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const waiting: Waiting = {
        resolve: (datagram) => {
          end()
          resolve(datagram)
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
      const abort = (): void => waiting.reject(signal?.reason as Error)
      const timer =
        deadlineMilliseconds === undefined
          ? undefined
          : setTimeout(
              () => waiting.reject(new KernelError({ errno: -110, operation: 'datagram.receive' })),
              Math.min(deadlineMilliseconds, longestTimeout),
            )
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiting.add(waiting)
      this.#adjust()
    })
  }

  /** Datagrams until the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram, void, undefined> {
    while (!this.#closed) {
      try {
        yield await this.receive()
      } catch (error) {
        if (this.#closed && isKernelError(error, 'EBADF')) return
        throw error
      }
    }
  }

  /** Closes the descriptor; who waits for a datagram gets none. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#native.close()
    for (const waiting of [...this.#waiting]) waiting.reject(closedError())
  }

  /** As `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  /** Receives from the first time that somebody waits, as long as there is room. */
  #adjust(): void {
    if (this.#closed) return
    const full = this.#queue.length >= mostQueued
    if (!this.#receiving && !full) {
      this.#native.startReceiving((errno, bytes, address, port, interfaceIndex, destination, hopLimit) => {
        if (errno === 0) {
          const from = { bytes, address: addressText(address), port, interfaceIndex }
          return this.#take(
            destination === undefined ? from : { ...from, destination: addressText(destination), hopLimit },
          )
        }
        this.#take(new KernelError({ errno, operation: 'datagram.receive', hint: hints[errnoCode(errno)] }))
        if (!this.#native.receiving) this.close()
      })
    } else if (this.#receiving && full) this.#native.stopReceiving()
    this.#receiving = !full
  }

  #take(arrived: Datagram | KernelError): void {
    const [waiting] = this.#waiting
    if (waiting === undefined) {
      this.#queue.push(arrived)
      this.#adjust()
    } else if (arrived instanceof KernelError) waiting.reject(arrived)
    else waiting.resolve(arrived)
  }
}

function closedError(): KernelError {
  return new KernelError({ errno: -9, operation: 'datagram.receive', kernelMessage: 'the socket is closed' })
}

function addressBytes(address: string): Uint8Array {
  const bytes = parseMac(address) ?? parseAddress(address)
  if (bytes === undefined) throw new ValidationError('address', address, 'a numeric IP address, or a MAC')
  return bytes
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4 || bytes.length === 16) return formatAddress(bytes)
  return formatMac(bytes)
}

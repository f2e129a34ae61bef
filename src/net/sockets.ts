import { once } from 'node:events'
import { createSocket as createUdpSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, Socket } from 'node:net'
import { loadNative } from '../native.js'
import { DatagramSocket } from './datagrams.js'
import {
  AF_INET6,
  checkPort,
  connectHints,
  endpoint,
  listenHints,
  openIn,
  SOCK_DGRAM,
  SOCK_STREAM,
} from './endpoints.js'
import type { SocketOptions } from './endpoints.js'
import { netError } from './failure.js'
import { UdpServer } from './udp-server.js'

export interface ListenOptions extends SocketOptions {
  /** Numeric; `0.0.0.0` unless said. `::` takes IPv4 too, unless `ipv6Only`. */
  readonly address?: string | undefined
  /** 0, and left out, is any that is free. */
  readonly port?: number | undefined
  /** Several sockets on one port (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined
  /** `::` takes no IPv4 (IPV6_V6ONLY). */
  readonly ipv6Only?: boolean | undefined
}

export interface TcpListenOptions extends ListenOptions {
  /** Connections that wait to be accepted; 511 unless said, and also for 0 where Node's server listens. */
  readonly backlog?: number | undefined
}

export interface ConnectOptions extends SocketOptions {
  /** Numeric. */
  readonly address: string
  /** 1 to 65535. */
  readonly port: number
  /** The end here; the kernel's choice if left out. */
  readonly localAddress?: string | undefined
  /** The kernel's choice if left out. */
  readonly localPort?: number | undefined
  /** How long the connection may take to come about; 10,000 unless said. */
  readonly deadlineMilliseconds?: number | undefined
  /** Aborting gives the attempt up, and rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

/** A listening TCP socket in the namespace, as a descriptor for `server.listen({ fd })`, which takes it over. */
export function openTcpListener(options: TcpListenOptions = {}): number {
  const fd = borrowTcpListener(options)
  loadNative().releaseDescriptor(fd)
  return fd
}

/** As Node has it. */
const usualBacklog = 511

function borrowTcpListener(options: TcpListenOptions): number {
  const place = placeOf(options)
  const own = {
    ...place.own,
    type: SOCK_STREAM,
    reuseAddress: true,
    listenBacklog: options.backlog ?? usualBacklog,
  }
  return openIn('tcp.listen', place.object, options, own, listenHints)
}

/**
 * Makes a server listen in the namespace: an `http.Server` or another `net.Server`, or a new one if none is given.
 * Resolves when it listens; its connections are in the namespace too.
 */
export async function listenTcp<S extends Server = Server>(
  options: TcpListenOptions = {},
  server: S = createServer() as S,
): Promise<S> {
  const { backlog = usualBacklog } = options
  const addon = loadNative()
  const fd = borrowTcpListener(options)
  try {
    addon.releaseDescriptor(fd)
    // Node listens once more, with a backlog of its own unless it is told.
    server.listen({ fd }, backlog)
  } catch (error) {
    // It is listening elsewhere already, and has not taken this one over.
    addon.closeDescriptor(fd)
    throw error
  }
  try {
    await once(server, 'listening')
  } catch (error) {
    throw netError(error, 'tcp.listen', placeOf(options).object, listenHints)
  }
  return server
}

/**
 * A TCP connection made in the namespace, as a `net.Socket`.
 *
 * @throws KernelError ETIMEDOUT at the deadline, ECONNREFUSED, EHOSTUNREACH, …; the signal's reason if it is aborted
 */
export async function connectTcp(options: ConnectOptions): Promise<Socket> {
  const { address, port, localAddress, localPort, deadlineMilliseconds = 10_000, signal } = options
  signal?.throwIfAborted()
  const remote = endpoint('address', address)
  const object = { address, port }
  const addon = loadNative()
  const own = {
    family: remote.family,
    type: SOCK_STREAM,
    protocol: 0,
    connectAddress: remote.bytes,
    connectPort: checkPort('port', port),
    bindAddress: localAddress === undefined ? undefined : endpoint('localAddress', localAddress).bytes,
    bindPort: localPort === undefined ? undefined : checkPort('localPort', localPort),
  }
  const fd = openIn('tcp.connect', object, options, own, connectHints)
  const cancel = (): void => addon.cancelWait(fd)
  try {
    const connected = addon.waitWritable(fd, deadlineMilliseconds)
    signal?.addEventListener('abort', cancel, { once: true })
    await connected
    addon.releaseDescriptor(fd)
    return new Socket({ fd, readable: true, writable: true })
  } catch (error) {
    addon.closeDescriptor(fd)
    signal?.throwIfAborted()
    throw netError(error, 'tcp.connect', object, connectHints)
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** A UDP socket bound in the namespace, as a `dgram.Socket`. Resolves when it receives. */
export async function openUdp(options: ListenOptions = {}): Promise<UdpSocket> {
  const place = placeOf(options)
  // Bound here: node:dgram would bind a descriptor that is not to a port of its own choice, and to no address.
  const fd = openIn('udp.open', place.object, options, { ...place.own, type: SOCK_DGRAM }, listenHints)
  const socket = createUdpSocket(place.own.family === AF_INET6 ? 'udp6' : 'udp4')
  const listening = once(socket, 'listening')
  const addon = loadNative()
  try {
    addon.releaseDescriptor(fd)
    socket.bind({ fd })
  } catch (error) {
    addon.closeDescriptor(fd)
    socket.close()
    throw netError(error, 'udp.open', place.object, listenHints)
  }
  await listening
  return socket
}

/** A bound UDP socket that answers by the batch. Nothing is received before `start`. */
export function openUdpServer(options: ListenOptions): UdpServer {
  const place = placeOf(options)
  return new UdpServer(
    openIn('udp.open', place.object, options, { ...place.own, type: SOCK_DGRAM }, listenHints),
  )
}

function placeOf({ address = '0.0.0.0', port = 0, reusePort, ipv6Only }: ListenOptions) {
  const { bytes, family } = endpoint('address', address)
  return {
    object: { address, port },
    own: {
      family,
      protocol: 0,
      bindAddress: bytes,
      bindPort: checkPort('port', port),
      reusePort,
      v6Only: ipv6Only,
    },
  }
}

/**
 * A UDP socket that is connected to one address and port: it hears of nobody else, and of ICMP errors (ECONNREFUSED).
 *
 * @throws KernelError ENETUNREACH, EADDRNOTAVAIL, … of this namespace: nothing is sent yet
 */
export function connectUdp(options: Omit<ConnectOptions, 'deadlineMilliseconds' | 'signal'>): DatagramSocket {
  const { address, port, localAddress, localPort } = options
  const remote = endpoint('address', address)
  const own = {
    family: remote.family,
    type: SOCK_DGRAM,
    protocol: 0,
    connectAddress: remote.bytes,
    connectPort: checkPort('port', port),
    bindAddress: localAddress === undefined ? undefined : endpoint('localAddress', localAddress).bytes,
    bindPort: localPort === undefined ? undefined : checkPort('localPort', localPort),
  }
  return new DatagramSocket(openIn('udp.connect', { address, port }, options, own, connectHints))
}

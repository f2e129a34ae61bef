import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import { isKernelError } from '../errors/index.js'
import { type ListenOptions, listenTcp, openUdp } from '../net/index.js'

/** Something that listens. */
export class Served {
  /** The kernel's choice where none was given. */
  readonly port: number
  /** Where it listens: `0.0.0.0`, unless an address was given. */
  readonly address: string
  readonly #scheme: string
  readonly #end: () => void
  #closed = false

  /** @internal */
  constructor(place: { readonly address: string; readonly port: number }, scheme: string, end: () => void) {
    this.address = place.address
    this.port = place.port
    this.#scheme = scheme
    this.#end = end
  }

  /** Its address as a client writes it: `http://10.0.1.2:8080/`. */
  url(address = this.address): string {
    const host = address.includes(':') ? `[${address}]` : address
    return `${this.#scheme}://${host}:${this.port}/`
  }

  /** Stops listening and ends the connections. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#end()
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

/** Without an address one socket for each family: through one for both, IPv4 clients would be called ::ffff:10.0.1.1. */
async function bothFamilies<T extends { close(): unknown }>(
  options: ListenOptions,
  open: (place: ListenOptions) => Promise<T>,
  portOf: (opened: T) => number,
): Promise<T[]> {
  if (options.address !== undefined) return [await open(options)]
  const first = await open({ ...options, address: '0.0.0.0' })
  try {
    return [first, await open({ ...options, address: '::', ipv6Only: true, port: portOf(first) })]
  } catch (error) {
    if (isKernelError(error, 'EAFNOSUPPORT') || isKernelError(error, 'EADDRNOTAVAIL')) return [first]
    first.close()
    throw error
  }
}

export async function serveTcp(
  options: ListenOptions,
  onConnection: (socket: Socket) => void,
  scheme: string,
): Promise<Served> {
  const connections = new Set<Socket>()
  const portOf = (server: Server): number => (server.address() as { port: number }).port
  const servers = await bothFamilies(options, listenTcp, portOf)
  for (const server of servers) {
    server.on('connection', (socket: Socket) => {
      connections.add(socket)
      // A client that goes away is no failure of the server's.
      socket.on('error', () => undefined)
      socket.once('close', () => connections.delete(socket))
      onConnection(socket)
    })
  }
  const place = { address: options.address ?? '0.0.0.0', port: portOf(servers[0]!) }
  return new Served(place, scheme, () => {
    for (const server of servers) server.close()
    for (const socket of connections) socket.destroy()
  })
}

/** What a UDP server does with a datagram; `reply` sends to where it came from. */
export type UdpHandler = (bytes: Uint8Array, from: RemoteInfo, reply: (bytes: Uint8Array) => void) => void

export async function serveUdp(options: ListenOptions, onDatagram: UdpHandler): Promise<Served> {
  const sockets = await bothFamilies(options, openUdp, (socket) => socket.address().port)
  for (const socket of sockets) {
    socket.on('error', () => undefined)
    socket.on('message', (bytes, from) => {
      onDatagram(bytes, from, (answer) => {
        // A socket that was closed meanwhile has nobody to answer.
        if (isOpen(socket)) socket.send(answer, from.port, from.address, () => undefined)
      })
    })
  }
  const place = { address: options.address ?? '0.0.0.0', port: sockets[0]!.address().port }
  return new Served(place, 'udp', () => {
    for (const socket of sockets) if (isOpen(socket)) socket.close()
  })
}

/** A socket that somebody closed says so in its next turn, and throws when it is closed again. */
export function isOpen(socket: UdpSocket): boolean {
  try {
    socket.address()
    return true
  } catch {
    return false
  }
}

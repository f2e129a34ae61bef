import { foldedComplement, formatAddress, sum16 } from '../address/index.js'
import { isKernelError, KernelError } from '../errors/index.js'
import { type Datagram, type DatagramSocket, openPingSocket, openRaw } from './datagrams.js'
import { AF_INET6, endpoint, type SocketOptions } from './endpoints.js'
import { icmpErrorAbout } from './icmp-errors.js'

export interface PingOptions extends SocketOptions {
  /** Numeric, of either family. */
  readonly address: string
  /** The address to send from; the kernel's choice if left out. */
  readonly localAddress?: string | undefined
  /** Of the payload; 16 unless said. */
  readonly payloadBytes?: number | undefined
  /** 1,000 unless said. */
  readonly deadlineMilliseconds?: number | undefined
  /** Aborting rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

/** What answered. */
export interface PingReply {
  /** Who answered. */
  readonly address: string
  /** From sending to receiving here. */
  readonly milliseconds: number
}

/**
 * Sends one echo request and waits for its reply, or for an ICMP error about it. Through a ping socket, which takes no capability, or where
 * `net.ipv4.ping_group_range` does not permit one (as in a new namespace) through a raw socket, which takes CAP_NET_RAW.
 *
 * @throws KernelError ETIMEDOUT if nobody answers in time; EHOSTUNREACH, ENETUNREACH and their like where a router, or the host
 *   itself, says that the request has not arrived (with `cause.operation` `datagram.receive`)
 */
export async function ping(options: PingOptions): Promise<PingReply> {
  const { address, localAddress, payloadBytes = 16, deadlineMilliseconds = 1000, signal } = options
  const { bytes, family } = endpoint('address', address)
  const remote = formatAddress(bytes)
  const v6 = family === AF_INET6
  const { socket, isRaw } = openEcho(v6, { ...options, address: localAddress })
  const until = performance.now() + deadlineMilliseconds
  try {
    const identifier = Math.floor(Math.random() * 0x10000)
    const request = echoRequest(v6, identifier, payloadBytes)
    const sent = performance.now()
    socket.send(request, { address: remote })
    for (;;) {
      const reply = await socket.receive({
        deadlineMilliseconds: Math.max(0, until - performance.now()),
        signal,
      })
      if (isReplyTo(request, reply, v6, isRaw)) {
        return { address: reply.address, milliseconds: performance.now() - sent }
      }
      const error = isRaw ? icmpErrorAbout(request, bytes, reply) : undefined
      if (error !== undefined) throw error
    }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    const { errno, kernelMessage, hint } = error
    throw new KernelError({
      errno,
      operation: 'ping',
      object: { address },
      kernelMessage,
      hint,
      cause: error,
    })
  } finally {
    socket.close()
  }
}

function openEcho(
  v6: boolean,
  options: SocketOptions & { readonly address?: string | undefined },
): { socket: DatagramSocket; isRaw: boolean } {
  const family = v6 ? 'ipv6' : 'ipv4'
  try {
    return { socket: openPingSocket({ ...options, family, receiveErrors: true }), isRaw: false }
  } catch (error) {
    if (!isKernelError(error, 'EACCES')) throw error
    return { socket: openRaw({ ...options, family, protocol: v6 ? 58 : 1 }), isRaw: true }
  }
}

const echo = { v4: { request: 8, reply: 0 }, v6: { request: 128, reply: 129 } } as const
const headerBytes = 8

function echoRequest(v6: boolean, identifier: number, payloadBytes: number): Uint8Array {
  const message = new Uint8Array(headerBytes + payloadBytes)
  const view = new DataView(message.buffer)
  message[0] = v6 ? echo.v6.request : echo.v4.request
  view.setUint16(4, identifier)
  view.setUint16(6, 1)
  // Random, so that a reply to another process' request is told apart also where the identifiers agree.
  for (let index = headerBytes; index < message.length; index++)
    message[index] = Math.floor(Math.random() * 256)
  // The kernel sums ICMPv6 and what goes through ping sockets; here it does no harm.
  if (!v6) view.setUint16(2, foldedComplement(sum16(message)))
  return message
}

/** Ping sockets have an identifier of the kernel's choice, and the kernel has matched it. */
function isReplyTo(request: Uint8Array, { bytes }: Datagram, v6: boolean, isRaw: boolean): boolean {
  const start = isRaw && !v6 ? ((bytes[0] ?? 0) & 15) * 4 : 0
  const reply = bytes.subarray(start)
  const from = isRaw ? 4 : 6
  return (
    reply.length === request.length &&
    reply[0] === (v6 ? echo.v6.reply : echo.v4.reply) &&
    reply.subarray(from).every((byte, index) => byte === request[from + index])
  )
}

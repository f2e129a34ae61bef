/** What arrives at a host, seen by raw sockets: also what no socket listens for, and errors that are told by ICMP. */
import type { ServiceProtocol } from '../../src/model/index.js'
import type { DatagramSocket } from '../../src/net/index.js'
import type { Host } from '../../src/testing/index.js'

/** The first packet of a connection, as it arrived. */
export interface Sighting {
  readonly host: string
  readonly protocol: ServiceProtocol
  readonly from: string
  readonly fromPort: number
  readonly port: number
}

/** An error that ICMP told, of a packet that was sent before. */
export interface Refusal {
  readonly protocol: ServiceProtocol
  /** The sender's port in the packet that it is about. */
  readonly fromPort: number
  /** `port unreachable`, `host unreachable`, … */
  readonly what: string
}

type Family = 'ipv4' | 'ipv6'
const numbers = { tcp: 6, udp: 17, sctp: 132 } as const
const byNumber = new Map<number, ServiceProtocol>([
  [numbers.tcp, 'tcp'],
  [numbers.udp, 'udp'],
  [numbers.sctp, 'sctp'],
])

/** Reports the first packet of every connection of a protocol that comes to a host. Ends with the host. */
export function watchArrivals(
  host: Host,
  family: Family,
  name: ServiceProtocol,
  report: (sighting: Sighting) => void,
): void {
  const protocol = numbers[name]
  const socket = host.raw({ protocol, family })
  void eachOf(socket, (packet, from) => {
    const bytes = family === 'ipv4' ? packet.subarray((packet[0]! & 15) * 4) : packet
    if (!isFirst(protocol, bytes)) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    report({
      host: host.name,
      protocol: name,
      from,
      fromPort: view.getUint16(0),
      port: view.getUint16(2),
    })
  })
}

/** A SYN without ACK, an INIT (RFC 9260, the first chunk's type is 1), and of UDP every datagram. */
function isFirst(protocol: number, bytes: Uint8Array): boolean {
  if (protocol === numbers.udp) return bytes.length >= 8
  if (bytes.length < 16) return false
  return protocol === numbers.tcp ? (bytes[13]! & 0b01_0010) === 0b00_0010 : bytes[12] === 1
}

/** Reports what ICMP tells a host about packets that it sent. Ends with the host. */
export function watchRefusals(host: Host, family: Family, report: (refusal: Refusal) => void): void {
  const socket = host.raw({ protocol: family === 'ipv4' ? 1 : 58, family })
  void eachOf(socket, (packet) => {
    const refusal = family === 'ipv4' ? readIcmp(packet.subarray((packet[0]! & 15) * 4)) : readIcmp6(packet)
    if (refusal !== undefined) report(refusal)
  })
}

/** RFC 792; the packet that it is about stands behind the header. */
const codes = ['net', 'host', 'protocol', 'port']
function readIcmp(bytes: Uint8Array): Refusal | undefined {
  if (bytes.length < 8 + 20 + 8 || bytes[0] === 0 || bytes[0] === 8) return undefined
  const what = bytes[0] === 3 ? (codes[bytes[1]!] ?? `destination (code ${bytes[1]})`) : undefined
  const inner = bytes.subarray(8)
  return about(
    what === undefined ? `ICMP type ${bytes[0]}` : `${what} unreachable`,
    inner[9]!,
    inner.subarray((inner[0]! & 15) * 4),
  )
}

/** RFC 4443, 3.1. Informational messages, as those of neighbour discovery, have types from 128 on. */
const codes6 = ['route', 'permission', 'scope', 'host', 'port']
function readIcmp6(bytes: Uint8Array): Refusal | undefined {
  if (bytes.length < 8 + 40 + 8 || bytes[0]! >= 128) return undefined
  const what = bytes[0] === 1 ? (codes6[bytes[1]!] ?? `destination (code ${bytes[1]})`) : undefined
  return about(
    what === undefined ? `ICMPv6 type ${bytes[0]}` : `${what} unreachable`,
    bytes[8 + 6]!,
    bytes.subarray(8 + 40),
  )
}

function about(what: string, protocolNumber: number, transport: Uint8Array): Refusal | undefined {
  const protocol = byNumber.get(protocolNumber)
  if (protocol === undefined || transport.length < 2) return undefined
  return { protocol, fromPort: (transport[0]! << 8) | transport[1]!, what }
}

/** Until the socket is closed, which happens with its host. */
async function eachOf(
  socket: DatagramSocket,
  take: (bytes: Uint8Array, from: string) => void,
): Promise<void> {
  for await (const { bytes, address } of socket) take(bytes, address)
}

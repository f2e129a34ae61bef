/** ICMP messages that say that a packet did not arrive, as raw sockets get them. Pure. */
import { KernelError } from '../errors/index.js'
import type { Datagram } from './datagrams.js'

const [ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET] = [-101, -113, -112, -64]
const [ECONNREFUSED, ENOPROTOOPT, EPROTO, EACCES, EOPNOTSUPP] = [-111, -92, -71, -13, -95]

interface Meaning {
  readonly errno: number
  readonly text: string
}

/**
 * RFC 792, RFC 1812 (5.2.7.1), with the error that the kernel makes of each (icmp_err_convert, net/ipv4/icmp.c). "Fragmentation needed"
 * is left out: the kernel sends the next ones smaller.
 */
const unreachable4: Readonly<Record<number, Meaning>> = {
  0: { errno: ENETUNREACH, text: 'network unreachable' },
  1: { errno: EHOSTUNREACH, text: 'host unreachable' },
  2: { errno: ENOPROTOOPT, text: 'protocol unreachable' },
  3: { errno: ECONNREFUSED, text: 'port unreachable' },
  5: { errno: EOPNOTSUPP, text: 'source route failed' },
  6: { errno: ENETUNREACH, text: 'network unknown' },
  7: { errno: EHOSTDOWN, text: 'host unknown' },
  8: { errno: ENONET, text: 'source host isolated' },
  9: { errno: ENETUNREACH, text: 'network prohibited' },
  10: { errno: EHOSTUNREACH, text: 'host prohibited' },
  11: { errno: ENETUNREACH, text: 'network unreachable for this type of service' },
  12: { errno: EHOSTUNREACH, text: 'host unreachable for this type of service' },
  13: { errno: EHOSTUNREACH, text: 'communication prohibited' },
  14: { errno: EHOSTUNREACH, text: 'host precedence violation' },
  15: { errno: EHOSTUNREACH, text: 'precedence cutoff' },
}
/** RFC 4443 (3.1); tab_unreach, net/ipv6/icmp.c. */
const unreachable6: Readonly<Record<number, Meaning>> = {
  0: { errno: ENETUNREACH, text: 'no route' },
  1: { errno: EACCES, text: 'communication prohibited' },
  2: { errno: EHOSTUNREACH, text: 'beyond scope of the source' },
  3: { errno: EHOSTUNREACH, text: 'address unreachable' },
  4: { errno: ECONNREFUSED, text: 'port unreachable' },
  5: { errno: EACCES, text: 'source policy failed' },
  6: { errno: EACCES, text: 'route rejected' },
}
const timeExceeded: Meaning = { errno: EHOSTUNREACH, text: 'time exceeded' }
const parameterProblem: Meaning = { errno: EPROTO, text: 'parameter problem' }

function meaningOf(v6: boolean, type: number, code: number): Meaning | undefined {
  if (type === (v6 ? 1 : 3)) return (v6 ? unreachable6 : unreachable4)[code]
  if (type === (v6 ? 3 : 11)) return timeExceeded
  return type === (v6 ? 4 : 12) ? parameterProblem : undefined
}

/** Of an ICMP message, and of an echo's. */
const icmpHeaderBytes = 8
const ipv6HeaderBytes = 40

/**
 * What a message says of an ICMP request of ours: an error, with who told it. Undefined for every other message: what it quotes must be the
 * request, as far as it does, from its identifier on, and have been sent to where that was sent.
 * @param request  from its ICMP header on
 * @param remote  where it was sent, 4 or 16 bytes
 * @param received  by a raw socket of ICMP or ICMPv6
 */
export function icmpErrorAbout(
  request: Uint8Array,
  remote: Uint8Array,
  { bytes, address }: Datagram,
): KernelError | undefined {
  const v6 = remote.length === 16
  // Raw sockets of IPv4 get the IP header, too.
  const message = bytes.subarray(v6 ? 0 : headerBytesOf(bytes))
  const meaning = meaningOf(v6, message[0] ?? 0, message[1] ?? 0)
  const packet = message.subarray(icmpHeaderBytes)
  if (meaning === undefined || !isAbout(packet, request, remote, v6)) return undefined
  const kernelMessage = `ICMP: ${meaning.text}, as ${address} says`
  return new KernelError({ errno: meaning.errno, operation: 'datagram.receive', kernelMessage })
}

function isAbout(packet: Uint8Array, request: Uint8Array, remote: Uint8Array, v6: boolean): boolean {
  const headerBytes = v6 ? ipv6HeaderBytes : headerBytesOf(packet)
  const protocol = v6 ? packet[6] : packet[9]
  const destination = v6 ? packet.subarray(24, 40) : packet.subarray(16, 20)
  const quoted = packet.subarray(headerBytes, headerBytes + request.length)
  return (
    protocol === (v6 ? 58 : 1) &&
    quoted.length >= icmpHeaderBytes &&
    equal(destination, remote) &&
    equal(quoted.subarray(0, 2), request.subarray(0, 2)) &&
    // The checksum is the kernel's. Identifier and sequence number stand behind it, and then what tells it from all others.
    equal(quoted.subarray(4), request.subarray(4, quoted.length))
  )
}

function headerBytesOf(packet: Uint8Array): number {
  return ((packet[0] ?? 0) & 15) * 4
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

/** IP headers around advertisements: what is sent, and where what was received comes from. Pure. */
import { vrrpHopLimit, vrrpProtocol } from './packet.js'

/** What of a header counts. */
export interface ReceivedPacket {
  /** 4 or 16 bytes. */
  readonly source: Uint8Array
  /** Of the same length. */
  readonly destination: Uint8Array
  /** TTL, hop limit. */
  readonly hopLimit: number
  /** What stands behind the header. */
  readonly payload: Uint8Array
}

/** Internetwork control (RFC 2474, class selector 6): as routing protocols are sent. */
const trafficClass = 0xc0

/** A raw IPv4 socket gives the header, too. Undefined for what is no whole packet of VRRP. */
export function readIpv4Packet(bytes: Uint8Array): ReceivedPacket | undefined {
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4) return undefined
  const headBytes = (bytes[0]! & 0xf) * 4
  const total = bytes[2]! * 256 + bytes[3]!
  if (headBytes < 20 || total < headBytes || total > bytes.length || bytes[9] !== vrrpProtocol)
    return undefined
  // A fragment is none of a host's own link: nothing that small is cut.
  if ((bytes[6]! & 0x3f) !== 0 || bytes[7] !== 0) return undefined
  return {
    source: bytes.slice(12, 16),
    destination: bytes.slice(16, 20),
    hopLimit: bytes[8]!,
    payload: bytes.subarray(headBytes, total),
  }
}

/** The kernel fills in the checksum and, where it is 0, the identification (raw(7)). */
export function writeIpv4Packet(
  source: Uint8Array,
  destination: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(20 + payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = 0x45
  bytes[1] = trafficClass
  view.setUint16(2, bytes.length)
  bytes[8] = vrrpHopLimit
  bytes[9] = vrrpProtocol
  bytes.set(source, 12)
  bytes.set(destination, 16)
  bytes.set(payload, 20)
  return bytes
}

/** RFC 8200, section 3. */
export function writeIpv6Packet(
  source: Uint8Array,
  destination: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(40 + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x6000_0000 + trafficClass * 0x10_0000)
  view.setUint16(4, payload.length)
  bytes[6] = vrrpProtocol
  bytes[7] = vrrpHopLimit
  bytes.set(source, 8)
  bytes.set(destination, 24)
  bytes.set(payload, 40)
  return bytes
}

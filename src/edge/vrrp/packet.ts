/**
 * Advertisements of VRRP, version 3: text ↔ bytes. Pure. RFC 5798, section 5; RFC 9568 (its successor) has the same layout.
 * Version 2 (RFC 3768) is told apart and refused.
 */
import {
  type AddressFamily,
  foldedComplement,
  formatAddress,
  parseAddress,
  pseudoHeaderSum,
  sum16,
} from '../../address/index.js'

/** Protocol number of VRRP (RFC 5798, 5.1.1.4). */
export const vrrpProtocol = 112
/** What advertisements are sent to, unless they are sent to peers (RFC 5798, 5.1.1.2 and 5.1.2.2). */
export const vrrpGroup: Readonly<Record<AddressFamily, string>> = { ipv4: '224.0.0.18', ipv6: 'ff02::12' }
/** A datagram with another one has passed a router, and so was not sent on this link (RFC 5798, 5.1.1.3). */
export const vrrpHopLimit = 255
/** Of the router that has the addresses as its own (RFC 5798, 5.2.4). */
export const ownerPriority = 255
/** 4095 hundredths of a second: the field has 12 bits. */
export const longestInterval = 4095

/** What is advertised. */
export interface Advertisement {
  /** Virtual router identifier, 1 to 255. */
  readonly virtualRouterId: number
  /** 1 to 254; 255 for the owner of the addresses, 0 for a master that steps down. */
  readonly priority: number
  /** Hundredths of a second between two of them, 1 to 4095. */
  readonly intervalCentiseconds: number
  /** At most 255, all of one family. */
  readonly addresses: readonly string[]
}

/**
 * Whether the checksum of IPv4's advertisements covers a pseudo-header. RFC 5798, 5.2.8 has it for both families, and so does
 * keepalived; RFC 9568 has it for IPv6 alone. For IPv6 there is no choice.
 */
export type VrrpChecksum = 'with-pseudo-header' | 'without-pseudo-header'

/** Why a datagram is none that counts. */
export type VrrpFault =
  | 'too-short'
  | 'version'
  | 'type'
  | 'no-router-id'
  | 'no-interval'
  | 'length'
  | 'checksum'
  | 'hop-limit'
  | 'destination'
  | 'other-router'
  | 'unknown-sender'
  | 'own'
  | 'not-ip'

/** What was received: an advertisement, or why it is none. */
export type ReadAdvertisement = { readonly advertisement: Advertisement } | { readonly fault: VrrpFault }

const versionAndType = 0x31
const headBytes = 8

/** The bytes behind the IP header. `source` and `destination` are those of the IP header. */
export function writeAdvertisement(
  { virtualRouterId, priority, intervalCentiseconds, addresses }: Advertisement,
  source: Uint8Array,
  destination: Uint8Array,
  checksum: VrrpChecksum = 'with-pseudo-header',
): Uint8Array {
  const width = source.length
  const bytes = new Uint8Array(headBytes + addresses.length * width)
  const view = new DataView(bytes.buffer)
  bytes[0] = versionAndType
  bytes[1] = virtualRouterId
  bytes[2] = priority
  bytes[3] = addresses.length
  view.setUint16(4, intervalCentiseconds & 0xfff)
  for (const [index, address] of addresses.entries()) {
    bytes.set(parseAddress(address)!, headBytes + index * width)
  }
  const pseudo = covers(width, checksum)
    ? pseudoHeaderSum(source, destination, bytes.length, vrrpProtocol)
    : 0
  view.setUint16(6, foldedComplement(sum16(bytes) + pseudo))
  return bytes
}

/**
 * Takes anything. Of IPv4 either checksum will do: the sender's choice is not known, and neither is weaker against chance.
 * What stands behind the addresses is an error (`length`), but for padding there is none in IP.
 */
export function readAdvertisement(
  bytes: Uint8Array,
  source: Uint8Array,
  destination: Uint8Array,
): ReadAdvertisement {
  if (bytes.length < headBytes) return { fault: 'too-short' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const first = view.getUint8(0)
  if (first >> 4 !== 3) return { fault: 'version' }
  if ((first & 0xf) !== 1) return { fault: 'type' }
  const width = source.length
  const count = view.getUint8(3)
  if (bytes.length !== headBytes + count * width) return { fault: 'length' }
  const plain = sum16(bytes)
  const whole = plain + pseudoHeaderSum(source, destination, bytes.length, vrrpProtocol)
  const isRight = foldedComplement(whole) === 0 || (width === 4 && foldedComplement(plain) === 0)
  if (!isRight) return { fault: 'checksum' }
  const virtualRouterId = view.getUint8(1)
  if (virtualRouterId === 0) return { fault: 'no-router-id' }
  const intervalCentiseconds = view.getUint16(4) & 0xfff
  // Three times nothing would be waited for it.
  if (intervalCentiseconds === 0) return { fault: 'no-interval' }
  const addresses: string[] = []
  for (let offset = headBytes; offset < bytes.length; offset += width) {
    addresses.push(formatAddress(bytes.subarray(offset, offset + width)))
  }
  return { advertisement: { virtualRouterId, priority: view.getUint8(2), intervalCentiseconds, addresses } }
}

function covers(width: number, checksum: VrrpChecksum): boolean {
  return width === 16 || checksum === 'with-pseudo-header'
}

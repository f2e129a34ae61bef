/** Ranges of addresses, and what is picked of a range: the part that is for picks first, then the part for hand-picked ones. */
import { type AddressFamily, familyOf, formatAddress, parseAddress, parsePrefix } from '../address/index.js'
import { fail } from './reading.js'

/** Addresses in a row. */
export interface AddressRange {
  readonly family: AddressFamily
  /** As it was written. */
  readonly text: string
  /** The first address that may be picked, as a number. */
  readonly first: bigint
  /** How many there are; no more than 2³² are looked at. */
  readonly size: number
  /** How many at the beginning are picked last: they are for addresses that somebody chooses. */
  readonly lowerBand: number
}

/**
 * A prefix that cluster addresses are of. Its first address is no service's, nor is the last one of IPv4. The lower band is that
 * of Kubernetes (KEP-3070): min(max(16, size / 16), 256), none where there are no more than 16.
 * @throws ValidationError
 */
export function readClusterRange(value: unknown, path: string): AddressRange {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined
  if (prefix === undefined) fail(path, value, 'a prefix such as 10.96.0.0/12')
  const bits = (prefix.family === 'ipv4' ? 32 : 128) - prefix.length
  const total = 1n << BigInt(bits)
  const base = (numberOf(prefix.address) / total) * total
  const edges = bits < 2 ? 0n : prefix.family === 'ipv4' ? 2n : 1n
  const size = capped(total - edges)
  const band = bandOf(capped(total), 16, 16, 256)
  const first = base + (edges > 0n ? 1n : 0n)
  // Its first address counts to the band.
  return { family: prefix.family, text: value as string, first, size, lowerBand: Math.max(0, band - 1) }
}

/** Of a pool: a prefix, an address, or `192.0.2.10-192.0.2.20`. All of it is used. @throws ValidationError */
export function readPoolRange(value: unknown, path: string): AddressRange {
  const expected = 'a prefix, or a range such as 192.0.2.10-192.0.2.20'
  if (typeof value !== 'string') fail(path, value, expected)
  const dash = value.indexOf('-')
  const prefix = dash < 0 ? parsePrefix(value) : undefined
  if (prefix !== undefined) {
    const total = 1n << BigInt((prefix.family === 'ipv4' ? 32 : 128) - prefix.length)
    const first = (numberOf(prefix.address) / total) * total
    return { family: prefix.family, text: value, first, size: capped(total), lowerBand: 0 }
  }
  const [from, to] = [value.slice(0, dash).trim(), value.slice(dash + 1).trim()]
  if (
    dash < 0 ||
    parseAddress(from) === undefined ||
    parseAddress(to) === undefined ||
    familyOf(from) !== familyOf(to)
  ) {
    fail(path, value, expected)
  }
  const [first, last] = [numberOf(from), numberOf(to)]
  if (last < first) fail(path, value, 'a range whose end is not before its beginning')
  return { family: familyOf(from), text: value, first, size: capped(last - first + 1n), lowerBand: 0 }
}

/** min(max(least, size / share), most), and none of what is too small to have one. */
export function bandOf(size: number, least: number, share: number, most: number): number {
  return size <= least ? 0 : Math.min(Math.max(least, Math.floor(size / share)), most)
}

export function rangeContains(range: AddressRange, address: string): boolean {
  if (familyOf(address) !== range.family) return false
  const offset = numberOf(address) - range.first
  return offset >= 0n && offset < BigInt(range.size)
}

export function addressAt(range: AddressRange, offset: number): string {
  const bytes = new Uint8Array(range.family === 'ipv4' ? 4 : 16)
  let rest = range.first + BigInt(offset)
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 255n)
    rest >>= 8n
  }
  return formatAddress(bytes)
}

/**
 * A free place of so many, the same for the same seed as long as nobody else has it: upper part first, then the lower band.
 * @param most of how many places at most it is known that they are not free: it need not look further
 */
export function pickPlace(
  size: number,
  lowerBand: number,
  seed: string,
  isFree: (place: number) => boolean,
  most = size,
): number | undefined {
  const hash = hashOf(seed)
  const parts: readonly (readonly [from: number, count: number])[] = [
    [lowerBand, size - lowerBand],
    [0, lowerBand],
  ]
  for (const [from, count] of parts) {
    for (let step = 0; step < count && step <= most; step++) {
      const place = from + ((hash + step) % count)
      if (isFree(place)) return place
    }
  }
  return undefined
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

function numberOf(address: string): bigint {
  let number = 0n
  for (const byte of parseAddress(address)!) number = (number << 8n) | BigInt(byte)
  return number
}

function capped(size: bigint): number {
  return Number(size > 0xffff_ffffn ? 0xffff_ffffn : size)
}

import { type AddressFamily, familyOf, formatAddress, parseAddress } from './ip.js'

/** A block of addresses: `10.0.0.0/8`, `2001:db8::/32`. */
export interface Prefix {
  readonly family: AddressFamily
  readonly address: string
  readonly length: number
}

/** Undefined for what is no prefix. A bare address is a prefix of its full length. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const bytes = parseAddress(address)
  if (bytes === undefined) return undefined
  const most = bytes.length * 8
  if (slash < 0) return { family: familyOf(address), address: formatAddress(bytes), length: most }
  const digits = text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(digits) || Number(digits) > most) return undefined
  return { family: familyOf(address), address: formatAddress(bytes), length: Number(digits) }
}

export function prefixContains(prefix: Prefix, address: string): boolean {
  if (familyOf(address) !== prefix.family) return false
  const inside = parseAddress(address)
  const base = parseAddress(prefix.address)
  if (inside === undefined || base === undefined) return false
  const whole = prefix.length >> 3
  for (let index = 0; index < whole; index++) if (inside[index] !== base[index]) return false
  const rest = prefix.length & 7
  return rest === 0 || (inside[whole]! ^ base[whole]!) >> (8 - rest) === 0
}

/** An IPv4 netmask as a number: 0xffffff00 for 24. */
export function netmaskOfLength(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0
}

/** 24 for 0xffffff00; undefined if the ones are not in a row. */
export function lengthOfNetmask(netmask: number): number | undefined {
  const length = Math.clz32(~netmask >>> 0)
  return netmask === netmaskOfLength(length) ? length : undefined
}

/** The same for `255.255.255.0`; undefined also for what is no IPv4 address. */
export function lengthOfDotted(netmask: string): number | undefined {
  const bytes = familyOf(netmask) === 'ipv4' ? parseAddress(netmask) : undefined
  return bytes && lengthOfNetmask(new DataView(bytes.buffer).getUint32(0))
}

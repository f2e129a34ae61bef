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

/** `255.255.255.0` for 24. */
export function netmaskOfLength(length: number): string {
  const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0
  return `${mask >>> 24}.${(mask >>> 16) & 255}.${(mask >>> 8) & 255}.${mask & 255}`
}

/** 24 for `255.255.255.0`; undefined if the ones are not in a row or it is no mask. */
export function lengthOfNetmask(netmask: string): number | undefined {
  const bytes = familyOf(netmask) === 'ipv4' ? parseAddress(netmask) : undefined
  if (bytes === undefined) return undefined
  const bits = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0
  const length = Math.clz32(~bits >>> 0)
  return bits === (length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0) ? length : undefined
}

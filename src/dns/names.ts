/** Names of DNS as the zone has them: in small letters, without the final dot. */
import { canonicalAddress, parseAddress } from '../address/index.js'

/** Where addresses are looked up. */
export const reverseApexes = ['in-addr.arpa', 'ip6.arpa'] as const

/** Of characters: 255 bytes with the lengths of labels. */
const longestName = 253

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** A label that names may be made of; underscores, too. */
export function isNameLabel(text: string): boolean {
  return label.test(text)
}

/** Whether it fits a message: no label of more than 63 characters, and none that is empty. */
export function isWritable(name: string): boolean {
  return name.length <= longestName && !/[^.]{64}|^\.|\.\.|^$/.test(name)
}

/** A name in its one spelling, or undefined for what is none: labels of 1 to 63 characters, 253 in all. */
export function canonicalName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase()
  return name.length <= longestName && name.split('.').every(isNameLabel) ? name : undefined
}

/** Whether a name is the apex or one below it. */
export function isWithin(name: string, apex: string): boolean {
  return name.endsWith(apex) && (name.length === apex.length || name[name.length - apex.length - 1] === '.')
}

/** `10.96.0.7` is `7.0.96.10.in-addr.arpa`, and IPv6 goes by its half bytes (RFC 3596, 2.5). */
export function reverseName(address: string): string {
  const bytes = parseAddress(address)!
  if (bytes.length === 4) return `${[...bytes].reverse().join('.')}.in-addr.arpa`
  const digits = [...bytes].reverse().map((byte) => `${(byte & 15).toString(16)}.${(byte >> 4).toString(16)}`)
  return `${digits.join('.')}.ip6.arpa`
}

/** An address as a label: `10-0-0-7`, `2001-db8--7`. */
export function addressLabel(address: string): string {
  return address.replace(/[.:]/g, '-')
}

/** The address that a label stands for, in its one spelling. */
export function addressOfLabel(text: string): string | undefined {
  return /^\d+-\d+-\d+-\d+$/.test(text)
    ? canonicalAddress(text.replaceAll('-', '.'))
    : canonicalAddress(text.replaceAll('-', ':'))
}

/** FNV-1a of 32 bits, byte by byte as a name stands on the wire, but for the final zero. */
export const hashSeed = 0x811c9dc5 | 0
export function mixed(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193)
}

export function nameHash(name: string): number {
  let hash = hashSeed
  for (const label of name.split('.')) {
    hash = mixed(hash, label.length)
    for (let index = 0; index < label.length; index++) hash = mixed(hash, label.charCodeAt(index))
  }
  return hash
}

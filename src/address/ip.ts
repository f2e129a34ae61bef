/**
 * IP addresses between text and bytes. On the hot path of every codec, so the parsers write straight into a buffer
 * and allocate nothing.
 */

export type AddressFamily = 'ipv4' | 'ipv6'

/** The family that a text seems to be of; that it is an address is for the parser to say. */
export function familyOf(address: string): AddressFamily {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}

export function isIPv4(text: string): boolean {
  return writeIPv4(text, scratch, 0)
}

export function isIPv6(text: string): boolean {
  return writeIPv6(text, scratch, 0)
}

/** 4 or 16 bytes, or undefined for what is no address. No zone (`%eth0`), no leading zeros, no shortened IPv4. */
export function parseAddress(text: string): Uint8Array | undefined {
  const family = familyOf(text)
  const bytes = new Uint8Array(family === 'ipv4' ? 4 : 16)
  return (family === 'ipv4' ? writeIPv4(text, bytes, 0) : writeIPv6(text, bytes, 0)) ? bytes : undefined
}

/** Text of 4 or 16 bytes; IPv6 as RFC 5952 writes it. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return readIPv4(bytes, 0)
  if (bytes.length === 16) return readIPv6(bytes, 0)
  throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`)
}

/** The one spelling that equal addresses share (RFC 5952), or undefined for what is no address. */
export function canonicalAddress(text: string): string | undefined {
  const family = familyOf(text)
  if (family === 'ipv4') return writeIPv4(text, scratch, 0) ? text : undefined
  return writeIPv6(text, scratch, 0) ? readIPv6(scratch, 0) : undefined
}

const scratch = new Uint8Array(16)
const zero = 48
const dot = 46
const colon = 58

/** Writes 4 bytes at `offset`; false, with the bytes undefined, for anything but four decimal numbers. */
export function writeIPv4(text: string, target: Uint8Array, offset: number): boolean {
  return writeDotted(text, 0, target, offset)
}

function writeDotted(text: string, from: number, target: Uint8Array, offset: number): boolean {
  const end = text.length
  if (end - from > 15 || end - from < 7) return false
  let part = 0
  let value = 0
  let digits = 0
  for (let index = from; index < end; index++) {
    const code = text.charCodeAt(index)
    if (code === dot) {
      if (digits === 0 || part === 3) return false
      target[offset + part++] = value
      value = 0
      digits = 0
    } else {
      const digit = code - zero
      if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return false
      value = value * 10 + digit
      if (value > 255) return false
      digits++
    }
  }
  if (part !== 3 || digits === 0) return false
  target[offset + 3] = value
  return true
}

/** Writes 16 bytes at `offset`; false, with the bytes undefined, for what is no IPv6 address. */
export function writeIPv6(text: string, target: Uint8Array, offset: number): boolean {
  const end = text.length
  if (end < 2 || end > 45) return false
  let group = 0 // 16-bit groups written so far
  let gap = -1 // the group before which `::` stands
  let index = 0
  if (text.charCodeAt(0) === colon) {
    if (text.charCodeAt(1) !== colon) return false
    gap = 0
    index = 2
  }
  while (index < end) {
    let value = 0
    let digits = 0
    const start = index
    for (; index < end; index++) {
      const digit = hexDigit(text.charCodeAt(index))
      if (digit < 0) break
      value = (value << 4) | digit
      if (++digits > 4) return false
    }
    if (index < end && text.charCodeAt(index) === dot) {
      if (digits === 0 || group > 6 || !writeDotted(text, start, target, offset + group * 2)) return false
      group += 2
      index = end
      break
    }
    if (digits === 0 || group > 7) return false
    target[offset + group * 2] = value >> 8
    target[offset + group * 2 + 1] = value & 0xff
    group++
    if (index === end) break
    if (text.charCodeAt(index) !== colon) return false
    index++
    if (index === end) return false
    if (text.charCodeAt(index) === colon) {
      if (gap >= 0) return false
      gap = group
      index++
    }
  }
  if (gap < 0) return group === 8
  if (group > 7) return false
  const moved = (group - gap) * 2
  target.copyWithin(offset + 16 - moved, offset + gap * 2, offset + gap * 2 + moved)
  target.fill(0, offset + gap * 2, offset + 16 - moved)
  return true
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** The text of each byte, and the same with a dot after it. */
const decimal = Array.from({ length: 256 }, (_, byte) => String(byte))
const dotted = decimal.map((text) => `${text}.`)

export function readIPv4(bytes: Uint8Array, offset: number): string {
  const [a, b, c, d] = [bytes[offset]!, bytes[offset + 1]!, bytes[offset + 2]!, bytes[offset + 3]!]
  const number = (a << 24) | (b << 16) | (c << 8) | d
  const slot = Math.imul(number, 0x9e3779b1) >>> slotShift
  const known = knownTexts[slot]
  if (known !== undefined && knownNumbers[slot] === number) return known
  const text = dotted[a]! + dotted[b]! + dotted[c]! + decimal[d]!
  knownNumbers[slot] = number
  knownTexts[slot] = text
  return text
}

/** Both directions of a flow have the same addresses, and thousands of flows one of them in common: one string for each. */
const slotShift = 22
const knownNumbers = new Int32Array(1 << (32 - slotShift))
const knownTexts = new Array<string | undefined>(knownNumbers.length).fill(undefined)

/** RFC 5952: lower case, the longest run of zero groups (two or more, the first of equals) as `::`. */
export function readIPv6(bytes: Uint8Array, offset: number): string {
  let bestStart = -1
  let bestLength = 1
  let start = -1
  for (let group = 0; group <= 8; group++) {
    const isZero = group < 8 && bytes[offset + group * 2] === 0 && bytes[offset + group * 2 + 1] === 0
    if (isZero) {
      if (start < 0) start = group
    } else if (start >= 0) {
      if (group - start > bestLength) {
        bestStart = start
        bestLength = group - start
      }
      start = -1
    }
  }
  // RFC 5952 section 5: an IPv4-mapped address keeps its dotted tail.
  if (bestStart === 0 && bestLength === 5 && bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff) {
    return `::ffff:${readIPv4(bytes, offset + 12)}`
  }
  let text = ''
  for (let group = 0; group < 8; group++) {
    if (group === bestStart) {
      text += '::'
      group += bestLength - 1
      continue
    }
    if (text !== '' && !text.endsWith('::')) text += ':'
    text += ((bytes[offset + group * 2]! << 8) | bytes[offset + group * 2 + 1]!).toString(16)
  }
  return text
}

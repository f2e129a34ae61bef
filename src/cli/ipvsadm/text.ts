/** Numbers and addresses between text and value, as the C library that ipvsadm uses has them. */
import { isIPv4, readIPv6 } from '../../address/index.js'

/** strtol(3) in base 10, the whole text, within bounds; undefined for anything else. */
export function wholeNumber(text: string, least: number, most: number): number | undefined {
  if (!/^[ \t\n\v\f\r]*[+-]?\d+$/.test(text)) return undefined
  const value = Number(text)
  return value >= least && value <= most ? value : undefined
}

/**
 * inet_aton(3): one to four numbers, decimal, octal (`010`) or hexadecimal (`0x0a`), the last of which fills what is
 * left (`10.1` is 10.0.0.1). What follows white space is not looked at.
 */
export function looseIPv4(text: string): string | undefined {
  if (isIPv4(text)) return text
  const parts = (/^[^ \t\n\v\f\r]*/.exec(text)?.[0] ?? '').split('.')
  if (parts.length > 4) return undefined
  const numbers: number[] = []
  for (const part of parts) {
    const base = /^0x/i.test(part) ? 16 : part.startsWith('0') ? 8 : 10
    const digits = { 8: /^[0-7]+$/, 10: /^\d+$/, 16: /^0x[\da-f]+$/i }[base]
    if (digits?.test(part) !== true) return undefined
    numbers.push(Number.parseInt(part, base))
  }
  const last = numbers.pop()!
  if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) return undefined
  let value = last
  numbers.forEach((number, index) => (value += number * 256 ** (3 - index)))
  return dotted(value)
}

/**
 * inet_ntop(3) of one or four words, the first of which is `words[at]`; the most significant byte of each comes first.
 * Unlike RFC 5952 it writes an IPv4-compatible address as `::192.0.2.1`.
 */
export function addressText(words: Words, at: number, isIPv6: boolean): string {
  if (!isIPv6) return dotted(words[at]!)
  const last = words[at + 3]!
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && last > 0xffff)
    return `::${dotted(last)}`
  for (let word = 0; word < 4; word++) scratch.setUint32(word * 4, words[at + word]!)
  return readIPv6(scratchBytes, 0)
}

/** Addresses in numbers: IPv4 takes one, IPv6 four. */
export type Words = ArrayLike<number>

const scratchBytes = new Uint8Array(16)
const scratch = new DataView(scratchBytes.buffer)

/** 192.0.2.1 for 0xC0000201. */
export function dotted(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`
}

/** A number as a 32-bit signed one, as `%d` prints it. */
export function signed(value: number): number {
  return value | 0
}

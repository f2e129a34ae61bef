/** Intervals as a program writes them: a value, a range, a prefix. */
import { ValidationError } from '../../errors/index.js'
import { hostIsLittleEndian } from '../../netlink/index.js'
import { type Interval as KeyInterval, elementsOf, union } from '../intervals.js'
import type { ElementInput } from '../kinds.js'
import { numberOf } from '../numbers.js'
import { registerBytes } from '../values.js'
import { type DataType, isHostNumber } from './datatypes.js'

/** From one value to another, both included. */
export interface Range<Value> {
  /** The first. */
  readonly from: Value
  /** The last. */
  readonly to: Value
}

/**
 * Values that are looked for together: one, or a range `{ from, to }`. Of addresses also a prefix as `10.0.0.0/8`, of
 * interfaces `eth*`; of several fields, each of them so.
 */
export type IntervalOf<Value> = Value extends readonly unknown[]
  ? { readonly [K in keyof Value]: IntervalOf<Value[K]> }
  : Value | Range<Value>

/** First and last key, both included, in network order. */
export interface Bounds {
  readonly first: Uint8Array
  readonly last: Uint8Array
  /** One value alone. */
  readonly isSingle: boolean
  /** Of a prefix: how many bits of it are the same. */
  readonly prefixLength?: number | undefined
}

/** @throws ValidationError */
export function boundsOf<Value>(type: DataType<Value>, given: IntervalOf<Value>): Bounds {
  const { parts } = type as { readonly parts?: readonly DataType<unknown>[] }
  if (parts !== undefined) return concatenatedBounds(type, parts, given)
  const encode = (value: Value): Uint8Array => inNetworkOrder(type, type.encode(value))
  if (isRange(given)) {
    const [first, last] = [encode(given.from as Value), encode(given.to as Value)]
    if (first.length !== type.bytes || last.length !== type.bytes || numberOf(first) > numberOf(last)) {
      throw new ValidationError(type.name, given, 'a range that ends behind its beginning')
    }
    return { first, last, isSingle: numberOf(first) === numberOf(last) }
  }
  if (type.prefix !== undefined && typeof given === 'string' && given.includes('/')) {
    const { first: address, length } = type.prefix(given)
    const mask = maskOf(length, type.bytes)
    const first = address.map((byte, index) => byte & mask[index]!)
    const last = first.map((byte, index) => byte | (0xff & ~mask[index]!))
    return { first, last, isSingle: length === type.bytes * 8, prefixLength: length }
  }
  const first = encode(given as Value)
  if (first.length === type.bytes) return { first, last: first, isSingle: true }
  // The beginning of a name.
  const filledWith = (byte: number): Uint8Array => {
    const filled = new Uint8Array(type.bytes).fill(byte)
    filled.set(first)
    return filled
  }
  return { first: filledWith(0), last: filledWith(0xff), isSingle: false, prefixLength: first.length * 8 }
}

function concatenatedBounds(
  type: DataType<never>,
  parts: readonly DataType<unknown>[],
  given: unknown,
): Bounds {
  if (!Array.isArray(given) || given.length !== parts.length) {
    throw new ValidationError(type.name, given, `a list of ${parts.length}`)
  }
  const [first, last] = [new Uint8Array(type.bytes), new Uint8Array(type.bytes)]
  let isSingle = true
  let at = 0
  for (const [index, part] of parts.entries()) {
    const bounds = boundsOf(part, (given as readonly unknown[])[index] as never)
    first.set(bounds.first, at)
    last.set(bounds.last, at)
    isSingle &&= bounds.isSingle
    at += registerBytes(part.bytes)
  }
  return { first, last, isSingle }
}

/** Whether it takes a set of intervals to hold it. @throws ValidationError */
export function isInterval<Value>(type: DataType<Value>, given: IntervalOf<Value>): boolean {
  return !boundsOf(type, given).isSingle
}

/** What belongs to the first element of each: a map's data. */
export type Entry<Value> = readonly [key: IntervalOf<Value>, more: Omit<ElementInput, 'key'>]

/** Elements of a set of intervals. @throws ValidationError */
export function intervalElements<Value>(
  type: DataType<Value>,
  entries: Iterable<Entry<Value>>,
): ElementInput[] {
  return Array.from(entries, ([key, more]): ElementInput[] => {
    const { first, last } = boundsOf(type, key)
    // Of several fields the kernel keeps both ends in one element (nft_set_pipapo.c).
    if ('parts' in type) return [{ ...more, key: first, keyEnd: last }]
    return elementsOf({ first: numberOf(first), last: numberOf(last) }, type.bytes, more)
  }).flat()
}

/**
 * Elements of a set of intervals that is whole from its beginning: what overlaps is one, as in nft's own. Of a map's none
 * may overlap.
 */
export function wholeIntervalElements<Value>(
  type: DataType<Value>,
  entries: readonly Entry<Value>[],
): ElementInput[] {
  if ('parts' in type || entries.length === 0) return intervalElements(type, entries)
  const isMap = entries.some(([, more]) => Object.keys(more).length > 0)
  const bounds = entries.map(([key, more]) => {
    const { first, last } = boundsOf(type, key)
    return { first: numberOf(first), last: numberOf(last), more }
  })
  const ordered: (KeyInterval & { readonly more?: Omit<ElementInput, 'key'> })[] = isMap
    ? bounds.sort((one, other) => (one.first < other.first ? -1 : 1))
    : union(bounds)
  const elements = ordered.flatMap((one, index) => {
    const made = elementsOf(one, type.bytes, one.more)
    // Where one begins right behind another, that is the end.
    return ordered[index + 1]?.first === one.last + 1n ? made.slice(0, 1) : made
  })
  if (ordered[0]!.first === 0n) return elements
  return [{ key: new Uint8Array(type.bytes), flags: ['interval-end'] }, ...elements]
}

function isRange(given: unknown): given is Range<unknown> {
  return typeof given === 'object' && given !== null && 'from' in given && 'to' in given
}

/** Bytes of a type as sets of intervals have them. */
export function inNetworkOrder(type: DataType<never>, bytes: Uint8Array): Uint8Array {
  return isHostNumber(type) && hostIsLittleEndian ? bytes.slice().reverse() : bytes
}

/** So many bits from the beginning. */
export function maskOf(length: number, bytes: number): Uint8Array {
  const mask = new Uint8Array(bytes)
  for (let bit = 0; bit < length; bit++) mask[bit >> 3]! |= 0x80 >> (bit & 7)
  return mask
}

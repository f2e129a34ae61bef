/**
 * Intervals as the kernel keeps them in sets of one field: an element begins one, and another with the flag `interval-end`
 * stands right behind its last key. One that reaches to the last key of all has no end. What is here is arithmetic: the
 * kernel merges nothing itself, and refuses what overlaps.
 */
import { ValidationError } from '../errors/index.js'
import type { ElementInput } from './kinds.js'
import { bytesOf, numberOf } from './numbers.js'
import { isOpenInterval, openInterval } from './userdata.js'

/** Keys from the first to the last, both included, as numbers in network order. */
export interface Interval {
  readonly first: bigint
  readonly last: bigint
}

/** In ascending order; what overlaps or touches is one. */
export function union(intervals: readonly Interval[]): Interval[] {
  const result: Interval[] = []
  for (const one of [...intervals].sort(byFirst)) {
    const before = result.at(-1)
    if (before === undefined || one.first > before.last + 1n) result.push(one)
    else if (one.last > before.last) result[result.length - 1] = { first: before.first, last: one.last }
  }
  return result
}

/** What is left of intervals (in ascending order, none touching another) without others. */
export function difference(intervals: readonly Interval[], removed: readonly Interval[]): Interval[] {
  const holes = union(removed)
  const result: Interval[] = []
  let next = 0
  for (const { first, last } of intervals) {
    // A hole may reach into the interval behind this one.
    while (next < holes.length && holes[next]!.last < first) next++
    let from = first
    for (let at = next; at < holes.length && holes[at]!.first <= last; at++) {
      if (holes[at]!.first > from) result.push({ first: from, last: holes[at]!.first - 1n })
      from = holes[at]!.last + 1n
    }
    if (from <= last) result.push({ first: from, last })
  }
  return result
}

/** Whether all of these keys are in those. */
export function covers(intervals: readonly Interval[], all: readonly Interval[]): boolean {
  return difference(union(all), intervals).length === 0
}

function byFirst(one: Interval, other: Interval): number {
  return one.first < other.first ? -1 : one.first > other.first ? 1 : 0
}

/** The elements of an interval of keys of so many bytes; what is in `more` (a map's data) belongs to the first. */
export function elementsOf(
  { first, last }: Interval,
  bytes: number,
  more: Omit<ElementInput, 'key'> = {},
): ElementInput[] {
  const key = bytesOf(first, bytes)
  if (last === lastKey(bytes)) {
    // nft tells by it that an interval is open: without it, it shows the first key alone.
    return [first === last ? { ...more, key } : { userData: openInterval(), ...more, key }]
  }
  return [
    { ...more, key },
    { key: bytesOf(last + 1n, bytes), flags: ['interval-end'] },
  ]
}

/** An interval and the elements that it consists of. */
export interface Stored extends Interval {
  readonly elements: readonly ElementInput[]
}

/** Intervals as a program gives them: each end stands right behind its beginning. @throws ValidationError */
export function intervalsGiven(elements: readonly ElementInput[]): Stored[] {
  const result: Stored[] = []
  for (const [index, element] of elements.entries()) {
    const { key } = element
    if (key === undefined) continue
    const at = numberOf(key)
    const before = result.at(-1)
    if (!isEnd(element)) result.push({ first: at, last: lastKey(key.length), elements: [element] })
    else if (before?.elements.length === 1) {
      const { first, elements } = before
      if (at <= first) throw new ValidationError(`elements[${index}].key`, key, 'an end behind its beginning')
      result[result.length - 1] = { first, last: at - 1n, elements: [...elements, element] }
    }
  }
  return result
}

/**
 * Intervals as the kernel tells them, in any order. Where one begins right behind another nft leaves the end out: these are
 * one here, for none of them can be taken away alone.
 */
export function intervalsStored(elements: readonly ElementInput[]): Stored[] {
  const ordered = elements
    .filter(({ key }) => key !== undefined)
    .map((element) => ({ element, at: numberOf(element.key!), isEnd: isEnd(element) }))
    .sort((one, other) =>
      one.at !== other.at ? (one.at < other.at ? -1 : 1) : Number(other.isEnd) - Number(one.isEnd),
    )
  const result: Stored[] = []
  let open: { readonly first: bigint; readonly elements: ElementInput[] } | undefined
  for (const { element, at, isEnd } of ordered) {
    if (!isEnd) {
      open ??= { first: at, elements: [] }
      open.elements.push(element)
    } else if (open !== undefined) {
      result.push({ first: open.first, last: at - 1n, elements: [...open.elements, element] })
      open = undefined
    }
  }
  if (open !== undefined) result.push({ ...open, last: lastKey(open.elements[0]!.key!.length) })
  return result
}

/** Whether it is its keys and nothing else: no timeout, counter or comment would get lost by merging it. */
export function isPlain({ elements }: Stored): boolean {
  return elements.every((element) =>
    Object.entries(element).every(
      ([name, value]) =>
        value === undefined ||
        name === 'key' ||
        name === 'flags' ||
        (name === 'userData' && isOpenInterval(value as Uint8Array)),
    ),
  )
}

function isEnd({ flags }: ElementInput): boolean {
  return flags?.includes('interval-end') === true
}

function lastKey(bytes: number): bigint {
  return (1n << BigInt(bytes * 8)) - 1n
}

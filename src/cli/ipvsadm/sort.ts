/**
 * The order of ipvsadm's lists. It compares numbers by the sign of their 32-bit difference, so 10.0.0.1 comes after
 * 192.0.2.1 (more than 2^31 apart). Such an order is no order: three entries may each come before the next in a circle,
 * and what comes out depends on how it is sorted. The C library merges (stdlib/msort.c), and so does this.
 */

import type { Words } from './text.js'

/** Sorts numbers in place: halves, the smaller one first, sorted and merged; equals stay as they were. */
export function mergeSort(items: Int32Array, compare: (a: number, b: number) => number): Int32Array {
  mergeSortPart(items, new Int32Array(items.length), 0, items.length, compare)
  return items
}

/** Sorts `[from, to)`. `spare` has as much room as `items`. */
export function mergeSortPart(
  items: Int32Array,
  spare: Int32Array,
  from: number,
  to: number,
  compare: (a: number, b: number) => number,
): void {
  if (to - from < 2) return
  const middle = from + ((to - from) >> 1)
  mergeSortPart(items, spare, from, middle, compare)
  mergeSortPart(items, spare, middle, to, compare)
  let left = from
  let right = middle
  let out = from
  while (left < middle && right < to) {
    const a = items[left]!
    const b = items[right]!
    if (compare(a, b) <= 0) {
      spare[out++] = a
      left++
    } else {
      spare[out++] = b
      right++
    }
  }
  while (left < middle) spare[out++] = items[left++]!
  for (let index = from; index < out; index++) items[index] = spare[index]!
}

/** 0, 1, 2, … */
export function inOrder(count: number): Int32Array {
  const order = new Int32Array(count)
  for (let index = 0; index < count; index++) order[index] = index
  return order
}

/** As ipvsadm compares: by the sign of a difference that is cut to 32 bits. */
export function difference(a: number, b: number): number {
  return (a - b) | 0
}

/**
 * Addresses that begin at `words[a]` and `others[b]`. How much of them is looked at says the family of the first, even
 * where the second is of another one.
 */
export function compareAddresses(words: Words, a: number, others: Words, b: number, isIPv6: boolean): number {
  for (let word = 0; word < (isIPv6 ? 4 : 1); word++) {
    const found = difference(words[a + word]!, others[b + word]!)
    if (found !== 0) return found
  }
  return 0
}

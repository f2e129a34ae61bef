import { Slices } from '../slices.js'
import type { Element } from './kinds.js'

/**
 * Elements of one reading, each once; the same list if none came twice. A hash set that has grown gets a larger table in
 * the background, some time after the elements are there (rhashtable's deferred work). A dump that is under way then goes
 * on by a count of elements (nft_rhash_walk) that by now stand in another order: some come twice, as many not at all,
 * and the kernel does not call it interrupted, because the ruleset is the same.
 */
export async function distinct(
  elements: readonly Element[],
  hashes: readonly Int32Array[],
): Promise<readonly Element[]> {
  // Open addressing, for it is asked of every element that is read: positions from 1 on, half of the slots free.
  const mask = 2 ** (Math.ceil(Math.log2(elements.length + 1)) + 1) - 1
  const slots = new Int32Array(mask + 1)
  const known = new Int32Array(mask + 1)
  const repeats = new Set<number>()
  const slices = new Slices()
  let position = 0
  for (const part of hashes) {
    for (const hash of part) {
      let slot = hash & mask
      const element = elements[position++]!
      while (slots[slot] !== 0 && (known[slot] !== hash || !isSame(elements[slots[slot]! - 1]!, element))) {
        slot = (slot + 1) & mask
      }
      if (slots[slot] !== 0) repeats.add(position - 1)
      slots[slot] ||= position
      known[slot] = hash
    }
    if (slices.isOver) await slices.next()
  }
  return repeats.size === 0 ? elements : elements.filter((_, index) => !repeats.has(index))
}

/** Of the elements of one message, when they have just been read: later each of them has to be fetched from memory. */
export function hashesOf(elements: readonly Element[]): Int32Array {
  const hashes = new Int32Array(elements.length)
  for (let index = 0; index < hashes.length; index++) hashes[index] = hashOf(elements[index]!)
  return hashes
}

/** The end of an interval may have the key with which the next one begins. */
function isSame(one: Element, other: Element): boolean {
  return (
    areEqual(one.key, other.key) &&
    areEqual(one.keyEnd, other.keyEnd) &&
    (one.flags ?? []).join() === (other.flags ?? []).join()
  )
}

function areEqual(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one?.length !== other?.length) return false
  return one === undefined || other === undefined || one.every((byte, index) => byte === other[index])
}

function hashOf({ key, keyEnd, flags }: Element): number {
  return hashOfBytes(keyEnd, hashOfBytes(key, flags?.length ?? 0))
}

function hashOfBytes(bytes: Uint8Array | undefined, start: number): number {
  let hash = start ^ 0x811c9dc5
  if (bytes === undefined) return hash
  for (let at = 0; at < bytes.length; at++) {
    hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
    hash ^= hash >>> 15
  }
  return hash
}

import { Slices } from '../slices.js'
import type { Element } from './kinds.js'

/**
 * Elements of one reading, each once; the same list if none came twice. A hash set that has grown gets a larger table in
 * the background, some time after the elements are there (rhashtable's deferred work). A dump that is under way then goes
 * on by a count of elements (nft_rhash_walk) that by now stand in another order: some come twice, as many not at all,
 * and the kernel does not call it interrupted, because the ruleset is the same.
 */
export async function distinct(elements: readonly Element[]): Promise<readonly Element[]> {
  const first = new Map<number, Element>()
  /** Those whose hash is another's too. */
  const others = new Set<string>()
  const unique: Element[] = []
  const slices = new Slices()
  for (const element of elements) {
    const hash = hashOf(element)
    const known = first.get(hash)
    if (known === undefined) {
      first.set(hash, element)
      unique.push(element)
    } else if (textOf(known) !== textOf(element) && !others.has(textOf(element))) {
      others.add(textOf(element))
      unique.push(element)
    }
    if (slices.isOver) await slices.next()
  }
  return unique.length === elements.length ? elements : unique
}

/** The end of an interval may have the key with which the next one begins. */
function textOf({ key, keyEnd, flags }: Element): string {
  return `${key?.join()} ${keyEnd?.join()} ${flags?.join()}`
}

function hashOf({ key, keyEnd, flags }: Element): number {
  return hashOfBytes(keyEnd, hashOfBytes(key, flags?.length ?? 0))
}

/** Small integers are cheap keys of a map. */
function hashOfBytes(bytes: Uint8Array | undefined, start: number): number {
  let hash = start ^ 0x811c9dc5
  if (bytes === undefined) return hash
  for (let at = 0; at < bytes.length; at++) {
    hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
    hash ^= hash >>> 15
  }
  return hash
}

/**
 * How far a table that was read can be believed.
 *
 * The kernel hands a table out in pieces, one datagram each, and goes on where it stopped by counting entries
 * (ip_vs_genl_dump_dests, ip_vs_genl_dump_services). It does not say so when the table changed in between
 * (NLM_F_DUMP_INTR is not set): what others delete meanwhile hides entries that are still there, and what they add shows
 * some twice. So
 *
 * - an entry that was read was there, and twice is once (`distinct`)
 * - one that was not read is believed to be gone when the whole table came in the first piece (`isWhole`), or when a
 *   second look says the same
 */
import { Slices } from '../slices.js'

/**
 * The smallest first piece is a page without its overhead (NLMSG_GOODSIZE: 3,776 bytes), and an entry takes at most some
 * 410. A table that was cut has filled its first piece, so what is shorter than this was not cut.
 */
const alwaysTogether = 8

/** Did the table come in one piece? */
export function isWhole(read: readonly unknown[]): boolean {
  return read.length <= alwaysTogether
}

/** What tells entries apart. */
export interface Identity<T> {
  readonly nameOf: (entry: T) => string
  readonly isSame: (a: T, b: T) => boolean
}

/** Up to so many it is faster to compare each with each than to make names for them. */
const few = 32

/** Each entry once, the first of those that are the same. */
export function distinct<T>(read: T[], { nameOf, isSame }: Identity<T>): T[] {
  if (read.length <= few) return hasTwice(read, isSame) ? read.filter(isFirst(isSame)) : read
  const seen = new Set<string>()
  const first = read.filter((entry) => isNew(seen, nameOf(entry)))
  return first.length === read.length ? read : first
}

/** The same for a whole table, in slices. */
export async function distinctOfMany<T>(read: T[], nameOf: (entry: T) => string): Promise<T[]> {
  const seen = new Set<string>()
  const first: T[] = []
  const slices = new Slices()
  for (const entry of read) {
    if (isNew(seen, nameOf(entry))) first.push(entry)
    if (slices.isOver) await slices.next()
  }
  return first.length === read.length ? read : first
}

function isNew(seen: Set<string>, name: string): boolean {
  const before = seen.size
  return seen.add(name).size > before
}

function hasTwice<T>(entries: readonly T[], isSame: (a: T, b: T) => boolean): boolean {
  for (let one = 1; one < entries.length; one++) {
    for (let other = 0; other < one; other++) if (isSame(entries[one]!, entries[other]!)) return true
  }
  return false
}

function isFirst<T>(
  isSame: (a: T, b: T) => boolean,
): (entry: T, index: number, all: readonly T[]) => boolean {
  return (entry, index, all) => all.findIndex((other) => isSame(entry, other)) === index
}

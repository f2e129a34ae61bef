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

/** Each entry once, the first of those with the same name. */
export function distinct<T>(read: T[], nameOf: (entry: T) => string): T[] {
  const seen = new Set<string>()
  const first = read.filter((entry) => {
    const before = seen.size
    return seen.add(nameOf(entry)).size > before
  })
  return first.length === read.length ? read : first
}

/** The same for a whole table, in slices. */
export async function distinctOfMany<T>(read: T[], nameOf: (entry: T) => string): Promise<T[]> {
  const seen = new Set<string>()
  const first: T[] = []
  const slices = new Slices()
  for (const entry of read) {
    const before = seen.size
    if (seen.add(nameOf(entry)).size > before) first.push(entry)
    if (slices.isOver) await slices.next()
  }
  return first.length === read.length ? read : first
}

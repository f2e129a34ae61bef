/**
 * Numbers that name sets within a transaction: the kernel takes no new set without one (nf_tables_newset), and finds by it
 * those that have no name yet. Below are those that programs give themselves.
 */
const first = 0x4000_0000
const most = 0x7fff_ffff
let last = first

export function nextSetId(): number {
  last = last === most ? first : last + 1
  return last
}

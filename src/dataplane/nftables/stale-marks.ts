/**
 * Frontends of UDP that went, in sets of their own: written down in the transaction that takes them away, and deleted when
 * their flows were. Flows can only be deleted after the transaction, for until then new ones are made; and who ends in between
 * leaves to the next process what nothing else in the table would tell it.
 */
import type { AddressFamily } from '../../address/index.js'
import type { Transaction } from '../../nftables/index.js'
import { keyOf } from '../ruleset/changes.js'
import { ElementBytes, readEndpoint, setNames, type TableName } from '../ruleset/sets.js'
import { families } from '../ruleset/words.js'
import type { Endpoint, StaleFlows } from '../stale-flows.js'
import type { KernelTable } from './kernel.js'

/** Those that stand there already are left out. @returns whether there are any */
export function addMarks(
  transaction: Transaction,
  table: TableName,
  stale: StaleFlows,
  kernel?: KernelTable,
): boolean {
  let are = false
  for (const words of families) {
    const set = setNames(words).staleFlows
    const there = new Set((kernel?.elements.get(set) ?? []).map(keyOf))
    const bytes = new ElementBytes(words)
    const marks = stale
      .leftOf(words.family)
      .map(({ address, port }) => ({ key: bytes.endpoint(address, port) }))
    const elements = marks.filter((mark) => !there.has(keyOf(mark)))
    if (elements.length > 0) transaction.add('elements', { ...table, set, elements })
    are ||= there.size > 0 || elements.length > 0
  }
  return are
}

/** What a process that has ended could not see to. */
export function marksIn(
  kernel: KernelTable,
): { readonly family: AddressFamily; readonly endpoint: Endpoint }[] {
  return families.flatMap((words) => {
    return (kernel.elements.get(setNames(words).staleFlows) ?? []).flatMap(({ key }) => {
      if (key === undefined) return []
      return { family: words.family, endpoint: readEndpoint(words, key) }
    })
  })
}

/** When it was seen to. */
export function clearMarks(transaction: Transaction, table: TableName): void {
  for (const words of families) transaction.flush('set', { ...table, name: setNames(words).staleFlows })
}

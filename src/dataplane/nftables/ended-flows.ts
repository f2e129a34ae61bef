/**
 * Frontends of TCP some of whose flows are ended, in sets of their own: for a while a packet that goes on with a connection, and
 * has no flow, is refused there at once. Else it would be picked up as a new flow, and given to any server: one that has vanished
 * as well, and is not known to have, would answer nothing.
 */
import type { Transaction } from '../../nftables/index.js'
import { ElementBytes, setNames, type TableName } from '../ruleset/sets.js'
import { families } from '../ruleset/words.js'
import type { StaleFlows } from '../stale-flows.js'

/** Clients are asked at once; those that send something are refused for some repetitions of it. */
const timeoutMilliseconds = 10_000

/** In the transaction that takes their servers away: before flows are deleted. The kernel takes them out itself. */
export function addEnded(transaction: Transaction, table: TableName, stale: StaleFlows): void {
  for (const words of families) {
    const bytes = new ElementBytes(words)
    const elements = stale
      .endedOf(words.family)
      .map(({ address, port }) => ({ key: bytes.endpoint(address, port), timeoutMilliseconds }))
    if (elements.length > 0) transaction.add('elements', { ...table, set: setNames(words).ended, elements })
  }
}

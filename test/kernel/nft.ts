/** Namespaces with a client of nf_tables, and Debian's nft beside it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables, type Ruleset } from '../../src/nftables/index.js'

const run = promisify(execFile)

export interface Place {
  readonly netns: NetworkNamespace
  readonly nftables: Nftables
  /** Words of nft's command line; what it prints. Rejects if it fails. */
  readonly nft: (...args: readonly string[]) => Promise<string>
}

/** The program and arguments that run nft in the namespace. */
export function nftIn(netns: NetworkNamespace, args: readonly string[]): [program: string, args: string[]] {
  return ['nsenter', [`--net=/proc/${process.pid}/fd/${netns.fd}`, 'nft', ...args]]
}

/** Gone at the end of the test. */
export async function place(t: Test): Promise<Place> {
  const netns = NetworkNamespace.create()
  const nftables = await Nftables.open({ netns })
  t.teardown(() => {
    nftables.close()
    netns.close()
  })
  return { netns, nftables, nft: async (...args) => (await run(...nftIn(netns, args))).stdout }
}

/** Into a transaction as it was read. */
export async function copy(ruleset: Ruleset, to: Nftables): Promise<void> {
  const { tables, objects, chains, sets, elements, rules, flowtables } = ruleset
  const transaction = to.transaction()
  for (const table of tables) transaction.add('table', table)
  for (const object of objects) transaction.add('object', object)
  for (const flowtable of flowtables) transaction.add('flowtable', flowtable)
  for (const chain of chains) transaction.add('chain', chain)
  for (const [index, set] of sets.entries()) transaction.add('set', { ...set, id: index + 1 })
  for (const part of elements) if (part.elements.length > 0) transaction.add('elements', part)
  for (const rule of rules) transaction.add('rule', rule)
  await transaction.commit()
}

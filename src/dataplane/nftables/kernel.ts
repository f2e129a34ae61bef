/** Our table as it is in the kernel. */
import { isKernelError, ValidationError } from '../../errors/index.js'
import type { Element, Nftables, Rule } from '../../nftables/index.js'
import { setNames, setsOf, type TableName } from '../ruleset/sets.js'
import { isSet } from '../ruleset/compare.js'
import { families } from '../ruleset/words.js'
import { commentStarts, refuseOther, type RulesetSettings } from '../ruleset/settings.js'
import { baseChains } from './base.js'

/** Goes up whenever older rules would not do: a table of another layout is replaced in one transaction. */
const layout = 1
export const tableComment = `${commentStarts.nftables}${layout}`

/** A table of ours, of this layout. */
export interface KernelTable {
  /** The rules of each. */
  readonly chains: ReadonlyMap<string, readonly Rule[]>
  /** Of the sets that were asked for, and never of those whose elements come or go by themselves. */
  readonly elements: ReadonlyMap<string, readonly Element[]>
}

/** What is there: `none`; `other`, a table of another layout of ours; or one to go on with. */
export type Found =
  | { readonly generation: number; readonly table: 'none' | 'other' }
  | { readonly generation: number; readonly table: KernelTable }

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** Names of those sets whose elements are read; all unless said. Chains and rules always are: they are few. */
  readonly sets?: ReadonlySet<string> | undefined
}

/** @throws ValidationError if there is a table of this name that is not ours */
export async function readTable(
  nftables: Nftables,
  table: TableName,
  settings: RulesetSettings,
  { signal, sets }: ReadOptions = {},
): Promise<Found> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    const generation = await nftables.generation()
    try {
      const found = await readOnce(nftables, table, settings, sets, generation)
      if (attempt === attempts || (await nftables.generation()) === generation) return found
    } catch (error) {
      if (!isKernelError(error, 'ENOENT') || attempt === attempts) throw error
    }
  }
}
/** After so many, a commit with the generation decides. */
const attempts = 5

async function readOnce(
  nftables: Nftables,
  table: TableName,
  settings: RulesetSettings,
  chosen: ReadonlySet<string> | undefined,
  generation: number,
): Promise<Found> {
  const { family } = table
  const tables = await nftables.tables({ family })
  const ours = tables.find(({ name }) => name === table.table)
  if (ours === undefined) return { generation, table: 'none' }
  refuseOther('nftables', table.table, ours.comment)
  if (ours.comment?.startsWith(commentStarts.nftables) !== true) {
    throw new ValidationError(
      'name',
      table.table,
      `a name that no other table of family ${family} has: the one that is there was not made by this library. Delete it (nft delete table ${family} ${table.table}) or take another name`,
    )
  }
  if (ours.comment !== tableComment) return { generation, table: 'other' }
  const selection = { family, table: table.table }
  const sets = await nftables.sets(selection)
  const wanted = setsOf(table, settings.statistics)
  // Sets cannot be changed: one that is missing or different was somebody else's doing.
  if (wanted.some((set) => !sets.some((one) => isSet(one, set)))) return { generation, table: 'other' }
  const made = (await nftables.chains(selection)).filter((chain) => chain.table === table.table)
  // The same goes for where packets come in.
  for (const { name, hook, priority } of baseChains(settings)) {
    const found = made.find((chain) => chain.name === name)
    if (found !== undefined && (found.hook !== hook || found.priority !== priority)) {
      return { generation, table: 'other' }
    }
  }
  const chains = new Map<string, Rule[]>(made.map(({ name }) => [name, []]))
  for (const rule of await nftables.rules(selection)) chains.get(rule.chain!)?.push(rule)
  const elements = new Map<string, readonly Element[]>()
  for (const { name } of wanted) {
    if (filled.has(name) || chosen?.has(name) === false) continue
    elements.set(name, (await nftables.elements({ family, table: table.table, name })).elements)
  }
  return { generation, table: { chains, elements } }
}
/** Sets whose elements are put in by packets, or go by themselves. */
export const filled: ReadonlySet<string> = new Set(
  families.map(setNames).flatMap(({ affinity, ended }) => [affinity, ended]),
)

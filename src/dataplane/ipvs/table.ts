/** Whether the table beside IPVS is as it was made: whatever differs was somebody else's doing, or half done. */
import { isKernelError } from '../../errors/index.js'
import type { Element, ElementInput, Nftables, Rule } from '../../nftables/index.js'
import { areRules, isSet } from '../ruleset/compare.js'
import type { RulesetSettings } from '../ruleset/settings.js'
import { learnerOf } from './affinity.js'
import { hexOf } from './items.js'
import { chainsOf, rangesOf, setsOf } from './layout.js'

/** @param seconds  Of the chains that remember clients: those that something leads to. */
export async function isTableAsMade(
  nftables: Nftables,
  settings: RulesetSettings,
  seconds: readonly number[],
): Promise<boolean> {
  try {
    return await isAsMade(nftables, settings, seconds)
  } catch (error) {
    // Somebody is at it right now.
    if (isKernelError(error, 'ENOENT')) return false
    throw error
  }
}

async function isAsMade(
  nftables: Nftables,
  settings: RulesetSettings,
  seconds: readonly number[],
): Promise<boolean> {
  const place = { family: 'inet', table: settings.name } as const
  const sets = await nftables.sets(place)
  if (!setsOf(settings).every((wanted) => sets.some((set) => isSet(set, wanted)))) return false

  const wanted = [...chainsOf(settings), ...seconds.map(learnerOf)]
  const found = (await nftables.chains(place)).filter(({ table }) => table === settings.name)
  if (found.length !== wanted.length) return false
  const rules = new Map<string, Rule[]>(found.map(({ name }) => [name, []]))
  for (const rule of await nftables.rules(place)) rules.get(rule.chain!)?.push(rule)
  for (const chain of wanted) {
    const one = found.find(({ name }) => name === chain.name)
    if (one?.hook !== chain.hook || one?.priority !== chain.priority || one?.type !== chain.type) return false
    if (!areRules(rules.get(chain.name) ?? [], chain.rules)) return false
  }

  for (const { set, elements } of rangesOf(settings)) {
    const there = (await nftables.elements({ ...place, name: set })).elements
    if (textOf(there) !== textOf(elements)) return false
  }
  return true
}

function textOf(elements: readonly (Element | ElementInput)[]): string {
  const texts = elements.map(({ key, keyEnd, flags = [] }) =>
    [key, keyEnd]
      .map((bytes) => hexOf(bytes ?? new Uint8Array()))
      .concat(flags.map(String))
      .join(' '),
  )
  return texts.sort().join()
}

/** `viaduct nft list …`. */
import {
  type Family,
  type KindName,
  type Nftables,
  printRuleset,
  type Ruleset,
  type Selection,
} from '../../nftables/index.js'
import { toJson } from '../../json.js'
import { type Invocation, usage, using } from '../command.js'
import { exitFailed, UsageError } from '../exit.js'
import { Lines, write } from '../streams.js'
import { families, open, program } from './client.js'
import { type Noun, nouns, type Part } from './nouns.js'
import { Interfaces } from './interfaces.js'
import { knownOf } from './known.js'

/** What the words mean. */
export type Wanted =
  | { readonly what: 'ruleset' | 'rules'; readonly selection: Selection }
  | { readonly what: 'all'; readonly noun: Noun; readonly selection: Selection }
  | {
      readonly what: 'one'
      readonly noun: Noun
      readonly selection: Required<Selection>
      readonly name: string
    }

export async function list(invocation: Invocation): Promise<void> {
  const { streams, isJson, words, netns, options } = invocation
  const wanted = wantedOf(words)
  await using(open(invocation), async (nftables) => {
    const ruleset = await read(nftables, wanted)
    if (isJson) return printJson(invocation, ruleset)
    // Of tables alone there is nothing between the braces.
    if (wanted.what === 'all' && wanted.noun.part === 'tables') {
      const lines = ruleset.tables.map(({ family, name }) => `table ${family} ${name}\n`)
      return write(streams.stdout, lines.join(''))
    }
    const isWhole = wanted.what === 'ruleset'
    const known = isWhole || ruleset.rules.length === 0 ? ruleset : await knownOf(nftables, wanted.selection)
    const handles = options.has('handle')
    const text = await new Interfaces(netns).naming((interfaceName) =>
      printRuleset(ruleset, { known, interfaceName, handles }),
    )
    await write(streams.stdout, text)
  })
}

/** `[FAMILY [TABLE]]` behind what may be all, `[FAMILY] TABLE [NAME]` behind one: its family is ip unless said. */
export function wantedOf(words: readonly string[]): Wanted {
  const [what, ...rest] = joined(words)
  if (what === undefined) throw usage(`list what? ${listable}`)
  const family = families.includes(rest[0] as Family) ? (rest.shift() as Family) : undefined
  const noun = nouns.find(({ plural, singular }) => plural === what || singular === what)
  if (what === 'ruleset' || what === 'rules' || noun?.plural === what) {
    const [table, ...more] = rest
    if (more.length > 0 || (table !== undefined && family === undefined)) {
      throw usage(`list ${what}: expected [FAMILY [TABLE]], got ${rest.join(' ')}`)
    }
    const selection = { family, table }
    return noun === undefined ? { what: what as 'ruleset', selection } : { what: 'all', noun, selection }
  }
  if (noun === undefined) throw usage(`there is no list of ${what}: ${listable}`)
  const [table, name, ...more] = rest
  const isTable = noun.part === 'tables'
  if (table === undefined || more.length > 0 || (name === undefined) !== isTable) {
    throw usage(`list ${what}: expected [FAMILY] TABLE${isTable ? '' : ' NAME'}, got ${rest.join(' ')}`)
  }
  const selection = { family: family ?? 'ip', table } as const
  return name === undefined ? { what: 'ruleset', selection } : { what: 'one', noun, selection, name }
}

const listable = `ruleset, rules, ${nouns.map(({ plural }) => plural).join(', ')}, or one of them (chain inet t c)`

/** nft writes `ct helpers` in two words. */
function joined([first, second, ...rest]: readonly string[]): (string | undefined)[] {
  if (first === 'ct' && second !== undefined) return [`ct-${second}`, ...rest]
  return second === undefined ? [first] : [first, second, ...rest]
}

const nothing: Ruleset = {
  generation: 0,
  tables: [],
  chains: [],
  rules: [],
  sets: [],
  elements: [],
  objects: [],
  flowtables: [],
}

async function read(nftables: Nftables, wanted: Wanted): Promise<Ruleset> {
  const { selection } = wanted
  // Not every list is refused by the kernel for a table that is not there.
  if (selection.table !== undefined && (await nftables.tables(selection)).length === 0) {
    throw notThere('table', selection, undefined)
  }
  switch (wanted.what) {
    case 'ruleset':
      return nftables.ruleset(selection)
    case 'rules':
      return parts(nftables, selection, ['tables', 'chains', 'rules'])
    case 'all': {
      const { noun } = wanted
      const found = await parts(nftables, selection, ['tables', noun.part])
      return { ...found, [noun.part]: meant(noun, found) }
    }
    case 'one':
      return one(nftables, wanted)
  }
}

async function one(
  nftables: Nftables,
  { noun, selection, name }: Extract<Wanted, { what: 'one' }>,
): Promise<Ruleset> {
  const found = await parts(nftables, selection, ['tables', noun.part])
  const named = meant(noun, found).filter((object) => (object as { readonly name?: string }).name === name)
  if (named.length === 0) throw notThere(noun.singular, selection, name)
  const { family, table } = selection as { readonly family: Family; readonly table: string }
  return {
    ...found,
    [noun.part]: named,
    ...(noun.within === 'rules' ? { rules: await nftables.rules({ family, table, chain: name }) } : {}),
    ...(noun.within === 'elements' ? { elements: [await nftables.elements({ family, table, name })] } : {}),
  }
}

async function parts(nftables: Nftables, selection: Selection, wanted: readonly Part[]): Promise<Ruleset> {
  const found: Record<string, unknown> = {}
  for (const part of wanted) {
    // Elements are read with their set.
    if (part !== 'elements') found[part] = await nftables[part](selection)
  }
  return { ...nothing, ...found }
}

function meant({ part, isMeant = () => true }: Noun, ruleset: Ruleset): readonly object[] {
  return (ruleset[part] as readonly never[]).filter(isMeant)
}

function notThere(noun: string, { family, table }: Selection, name: string | undefined): UsageError {
  const all = nouns.find(({ singular }) => singular === noun)!.plural
  const what = [noun, family, table, name].filter((word) => word !== undefined).join(' ')
  return new UsageError(`there is no ${what} (${program} list ${all} shows which there are)`, exitFailed)
}

const kindOf: Readonly<Record<Part, KindName>> = {
  tables: 'table',
  objects: 'object',
  flowtables: 'flowtable',
  chains: 'chain',
  sets: 'set',
  elements: 'elements',
  rules: 'rule',
}

/** In an order in which they can be made. */
async function printJson({ streams }: Invocation, ruleset: Ruleset): Promise<void> {
  const lines = new Lines(streams.stdout)
  for (const [part, kind] of Object.entries(kindOf) as [Part, KindName][]) {
    for (const object of ruleset[part]) await lines.add(toJson({ kind, object }))
  }
  await lines.flush()
}

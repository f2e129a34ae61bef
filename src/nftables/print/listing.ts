/** A ruleset as `nft list ruleset` has it. */
import type { Ruleset } from '../client.js'
import type { AnyExpression } from '../expression.js'
import { type Family, priorities } from '../hooks.js'
import type { Chain, ChainInput, Flowtable, FlowtableInput, NftObject, Rule, Table } from '../kinds.js'
import { isAutoMerge } from '../userdata.js'
import { durationText, type Names } from './datatypes.js'
import { objectLines } from './objects.js'
import type { FindSet, KnownSet } from './phrases.js'
import { RulePrinter } from './rule.js'
import { dataOf, elementTexts, keyOf, type PrintedElement, type PrintedSet, typeText } from './sets.js'
import { statesOf, stateText } from './state.js'

/** How it is printed. */
export interface PrintOptions extends Names {
  /** The number of each rule, chain, set and object behind it, as `nft -a` does. */
  readonly handles?: boolean | undefined
  /**
   * Sets that rules refer to and elements are of, where what is printed is a part of a ruleset: keys are written by their
   * types, sets without a name with their elements.
   */
  readonly known?: Pick<Ruleset, 'sets' | 'elements'> | undefined
}

type Block = readonly string[]
const indent = (lines: Block): string[] => lines.map((line) => (line === '' ? '' : `\t${line}`))

/**
 * Everything of it as `nft list ruleset` of nft 1.0.6 prints it; empty if there is nothing. Where that one has no words of its
 * own (`unknown`, `[invalid type]`), what it would take is written.
 */
export function printRuleset(ruleset: Ruleset, options: PrintOptions = {}): string {
  return ruleset.tables
    .flatMap((table) => tableLines(table, ruleset, options))
    .map((line) => `${withoutControls(line)}\n`)
    .join('')
}

/** Names and comments are anybody's bytes: a terminal must not take them for commands. Lines begin with tabs. */
export function withoutControls(text: string): string {
  return text.replaceAll(controls, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
// eslint-disable-next-line no-control-regex -- these are meant
const controls = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g

const comment = (text: string | undefined): string[] => (text === undefined ? [] : [`comment "${text}"`])
const handle = (number: number | undefined, { handles }: PrintOptions): string =>
  handles === true && number !== undefined ? ` # handle ${number}` : ''

function tableLines(table: Table, ruleset: Ruleset, options: PrintOptions): string[] {
  const { family, name, flags = [] } = table
  const isOf = (one: { readonly family: Family; readonly table: string }): boolean =>
    one.family === family && one.table === name
  const find = findIn(options.known ?? ruleset, family, name)
  const own = findIn(ruleset, family, name)
  const rules = new Map<string, Rule[]>()
  for (const rule of ruleset.rules.filter(isOf)) {
    const list = rules.get(rule.chain ?? '')
    if (list === undefined) rules.set(rule.chain ?? '', [rule])
    else list.push(rule)
  }
  const objects = ruleset.objects.filter(isOf).map((one) => objectBlock(one, options))
  const others = [
    ...ruleset.sets
      .filter((set) => isOf(set) && set.flags?.includes('anonymous') !== true)
      .map((set) => setBlock(set, own(set.name, undefined)?.elements ?? [], options)),
    ...ruleset.flowtables.filter(isOf).map((one) => flowtableBlock(one, options)),
    ...ruleset.chains
      .filter((chain) => isOf(chain) && chain.flags?.includes('binding') !== true)
      .map((chain) => chainBlock(chain, rules.get(chain.name) ?? [], find, options)),
  ]
  const head = [...(flags.length === 0 ? [] : [`flags ${flags.join(',')}`]), ...comment(table.comment)]
  const lines = [...head]
  for (const [index, block] of [...objects, ...others].entries()) {
    // nft has no empty line between a comment and the first object.
    const isFirst = index === 0
    const isApart = isFirst ? flags.length > 0 || (head.length > 0 && objects.length === 0) : true
    if (isApart) lines.push('')
    lines.push(...block)
  }
  return [`table ${family} ${name} {${handle(table.handle, options)}`, ...indent(lines), '}']
}

type Sets = Pick<Ruleset, 'sets' | 'elements'>
/** Of each list of sets, by table: whoever prints rules one by one gives the same list each time. */
const indexes = new WeakMap<Sets, ReadonlyMap<string, ReadonlyMap<string, KnownSet>>>()

/** Sets of a table by their names. */
export function findIn(sets: Sets, family: Family, table: string): FindSet {
  let index = indexes.get(sets)
  if (index === undefined) indexes.set(sets, (index = indexOf(sets)))
  const byName = index.get(`${family} ${table}`)
  return (name) => byName?.get(name)
}

function indexOf({ sets, elements }: Sets): Map<string, Map<string, KnownSet>> {
  const tables = new Map<string, Map<string, KnownSet>>()
  for (const set of sets) {
    const place = `${set.family} ${set.table}`
    const byName = tables.get(place) ?? new Map<string, KnownSet>()
    tables.set(place, byName.set(set.name, { set, elements: [] }))
  }
  for (const part of elements) {
    const byName = tables.get(`${part.family} ${part.table}`)
    const known = byName?.get(part.set)
    if (known !== undefined) byName?.set(part.set, { set: known.set, elements: part.elements })
  }
  return tables
}

function block(head: string, lines: Block): string[] {
  return [head, ...indent(lines), '}']
}

function objectBlock(object: NftObject, options: PrintOptions): string[] {
  return block(`${objectWord(object.type)} ${object.name} {${handle(object.handle, options)}`, [
    ...comment(object.comment),
    ...objectLines(object),
  ])
}

/** `ct-helper` is `ct helper` in nft's syntax. */
export function objectWord(type: string): string {
  return type === 'connlimit' ? 'ct count' : type.replace('-', ' ')
}

const setFlagWords = ['constant', 'dynamic', 'interval', 'timeout'] as const

/** What a set is, without its elements. */
export function setLines(set: PrintedSet): string[] {
  const { flags = [], policy, size, timeoutMilliseconds, gcIntervalMilliseconds } = set
  const words = setFlagWords.filter((flag) => flags.includes(flag))
  const states = statesOf<AnyExpression>(set)
  const isConstant = flags.includes('constant')
  return [
    typeText(set),
    ...(isConstant || policy !== 'memory' ? [] : ['policy memory']),
    ...(isConstant || size === undefined || size === 0 ? [] : [`size ${size}`]),
    ...(words.length === 0 ? [] : [`flags ${words.join(',')}`]),
    ...(states.length === 0 ? [] : [states.map((one) => stateText(one, false) ?? one.name).join(' ')]),
    ...(set.autoMerge === true || (set.userData !== undefined && isAutoMerge(set.userData))
      ? ['auto-merge']
      : []),
    ...(timeoutMilliseconds ? [`timeout ${durationText(BigInt(timeoutMilliseconds))}`] : []),
    ...(gcIntervalMilliseconds ? [`gc-interval ${durationText(BigInt(gcIntervalMilliseconds))}`] : []),
    ...comment(set.comment),
  ]
}

/** `set` or `map`. */
export function setWord({ flags = [] }: PrintedSet): string {
  return flags.includes('map') || flags.includes('object') ? 'map' : 'set'
}

function setBlock(set: PrintedSet, elements: readonly PrintedElement[], options: PrintOptions): string[] {
  const key = keyOf(set).parts
  const texts = elementTexts(set, elements, key, dataOf(set)?.parts, options)
  return block(`${setWord(set)} ${set.name} {${handle(set.handle, options)}`, [
    ...setLines(set),
    ...(texts.length === 0 ? [] : elementLines(texts, perLine(key.length, key[0]?.type.name ?? ''))),
  ])
}

const fiveInALine: ReadonlySet<string> = new Set(
  'nf_proto integer arp_op inet_proto inet_service tcp_flag dccp_pkttype mark iface_index classid uid gid'.split(
    ' ',
  ),
)
const twoInALine: ReadonlySet<string> = new Set(['ipv4_addr', 'ct_state', 'ct_dir', 'ct_status', 'pkt_type'])
function perLine(parts: number, type: string): number {
  if (parts > 1) return 1
  return fiveInALine.has(type) ? 5 : twoInALine.has(type) ? 2 : 1
}

function elementLines(texts: readonly string[], count: number): string[] {
  const lines: string[] = []
  for (let index = 0; index < texts.length; index += count) {
    const start = index === 0 ? 'elements = { ' : '\t     '
    const isLast = index + count >= texts.length
    lines.push(`${start}${texts.slice(index, index + count).join(', ')}${isLast ? ' }' : ','}`)
  }
  return lines
}

/** What a flowtable is. */
export function flowtableLines({
  family,
  priority = 0,
  devices = [],
  flags = [],
}: Flowtable | FlowtableInput): string[] {
  return [
    `hook ingress priority ${priorityText(family, 'ingress', priority)}`,
    ...(devices.length === 0 ? [] : [`devices = { ${devices.join(', ')} }`]),
    ...(flags.includes('offload') ? ['flags offload'] : []),
    ...(flags.includes('counter') ? ['counter'] : []),
  ]
}

function flowtableBlock(flowtable: Flowtable, options: PrintOptions): string[] {
  return block(`flowtable ${flowtable.name} {${handle(flowtable.handle, options)}`, flowtableLines(flowtable))
}

/** What a base chain is: undefined of others. */
export function hookText(chain: Chain | ChainInput): string | undefined {
  const { family, hook, type = 'filter', priority = 0, policy = 'accept', flags = [] } = chain
  if (hook === undefined) return undefined
  const names = chain.devices ?? (chain.device === undefined ? [] : [chain.device])
  const [first] = names
  const devices =
    first === undefined
      ? ''
      : names.length === 1
        ? ` device "${first}"`
        : ` devices = { ${names.map((name) => `"${name}"`).join(', ')} }`
  const offload = flags.includes('offload') ? ' flags offload;' : ''
  return `type ${type} hook ${hook}${devices} priority ${priorityText(family, hook, priority)};${offload} policy ${policy};`
}

/** Names of priorities are known at some hooks alone. */
const hookOfPriority: Readonly<Partial<Record<string, string>>> = {
  dstnat: 'prerouting',
  srcnat: 'postrouting',
  out: 'output',
}
/** nft names what is so near to one that has a name. */
const nearest = 10

function priorityText(family: Family, hook: string, priority: number | string): string {
  if (typeof priority === 'string') return priority
  for (const [name, value] of Object.entries(priorities[family])) {
    const at = hookOfPriority[name]
    const distance = priority - value
    if ((at !== undefined && at !== hook) || Math.abs(distance) > nearest) continue
    return distance === 0 ? name : `${name} ${distance < 0 ? '-' : '+'} ${Math.abs(distance)}`
  }
  return String(priority)
}

function chainBlock(chain: Chain, rules: readonly Rule[], find: FindSet, options: PrintOptions): string[] {
  const hook = hookText(chain)
  return block(`chain ${chain.name} {${handle(chain.handle, options)}`, [
    ...comment(chain.comment),
    ...(hook === undefined ? [] : [hook]),
    ...rules.map((rule) => `${ruleText(rule, find, options)}${handle(rule.handle, options)}`),
  ])
}

/** What a rule says, with its comment. */
export function ruleText(
  {
    family,
    expressions = [],
    comment: text,
  }: Pick<Rule, 'family' | 'comment'> & {
    readonly expressions?: Parameters<RulePrinter['print']>[0] | undefined
  },
  find: FindSet,
  names: Names,
): string {
  const said = new RulePrinter(family, find, names).print(expressions)
  return text === undefined ? said : `${said} comment "${text}"`
}

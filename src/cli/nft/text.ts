/**
 * Objects of nf_tables as text. Everything that `viaduct nft` prints of them comes from here: rules in libnftnl's form,
 * what is around them in nft's.
 */
import {
  formatExpression,
  type KindName,
  type Outputs,
  type Rule,
  type Ruleset,
} from '../../nftables/index.js'

/** What is in a rule, in one line. */
export function ruleText({ expressions = [], comment }: Rule): string {
  const text = expressions.map((expression) => formatExpression(expression)).join(' ')
  return comment === undefined ? text : `${text} comment "${comment}"`.trimStart()
}

/** A ruleset, or what of one was chosen: a block for each table. */
export function rulesetText(ruleset: Ruleset): string {
  return ruleset.tables.map((table) => tableText(table, ruleset)).join('')
}

function tableText({ family, name, flags = [], comment }: Outputs['table'], ruleset: Ruleset): string {
  const of = <T extends { readonly family: string; readonly table?: string }>(list: readonly T[]): T[] =>
    list.filter((one) => one.family === family && one.table === name)
  const blocks = [
    ...of(ruleset.objects).map((object) => block(`${object.type} ${object.name}`, contents.object(object))),
    ...of(ruleset.sets).map((set) => {
      const elements = of(ruleset.elements).filter((one) => one.set === set.name)
      return block(`${noun('set', set)} ${set.name}`, [
        ...contents.set(set),
        ...elements.filter((one) => one.elements.length > 0).map(elementsText),
      ])
    }),
    ...of(ruleset.flowtables).map((one) => block(`flowtable ${one.name}`, contents.flowtable(one))),
    ...of(ruleset.chains).map((chain) => {
      const rules = of(ruleset.rules).filter((rule) => rule.chain === chain.name)
      return block(`chain ${chain.name}`, [
        ...contents.chain(chain),
        ...rules.map((rule) => `${ruleText(rule)} # handle ${rule.handle}`),
      ])
    }),
  ]
  const head = [...(flags.length > 0 ? [`flags ${flags.join(',')}`] : []), ...commentOf(comment)]
  return [`table ${family} ${name} {`, ...[head, ...blocks].flat().map((line) => `\t${line}`), '}', ''].join(
    '\n',
  )
}

const block = (head: string, lines: readonly string[]): string[] => [
  `${head} {`,
  ...lines.map((line) => `\t${line}`),
  '}',
]

/** What is made, in one line: `chain ip t c { type filter hook input priority 0; policy accept; }`. */
export function objectText<K extends KindName>(kind: K, object: Outputs[K]): string {
  const lines = contents[kind](object)
  const name = nameOf(kind, object)
  if (kind === 'rule') return `${name} ${lines.join(' ')}`.trimEnd()
  if (kind === 'elements') return `${name} ${elementsOf(object as Outputs['elements'])}`
  return lines.length === 0 ? name : `${name} { ${lines.map((line) => `${line};`).join(' ')} }`
}

/** What goes, by its name: `rule ip t c handle 7`. */
export function goneText<K extends KindName>(kind: K, object: Outputs[K]): string {
  const name = nameOf(kind, object)
  if (kind === 'rule') return `${name} handle ${(object as Rule).handle}`
  return kind === 'elements' ? `${name} ${elementsOf(object as Outputs['elements'])}` : name
}

function nameOf<K extends KindName>(kind: K, object: Outputs[K]): string {
  const { family, table, name, chain, set } = object as {
    readonly [key in 'family' | 'table' | 'name' | 'chain' | 'set']?: string
  }
  return [noun(kind, object), family, table, chain ?? set ?? name]
    .filter((part) => part !== undefined)
    .join(' ')
}

function noun<K extends KindName>(kind: K, object: Outputs[K]): string {
  if (kind === 'elements') return 'element'
  if (kind === 'object') return (object as Outputs['object']).type
  const isMap = kind === 'set' && (object as Outputs['set']).flags?.includes('map')
  return isMap === true ? 'map' : kind
}

const contents: { readonly [K in KindName]: (object: Outputs[K]) => string[] } = {
  table: ({ flags = [], comment }) => [
    ...(flags.length > 0 ? [`flags ${flags.join(',')}`] : []),
    ...commentOf(comment),
  ],
  chain({ hook, type = 'filter', priority = 0, policy = 'accept', device, devices, comment }) {
    if (hook === undefined) return commentOf(comment)
    const where = devices ?? (device === undefined ? [] : [device])
    const on = where.length === 0 ? '' : ` devices = { ${where.join(', ')} }`
    return [`type ${type} hook ${hook}${on} priority ${priority}; policy ${policy};`, ...commentOf(comment)]
  },
  rule: (rule) => [ruleText(rule)],
  set: ({ keyLength, dataLength, flags = [], size, timeoutMilliseconds, comment }) => [
    `key of ${keyLength} bytes${dataLength === undefined ? '' : `, data of ${dataLength}`}`,
    ...(flags.length > 0 ? [`flags ${flags.join(',')}`] : []),
    ...(size === undefined ? [] : [`size ${size}`]),
    ...(timeoutMilliseconds === undefined ? [] : [`timeout ${timeoutMilliseconds}ms`]),
    ...commentOf(comment),
  ],
  elements: (elements) => [elementsText(elements)],
  object: ({ data, comment }) => [
    ...Object.entries(data ?? {}).map(([key, value]) => `${key} ${String(value)}`.trimEnd()),
    ...commentOf(comment),
  ],
  flowtable: ({ hook = 'ingress', priority = 0, devices = [], flags = [] }) => [
    `hook ${hook} priority ${priority}`,
    `devices = { ${devices.join(', ')} }`,
    ...(flags.length > 0 ? [`flags ${flags.join(',')}`] : []),
  ],
}

const commentOf = (comment: string | undefined): string[] =>
  comment === undefined ? [] : [`comment "${comment}"`]
const elementsText = (elements: Outputs['elements']): string => `elements = ${elementsOf(elements)}`

function elementsOf({ elements }: Outputs['elements']): string {
  const each = elements.map(({ key, keyEnd, data, comment }) => {
    const from = key === undefined ? '*' : hex(key)
    const range = keyEnd === undefined ? from : `${from}-${hex(keyEnd)}`
    const value =
      data === undefined
        ? ''
        : ` : ${data instanceof Uint8Array ? hex(data) : [data.code, data.chain].join(' ').trim()}`
    return [range + value, ...commentOf(comment)].join(' ')
  })
  return `{ ${each.join(', ')} }`
}

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`

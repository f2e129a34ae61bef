/** What the benchmark loads: rulesets as a user's objects and as nft's syntax, and flows of connections. */
import { writeFileSync } from 'node:fs'
import type { FlowFilter, FlowInput } from '../../../src/conntrack/index.js'
import {
  type ElementInput,
  type ExpressionInput,
  NamedMap,
  type RuleInput,
  type Transaction,
  types,
  VerdictMap,
} from '../../../src/nftables/index.js'

export interface Size {
  /** Of a map. */
  readonly elements: number
  readonly rules: number
  readonly flows: number
}

/** A map of verdicts; one of data; rules of 8 expressions. */
export const layouts = ['verdicts', 'data', 'rules'] as const
export type Layout = (typeof layouts)[number]

const family = 'ip'
const table = 'bench'
const chain = 'in'
/** Services that elements go to, and servers that flows come to. */
export const chains = 16
export const servers = 10

const key = types.concatenated([types.ipv4Addr, types.inetService])
const value = types.concatenated([types.mark, types.mark])
const verdicts = new VerdictMap({ family, table, name: 'verdicts' }, key)
const data = new NamedMap({ family, table, name: 'data' }, key, value)

export function addressOf(index: number): string {
  return `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
}

function keyOf(index: number): Uint8Array {
  return Uint8Array.of(10, index >> 16, (index >> 8) & 255, index & 255, 0, 80, 0, 0)
}

/** `round` tells one value of an element from the next that it gets. */
export function elementOf(
  layout: 'verdicts' | 'data',
  index: number,
  round = 0,
): ElementInput & { key: Uint8Array } {
  const service = (index + round) % chains
  return layout === 'verdicts'
    ? { key: keyOf(index), data: { code: 'goto', chain: `svc${service}` } }
    : { key: keyOf(index), data: Uint8Array.of(0, 0, 0, service, 1, 0, 0, 0) }
}

/** Accepts what comes from an address to a port. */
function ruleOf(index: number): RuleInput {
  return {
    family,
    table,
    chain,
    expressions: [
      { name: 'payload', destinationRegister: 1, base: 'network', offset: 12, length: 4 },
      { name: 'cmp', sourceRegister: 1, operation: '==', data: keyOf(index).subarray(0, 4) },
      { name: 'meta', key: 'l4proto', destinationRegister: 1 },
      { name: 'cmp', sourceRegister: 1, operation: '==', data: Uint8Array.of(6) },
      { name: 'payload', destinationRegister: 1, base: 'transport', offset: 2, length: 2 },
      { name: 'cmp', sourceRegister: 1, operation: '==', data: Uint8Array.of(0, 80) },
      { name: 'counter', packets: 0n, bytes: 0n },
      { name: 'immediate', destinationRegister: 0, data: { code: 'accept' } },
    ],
  }
}

/** A map is looked up by every packet: it is bound. */
function lookupOf(layout: 'verdicts' | 'data'): RuleInput {
  const lookup: ExpressionInput = { name: 'lookup', set: layout, sourceRegister: 1 }
  return {
    family,
    table,
    chain,
    expressions: [
      { name: 'meta', key: 'l4proto', destinationRegister: 1 },
      { name: 'cmp', sourceRegister: 1, operation: '==', data: Uint8Array.of(6) },
      { name: 'payload', destinationRegister: 1, base: 'network', offset: 16, length: 4 },
      { name: 'payload', destinationRegister: 9, base: 'transport', offset: 2, length: 2 },
      { ...lookup, destinationRegister: layout === 'verdicts' ? 0 : 1 },
    ],
  }
}

/** The objects that a program would have. */
export function objectsOf(layout: Layout, size: Size): (ElementInput | RuleInput)[] {
  return layout === 'rules'
    ? Array.from({ length: size.rules }, (_, index) => ruleOf(index))
    : Array.from({ length: size.elements }, (_, index) => elementOf(layout, index))
}

/** What stands around them. */
export function addFrame(transaction: Transaction, layout: Layout): void {
  transaction.add('table', { family, name: table })
  for (let index = 0; index < chains; index++) {
    transaction.add('chain', { family, table, name: `svc${index}` })
  }
  transaction.add('chain', { family, table, name: chain, type: 'filter', hook: 'prerouting', priority: 0 })
  if (layout === 'rules') return
  transaction.add('set', (layout === 'verdicts' ? verdicts : data).input)
  transaction.add('rule', lookupOf(layout))
}

export function addObjects(
  transaction: Transaction,
  layout: Layout,
  objects: readonly (ElementInput | RuleInput)[],
): void {
  if (layout === 'rules') for (const rule of objects) transaction.add('rule', rule as RuleInput)
  else transaction.add('elements', { family, table, set: layout, elements: objects as ElementInput[] })
}

/** Other data, or another verdict, for the key of one element: elements have no replace. */
export function addReplacement(
  transaction: Transaction,
  layout: 'verdicts' | 'data',
  step: number,
  { elements }: Size,
): void {
  const index = (step * 7919) % elements
  const element = elementOf(layout, index, 1 + Math.floor(step / replacedElements))
  transaction
    .delete('elements', { family, table, set: layout, elements: [{ key: element.key }] })
    .add('elements', { family, table, set: layout, elements: [element] })
}

/** Of so many elements in turn. */
export const replacedElements = 64

export function writeScript(file: string, layout: 'verdicts' | 'rules', size: Size): void {
  const lines = [`table ${family} ${table} {`]
  for (let index = 0; index < chains; index++) lines.push(`  chain svc${index} {`, '  }')
  if (layout === 'verdicts') {
    lines.push('  map verdicts {', '    type ipv4_addr . inet_service : verdict', '    elements = {')
    for (let index = 0; index < size.elements; index++) {
      lines.push(`      ${addressOf(index)} . 80 : goto svc${index % chains},`)
    }
    lines.push('    }', '  }')
  }
  lines.push(`  chain ${chain} {`, '    type filter hook prerouting priority 0;')
  if (layout === 'verdicts') lines.push('    ip daddr . tcp dport vmap @verdicts')
  else {
    for (let index = 0; index < size.rules; index++) {
      lines.push(`    ip saddr ${addressOf(index)} tcp dport 80 counter accept`)
    }
  }
  lines.push('  }', '}')
  writeFileSync(file, `${lines.join('\n')}\n`)
}

export function serverOf(index: number): string {
  return `192.168.0.${1 + (index % servers)}`
}

/** A balanced connection. */
export function flowOf(index: number): FlowInput {
  const source = addressOf(index)
  return {
    original: { protocol: 'tcp', source, destination: '192.0.2.10', sourcePort: 1024, destinationPort: 80 },
    reply: {
      protocol: 'tcp',
      source: serverOf(index),
      destination: source,
      sourcePort: 8080,
      destinationPort: 1024,
    },
    timeoutSeconds: 100_000,
    tcp: { state: 'established' },
  }
}

/** Those of one server: a tenth. */
export const died: FlowFilter = { reply: { source: serverOf(2) } }
export const diedIndex = 2

/** All of them, or those of the server that died. */
export function* flowsOf({ flows }: Size, which: 'all' | 'died'): Generator<FlowInput> {
  for (let index = which === 'all' ? 0 : diedIndex; index < flows; index += which === 'all' ? 1 : servers) {
    yield flowOf(index)
  }
}

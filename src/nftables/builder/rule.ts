/** A rule as it is being built: its expressions, and the anonymous sets that they refer to. */
import type { ExpressionInput } from '../expressions/index.js'
import type { Family } from '../hooks.js'
import { nextSetId } from '../ids.js'
import type { ElementInput, SetInput } from '../kinds.js'
import type { Transaction } from '../transaction.js'
import { registerBytes } from '../values.js'
import { byte, type DataType, short } from './datatypes.js'

/** A match or a statement: a part of a rule. */
export interface Part {
  /** Appends its expressions. @throws ValidationError */
  write(rule: RuleBuilder): void
}

/** What a field can only be asked of. */
export type Dependency =
  | { readonly on: 'network'; readonly protocol: 'ip' | 'ip6' }
  | { readonly on: 'transport'; readonly protocol: number }

/** The first of the sixteen registers of four bytes: the kernel names it 1 where it tells of it. */
export const firstRegister = 8

/** Where a rule goes. */
export interface Place {
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family: Family
  /** The name of its table. */
  readonly table: string
  /** The name of the chain. */
  readonly chain: string
  /** What `nft` shows beside it. */
  readonly comment?: string | undefined
}

interface Comparison {
  readonly load: ExpressionInput
  readonly data: Uint8Array
}
const mostMergedBytes = 4

function mergedLoad(one: Comparison, other: Comparison): Comparison | undefined {
  if (one.load.name !== 'payload' || other.load.name !== 'payload' || one.load.base !== other.load.base)
    return
  const [first, second] = one.load.offset! < other.load.offset! ? [one, other] : ([other, one] as const)
  const [low, high] = [first.load, second.load] as [PayloadInput, PayloadInput]
  const length = low.length! + high.length!
  if (low.offset! + low.length! !== high.offset || length > mostMergedBytes) return
  return { load: { ...low, length }, data: Uint8Array.from([...first.data, ...second.data]) }
}
type PayloadInput = Extract<ExpressionInput, { readonly name: 'payload' }>

/** Collects what parts write. */
export class RuleBuilder {
  /** What it does, in order. */
  readonly expressions: ExpressionInput[] = []
  /** Anonymous sets that go before the rule, with their elements. */
  readonly sets: { readonly set: SetInput; readonly elements: readonly ElementInput[] }[] = []
  readonly #known = new Set<string>()
  #compared: (Comparison & { readonly end: number }) | undefined
  /** Where it is. */
  readonly place: Place

  constructor(place: Place) {
    this.place = place
  }

  /** Appends them. */
  push(...expressions: readonly ExpressionInput[]): void {
    this.expressions.push(...expressions)
  }

  /** Asks once for what a field needs, in the way of the family: nothing where the family says it already. */
  need(dependency: Dependency): void {
    const id = `${dependency.on} ${dependency.protocol}`
    if (this.#known.has(id)) return
    this.#known.add(id)
    const { family } = this.place
    if (dependency.on === 'transport') return this.#equal('l4proto', byte, dependency.protocol)
    if (family === dependency.protocol) return
    const isIp = dependency.protocol === 'ip'
    if (family === 'inet') this.#equal('nfproto', byte, isIp ? 2 : 10)
    else if (family === 'bridge' || family === 'netdev')
      this.#equal('protocol', short, isIp ? 0x0800 : 0x86dd)
  }

  /** Of all that are going to be loaded side by side: asking for it takes a register. */
  needAll(...fields: readonly unknown[]): void {
    for (const field of fields) {
      const { needs } = (typeof field === 'object' && field !== null ? field : {}) as {
        readonly needs?: readonly Dependency[]
      }
      for (const dependency of needs ?? []) this.need(dependency)
    }
  }

  #equal(key: 'l4proto' | 'nfproto' | 'protocol', type: DataType<number>, value: number): void {
    this.push(
      { name: 'meta', key, destinationRegister: firstRegister },
      { name: 'cmp', sourceRegister: firstRegister, operation: '==', data: type.encode(value) },
    )
  }

  /**
   * Appends a comparison of what is loaded. Two fields of a header that stand side by side are compared at once, as nft does
   * it, if both fit into what the kernel compares at once, too: four bytes (nft_cmp_fast).
   */
  equal(load: ExpressionInput, data: Uint8Array): void {
    const { expressions } = this
    const before = this.#compared
    const merged = before?.end === expressions.length ? mergedLoad(before, { load, data }) : undefined
    if (merged !== undefined) expressions.length -= 2
    const { load: loaded, data: compared } = merged ?? { load, data }
    this.push(loaded, { name: 'cmp', sourceRegister: firstRegister, operation: '==', data: compared })
    this.#compared = { load: loaded, data: compared, end: expressions.length }
  }

  /** A set without a name of its own, for this rule alone; returns what a lookup names it by. */
  anonymousSet(
    set: Pick<
      SetInput,
      'flags' | 'keyType' | 'keyLength' | 'dataType' | 'dataLength' | 'fields' | 'userData'
    >,
    elements: readonly ElementInput[],
  ): { readonly set: string; readonly setId: number } {
    const { family, table } = this.place
    const id = nextSetId()
    const isMap = set.dataType !== undefined
    const name = isMap ? '__map%d' : '__set%d'
    const flags = [...new Set([...(set.flags ?? []), 'anonymous' as const, 'constant' as const])]
    this.sets.push({
      set: { ...set, family, table, name, id, flags, size: elements.length },
      elements,
    })
    return { set: name, setId: id }
  }
}

/** Builds a rule of parts and puts it, with the anonymous sets that it needs, behind those of its chain. */
export function addRule(transaction: Transaction, place: Place, ...parts: readonly Part[]): void {
  put(transaction, 'add', place, parts)
}

/** The same before the rules of its chain. */
export function insertRule(transaction: Transaction, place: Place, ...parts: readonly Part[]): void {
  put(transaction, 'insert', place, parts)
}

function put(transaction: Transaction, verb: 'add' | 'insert', place: Place, parts: readonly Part[]): void {
  const builder = new RuleBuilder(place)
  for (const part of parts) part.write(builder)
  const { family, table } = place
  for (const { set, elements } of builder.sets) {
    transaction.add('set', set).add('elements', { family, table, set: set.name, setId: set.id, elements })
  }
  transaction[verb]('rule', { ...place, expressions: builder.expressions })
}

/** How many registers of four bytes so many bytes take. */
export function registersOf(bytes: number): number {
  return registerBytes(bytes) / 4
}

/** Where a second value begins: behind the first, at one of the registers of sixteen bytes, as nft has it. */
export function registerBehind(bytes: number): number {
  return firstRegister + Math.ceil(bytes / 16) * 4
}

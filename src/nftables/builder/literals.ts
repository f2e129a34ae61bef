/** Sets and maps that stand in a rule and have no name of their own, as nft makes them. */
import { ValidationError } from '../../errors/index.js'
import type { ElementInput, Verdict } from '../kinds.js'
import { type SetByteOrder, setUserData } from '../userdata.js'
import { verdictType } from '../values.js'
import type { DataType } from './datatypes.js'
import { type Entry, isInterval, type IntervalOf, wholeIntervalElements } from './intervals.js'
import type { Part, RuleBuilder } from './rule.js'

/** As a key of a map: for every key that has no entry of its own. nft writes it `*`. */
export const otherwise: unique symbol = Symbol('otherwise')

/** Keys, ranges or prefixes with what a map has for them. */
export type Entries<Key, Value> = Iterable<readonly [key: IntervalOf<Key> | typeof otherwise, value: Value]>

/** A part of a rule that is a verdict: maps may have it for a key. */
export interface VerdictPart extends Part {
  /** What becomes of the packet. */
  readonly verdict: Verdict
}
/** `accept`, `drop`, `jump('chain')`, or as the kernel has it: `{ code: 'accept' }`. */
export type VerdictValue = (Verdict & { readonly code: NonNullable<Verdict['code']> }) | VerdictPart

export function verdictOf(value: VerdictValue): Verdict {
  return 'verdict' in value ? value.verdict : value
}

/** What the kernel counts for one. */
export const verdictBytes = 16

/** What the values of a map are. */
interface Values {
  readonly number: number
  readonly bytes: number
  readonly order: SetByteOrder
}
const verdicts: Values = { number: verdictType, bytes: verdictBytes, order: 'none' }

/** Of several fields each has its own. */
export function orderOf(type: DataType<never>): SetByteOrder {
  return 'parts' in type ? 'none' : type.order
}

/** What a lookup names it by, and whether its keys are in network order. */
export interface Literal {
  readonly set: string
  readonly setId: number
  readonly isInterval: boolean
}

/** @throws ValidationError */
export function literalSet<Key>(
  rule: RuleBuilder,
  key: DataType<Key>,
  keys: readonly IntervalOf<Key>[],
): Literal {
  return literal(
    rule,
    key,
    undefined,
    keys.map((one) => [one, {}] as const),
    [],
  )
}

/** @throws ValidationError */
export function literalMap<Key, Value>(
  rule: RuleBuilder,
  key: DataType<Key>,
  value: DataType<Value>,
  entries: Entries<Key, Value>,
): Literal {
  const { number, bytes } = value
  const values = { number, bytes, order: orderOf(value) }
  return literalOf(rule, key, values, entries, (one) => value.encode(one))
}

/** @throws ValidationError */
export function literalVerdicts<Key>(
  rule: RuleBuilder,
  key: DataType<Key>,
  entries: Entries<Key, VerdictValue>,
): Literal {
  return literalOf(rule, key, verdicts, entries, verdictOf)
}

function literalOf<Key, Value>(
  rule: RuleBuilder,
  key: DataType<Key>,
  values: Values,
  entries: Entries<Key, Value>,
  dataOf: (value: Value) => NonNullable<ElementInput['data']>,
): Literal {
  const keyed: Entry<Key>[] = []
  const others: ElementInput[] = []
  for (const [one, value] of entries) {
    const data = dataOf(value)
    if (one === otherwise) others.push({ data, flags: ['catch-all'] })
    else keyed.push([one, { data }])
  }
  return literal(rule, key, values, keyed, others)
}

function literal<Key>(
  rule: RuleBuilder,
  key: DataType<Key>,
  values: Values | undefined,
  entries: readonly Entry<Key>[],
  others: readonly ElementInput[],
): Literal {
  const isOfIntervals = entries.some(([one]) => isInterval(key, one))
  const elements = isOfIntervals
    ? wholeIntervalElements(key, entries)
    : entries.map(([one, more]) => plainElement(key, one, more))
  const { parts } = key as { readonly parts?: readonly DataType<never>[] }
  const isOfFields = isOfIntervals && parts !== undefined
  const flags = [
    ...(isOfIntervals ? (['interval'] as const) : []),
    ...(isOfFields ? (['concatenation'] as const) : []),
    ...(values === undefined ? [] : (['map'] as const)),
  ]
  const named = rule.anonymousSet(
    {
      flags,
      keyType: key.number,
      keyLength: key.bytes,
      ...(values === undefined ? {} : { dataType: values.number, dataLength: values.bytes }),
      ...(isOfFields ? { fields: parts.map(({ bytes }) => bytes) } : {}),
      userData: setUserData({
        key: orderOf(key),
        data: values?.order,
        autoMerge: isOfIntervals && values === undefined,
      }),
    },
    [...elements, ...others],
  )
  return { ...named, isInterval: isOfIntervals }
}

/** An element of a set that holds no intervals. @throws ValidationError */
export function plainElement<Key>(
  type: DataType<Key>,
  given: IntervalOf<Key>,
  more: Omit<ElementInput, 'key'>,
): ElementInput {
  const key = type.encode(given as Key)
  if (key.length === type.bytes) return { ...more, key }
  throw new ValidationError(type.name, given, 'one value, where the set has no flag interval')
}

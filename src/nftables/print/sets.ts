/** Keys and elements of sets, as nft writes them. */
import type { Element, ElementInput, NftSet, SetInput } from '../kinds.js'
import { setDescription, userDataEntries } from '../userdata.js'
import { registerBytes, verdictType } from '../values.js'
import { durationText, type Names, types, typesOfNumber } from './datatypes.js'
import { bytesOf, numberOf } from '../numbers.js'
import { byNumber } from './headers.js'
import { ctNamed, metaNamed, type Named, named } from './fields.js'
import { ct } from '../expressions/ct.js'
import { meta } from '../expressions/meta.js'
import type { AttributeType } from '../../netlink/index.js'
import type { Expression } from '../expressions/index.js'
import { statesOf, stateText } from './state.js'
import { verdictText } from './verdict.js'

/** A set as it was read, or as it is to be made. */
export type PrintedSet = NftSet | SetInput
export type PrintedElement = Element | ElementInput

/** One part of a key: of concatenations each is padded to four bytes. */
export type KeyPart = Pick<Named, 'type' | 'order' | 'bits' | 'shift'>

/** What a set's description says of its keys or its data, and how that is written. */
export interface Described {
  readonly text: string
  readonly parts: readonly KeyPart[]
}

export function keyOf(set: PrintedSet): Described {
  const { key, isHostOrder } = setDescription(set.userData)
  return described(key, isHostOrder, set.keyType ?? 0, set.keyLength ?? 0)
}

/** Undefined of sets, maps of verdicts and maps of objects. */
export function dataOf(set: PrintedSet): Described | undefined {
  if (set.dataType === undefined || set.dataType === verdictType || set.objectType !== undefined)
    return undefined
  const { data, isHostOrder } = setDescription(set.userData)
  return described(data, isHostOrder, set.dataType, set.dataLength ?? 0)
}

/** What its declaration says: `type ipv4_addr : verdict`. */
export function typeText(set: PrintedSet): string {
  const { text } = keyOf(set)
  const value =
    set.objectType ??
    (set.dataType === verdictType ? 'verdict' : dataOf(set)?.text.replace(/^(type|typeof) /, ''))
  return value === undefined ? text : `${text} : ${value}`
}

/** NFT_DATA_VALUE_MAXLEN. */
const mostKeyBytes = 64

function described(
  typeOf: Uint8Array | undefined,
  isHostOrder: boolean,
  number: number,
  bytes: number,
): Described {
  const fields = typeOf === undefined ? undefined : typeofFields(typeOf)
  if (fields !== undefined) {
    return { text: `typeof ${fields.map(({ text }) => text).join(' . ')}`, parts: fields }
  }
  const found = typesOfNumber(number) ?? [types.raw]
  return {
    text: `type ${found.map(({ name }) => name).join(' . ')}`,
    parts: found.map((type) => ({
      type,
      order: type.bytes === undefined && isHostOrder && found.length === 1 ? 'host' : type.order,
      bits: Math.min(type.bytes ?? bytes, mostKeyBytes) * 8,
      shift: 0,
    })),
  }
}

/** `enum expr_types` of nft, as far as they are understood here. */
const etype = { payload: 7, meta: 9, ct: 12, concatenation: 13 } as const

type KeyOf<Name extends 'ct' | 'meta'> = NonNullable<Extract<Expression, { readonly name: Name }>['key']>
function keysOf<Key extends string>(type: AttributeType<Key>): ReadonlyMap<number, Key> {
  const { names } = type as unknown as { readonly names: Readonly<Record<Key, number>> }
  return new Map((Object.entries(names) as [Key, number][]).map(([name, number]) => [number, name]))
}
const metaKeys = keysOf<KeyOf<'meta'>>(meta.rows.key.type)
const ctKeys = keysOf<KeyOf<'ct'>>(ct.rows.key.type)

/** What `typeof` was written behind it: undefined where it is not understood. */
function typeofFields(bytes: Uint8Array): Named[] | undefined {
  const entries = new Map(userDataEntries(bytes))
  const number = (value: Uint8Array | undefined): number =>
    Number(numberOf(value ?? new Uint8Array(), 'host'))
  const inside = entries.get(1)
  const kind = number(entries.get(0))
  if (inside === undefined) return undefined
  const nested = new Map(userDataEntries(inside))
  const at = (index: number): number => number(nested.get(index))
  switch (kind) {
    case etype.concatenation: {
      const fields = [...nested.values()].map(typeofFields)
      return fields.length === 0 || fields.some((list) => list === undefined)
        ? undefined
        : (fields as Named[][]).flat()
    }
    case etype.payload: {
      const header = byNumber.get(at(0))
      const field = header?.fields[at(1) - 1]
      if (header === undefined || field === undefined) return undefined
      return [named(`${header.name} ${field.name}`, field.type, field.length)]
    }
    case etype.meta: {
      const key = metaKeys.get(at(0))
      return key === undefined ? undefined : [metaNamed(key)]
    }
    case etype.ct: {
      const key = ctKeys.get(at(0))
      const direction = (['original', 'reply'] as const)[at(1)]
      return key === undefined ? undefined : [ctNamed({ key, direction })]
    }
    default:
      return undefined
  }
}

interface Piece {
  readonly from: bigint
  readonly to: bigint
}

/** The values of a key's parts, from the registers' bytes. */
function valuesOf(bytes: Uint8Array, parts: readonly KeyPart[], isInterval: boolean): bigint[] {
  if (parts.length === 1) return [valueOf(bytes, parts[0]!, isInterval)]
  let at = 0
  return parts.map((part) => {
    const size = Math.ceil((part.bits + part.shift) / 8)
    const value = valueOf(bytes.subarray(at, at + size), part, isInterval)
    at += registerBytes(size)
    return value
  })
}

/** Intervals are compared as the network has its numbers. */
function valueOf(bytes: Uint8Array, { order, shift }: KeyPart, isInterval: boolean): bigint {
  return numberOf(bytes, isInterval ? 'network' : order) >> BigInt(shift)
}

function valueText({ type, bits }: KeyPart, value: bigint, names: Names): string {
  return type.text(value, bits, names)
}

/** One value, a prefix, or the first and last. */
export function pieceText(part: KeyPart, { from, to }: Piece, names: Names): string {
  if (from === to) return valueText(part, from, names)
  const { type, bits } = part
  if (type.isText === true) {
    const text = valueText(part, from, names)
    // All that begin so.
    const prefix = [...bytesOf(from, bits / 8)].findIndex((byte) => byte === 0)
    return prefix < 0 ? text : `${text.slice(0, -1)}*"`
  }
  const difference = from ^ to
  const isPrefix =
    (difference & (difference + 1n)) === 0n && (from & difference) === 0n && (to & difference) === difference
  if (type.hasPrefixes === true && isPrefix) {
    return `${valueText(part, from, names)}/${bits - difference.toString(2).length}`
  }
  const numeric = { ...names, isNumeric: true }
  return `${valueText(part, from, numeric)}-${valueText(part, to, numeric)}`
}

interface Entry {
  readonly element: PrintedElement
  /** Undefined of the catch-all element. */
  readonly pieces: readonly Piece[] | undefined
}

/** Elements of intervals come as first ones and ones behind the last. */
function entriesOf(set: PrintedSet, elements: readonly PrintedElement[], parts: readonly KeyPart[]): Entry[] {
  const flags = set.flags ?? []
  const isInterval = flags.includes('interval')
  const isList = flags.includes('concatenation')
  if (!isInterval || isList || parts.length > 1) {
    return elements.map((element) => {
      const { key, keyEnd } = element
      if (key === undefined) return { element, pieces: undefined }
      const from = valuesOf(key, parts, isInterval)
      const to = keyEnd === undefined ? from : valuesOf(keyEnd, parts, isInterval)
      return { element, pieces: from.map((value, index) => ({ from: value, to: to[index]! })) }
    })
  }
  const others = elements.filter(({ key }) => key === undefined)
  return [
    ...others.map((element): Entry => ({ element, pieces: undefined })),
    ...rangesOf(elements, parts[0]!),
  ]
}

/** An element of an interval: where one begins, or the first behind its end. */
interface Bound {
  readonly element: PrintedElement
  readonly value: bigint
  readonly isEnd: boolean
}

function rangesOf(elements: readonly PrintedElement[], part: KeyPart): Entry[] {
  const bounds = elements.flatMap((element): Bound[] => {
    const { key, flags } = element
    return key === undefined
      ? []
      : [{ element, value: numberOf(key), isEnd: flags?.includes('interval-end') === true }]
  })
  const ordered = inPairs(bounds) ? bounds : bounds.sort(byValue)
  const shift = BigInt(part.shift)
  const most = (1n << BigInt(part.bits)) - 1n
  return ordered.flatMap(({ element, value, isEnd }, index): Entry[] => {
    if (isEnd) return []
    const behind = ordered[index + 1]?.value
    const last =
      element.keyEnd === undefined
        ? behind === undefined
          ? undefined
          : behind - 1n
        : numberOf(element.keyEnd)
    return [{ element, pieces: [{ from: value >> shift, to: last === undefined ? most : last >> shift }] }]
  })
}

/** Those of a transaction that are to be merged may overlap: each has its end behind it. The kernel's do not, in any order. */
function inPairs(bounds: readonly Bound[]): boolean {
  return bounds.every(({ isEnd, value }, index) => {
    const before = bounds[index - 1]
    if (isEnd) return before !== undefined && !before.isEnd && before.value < value
    return before === undefined || before.isEnd
  })
}

function byValue(a: Bound, b: Bound): number {
  return a.value < b.value ? -1 : a.value > b.value ? 1 : Number(b.isEnd) - Number(a.isEnd)
}

/** As nft sorts them: of concatenations the last part weighs most; what is for all others comes last. */
function compare(a: Entry, b: Entry, parts: readonly KeyPart[], isInterval: boolean): number {
  if (a.pieces === undefined || b.pieces === undefined) {
    return Number(a.pieces === undefined) - Number(b.pieces === undefined)
  }
  for (let index = parts.length - 1; index >= 0; index--) {
    const [left, right] = [a, b].map(({ pieces }) =>
      sortKey(pieces![index]!.from, parts[index]!, isInterval),
    ) as [bigint, bigint]
    if (left !== right) return left < right ? -1 : 1
  }
  return 0
}
/** Text is compared as the host's numbers are. */
function sortKey(value: bigint, { type, bits }: KeyPart, isInterval: boolean): bigint {
  return type.isText === true && !isInterval ? numberOf(bytesOf(value, bits / 8), 'host') : value
}

/** What is written of every element: its key, what it carries, what it stands for. */
export function elementTexts(
  set: PrintedSet,
  elements: readonly PrintedElement[],
  key: readonly KeyPart[],
  data: readonly KeyPart[] | undefined,
  names: Names,
): string[] {
  const entries = entriesOf(set, elements, key)
  const isInterval = set.flags?.includes('interval') === true
  // Of ranges of several parts nft keeps the order in which they come.
  if (!(isInterval && key.length > 1)) entries.sort((a, b) => compare(a, b, key, isInterval))
  return entries.map(({ element, pieces }) => {
    const start =
      pieces === undefined
        ? '*'
        : pieces.map((piece, index) => pieceText(key[index]!, piece, names)).join(' . ')
    return `${start}${carried(element)}${value(element, data, names)}`
  })
}

function carried(element: PrintedElement): string {
  const { timeoutMilliseconds, expirationMilliseconds, comment } = element
  let text = ''
  for (const one of statesOf(element)) {
    const state = stateText(one)
    if (state !== undefined) text += ` ${state}`
  }
  if (timeoutMilliseconds !== undefined) text += ` timeout ${durationText(BigInt(timeoutMilliseconds))}`
  if (expirationMilliseconds !== undefined) text += ` expires ${durationText(BigInt(expirationMilliseconds))}`
  if (comment !== undefined) text += ` comment "${comment}"`
  return text
}

function value(
  { data, object }: PrintedElement,
  parts: readonly KeyPart[] | undefined,
  names: Names,
): string {
  if (object !== undefined) return ` : "${object}"`
  if (data === undefined) return ''
  if (!(data instanceof Uint8Array)) return ` : ${verdictText(data)}`
  if (parts === undefined) return ''
  return ` : ${dataText(data, parts, names)}`
}

/** Of intervals as data: first and last one after the other. */
function dataText(data: Uint8Array, parts: readonly KeyPart[], names: Names): string {
  const size = parts.reduce((sum, part) => sum + registerBytes(Math.ceil(part.bits / 8)), 0)
  const read = (bytes: Uint8Array): bigint[] => valuesOf(bytes, parts, false)
  if (data.length >= size * 2) {
    const [from, to] = [read(data.subarray(0, data.length / 2)), read(data.subarray(data.length / 2))]
    return parts
      .map((part, index) => pieceText(part, { from: from[index]!, to: to[index]! }, names))
      .join(' . ')
  }
  return read(data)
    .map((one, index) => valueText(parts[index]!, one, names))
    .join(' . ')
}

import { MalformedMessageError } from '../errors/index.js'
import { type Decode, decodeWalking, type Encode, explainValue, encodeWalking, within } from './codec.js'
import { compileDecoder, compileEncoder } from './compile.js'
import { hostIsLittleEndian, NLA_F_NESTED } from './constants.js'
import { type AttributeType, type FieldsTable, InvalidValue, isObject } from './types.js'
import type { Writer } from './writer.js'

/** One attribute of a set. Everything that is known about it stands here and nowhere else. */
export interface Row<In = never, Out = unknown> {
  /** The attribute's number in the kernel's enum. */
  readonly number: number
  /** Its name there, held against the newest headers by a test. */
  readonly constant: string
  /** How its payload is written, read and checked. */
  readonly type: AttributeType<In, Out>
  /** `read`: only the kernel says it. */
  readonly access: 'read' | 'readWrite'
  /** The kernel always sends it: a reply without it is malformed. */
  readonly always: boolean
  /** The first kernel that has it. */
  readonly since?: string | undefined
  /** Where older kernels say the same: read when this row's own attribute is absent. */
  readonly instead?: {
    readonly number: number
    readonly constant: string
    readonly type: AttributeType<never, Out>
  }
}

/** What else a row may say. */
export interface RowOptions<Out> {
  /** The kernel always sends it; false unless said. */
  readonly always?: boolean
  /** The first kernel that has it: `5.3`. */
  readonly since?: string
  /** The attribute by which older kernels say the same. */
  readonly instead?: {
    readonly number: number
    readonly constant: string
    readonly type: AttributeType<never, Out>
  }
}

// The marks below keep apart, in the types alone, what can be written and what is always there.
export interface Writable<In> {
  readonly ' in': In
}
export interface Always {
  readonly ' always': true
}
type Options<Out> = RowOptions<Out> | undefined
type AlwaysOf<O> = O extends { readonly always: true } ? Always : unknown

/** A row that may be written. */
export function attribute<In, Out, const O extends Options<Out> = undefined>(
  number: number,
  constant: string,
  type: AttributeType<In, Out>,
  options?: O,
): Row<In, Out> & Writable<In> & AlwaysOf<O> {
  return {
    number,
    constant,
    type,
    access: 'readWrite',
    always: options?.always ?? false,
    ...options,
  } as never
}

/** A row that only the kernel writes. */
export function readOnly<Out, const O extends Options<Out> = undefined>(
  number: number,
  constant: string,
  type: AttributeType<never, Out>,
  options?: O,
): Row<never, Out> & AlwaysOf<O> {
  return { number, constant, type, access: 'read', always: options?.always ?? false, ...options } as never
}

/** Rows by their key. */
export type Rows = Readonly<Record<string, Row>>

/** An attribute that the table does not know, kept as it came; written back when it is given. */
export interface UnknownAttribute {
  /** With its flags (NLA_F_NESTED). */
  readonly type: number
  /** The payload, without header and padding. */
  readonly bytes: Uint8Array
}
/** Attributes that no row knows. */
export interface Unknown {
  /** What this version does not know, as it came. */
  readonly unknown?: readonly UnknownAttribute[] | undefined
}

type OutOf<R> = R extends Row<never, infer Out> ? Out : R extends Row<infer _, infer Out> ? Out : never
type AlwaysKeys<R> = { [K in keyof R]: R[K] extends Always ? K : never }[keyof R]
type WritableKeys<R> = { [K in keyof R]: R[K] extends Writable<unknown> ? K : never }[keyof R]
type InOf<R> = R extends { readonly ' in': infer In } ? In : never

/** What a reply is decoded to. */
export type Decoded<T> =
  T extends AttributeTable<infer R>
    ? { readonly [K in AlwaysKeys<R>]: OutOf<R[K]> } & {
        readonly [K in Exclude<keyof R, AlwaysKeys<R>>]?: OutOf<R[K]> | undefined
      } & Unknown
    : never

/** What can be sent: every attribute may be left out as far as the codec goes; clients know better. */
export type Encodable<T> =
  T extends AttributeTable<infer R>
    ? { readonly [K in WritableKeys<R>]?: InOf<R[K]> | undefined } & Unknown
    : never

/** A row with its key. */
export interface TableRow extends Row {
  /** Our name for it: `weight`. */
  readonly key: string
}

/** A set of attributes: rows, and the codecs that come from them. */
export interface AttributeTable<R = Rows> extends FieldsTable {
  /** The enum's prefix in the header: `IPVS_DEST_ATTR`. */
  readonly name: string
  /** The first kernel that has what these attributes are of (an expression of nf_tables). */
  readonly since?: string | undefined
  /** By their keys, as they were given. */
  readonly rows: R
  /** With their keys, in the order of `rows`, in which they are written. */
  readonly list: readonly TableRow[]
  /** By the attribute's number, for what is read. */
  readonly byNumber: ReadonlyMap<number, TableRow>
  /** Appends the attributes that a record has; throws a ValidationError for a value that its type refuses. */
  readonly encode: Encode
  /** Reads attributes into a record; throws a MalformedMessageError for what cannot be. */
  readonly decode: Decode
  /** The same, with what stands beside them in every record: the name of an expression. */
  decoderWith(constants: Readonly<Record<string, string>>): Decode
}

/**
 * Makes a table of its rows. Encoder and decoder are compiled on first use; where code may not be generated
 * (`--disallow-code-generation-from-strings`) the table is walked instead, with the same results.
 */
export function attributeTable<const R extends Rows>(
  name: string,
  rows: R,
  { since }: { readonly since?: string } = {},
): AttributeTable<R> {
  const list: TableRow[] = Object.entries(rows).map(([key, row]) => ({ key, ...row }))
  const byNumber = new Map<number, TableRow>()
  for (const row of list) {
    claim(name, byNumber, row.number, row)
    if (row.instead !== undefined) {
      claim(name, byNumber, row.instead.number, { ...row, ...row.instead, access: 'read', always: false })
    }
  }
  let encode: Encode | undefined
  let decode: Decode | undefined
  const table: AttributeTable<R> = {
    name,
    since,
    rows,
    list,
    byNumber,
    encode(writer, record, path) {
      encode ??= compileEncoder(table) ?? encodeWalking(table)
      encode(writer, record, path)
    },
    decode(bytes, view, offset, end) {
      decode ??= compileDecoder(table) ?? decodeWalking(table)
      return decode(bytes, view, offset, end)
    },
    decoderWith: (constants) => compileDecoder(table, constants) ?? decodeWalking(table, constants),
    explain: (value, path) => explainValue(table, value, path),
  }
  return table
}

function claim(table: string, byNumber: Map<number, TableRow>, number: number, row: TableRow): void {
  const other = byNumber.get(number)
  if (other !== undefined)
    throw new Error(`${table}: ${row.constant} and ${other.constant} are both ${number}`)
  byNumber.set(number, row)
}

/**
 * A nest of a table's attributes. A function where tables refer to each other in a circle. Whoever sends the same nest
 * many times may give its bytes, encoded once.
 */
export function nested<R extends Rows>(
  table: AttributeTable<R> | (() => AttributeTable<R>),
): AttributeType<Encodable<AttributeTable<R>> | Uint8Array, Decoded<AttributeTable<R>>> {
  const isCircle = typeof table === 'function'
  const fields: () => AttributeTable<R> = isCircle ? table : () => table
  type Out = Decoded<AttributeTable<R>>
  return {
    name: 'nested',
    expected: 'an object',
    wireFlags: NLA_F_NESTED,
    fields,
    write(writer: Writer, value) {
      if (!isObject(value)) throw new InvalidValue('an object')
      if (value instanceof Uint8Array) writer.append(value)
      else fields().encode(writer, value)
    },
    read: isCircle
      ? (bytes, view, offset, length) => shallow(fields().decode, bytes, view, offset, offset + length) as Out
      : (bytes, view, offset, length) => fields().decode(bytes, view, offset, offset + length) as Out,
  }
}

/**
 * What often comes twice in a row (the statistics of entries that carry nothing): read once, and from then on one frozen
 * object for all that have the same bytes. Of a large table, most of the memory and half the time. For types that do not
 * look at what else the record holds.
 */
export function repeated<In, Out extends object>(type: AttributeType<In, Out>): AttributeType<In, Out> {
  const before = new Uint8Array(mostRepeatedBytes)
  let size = -1
  let shared: Out | undefined
  const isRepeated = (bytes: Uint8Array, offset: number, length: number): boolean => {
    if (length !== size) return false
    for (let at = 0; at < length; at++) if (before[at] !== bytes[offset + at]) return false
    return true
  }
  return {
    ...type,
    read(bytes, view, offset, length, record) {
      if (isRepeated(bytes, offset, length)) {
        return (shared ??= Object.freeze(type.read(bytes, view, offset, length, record)))
      }
      shared = undefined
      size = length <= mostRepeatedBytes ? length : -1
      for (let at = 0; at < size; at++) before[at] = bytes[offset + at]!
      return type.read(bytes, view, offset, length, record)
    },
  }
}

/** IPVS' statistics take 136 bytes, the largest that is worth it. */
const mostRepeatedBytes = 256

/** Far above what any kernel nests, far below what a stack holds. */
const deepest = 32
let depth = 0

/** Tables in a circle could be nested by hostile bytes until the stack is full: 64 KiB hold 16,384 levels. */
export function shallow(
  decode: Decode,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): object {
  if (depth >= deepest) throw new MalformedMessageError(`attributes nested more than ${deepest} deep`, offset)
  depth++
  try {
    return decode(bytes, view, offset, end)
  } finally {
    depth--
  }
}

/**
 * A nest whose entries are an attribute each, read in order: numbered from `first` on, or all with the same number
 * (`step` 0).
 */
export function listOf<In, Out>(
  entry: AttributeType<In, Out>,
  first = 1,
  step: 0 | 1 = 1,
): AttributeType<readonly In[], readonly Out[]> {
  return {
    name: `list of ${entry.name}`,
    expected: `a list, each ${entry.expected}`,
    wireFlags: NLA_F_NESTED,
    entry,
    write(writer, value, record) {
      if (!Array.isArray(value)) throw new InvalidValue(this.expected)
      for (const [index, item] of (value as readonly In[]).entries()) {
        const start = writer.beginAttribute((first + index * step) | (entry.wireFlags ?? 0))
        try {
          entry.write(writer, item, record)
        } catch (error) {
          throw within(`[${index}]`, item, error, entry.expected)
        }
        writer.endAttribute(start)
      }
    },
    read(bytes, view, offset, length, record) {
      const items: Out[] = []
      const end = offset + length
      let at = offset
      while (end - at >= 4) {
        const size = view.getUint16(at, hostIsLittleEndian)
        if (size < 4 || at + size > end) throw new MalformedMessageError(`list entry of ${size} bytes`, at)
        items.push(entry.read(bytes, view, at + 4, size - 4, record))
        at += (size + 3) & ~3
      }
      return items
    },
  }
}

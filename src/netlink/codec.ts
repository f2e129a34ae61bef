import { MalformedMessageError, ValidationError } from '../errors/index.js'
import { hostIsLittleEndian, NLA_HDRLEN, NLA_TYPE_MASK } from './constants.js'
import type { AttributeTable, TableRow, UnknownAttribute } from './table.js'
import { type AttributeType, type FieldsTable, InvalidValue, isObject } from './types.js'
import { Writer } from './writer.js'

/**
 * Encoding and decoding by walking a table: the plain reading of what a table means. The compiled codecs
 * (compile.ts) must do the same, which a property test holds; errors are always explained here.
 */
export type Encode = (writer: Writer, record: object, path?: string) => void
export type Decode = (bytes: Uint8Array, view: DataView, offset: number, end: number) => object

export function encodeWalking(table: AttributeTable): Encode {
  return (writer, record, path) => {
    const start = writer.length
    try {
      for (const row of table.list) writeRow(writer, row, record)
      writeUnknown(writer, record)
    } catch (error) {
      writer.length = start
      throw explained(table, record, path, error)
    }
  }
}

function writeRow(writer: Writer, row: TableRow, record: object): void {
  const value = (record as Record<string, unknown>)[row.key]
  if (value === undefined || row.access === 'read' || row.type.omits?.(value as never, record) === true)
    return
  const start = writer.beginAttribute(row.number | (row.type.wireFlags ?? 0))
  row.type.write(writer, value as never, record)
  writer.endAttribute(start)
}

export function writeUnknown(writer: Writer, record: object): void {
  const unknown = (record as { readonly unknown?: readonly UnknownAttribute[] }).unknown
  if (unknown === undefined) return
  checkUnknown(unknown, 'unknown')
  for (const { type, bytes } of unknown) {
    const start = writer.beginAttribute(type)
    writer.append(bytes)
    writer.endAttribute(start)
  }
}

/**
 * An encoder threw: finds the path by encoding row by row, and says what was expected there. A nest has explained it
 * already, from its own start; the outer table finds it again, with the longer path.
 */
export function explained(
  table: AttributeTable,
  record: object,
  path: string | undefined,
  error: unknown,
): unknown {
  try {
    explainValue(table, record, path ?? '')
  } catch (better) {
    return better
  }
  return error
}

/** Throws a ValidationError with the path of the first value that its type refuses. */
export function explainValue(table: FieldsTable, record: object, path: string): void {
  if (!isObject(record)) throw new ValidationError(path, record, 'an object')
  for (const [, row] of table.byNumber) {
    const value = (record as Record<string, unknown>)[row.key]
    if (value === undefined || (row as TableRow).access === 'read') continue
    const inner = path === '' ? row.key : `${path}.${row.key}`
    const fields = row.type.fields?.(record)
    if (fields !== undefined && !(value instanceof Uint8Array)) fields.explain(value as object, inner)
    try {
      const writer = new Writer(64)
      row.type.write(writer, value as never, record)
      if (writer.length > mostPayload) throw new InvalidValue(`at most ${mostPayload} bytes in all`)
    } catch (error) {
      throw within(inner, value, error, row.type.expected)
    }
  }
  checkUnknown(
    (record as { readonly unknown?: unknown }).unknown,
    path === '' ? 'unknown' : `${path}.unknown`,
  )
}

/** An attribute's length is a u16, and counts its header. */
const mostPayload = 0xffff - NLA_HDRLEN

function checkUnknown(unknown: unknown, path: string): void {
  if (unknown === undefined) return
  if (!Array.isArray(unknown)) throw new ValidationError(path, unknown, 'a list of attributes')
  for (const [index, entry] of unknown.entries()) {
    const { type, bytes } = (isObject(entry) ? entry : {}) as { type?: unknown; bytes?: unknown }
    if (!Number.isInteger(type) || (type as number) < 0 || (type as number) > 0xffff) {
      throw new ValidationError(`${path}[${index}].type`, type, 'an integer from 0 to 65535')
    }
    if (!(bytes instanceof Uint8Array) || bytes.length > mostPayload) {
      throw new ValidationError(`${path}[${index}].bytes`, bytes, `0 to ${mostPayload} bytes`)
    }
  }
}

/** What a type's `write` threw, told from one level above: its path is relative to the value. */
export function within(path: string, value: unknown, error: unknown, expected: string): ValidationError {
  if (!(error instanceof ValidationError)) {
    return new ValidationError(path, value, error instanceof InvalidValue ? error.expected : expected)
  }
  const joined = error.path === '' || error.path.startsWith('[') ? path + error.path : `${path}.${error.path}`
  return new ValidationError(joined, error.value, error.expected)
}

export function decodeWalking(
  table: AttributeTable,
  constants: Readonly<Record<string, string>> = {},
): Decode {
  return (bytes, view, offset, end) => {
    const record: Record<string, unknown> = { ...constants }
    // By number: of an attribute that comes twice the last one counts, as everywhere in the kernel.
    const later = new Map<number, readonly [at: number, length: number]>()
    forEachAttribute(view, offset, end, (type, at, length) => {
      const row = table.byNumber.get(type & NLA_TYPE_MASK)
      if (row === undefined) return keepUnknown(record, bytes, type, at, length)
      if (row.type.padding === true) return
      const isFallback = row.number !== table.rows[row.key]!.number
      if (row.type.deferred === true || isFallback) later.set(row.number, [at, length])
      else record[row.key] = row.type.read(bytes, view, at, length, record)
    })
    for (const row of table.list) {
      const place = row.type.deferred === true ? later.get(row.number) : undefined
      if (place !== undefined) record[row.key] = row.type.read(bytes, view, ...place, record)
    }
    for (const { key, instead } of table.list) {
      const place = instead === undefined ? undefined : later.get(instead.number)
      if (place !== undefined && record[key] === undefined) {
        record[key] = instead!.type.read(bytes, view, ...place, record)
      }
    }
    for (const row of table.list) {
      if (row.always && record[row.key] === undefined) throw missing(row.constant, offset)
    }
    return record
  }
}

/** Walks attributes within `[offset, end)`; `type` has its flags. Throws for a length that cannot be. */
export function forEachAttribute(
  view: DataView,
  offset: number,
  end: number,
  visit: (type: number, at: number, length: number) => void,
): void {
  let at = offset
  while (end - at >= NLA_HDRLEN) {
    const length = view.getUint16(at, hostIsLittleEndian)
    if (length < NLA_HDRLEN || at + length > end) throw badLength(length, at)
    visit(view.getUint16(at + 2, hostIsLittleEndian), at + NLA_HDRLEN, length - NLA_HDRLEN)
    at += (length + 3) & ~3
  }
  if (at < end) throw badLength(end - at, at)
}

export function badLength(length: number, offset: number): MalformedMessageError {
  return new MalformedMessageError(`attribute of ${length} bytes`, offset)
}

export function missing(constant: string, offset: number): MalformedMessageError {
  return new MalformedMessageError(`${constant} is missing`, offset)
}

export function keepUnknown(
  record: object,
  bytes: Uint8Array,
  type: number,
  at: number,
  length: number,
): void {
  const kept = ((record as { unknown?: UnknownAttribute[] }).unknown ??= [])
  kept.push({ type, bytes: bytes.slice(at, at + length) })
}

/**
 * The path of the attribute that stands at `offset` (as an extended acknowledgement gives it, counted from the message
 * header that starts at `message`): `service.flags`. Undefined if there is none.
 */
export function pathAtOffset(
  table: FieldsTable,
  bytes: Uint8Array,
  view: DataView,
  attributes: number,
  end: number,
  target: number,
): string | undefined {
  return placeAtOffset(table, bytes, view, attributes, end, target)?.path
}

/** An attribute of a message: its path, and the table of what is inside it if it is a nest. */
export interface Place {
  readonly path: string
  readonly fields: FieldsTable | undefined
}

/** The kernel points at an attribute's header: anywhere else in it is taken for what stands there, as deep as it goes. */
export function placeAtOffset(
  table: FieldsTable,
  bytes: Uint8Array,
  view: DataView,
  attributes: number,
  end: number,
  target: number,
): Place | undefined {
  // A nest may depend on what stands beside it. Whoever wrote the message did so in the table's order: that is before it.
  const record: Record<string, unknown> = {}
  let place: Place | undefined
  forEachAttribute(view, attributes, end, (type, at, length) => {
    const row = table.byNumber.get(type & NLA_TYPE_MASK)
    if (isWithin(target, at, length)) {
      const path = row?.key ?? `attribute ${type & NLA_TYPE_MASK}`
      place = row === undefined ? { path, fields: undefined } : placeIn(row.type, path, at, length)
    } else if (place === undefined && row !== undefined && row.type.fields === undefined) {
      record[row.key] = row.type.read(bytes, view, at, length, record)
    }
  })
  return place

  function placeIn(type: AttributeType<never, unknown>, path: string, at: number, length: number): Place {
    const fields = type.fields?.(record)
    if (target < at) return { path, fields }
    const { entry } = type
    let place: Place | undefined
    if (entry !== undefined) {
      let index = 0
      forEachAttribute(view, at, at + length, (_, start, size) => {
        const own = `${path}[${index++}]`
        if (isWithin(target, start, size)) place = placeIn(entry, own, start, size)
      })
    } else if (fields !== undefined) {
      const inner = placeAtOffset(fields, bytes, view, at + (type.fieldsAt ?? 0), at + length, target)
      if (inner !== undefined) place = { path: `${path}.${inner.path}`, fields: inner.fields }
    }
    return place ?? { path, fields }
  }
}

function isWithin(target: number, at: number, length: number): boolean {
  return target >= at - NLA_HDRLEN && target < at + Math.max(length, 1)
}

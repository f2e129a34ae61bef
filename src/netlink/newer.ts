/**
 * What of a message is newer than a kernel, by the rows and types of its tables. It explains a refusal and never comes
 * before one: distributions bring features to older kernels, so only the kernel knows what it has.
 */
import { release } from 'node:os'
import { forEachAttribute } from './codec.js'
import { NLA_TYPE_MASK } from './constants.js'
import type { AttributeType, FieldsTable } from './types.js'

/** An attribute, or one of its values, with the first kernel that has it. */
export interface NewerPart {
  /** As the table has it. */
  readonly path: string
  /** What it is set to, where another value would be older. */
  readonly value?: string
  readonly since: string
}

/** What the kernel says of what it does not know, and of much else: EINVAL, ERANGE, EOPNOTSUPP. */
const unknownErrors: ReadonlySet<number> = new Set([-22, -34, -95])
/** Of a module or an object by its name: only where it points at that name, for much else may be missing. */
const ENOENT = -2

/**
 * The newest of the parts that explain this refusal: of the attribute that the kernel points at, or of the whole message
 * if it points at none.
 */
export function newestCause(
  errno: number,
  blamed: string | undefined,
  parts: () => readonly NewerPart[],
): NewerPart | undefined {
  if (!unknownErrors.has(errno) && (errno !== ENOENT || blamed === undefined)) return undefined
  let newest: NewerPart | undefined
  for (const part of parts()) {
    const isMeant = blamed === undefined || isWithin(part.path, blamed) || isWithin(blamed, part.path)
    if (isMeant && (newest === undefined || isOlder(newest.since, part.since))) newest = part
  }
  return newest
}

/** What of the attributes in `[offset, end)` is newer than this kernel. */
export function newerParts(
  table: FieldsTable,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
  kernel = release(),
): NewerPart[] {
  const found: NewerPart[] = []
  const add = (path: string, since: string | undefined, value?: string): void => {
    if (since === undefined || !isOlder(kernel, since)) return
    found.push(value === undefined ? { path, since } : { path, value, since })
  }
  visitTable(table, '', offset, end)
  return found

  function visitTable(fields: FieldsTable, path: string, from: number, to: number): void {
    // A nest may depend on what stands before it.
    const record: Record<string, unknown> = {}
    forEachAttribute(view, from, to, (type, at, length) => {
      const row = fields.byNumber.get(type & NLA_TYPE_MASK)
      if (row === undefined) return
      const own = path === '' ? row.key : `${path}.${row.key}`
      add(own, row.since)
      record[row.key] = visit(row.type, own, at, length, record)
    })
  }

  function visit(
    type: AttributeType<never, unknown>,
    path: string,
    at: number,
    length: number,
    record: object,
  ): unknown {
    const { entry, sinceOf } = type
    const fields = type.fields?.(record)
    const isLeaf = fields === undefined && entry === undefined
    const value = isLeaf || sinceOf !== undefined ? type.read(bytes, view, at, length, record) : undefined
    if (sinceOf !== undefined) {
      for (const each of [value].flat() as string[]) add(path, sinceOf(each), each)
    }
    if (entry !== undefined) {
      let index = 0
      forEachAttribute(view, at, at + length, (_, start, size) => {
        visit(entry, `${path}[${index++}]`, start, size, record)
      })
    } else if (fields !== undefined) {
      visitTable(fields, path, at + (type.fieldsAt ?? 0), at + length)
    }
    return value
  }
}

function isWithin(path: string, outer: string): boolean {
  return path.startsWith(outer) && (path.length === outer.length || '.['.includes(path[outer.length]!))
}

/** `6.1.0-50-amd64` is older than `6.13`. */
export function isOlder(kernel: string, since: string): boolean {
  const [ours, theirs] = [numbersOf(kernel), numbersOf(since)]
  return ours[0] < theirs[0] || (ours[0] === theirs[0] && ours[1] < theirs[1])
}

function numbersOf(text: string): readonly [major: number, minor: number] {
  const [, major = 0, minor = 0] = /^(\d+)\.(\d+)/.exec(text) ?? []
  return [Number(major), Number(minor)]
}

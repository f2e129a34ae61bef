import {
  badLength,
  type Decode,
  type Encode,
  explained,
  keepUnknown,
  missing,
  writeUnknown,
} from './codec.js'
import { hostIsLittleEndian, NLA_TYPE_MASK } from './constants.js'
import type { AttributeTable } from './table.js'

/**
 * The fast path: a table unrolled into one function. A loop over rows calls `type.write` of a dozen different types
 * at one place, which no engine can inline; here each row has a place of its own with a constant callee. The types
 * themselves are the same objects that the walking codec uses. Returns undefined where code may not be generated.
 */
export function compileEncoder(table: AttributeTable): Encode | undefined {
  const rows = table.list.filter((row) => row.access !== 'read')
  const body = rows
    .map(
      (row, index) => `
      const v${index} = record[${JSON.stringify(row.key)}]
      if (v${index} !== undefined${row.type.omits === undefined ? '' : ` && !t${index}.omits(v${index}, record)`}) {
        const s = writer.beginAttribute(${row.number | (row.type.wireFlags ?? 0)})
        t${index}.write(writer, v${index}, record)
        writer.endAttribute(s)
      }`,
    )
    .join('')
  return generate<Encode>(
    rows.map((row) => row.type),
    { table, explained, writeUnknown },
    `(writer, record, path) => {
      const start = writer.length
      try {${body}
        if (record.unknown !== undefined) writeUnknown(writer, record)
      } catch (error) {
        writer.length = start
        throw explained(table, record, path, error)
      }
    }`,
  )
}

/**
 * Attributes are read into variables and put into the record at its end, in one literal: it then has its final shape and
 * size from the start, where keys that are added one by one leave three quarters of their memory to the collector.
 */
export function compileDecoder(
  table: AttributeTable,
  constants: Readonly<Record<string, string>> = {},
): Decode | undefined {
  const types: object[] = []
  const variables: string[] = []
  const cases: string[] = []
  const fallbacks: string[] = []
  const checks: string[] = []
  const deferred: string[] = []
  const fields = Object.entries(constants).map(
    ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
  )
  const optional: { readonly variable: string; readonly field: string; readonly assignment: string }[] = []
  for (const row of table.list) {
    const { number, type } = row
    if (type.padding === true) {
      cases.push(`case ${number}: break`)
      continue
    }
    const key = JSON.stringify(row.key)
    const variable = `v${number}`
    const later = (from: number): string => {
      variables.push(`a${from} = -1`, `l${from} = 0`)
      cases.push(`case ${from}: a${from} = at + 4; l${from} = length - 4; break`)
      return `a${from}`
    }
    const read = (of: object, at: string, length: string, record: string): string =>
      `t${types.push(of) - 1}.read(bytes, view, ${at}, ${length}, ${record})`
    if (type.deferred === true) {
      // Read when the record is there, because it needs what else that holds.
      const at = later(number)
      const present = `${at} >= 0`
      deferred.push(`if (${present}) record[${key}] = ${read(type, at, `l${number}`, 'record')}`)
      if (row.always) {
        fields.push(`${key}: undefined`)
        checks.push(`if (${at} < 0) throw missing(${JSON.stringify(row.constant)}, offset)`)
      }
      continue
    }
    variables.push(variable)
    cases.push(`case ${number}: ${variable} = ${read(type, 'at + 4', 'length - 4', 'none')}; break`)
    if (row.instead !== undefined) {
      const at = later(row.instead.number)
      const old = read(row.instead.type, at, `l${row.instead.number}`, 'none')
      fallbacks.push(`if (${at} >= 0 && ${variable} === undefined) ${variable} = ${old}`)
    }
    if (row.always) {
      fields.push(`${key}: ${variable}`)
      checks.push(`if (${variable} === undefined) throw missing(${JSON.stringify(row.constant)}, offset)`)
    } else {
      const field = `${key}: ${variable}`
      optional.push({ variable, field, assignment: `record[${key}] = ${variable}` })
    }
  }
  const all = optional.map(({ variable }) => `${variable} !== undefined`).join(' && ')
  const complete = [...fields, ...optional.map(({ field }) => field)].join(', ')
  return generate<Decode>(
    types,
    { badLength, keepUnknown, missing, none: Object.freeze({}) },
    `(bytes, view, offset, end) => {
      let kept${variables.map((name) => `, ${name}`).join('')}
      let at = offset
      while (end - at >= 4) {
        const length = view.getUint16(at, ${hostIsLittleEndian})
        if (length < 4 || at + length > end) throw badLength(length, at)
        const type = view.getUint16(at + 2, ${hostIsLittleEndian})
        switch (type & ${NLA_TYPE_MASK}) {
          ${cases.join('\n')}
          default: keepUnknown(kept ??= {}, bytes, type, at + 4, length - 4)
        }
        at += (length + 3) & ~3
      }
      if (at < end) throw badLength(end - at, at)
      ${fallbacks.join('\n')}
      ${checks.join('\n')}
      let record
      if (${all === '' ? 'true' : all}) record = { ${complete} }
      else {
        record = { ${fields.join(', ')} }
        ${optional.map(({ variable, assignment }) => `if (${variable} !== undefined) ${assignment}`).join('\n')}
      }
      ${deferred.join('\n')}
      if (kept !== undefined) record.unknown = kept.unknown
      return record
    }`,
  )
}

function generate<T>(
  types: readonly object[],
  helpers: Readonly<Record<string, unknown>>,
  source: string,
): T | undefined {
  const names = [...types.map((_, index) => `t${index}`), ...Object.keys(helpers)]
  const values = [...types, ...Object.values(helpers)]
  try {
    // The source is made of numbers and JSON-quoted names of our own tables; no input reaches it.

    const make = new Function(...names, `"use strict"; return ${source}`) as (...values: unknown[]) => T
    return make(...values)
  } catch (error) {
    if (error instanceof EvalError) return undefined
    throw error
  }
}

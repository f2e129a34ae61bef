/** Rules are lists of expressions: each loads a register, looks at one, or does something with the packet. */
import { MalformedMessageError } from '../errors/index.js'
import {
  type AttributeTable,
  type AttributeType,
  type FieldsTable,
  forEachAttribute,
  InvalidValue,
  isObject,
  NLA_F_NESTED,
  NLA_TYPE_MASK,
  nulString,
  shallow,
} from '../netlink/index.js'
import { listElements } from './values.js'

/** An expression as far as it is the same for all: the name of the kernel's expression, and its attributes. */
export interface AnyExpression {
  /** `meta`, `cmp`, `lookup`, … */
  readonly name: string
}

export const NFTA_EXPR_NAME = 1
export const NFTA_EXPR_DATA = 2
const expressionName = nulString(127)

/**
 * `{ name: 'meta', key: 'mark', destinationRegister: 1 }`: what stands in NFTA_EXPR_DATA is read by the table of that
 * name and put beside the name. One that has no table keeps its bytes in `data`, and goes back as it came.
 */
export function expressionOf(
  tables: () => Readonly<Record<string, AttributeTable>>,
): AttributeType<AnyExpression> {
  const tableOf = (name: string): AttributeTable | undefined =>
    Object.hasOwn(tables(), name) ? tables()[name] : undefined
  // As the kernel has it, for the path of what it points at.
  const element: FieldsTable = {
    byNumber: new Map([
      [
        NFTA_EXPR_NAME,
        { key: 'name', type: { ...expressionName, sinceOf: (name: string) => tableOf(name)?.since } },
      ],
      [
        NFTA_EXPR_DATA,
        {
          key: 'data',
          type: {
            name: 'nested, by name',
            expected: 'an object',
            fields: (record: object) => tableOf((record as AnyExpression).name) ?? nothing,
            write: () => undefined,
            read: () => undefined,
          },
        },
      ],
    ]),
    explain(value, path) {
      if (isObject(value)) tableOf((value as AnyExpression).name)?.explain(value, path)
    },
  }
  return {
    name: 'expression',
    expected: 'an object with the name of an expression',
    wireFlags: NLA_F_NESTED,
    fields: () => element,
    write(writer, value) {
      if (!isObject(value)) throw new InvalidValue(this.expected)
      const { name } = value
      const nameStart = writer.beginAttribute(NFTA_EXPR_NAME)
      expressionName.write(writer, name, value)
      writer.endAttribute(nameStart)
      const table = tableOf(name)
      if (table === undefined) {
        const { data } = value as { readonly data?: unknown }
        if (data === undefined) return
        if (!(data instanceof Uint8Array)) throw new InvalidValue(`bytes for the data of ${name}`)
        const start = writer.beginAttribute(NFTA_EXPR_DATA | NLA_F_NESTED)
        writer.append(data)
        writer.endAttribute(start)
        return
      }
      const start = writer.beginAttribute(NFTA_EXPR_DATA | NLA_F_NESTED)
      table.encode(writer, value)
      writer.endAttribute(start)
    },
    read(bytes, view, offset, length) {
      let name: string | undefined
      let from = -1
      let size = 0
      forEachAttribute(view, offset, offset + length, (type, at, payload) => {
        const number = type & NLA_TYPE_MASK
        if (number === NFTA_EXPR_NAME) name = expressionName.read(bytes, view, at, payload, nobody)
        else if (number === NFTA_EXPR_DATA) {
          from = at
          size = payload
        }
      })
      if (name === undefined) throw new MalformedMessageError('NFTA_EXPR_NAME is missing', offset)
      if (from < 0) return { name }
      const table = tableOf(name)
      if (table === undefined) return { name, data: bytes.slice(from, from + size) } as AnyExpression
      return { name, ...shallow(from, () => table.decode(bytes, view, from, from + size)) }
    },
  }
}

const nobody = Object.freeze({})
const nothing: FieldsTable = { byNumber: new Map(), explain: () => undefined }

/** Expressions in a list of NFTA_LIST_ELEM. */
export function expressionsOf(entry: AttributeType<AnyExpression>): AttributeType<readonly AnyExpression[]> {
  return listElements(entry)
}

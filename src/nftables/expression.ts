/** Rules are lists of expressions: each loads a register, looks at one, or does something with the packet. */
import {
  attribute,
  type AttributeTable,
  attributeTable,
  type AttributeType,
  type Decode,
  type Decoded,
  type FieldsTable,
  InvalidValue,
  isObject,
  NLA_F_NESTED,
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
  /** By the name that stands in what they read. */
  const decoders = new Map<string, Decode>()
  const decoderOf = (name: string): Decode | undefined => {
    const known = decoders.get(name)
    if (known !== undefined) return known
    const decode = tableOf(name)?.decoderWith({ name })
    if (decode !== undefined) decoders.set(name, decode)
    return decode
  }
  /** As the kernel has it. */
  const element = attributeTable('NFTA_EXPR', {
    name: attribute(
      NFTA_EXPR_NAME,
      'NFTA_EXPR_NAME',
      { ...expressionName, sinceOf: (name: string) => tableOf(name)?.since },
      { always: true },
    ),
    data: attribute(NFTA_EXPR_DATA, 'NFTA_EXPR_DATA', {
      name: 'nested, by name',
      expected: 'an object',
      deferred: true,
      fields: (record: object) => tableOf((record as AnyExpression).name) ?? nothing,
      write: () => undefined,
      read(bytes, view, offset, length, record): AnyExpression {
        const { name } = record as AnyExpression
        const decode = decoderOf(name)
        return decode === undefined
          ? ({ name, data: bytes.slice(offset, offset + length) } as AnyExpression)
          : (shallow(decode, bytes, view, offset, offset + length) as AnyExpression)
      },
    } satisfies AttributeType<never, AnyExpression>),
  })
  /** For the path of what the kernel points at: to a program what is in it stands beside its name. */
  const fields: FieldsTable = {
    byNumber: element.byNumber,
    explain(value, path) {
      if (isObject(value)) tableOf((value as AnyExpression).name)?.explain(value, path)
    },
  }
  return {
    name: 'expression',
    expected: 'an object with the name of an expression',
    wireFlags: NLA_F_NESTED,
    fields: () => fields,
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
      const { name, data } = element.decode(bytes, view, offset, offset + length) as Decoded<typeof element>
      return data ?? { name }
    },
  }
}

const nothing: FieldsTable = { byNumber: new Map(), explain: () => undefined }

/** Expressions in a list of NFTA_LIST_ELEM. */
export function expressionsOf(entry: AttributeType<AnyExpression>): AttributeType<readonly AnyExpression[]> {
  return listElements(entry)
}

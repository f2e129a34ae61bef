import {
  attribute,
  type AttributeTable,
  attributeTable,
  type AttributeType,
  listOf,
  nested,
  type Row,
} from '../netlink/index.js'

const made = new WeakMap<AttributeTable, AttributeTable>()

/** A table as the kernel writes it: with the attributes that only the kernel says, which a client's encoder leaves out. */
export function kernelTable(table: AttributeTable): AttributeTable {
  const known = made.get(table)
  if (known !== undefined) return known
  const rows: Record<string, Row> = {}
  for (const { key, number, constant, type } of table.list) {
    rows[key] = attribute(number, constant, { ...kernelType(type), omits: undefined } as never)
  }
  const result = attributeTable(table.name, rows)
  made.set(table, result)
  return result
}

function kernelType(type: AttributeType<never, unknown>): AttributeType<never, unknown> {
  const { entry, fields } = type
  if (entry !== undefined) {
    const inner = kernelType(entry)
    return inner === entry ? type : listOf(inner)
  }
  // One that depends on what stands beside it, or has a header of its own, writes itself.
  if (fields === undefined || type.deferred === true || type.fieldsAt !== undefined) return type
  const inner = fields({})
  // What is no table (one of several, by a name) writes itself too.
  if (!('list' in inner)) return type
  // A function: tables may refer to each other in a circle.
  return nested(() => kernelTable(inner as AttributeTable))
}

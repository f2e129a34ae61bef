/** Bytes that a kernel never sends, of a seed: attributes, messages, and what is left of them when some bytes are changed. */
import { tables as tupleTables } from '../../src/conntrack/tuple.js'
import { tables as flowTables } from '../../src/conntrack/wire.js'
import { family, multicastGroup } from '../../src/genetlink/wire.js'
import { tables as ipvsTables } from '../../src/ipvs/wire.js'
import { type AttributeTable, viewOf, Writer } from '../../src/netlink/index.js'
import { expressionTables } from '../../src/nftables/expressions/index.js'
import { innerTables, objectTables } from '../../src/nftables/objects.js'
import { valueTables } from '../../src/nftables/values.js'
import { tables as nftablesTables } from '../../src/nftables/wire.js'
import { kinds } from '../../src/rtnetlink/kinds.js'
import { tables as routeTables } from '../../src/rtnetlink/wire.js'
import { attributes as socketAttributes } from '../../src/sockdiag/wire.js'

/** xorshift32: repeatable, and cheap enough not to be what is measured. */
let state = 1
export function seedWith(seed: number): void {
  state = seed | 1
}
export const stateNow = (): number => state
export function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}
export const pick = <T>(list: readonly T[]): T => list[random(list.length)]!
export const randomBytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))

export const tables: readonly AttributeTable[] = [
  family,
  multicastGroup,
  ...Object.values(ipvsTables),
  ...Object.values(routeTables),
  ...Object.values(tupleTables),
  ...Object.values(flowTables),
  socketAttributes,
  ...Object.values(nftablesTables),
  ...Object.values(expressionTables),
  ...Object.values(objectTables),
  ...Object.values(innerTables),
  ...Object.values(valueTables),
]
const linkKinds = Object.keys(kinds)
const expressionNames = Object.keys(expressionTables) as (keyof typeof expressionTables)[]
const objectTypes = Object.keys(objectTables)
const widths = [0, 1, 2, 3, 4, 8, 16, 20, 32, 64, 80, 96]
const words = ['ipip', 'veth', 'gre', 'bridge', 'wrr', 'IPVS', 'eth0', '', 'ü€', 'a'.repeat(70)].map((word) =>
  new TextEncoder().encode(`${word}\0`),
)
/** Lengths that a reader may stumble over. */
const treacherous = [0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffc, 0xffff]

/** Attributes as the kernel might send them: of the table's numbers, of fitting length more often than not. */
function writeAttributes(writer: Writer, table: AttributeTable, depth: number): void {
  const rows = [...table.byNumber]
  const count = random(7)
  for (let index = 0; index < count && rows.length > 0; index++) {
    const [number, row] = pick(rows)
    const start = writer.beginAttribute(random(12) === 0 ? random(0x10000) : number)
    const inner = row.type.fields?.({ kind: pick(linkKinds), type: pick(objectTypes) }) as
      AttributeTable | undefined
    const choice = random(10)
    if (isExpression(row.type) && depth < 6 && choice > 0) writeExpression(writer, depth)
    else if (inner !== undefined && depth < 6 && choice > 0) {
      writer.append(randomBytes(row.type.fieldsAt ?? 0))
      writeAttributes(writer, inner, depth + 1)
    } else if (row.type.entry !== undefined && choice > 3) writeList(writer, row.type.entry, depth)
    else if (choice > 7) writer.append(pick(words))
    else if (choice > 5 && depth < 6) writeAttributes(writer, pick(tables), depth + 1)
    else writer.append(randomBytes(pick(widths)))
    writer.endAttribute(start)
  }
}
function writeList(
  writer: Writer,
  entry: { readonly name: string; readonly fields?: unknown },
  depth: number,
): void {
  const fields = entry.fields as ((record: object) => AttributeTable) | undefined
  for (let number = random(4); number > 0; number--) {
    const start = writer.beginAttribute(number)
    if (depth >= 6) writer.append(randomBytes(pick(widths)))
    else if (isExpression(entry)) writeExpression(writer, depth)
    else writeAttributes(writer, fields !== undefined && random(4) > 0 ? fields({}) : pick(tables), depth + 1)
    writer.endAttribute(start)
  }
}

const isExpression = ({ name }: { readonly name: string }): boolean => name === 'expression'
/** NFTA_EXPR_NAME, and NFTA_EXPR_DATA with what that expression has more often than not. */
function writeExpression(writer: Writer, depth: number): void {
  const name = pick(expressionNames)
  const named = writer.beginAttribute(1)
  writer.append(new TextEncoder().encode(`${name}\0`))
  writer.endAttribute(named)
  const start = writer.beginAttribute(2)
  writeAttributes(writer, random(8) === 0 ? pick(tables) : expressionTables[name], depth + 1)
  writer.endAttribute(start)
}

/** Some bytes changed, lengths first of all; cut, doubled or put together with others. */
export function mutated(bytes: Uint8Array): Uint8Array {
  let result = bytes.slice()
  for (let round = random(4); round > 0 && result.length > 0; round--) {
    const at = random(result.length)
    const aligned = at & ~3
    switch (random(7)) {
      case 0:
        result[at] = random(256)
        break
      case 1:
        result[at]! ^= 1 << random(8)
        break
      case 2:
        if (aligned + 2 <= result.length) viewOf(result).setUint16(aligned, pick(treacherous), true)
        break
      case 3:
        if (aligned + 4 <= result.length)
          viewOf(result).setUint32(aligned, pick(treacherous) * (random(2) === 0 ? 1 : 0x10001), true)
        break
      case 4:
        result = result.slice(0, at)
        break
      case 5:
        result = Uint8Array.from([...result.subarray(0, aligned), ...result.subarray(random(result.length))])
        break
      default:
        result = Uint8Array.from([
          ...result.subarray(0, at),
          ...randomBytes(random(9)),
          ...result.subarray(at),
        ])
    }
  }
  return result
}

export function attributesOf(table: AttributeTable): Uint8Array {
  if (random(16) === 0) return randomBytes(random(80))
  const writer = new Writer(512)
  writeAttributes(writer, table, 0)
  return mutated(writer.bytes.slice(0, writer.length))
}
/** What stands in a message: of which types they are, the fixed header, and the table of what follows. */
export interface Content {
  readonly types: readonly number[]
  readonly headerBytes: number
  readonly table: AttributeTable
}

/** Messages of this content more often than not, else of any. */
export function messages(content?: Content, sequence = (): number => random(3)): Uint8Array {
  const writer = new Writer(1024)
  for (let count = random(4); count >= 0; count--) {
    const known = random(8) === 0 ? undefined : content
    const type =
      random(known === undefined ? 3 : 8) === 0
        ? random(5)
        : known === undefined
          ? 16 + random(20)
          : pick(known.types)
    const start = writer.beginMessage(type, random(0x400), sequence())
    writer.append(randomBytes(known?.headerBytes ?? pick([0, 4, 8, 12, 16, 20])))
    writeAttributes(writer, known?.table ?? pick(tables), 0)
    writer.endMessage(start)
    while (writer.length % 4 !== 0) writer.u8(0)
  }
  const bytes = writer.bytes.slice(0, writer.length)
  // Of a known content some come whole, so that what is behind the framing is reached.
  return content !== undefined && random(2) === 0 ? bytes : mutated(bytes)
}

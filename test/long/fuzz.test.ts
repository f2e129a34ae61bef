/**
 * A million and more hostile inputs through everything that reads bytes of the kernel's: framing, acknowledgements,
 * every table by both codecs, every structure, the clients' readers. Each is answered by a value or by a
 * MalformedMessageError, in no time. `VIADUCT_FUZZ_SEED` repeats a run, `VIADUCT_FUZZ_INPUTS` makes it longer.
 */
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { isKernelError, isMalformedMessageError } from '../../src/errors/index.js'
import { family, multicastGroup } from '../../src/genetlink/wire.js'
import { tables as ipvsTables } from '../../src/ipvs/wire.js'
import {
  type AttributeTable,
  forEachMessage,
  readAcknowledgement,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'
import { decodeWalking } from '../../src/netlink/codec.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { structures, tables as routeTables } from '../../src/rtnetlink/wire.js'
import { FakeKernel } from '../../src/testing/index.js'

const inputs = Number(process.env['VIADUCT_FUZZ_INPUTS'] ?? 1_200_000)
const seed = Number(process.env['VIADUCT_FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff)
const deadlineSeconds = 1200
const slowMilliseconds = 1000

/** xorshift32: repeatable, and cheap enough not to be what is measured. */
let state = seed | 1
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!
const randomBytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))

const tables: readonly AttributeTable[] = [
  family,
  multicastGroup,
  ...Object.values(ipvsTables),
  ...Object.values(routeTables),
]
const walking = new Map(tables.map((table) => [table, decodeWalking(table)]))
const widths = [0, 1, 2, 3, 4, 8, 16, 20, 32, 64, 80, 96]
const words = ['ipip', 'veth', 'gre', 'bridge', 'wrr', 'IPVS', 'eth0', '', 'ü€', 'a'.repeat(70)].map((word) =>
  new TextEncoder().encode(`${word}\0`),
)
/** Lengths that a reader may stumble over. */
const treacherous = [0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffc, 0xffff]

/** Attributes as the kernel might send them: of the table's numbers, of fitting length more often than not. */
function writeAttributes(writer: Writer, table: AttributeTable, depth: number): void {
  const rows = [...table.byNumber.values()]
  const count = random(7)
  for (let index = 0; index < count && rows.length > 0; index++) {
    const row = pick(rows)
    const start = writer.beginAttribute(random(12) === 0 ? random(0x10000) : row.number)
    const inner = row.type.fields?.({}) as AttributeTable | undefined
    const choice = random(10)
    if (inner !== undefined && depth < 6 && choice > 0) writeAttributes(writer, inner, depth + 1)
    else if (row.type.entry !== undefined && choice > 3) writeList(writer, depth)
    else if (choice > 7) writer.append(pick(words))
    else if (choice > 5 && depth < 6) writeAttributes(writer, pick(tables), depth + 1)
    else writer.append(randomBytes(pick(widths)))
    writer.endAttribute(start)
  }
}
function writeList(writer: Writer, depth: number): void {
  for (let number = random(4); number > 0; number--) {
    const start = writer.beginAttribute(number)
    if (depth < 6) writeAttributes(writer, pick(tables), depth + 1)
    writer.endAttribute(start)
  }
}

/** Some bytes changed, lengths first of all; cut, doubled or put together with others. */
function mutated(bytes: Uint8Array): Uint8Array {
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

function attributesOf(table: AttributeTable): Uint8Array {
  if (random(16) === 0) return randomBytes(random(80))
  const writer = new Writer(512)
  writeAttributes(writer, table, 0)
  return mutated(writer.bytes.slice(0, writer.length))
}
function messages(): Uint8Array {
  const writer = new Writer(1024)
  for (let count = random(4); count >= 0; count--) {
    const start = writer.beginMessage(random(3) === 0 ? random(5) : 16 + random(20), random(0x400), random(3))
    writer.append(randomBytes(pick([0, 4, 8, 12, 16, 20])))
    writeAttributes(writer, pick(tables), 0)
    writer.endMessage(start)
    while (writer.length % 4 !== 0) writer.u8(0)
  }
  return mutated(writer.bytes.slice(0, writer.length))
}

const answers = { value: 0, malformed: 0 }

/** What it is answered with; anything but a value or a MalformedMessageError is thrown on. */
function answer(work: () => unknown): unknown {
  try {
    const value = work()
    answers.value++
    return value
  } catch (error) {
    if (!isMalformedMessageError(error)) throw error
    answers.malformed++
    return 'malformed'
  }
}

function throughTable(): Uint8Array {
  const table = pick(tables)
  const bytes = attributesOf(table)
  const view = viewOf(bytes)
  const fast = answer(() => table.decode(bytes, view, 0, bytes.length))
  const slow = answer(() => walking.get(table)!(bytes, view, 0, bytes.length))
  if (!isDeepStrictEqual(fast, slow)) throw new Error(`${table.name}: the two codecs differ`)
  return bytes
}
function throughStructure(): Uint8Array {
  const structure = pick(Object.values(structures))
  const bytes = randomBytes(random(structure.bytes + 8))
  answer(() => structure.read(bytes, viewOf(bytes), 0, bytes.length, {}))
  return bytes
}
function throughFraming(): Uint8Array {
  const bytes = messages()
  const view = viewOf(bytes)
  answer(() => {
    forEachMessage(bytes, view, (type, flags, _sequence, offset, end) => {
      if (offset > end || end > bytes.length) throw new Error('a message beyond the end')
      answer(() => readAcknowledgement(bytes, view, type, flags, offset, end))
    })
  })
  return bytes
}

/** Replies of any kind to a client: what it resolves to, or an error that is typed. */
async function throughClient(): Promise<void> {
  const kernel = new FakeKernel({ handle: () => [], strays: random(2) === 0 })
  const rt = await Rtnetlink.open({ transport: kernel })
  kernel.disturb({ replies: (bytes) => (random(3) === 0 ? mutated(bytes) : replied(bytes)) })
  const calls = [
    () => rt.links.list(),
    () => rt.links.get(1),
    () => rt.addresses.list(),
    () => rt.routes.list({ family: 'ipv4', table: 'all' }),
    () => rt.links.delete('eth0'),
  ]
  try {
    await pick(calls)()
  } catch (error) {
    if (!isMalformedMessageError(error) && !isKernelError(error)) throw error
  } finally {
    rt.close()
  }
}
/** Messages with the right sequence number before the end that the fake kernel wrote. */
function replied(end: Uint8Array): Uint8Array {
  const bytes = messages()
  for (
    let at = 0;
    at + 16 <= bytes.length;
    at += Math.max(16, (viewOf(bytes).getUint32(at, true) + 3) & ~3)
  ) {
    viewOf(bytes).setUint32(at + 8, 1, true)
    if (viewOf(bytes).getUint32(at, true) > bytes.length) break
  }
  return Uint8Array.from([...bytes, ...end])
}

const kinds = [
  ...Array.from({ length: 12 }, () => throughTable),
  ...Array.from({ length: 6 }, () => throughFraming),
  throughStructure,
]

t.test(`${inputs} hostile inputs (seed ${seed})`, { timeout: deadlineSeconds * 1000 }, async (t) => {
  const begun = performance.now()
  let done = 0
  for (; done < inputs; done++) {
    const before = performance.now()
    const stateBefore = state
    try {
      if (done % 40 === 0) await throughClient()
      else pick(kinds)()
    } catch (error) {
      t.fail(`input ${done} of seed ${seed} (state ${stateBefore}): ${(error as Error).stack}`)
      break
    }
    const took = performance.now() - before
    if (took > slowMilliseconds) t.fail(`input ${done} of seed ${seed} took ${Math.round(took)} ms`)
    if (performance.now() - begun > deadlineSeconds * 900) break
  }
  t.comment(`${done} inputs in ${((performance.now() - begun) / 1000).toFixed(1)} s, seed ${seed}`)
  const { value, malformed } = answers
  t.comment(`${value} were read, ${malformed} called malformed`)
  t.ok(value > done / 10 && malformed > done / 10, 'hostile enough, and not so much that nothing was read')
  t.ok(done >= Math.min(inputs, 1_000_000), `${done} inputs`)
})

/** Attribute tables: what is written is read, by either codec, and nothing that bytes can say does any harm. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { isMalformedMessageError, isValidationError } from '../../src/errors/index.js'
import { tables as tupleTables } from '../../src/conntrack/tuple.js'
import { tables as flowTables } from '../../src/conntrack/wire.js'
import { family as genericFamily } from '../../src/genetlink/wire.js'
import { tables as ipvsTables } from '../../src/ipvs/wire.js'
import {
  attribute,
  type AttributeTable,
  attributeTable,
  type AttributeType,
  be16,
  be32,
  bits,
  bytesOf,
  flag,
  inetAddressUnion,
  ipAddress,
  listOf,
  named,
  nested,
  nulString,
  omitting,
  pad,
  pathAtOffset,
  readOnly,
  repeated,
  s32,
  sbe32,
  u16,
  u32,
  u32AsBigint,
  u64,
  u64AsNumber,
  u8,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'
import { decodeWalking, encodeWalking } from '../../src/netlink/codec.js'
import { compileDecoder, compileEncoder } from '../../src/netlink/compile.js'
import { tables as netfilterTables } from '../../src/nfnetlink/wire.js'
import { expressionTables } from '../../src/nftables/expressions/index.js'
import { innerTables, objectTables } from '../../src/nftables/objects.js'
import { valueTables } from '../../src/nftables/values.js'
import { tables as nftables } from '../../src/nftables/wire.js'
import { tables as routeTables } from '../../src/rtnetlink/wire.js'
import { attributes as socketAttributes } from '../../src/sockdiag/wire.js'
import { kernelTable } from '../../src/testing/kernel-table.js'

const runs = 300
const ipv4 = fc.ipV4()
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[index * 2]! << 8) | bytes[index * 2 + 1]!).toString(16),
  )
  // As the reader writes it: through the URL parser, which follows RFC 5952 too, but for mapped addresses.
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1)
})
const ascii = (most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...Array.from('abcXYZ019_-. ')), minLength: 1, maxLength: most })

/** Every type with the values that it takes. */
const samples: Record<string, readonly [type: AttributeType<never, unknown>, values: fc.Arbitrary<unknown>]> =
  {
    u8: [u8, fc.integer({ min: 0, max: 0xff })],
    u16: [u16, fc.integer({ min: 0, max: 0xffff })],
    u32: [u32, fc.integer({ min: 0, max: 0xffff_ffff })],
    s32: [s32, fc.integer()],
    be16: [be16, fc.integer({ min: 0, max: 0xffff })],
    be32: [be32, fc.integer({ min: 0, max: 0xffff_ffff })],
    u64: [u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
    u64AsNumber: [u64AsNumber, fc.maxSafeNat()],
    u32AsBigint: [u32AsBigint, fc.bigInt({ min: 0n, max: 2n ** 32n - 1n })],
    flag: [flag, fc.constant(true)],
    bytes: [bytesOf(2, 40), fc.uint8Array({ minLength: 2, maxLength: 40 })],
    string: [nulString(15), ascii(15)],
    unicode: [
      nulString(64),
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 4 })
        .filter((s) => !s.includes('\0') && Buffer.byteLength(s) <= 64),
    ],
    named: [
      named(u16, { one: 1, two: 2 }),
      fc.oneof(fc.constantFrom('one', 'two'), fc.integer({ min: 3, max: 0xffff }).map(String)),
    ],
    signed: [
      named(sbe32, { none: 0, less: -1 }),
      fc.oneof(fc.constantFrom('none', 'less'), fc.integer({ max: -2 }).map(String)),
    ],
    bits: [bits(u32, { a: 1, b: 4, c: 0x8000_0000 }), fc.subarray(['a', 'b', 'c', 'bit-1', 'bit-30'])],
    ipv4: [ipAddress, ipv4],
    ipv6: [ipAddress, ipv6],
    list: [listOf(be16), fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 9 })],
    lists: [
      listOf(nested(attributeTable('IN', { n: attribute(1, 'IN_N', u8) }))),
      fc.array(fc.record({ n: fc.integer({ min: 0, max: 255 }) }, { noNullPrototype: true }), {
        maxLength: 5,
      }),
    ],
    nested: [
      nested(attributeTable('IN', { n: attribute(1, 'IN_N', u8), s: attribute(2, 'IN_S', nulString(7)) })),
      fc.record(
        { n: fc.integer({ min: 0, max: 255 }), s: ascii(7) },
        { requiredKeys: [], noNullPrototype: true },
      ),
    ],
  }

/** A table with a row of every type, and what depends on another row or stands in for one. */
const all = attributeTable('ALL', {
  family: attribute(100, 'ALL_FAMILY', named(u8, { ipv4: 2, ipv6: 10 }), { always: true }),
  address: attribute(101, 'ALL_ADDRESS', inetAddressUnion),
  wide: attribute(102, 'ALL_WIDE', u64, {
    instead: { number: 103, constant: 'ALL_NARROW', type: u32AsBigint },
  }),
  padding: readOnly(104, 'ALL_PAD', pad),
  told: readOnly(105, 'ALL_TOLD', u32),
  ...Object.fromEntries(
    Object.entries(samples).map(([key, [type]], index) => [key, attribute(index + 1, `ALL_${key}`, type)]),
  ),
})
const record = fc
  .record(
    {
      family: fc.constantFrom('ipv4', 'ipv6'),
      four: ipv4,
      six: ipv6,
      hasAddress: fc.boolean(),
      wide: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      unknown: fc.array(
        fc.record(
          { type: fc.integer({ min: 200, max: 0x3fff }), bytes: fc.uint8Array({ maxLength: 9 }) },
          { noNullPrototype: true },
        ),
        { minLength: 1, maxLength: 3 },
      ),
      ...Object.fromEntries(Object.entries(samples).map(([key, [, values]]) => [key, values])),
    },
    { requiredKeys: ['family', 'four', 'six', 'hasAddress'] },
  )
  .map(({ four, six, hasAddress, ...rest }) => ({
    ...rest,
    ...(hasAddress ? { address: rest.family === 'ipv4' ? four : six } : {}),
  }))

function encoded(table: Pick<AttributeTable, 'encode'>, value: object): Uint8Array {
  const writer = new Writer(16)
  table.encode(writer, value)
  return writer.bytes.slice(0, writer.length)
}
function decoded(table: Pick<AttributeTable, 'decode'>, bytes: Uint8Array): object {
  return table.decode(bytes, viewOf(bytes), 0, bytes.length)
}
const walking = (table: AttributeTable) => ({ encode: encodeWalking(table), decode: decodeWalking(table) })
function compiled(table: AttributeTable) {
  const encode = compileEncoder(table)
  const decode = compileDecoder(table)
  if (encode === undefined || decode === undefined) throw new Error('no code may be generated here')
  return { encode, decode }
}

for (const [name, [type, values]] of Object.entries(samples)) {
  t.test(`${name}: what is written is read`, async (t) => {
    const table = attributeTable('ONE', { value: attribute(7, 'ONE_VALUE', type) })
    fc.assert(
      fc.property(values, (value) => {
        assert.deepEqual(decoded(table, encoded(table, { value })), { value })
      }),
      { numRuns: runs },
    )
    t.pass()
  })
}

t.test('a record of every type comes back whole, by either codec', async (t) => {
  const [fast, slow] = [compiled(all), walking(all)]
  fc.assert(
    fc.property(record, (value) => {
      const bytes = encoded(fast, value)
      assert.deepEqual(encoded(slow, value), bytes, 'both write the same')
      assert.deepEqual(decoded(fast, bytes), value)
      assert.deepEqual(decoded(slow, bytes), value)
    }),
    { numRuns: runs },
  )
  t.pass()
})

/** Attributes of all the table's numbers and of others, some twice, with payloads of fitting and unfitting lengths. */
function stream(table: AttributeTable): fc.Arbitrary<Uint8Array> {
  const numbers = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...table.byNumber.keys(), 0) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
  )
  const payload = fc.oneof(
    ...[0, 1, 2, 4, 8, 16].map((length) => fc.uint8Array({ minLength: length, maxLength: length })),
    fc.uint8Array({ maxLength: 24 }),
    ascii(12).map((text) => new TextEncoder().encode(`${text}\0`)),
    // Something that may be nested attributes.
    fc
      .array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 8 })), { maxLength: 4 })
      .map((entries) => attributes(entries)),
  )
  return fc.array(fc.tuple(numbers, payload), { maxLength: 8 }).map((entries) => attributes(entries))
}
function attributes(entries: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const writer = new Writer()
  for (const [type, bytes] of entries) {
    const start = writer.beginAttribute(type)
    writer.append(bytes)
    writer.endAttribute(start)
  }
  return writer.bytes.slice(0, writer.length)
}

/** A value, or the kind of error: a codec has no other outcome. */
function outcome(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    if (isMalformedMessageError(error)) return 'malformed'
    throw error
  }
}

const everyTable: Record<string, AttributeTable> = {
  all,
  genericFamily,
  ...prefixed('ipvs', ipvsTables),
  ...prefixed('rtnetlink', routeTables),
  ...prefixed('conntrack', { ...tupleTables, ...flowTables }),
  ...prefixed('sockdiag', { attributes: socketAttributes }),
  ...prefixed('nfnetlink', netfilterTables),
  ...prefixed('nftables', {
    ...nftables,
    ...valueTables,
    ...expressionTables,
    ...prefixed('object', { ...objectTables, ...innerTables }),
  }),
}
function prefixed(prefix: string, tables: Record<string, AttributeTable>): Record<string, AttributeTable> {
  return Object.fromEntries(Object.entries(tables).map(([name, table]) => [`${prefix}.${name}`, table]))
}

for (const [name, table] of Object.entries(everyTable)) {
  t.test(`${name}: both codecs read the same of any bytes, or call them malformed`, async (t) => {
    const [fast, slow] = [compiled(table), walking(table)]
    const lenient = kernelTable(table)
    fc.assert(
      fc.property(fc.oneof(stream(table), fc.uint8Array({ maxLength: 64 })), (bytes) => {
        const result = outcome(() => decoded(fast, bytes))
        assert.deepEqual(
          outcome(() => decoded(slow, bytes)),
          result,
        )
        if (result === 'malformed') return
        // What was read can be written, and is read again as it was. But text may be empty, a rate absurd, and a flag that
        // can only be set is told as unset.
        let again: Uint8Array
        try {
          again = encoded(lenient, result as object)
        } catch (error) {
          if (
            !isValidationError(error) ||
            !/^a string|to 9007199254740991$|^true \(left out/.test(error.expected)
          )
            throw error
          return
        }
        assert.deepEqual(decoded(table, again), result)
      }),
      { numRuns: runs },
    )
    fc.assert(
      fc.property(stream(table), fc.nat(), (bytes, cut) => {
        const short = bytes.subarray(0, bytes.length === 0 ? 0 : cut % bytes.length)
        outcome(() => decoded(fast, short))
      }),
      { numRuns: 100 },
    )
    t.pass()
  })
}

t.test('what always comes is missed when it does not', async (t) => {
  for (const codec of [compiled(all), walking(all)]) {
    t.throws(() => decoded(codec, new Uint8Array(0)), {
      message: /ALL_FAMILY is missing/,
      code: 'ERR_VIADUCT_MALFORMED',
    })
  }
})

t.test('an attribute stands in for a newer one, and yields to it', async (t) => {
  const narrow = (value: number) => attributes([[103, new Uint8Array(new Uint32Array([value]).buffer)]])
  const wide = encoded(all, { family: 'ipv4', wide: 2n ** 40n })
  const family = encoded(all, { family: 'ipv4' })
  for (const codec of [compiled(all), walking(all)]) {
    t.match(decoded(codec, Buffer.concat([family, narrow(7)])), { wide: 7n })
    t.match(decoded(codec, Buffer.concat([wide, narrow(7)])), { wide: 2n ** 40n })
    t.match(decoded(codec, Buffer.concat([narrow(7), wide])), { wide: 2n ** 40n })
  }
})

t.test('what comes again with the same bytes is one object, and what differs in a byte is not', async (t) => {
  const inner = attributeTable('INNER', {
    count: attribute(1, 'INNER_COUNT', u64),
    text: attribute(2, 'TEXT', bytesOf()),
  })
  const tableOf = () =>
    attributeTable('OUTER', { inner: attribute(1, 'OUTER_INNER', repeated(nested(inner))) })
  const decode = (
    outer: ReturnType<typeof tableOf>,
    record: { readonly count: bigint; readonly text: Uint8Array },
  ) => {
    const writer = new Writer()
    outer.encode(writer, { inner: record })
    const bytes = writer.bytes.slice(0, writer.length)
    const read = outer.decode(bytes, viewOf(bytes), 0, bytes.length) as { readonly inner: typeof record }
    bytes.fill(0xff)
    return read.inner
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(0, 1, 200, 400)), {
        minLength: 2,
        maxLength: 20,
      }),
      async (given) => {
        const outer = tableOf()
        let before: object | undefined
        let last = ''
        let repeats = 0
        for (const [count, size] of given) {
          const record = { count: BigInt(count), text: new Uint8Array(size).fill(count) }
          const found = decode(outer, record)
          assert.deepEqual(found, record)
          repeats = last === String([count, size]) ? repeats + 1 : 0
          // Of the second on, but for what is too large to be kept.
          const isShared = repeats >= 1 && size < 256
          assert.equal(Object.isFrozen(found), isShared)
          if (repeats >= 2) assert.equal(found === before, isShared)
          before = found
          last = String([count, size])
        }
      },
    ),
  )
  const outer = tableOf()
  const wrong = new Uint8Array([8, 0, 1, 0, 4, 0, 1, 0])
  for (let round = 0; round < 3; round++) {
    t.throws(() => outer.decode(wrong, viewOf(wrong), 0, 8), { name: 'MalformedMessageError' })
  }
})

t.test('unknown attributes survive, with their flags', async (t) => {
  const bytes = attributes([
    [100, new Uint8Array([2])],
    [0x8000 | 300, new Uint8Array([1, 2, 3])],
    [0x4000 | 301, new Uint8Array(0)],
  ])
  t.same(encoded(all, decoded(all, bytes)), bytes)
})

t.test('what is only read is not written', async (t) => {
  t.same(encoded(all, { told: 5 }), new Uint8Array(0))
  t.same(decoded(all, encoded(kernelTable(all), { family: 'ipv4', told: 5 })), { family: 'ipv4', told: 5 })
})

t.test(
  'what is said by leaving the attribute out is not written, and read where the kernel says it',
  async (t) => {
    const table = attributeTable('LEFT_OUT', {
      limit: attribute(
        1,
        'LEFT_OUT_LIMIT',
        omitting(u32, (limit) => limit === 0),
      ),
      other: attribute(2, 'LEFT_OUT_OTHER', u8),
    })
    for (const codec of [compiled(table), walking(table)]) {
      t.same(encoded(codec, { limit: 0, other: 1 }), encoded(codec, { other: 1 }))
      t.same(decoded(codec, encoded(codec, { limit: 7, other: 1 })), { limit: 7, other: 1 })
      t.same(decoded(codec, encoded(kernelTable(table), { limit: 0 })), { limit: 0 })
    }
  },
)

const rows = {
  address: attribute(1, 'DEST_ADDR', ipAddress),
  weight: attribute(4, 'DEST_WEIGHT', u16),
  ports: attribute(5, 'DEST_PORTS', listOf(be16)),
}
const destination: AttributeTable = attributeTable('DEST', {
  ...rows,
  more: attribute(6, 'DEST_MORE', listOf(nested(() => destination))),
})
const top = attributeTable('TOP', {
  other: attribute(1, 'TOP_OTHER', u8),
  destination: attribute(2, 'TOP_DEST', nested(destination)),
})

t.test('a wrong value is named by its full path, with what was expected', async (t) => {
  const wrong: readonly (readonly [object, string, string])[] = [
    [{ other: 256 }, 'other', 'an integer from 0 to 255'],
    [{ other: '1' }, 'other', 'an integer from 0 to 255'],
    [{ destination: { weight: -1 } }, 'destination.weight', 'an integer from 0 to 65535'],
    [{ destination: { weight: null } }, 'destination.weight', 'an integer from 0 to 65535'],
    [{ destination: { address: '10.0.0' } }, 'destination.address', 'an IPv4 or IPv6 address as text'],
    [{ destination: 7 }, 'destination', 'an object'],
    [{ destination: null }, 'destination', 'an object'],
    [{ destination: { ports: 80 } }, 'destination.ports', 'a list, each an integer from 0 to 65535'],
    [{ destination: { ports: [80, 70000] } }, 'destination.ports[1]', 'an integer from 0 to 65535'],
    [
      { destination: { more: [{}, { weight: 1.5 }] } },
      'destination.more[1].weight',
      'an integer from 0 to 65535',
    ],
    [
      { destination: { more: [{ more: [{ ports: [1, NaN] }] }] } },
      'destination.more[0].more[0].ports[1]',
      'an integer from 0 to 65535',
    ],
  ]
  for (const [value, path, expected] of wrong) {
    for (const codec of [compiled(top), walking(top)]) {
      const writer = new Writer()
      writer.u32(1)
      t.throws(() => codec.encode(writer, value), { name: 'ValidationError', path, expected })
      t.equal(writer.length, 4, 'and nothing of it was written')
      t.throws(() => codec.encode(writer, value, 'input'), { path: `input.${path}` } as unknown as Error)
    }
  }
})

t.test('the attribute that the kernel points at is named by its path', async (t) => {
  const bytes = encoded(top, {
    other: 1,
    destination: { address: '10.0.0.1', weight: 2, unknown: [{ type: 9, bytes: new Uint8Array(4) }] },
  })
  const pathOf = (offset: number) => pathAtOffset(top, bytes, viewOf(bytes), 0, bytes.length, offset)
  t.equal(pathOf(0), 'other')
  t.equal(pathOf(8), 'destination')
  t.equal(pathOf(12), 'destination.address')
  t.equal(pathOf(20), 'destination.weight')
  t.equal(pathOf(28), 'destination.attribute 9')
  t.equal(pathOf(1000), undefined)
})

t.test('what is no attribute, or too long for one, is refused with its path', async (t) => {
  const long = new Uint8Array(65_532)
  const wrong: readonly (readonly [object, string])[] = [
    [{ unknown: 7 }, 'unknown'],
    [{ unknown: [null] }, 'unknown[0].type'],
    [
      {
        unknown: [
          { type: 1, bytes: new Uint8Array(1) },
          { type: -1, bytes: long },
        ],
      },
      'unknown[1].type',
    ],
    [{ destination: { unknown: [{ type: 9, bytes: [1] }] } }, 'destination.unknown[0].bytes'],
    [{ destination: { unknown: [{ type: 9, bytes: long }] } }, 'destination.unknown[0].bytes'],
    [{ destination: { ports: Array(10_000).fill(1) } }, 'destination.ports'],
  ]
  for (const [value, path] of wrong) {
    for (const codec of [compiled(top), walking(top)]) {
      t.throws(() => codec.encode(new Writer(), value), { name: 'ValidationError', path })
    }
  }
})

t.test('the path goes through lists', async (t) => {
  const rows = Array.from({ length: 3 }, (_, weight) => ({ weight, ports: [1, 2, 3] }))
  const bytes = encoded(top, { destination: { weight: 1, more: rows } })
  const pathOf = (offset: number) => pathAtOffset(top, bytes, viewOf(bytes), 0, bytes.length, offset)
  const paths = new Set(Array.from({ length: bytes.length / 4 }, (_, word) => pathOf(word * 4)))
  for (const at of [0, 1, 2]) {
    for (const rest of ['', '.weight', '.ports', '.ports[0]', '.ports[2]']) {
      t.ok(paths.has(`destination.more[${at}]${rest}`), `more[${at}]${rest}`)
    }
  }
})

t.test('a row that is made up at run time is everywhere at once', async (t) => {
  const more = {
    ...rows,
    colour: attribute(17, 'DEST_COLOUR', named(u8, { red: 1, green: 2 }), { since: '9.9' }),
  }
  const table = attributeTable('DEST', more)
  const outer = attributeTable('TOP', { destination: attribute(2, 'TOP_DEST', nested(table)) })
  for (const codec of [compiled(outer), walking(outer)]) {
    const bytes = encoded(codec, { destination: { weight: 3, colour: 'green' } })
    t.same(decoded(codec, bytes), { destination: { weight: 3, colour: 'green' } }, 'encoder and decoder')
    t.equal(
      pathAtOffset(outer, bytes, viewOf(bytes), 0, bytes.length, 12),
      'destination.colour',
      "the kernel's pointer",
    )
    t.throws(
      () => codec.encode(new Writer(), { destination: { colour: 'blue' } }),
      { path: 'destination.colour', expected: 'one of red, green' } as unknown as Error,
      'the error path',
    )
  }
  t.match(
    table.list.find((row) => row.number === 17),
    {
      key: 'colour',
      constant: 'DEST_COLOUR',
      since: '9.9',
      access: 'readWrite',
      type: { names: { red: 1, green: 2 } },
    },
    'metadata',
  )
  t.throws(
    () => attributeTable('DEST', { ...more, twice: attribute(17, 'DEST_TWICE', u8) }),
    /DEST_TWICE and DEST_COLOUR are both 17/,
  )
})

t.test('tables in a circle end, however deep hostile bytes go', async (t) => {
  interface Node {
    readonly inner?: Node
    readonly value?: number
  }
  const circle: AttributeTable = attributeTable('NODE', {
    inner: attribute(
      1,
      'NODE_INNER',
      nested(() => circle),
    ),
    value: attribute(2, 'NODE_VALUE', u8),
  })
  const nest = (levels: number): Uint8Array => {
    const bytes = new Uint8Array(levels * 4)
    const view = viewOf(bytes)
    for (let level = 0; level < levels; level++) {
      view.setUint16(level * 4, bytes.length - level * 4, true)
      view.setUint16(level * 4 + 2, 1, true)
    }
    return bytes
  }
  for (const codec of [compiled(circle), walking(circle)]) {
    let depth = 0
    for (let node = decoded(codec, nest(20)) as Node; node.inner !== undefined; node = node.inner) depth++
    t.equal(depth, 20)
    t.throws(() => decoded(codec, nest(16_000)), { code: 'ERR_VIADUCT_MALFORMED' })
    t.same(decoded(codec, nest(1)), { inner: {} }, 'and the next is read as if nothing had been')
  }
})

t.test('an attribute too long for its length field is refused', async (t) => {
  const table = attributeTable('LONG', { list: attribute(1, 'LONG_LIST', listOf(bytesOf(0, 60_000))) })
  t.throws(
    () => encoded(table, { list: [new Uint8Array(40_000), new Uint8Array(40_000)] }),
    /at most 65531 bytes/,
  )
})

t.test('what stands beside the attributes comes first, by either codec', (t) => {
  const table = attributeTable('PART', {
    count: attribute(1, 'PART_COUNT', u32),
    text: attribute(2, 'PART_TEXT', nulString(9)),
  })
  const bytes = encoded(table, { count: 3 })
  const constants = { name: 'counter' }
  for (const decode of [table.decoderWith(constants), decodeWalking(table, constants)]) {
    const record = decode(bytes, viewOf(bytes), 0, bytes.length)
    t.same(record, { name: 'counter', count: 3 })
    t.same(Object.keys(record)[0], 'name')
  }
  t.end()
})

t.test('names and addresses that are told apart by their bytes alone', (t) => {
  const table = attributeTable('NAMED', {
    text: attribute(1, 'NAMED_TEXT', nulString(99)),
    address: attribute(2, 'NAMED_ADDRESS', ipAddress),
  })
  // More than are kept of either, and each of them twice.
  for (let index = 0; index < 6000; index++) {
    const number = index % 3000
    const record = {
      text: `name-${number}${'x'.repeat(number % 80)}`,
      address: `10.${number >> 8}.0.${number & 255}`,
    }
    if (JSON.stringify(decoded(table, encoded(table, record))) !== JSON.stringify(record)) t.fail(record.text)
  }
  t.same(decoded(table, encoded(table, { text: 'a'.repeat(99) })), { text: 'a'.repeat(99) })
  t.end()
})

t.test('where code may not be generated, tables are walked', async (t) => {
  const generate = globalThis.Function
  try {
    globalThis.Function = function refuse() {
      throw new EvalError('Code generation from strings disallowed for this context')
    } as unknown as FunctionConstructor
    const table = attributeTable('ALL', all.rows)
    t.equal(compileEncoder(table), undefined)
    t.same(decoded(table, encoded(table, { family: 'ipv6', wide: 5n })), { family: 'ipv6', wide: 5n })
  } finally {
    globalThis.Function = generate
  }
})

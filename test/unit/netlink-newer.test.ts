/** What a kernel is too old for is told by the rows of the tables, where they explain its refusal. */
import t from 'tap'
import { isKernelError, isUnsupportedError } from '../../src/errors/index.js'
import {
  attribute,
  type AttributeTable,
  attributeTable,
  bits,
  Connection,
  listOf,
  named,
  nested,
  u32,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'
import { isOlder, newerParts, newestCause } from '../../src/netlink/newer.js'
import { type FakeAnswer, FakeKernel } from '../../src/testing/index.js'
import { chain, elements, rule, set, table } from '../../src/nftables/wire.js'

/** A kernel that will not be for long. */
const far = '999.0'
const part = attributeTable('PART', {
  old: attribute(1, 'PART_OLD', u32),
  recent: attribute(2, 'PART_RECENT', u32, { since: far }),
})
const thing = attributeTable('THING', {
  mode: attribute(1, 'THING_MODE', named(u32, { plain: 0, fancy: 1 }, { fancy: far })),
  flags: attribute(2, 'THING_FLAGS', bits(u32, { loud: 1, quiet: 2 }, { quiet: '998.5' })),
  parts: attribute(3, 'THING_PARTS', listOf(nested(part))),
  other: attribute(4, 'THING_OTHER', u32),
})
const headerBytes = 16

function encoded(of: AttributeTable, record: object): Uint8Array {
  const writer = new Writer()
  of.encode(writer, record)
  return writer.bytes.slice(0, writer.length)
}

function newer(of: AttributeTable, record: object, kernel?: string) {
  const bytes = encoded(of, record)
  return newerParts(of, bytes, viewOf(bytes), 0, bytes.length, kernel)
}

t.test('rows, values, flags and what is in lists are found by their paths', (t) => {
  t.same(newer(thing, { mode: 'plain', flags: ['loud'], parts: [{ old: 1 }], other: 3 }), [])
  t.same(newer(thing, { mode: 'fancy', flags: ['loud', 'quiet'], parts: [{ old: 1 }, { recent: 2 }] }), [
    { path: 'mode', value: 'fancy', since: far },
    { path: 'flags', value: 'quiet', since: '998.5' },
    { path: 'parts[1].recent', since: far },
  ])
  t.same(newer(thing, { mode: 'fancy', flags: ['quiet'] }, '998.7.3-arch'), [
    { path: 'mode', value: 'fancy', since: far },
  ])
  t.end()
})

t.test('what nf_tables has gained since Linux 6.1 is known', (t) => {
  const kernel = '6.1.0-50-amd64'
  const inRule = (...expressions: object[]) => newer(rule, { table: 't', chain: 'c', expressions }, kernel)
  t.same(newer(table, { name: 't', flags: ['owner', 'persist'] }, kernel), [
    { path: 'flags', value: 'persist', since: '6.9' },
  ])
  t.same(inRule({ name: 'counter' }, { name: 'inner', number: 0, type: 'vxlan' }), [
    { path: 'expressions[1].name', value: 'inner', since: '6.2' },
  ])
  t.same(inRule({ name: 'bitwise', sourceRegister: 1, operation: 'and', secondSourceRegister: 2 }), [
    { path: 'expressions[0].data.operation', value: 'and', since: '6.13' },
    { path: 'expressions[0].data.secondSourceRegister', since: '6.13' },
  ])
  t.same(inRule({ name: 'meta', key: 'broute', sourceRegister: 1 }), [
    { path: 'expressions[0].data.key', value: 'broute', since: '6.4' },
  ])
  t.same(newer(chain, { table: 't', name: 'c', hook: { number: 0, devices: ['lo', 'eth*'] } }, kernel), [
    { path: 'hook.devices', value: 'eth*', since: '6.17' },
  ])
  t.same(newer(set, { table: 't', name: 's', flags: ['concatenation'] }, kernel), [])
  t.same(
    newer(
      elements,
      { table: 't', set: 's', elements: [{ expression: { name: 'last' } }, { flags: ['catch-all'] }] },
      '5.10.0',
    ),
    [
      { path: 'elements[0].expression.name', value: 'last', since: '5.14' },
      { path: 'elements[1].flags', value: 'catch-all', since: '5.13' },
    ],
  )
  t.end()
})

t.test('only what the kernel points at explains its refusal, and only some errors do', (t) => {
  const parts = [
    { path: 'expressions[1].data.operation', value: 'and', since: '6.13' },
    { path: 'flags', since: '6.2' },
  ]
  const cause = (errno: number, blamed?: string) => newestCause(errno, blamed, () => parts)?.since
  t.equal(cause(-22), '6.13', 'the newest of all, where it points at none')
  t.equal(cause(-95, 'expressions[1]'), '6.13')
  t.equal(cause(-22, 'expressions[1].data.operation'), '6.13')
  t.equal(cause(-22, 'flags'), '6.2')
  t.equal(cause(-2, 'expressions[1]'), '6.13')
  t.equal(cause(-22, 'expressions[0]'), undefined)
  t.equal(cause(-22, 'expressions[10]'), undefined)
  t.equal(cause(-2), undefined, 'much else may be missing')
  t.equal(cause(-17), undefined)
  t.equal(cause(-1), undefined)
  t.end()
})

t.test('releases are compared by their numbers', (t) => {
  t.ok(isOlder('6.1.0-50-amd64', '6.13'))
  t.ok(isOlder('5.15.0', '6.1'))
  t.notOk(isOlder('6.13.0', '6.13'))
  t.notOk(isOlder('6.13-rc1', '6.13'))
  t.notOk(isOlder('7.0', '6.18'))
  t.end()
})

t.test('a refusal says what is needed, and keeps what the kernel said', async (t) => {
  const set = (record: object, answer: FakeAnswer) => {
    const connection = new Connection(new FakeKernel({ handle: () => answer }))
    return connection
      .execute({
        operation: 'thing.set',
        object: record,
        table: thing,
        headerBytes,
        write(writer, flags, sequence) {
          const start = writer.beginMessage(40, flags, sequence)
          thing.encode(writer, record)
          writer.endMessage(start)
        },
      })
      .then(
        () => undefined,
        (error: unknown) => error,
      )
  }
  const unsupported = await set({ other: 1, mode: 'fancy' }, { code: 'EOPNOTSUPP' })
  t.ok(isUnsupportedError(unsupported))
  t.match(unsupported, {
    feature: 'thing.set: mode "fancy"',
    needs: `Linux ≥ ${far}`,
    cause: { code: 'EOPNOTSUPP', operation: 'thing.set' },
  })
  // The mode comes first: 8 bytes.
  t.ok(isUnsupportedError(await set({ mode: 'fancy', other: 1 }, { code: 'EINVAL', offset: headerBytes })))
  const elsewhere = await set({ mode: 'fancy', other: 1 }, { code: 'EINVAL', offset: headerBytes + 8 })
  t.ok(isKernelError(elsewhere, 'EINVAL'), 'it points at something else')
  t.ok(isKernelError(await set({ mode: 'fancy' }, { code: 'EEXIST' }), 'EEXIST'))
  t.ok(isKernelError(await set({ mode: 'plain' }, { code: 'EINVAL' }), 'EINVAL'))
  t.ok(
    isKernelError(await set({ mode: 'fancy' }, { code: 'EOPNOTSUPP', message: 'Unknown device type' })),
    'it says another reason',
  )
})

/** Transactions and readings against a kernel that is a function: what a real one cannot be made to do. */
import t from 'tap'
import { isBatchError } from '../../src/errors/index.js'
import { NLM_F_ACK, viewOf, Writer } from '../../src/netlink/index.js'
import { NFTA_EXPR_DATA, NFTA_EXPR_NAME } from '../../src/nftables/expression.js'
import { inner } from '../../src/nftables/expressions/inner.js'
import {
  type Expression,
  formatExpression,
  formatRule,
  Nftables,
  type UnknownExpression,
} from '../../src/nftables/index.js'
import { objectTables } from '../../src/nftables/objects.js'
import { devices } from '../../src/nftables/values.js'
import { kinds } from '../../src/nftables/kinds.js'
import { element, elements, generation, rule, table as tableAttributes } from '../../src/nftables/wire.js'
import { type FakeAnswer, FakeKernel, fakeReply, type FakeRequest } from '../../src/testing/index.js'

const attributesAt = 20
const begin = 16
const end = 17
const newTable = 10 << 8
const newGeneration = (10 << 8) | 15
const getGeneration = (10 << 8) | 16

async function open(handle: (request: FakeRequest) => FakeAnswer, strays = true) {
  const kernel = new FakeKernel({
    strays,
    handle: (request) =>
      request.type === getGeneration
        ? [
            {
              type: newGeneration,
              payload: Uint8Array.of(0, 0, 0, 0, ...fakeReply(generation, { id: 7 }).payload),
            },
          ]
        : handle(request),
  })
  const nftables = await Nftables.open({ transport: kernel })
  kernel.requests.length = 0
  return { kernel, nftables }
}

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

t.test('a transaction is one send, acknowledged by its last message', async (t) => {
  const { kernel, nftables } = await open(() => undefined)
  const transaction = nftables.transaction()
  transaction
    .add('table', { family: 'inet', name: 'a' })
    .add('table', { family: 'ip', name: 'b', comment: 'hm' })
  t.same(await transaction.commit(), { made: new Map(), lost: false })
  t.same(
    kernel.requests.map(({ type, flags }) => [type, (flags & NLM_F_ACK) !== 0]),
    [
      [begin, false],
      [newTable, false],
      [newTable, true],
      [end, false],
    ],
  )
  t.match(kernel.requests[2]!.decode(tableAttributes, attributesAt), { name: 'b' })
  kernel.requests.length = 0
  await transaction.check()
  t.same(
    kernel.requests.map(({ type }) => type),
    [begin, newTable, newTable],
    'without an end it is tried only',
  )
  kernel.requests.length = 0
  t.same(await nftables.transaction().commit(), { made: new Map(), lost: false })
  t.same(kernel.requests, [], 'nothing is nothing')
})

t.test('every operation that failed is told, and that nothing was done', async (t) => {
  const { nftables } = await open((request) => {
    if (request.type !== newTable) return undefined
    const { name } = request.decode(tableAttributes, attributesAt)
    return name === 'good' ? undefined : { code: 'EEXIST', offset: attributesAt }
  })
  const transaction = nftables.transaction()
  for (const name of ['bad', 'good', 'worse', 'good']) transaction.create('table', { family: 'inet', name })
  const error = await failure(transaction.commit())
  t.ok(isBatchError(error))
  if (!isBatchError(error)) return
  t.match(error, {
    applied: 0,
    message: /2 of 4 operations failed, and none was done; first, number 0: EEXIST/,
  })
  t.match(error.failures, [
    {
      index: 0,
      operation: 'nftables.createTable',
      object: { name: 'bad' },
      error: { attribute: { path: 'name' } },
    },
    { index: 2, object: { name: 'worse' } },
  ])
})

t.test('what is asked while a transaction is written comes between, and nothing is mixed up', async (t) => {
  const { kernel, nftables } = await open(({ type, payload }) =>
    type === newTable && payload.includes(98) ? { code: 'EEXIST' } : undefined,
  )
  const generations: Promise<number>[] = []
  function* elements() {
    yield { key: Uint8Array.of(1) }
    generations.push(nftables.generation())
    yield { key: Uint8Array.of(2) }
  }
  const error = await failure(
    nftables
      .transaction()
      .add('table', { family: 'ip', name: 'a' })
      .add('elements', { family: 'ip', table: 'a', set: 's', elements: elements() })
      .create('table', { family: 'ip', name: 'b' })
      .commit(),
  )
  t.ok(isBatchError(error))
  t.match(error, { failures: [{ index: 2, operation: 'nftables.createTable', error: { code: 'EEXIST' } }] })
  t.same(await Promise.all(generations), [7])
  t.same(
    kernel.requests.map(({ type }) => type),
    [getGeneration, begin, newTable, (10 << 8) | 12, newTable, end],
  )
})

t.test('what is wrong with the whole is told of the whole', async (t) => {
  let code = 'EPERM'
  const { kernel, nftables } = await open((request) => (request.type === begin ? { code } : undefined), false)
  const transaction = nftables.transaction().add('table', { family: 'inet', name: 'a' })
  // The kernel says nothing of what is behind a begin that it refuses.
  kernel.disturb({ replies: (bytes) => bytes.subarray(0, new DataView(bytes.buffer).getUint32(0, true)) })
  t.match(await failure(transaction.commit()), { code: 'EPERM', hint: /CAP_NET_ADMIN/ })
  code = 'ERESTART'
  t.match(await failure(transaction.commit({ ifGeneration: 6 })), {
    code: 'ERESTART',
    kernelMessage: /changed since that generation/,
  })
})

t.test('what is wrong with the end is told of the whole, and what is left out is told', async (t) => {
  const { nftables } = await open((request) => (request.type === end ? { code: 'ENOMEM' } : undefined))
  const transaction = nftables.transaction().add('table', { family: 'inet', name: 'a' })
  t.match(await failure(transaction.commit()), { code: 'ENOMEM', operation: 'nftables.commit' })
  t.match(
    await failure(
      nftables.elements({ family: 'inet', table: 't', name: 's', elements: [{ key: Uint8Array.of(1) }] }),
    ),
    {
      code: 'ERR_VIADUCT_MALFORMED',
      message: /without the elements/,
    },
  )
})

t.test('before Linux 6.3 what is to be destroyed is looked for, and deleted if it is there', async (t) => {
  const { delete: deleteTable, destroy: destroyTable, get: getTable } = kinds.table.messages
  const about = (message: number): number => (10 << 8) | message
  const { kernel, nftables } = await open((request) => {
    if (request.type === about(destroyTable)) return { code: 'EINVAL' }
    if (request.type !== about(getTable)) return undefined
    const { name } = request.decode(tableAttributes, attributesAt)
    if (name !== 'there') return { code: 'ENOENT' }
    return [fakeReply(tableAttributes, { name }, { type: newTable, header: new Uint8Array(4) })]
  })
  await nftables
    .transaction()
    .destroy('table', { family: 'inet', name: 'nowhere' })
    .destroy('table', { family: 'inet', name: 'there' })
    .add('table', { family: 'inet', name: 'new' })
    .commit()
  const last = kernel.requests.slice(kernel.requests.findLastIndex(({ type }) => type === begin))
  t.same(
    last.slice(1, -1).map((request) => [request.type, request.decode(tableAttributes, attributesAt).name]),
    [
      [about(deleteTable), 'there'],
      [newTable, 'new'],
    ],
  )
})

/** A kernel before Linux 6.3: it has what `there` says. */
function older(there: (name: string) => boolean, commits: (name: string) => FakeAnswer = () => undefined) {
  const { delete: deleteTable, destroy: destroyTable, get: getTable } = kinds.table.messages
  return open((request) => {
    if (request.type === ((10 << 8) | destroyTable)) return { code: 'EINVAL' }
    if (request.type === begin) return commits('begin')
    const name = String(request.decode(tableAttributes, attributesAt).name)
    if (request.type === ((10 << 8) | deleteTable) || request.type === newTable) return commits(name)
    if (request.type !== ((10 << 8) | getTable)) return undefined
    if (!there(name)) return { code: 'ENOENT' }
    return [fakeReply(tableAttributes, { name }, { type: newTable, header: new Uint8Array(4) })]
  })
}

t.test('what goes between looking and deleting is looked for again, some times', async (t) => {
  let isThere = true
  let refused = 0
  const { kernel, nftables } = await older(
    () => isThere,
    (name) => {
      if (name !== 'begin' || !isLooked()) return undefined
      isThere = false
      return refused-- > 0 ? { code: 'ERESTART' } : undefined
    },
  )
  const about = (message: number): number => (10 << 8) | message
  const isLooked = (): boolean => kernel.requests.some(({ type }) => type === about(kinds.table.messages.get))
  const transaction = nftables
    .transaction()
    .destroy('table', { family: 'inet', name: 'a' })
    .add('table', { family: 'inet', name: 'b' })
  refused = 1
  await transaction.commit()
  const sent = kernel.requests.filter(
    ({ type }) => type === about(kinds.table.messages.delete) || type === newTable,
  )
  t.same(
    sent.map(({ type }) => type),
    [newTable, about(kinds.table.messages.delete), newTable, newTable],
    'with destroy, with what was there, and without what had gone',
  )
  refused = 1000
  t.match(await failure(transaction.commit()), { code: 'ERESTART' }, 'with an end')
  refused = 1
  kernel.requests.length = 0
  t.match(await failure(transaction.commit({ ifGeneration: 7 })), { code: 'ERESTART' })
  t.equal(
    kernel.requests.filter(({ type }) => type === begin).length,
    2,
    'whose generation the caller gave is told at once',
  )
})

t.test('failures have the number of the operation, whatever was sent for it', async (t) => {
  const { nftables } = await older(
    () => false,
    (name) => (name === 'bad' ? { code: 'EBUSY' } : undefined),
  )
  const transaction = nftables
    .transaction()
    .destroy('table', { family: 'inet', name: 'nowhere' })
    .add('table', { family: 'inet', name: 'bad' })
  t.match(await failure(transaction.commit()), { failures: [{ index: 1, object: { name: 'bad' } }] })
})

t.test('no answer, and one of which some was lost', async (t) => {
  const { kernel, nftables } = await open(() => undefined)
  const transaction = nftables.transaction().add('table', { family: 'inet', name: 'a' })
  kernel.disturb({ replies: () => new Uint8Array() }, { replies: () => new Uint8Array(), lost: 1 }, {})
  t.match(await failure(transaction.commit()), {
    code: 'ENOBUFS',
    kernelMessage: /did not answer, .* unknown/,
  })
  t.match(await failure(transaction.commit()), { code: 'ENOBUFS', kernelMessage: /was lost, .* unknown/ })
  await transaction.commit()
})

t.test('what cannot be meant is refused before anything is sent', async (t) => {
  const { kernel, nftables } = await open(() => undefined)
  const wrong: [unknown, string][] = [
    [{ family: 'inet', table: 't', name: 'c', hook: 'nowhere' }, 'hook'],
    [{ family: 'arp', table: 't', name: 'c', hook: 'prerouting' }, 'hook'],
    [{ family: 'ip', table: 't', name: 'c', hook: 'ingress' }, 'hook'],
    [{ family: 'netdev', table: 't', name: 'c', hook: 'ingress', devices: ['eth0', 7] }, 'devices'],
    [{ family: 'netdev', table: 't', name: 'c', hook: 'ingress', device: 'x'.repeat(16) }, 'device'],
    [{ family: 'inet', table: 't', name: 'c', type: 'nat' }, 'type'],
    [{ family: 'inet', table: 't', name: 'c', hook: 'input', priority: 'out' }, 'priority'],
    [{ family: 'inet', table: 't', name: 'c'.repeat(256) }, 'name'],
    [{ family: 'inet', table: 't', name: 'c', comment: 'x'.repeat(254) }, 'comment'],
  ]
  for (const [chain, path] of wrong) {
    const error = await failure(
      (async () =>
        nftables
          .transaction()
          .add('table', { family: 'inet', name: 't' })
          .add('chain', chain as never)
          .commit())(),
    )
    t.match(error, { name: 'ValidationError', path: `operations[1].chain.${path}` })
  }
  const rule = {
    family: 'inet',
    table: 't',
    chain: 'c',
    expressions: [{ name: 'counter' }, { name: 'meta', key: 'nix' }],
  }
  t.match(
    await failure(
      nftables
        .transaction()
        .add('rule', rule as never)
        .commit(),
    ),
    {
      name: 'ValidationError',
      path: 'operations[0].rule.expressions[1].key',
    },
  )
  const where = { family: 'inet', table: 't', set: 's' } as const
  // So many that they go in several messages.
  const elements: object[] = Array.from({ length: 2000 }, () => ({ key: new Uint8Array(64) }))
  for (const [element, path] of [
    [{ key: new Uint8Array(65) }, 'key'],
    [{ key: new Uint8Array(4), comment: 'x'.repeat(254) }, 'comment'],
  ] as const) {
    const bad = { ...where, elements: [...elements, element] }
    t.match(await failure(nftables.transaction().add('elements', bad).commit()), {
      name: 'ValidationError',
      path: `operations[0].elements.elements[2000].${path}`,
    })
  }
  t.same(kernel.requests, [])
})

t.test('what a kernel cannot reset is told with the version that can', async (t) => {
  const getRule = (10 << 8) | 7
  const newRule = (10 << 8) | 6
  const told = {
    type: newRule,
    payload: Uint8Array.of(
      ...[1, 0, 0, 0],
      ...fakeReply(rule, { table: 't', chain: 'c', handle: 7 }).payload,
    ),
  }
  const { kernel, nftables } = await open(({ type }) => (type === getRule ? [told] : { code: 'EINVAL' }))
  t.match(await failure(nftables.resetRules()), {
    name: 'UnsupportedError',
    needs: 'Linux ≥ 6.2',
    cause: { operation: 'nftables.resetRule', object: { chain: 'c', handle: 7 } },
  })
  kernel.requests.length = 0
  const isWrong = nftables.resetElements({
    ...{ family: 'inet', table: 't', name: 's' },
    elements: [{ key: Uint8Array.of(1) }],
  })
  t.match(await failure(isWrong), { code: 'EINVAL', operation: 'nftables.getElements' }, 'or what is wrong')
})

t.test('a set of which some elements came twice is read again', async (t) => {
  const element = (number: number) => ({ key: Uint8Array.of(number) })
  const part = (...keys: readonly number[]) => ({
    type: (10 << 8) | 12,
    payload: Uint8Array.of(
      2,
      0,
      0,
      0,
      ...fakeReply(elements, { table: 't', set: 's', elements: keys.map(element) }).payload,
    ),
  })
  const set = { family: 'ip', table: 't', name: 's' } as const
  const answers = [
    [part(1, 2), part(2, 3)],
    [part(1, 2), part(3, 4)],
  ]
  const { kernel, nftables } = await open(() => answers.shift())
  t.same((await nftables.elements(set)).elements, [1, 2, 3, 4].map(element))
  t.equal(kernel.requests.length, 2)

  const restless = await open(() => [part(1, 2), part(2, 3)])
  t.same((await restless.nftables.elements(set)).elements, [1, 2, 3].map(element), 'each once at last')
})

t.test('expressions in expressions end, however deep hostile bytes go', async (t) => {
  const nest = (levels: number): Uint8Array => {
    const writer = new Writer()
    const starts: number[] = []
    for (let level = 0; level < levels; level++) {
      starts.push(writer.beginAttribute(inner.rows.expression.number))
      const name = writer.beginAttribute(NFTA_EXPR_NAME)
      writer.append(new TextEncoder().encode('inner\0'))
      writer.endAttribute(name)
      starts.push(writer.beginAttribute(NFTA_EXPR_DATA))
    }
    for (const start of starts.reverse()) writer.endAttribute(start)
    return writer.bytes.slice(0, writer.length)
  }
  const decode = (bytes: Uint8Array): unknown => inner.decode(bytes, viewOf(bytes), 0, bytes.length)
  t.same(decode(nest(2)), { expression: { name: 'inner', expression: { name: 'inner' } } })
  t.throws(() => decode(nest(3000)), { code: 'ERR_VIADUCT_MALFORMED', message: /nested more than/ })
  t.same(decode(nest(1)), { expression: { name: 'inner' } }, 'and the next is read as if nothing had been')
})

t.test('every option of a geneve tunnel is written and read', (t) => {
  const { tunnel } = objectTables
  const options = {
    geneve: [
      { class: 1, type: 2, data: Uint8Array.of(1, 2, 3, 4) },
      { class: 1, type: 3, data: Uint8Array.of(5, 6, 7, 8) },
    ],
  }
  const writer = new Writer()
  tunnel.encode(writer, { id: 7, options })
  const bytes = writer.bytes.slice(0, writer.length)
  t.same(tunnel.decode(bytes, viewOf(bytes), 0, bytes.length), { id: 7, options })

  const one = (type: number, last: number): number[] => [
    ...[6, 0, 1, 0, 0, 1, 0, 0],
    ...[5, 0, 2, 0, type, 0, 0, 0],
    ...[8, 0, 3, 0, last - 3, last - 2, last - 1, last],
  ]
  // As Linux tells them until 6.15: all in one nest.
  const together = Uint8Array.of(56, 0, 9, 0x80, 52, 0, 3, 0, ...one(2, 4), ...one(3, 8))
  t.same(tunnel.decode(together, viewOf(together), 0, together.length), { options })
  const wrong = { options: { geneve: [options.geneve[0]!, { class: 70_000 }] } }
  t.throws(() => tunnel.encode(new Writer(), wrong), { path: 'options.geneve[1].class' } as never)
  t.throws(() => tunnel.encode(new Writer(), { options: { geneve: 7 as never } }), {
    path: 'options.geneve',
  } as never)
  t.end()
})

t.test('a key is no verdict, whoever says so', (t) => {
  const key = { code: 'drop' } as const
  t.throws(() => element.encode(new Writer(), { key }), { path: 'key' } as never)
  const writer = new Writer()
  // Data of maps may be one: the same bytes under the key's number.
  element.encode(writer, { data: key })
  const bytes = writer.bytes.slice(0, writer.length)
  viewOf(bytes).setUint16(2, viewOf(bytes).getUint16(2, true) - 1, true)
  t.throws(() => element.decode(bytes, viewOf(bytes), 0, bytes.length), {
    code: 'ERR_VIADUCT_MALFORMED',
  })
  t.end()
})

t.test('devices are named, or by what their names begin with', async (t) => {
  const writer = new Writer()
  devices.write(writer, ['eth0', 'eth*'], {})
  const bytes = writer.bytes.slice(0, writer.length)
  const named = [9, 0, 1, 0, ...Buffer.from('eth0\0\0\0\0')]
  const prefix = [8, 0, 2, 0, ...Buffer.from('eth\0')]
  t.same([...bytes], [...named, ...prefix])
  t.same(devices.read(bytes, viewOf(bytes), 0, bytes.length, {}), ['eth0', 'eth*'])
})

t.test('expressions are printed in the words of libnftnl', async (t) => {
  const printed: readonly (readonly [Expression | UnknownExpression, string])[] = [
    [{ name: 'queue', number: 3, total: 4, flags: ['bypass', 'fanout'] }, 'queue num 3-6 bypass fanout'],
    [{ name: 'queue', numberRegister: 1, flags: [] }, 'queue sreg_qnum 1'],
    [{ name: 'last', isSet: 1, milliseconds: 700 }, 'last 700'],
    [{ name: 'last', isSet: 0 }, 'last never'],
    [{ name: 'flow_offload', flowtable: 'f' }, 'flow_offload flowtable f'],
    [{ name: 'tunnel', key: 'id', destinationRegister: 1 }, 'tunnel load id => reg 1'],
    [{ name: 'match', extension: 'mark', revision: 1 }, 'match name mark rev 1'],
    [{ name: 'target', extension: 'MARK', revision: 2 }, 'target name MARK rev 2'],
    [
      {
        name: 'inner',
        type: 'vxlan',
        headerSize: 8,
        flags: ['header-size', 'network'],
        expression: { name: 'meta', key: 'protocol', destinationRegister: 1 } as Expression,
      },
      'inner type vxlan hdrsize 8 flags 5 [ meta load protocol => reg 1 ]',
    ],
    [
      {
        name: 'bitwise',
        operation: 'and',
        sourceRegister: 1,
        destinationRegister: 2,
        secondSourceRegister: 9,
        length: 4,
      },
      'bitwise reg 2 = ( reg 1 & reg 9 )',
    ],
    [{ name: 'meta', key: 'ibrname', destinationRegister: 8 }, 'meta load bri_iifname => reg 8'],
    [
      { name: 'immediate', destinationRegister: 0, data: { code: 'goto', chainId: 7 } },
      'immediate reg 0 goto -> id 7',
    ],
    [
      { name: 'lookup', set: 's', sourceRegister: 1, flags: ['inverted', 'bit-31'] as never },
      'lookup reg 1 set s 0x80000001',
    ],
    [{ name: 'tomorrow', data: Uint8Array.of(1) }, 'tomorrow'],
    [{ name: 'constructor' }, 'constructor'],
  ]
  for (const [expression, text] of printed) t.equal(formatExpression(expression), `[ ${text} ]`)
  const rule = {
    family: 'inet',
    table: 't',
    chain: 'c',
    handle: 3,
    previous: 2,
    expressions: [{ name: 'notrack' }],
  } as const
  t.equal(
    formatRule({ ...rule, userData: Uint8Array.of(0, 2, 104, 0) }),
    'inet t c 3 2\n  [ notrack ]\n  userdata = { \\x00\\x02h\\x00 }',
  )
})

/** Transactions and readings against a kernel that is a function: what a real one cannot be made to do. */
import t from 'tap'
import { isBatchError } from '../../src/errors/index.js'
import { NLM_F_ACK } from '../../src/netlink/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { generation, table as tableAttributes } from '../../src/nftables/wire.js'
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
    [{ family: 'inet', table: 't', name: 'c', hook: 'nowhere' }, 'chain.hook'],
    [{ family: 'arp', table: 't', name: 'c', hook: 'prerouting' }, 'chain.hook'],
    [{ family: 'inet', table: 't', name: 'c', type: 'nat' }, 'chain.type'],
    [{ family: 'inet', table: 't', name: 'c', hook: 'input', priority: 'out' }, 'priority'],
    [{ family: 'inet', table: 't', name: 'c'.repeat(256) }, 'name'],
    [{ family: 'inet', table: 't', name: 'c', comment: 'x'.repeat(254) }, 'comment'],
  ]
  for (const [chain, path] of wrong) {
    const error = await failure(
      (async () =>
        nftables
          .transaction()
          .add('chain', chain as never)
          .commit())(),
    )
    t.match(error, { name: 'ValidationError', path })
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
      path: 'expressions[1].key',
    },
  )
  t.same(kernel.requests, [])
})

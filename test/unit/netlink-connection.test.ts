/** Requests, dumps and batches against a kernel that is a function. */
import assert from 'node:assert/strict'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { isBatchError, isKernelError, type KernelError } from '../../src/errors/index.js'
import {
  attribute,
  attributeTable,
  type BatchCodec,
  type CallOptions,
  Connection,
  nulString,
  type ReadReply,
  type Request,
  type Transport,
  u32,
} from '../../src/netlink/index.js'
import {
  type FakeAnswer,
  FakeKernel,
  type FakeKernelOptions,
  fakeReply,
  type FakeRequest,
} from '../../src/testing/index.js'

const thing = attributeTable('THING', {
  id: attribute(1, 'THING_ID', u32, { always: true }),
  name: attribute(2, 'THING_NAME', nulString(15)),
})
const headerBytes = 16
const type = 40

function about(
  record: { readonly id: number; readonly name?: string | undefined },
  operation = 'thing.set',
): Request {
  return {
    operation,
    object: record,
    table: thing,
    headerBytes,
    write(writer, flags, sequence) {
      const start = writer.beginMessage(type, flags, sequence)
      thing.encode(writer, record)
      writer.endMessage(start)
    },
  }
}
const read: ReadReply<number> = (bytes, view, offset, end) =>
  (thing.decode(bytes, view, offset, end) as { id: number }).id

const things: BatchCodec<{ readonly id: number }> = {
  write(writer, flags, sequence, item) {
    about(item).write(writer, flags, sequence)
  },
  target: (item) => ({ operation: 'thing.add', object: item, table: thing, headerBytes }),
}

function open(
  handle: (request: FakeRequest) => FakeAnswer,
  options: Omit<FakeKernelOptions, 'handle'> & { readonly lastSequence?: number | undefined } = {},
) {
  const kernel = new FakeKernel({ handle, ...options })
  return { kernel, connection: new Connection(kernel, { lastSequence: options.lastSequence }) }
}
const idOf = (request: FakeRequest): number => request.decode(thing, headerBytes).id ?? -1

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

for (const synchronous of [true, false]) {
  const way = synchronous ? 'at once' : 'later'

  t.test(`answered ${way}: done, refused, and told by whom`, async (t) => {
    const { connection, kernel } = open(
      (request) =>
        idOf(request) === 1
          ? undefined
          : { code: 'ENOENT', message: 'no such thing', offset: headerBytes + 8 },
      { synchronous },
    )
    await connection.execute(about({ id: 1 }))
    const error = await failure(connection.execute(about({ id: 2, name: 'x' })))
    t.match(error, {
      code: 'ENOENT',
      errno: -2,
      operation: 'thing.set',
      object: { id: 2, name: 'x' },
      attribute: { path: 'name', offset: 24 },
      kernelMessage: 'no such thing',
      message: 'ENOENT: thing.set (id=2 name=x): name: no such thing',
    })
    t.match(error.stack, /netlink-connection\.test/, "the stack holds the caller's line")
    t.same(
      kernel.requests.map((request) => [request.type, request.sequence]),
      [
        [type, 1],
        [type, 2],
      ],
    )
    connection.close()
    t.ok(kernel.closed)
    t.match(await failure(connection.execute(about({ id: 1 }))), { code: 'EBADF', operation: 'thing.set' })
  })

  t.test(`answered ${way}: queries give what is answered, in order`, async (t) => {
    const { connection } = open(
      (request) => [10, 20].map((more) => fakeReply(thing, { id: idOf(request) + more })),
      { synchronous },
    )
    t.same(await connection.query(about({ id: 1 }), read), [11, 21])
    const many = await Promise.all([1, 2, 3, 4].map((id) => connection.query(about({ id }), read)))
    t.same(many, [
      [11, 21],
      [12, 22],
      [13, 23],
      [14, 24],
    ])
  })

  t.test(`answered ${way}: batches at the same time do not read each other's replies`, async (t) => {
    const { connection } = open((request) => (idOf(request) % 7 === 0 ? { code: 'EEXIST' } : undefined), {
      synchronous,
    })
    const items = (from: number) => Array.from({ length: 50 }, (_, index) => ({ id: from + index }))
    const outcomes = await Promise.all([0, 1000, 2000].map((from) => connection.batch(items(from), things)))
    for (const [index, { applied, failures, notSent }] of outcomes.entries()) {
      const bad = items(index * 1000).filter(({ id }) => id % 7 === 0)
      t.equal(applied, 50 - bad.length)
      t.equal(notSent, 0)
      t.same(
        failures.map(({ object }) => object),
        bad,
      )
    }
  })
}

t.test('a missing attribute is named', async (t) => {
  const { connection } = open(() => ({ code: 'EINVAL', missing: 2 }))
  t.match(await failure(connection.execute(about({ id: 1 }))), { attribute: { path: 'name' } })
})

t.test('numbers are used up and begin anew', async (t) => {
  const { connection, kernel } = open(() => undefined, { lastSequence: 0x7fff_fffd })
  for (let round = 0; round < 4; round++) await connection.execute(about({ id: round }))
  t.same(
    kernel.requests.map(({ sequence }) => sequence),
    [0x7fff_fffe, 0x7fff_ffff, 1, 2],
  )
  const again = open((request) => (idOf(request) === 3 ? { code: 'EPERM' } : undefined), {
    lastSequence: 0x7fff_ff00,
  })
  const { failures } = await again.connection.batch(
    [1, 2, 3].map((id) => ({ id })),
    things,
  )
  t.match(failures, [{ index: 2, object: { id: 3 }, error: { code: 'EPERM' } }])
  t.same(
    again.kernel.requests.map(({ sequence }) => sequence),
    [1, 2, 3],
    'a batch stays in one run of numbers',
  )
})

t.test('a dump is read to its end, and is empty where there is nothing', async (t) => {
  const { connection } = open((request) =>
    idOf(request) === 0 ? [] : Array.from({ length: idOf(request) }, (_, id) => fakeReply(thing, { id })),
  )
  t.same(await connection.dump(about({ id: 0 }), read), [])
  t.same(await connection.dump(about({ id: 5 }), read), [0, 1, 2, 3, 4])
  t.equal((await connection.dump(about({ id: 5000 }), read)).length, 5000, 'in slices')
  const lists = await connection.dumps(
    Array.from({ length: 600 }, (_, id) => id % 4),
    (id) => about({ id }),
    read,
    (id, found) => ({ id, found }),
  )
  t.ok(lists.every(({ id, found }) => found.length === id))
  t.same(
    lists.map(({ id }) => id),
    Array.from({ length: 600 }, (_, id) => id % 4),
    'many of them, each to its request',
  )
})

t.test('replies to many dumps share memory, and what is read of them does not', async (t) => {
  const kernel = new FakeKernel({
    handle: (request) =>
      Array.from({ length: idOf(request) % 5 }, (_, id) => fakeReply(thing, { id, name: `name-${id}` })),
  })
  const lent = new Set<ArrayBufferLike>()
  let landed: Uint8Array | undefined
  const transport: Transport = {
    async exchange(request, length, kind, deadline, into) {
      const { bytes, lost } = await kernel.exchange(request, length, kind, deadline)
      // Not what is still being read: that of the exchange before.
      if (into !== undefined) t.not(into.buffer, landed?.buffer)
      if (into === undefined || into.length < bytes.length) return { bytes, lost }
      lent.add(into.buffer)
      into.fill(0xff)
      into.set(bytes)
      landed = into.subarray(0, bytes.length)
      return { bytes: landed, lost }
    },
    close: () => kernel.close(),
  }
  const connection = new Connection(transport)
  const lists = await connection.dumps(
    Array.from({ length: 256 * 9 }, (_, id) => id),
    (id) => about({ id }),
    (bytes, view, offset, end) => thing.decode(bytes, view, offset, end),
    (id, found) => ({ id, found }),
  )
  t.ok(
    lists.every(({ id, found }, index) => id === index && found.length === id % 5),
    'each to its request',
  )
  t.same(
    lists[1004]!.found,
    [0, 1, 2, 3].map((id) => ({ id, name: `name-${id}` })),
  )
  t.equal(lent.size, 2)
})

t.test('an interrupted dump is read again, and what came of it is not kept', async (t) => {
  let round = 0
  const { connection, kernel } = open(() => [fakeReply(thing, { id: ++round })])
  kernel.disturb({ interrupted: true }, { interrupted: true })
  t.same(await connection.dump(about({ id: 1 }), read), [3])
  kernel.disturb(...Array.from({ length: 4 }, () => ({ interrupted: true })))
  t.match(await failure(connection.dump(about({ id: 1 }, 'thing.list'), read)), {
    code: 'EINTR',
    operation: 'thing.list',
    cause: [7],
  })
})

t.test('a dump of which parts were lost is read again', async (t) => {
  const { connection, kernel } = open(() => [1, 2, 3].map((id) => fakeReply(thing, { id })))
  kernel.disturb({ lost: 1 }, { lost: 3 })
  t.same(await connection.dump(about({ id: 1 }), read), [1, 2, 3])
  kernel.disturb(...Array.from({ length: 4 }, () => ({ lost: 1 })))
  t.match(await failure(connection.dump(about({ id: 1 }), read)), { code: 'ENOBUFS' })
})

t.test('a dump that is refused, and one that has no end', async (t) => {
  const { connection, kernel } = open(() => ({ code: 'EOPNOTSUPP', message: 'not here' }))
  t.match(await failure(connection.dump(about({ id: 1 }), read)), {
    code: 'EOPNOTSUPP',
    kernelMessage: 'not here',
  })
  const endless = open(() => [fakeReply(thing, { id: 1 })], { strays: false })
  endless.kernel.disturb({ truncatedTo: 24 })
  t.match(await failure(endless.connection.dump(about({ id: 1 }), read)), { code: 'ERR_VIADUCT_MALFORMED' })
  t.equal(kernel.requests.length, 1)
})

t.test('a lost reply is not taken for a failure nor for success', async (t) => {
  const { connection, kernel } = open(() => [fakeReply(thing, { id: 1 })])
  kernel.disturb({ lost: 1 })
  t.match(await failure(connection.execute(about({ id: 1 }))), {
    code: 'ENOBUFS',
    kernelMessage: /whether it was applied is unknown/,
  })
  // The reply itself was lost, and the acknowledgement came.
  const after = open(() => undefined)
  after.kernel.disturb({ lost: 1, replies: () => acknowledgement(1) })
  t.match(await failure(after.connection.query(about({ id: 1 }), read)), { code: 'ENOBUFS' })
})

function acknowledgement(sequence: number): Uint8Array {
  const bytes = new Uint8Array(36)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 36, true)
  view.setUint16(4, 2, true)
  view.setUint16(6, 0x100, true)
  view.setUint32(8, sequence, true)
  return bytes
}

t.test('a batch tells of every operation that failed, and of no other', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('done', 'done', 'done', 'ENOENT', 'EEXIST', 'invalid'), { maxLength: 3000 }),
      fc.boolean(),
      async (fates, synchronous) => {
        const done: number[] = []
        const { connection } = open(
          (request) => {
            const fate = fates[idOf(request)]!
            if (fate !== 'done') return { code: fate, message: `${fate} it is` }
            done.push(idOf(request))
            return undefined
          },
          { synchronous },
        )
        const outcome = await connection.batch(
          fates.map((fate, id) => ({ id: fate === 'invalid' ? -1 : id, place: id })),
          things,
        )
        const wanted = fates.flatMap((fate, index) => (fate === 'done' ? [] : [{ index, fate }]))
        assert.equal(outcome.applied, done.length)
        assert.equal(outcome.notSent, 0)
        assert.deepEqual(
          outcome.failures.map(({ index, error, object }) => {
            assert.equal((object as { place: number }).place, index)
            return { index, fate: isKernelError(error) ? error.code : 'invalid' }
          }),
          wanted,
        )
      },
    ),
    { numRuns: 30 },
  )
  t.pass()
})

t.test('a batch whose replies are lost or damaged calls none applied', async (t) => {
  const items = [1, 2, 3].map((id) => ({ id }))
  const { connection, kernel } = open((request) => (idOf(request) === 2 ? { code: 'EEXIST' } : undefined), {
    strays: false,
  })
  kernel.disturb({ lost: 1 })
  t.match(await connection.batch(items, things), {
    applied: 0,
    failures: [{ error: { code: 'ENOBUFS' } }, { error: { code: 'EEXIST' } }, { error: { code: 'ENOBUFS' } }],
  })
  kernel.disturb({ replies: (bytes) => bytes.subarray(0, bytes.length - 3) })
  t.match(await connection.batch(items, things), {
    applied: 0,
    failures: [
      { index: 0, error: { name: 'MalformedMessageError' } },
      { error: { code: 'EEXIST' } },
      { error: { name: 'MalformedMessageError' } },
    ],
  })
})

t.test(
  'a batch that the socket refuses is told operation by operation, and what follows goes on',
  async (t) => {
    const { connection, kernel } = open(() => undefined)
    kernel.disturb({ fails: 'EPERM' })
    t.match(await connection.batch([{ id: 1 }, { id: 2 }], things), {
      applied: 0,
      failures: [
        {
          index: 0,
          operation: 'thing.add',
          object: { id: 1 },
          error: { code: 'EPERM', operation: 'thing.add' },
        },
        { index: 1, error: { code: 'EPERM' } },
      ],
    })
    // Two sends: the first fails, the second does not.
    kernel.disturb({ fails: 'ENOBUFS' })
    const many = await connection.batch(
      Array.from({ length: 1500 }, (_, id) => ({ id })),
      things,
    )
    t.equal(many.failures.length + many.applied, 1500)
    t.ok(many.applied >= 476 && many.failures.every(({ error }) => isKernelError(error, 'ENOBUFS')))
  },
)

t.test('what is asked first is answered first, also where some are large', async (t) => {
  const order: number[] = []
  const { connection, kernel } = open((request) => {
    order.push(idOf(request))
    return request.isDump ? [fakeReply(thing, { id: 1 })] : undefined
  })
  kernel.disturb({ delayMilliseconds: 5 })
  await Promise.all([
    connection.dump(about({ id: 1 }), read),
    connection.execute(about({ id: 2 })),
    connection.dump(about({ id: 3 }), read),
    connection.execute(about({ id: 4 })),
  ])
  t.same(order, [1, 2, 3, 4])
})

t.test('requests awaited one after the other let the event loop turn', async (t) => {
  const { connection } = open(() => undefined)
  let turned = false
  setImmediate(() => (turned = true))
  const end = performance.now() + 5000
  while (!turned && performance.now() < end) await connection.execute(about({ id: 1 }))
  t.ok(turned)
})

t.test('requests made at the same time let the event loop turn, and keep their order', async (t) => {
  const order: number[] = []
  const { connection, kernel } = open((request) => {
    // What the kernel takes for each.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    order.push(idOf(request))
    return [fakeReply(thing, { id: idOf(request) })]
  })
  const ids = Array.from({ length: 40 }, (_, id) => id)
  let turns = 0
  let done = false
  const count = (): void => {
    turns++
    if (!done) setImmediate(count)
  }
  setImmediate(count)
  const answers = await Promise.all(ids.map((id) => connection.query(about({ id }), read)))
  done = true
  t.same(answers.flat(), ids)
  t.same(order, ids)
  t.ok(turns >= 3, `${turns} turns`)

  // Waiting for the next turn, it may still be given up.
  const abort = new AbortController()
  const many = ids.map((id) => connection.execute(about({ id }), { signal: abort.signal }))
  abort.abort(new Error('no longer'))
  const outcomes = await Promise.allSettled(many)
  t.match(outcomes.at(-1), { status: 'rejected', reason: { message: 'no longer' } })
  const sent = outcomes.filter(({ status }) => status === 'fulfilled').length
  t.equal(kernel.requests.length, ids.length + sent)
})

t.test('one that fails leaves those behind it alone', async (t) => {
  const { connection, kernel } = open(() => [], { synchronous: false })
  kernel.disturb({ delayMilliseconds: 2, replies: () => new Uint8Array(7) })
  const first = failure(connection.execute(about({ id: 1 })))
  await connection.execute(about({ id: 2 }))
  t.match(await first, { name: 'MalformedMessageError' })
})

t.test('aborted before it is sent, nothing is sent', async (t) => {
  const { connection, kernel } = open(() => [fakeReply(thing, { id: 1 })])
  const signal = AbortSignal.abort(new Error('no longer'))
  const calls: ((options: CallOptions) => Promise<unknown>)[] = [
    (options) => connection.execute(about({ id: 1 }), options),
    (options) => connection.query(about({ id: 1 }), read, options),
    (options) => connection.dump(about({ id: 1 }), read, options),
    (options) => connection.batch([{ id: 1 }], things, options),
  ]
  for (const call of calls) t.match(await failure(call({ signal })), { message: 'no longer' })

  // In the queue, behind one that takes its time.
  for (const call of calls) {
    kernel.disturb({ delayMilliseconds: 5 })
    const abort = new AbortController()
    const before = connection.dump(about({ id: 7 }), read)
    const waiting = failure(call({ signal: abort.signal }))
    await Promise.resolve()
    abort.abort(new Error('in the queue'))
    t.match(await waiting, { message: 'in the queue' })
    await before
  }
  t.same(kernel.requests.map(idOf), [7, 7, 7, 7])
})

t.test('aborted after it is sent, the outcome is awaited and told', async (t) => {
  const { connection, kernel } = open((request) => (idOf(request) === 9 ? { code: 'EEXIST' } : undefined), {
    synchronous: false,
  })
  for (const [id, code] of [
    [1, undefined],
    [9, 'EEXIST'],
  ] as const) {
    const abort = new AbortController()
    kernel.disturb({ delayMilliseconds: 2 })
    const sent = connection.execute(about({ id }), { signal: abort.signal })
    abort.abort()
    if (code === undefined) await sent
    else t.match(await failure(sent), { code })
  }
})

/** The same kernel with something done around every exchange; `landed` before its replies are handed over. */
function around(
  kernel: FakeKernel,
  { sent, landed }: { sent?: (length: number) => void; landed?: (exchange: number) => void },
): Transport {
  let exchanges = 0
  return {
    async exchange(request, length, kind, deadline) {
      const number = ++exchanges
      sent?.(length)
      const replies = await kernel.exchange(request, length, kind, deadline)
      landed?.(number)
      return replies
    },
    close: () => kernel.close(),
  }
}
const many = (count: number) => Array.from({ length: count }, (_, id) => ({ id }))

/** Few of them fill a send: the second one has 33. */
const largeBytes = 16 + 4 + 4000
const large: typeof things = {
  ...things,
  write(writer, flags, sequence) {
    const start = writer.beginMessage(type, flags, sequence)
    const attribute = writer.beginAttribute(9)
    writer.append(new Uint8Array(4000))
    writer.endAttribute(attribute)
    writer.endMessage(start)
  },
}

t.test('a batch that is aborted sends nothing more, whatever it has prepared', async (t) => {
  const kernel = new FakeKernel({ handle: () => undefined })
  const abort = new AbortController()
  const connection = new Connection(
    around(kernel, {
      landed(exchange) {
        if (exchange === 2) abort.abort()
      },
    }),
  )
  // While the second send takes its time the third is made ready.
  kernel.disturb(undefined, { delayMilliseconds: 50 })
  const outcome = await connection.batch(many(200), large, { signal: abort.signal })
  const sent = 32 + 33
  t.same(outcome, { applied: sent, failures: [], notSent: 200 - sent })
  t.equal(kernel.requests.length, sent)
})

t.test('a batch that is aborted as soon as it was asked for sends nothing', async (t) => {
  for (const synchronous of [true, false]) {
    const { connection, kernel } = open(() => undefined, { synchronous })
    const abort = new AbortController()
    const batch = failure(connection.batch(many(100), things, { signal: abort.signal }))
    abort.abort(new Error('at once'))
    t.match(await batch, { message: 'at once' })
    t.equal(kernel.requests.length, 0)
  }
})

t.test('operations without an end are left at the abort, and told so', async (t) => {
  const { connection, kernel } = open(() => undefined, { synchronous: false })
  const abort = new AbortController()
  let given = 0
  let ended = false
  function* endless(): Generator<{ id: number }> {
    try {
      for (;;) {
        if (given === 1500) abort.abort()
        yield { id: given++ }
      }
    } finally {
      ended = true
    }
  }
  const outcome = await connection.batch(endless(), things, { signal: abort.signal })
  t.ok(ended)
  t.equal(outcome.applied, kernel.requests.length)
  t.equal(outcome.applied + outcome.notSent, given, 'those that were asked for are counted')
  t.ok(outcome.applied > 0 && outcome.notSent > 0)
})

t.test('operations that throw in the middle: what was sent is told', async (t) => {
  const { connection, kernel } = open((request) => (idOf(request) === 7 ? { code: 'EEXIST' } : undefined), {
    synchronous: false,
  })
  const trouble = new Error('the list has a hole')
  function* holed(most: number): Generator<{ id: number }> {
    for (let id = 0; id < most; id++) yield { id }
    throw trouble
  }
  const error = await failure(connection.batch(holed(200), things))
  const sent = 32
  t.ok(isBatchError(error))
  t.match(error, {
    applied: sent - 1,
    failures: [{ index: 7, error: { code: 'EEXIST' } }],
    cause: trouble,
    message: /1 of 32 operations failed; first, number 7: .*; the rest was not sent: the list has a hole/,
  })
  t.equal(kernel.requests.length, sent)
  t.equal(
    await failure(connection.batch(holed(3), things)),
    trouble,
    'where nothing was sent it is the error itself',
  )
  t.equal(kernel.requests.length, sent)
  await connection.execute(about({ id: 1 }))
})

t.test('a send is cut at its bytes, too', async (t) => {
  const kernel = new FakeKernel({ handle: () => undefined })
  const lengths: number[] = []
  const connection = new Connection(around(kernel, { sent: (length) => lengths.push(length) }))
  const { applied } = await connection.batch(many(200), large)
  t.equal(applied, 200)
  // SO_SNDBUF is 212,992 where it may not be forced: the kernel counts more than the bytes themselves.
  t.ok(
    lengths.every((length) => length < 128 * 1024 + largeBytes),
    lengths.join(),
  )
  t.equal(Math.max(...lengths), Math.ceil((128 * 1024) / largeBytes) * largeBytes, 'and not sooner')
})

t.test('a transport of another realm: its promises and errors are told apart all the same', async (t) => {
  const kernel = new FakeKernel({ handle: () => undefined })
  const foreign =
    runInNewContext(`(work, reject) => new Promise((resolve) => resolve(work())).catch((error) => {
    throw Object.assign(new Error(error.message), { code: error.code, errno: error.errno, syscall: error.syscall })
  })`) as <T>(work: () => Promise<T>) => Promise<T>
  const transport: Transport = {
    exchange: (request, length, kind, deadline) =>
      foreign(() => kernel.exchange(request, length, kind, deadline)),
    close: () => kernel.close(),
  }
  t.notOk(foreign(() => Promise.resolve()) instanceof Promise)
  const connection = new Connection(transport)
  await connection.execute(about({ id: 1 }))
  t.match(await connection.batch(many(3), things), { applied: 3, failures: [] })
  kernel.disturb({ fails: 'EPERM' }, { fails: 'EPERM' })
  t.match(await failure(connection.execute(about({ id: 1 }))), { name: 'KernelError', code: 'EPERM' })
  t.match(await connection.batch(many(2), things), {
    applied: 0,
    failures: [{ error: { name: 'KernelError', code: 'EPERM' } }, { error: { code: 'EPERM' } }],
  })
})

t.test('no answer within the deadline', async (t) => {
  const { connection, kernel } = open(() => undefined, { synchronous: false })
  kernel.disturb({ delayMilliseconds: 1000 })
  t.match(await failure(connection.execute(about({ id: 1 }), { deadlineMilliseconds: 5 })), {
    code: 'ETIMEDOUT',
    kernelMessage: /no answer within the deadline; whether it was applied is unknown/,
  })
  await connection.execute(about({ id: 2 }))
  t.equal(kernel.requests.length, 2)
})

t.test('the deadline and the signal count in the queue, and end the waiting there', async (t) => {
  const { connection, kernel } = open(() => [fakeReply(thing, { id: 1 })])
  const calls: ((options: CallOptions) => Promise<unknown>)[] = [
    (options) => connection.execute(about({ id: 1 }), options),
    (options) => connection.query(about({ id: 1 }), read, options),
    (options) => connection.dump(about({ id: 1 }), read, options),
    async (options) => {
      const { applied, failures } = await connection.batch([{ id: 1 }], things, options)
      t.equal(applied, 0)
      throw failures[0]!.error
    },
  ]
  for (const call of calls) {
    // The one before is answered when this one has given up, and not sooner.
    const before = gated(kernel)
    const first = connection.dump(about({ id: 7 }), read)
    const error = await failure(call({ deadlineMilliseconds: 5 }))
    t.match(error, {
      name: 'KernelError',
      code: 'ETIMEDOUT',
      kernelMessage: /earlier requests .* was not sent/,
    })
    const abort = new AbortController()
    const aborted = failure(call({ signal: abort.signal }))
    await new Promise((resolve) => setImmediate(resolve))
    abort.abort(new Error('no longer'))
    t.match(await aborted, { message: 'no longer' })
    const behind = connection.execute(about({ id: 8 }))
    before.open()
    await first
    await behind
  }
  t.same(kernel.requests.map(idOf), [7, 8, 7, 8, 7, 8, 7, 8], 'what had given up was never sent')
})

/** Holds the next exchange until it is opened. */
function gated(kernel: FakeKernel): { open(): void } {
  const exchange = kernel.exchange.bind(kernel)
  let open = (): void => undefined
  kernel.exchange = async (...given) => {
    kernel.exchange = exchange
    // As a socket would: it keeps the process alive while it waits.
    const alive = setInterval(() => undefined, 1000)
    const opened = new Promise<void>((resolve) => (open = resolve))
    const replies = await exchange(...given)
    await opened
    clearInterval(alive)
    return replies
  }
  return { open: () => open() }
}

t.test('no answer within the deadline, whatever was asked', async (t) => {
  const { connection, kernel } = open(() => [], { synchronous: false })
  const options = { deadlineMilliseconds: 5 }
  const message = /no answer within the deadline; whether it was applied is unknown/
  kernel.disturb({ delayMilliseconds: 1000 })
  t.match(await failure(connection.dump(about({ id: 1 }), read, options)), { code: 'ETIMEDOUT', message })
  kernel.disturb({ delayMilliseconds: 1000 })
  t.match(await connection.batch([{ id: 1 }, { id: 2 }], things, options), {
    applied: 0,
    failures: [{ error: { code: 'ETIMEDOUT', message } }, { error: { code: 'ETIMEDOUT' } }],
  })
  // A timer takes no more than 2^31 - 1 milliseconds, and a longer one fires at once.
  const before = gated(kernel)
  const first = connection.execute(about({ id: 7 }))
  const behind = connection.execute(about({ id: 1 }), { deadlineMilliseconds: Infinity })
  await new Promise((resolve) => setTimeout(resolve, 3))
  before.open()
  await Promise.all([first, behind])
})

t.test('what is wrong with a large dump is told by its place in the whole', async (t) => {
  const { connection, kernel } = open(() => many(1500).map((record) => fakeReply(thing, record)), {
    strays: false,
  })
  let length = 0
  kernel.disturb({
    replies(bytes) {
      length = bytes.length
      return Uint8Array.from([...bytes, 1, 2, 3])
    },
  })
  const error = await failure(connection.dump(about({ id: 1 }), read))
  t.match(error, { name: 'MalformedMessageError', offset: length })
})

t.test('of many dumps of which one is always interrupted, the others are not lost', async (t) => {
  const { connection, kernel } = open((request) => [fakeReply(thing, { id: idOf(request) })])
  kernel.disturb(...Array.from({ length: 4 }, () => ({ interrupted: true })))
  const error = await failure(
    connection.dumps(
      [4, 5],
      (id) => about({ id }),
      read,
      (_, found) => found,
    ),
  )
  t.match(error, { code: 'EINTR', cause: [[4], [5]] })
})

t.test('closed while a request is under way', async (t) => {
  const { connection, kernel } = open(() => undefined, { synchronous: false })
  kernel.disturb({ delayMilliseconds: 10_000 })
  const sent = failure(connection.execute(about({ id: 1 })))
  connection.close()
  t.match(await sent, { code: 'ECANCELED' })
})

t.test('any bytes for a reply: an outcome, or a typed error', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat({ max: 3 }),
      fc.boolean(),
      async (noise, call, whole) => {
        const { connection, kernel } = open(() => [fakeReply(thing, { id: 1, name: 'x' })], { strays: false })
        kernel.disturb({
          replies: (bytes) => {
            if (whole) return noise
            // A valid reply with some bytes changed.
            const damaged = bytes.slice()
            for (const [index, byte] of noise.entries()) {
              if (index % 3 === 0) damaged[(byte * 7 + index) % damaged.length] = noise[index + 1] ?? 0
            }
            return damaged
          },
        })
        const options = { deadlineMilliseconds: 100 }
        const calls = [
          () => connection.execute(about({ id: 1 }), options),
          () => connection.query(about({ id: 1 }), read, options),
          () => connection.dump(about({ id: 1 }), read, options),
          () => connection.batch([{ id: 1 }, { id: 2 }], things, options),
        ]
        try {
          await calls[call]!()
        } catch (error) {
          assert.ok(
            ['KernelError', 'MalformedMessageError'].includes((error as Error).name),
            String((error as Error).stack),
          )
        }
      },
    ),
    { numRuns: 1000 },
  )
  t.pass()
})

t.test('any number of requests may wait with one signal', async (t) => {
  const warnings: Error[] = []
  const warn = (warning: Error): void => void warnings.push(warning)
  process.on('warning', warn)
  const { connection } = open(() => undefined, { synchronous: false })
  const abort = new AbortController()
  const first = connection.execute(about({ id: 0 }))
  const rest = Array.from({ length: 40 }, (_, id) =>
    connection.execute(about({ id }), { signal: abort.signal }),
  )
  abort.abort(new Error('all of them'))
  for (const one of rest) await t.rejects(one, { message: 'all of them' })
  await first
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', warn)
  t.same(warnings, [])
})

/** The fake kernel keeps what a socket promises, so that tests against it are worth something. */
import t from 'tap'
import { GenericFamily, GENL_HDRLEN } from '../../src/genetlink/index.js'
import type { KernelError } from '../../src/errors/index.js'
import {
  attribute,
  attributeTable,
  Connection,
  nested,
  readOnly,
  type TransportEvent,
  u32,
  viewOf,
} from '../../src/netlink/index.js'
import { errnoOf, FakeKernel, fakeReply, type FakeRequest } from '../../src/testing/index.js'

const inner = attributeTable('INNER', { count: readOnly(1, 'INNER_COUNT', u32, { always: true }) })
const things = attributeTable('THINGS', {
  id: attribute(1, 'THINGS_ID', u32, { always: true }),
  inner: readOnly(2, 'THINGS_INNER', nested(inner)),
})

function family(handle: (request: FakeRequest) => ReturnType<typeof answerOne> = answerOne) {
  return { name: 'things', version: 3, groups: ['events', 'more'], handle }
}
function answerOne(request: FakeRequest) {
  return [fakeReply(things, { id: request.decode(things).id ?? 0, inner: { count: 7 } })]
}
const command = { operation: 'things.get', command: 9, attributes: things, record: { id: 5 } }
const read = (bytes: Uint8Array, view: DataView, offset: number, end: number) =>
  things.decode(bytes, view, offset + GENL_HDRLEN, end)

function failure(work: () => unknown): Promise<KernelError> {
  return new Promise((resolve) => resolve(work())).then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

t.test('a family of generic netlink, found by name', async (t) => {
  const kernel = new FakeKernel({ families: [family()] })
  const connection = new Connection(kernel)
  const opened = await GenericFamily.open(connection, 'things', 3)
  t.equal(opened.multicastGroup('more'), kernel.group('things', 'more'))
  t.equal(opened.multicastGroup('none'), undefined)
  t.same(
    await opened.query(command, read),
    [{ id: 5, inner: { count: 7 } }],
    'also what only the kernel says',
  )
  t.same(await opened.dump(command, read), [{ id: 5, inner: { count: 7 } }])
  t.match(kernel.requests, [
    { family: 'nlctrl', type: 16, isDump: false },
    { family: 'things', command: 9, isDump: false },
    { family: 'things', command: 9, isDump: true },
  ])
  t.match(await failure(() => GenericFamily.open(connection, 'none', 1)), {
    code: 'ENOENT',
    operation: 'genetlink.getFamily',
    object: { name: 'none' },
  })
})

t.test('a module that is loaded anew has another number, which is found', async (t) => {
  const kernel = new FakeKernel({ families: [family()] })
  const opened = await GenericFamily.open(new Connection(kernel), 'things', 3)
  const before = opened.id
  const after = kernel.reload('things')
  t.not(after, before)
  t.same(await opened.query(command, read), [{ id: 5, inner: { count: 7 } }])
  t.equal(opened.id, after)

  kernel.reload('things')
  const items = [{ id: 1 }, { id: 2 }]
  const outcome = await opened.batch(items, {
    attributes: things,
    command: () => 9,
    record: (item) => item,
    target: (item) => ({ operation: 'things.set', object: item }),
  })
  t.match(outcome, { applied: 2, failures: [] }, 'also before a batch')

  kernel.unload('things')
  t.match(await failure(() => opened.query(command, read)), {
    code: 'ENOENT',
    operation: 'things.get',
    kernelMessage: /no generic netlink family things any more/,
    hint: /module/,
    cause: { operation: 'genetlink.getFamily' },
  })
  kernel.reload('things')
  t.same(await opened.query(command, read), [{ id: 5, inner: { count: 7 } }])
})

t.test(
  'a family is asked for by the name that it was opened by, whatever the answer called it',
  async (t) => {
    const kernel = new FakeKernel({ families: [family()] })
    const unnamed = (bytes: Uint8Array): Uint8Array => {
      const at = Buffer.from(bytes).indexOf('things\0')
      return bytes.map((byte, index) => (index >= at && index < at + 6 ? 0 : byte))
    }
    kernel.disturb({ replies: unnamed })
    const opened = await GenericFamily.open(new Connection(kernel), 'things', 3)
    t.equal(opened.name, 'things')
    kernel.reload('things')
    t.same(await opened.query(command, read), [{ id: 5, inner: { count: 7 } }])
  },
)

t.test('a command may name its attributes as its caller knows them', async (t) => {
  const kernel = new FakeKernel({
    families: [{ name: 'things', handle: () => ({ code: 'EINVAL', missing: 1 }) }],
  })
  const opened = await GenericFamily.open(new Connection(kernel), 'things', 1)
  const pathOf = (path: string): string => `thing.${path}`
  const error = await failure(() => opened.query({ ...command, pathOf }, read))
  t.equal(error.attribute?.path, 'thing.id')
})

t.test('ENOENT that means what it says is not asked twice', async (t) => {
  const kernel = new FakeKernel({ families: [{ name: 'things', handle: () => ({ code: 'ENOENT' }) }] })
  const opened = await GenericFamily.open(new Connection(kernel), 'things', 1)
  t.match(await failure(() => opened.query(command, read)), { code: 'ENOENT', operation: 'things.get' })
  t.equal(kernel.requests.filter((request) => request.family === 'things').length, 1)
})

t.test('where the number cannot be looked up anew, the first answer is what is told', async (t) => {
  const kernel = new FakeKernel({
    families: [{ name: 'things', handle: () => ({ code: 'ENOENT', message: 'no such thing' }) }],
    synchronous: false,
  })
  const opened = await GenericFamily.open(new Connection(kernel), 'things', 1)
  for (const late of [false, true]) {
    kernel.disturb(undefined, late ? { delayMilliseconds: 1000 } : { fails: 'ENOBUFS' })
    t.match(await failure(() => opened.query(command, read, { deadlineMilliseconds: 5 })), {
      code: 'ENOENT',
      operation: 'things.get',
      kernelMessage: 'no such thing',
    })
  }
  // Before a batch there is no first answer.
  kernel.disturb({ delayMilliseconds: 1000 })
  const codec = {
    attributes: things,
    command: () => 9,
    record: (item: object) => item,
    target: () => ({ operation: 'things.set' }),
  }
  t.match(await failure(() => opened.batch([{ id: 1 }], codec, { deadlineMilliseconds: 5 })), {
    code: 'ETIMEDOUT',
    operation: 'genetlink.getFamily',
  })
})

t.test('requests of type 0 are acknowledged and do nothing, as by Linux', async (t) => {
  let handled = 0
  const kernel = new FakeKernel({
    handle: () => {
      handled++
    },
  })
  await new Connection(kernel).execute({
    operation: 'nothing',
    write(writer, flags, sequence) {
      writer.endMessage(writer.beginMessage(0, flags, sequence))
    },
  })
  t.equal(handled, 0)
})

t.test('one exchange at a time, none once it is closed, and no reply that lasts', async (t) => {
  const kernel = new FakeKernel({ handle: () => [] })
  const message = new Uint8Array(16)
  viewOf(message).setUint32(0, 16, true)
  viewOf(message).setUint16(4, 20, true)
  viewOf(message).setUint16(6, 5, true)
  kernel.disturb({ delayMilliseconds: 5 })
  const running = kernel.exchange(message, 16, 'batch', 100)
  kernel.subscribe(1, () => undefined)()
  t.match(await failure(() => kernel.exchangeSync?.(message, 16, 'batch', 100)), {
    code: 'EBUSY',
    errno: -16,
  })
  await running
  const first = kernel.exchangeSync!(message, 16, 'batch', 100).bytes
  const kept = first.slice()
  viewOf(message).setUint32(8, 77, true)
  kernel.exchangeSync!(message, 16, 'batch', 100)
  t.notSame(first, kept, 'the buffer is used again')
  kernel.close()
  t.match(await failure(() => kernel.exchange(message, 16, 'batch', 100)), { code: 'EBADF' })
})

t.test('events, overruns, and nothing after the listener has gone', async (t) => {
  const kernel = new FakeKernel({ families: [family()] })
  const events: TransportEvent[] = []
  const group = kernel.group('things', 'events')
  const stop = kernel.subscribe(group, (event) => events.push(event))
  kernel.emit(group, { type: 30, payload: new Uint8Array(4) }, { type: 31, payload: new Uint8Array(8) })
  kernel.emit(kernel.group('things', 'more'), { type: 32, payload: new Uint8Array(4) })
  kernel.overrun(group)
  stop()
  kernel.emit(group, { type: 33, payload: new Uint8Array(4) })
  t.match(events, [{ bytes: { length: 20 + 24 } }, { overrun: true }])
  t.equal(events.length, 2)
})

t.test('several groups with one subscription, whose end is told when the socket is closed', (t) => {
  const kernel = new FakeKernel({ families: [family()] })
  const events: TransportEvent[] = []
  const listen = (event: TransportEvent): void => void events.push(event)
  const groups = ['events', 'more'].map((name) => kernel.group('things', name))
  const stop = kernel.subscribe(groups, listen)
  for (const group of groups) kernel.emit(group, { type: 30, payload: new Uint8Array(4) })
  t.match(events, [{ bytes: { length: 20 } }, { bytes: { length: 20 } }])
  stop()
  for (const group of groups) kernel.overrun(group)
  t.equal(events.length, 2)
  kernel.subscribe(groups, listen)
  kernel.close()
  t.match(events.slice(2), [{ error: { code: 'EBADF' } }])
  t.equal(events.length, 3, 'once, not for each group')
  t.end()
})

t.test('what a test gets wrong is told', async (t) => {
  t.throws(() => errnoOf('ENONSENSE'), /ENONSENSE is no error that Linux knows/)
  t.equal(errnoOf('ENOENT'), -2)
  t.equal(errnoOf('EOPNOTSUPP'), -95)
  t.equal(errnoOf('EWOULDBLOCK'), -11)
  const kernel = new FakeKernel({ families: [family()] })
  t.throws(() => kernel.group('things', 'nope'), /has no group nope/)
  t.throws(() => kernel.reload('nope'), /has no family nope/)
})

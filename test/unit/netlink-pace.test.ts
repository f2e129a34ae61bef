import t from 'tap'
import { Connection, type Request, type Transport, Writer } from '../../src/netlink/index.js'
import { Pace } from '../../src/netlink/pace.js'

void t.test('sends grow while exchanges stay short, and end when operations are long', async (t) => {
  const pace = new Pace(32, 1024)
  const sizes: number[] = []
  for (let turn = 0; turn < 5; turn++) {
    sizes.push(pace.messages)
    pace.took(pace.messages, pace.messages / 1000)
  }
  t.strictSame(sizes, [32, 128, 512, 1024, 1024], 'a microsecond each')
  pace.took(1024, 6)
  t.equal(pace.messages, 512, 'six microseconds each: half of them')
  pace.took(512, 13)
  t.equal(pace.messages, 1, 'a long one: was it them?')
  pace.took(1, 0.02)
  t.equal(pace.messages, 4, 'it was the machine')
  pace.took(4, 13)
  pace.took(1, 13)
  t.equal(pace.messages, 1)
  pace.took(1, 13)
  t.equal(pace.messages, 0, 'it was them')
  const slow = new Pace(32, 1024)
  slow.took(32, 11)
  t.equal(slow.messages, 8)
  slow.took(8, 11)
  slow.took(1, 2)
  t.equal(slow.messages, 1)
  slow.took(1, 2)
  t.equal(slow.messages, 0, 'some milliseconds each: not here')
})

/** Acknowledges the last message of each send, after the time that the kernel is said to take for each. */
class TimedTransport implements Transport {
  readonly sends: { readonly here: boolean; readonly messages: number }[] = []

  constructor(readonly millisecondsEach: number) {}

  exchangeSync(request: Uint8Array, length: number) {
    const { bytes, messages } = this.#answer(request, length, true)
    const wait = Math.round(messages * this.millisecondsEach)
    if (wait > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, wait)
    return { bytes, lost: false }
  }

  exchange(request: Uint8Array, length: number) {
    const { bytes } = this.#answer(request, length, false)
    return Promise.resolve({ bytes, lost: false })
  }

  #answer(request: Uint8Array, length: number, here: boolean) {
    const view = new DataView(request.buffer, request.byteOffset, length)
    let messages = 0
    let sequence = 0
    for (let at = 0; at < length; at += view.getUint32(at, true)) {
      sequence = view.getUint32(at + 8, true)
      messages++
    }
    this.sends.push({ here, messages })
    const writer = new Writer(64)
    const start = writer.beginMessage(2, 0, sequence)
    writer.u32(0)
    writer.endMessage(start)
    return { bytes: writer.bytes.slice(0, writer.length), messages }
  }

  close(): void {
    this.sends.length = 0
  }
}

const target: Request = { operation: 'test', write: () => undefined }

async function batch(
  transport: TimedTransport,
  count: number,
  mayWait: (item: number) => boolean = () => false,
) {
  const connection = new Connection(transport)
  const { applied, failures } = await connection.batch(Array.from({ length: count }).keys(), {
    write(writer, flags, sequence) {
      const start = writer.beginMessage(100, flags, sequence)
      writer.endMessage(start)
    },
    target: () => target,
    mayWait,
  })
  return { applied, failures: failures.length, sends: transport.sends }
}

void t.test('a batch that the kernel is quick with needs no thread', async (t) => {
  const { applied, failures, sends } = await batch(new TimedTransport(0.001), 5000)
  t.equal(applied, 5000)
  t.equal(failures, 0)
  t.ok(sends.length > 5)
  // A machine that stops for a moment looks like a slow kernel.
  t.ok(sends.filter(({ here }) => here).length >= 3, JSON.stringify(sends))
  t.equal(sends[0]?.messages, 32)
})

void t.test('a batch that the kernel is slow with goes to a thread', async (t) => {
  const { applied, sends } = await batch(new TimedTransport(1), 3000)
  t.equal(applied, 3000)
  t.strictSame(sends.slice(0, 3), [
    { here: true, messages: 32 },
    { here: true, messages: 1 },
    { here: true, messages: 1 },
  ])
  t.ok(
    sends.slice(3).every(({ here, messages }) => !here && messages > 32),
    JSON.stringify(sends),
  )
})

void t.test('what may wait in the kernel is never sent while the event loop is held', async (t) => {
  const { applied, sends } = await batch(new TimedTransport(0), 3000, (item) => item >= 10)
  t.equal(applied, 3000)
  t.ok(
    sends.every(({ here }) => !here),
    JSON.stringify(sends),
  )
  // Three, if the machine encodes a send within a slice.
  t.ok(sends.length <= 50, `and in few sends: ${sends.length}`)
})

void t.test('small commits stay on the event loop while they are short', async (t) => {
  let milliseconds = 0
  // Of this test alone, so that a busy machine is not taken for a slow kernel.
  let clock = 0
  t.intercept(performance, 'now', { value: () => clock })
  const transport = new TimedTransport(0)
  const kinds: string[] = []
  const connection = new Connection({
    exchangeSync(request, length, kind) {
      kinds.push(kind)
      clock += milliseconds
      return transport.exchangeSync(request, length)
    },
    exchange: (request, length) => transport.exchange(request, length),
    close: () => undefined,
  })
  const commit = async (bytes = 0): Promise<boolean> => {
    const request: Request = {
      operation: 'test',
      write(writer, flags, sequence) {
        const start = writer.beginMessage(100, flags, sequence)
        for (let at = 0; at < bytes; at += 4) writer.u32(0)
        writer.endMessage(start)
      },
    }
    const { failures, acknowledged } = await connection.atomic([request], () => undefined)
    t.strictSame([failures, [...acknowledged]], [[], [0]], 'its own answer')
    return transport.sends.at(-1)!.here
  }
  t.equal(await commit(), false, 'how long this kernel takes is not known yet')
  t.equal(await commit(), true)
  t.strictSame(kinds, ['atomic'], 'told so: of a commit no answer is awaited')
  t.equal(await commit(32_768), false, 'a large one')
  t.equal(await commit(), true)
  milliseconds = 5
  t.equal(await commit(), true)
  t.equal(await commit(), false, 'the one before was long')
  t.equal(await commit(), true, 'this one was not')
  await Promise.all([commit(), commit(), commit()])
})

/** Framing: messages one after the other, and what an acknowledgement says. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { isMalformedMessageError } from '../../src/errors/index.js'
import {
  forEachMessage,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  readAcknowledgement,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'

interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly payload: Uint8Array
}
const message = fc.record(
  {
    type: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.integer({ min: 0, max: 0xffff }),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    payload: fc.uint8Array({ maxLength: 40 }),
  },
  { noNullPrototype: true },
)

function framed(messages: readonly Message[]): Uint8Array {
  const writer = new Writer(16)
  for (const { type, flags, sequence, payload } of messages) {
    const start = writer.beginMessage(type, flags, sequence)
    writer.append(payload)
    writer.endMessage(start)
    while (writer.length % 4 !== 0) writer.u8(0)
  }
  return writer.bytes.slice(0, writer.length)
}
function read(bytes: Uint8Array): Message[] {
  const messages: Message[] = []
  forEachMessage(bytes, viewOf(bytes), (type, flags, sequence, offset, end) => {
    messages.push({ type, flags, sequence, payload: bytes.slice(offset, end) })
  })
  return messages
}

t.test('messages come back as they were framed', async (t) => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), (messages) => {
      assert.deepEqual(read(framed(messages)), messages)
    }),
  )
  t.same(read(new Uint8Array(0)), [])
})

t.test('a view into a larger buffer is read by itself', async (t) => {
  const bytes = framed([{ type: 20, flags: 0, sequence: 1, payload: new Uint8Array([1, 2, 3]) }])
  const larger = new Uint8Array(100).fill(0xff)
  larger.set(bytes, 33)
  t.same(read(larger.subarray(33, 33 + bytes.length)), read(bytes))
})

t.test('the last message needs no padding', async (t) => {
  const bytes = framed([{ type: 20, flags: 0, sequence: 1, payload: new Uint8Array([1]) }])
  t.same(read(bytes.subarray(0, 17)), read(bytes))
})

t.test('any bytes: messages within their bounds, or malformed, and an end', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .tuple(
        fc.array(message, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 0, max: 0xffff_ffff }),
      )
      .map(([messages, place, length]) => {
        const damaged = framed(messages)
        viewOf(damaged).setUint32((place % (damaged.length / 4)) * 4, length, true)
        return damaged
      }),
  )
  fc.assert(
    fc.property(bytes, (bytes) => {
      let end = 0
      let count = 0
      try {
        forEachMessage(bytes, viewOf(bytes), (_type, _flags, _sequence, offset, stop) => {
          assert.ok(offset >= end + 16 && stop >= offset && stop <= bytes.length)
          end = stop
          assert.ok(++count <= bytes.length / 16)
        })
      } catch (error) {
        assert.ok(isMalformedMessageError(error))
        assert.ok(error.offset <= bytes.length)
      }
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

t.test('lengths that cannot be are malformed', async (t) => {
  const whole = framed([{ type: 20, flags: 0, sequence: 1, payload: new Uint8Array(4) }])
  for (const length of [0, 1, 15, 21, 0x7fff_ffff, 0xffff_ffff]) {
    const bytes = whole.slice()
    viewOf(bytes).setUint32(0, length, true)
    t.throws(() => read(bytes), { code: 'ERR_VIADUCT_MALFORMED' }, `${length}`)
  }
  for (let length = 1; length < 16; length++) {
    t.throws(() => read(new Uint8Array(length)), /bytes after the last message/)
  }
})

/** `struct nlmsgerr` and its attributes, as netlink_ack() writes them. */
function acknowledgement(
  errno: number,
  request: Uint8Array | undefined,
  attributes: readonly (readonly [number, Uint8Array])[],
): Uint8Array {
  const writer = new Writer()
  writer.u32(errno >>> 0)
  if (request !== undefined) writer.append(request)
  while (writer.length % 4 !== 0) writer.u8(0)
  for (const [type, bytes] of attributes) {
    const start = writer.beginAttribute(type)
    writer.append(bytes)
    writer.endAttribute(start)
  }
  return writer.bytes.slice(0, writer.length)
}
const acknowledged = (bytes: Uint8Array, type: number, flags: number) =>
  readAcknowledgement(bytes, viewOf(bytes), type, flags, 0, bytes.length)
const text = (value: string) => new TextEncoder().encode(value)
const number = (value: number) => new Uint8Array(new Uint32Array([value]).buffer)

t.test('an acknowledgement: number, words, place', async (t) => {
  const request = framed([{ type: 20, flags: 5, sequence: 1, payload: new Uint8Array(9) }])
  const details = [
    [1, text('Unknown device type\0')],
    [2, number(44)],
    [5, number(3)],
    [6, number(20)],
    [77, number(1)],
  ] as const
  const wanted = { errno: -22, message: 'Unknown device type', offset: 44, missing: 3, missingIn: 20 }
  const header = request.subarray(0, 16)
  t.same(acknowledged(acknowledgement(0, header, []), NLMSG_ERROR, NLM_F_CAPPED), { errno: 0 })
  t.same(acknowledged(acknowledgement(-2, header, details), NLMSG_ERROR, NLM_F_CAPPED), { errno: -2 })
  t.same(
    acknowledged(acknowledgement(-22, header, details), NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS),
    wanted,
    'the header alone is copied back',
  )
  t.same(
    acknowledged(acknowledgement(-22, request, details), NLMSG_ERROR, NLM_F_ACK_TLVS),
    wanted,
    'the whole request is copied back',
  )
  t.same(
    acknowledged(acknowledgement(-22, undefined, details), NLMSG_DONE, NLM_F_ACK_TLVS),
    wanted,
    'end of a dump',
  )
  t.same(acknowledged(new Uint8Array(0), NLMSG_DONE, 0), { errno: 0 }, 'a bare end')
  t.throws(() => acknowledged(new Uint8Array(3), NLMSG_ERROR, 0), { code: 'ERR_VIADUCT_MALFORMED' })
})

t.test("the kernel's words stay on one line", async (t) => {
  const header = new Uint8Array(16)
  for (const [words, shown] of [
    ['a\nb\u001b[31mc\0hidden', 'a b [31mc'],
    ['no end', 'no end'],
    ['\0', ''],
  ] as const) {
    const bytes = acknowledgement(-1, header, [[1, text(words)]])
    t.equal(acknowledged(bytes, NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS).message, shown)
  }
})

t.test('any bytes for an acknowledgement: what it says, or malformed', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom(NLMSG_ERROR, NLMSG_DONE),
      fc.constantFrom(0, NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_CAPPED | NLM_F_ACK_TLVS),
      (bytes, type, flags) => {
        try {
          assert.equal(typeof acknowledged(bytes, type, flags).errno, 'number')
        } catch (error) {
          assert.ok(isMalformedMessageError(error))
        }
      },
    ),
    { numRuns: 2000 },
  )
  t.pass()
})

t.test('a writer grows where it must, and keeps what it holds', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 0xffff })), {
        maxLength: 60,
      }),
      (parts) => {
        const writer = new Writer(1)
        const wanted: number[] = []
        for (const part of parts) {
          if (typeof part === 'number') {
            const start = writer.beginAttribute(part)
            writer.endAttribute(start)
            wanted.push(4, 0, part & 0xff, part >> 8)
          } else {
            writer.append(part)
            wanted.push(...part)
          }
        }
        assert.deepEqual([...writer.bytes.subarray(0, writer.length)], wanted)
      },
    ),
  )
  t.pass()
})

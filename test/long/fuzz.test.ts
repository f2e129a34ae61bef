/**
 * A million and more hostile inputs through everything that reads bytes of the kernel's: framing, acknowledgements,
 * every table by both codecs, every structure, events, and the clients of rtnetlink, IPVS, generic netlink, conntrack,
 * sockdiag and nf_tables. Each is answered by a value or by a
 * MalformedMessageError, in no time. `VIADUCT_FUZZ_SEED` repeats a run, `VIADUCT_FUZZ_INPUTS` makes it longer.
 */
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { isMalformedMessageError } from '../../src/errors/index.js'
import { decodeWalking } from '../../src/netlink/codec.js'
import { forEachMessage, readAcknowledgement, viewOf } from '../../src/netlink/index.js'
import { structures } from '../../src/rtnetlink/wire.js'
import { calls, clients, throughEvents, throughWords } from './hostile-clients.js'
import { attributesOf, messages, pick, random, randomBytes, seedWith, stateNow, tables } from './hostile.js'

const inputs = Number(process.env['VIADUCT_FUZZ_INPUTS'] ?? 1_200_000)
const seed = Number(process.env['VIADUCT_FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff)
const deadlineSeconds = 1200
const slowMilliseconds = 1000

seedWith(seed)
const walking = new Map(tables.map((table) => [table, decodeWalking(table)]))
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

const kinds = [
  ...Array.from({ length: 12 }, () => throughTable),
  ...Array.from({ length: 6 }, () => throughFraming),
  () => answer(throughEvents),
  () => answer(throughWords),
  throughStructure,
]

t.test(`${inputs} hostile inputs (seed ${seed})`, { timeout: deadlineSeconds * 1000 }, async (t) => {
  const begun = performance.now()
  let done = 0
  for (; done < inputs; done++) {
    const before = performance.now()
    const stateBefore = stateNow()
    try {
      if (done % 40 === 0) await clients[(done / 40) % clients.length]!()
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
  t.comment(`${calls.value} calls of clients were answered, ${calls.refused} refused`)
  t.ok(
    Math.min(calls.value, calls.refused) > done / 40 / 10,
    'clients get as far as what is hostile, and beyond',
  )
  t.ok(done >= Math.min(inputs, 1_000_000), `${done} inputs`)
})

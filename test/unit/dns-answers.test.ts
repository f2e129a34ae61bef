/** Messages: what is read, what is written, and that prebuilt answers are those that would be written. */
import { decode, encode } from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { RateLimit } from '../../src/dns/rate-limit.js'
import { Responder, type Transport } from '../../src/dns/responder.js'
import { comparable } from '../conformance/dns/cases.js'
import { expectedOf, queryBytes } from '../conformance/dns/client.js'
import { anyQuestion, anyStep, respond, step, usualObjects, zoneOf } from './support/dns.js'
import { hostile } from './support/dns-hostile.js'

const hex = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? 'nothing' : Buffer.from(bytes).toString('hex')
const transport = fc.constantFrom<Transport>('udp', 'tcp')
const udpBytes = fc.constantFrom(undefined, 100, 512, 700, 1232, 4096)

t.test('prebuilt answers are byte for byte those that are written anew', (t) => {
  let prebuilt = 0
  const anything = fc.oneof(
    { arbitrary: fc.tuple(anyQuestion, udpBytes, transport, fc.boolean()), weight: 4 },
    { arbitrary: anyStep, weight: 1 },
  )
  fc.assert(
    fc.property(fc.array(anything, { minLength: 20, maxLength: 80 }), (events) => {
      const { model, zone, refresh } = zoneOf(usualObjects, 'insecure')
      const hot = new Responder([zone], undefined)
      const plain = new Responder([zone], undefined, true)
      for (const event of events) {
        if (!Array.isArray(event)) {
          step(model, event)
          refresh()
          continue
        }
        const [[name, type], udpBytes, transport, recursion] = event
        const message = queryBytes(name, type, { id: 7, udpBytes, recursion })
        const before = hot.prebuilt
        // Twice: the first time it is kept.
        for (let time = 0; time < 2; time++) {
          const [one, other] = [hot, plain].map((responder) => hex(respond(responder, message, transport)))
          if (one !== other) throw new Error(`${name} ${type} ${transport}: ${one} and not ${other}`)
        }
        prebuilt += hot.prebuilt - before
      }
      t.equal(plain.prebuilt, 0)
    }),
    { numRuns: 60 },
  )
  t.ok(prebuilt > 100, `${prebuilt} were kept`)
  t.end()
})

t.test('answers are what dns-packet makes of what the zone says', (t) => {
  const { zone } = zoneOf(usualObjects, 'insecure')
  const responder = new Responder([zone], undefined)
  fc.assert(
    fc.property(anyQuestion, udpBytes, ([name, type], udpBytes) => {
      const message = queryBytes(name, type, { udpBytes })
      const answer = decode(Buffer.from(respond(responder, message, 'tcp')!)) as ReturnType<typeof decode> & {
        rcode: string
      }
      t.equal(
        answer.questions?.[0]?.name,
        decode(message).questions?.[0]?.name,
        'the question as it was asked',
      )
      t.equal(
        (answer.additionals ?? []).filter((record) => record.type === 'OPT').length,
        udpBytes === undefined ? 0 : 1,
      )
      if (zone.apexOf(name.toLowerCase()) === undefined) return t.equal(answer.rcode, 'REFUSED')
      const told = zone.lookup(name.toLowerCase(), type)
      const sections = (['answers', 'authorities', 'additionals'] as const).map((section) =>
        (answer[section] ?? [])
          .filter((record) => record.type !== 'OPT')
          .map((record) => comparable(expectedOf(record)))
          .sort(),
      )
      const wanted = [told.answers, told.authorities, told.additionals].map((records) =>
        records
          .map((record) => {
            const { type, data } = record
            const soa = data.split(' ')
            const [mname, rname] = soa
            const [serial, refresh, retry, expire, minimum] = soa.slice(2).map(Number)
            if (type === 'SOA') {
              return comparable({
                ...record,
                data: JSON.stringify({ mname, rname, serial, refresh, retry, expire, minimum }),
              })
            }
            return comparable(type === 'SRV' ? { ...record, data: soa.slice(2).join(' ') } : record)
          })
          .sort(),
      )
      t.equal(answer.rcode, told.rcode)
      t.same(sections, wanted, `${name} ${type}`)
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('what does not fit is cut: as many records as there is room for, and that there are more', (t) => {
  const responder = new Responder([zoneOf(usualObjects).zone], undefined)
  const name = 'db.default.svc.cluster.local'
  const ask = (udpBytes: number | undefined, transport: Transport = 'udp') => {
    const bytes = respond(responder, queryBytes(name, 'A', { udpBytes }), transport)!
    const { flag_tc: isCut, answers = [] } = decode(Buffer.from(bytes))
    return { isCut, count: answers.length, length: bytes.length }
  }
  // 12 bytes of header, 34 of question, 16 for each record, 11 for OPT.
  t.same(ask(undefined), { isCut: true, count: 29, length: 510 })
  t.same(ask(100), { isCut: true, count: 28, length: 505 })
  t.same(ask(700), { isCut: true, count: 40, length: 697 })
  t.same(ask(1232), { isCut: false, count: 60, length: 1017 })
  t.same(ask(65_535), { isCut: false, count: 60, length: 1017 })
  t.same(ask(512, 'tcp'), { isCut: false, count: 60, length: 1017 })
  const firsts = new Set(
    Array.from({ length: 60 }, () => {
      const answer = decode(Buffer.from(respond(responder, queryBytes(name, 'A', { udpBytes: 1232 }))!))
      return JSON.stringify(answer.answers?.[0])
    }),
  )
  t.equal(firsts.size, 60, 'each is the first in its turn')
  const srv = decode(
    Buffer.from(respond(responder, queryBytes(`_http._tcp.${name}`, 'SRV', { udpBytes: 1232 }))!),
  )
  t.ok(srv.flag_tc, 'sixty SRV records do not fit')
  t.end()
})

t.test('what is no query, or one that is not for us', (t) => {
  const { zone } = zoneOf(usualObjects)
  const responder = new Responder([zone], undefined)
  const well = queryBytes('web.default.svc.cluster.local', 'A', { id: 0x1234 })
  const say = (change: (bytes: Buffer) => unknown, from: Buffer = well): string | undefined => {
    const bytes = Buffer.from(from)
    const changed = change(bytes)
    const answer = respond(responder, Buffer.isBuffer(changed) ? changed : bytes)
    if (answer === undefined) return undefined
    const decoded = decode(Buffer.from(answer)) as ReturnType<typeof decode> & { rcode: string }
    const opt = decoded.additionals?.find((record) => record.type === 'OPT')
    const high = opt?.type === 'OPT' ? opt.extendedRcode : 0
    return high === 0 ? decoded.rcode : `${decoded.rcode} ${high}`
  }
  const withOpt = queryBytes('web.default.svc.cluster.local', 'A', { udpBytes: 1232 })
  t.equal(
    say(() => undefined),
    'NOERROR',
  )
  t.equal(
    say((bytes) => bytes.subarray(0, 11)),
    undefined,
    'no header',
  )
  t.equal(
    say((bytes) => bytes.writeUInt8(0x81, 2)),
    undefined,
    'an answer',
  )
  t.equal(
    say((bytes) => bytes.writeUInt8(0x28, 2)),
    'NOTIMP',
    'an update',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(0, 4)),
    'FORMERR',
    'no question',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(2, 4)),
    'FORMERR',
    'two questions',
  )
  t.equal(
    say((bytes) => bytes.subarray(0, 30)),
    'FORMERR',
    'half a question',
  )
  t.equal(
    say((bytes) => Buffer.concat([bytes, Buffer.from('x')])),
    'FORMERR',
    'something after the end',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(0xc00c, 12)),
    'FORMERR',
    'a name that points to itself',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(1, 10)),
    'FORMERR',
    'a record that is not there',
  )
  t.equal(
    say((bytes) => bytes.writeUInt8(1, bytes.length - 5), withOpt),
    'NOERROR 1',
    'EDNS of another version: BADVERS',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(9, bytes.length - 2), withOpt),
    'FORMERR',
    'an option that is not there',
  )
  t.equal(
    say((bytes) => bytes.writeUInt16BE(3, bytes.length - 2)),
    'REFUSED',
    'class CH',
  )
  for (const type of ['AXFR', 'IXFR', 'TYPE249', 'TYPE250', 'TYPE0']) {
    t.equal(
      say(() => queryBytes('cluster.local', type)),
      'REFUSED',
      type,
    )
  }
  t.equal(
    say(() => queryBytes('cluster.local', 'TYPE41')),
    'FORMERR',
    'OPT as a question',
  )
  t.equal(
    say(() => queryBytes('example.com', 'A')),
    'REFUSED',
  )
  t.equal(
    say(() => queryBytes('.', 'NS')),
    'REFUSED',
  )
  // A dot within a label makes no name of ours.
  const dotted = Buffer.from(well)
  dotted.writeUInt8(11, 12)
  dotted.write('web.default', 13)
  t.equal(
    say(() => dotted),
    'NXDOMAIN',
  )
  t.equal(
    say((bytes) => bytes.writeUInt8(0xe9, 13)),
    'NXDOMAIN',
    'a byte that is no letter',
  )
  t.end()
})

t.test('options of EDNS that mean nothing here are passed over', (t) => {
  const responder = new Responder([zoneOf(usualObjects).zone], undefined)
  const cookie = encode({
    type: 'query',
    id: 1,
    questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0x8000,
        flag_do: true,
        options: [{ code: 10, data: Buffer.from('12345678') } as never],
      },
    ],
  })
  const answer = decode(Buffer.from(respond(responder, cookie)!))
  t.equal(answer.answers?.length, 1)
  t.match(answer.additionals, [{ type: 'OPT', flag_do: true, options: [] }])
  t.equal(responder.prebuilt, 1, 'kept once')
  respond(responder, cookie)
  t.equal(responder.prebuilt, 1)
  t.end()
})

t.test('what strangers ask for takes no room', (t) => {
  const responder = new Responder([zoneOf(usualObjects, 'insecure').zone], undefined)
  for (let index = 0; index < 300; index++) {
    respond(responder, queryBytes(`x${index}.default.svc.cluster.local`, 'A'))
    respond(responder, queryBytes(`10-0-0-${index % 250}.default.pod.cluster.local`, 'A'))
  }
  t.equal(responder.prebuilt, 0)
  t.end()
})

t.test('twenty thousand hostile messages', (t) => {
  const answers = hostile(20_000, Number(process.env['VIADUCT_FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff))
  t.ok(
    answers['FORMERR']! > 1000 && answers['none']! > 100 && answers['NOERROR']! > 100,
    JSON.stringify(answers),
  )
  t.end()
})

t.test('rate limits: of one network, of one kind of answer', (t) => {
  const limit = new RateLimit({ responsesPerSecond: 10, burst: 5, slip: 2 }, 1)
  const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)
  const judge = (address: Uint8Array, kind = 1, seconds = 100) => limit.judge(address, kind, seconds)
  const verdicts = Array.from({ length: 9 }, (_, index) => judge(of(192, 0, 2, index)))
  t.same(verdicts, ['send', 'send', 'send', 'send', 'send', 'drop', 'cut', 'drop', 'cut'])
  t.equal(judge(of(192, 0, 3, 1)), 'send', 'another network')
  t.equal(judge(of(192, 0, 2, 1), 2), 'send', 'another kind')
  t.equal(judge(of(192, 0, 2, 1), 1, 100.11), 'send', 'a tenth of a second later')
  t.not(judge(of(192, 0, 2, 1), 1, 100.12), 'send')
  const v6 = (last: number, seventh = 0) =>
    of(0x20, 1, 0xd, 0xb8, 0, 0, 0, seventh, 0, 0, 0, 0, 0, 0, 0, last)
  const six = Array.from({ length: 6 }, (_, index) => judge(v6(index, index)))
  t.not(six[5], 'send', 'a /56 is one network')
  t.throws(() => new RateLimit({ responsesPerSecond: 0 }, 1), /^rateLimit.responsesPerSecond/)
  t.throws(() => new RateLimit({ responsesPerSecond: 1, slip: -1 }, 1), /^rateLimit.slip/)
  t.end()
})

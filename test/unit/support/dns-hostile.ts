/** Hostile messages through a responder: each is answered as the protocol has it, or not at all. */
import { decode, encode } from 'dns-packet'
import { longestMessage, Responder } from '../../../src/dns/responder.js'
import { queryBytes } from '../../conformance/dns/client.js'
import { mutated, randomFrom, respond, usualObjects, zoneOf } from './dns.js'

const names = [
  'web.default.svc.cluster.local',
  '_http._tcp.db.default.svc.cluster.local',
  'db.default.svc.cluster.local',
]
const more = [
  'nope.default.svc.cluster.local',
  '10-0-0-1.default.pod.cluster.local',
  '7.0.96.10.in-addr.arpa',
  'example.com',
]

function wellFormed(): Uint8Array[] {
  const queries = [...names, ...more].flatMap((name) =>
    ['A', 'SRV', 'PTR', 'ANY'].flatMap((type) => [
      queryBytes(name, type),
      queryBytes(name, type, { udpBytes: 4096 }),
    ]),
  )
  const signed = encode({
    type: 'query',
    id: 7,
    questions: [{ name: names[0]!, type: 'A' }],
    additionals: [
      { type: 'A', name: 'x.example', data: '192.0.2.1' },
      { type: 'TXT', name: 'y.example', data: 'z' },
    ],
  })
  const answer = encode({ type: 'response', id: 8, questions: [{ name: names[0]!, type: 'A' }] })
  return [...queries, signed, answer]
}

/** @throws Error, with the message, where something is answered that should not be. @returns how many were answered how */
export function hostile(count: number, seed: number): Record<string, number> {
  const random = randomFrom(seed)
  const responder = new Responder([zoneOf(usualObjects, 'insecure').zone], undefined)
  const messages = wellFormed()
  const answers: Record<string, number> = {}
  for (let done = 0; done < count; done++) {
    const message = mutated(messages, random)
    const transport = random(2) === 0 ? 'udp' : 'tcp'
    const wrong = (why: string): Error =>
      new Error(`${why} to ${Buffer.from(message).toString('hex')} (seed ${seed})`)
    let answer: Uint8Array | undefined
    try {
      answer = respond(responder, message, transport)
    } catch (error) {
      throw wrong(String(error))
    }
    const isQuery = message.length >= 12 && (message[2]! & 0x80) === 0
    if (isQuery !== (answer !== undefined)) throw wrong(isQuery ? 'no answer' : 'an answer')
    if (answer === undefined) {
      answers['none'] = (answers['none'] ?? 0) + 1
      continue
    }
    const most = transport === 'tcp' ? longestMessage : 1232
    if (answer.length > most) throw wrong(`${answer.length} bytes`)
    if (answer[0] !== message[0] || answer[1] !== message[1]) throw wrong('another id')
    const decoded = decode(Buffer.from(answer)) as ReturnType<typeof decode> & { readonly rcode: string }
    if (decode.bytes !== answer.length || !decoded.flag_qr) throw wrong('no whole answer')
    answers[decoded.rcode] = (answers[decoded.rcode] ?? 0) + 1
  }
  return answers
}

/** Writes answers: the question as it was asked, records that point to it, and as many of them as there is room for. */
import { type Answer, encode } from 'dns-packet'
import { isWithin } from './names.js'
import { type Edns, flag, headerBytes, type Query, type Rcode, rcodes, repeated } from './query.js'
import type { ResourceRecord } from './records.js'

/** What is to be said. */
export interface Reply {
  readonly rcode: Rcode
  readonly isAuthoritative?: boolean | undefined
  /** Other names are looked up elsewhere (RA). */
  readonly recursionAvailable?: boolean | undefined
  /** Nothing is told but that TCP is to be used. */
  readonly isCut?: boolean | undefined
  readonly answers?: readonly ResourceRecord[] | undefined
  readonly authorities?: readonly ResourceRecord[] | undefined
  /** Left out where there is no room. */
  readonly additionals?: readonly ResourceRecord[] | undefined
}

/** What we can take over UDP: a packet of 1,280 bytes, the least that IPv6 carries everywhere. */
export const ourUdpBytes = 1232
/** Without EDNS (RFC 1035). */
export const plainUdpBytes = 512
export const optBytes = 11

/** The owner name of a record that has the name of the question. */
export const toQuestion = Uint8Array.of(0xc0, headerBytes)

/** As short as it can be said: what is above the question stands in it. */
function ownerBytes(name: string, query: Query): Uint8Array {
  if (name === query.name) return toQuestion
  return isWithin(query.name, name) ? toEndOfQuestion(name, query.questionEnd) : nameBytes(name)
}

/** @param questionEnd where the question ends, with its type and class */
export function toEndOfQuestion(name: string, questionEnd: number): Uint8Array {
  const place = questionEnd - 4 - (name.length + 2)
  return Uint8Array.of(0xc0 | (place >> 8), place)
}

/**
 * @param message the query: its question is repeated
 * @param limit bytes that the client takes
 * @returns bytes written
 */
export function writeReply(
  message: Uint8Array,
  query: Query,
  reply: Reply,
  target: Uint8Array,
  at: number,
  limit: number,
): number {
  const { questionEnd, edns } = query
  const hasQuestion = questionEnd > headerBytes
  target.set(message.subarray(0, questionEnd), at)
  let end = questionEnd
  let isCut = reply.isCut === true
  const room = limit - (edns === undefined ? 0 : optBytes)
  const write = (records: readonly ResourceRecord[] = [], mayLack = false): number => {
    let count = 0
    for (const record of isCut ? [] : records) {
      const own = ownerBytes(record.name, query)
      const rest = recordBytes(record)
      if (end + own.length + rest.length > room) {
        isCut ||= !mayLack
        break
      }
      target.set(own, at + end)
      target.set(rest, at + end + own.length)
      end += own.length + rest.length
      count++
    }
    return count
  }
  const counts = [write(reply.answers), write(reply.authorities), write(reply.additionals, true)] as const
  const code = rcodes[reply.rcode]
  const flags =
    (query.flags & repeated) |
    flag.response |
    (reply.isAuthoritative === true ? flag.authoritative : 0) |
    (isCut ? flag.truncated : 0) |
    (reply.recursionAvailable === true ? flag.available : 0) |
    (code & 15)
  putWord(target, at + 2, flags)
  putWord(target, at + 4, hasQuestion ? 1 : 0)
  putWord(target, at + 6, counts[0])
  putWord(target, at + 8, counts[1])
  putWord(target, at + 10, counts[2] + (edns === undefined ? 0 : 1))
  if (edns !== undefined) end += writeOpt(target, at + end, edns, code)
  return end
}

/** @returns bytes written */
export function writeOpt(
  target: Uint8Array,
  at: number,
  { wantsSignatures }: Pick<Edns, 'wantsSignatures'>,
  code: number,
): number {
  target.fill(0, at, at + optBytes)
  target[at + 2] = 41
  putWord(target, at + 3, ourUdpBytes)
  target[at + 5] = code >> 4
  target[at + 7] = wantsSignatures ? 0x80 : 0
  return optBytes
}

export function putWord(target: Uint8Array, at: number, value: number): void {
  target[at] = value >> 8
  target[at + 1] = value
}

/** A name on the wire. */
export function nameBytes(name: string): Uint8Array {
  if (name === '') return Uint8Array.of(0)
  return Buffer.from(`${name.split('.').map(lengthFirst).join('')}\0`, 'latin1')
}

function lengthFirst(label: string): string {
  return String.fromCharCode(label.length) + label
}

/** The last SOA: every answer that says no has it. */
let lastSoa: { readonly record: string; readonly bytes: Uint8Array } | undefined

/** A record on the wire, but for its name. */
export function recordBytes(record: ResourceRecord): Uint8Array {
  if (record.type !== 'SOA') return encodeRecord(record)
  const key = `${record.ttl} ${record.data}`
  if (lastSoa?.record !== key) lastSoa = { record: key, bytes: encodeRecord(record) }
  return lastSoa.bytes
}

function encodeRecord({ type, ttl, data }: ResourceRecord): Uint8Array {
  const encoded = encode({ type: 'response', answers: [packetAnswer(type, ttl, data)] })
  // The header, and the root's name.
  return encoded.subarray(headerBytes + 1)
}

/** As dns-packet has it. */
function packetAnswer(type: ResourceRecord['type'], ttl: number, data: string): Answer {
  const name = '.'
  if (type === 'SRV') {
    const [priority, weight, port, target] = data.split(' ') as [string, string, string, string]
    return {
      type,
      name,
      ttl,
      data: { priority: Number(priority), weight: Number(weight), port: Number(port), target },
    }
  }
  if (type === 'SOA') {
    const [mname, rname, ...numbers] = data.split(' ') as [string, string, ...string[]]
    const [serial, refresh, retry, expire, minimum] = numbers.map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ]
    return { type, name, ttl, data: { mname, rname, serial, refresh, retry, expire, minimum } }
  }
  return { type, name, ttl, data }
}

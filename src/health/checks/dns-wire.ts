/** DNS messages (RFC 1035), as far as a check needs them: one question out, the answer's records in. Pure. */
import { formatAddress } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'

/** A type of records that can be asked for. */
export type RecordType = 'A' | 'NS' | 'CNAME' | 'SOA' | 'PTR' | 'MX' | 'TXT' | 'AAAA' | 'SRV'
/** RFC 1035, 3.2.2; RFC 3596 (AAAA); RFC 2782 (SRV). */
export const recordTypes: Readonly<Record<RecordType, number>> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
}

/** The code of an answer. */
export type ResponseCode = 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED'
/** By their numbers: RFC 1035, 4.1.1. */
export const responseCodes: readonly ResponseCode[] = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
]

/** A name as labels with their lengths. @throws ValidationError */
export function encodeName(name: string): Uint8Array {
  if (typeof name !== 'string') throw new ValidationError('check.name', name, 'a name')
  const labels = name === '.' ? [] : name.replace(/\.$/, '').split('.')
  const bytes: number[] = []
  for (const label of labels) {
    const text = new TextEncoder().encode(label)
    if (text.length === 0 || text.length > 63) {
      throw new ValidationError('check.name', name, 'a name of labels of 1 to 63 bytes')
    }
    bytes.push(text.length, ...text)
  }
  bytes.push(0)
  if (bytes.length > 255) throw new ValidationError('check.name', name, 'a name of at most 255 bytes')
  return Uint8Array.from(bytes)
}

/** One question, with recursion asked for. */
export function encodeQuery(id: number, name: Uint8Array, type: RecordType): Uint8Array {
  const message = new Uint8Array(12 + name.length + 4)
  const view = new DataView(message.buffer)
  view.setUint16(0, id)
  view.setUint16(2, 0x0100)
  view.setUint16(4, 1)
  message.set(name, 12)
  view.setUint16(12 + name.length, recordTypes[type])
  view.setUint16(14 + name.length, 1)
  return message
}

/** What an answer says. */
export interface DnsAnswer {
  readonly id: number
  readonly responseCode: number
  readonly isTruncated: boolean
  /** Records of the answer by type; addresses for A and AAAA, empty text for others. */
  readonly records: readonly { readonly type: number; readonly value: string }[]
}

/** Undefined for what is no answer to this question: cut, another question, lengths that do not fit. */
export function readAnswer(bytes: Uint8Array, name: Uint8Array, type: RecordType): DnsAnswer | undefined {
  if (bytes.length < 12) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const flags = view.getUint16(2)
  const answer = { id: view.getUint16(0), responseCode: flags & 15, isTruncated: (flags & 0x0200) !== 0 }
  if ((flags & 0x8000) === 0) return undefined
  const questions = view.getUint16(4)
  // A server that does not understand may leave the question out.
  if (questions === 0 && answer.responseCode !== 0) return { ...answer, records: [] }
  let at = 12 + name.length + 4
  if (questions !== 1 || bytes.length < at) return undefined
  if (!name.every((byte, index) => lower(bytes[12 + index]!) === lower(byte))) return undefined
  if (view.getUint16(12 + name.length) !== recordTypes[type]) return undefined
  const records: { type: number; value: string }[] = []
  for (let left = view.getUint16(6); left > 0; left--) {
    at = afterName(bytes, at)
    if (at + 10 > bytes.length) return answer.isTruncated ? { ...answer, records } : undefined
    const length = view.getUint16(at + 8)
    const from = at + 10
    if (from + length > bytes.length) return answer.isTruncated ? { ...answer, records } : undefined
    records.push({
      type: view.getUint16(at),
      value: valueOf(view.getUint16(at), bytes.subarray(from, from + length)),
    })
    at = from + length
  }
  return { ...answer, records }
}

function valueOf(type: number, data: Uint8Array): string {
  const isAddress =
    (type === recordTypes.A && data.length === 4) || (type === recordTypes.AAAA && data.length === 16)
  return isAddress ? formatAddress(data) : ''
}

/** Names are skipped and not read, so that pointers need not be followed. Beyond the end for what is no name. */
function afterName(bytes: Uint8Array, start: number): number {
  let at = start
  while (at < bytes.length) {
    const length = bytes[at]!
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    if (length >= 0x40) break
    at += 1 + length
  }
  return Infinity
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

/** Reads queries. The question is read here, for a name may hold any byte; the rest of unusual ones is left to dns-packet. */
import { decode } from 'dns-packet'

/** Numbers of answers (RFC 1035, RFC 6891). */
export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const
export type Rcode = keyof typeof rcodes

/** Bits of the second word. */
export const flag = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  wanted: 0x0100,
  available: 0x0080,
}
/** What an answer repeats of the query: the operation, that recursion is desired, that checking is disabled. */
export const repeated = 0x7910

export const headerBytes = 12

/** The query has an OPT record (RFC 6891). */
export interface Edns {
  /** How many bytes of UDP the client can take. */
  readonly udpBytes: number
  readonly version: number
  /** DO: it asks for signatures. */
  readonly wantsSignatures: boolean
}

/** What was asked. */
export interface Query {
  readonly id: number
  readonly flags: number
  /** Where the question ends; 12 if it could not be read. */
  readonly questionEnd: number
  /** In small letters, without the final dot; bytes that no name of ours has are escaped. `''` is the root. */
  readonly name: string
  readonly type: number
  readonly class: number
  readonly edns: Edns | undefined
  /** What is wrong with it. */
  readonly error: Rcode | undefined
}

/** @returns undefined for what gets no answer: it is too short, or one itself */
export function readQuery(bytes: Uint8Array): Query | undefined {
  if (bytes.length < headerBytes) return undefined
  const flags = word(bytes, 2)
  if ((flags & flag.response) !== 0) return undefined
  const id = word(bytes, 0)
  const none = { id, flags, questionEnd: headerBytes, name: '', type: 0, class: 0, edns: undefined }
  if ((flags & 0x7800) !== 0) return { ...none, error: 'NOTIMP' }
  const name = word(bytes, 4) === 1 ? readName(bytes, headerBytes) : undefined
  if (name === undefined || name.end + 4 > bytes.length) return { ...none, error: 'FORMERR' }
  const questionEnd = name.end + 4
  const asked = {
    id,
    flags,
    questionEnd,
    name: name.text,
    type: word(bytes, name.end),
    class: word(bytes, name.end + 2),
  }
  const isPlain = word(bytes, 6) === 0 && word(bytes, 8) === 0
  const more = word(bytes, 10)
  if (isPlain && more === 0 && questionEnd === bytes.length)
    return { ...asked, edns: undefined, error: undefined }
  const edns = isPlain && more === 1 ? readOpt(bytes, questionEnd) : undefined
  const rest = edns === undefined ? readRest(bytes) : { edns, isWell: true }
  const error = !rest.isWell ? 'FORMERR' : (rest.edns?.version ?? 0) > 0 ? 'BADVERS' : undefined
  return { ...asked, edns: rest.edns, error }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

/** A name without pointers: in a question there is nothing before it to point to. */
function readName(
  bytes: Uint8Array,
  from: number,
): { readonly text: string; readonly end: number } | undefined {
  let text = ''
  let at = from
  for (;;) {
    const length = bytes[at]
    if (length === undefined || length > 63 || at - from + length > 254) return undefined
    at++
    if (length === 0) return { text, end: at }
    if (at + length >= bytes.length) return undefined
    if (text !== '') text += '.'
    for (const end = at + length; at < end; at++) text += characters[bytes[at]!]!
  }
}

/** Each byte as a part of a label: what is no letter, digit, `-` or `_` is escaped, so that no two names look the same. */
const characters = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte).toLowerCase()
  return byte < 128 && /[a-z0-9_*-]/.test(character) ? character : `\\${String(byte).padStart(3, '0')}`
})

/** The OPT record alone, up to the end. */
function readOpt(bytes: Uint8Array, at: number): Edns | undefined {
  if (bytes.length < at + 11 || bytes[at] !== 0 || word(bytes, at + 1) !== 41) return undefined
  const end = at + 11 + word(bytes, at + 9)
  if (end !== bytes.length) return undefined
  for (let option = at + 11; option < end; option += 4 + word(bytes, option + 2)) {
    if (option + 4 > end || option + 4 + word(bytes, option + 2) > end) return undefined
  }
  const udpBytes = word(bytes, at + 3)
  return { udpBytes, version: bytes[at + 6]!, wantsSignatures: (bytes[at + 7]! & 0x80) !== 0 }
}

/** Whatever stands after the question. */
function readRest(bytes: Uint8Array): { readonly edns: Edns | undefined; readonly isWell: boolean } {
  const bad = { edns: undefined, isWell: false }
  try {
    const packet = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    if (decode.bytes !== bytes.length) return bad
    const options = (packet.additionals ?? []).filter((record) => record.type === 'OPT')
    const [opt] = options
    if (opt === undefined) return { edns: undefined, isWell: true }
    if (options.length > 1 || opt.type !== 'OPT' || opt.name !== '.') return bad
    const { udpPayloadSize, ednsVersion, flag_do } = opt
    return {
      edns: { udpBytes: udpPayloadSize, version: ednsVersion, wantsSignatures: flag_do },
      isWell: true,
    }
  } catch {
    return bad
  }
}

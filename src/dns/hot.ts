/** Answers of the zone as bytes, found by the bytes of the question: the usual query costs a look-up and a copy. */
import { nameBytes, optBytes, ourUdpBytes, plainUdpBytes, recordBytes, writeOpt } from './answer.js'
import { headerBytes } from './query.js'
import type { ResourceRecord } from './records.js'

/** An answer, but for the header and the question. */
interface Kept {
  /** The question in small letters: name and type. */
  readonly key: Uint8Array
  readonly hash: number
  /** Whole records, each of which points to the question. */
  readonly bytes: Uint8Array
  /** Where each record of the answer begins, and where the last one ends. */
  readonly places: readonly number[]
  readonly additionals: number
}

/** What is to be kept: records of one name and type, sorted, and what belongs to them. */
export interface HotAnswer {
  /** In small letters, without the final dot. */
  readonly name: string
  readonly type: number
  readonly answers: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

const classIn = 1
const typeOpt = 41
/** Of header bits: recursion desired in the first byte; authentic data and checking disabled in the second one. */
const wanted = 0x01
const authentic = 0x20
const unchecked = 0x10
const answered = 0x84
const available = 0x80

/** Only answers that exist are kept, so that what strangers ask for takes no room. */
export class HotAnswers {
  readonly #kept = new Map<number, Kept[]>()
  readonly #byName = new Map<string, Kept[]>()
  readonly #secondByte: number

  constructor(options: { readonly recursionAvailable: boolean }) {
    this.#secondByte = options.recursionAvailable ? available : 0
  }

  /** How many there are. */
  get size(): number {
    let size = 0
    for (const list of this.#byName.values()) size += list.length
    return size
  }

  has(name: string, type: number): boolean {
    const list = this.#byName.get(name) ?? []
    return list.some(({ key }) => key[key.length - 2] === type >> 8 && key[key.length - 1] === (type & 255))
  }

  keep({ name, type, answers, additionals }: HotAnswer): void {
    const key = Uint8Array.of(...nameBytes(name), type >> 8, type & 255)
    const parts: Uint8Array[] = []
    const places = [0]
    for (const record of answers) {
      const bytes = recordBytes(record)
      parts.push(Uint8Array.of(0xc0, headerBytes), bytes)
      places.push(places.at(-1)! + 2 + bytes.length)
    }
    for (const record of additionals) parts.push(nameBytes(record.name), recordBytes(record))
    let hash = seed
    for (const byte of key) hash = mixed(hash, byte)
    const bytes = new Uint8Array(Buffer.concat(parts))
    const kept = { key, hash, bytes, places, additionals: additionals.length }
    put(this.#kept, hash, kept)
    put(this.#byName, name, kept)
  }

  forget(names: Iterable<string>): void {
    for (const name of names) {
      for (const kept of this.#byName.get(name) ?? []) {
        const rest = this.#kept.get(kept.hash)!.filter((other) => other !== kept)
        if (rest.length === 0) this.#kept.delete(kept.hash)
        else this.#kept.set(kept.hash, rest)
      }
      this.#byName.delete(name)
    }
  }

  /**
   * Answers a query of the usual form: one question, and at most an OPT record without options.
   * @param limit of bytes; undefined is what the client takes over UDP
   * @param turn which of several records comes first
   * @returns bytes written; 0 where it is none, or there is no such answer, or no room for it
   */
  answer(
    source: Uint8Array,
    from: number,
    length: number,
    target: Uint8Array,
    to: number,
    turn: number,
    limit: number | undefined,
  ): number {
    const first = source[from + 2]!
    const second = source[from + 3]!
    const more = source[from + 11]!
    if (
      length < headerBytes + 5 ||
      (first & ~wanted) !== 0 ||
      (second & ~(authentic | unchecked)) !== 0 ||
      source[from + 4] !== 0 ||
      source[from + 5] !== 1 ||
      (source[from + 6]! | source[from + 7]! | source[from + 8]! | source[from + 9]! | source[from + 10]!) !==
        0 ||
      more > 1
    ) {
      return 0
    }
    // The question is repeated as it was asked, and compared in small letters: lengths of labels are below those.
    const last = from + length
    let at = from + headerBytes
    let out = to + headerBytes
    let hash = seed
    let left = 0
    for (; at < last; at++) {
      let byte = source[at]!
      target[out++] = byte
      if (left === 0) {
        if (byte === 0) break
        if (byte > 63) return 0
        left = byte
      } else {
        left--
        if (byte >= 65 && byte <= 90) byte |= 32
      }
      hash = mixed(hash, byte)
    }
    const type = at + 1
    const end = type + 4
    if (end > last || source[type + 2] !== 0 || source[type + 3] !== classIn) return 0
    hash = mixed(mixed(mixed(hash, 0), source[type]!), source[type + 1]!)
    const kept = this.#find(hash, source, from + headerBytes, type + 2)
    if (kept === undefined) return 0
    let most = plainUdpBytes
    if (more === 1) {
      if (last !== end + optBytes || !isBareOpt(source, end)) return 0
      most = Math.min(Math.max((source[end + 3]! << 8) | source[end + 4]!, plainUdpBytes), ourUdpBytes)
    } else if (last !== end) return 0
    most = (limit ?? most) - more * optBytes
    const { bytes, places, additionals } = kept
    const count = places.length - 1
    const questionEnd = end - from
    if (questionEnd + bytes.length > most) return 0

    target[to] = source[from]!
    target[to + 1] = source[from + 1]!
    target[to + 2] = answered | first
    target[to + 3] = this.#secondByte | (second & unchecked)
    target[to + 4] = 0
    target[to + 5] = 1
    target[to + 6] = count >> 8
    target[to + 7] = count
    target[to + 8] = 0
    target[to + 9] = 0
    const beside = additionals + more
    target[to + 10] = beside >> 8
    target[to + 11] = beside
    target[out++] = source[type]!
    target[out++] = source[type + 1]!
    target[out++] = 0
    target[out++] = classIn
    const begin = places[turn % count]!
    const middle = places[count]!
    out = copy(bytes, begin, middle, target, out)
    out = copy(bytes, 0, begin, target, out)
    out = copy(bytes, middle, bytes.length, target, out)
    if (more === 1) {
      const wantsSignatures = (source[end + 7]! & 0x80) !== 0
      out += writeOpt(target, out, { wantsSignatures }, 0)
    }
    return out - to
  }

  #find(hash: number, source: Uint8Array, from: number, to: number): Kept | undefined {
    const list = this.#kept.get(hash)
    if (list === undefined) return undefined
    for (const kept of list) if (isSame(kept.key, source, from, to)) return kept
    return undefined
  }
}

/** FNV-1a of 32 bits. */
const seed = 0x811c9dc5 | 0
function mixed(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193)
}

/** But for small letters in the name; the two bytes of the type stand last. */
function isSame(key: Uint8Array, source: Uint8Array, from: number, to: number): boolean {
  const { length } = key
  if (to - from !== length) return false
  for (let index = 0; index < length; index++) {
    let byte = source[from + index]!
    if (byte >= 65 && byte <= 90 && index < length - 2) byte |= 32
    if (byte !== key[index]) return false
  }
  return true
}

/** OPT of version 0 without options. */
function isBareOpt(source: Uint8Array, at: number): boolean {
  return (
    source[at] === 0 &&
    source[at + 1] === 0 &&
    source[at + 2] === typeOpt &&
    source[at + 6] === 0 &&
    source[at + 9] === 0 &&
    source[at + 10] === 0
  )
}

/** Some bytes are copied faster one by one. */
const fewBytes = 64

function copy(source: Uint8Array, from: number, end: number, target: Uint8Array, to: number): number {
  if (end - from > fewBytes) target.set(source.subarray(from, end), to)
  else for (let index = from; index < end; index++) target[to + index - from] = source[index]!
  return to + end - from
}

function put<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

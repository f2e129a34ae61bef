/** Answers of the zone as bytes, found by the bytes of the question: the usual query costs a look-up and a copy. */
import {
  nameBytes,
  optBytes,
  ourUdpBytes,
  plainUdpBytes,
  recordBytes,
  toEndOfQuestion,
  toQuestion,
  writeOpt,
} from './answer.js'
import { hashSeed, mixed } from './names.js'
import { headerBytes, rcodes } from './query.js'
import type { ResourceRecord } from './records.js'
import { SteadyMap } from './steady-map.js'
import type { Zone } from './zone.js'

/** An answer, but for the header and the question. */
interface Kept {
  /** The question in small letters: name and type. */
  readonly key: Uint8Array
  readonly hash: number
  /** Whole records, each of which points to the question. Empty where there are none: what is said then changes with the zone. */
  readonly bytes: Uint8Array
  /** Where each record of the answer begins, and where the last one ends. */
  readonly places: readonly number[]
  readonly additionals: number
  /** Whose SOA says how long there is none. */
  readonly domain: Domain | undefined
}

/** What is to be kept: records of one name and type, sorted, and what belongs to them. */
export interface HotAnswer {
  /** In small letters, without the final dot. */
  readonly name: string
  readonly type: number
  readonly answers: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

/** A zone, and what it says where there is nothing. */
interface Domain {
  readonly zone: Zone
  /** On the wire, without the final zero. */
  readonly apex: Uint8Array
  readonly labels: number
  serial: number
  /** Its SOA, but for the name. */
  soa: Uint8Array
}

const classIn = 1
const typeOpt = 41
const typeAny = 255
/** What is asked for of these is no record. */
const isSpecial = (type: number): boolean =>
  type === 0 || type === typeOpt || (type >= 128 && type <= typeAny)
/** Of header bits: recursion desired in the first byte; authentic data and checking disabled in the second one. */
const wanted = 0x01
const authentic = 0x20
const unchecked = 0x10
const answered = 0x84
const available = 0x80
const longestName = 254
const mostLabels = 128

/** Where the labels of the question begin. */
const starts = new Uint16Array(mostLabels)

/**
 * Kept are answers for names that are there, so that what strangers ask for takes no room. That a name is not there is told by the
 * hashes of those that are.
 */
export class HotAnswers {
  readonly #kept = new SteadyMap<number, Kept[]>()
  readonly #byName = new SteadyMap<string, Kept[]>()
  readonly #domains: readonly Domain[]
  readonly #secondByte: number

  constructor(options: { readonly zones: readonly Zone[]; readonly recursionAvailable: boolean }) {
    this.#secondByte = options.recursionAvailable ? available : 0
    this.#domains = options.zones.map((zone) => {
      const apex = nameBytes(zone.name)
      const soa = recordBytes(zone.soa(zone.name))
      const labels = zone.name.split('.').length
      return { zone, apex: apex.subarray(0, apex.length - 1), labels, serial: zone.serial, soa }
    })
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
    const parts: Uint8Array[] = []
    const places = [0]
    for (const record of answers) {
      const bytes = recordBytes(record)
      parts.push(toQuestion, bytes)
      places.push(places.at(-1)! + 2 + bytes.length)
    }
    // As they are written anew: what is above the question is pointed to there, and lengths depend on it.
    const questionEnd = headerBytes + name.length + 2 + 4
    for (const { name: owner, ...record } of additionals) {
      const isAbove = name.endsWith(`.${owner}`)
      parts.push(
        isAbove ? toEndOfQuestion(owner, questionEnd) : nameBytes(owner),
        recordBytes({ name: owner, ...record }),
      )
    }
    const bytes = new Uint8Array(Buffer.concat(parts))
    this.#put(name, type, { bytes, places, additionals: additionals.length, domain: undefined })
  }

  /** That there is nothing of that type. */
  keepNone(zone: Zone, name: string, type: number): void {
    const domain = this.#domains.find((one) => one.zone === zone)
    this.#put(name, type, { bytes: new Uint8Array(0), places: [], additionals: 0, domain })
  }

  #put(name: string, type: number, rest: Omit<Kept, 'key' | 'hash'>): void {
    const key = Uint8Array.of(...nameBytes(name), type >> 8, type & 255)
    let hash = hashSeed
    for (const byte of key) hash = mixed(hash, byte)
    const kept = { key, hash, ...rest }
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
    const begin = from + headerBytes
    const last = Math.min(from + length, begin + longestName + 5)
    let at = begin
    let out = to + headerBytes
    let nameHash = hashSeed
    let left = 0
    let labels = 0
    for (; at < last; at++) {
      let byte = source[at]!
      target[out++] = byte
      if (left === 0) {
        if (byte === 0) break
        if (byte > 63) return 0
        left = byte
        starts[labels++] = at
      } else {
        left--
        if (byte >= 65 && byte <= 90) byte |= 32
      }
      nameHash = mixed(nameHash, byte)
    }
    const type = at + 1
    const end = type + 4
    if (end > from + length || at - begin > longestName) return 0
    if (source[type + 2] !== 0 || source[type + 3] !== classIn) return 0
    let most = plainUdpBytes
    if (more === 1) {
      if (from + length !== end + optBytes || !isBareOpt(source, end)) return 0
      most = Math.min(Math.max((source[end + 3]! << 8) | source[end + 4]!, plainUdpBytes), ourUdpBytes)
    } else if (from + length !== end) return 0
    most = (limit ?? most) - more * optBytes

    const hash = mixed(mixed(mixed(nameHash, 0), source[type]!), source[type + 1]!)
    const kept = this.#find(hash, source, begin, type + 2)
    const domain = kept === undefined ? this.#missingFrom(nameHash, source, labels, at, type) : kept.domain
    if (kept === undefined && domain === undefined) return 0
    target[out++] = source[type]!
    target[out++] = source[type + 1]!
    target[out++] = 0
    target[out++] = classIn
    let count = 0
    let authorities = 0
    let additionals = more
    if (domain !== undefined) {
      const soa = soaOf(domain)
      const place = at - from - domain.apex.length
      if (out - to + 2 + soa.length > most) return 0
      target[out++] = 0xc0 | (place >> 8)
      target[out++] = place
      out = copy(soa, 0, soa.length, target, out)
      authorities = 1
    } else {
      const { bytes, places } = kept!
      if (out - to + bytes.length > most) return 0
      count = places.length - 1
      additionals += kept!.additionals
      const middle = places[turn % count]!
      const rest = places[count]!
      out = copy(bytes, middle, rest, target, out)
      out = copy(bytes, 0, middle, target, out)
      out = copy(bytes, rest, bytes.length, target, out)
    }
    if (more === 1) {
      const wantsSignatures = (source[end + 7]! & 0x80) !== 0
      out += writeOpt(target, out, { wantsSignatures }, 0)
    }
    target[to] = source[from]!
    target[to + 1] = source[from + 1]!
    target[to + 2] = answered | first
    target[to + 3] = this.#secondByte | (second & unchecked) | (kept === undefined ? rcodes.NXDOMAIN : 0)
    target[to + 4] = 0
    target[to + 5] = 1
    target[to + 6] = count >> 8
    target[to + 7] = count
    target[to + 8] = 0
    target[to + 9] = authorities
    target[to + 10] = additionals >> 8
    target[to + 11] = additionals
    return out - to
  }

  #find(hash: number, source: Uint8Array, from: number, to: number): Kept | undefined {
    const list = this.#kept.get(hash)
    if (list === undefined) return undefined
    for (const kept of list) if (isSame(kept.key, source, from, to, kept.key.length - 2)) return kept
    return undefined
  }

  /** The zone that would have the name, and has none of that hash. */
  #missingFrom(
    hash: number,
    source: Uint8Array,
    labels: number,
    end: number,
    type: number,
  ): Domain | undefined {
    if (isSpecial((source[type]! << 8) | source[type + 1]!)) return undefined
    for (const domain of this.#domains) {
      const below = labels - domain.labels
      if (below < 1 || !isSame(domain.apex, source, starts[below]!, end, domain.apex.length)) continue
      if (
        domain.zone.hasAnyPods &&
        isSame(podLabel, source, starts[below - 1]!, starts[below]!, podLabel.length)
      )
        return undefined
      return domain.zone.mayHave(hash) ? undefined : domain
    }
    return undefined
  }
}

const podLabel = Uint8Array.of(3, 112, 111, 100)

function soaOf(domain: Domain): Uint8Array {
  const { zone } = domain
  if (domain.serial !== zone.serial) {
    domain.serial = zone.serial
    domain.soa = recordBytes(zone.soa(zone.name))
  }
  return domain.soa
}

/** But for small letters in the name, of which there are so many bytes. */
function isSame(key: Uint8Array, source: Uint8Array, from: number, to: number, name: number): boolean {
  const { length } = key
  if (to - from !== length) return false
  for (let index = 0; index < length; index++) {
    let byte = source[from + index]!
    if (byte >= 65 && byte <= 90 && index < name) byte |= 32
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

function put<K, V>(map: SteadyMap<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

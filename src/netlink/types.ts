import { formatAddress, readIPv4, readIPv6, writeIPv4, writeIPv6 } from '../address/index.js'
import { text as show } from '../errors/kind.js'
import { MalformedMessageError } from '../errors/index.js'
import { hostIsLittleEndian } from './constants.js'
import type { Writer } from './writer.js'

/**
 * The payload of an attribute: how it is written, read, checked and described. Each type is one object, used by the
 * compiled codecs and by the one that walks the table, so the two cannot differ in what a value means.
 */
export interface AttributeType<In, Out = In> {
  /** `u32`, `be16`, `nested service`: for reference pages and messages. */
  readonly name: string
  /** What a caller may give: `an integer from 0 to 65535`. */
  readonly expected: string
  /** Set on the attribute's type number: NLA_F_NESTED for nests. */
  readonly wireFlags?: number
  /** Needs what else the record holds (an address needs the family): read when all others are. */
  readonly deferred?: boolean
  /** Padding (`*_ATTR_PAD`) carries nothing and is dropped on reading. */
  readonly padding?: boolean
  /** The table of what is inside, for paths; `record` is what the value stands in. */
  readonly fields?: (record: object) => FieldsTable
  /** Bytes of a fixed header before what is inside; none unless said. */
  readonly fieldsAt?: number
  /** What is said by leaving the attribute out: the kernel tells it in dumps, and refuses it where it is sent. */
  readonly omits?: (value: never, record: object) => boolean
  /** The first kernel that has this value, where that is later than the attribute itself; of a list, for each in it. */
  readonly sinceOf?: (value: string) => string | undefined
  /** Of a list: what each entry is. */
  readonly entry?: AttributeType<never, unknown>
  /**
   * Appends the payload; throws `InvalidValue` for what `expected` excludes, or a ValidationError whose path begins at
   * the value. `record` is what the value stands in.
   */
  write(writer: Writer, value: In, record: object): void
  /** Reads `length` bytes at `offset`; throws a MalformedMessageError for what is too short. `record` is what was read so far. */
  read(bytes: Uint8Array, view: DataView, offset: number, length: number, record: object): Out
}

/** A type whose attribute is left out where `omits` says so. */
export function omitting<In, Out>(
  type: AttributeType<In, Out>,
  omits: (value: In, record: object) => boolean,
): AttributeType<In, Out> {
  return { ...type, omits }
}

/** What an error path needs of a table. */
export interface FieldsTable {
  /** Rows by the attribute's number. */
  readonly byNumber: ReadonlyMap<
    number,
    {
      readonly key: string
      readonly type: AttributeType<never, unknown>
      /** The first kernel that has it. */
      readonly since?: string | undefined
    }
  >
  /** Throws a ValidationError with the path of the first value that its type refuses. */
  explain(value: object, path: string): void
}

/** Callers of JavaScript give what they like. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** Thrown by `write`; the encoder finds out the path and turns it into a ValidationError. */
export class InvalidValue extends Error {
  constructor(
    /** What would have been right: `an integer from 0 to 65535`. */
    readonly expected: string,
  ) {
    super(expected)
  }
}

function short(name: string, length: number, offset: number): MalformedMessageError {
  return new MalformedMessageError(`${name} of ${length} bytes`, offset)
}

function integer(
  bytes: 1 | 2 | 4,
  name: string,
  littleEndian: boolean,
  signed = false,
): AttributeType<number> {
  const least = signed ? -(2 ** (bytes * 8 - 1)) : 0
  const most = signed ? 2 ** (bytes * 8 - 1) - 1 : 2 ** (bytes * 8) - 1
  const expected = `an integer from ${least} to ${most}`
  const check = (value: number): void => {
    if (!Number.isInteger(value) || value < least || value > most) throw new InvalidValue(expected)
  }
  // One closure a width: the view's method is then a constant to the optimizing compiler.
  if (bytes === 1) {
    return {
      name,
      expected,
      write(writer, value) {
        check(value)
        writer.view.setUint8(writer.length++, value)
      },
      read(_, view, offset, length) {
        if (length < 1) throw short(name, length, offset)
        return view.getUint8(offset)
      },
    }
  }
  if (bytes === 2) {
    return {
      name,
      expected,
      write(writer, value) {
        check(value)
        writer.view.setUint16(writer.length, value, littleEndian)
        writer.length += 2
      },
      read(_, view, offset, length) {
        if (length < 2) throw short(name, length, offset)
        return view.getUint16(offset, littleEndian)
      },
    }
  }
  return {
    name,
    expected,
    write(writer, value) {
      check(value)
      writer.view.setUint32(writer.length, value, littleEndian)
      writer.length += 4
    },
    read(_, view, offset, length) {
      if (length < 4) throw short(name, length, offset)
      return signed ? view.getInt32(offset, littleEndian) : view.getUint32(offset, littleEndian)
    },
  }
}

/** An unsigned byte. */
export const u8 = integer(1, 'u8', true)
/** 16 bits in the order of the host. */
export const u16 = integer(2, 'u16', hostIsLittleEndian)
/** 32 bits in the order of the host. */
export const u32 = integer(4, 'u32', hostIsLittleEndian)
/** 32 bits with a sign, in the order of the host. */
export const s32 = integer(4, 's32', hostIsLittleEndian, true)
/** 16 bits in network order. */
export const be16 = integer(2, 'be16', false)
/** 32 bits in network order. */
export const be32 = integer(4, 'be32', false)
/** 32 bits with a sign, in network order. */
export const sbe32 = integer(4, 'sbe32', false, true)

const mostU64 = 2n ** 64n - 1n

function wide(name: string, littleEndian: boolean): AttributeType<bigint> {
  return {
    name,
    expected: 'a bigint from 0n to 18446744073709551615n',
    write(writer, value) {
      if (typeof value !== 'bigint' || value < 0n || value > mostU64) throw new InvalidValue(this.expected)
      writer.view.setBigUint64(writer.length, value, littleEndian)
      writer.length += 8
    },
    read(_, view, offset, length) {
      if (length < 8) throw short(name, length, offset)
      // Most counters of most tables are zero, and a bigint is an object.
      if (view.getUint32(offset, true) === 0 && view.getUint32(offset + 4, true) === 0) return 0n
      return view.getBigUint64(offset, littleEndian)
    },
  }
}

/** 64 bits in the order of the host: a bigint. */
export const u64 = wide('u64', hostIsLittleEndian)
/** 64 bits in network order: a bigint. */
export const be64 = wide('be64', false)

function wideAsNumber(name: string, littleEndian: boolean): AttributeType<number> {
  return {
    name,
    expected: 'an integer from 0 to 9007199254740991',
    write(writer, value) {
      if (!Number.isSafeInteger(value) || value < 0) throw new InvalidValue(this.expected)
      writer.view.setBigUint64(writer.length, BigInt(value), littleEndian)
      writer.length += 8
    },
    read(_, view, offset, length) {
      if (length < 8) throw short(name, length, offset)
      const low = view.getUint32(littleEndian ? offset : offset + 4, littleEndian)
      const high = view.getUint32(littleEndian ? offset + 4 : offset, littleEndian)
      return high * 0x1_0000_0000 + low
    },
  }
}

/** A u64 that is a rate, a gauge or a number, far below 2^53: a number to the user. */
export const u64AsNumber = wideAsNumber('u64', hostIsLittleEndian)
/** The same in network order. */
export const be64AsNumber = wideAsNumber('be64', false)

/** A u32 that newer kernels send as u64: a bigint to the user in both. */
export const u32AsBigint: AttributeType<bigint> = {
  name: 'u32',
  expected: 'a bigint from 0n to 4294967295n',
  write(writer, value) {
    if (typeof value !== 'bigint' || value < 0n || value > 0xffffffffn) throw new InvalidValue(this.expected)
    u32.write(writer, Number(value), {})
  },
  read(bytes, view, offset, length, record) {
    return BigInt(u32.read(bytes, view, offset, length, record))
  },
}

/** Present or not: an attribute without payload. */
export const flag: AttributeType<boolean> = {
  name: 'flag',
  expected: 'true (left out for false)',
  write(_, value) {
    if (value !== true) throw new InvalidValue(this.expected)
  },
  read: () => true,
}

/** A u8 that is 0 or 1. */
export const boolean8: AttributeType<boolean> = {
  name: 'u8 (boolean)',
  expected: 'true or false',
  write(writer, value) {
    if (typeof value !== 'boolean') throw new InvalidValue(this.expected)
    writer.u8(value ? 1 : 0)
  },
  read: (bytes, view, offset, length, record) => u8.read(bytes, view, offset, length, record) !== 0,
}

/** `*_ATTR_PAD`: aligns the next attribute, means nothing. */
export const pad: AttributeType<never> = {
  name: 'pad',
  expected: 'nothing',
  padding: true,
  write() {
    throw new InvalidValue(this.expected)
  },
  read: () => undefined as never,
}

/** Bytes as they are; a copy on reading, because replies live in a buffer that is used again. */
export function bytesOf(least = 0, most = 65531): AttributeType<Uint8Array> {
  return {
    name: 'bytes',
    expected: least === most ? `${least} bytes` : `${least} to ${most} bytes`,
    write(writer, value) {
      if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
        throw new InvalidValue(this.expected)
      }
      writer.append(value)
    },
    read(bytes, _, offset, length) {
      if (length < least) throw short('bytes', length, offset)
      // A structure that a newer kernel has made longer: what is known of it.
      return bytes.slice(offset, offset + Math.min(length, most))
    },
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A NUL-terminated string of `least` to `most` bytes without the NUL (NLA_NUL_STRING). */
export function nulString(most: number, least: 0 | 1 = 1): AttributeType<string> {
  const expected = `a string of ${least} to ${most} bytes without NUL`
  return {
    name: `string(${most})`,
    expected,
    write(writer, value) {
      if (typeof value !== 'string' || value.length < least || value.length > most)
        throw new InvalidValue(expected)
      const start = writer.length
      writer.reserve(value.length * 3 + 1)
      for (let index = 0; index < value.length; index++) {
        const code = value.charCodeAt(index)
        if (code === 0) throw new InvalidValue(expected)
        if (code > 127) {
          writer.length = start
          const bytes = encoder.encode(value)
          if (bytes.length > most) throw new InvalidValue(expected)
          writer.append(bytes)
          break
        }
        writer.bytes[writer.length++] = code
      }
      writer.bytes[writer.length++] = 0
    },
    read: (bytes, _, offset, length) => readText(bytes, offset, length),
  }
}

/**
 * Names come again and again: of tables and chains with each of 100,000 elements, of expressions with each of ten thousand
 * rules. Of those that came before the same string is given.
 */
const knownTexts: (string | undefined)[] = new Array<undefined>(256).fill(undefined)
const mostKnownLength = 64

function readText(bytes: Uint8Array, offset: number, length: number): string {
  const end = offset + length
  let hash = 0
  let at = offset
  for (; at < end; at++) {
    const code = bytes[at]!
    if (code === 0) break
    if (code > 127) {
      const field = bytes.subarray(offset, end)
      const nul = field.indexOf(0)
      return decoder.decode(nul < 0 ? field : field.subarray(0, nul))
    }
    hash = (Math.imul(hash, 31) + code) | 0
  }
  const slot = (hash ^ (hash >>> 8)) & 255
  const known = knownTexts[slot]
  if (known !== undefined && isTextAt(known, bytes, offset, at)) return known
  let text = ''
  for (let index = offset; index < at; index++) text += String.fromCharCode(bytes[index]!)
  if (text.length <= mostKnownLength) knownTexts[slot] = text
  return text
}

function isTextAt(text: string, bytes: Uint8Array, offset: number, end: number): boolean {
  if (text.length !== end - offset) return false
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[offset + index]) return false
  }
  return true
}

/**
 * A number with a name. A number that has none is read as its decimal text and written back from it, so that what a
 * newer kernel knows survives. `since`: the first kernel of those that came later than the attribute.
 */
export function named<const Names extends Readonly<Record<string, number>>>(
  type: AttributeType<number>,
  names: Names,
  since: Since<Names> = {},
): AttributeType<keyof Names & string> & { readonly names: Names } {
  const byNumber = new Map(Object.entries(names).map(([name, number]) => [number, name]))
  const byName = new Map(Object.entries(names))
  const expected = `one of ${Object.keys(names).join(', ')}`
  return {
    name: `${type.name} (${Object.keys(names).join(' | ')})`,
    names,
    expected,
    sinceOf: (name) => (since as Readonly<Record<string, string>>)[name],
    write(writer, value, record) {
      const number = byName.get(value) ?? (/^-?\d+$/.test(value) ? Number(value) : undefined)
      if (number === undefined) throw new InvalidValue(expected)
      type.write(writer, number, record)
    },
    read(bytes, view, offset, length, record) {
      const number = type.read(bytes, view, offset, length, record)
      return byNumber.get(number) ?? String(number)
    },
  }
}

/** The names of a `named` or `bits` type. */
export type NameOf<T> = T extends { readonly names: infer Names } ? keyof Names & string : never

const nothingSet: readonly never[] = Object.freeze([])

/** The first kernel that has a name, of those that came later than the rest: `{ persist: '6.9' }`. */
export type Since<Names> = { readonly [Name in keyof Names]?: string }

/** A set of bits with names. Bits without one are read as `bit-7` and written back from it. `since` as for `named`. */
export function bits<const Names extends Readonly<Record<string, number>>>(
  type: AttributeType<number>,
  names: Names,
  since: Since<Names> = {},
): AttributeType<readonly (keyof Names & string)[]> & { readonly names: Names } {
  const expected = `a list of ${Object.keys(names).join(', ')}`
  return {
    name: `${type.name} of ${Object.keys(names).join(' | ')}`,
    names,
    expected,
    sinceOf: (name) => (since as Readonly<Record<string, string>>)[name],
    write(writer, value, record) {
      if (!Array.isArray(value)) throw new InvalidValue(expected)
      type.write(writer, bitsOf(names, value, expected), record)
    },
    read(bytes, view, offset, length, record) {
      const number = type.read(bytes, view, offset, length, record)
      return number === 0 ? nothingSet : namesOf(names, number)
    },
  }
}

export function bitsOf(
  names: Readonly<Record<string, number>>,
  value: readonly string[],
  expected: string,
): number {
  let number = 0
  for (const name of value) {
    const bit = Object.hasOwn(names, name) ? names[name]! : bitOfText(name)
    if (bit === undefined) throw new InvalidValue(expected)
    number |= bit
  }
  return number >>> 0
}

export function namesOf<Name extends string>(names: Readonly<Record<Name, number>>, number: number): Name[] {
  const list: Name[] = []
  let rest = number
  for (const name in names) {
    if ((number & names[name]) !== 0) {
      list.push(name)
      rest &= ~names[name]
    }
  }
  for (let bit = 0; rest !== 0; bit++, rest >>>= 1) if ((rest & 1) !== 0) list.push(`bit-${bit}` as Name)
  return list
}

function bitOfText(name: string): number | undefined {
  const match = /^bit-([0-9]|[12][0-9]|3[01])$/.exec(name)
  return match === null ? undefined : (1 << Number(match[1])) >>> 0
}

const anyAddress = 'an IPv4 or IPv6 address as text'

/**
 * An address in as many bytes as its family needs. Reading goes by the length, so 4 bytes are IPv4 and 16 are IPv6.
 */
export const ipAddress: AttributeType<string> = {
  name: 'address',
  expected: anyAddress,
  write(writer, value) {
    if (typeof value !== 'string') throw new InvalidValue(anyAddress)
    writeAddress(writer, value, false)
  },
  read(bytes, _, offset, length) {
    if (length !== 4 && length !== 16) throw short('address', length, offset)
    return formatAddress(bytes.subarray(offset, offset + length))
  },
}

/** An address of one family: where the kernel takes so many bytes, and of a longer address the first ones. */
function addressOf(
  name: 'IPv4' | 'IPv6',
  bytes: 4 | 16,
  put: (text: string, target: Uint8Array, offset: number) => boolean,
  take: (source: Uint8Array, offset: number) => string,
): AttributeType<string> {
  const expected = `an ${name} address as text`
  return {
    name: `${name} address`,
    expected,
    write(writer, value) {
      if (typeof value !== 'string' || !put(value, writer.bytes, writer.length)) {
        throw new InvalidValue(expected)
      }
      writer.length += bytes
    },
    read(source, _, offset, length) {
      if (length !== bytes) throw short(`${name} address`, length, offset)
      return take(source, offset)
    },
  }
}

/** An IPv4 address: 4 bytes. */
export const ipv4Address = addressOf('IPv4', 4, writeIPv4, readIPv4)
/** An IPv6 address: 16 bytes. */
export const ipv6Address = addressOf('IPv6', 16, writeIPv6, readIPv6)

/**
 * `union nf_inet_addr`: always 16 bytes, IPv4 in the first 4 (include/uapi/linux/netfilter.h). Which it is says the
 * record's `family`.
 */
export const inetAddressUnion: AttributeType<string> = {
  name: 'union nf_inet_addr',
  expected: anyAddress,
  deferred: true,
  write(writer, value) {
    if (typeof value !== 'string') throw new InvalidValue(anyAddress)
    writeAddress(writer, value, true)
  },
  read(bytes, _, offset, length, record) {
    const family = (record as { readonly family?: unknown }).family
    if (family === 'ipv4') {
      if (length < 4) throw short('IPv4 address', length, offset)
      return readIPv4(bytes, offset)
    }
    if (family === 'ipv6') {
      if (length < 16) throw short('IPv6 address', length, offset)
      return readIPv6(bytes, offset)
    }
    throw new MalformedMessageError(`address of family ${show(family)}`, offset)
  },
}

function writeAddress(writer: Writer, value: string, union: boolean): void {
  const start = writer.length
  if (writeIPv4(value, writer.bytes, start)) {
    writer.length = start + 4
    if (!union) return
    const view = writer.view
    view.setUint32(start + 4, 0)
    view.setUint32(start + 8, 0)
    view.setUint32(start + 12, 0)
  } else if (!writeIPv6(value, writer.bytes, start)) {
    throw new InvalidValue(anyAddress)
  }
  writer.length = start + 16
}

/**
 * What registers and sets hold, as values of a program: an address as text, a port as a number. Network order for what
 * stands in packets, the host's for what the kernel computes. Numbers of types are nft's (include/datatype.h there): the
 * kernel keeps them with sets and does not look at them, nft prints by them.
 */
import { ipProtocols, isIPv4, isIPv6, parseAddress, parsePrefix } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import { hostIsLittleEndian } from '../../netlink/index.js'
import { nft } from '../datatypes.js'
import { registerBytes } from '../values.js'

/** A type of data with its values. */
export interface DataType<Value> {
  /** nft's name. */
  readonly name: string
  /** nft's number for it. */
  readonly number: number
  /** How many. */
  readonly bytes: number
  /** Of the network, or of the host. */
  readonly order: 'network' | 'host'
  /** @throws ValidationError */
  encode(value: Value): Uint8Array
  /** Of values that have prefixes: an address of it, and how many bits are the prefix's. */
  readonly prefix?: ((text: string) => { readonly first: Uint8Array; readonly length: number }) | undefined
}

function numeric(
  name: keyof typeof nft.numbers,
  bytes: 1 | 2 | 4 | 8,
  order: 'network' | 'host',
): DataType<number> {
  const most = bytes === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (bytes * 8) - 1
  return {
    name,
    number: nft.numbers[name],
    bytes,
    order,
    encode(value) {
      if (!Number.isInteger(value) || value < 0 || value > most) {
        throw new ValidationError(name, value, `an integer from 0 to ${most}`)
      }
      const encoded = new Uint8Array(bytes)
      let rest = value
      for (let index = bytes - 1; index >= 0; index--) {
        encoded[index] = rest % 256
        rest = Math.floor(rest / 256)
      }
      return order === 'host' && hostIsLittleEndian ? encoded.reverse() : encoded
    },
  }
}

/** Names beside the numbers. */
function withNames<const Names extends Readonly<Record<string, number>>>(
  type: DataType<number>,
  names: Names,
): DataType<number | (keyof Names & string)> {
  return {
    ...type,
    encode(value) {
      if (typeof value === 'number') return type.encode(value)
      const number = Object.hasOwn(names, value) ? names[value] : undefined
      if (number === undefined) {
        throw new ValidationError(type.name, value, `a number, or one of ${Object.keys(names).join(', ')}`)
      }
      return type.encode(number)
    },
  }
}

function address(
  name: keyof typeof nft.numbers,
  bytes: 4 | 16,
  isOfFamily: (text: string) => boolean,
): DataType<string> {
  const encode = (value: string): Uint8Array => {
    const found = typeof value === 'string' && isOfFamily(value) ? parseAddress(value) : undefined
    if (found === undefined)
      throw new ValidationError(name, value, `an ${bytes === 4 ? 'IPv4' : 'IPv6'} address as text`)
    return found
  }
  return {
    name,
    number: nft.numbers[name],
    bytes,
    order: 'network',
    encode,
    prefix(text) {
      const found = parsePrefix(text)
      if (found === undefined) throw new ValidationError(name, text, 'a prefix such as 10.0.0.0/8')
      return { first: encode(found.address), length: found.length }
    },
  }
}

/** An IPv4 address as text. */
export const ipv4Addr = address('ipv4_addr', 4, isIPv4)
/** An IPv6 address as text. */
export const ipv6Addr = address('ipv6_addr', 16, isIPv6)
/** A port. */
export const inetService = numeric('inet_service', 2, 'network')
/** A protocol by name or number. */
export const inetProto = withNames(numeric('inet_proto', 1, 'network'), ipProtocols)
/** ipv4 or ipv6. */
export const nfProto = withNames(numeric('nf_proto', 1, 'host'), nft.names.nf_proto)
/** What a frame carries. */
export const etherType = withNames(numeric('ether_type', 2, 'network'), nft.names.ether_type)
/** What a message of ICMP is. */
export const icmpType = withNames(numeric('icmp_type', 1, 'network'), nft.names.icmp_type)
/** Why a message of ICMP says that something cannot be reached. */
export const icmpCode = withNames(numeric('icmp_code', 1, 'network'), nft.names.icmp_code)
/** What a message of ICMPv6 is. */
export const icmpv6Type = withNames(numeric('icmpv6_type', 1, 'network'), nft.names.icmpv6_type)
/** Why a message of ICMPv6 says that something cannot be reached. */
export const icmpv6Code = withNames(numeric('icmpv6_code', 1, 'network'), nft.names.icmpv6_code)
/** A mark: 32 bits. */
export const mark = numeric('mark', 4, 'host')
/** A number of 32 bits of the host. */
export const integer32 = numeric('integer', 4, 'host')
/** A number of 8 bits. */
export const byte = numeric('integer', 1, 'network')
/** A number of 16 bits. */
export const short = numeric('integer', 2, 'network')
/** The index of an interface. */
export const ifaceIndex = numeric('iface_index', 4, 'host')
/** A user. */
export const uid = numeric('uid', 4, 'host')
/** A group. */
export const gid = numeric('gid', 4, 'host')
/** What kind of address the routing table takes it for. */
export const fibAddrtype = withNames(numeric('fib_addrtype', 4, 'host'), nft.names.fib_addrtype)

/** Bits that are looked for one by one. */
export interface FlagType<Name extends string> extends DataType<Name | number> {
  /** Its bits are looked for one by one. */
  readonly isFlags: true
}
function flags<const Names extends Readonly<Record<string, number>>>(
  type: DataType<number>,
  names: Names,
): FlagType<keyof Names & string> {
  return { ...withNames(type, names), isFlags: true }
}
/** `enum ip_conntrack_info` as bits (NF_CT_STATE_BIT). */
export const ctState = flags(numeric('ct_state', 4, 'host'), nft.names.ct_state)
/** `enum ip_conntrack_status`. */
export const ctStatus = flags(numeric('ct_status', 4, 'host'), nft.names.ct_status)
/** Flags of TCP. */
export const tcpFlag = flags(numeric('tcp_flag', 1, 'network'), nft.names.tcp_flag)

const encoder = new TextEncoder()

/** A name of an interface; with a `*` at its end, all that begin so. */
export const ifname: DataType<string> = {
  name: 'ifname',
  number: nft.numbers.ifname,
  bytes: 16,
  order: 'host',
  encode(value) {
    const bytes = typeof value === 'string' ? encoder.encode(value) : new Uint8Array()
    if (bytes.length === 0 || bytes.length > 15 || bytes.includes(0)) {
      throw new ValidationError('ifname', value, 'a name of 1 to 15 bytes')
    }
    if (value.endsWith('*')) return bytes.subarray(0, bytes.length - 1)
    const padded = new Uint8Array(16)
    padded.set(bytes)
    return padded
  },
}

/** Several one after the other: each begins at a register of four bytes. */
export function concatenated<const Types extends readonly DataType<never>[]>(
  types: Types,
): DataType<{ readonly [K in keyof Types]: ValueOf<Types[K]> }> & { readonly parts: Types } {
  const bytes = types.reduce((sum, type) => sum + registerBytes(type.bytes), 0)
  return {
    name: types.map(({ name }) => name).join(' . '),
    // TYPE_BITS: six for each (nft, include/datatype.h).
    number: types.reduce((sum, type) => sum * 64 + type.number, 0),
    bytes,
    order: 'network',
    parts: types,
    encode(values) {
      const encoded = new Uint8Array(bytes)
      let at = 0
      for (const [index, type] of types.entries()) {
        encoded.set((type as DataType<unknown>).encode((values as readonly unknown[])[index]), at)
        at += registerBytes(type.bytes)
      }
      return encoded
    },
  }
}

/** What a type's values are. */
export type ValueOf<T> = T extends DataType<infer Value> ? Value : never

/** Whether it is a number that the host has in its own order: intervals of it are kept in network order. */
export function isHostNumber({ order, bytes }: DataType<never>): boolean {
  return order === 'host' && bytes <= 8
}

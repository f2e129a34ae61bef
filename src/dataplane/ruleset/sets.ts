/**
 * The sets and maps of our table, and the bytes of their elements. What a service is stands in data alone: adding an element
 * with a verdict would have the kernel walk all of them (nf_tables_api.c, nft_chain_validate), data costs the same however
 * many there are.
 */
import {
  formatAddress,
  ipProtocols,
  parseAddress,
  parsePrefix,
  writeIPv4,
  writeIPv6,
} from '../../address/index.js'
import { hostIsLittleEndian } from '../../netlink/constants.js'
import type { DataType } from '../../nftables/builder/datatypes.js'
import {
  type ElementInput,
  NamedMap,
  NamedSet,
  type NamedSetOptions,
  type SetInput,
  types,
  VerdictMap,
} from '../../nftables/index.js'
import { elementsOf, type Interval, union } from '../../nftables/intervals.js'
import { bytesOf, numberOf } from '../../nftables/numbers.js'
import type { ServiceProtocol } from '../../model/index.js'
import { families, type FamilyWords } from './words.js'

/** Where our table is. */
export interface TableName {
  readonly family: 'inet'
  readonly table: string
}

/** A flood of new clients fills it and no more; who finds no room is served without affinity. */
const mostAffinities = 1_048_576

/** Sets and maps of one family, by what they are for. `N` words are an address. */
export function setNames({ suffix }: FamilyWords): SetNames {
  return names[suffix]
}

function namesWith(suffix: FamilyWords['suffix']) {
  return {
    /** `daddr . l4proto . dport` → `0 . profile . id`. */
    services: `services${suffix}`,
    /** `l4proto . dport` → `0 . profile . id`. */
    nodePorts: `node-ports${suffix}`,
    /** `id . slot` → `address . port`. */
    backends: `backends${suffix}`,
    /** `saddr . id` → `address . port`: where a client was, filled by rules. */
    affinity: `affinity${suffix}`,
    /** `id . address . port` of those that a client may go on with. */
    endpoints: `endpoints${suffix}`,
    localEndpoints: `local-endpoints${suffix}`,
    /** `address . address` of servers on this node: who reaches itself has to see somebody else. */
    hairpin: `hairpin${suffix}`,
    /** Cluster addresses that are given out: other ports of them are refused. */
    clusterAddresses: `cluster-addresses${suffix}`,
    /** `id . saddr`, with both ends: who may come. */
    sourceRanges: `source-ranges${suffix}`,
    /** `address . port` of UDP that nobody has any more, until its flows are deleted. */
    staleFlows: `stale-flows${suffix}`,
    /** `address . port` of TCP, some of whose flows were ended: what goes on without a flow is refused, for a while. */
    ended: `ended${suffix}`,
    /** Settings of the node. */
    clusterRanges: `cluster-ranges${suffix}`,
    serviceRanges: `service-ranges${suffix}`,
    nodePortAddresses: `node-port-addresses${suffix}`,
  } as const
}
export type SetNames = ReturnType<typeof namesWith>

const names = { 4: namesWith('4'), 6: namesWith('6') }

/** `profile` → a chain, or a verdict. */
export const profilesMap = 'profiles'

/** Every set of ours, as it is made. The types are for nft's listing: it fails where it knows none. */
export function setsOf(table: TableName, isCounting: boolean): SetInput[] {
  return [
    new VerdictMap({ ...table, name: profilesMap }, types.mark).input,
    ...families.flatMap((family) => familySets(table, family, isCounting)),
  ]
}

function familySets(table: TableName, words: FamilyWords, isCounting: boolean): SetInput[] {
  const names = setNames(words)
  const { mark: number, inetProto, inetService } = types
  const address = words.family === 'ipv4' ? types.ipv4Addr : types.ipv6Addr
  const numbers = types.concatenated([number, number])
  const frontend = types.concatenated([number, number, number])
  const port = types.concatenated([inetProto, inetService])
  const endpoint = types.concatenated([address, inetService])
  const map = (
    name: string,
    key: DataType<never>,
    value: DataType<never>,
    options: NamedSetOptions = {},
  ): SetInput => new NamedMap({ ...table, name }, key, value, options).input
  const set = (name: string, key: DataType<never>, options: NamedSetOptions = {}): SetInput =>
    new NamedSet({ ...table, name }, key, options).input
  const ranges: NamedSetOptions = { flags: ['interval'] }
  // Of each element that a lookup finds; it is in every new one by itself.
  const counting: NamedSetOptions = isCounting
    ? { flags: ['expressions'], expressions: [{ name: 'counter' }] }
    : {}
  return [
    map(names.services, types.concatenated([address, inetProto, inetService]), frontend),
    map(names.nodePorts, port, frontend),
    map(names.backends, numbers, endpoint, counting),
    map(names.affinity, types.concatenated([address, number]), endpoint, {
      flags: ['timeout', 'dynamic'],
      size: mostAffinities,
    }),
    set(names.endpoints, types.concatenated([number, address, inetService]), counting),
    set(names.localEndpoints, types.concatenated([number, address, inetService]), counting),
    set(names.hairpin, types.concatenated([address, address])),
    set(names.clusterAddresses, address),
    set(names.staleFlows, endpoint),
    set(names.ended, endpoint, { flags: ['timeout'] }),
    set(names.sourceRanges, types.concatenated([number, address]), ranges),
    set(names.clusterRanges, address, ranges),
    set(names.serviceRanges, address, ranges),
    set(names.nodePortAddresses, address, ranges),
  ]
}

/** What an element is, in bytes. */
export class ElementBytes {
  readonly #words: FamilyWords

  constructor(words: FamilyWords) {
    this.#words = words
  }

  #write(text: string, target: Uint8Array, offset: number): void {
    const isWritten =
      this.#words.words === 1 ? writeIPv4(text, target, offset) : writeIPv6(text, target, offset)
    if (!isWritten) throw new TypeError(`no address of ${this.#words.family}: ${text}`)
  }

  address(text: string): Uint8Array {
    const bytes = new Uint8Array(this.#words.addressBytes)
    this.#write(text, bytes, 0)
    return bytes
  }

  twice(text: string): Uint8Array {
    const { addressBytes } = this.#words
    const bytes = new Uint8Array(addressBytes * 2)
    this.#write(text, bytes, 0)
    bytes.copyWithin(addressBytes, 0, addressBytes)
    return bytes
  }

  /** `daddr . l4proto . dport`. */
  service(address: string, protocol: ServiceProtocol, port: number): Uint8Array {
    const { addressBytes } = this.#words
    const bytes = new Uint8Array(addressBytes + 8)
    this.#write(address, bytes, 0)
    bytes[addressBytes] = ipProtocols[protocol]
    bytes[addressBytes + 4] = port >> 8
    bytes[addressBytes + 5] = port & 0xff
    return bytes
  }

  nodePort(protocol: ServiceProtocol, port: number): Uint8Array {
    return nodePortBytes(protocol, port)
  }

  /** `address . port`. */
  endpoint(address: string, port: number): Uint8Array {
    const { addressBytes } = this.#words
    const bytes = new Uint8Array(addressBytes + 4)
    this.#write(address, bytes, 0)
    bytes[addressBytes] = port >> 8
    bytes[addressBytes + 1] = port & 0xff
    return bytes
  }

  /** `id . address . port`. */
  liveEndpoint(id: number, address: string, port: number): Uint8Array {
    const { addressBytes } = this.#words
    const bytes = new Uint8Array(addressBytes + 8)
    writeHostNumber(bytes, 0, id)
    this.#write(address, bytes, 4)
    bytes[addressBytes + 4] = port >> 8
    bytes[addressBytes + 5] = port & 0xff
    return bytes
  }
}

function nodePortBytes(protocol: ServiceProtocol, port: number): Uint8Array {
  const bytes = new Uint8Array(8)
  bytes[0] = ipProtocols[protocol]
  bytes[4] = port >> 8
  bytes[5] = port & 0xff
  return bytes
}

/** What `ElementBytes` writes, read again. */
export function readAddress({ addressBytes }: FamilyWords, bytes: Uint8Array, offset = 0): string {
  return formatAddress(bytes.subarray(offset, offset + addressBytes))
}
export function readPort(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
/** `address . port`. */
export function readEndpoint(
  words: FamilyWords,
  bytes: Uint8Array,
  offset = 0,
): { readonly address: string; readonly port: number } {
  return { address: readAddress(words, bytes, offset), port: readPort(bytes, offset + words.addressBytes) }
}
/** By its number; undefined for one that services do not have. */
export function readProtocol(number: number | undefined): ServiceProtocol | undefined {
  return (['tcp', 'udp', 'sctp'] as const).find((name) => ipProtocols[name] === number)
}

/**
 * What the maps of frontends have. It begins with a word that nobody reads: where a rule looks something up by a map's data,
 * nft cannot list it if that is the first word (netlink_parse_concat_expr).
 */
export function frontendData(profile: number, id: number): Uint8Array {
  const bytes = new Uint8Array(12)
  writeHostNumber(bytes, 4, profile)
  writeHostNumber(bytes, 8, id)
  return bytes
}
export function readFrontend(data: Uint8Array): { readonly profile: number; readonly id: number } {
  return { profile: readHostNumber(data, 4), id: readHostNumber(data, 8) }
}

/** Two numbers as the kernel has them in registers: `id . slot`. */
export function twoNumbers(one: number, other: number): Uint8Array {
  const bytes = new Uint8Array(8)
  writeHostNumber(bytes, 0, one)
  writeHostNumber(bytes, 4, other)
  return bytes
}

export function writeHostNumber(bytes: Uint8Array, offset: number, value: number): void {
  const [first, step] = hostIsLittleEndian ? [offset, 1] : [offset + 3, -1]
  bytes[first] = value & 0xff
  bytes[first + step] = (value >>> 8) & 0xff
  bytes[first + 2 * step] = (value >>> 16) & 0xff
  bytes[first + 3 * step] = value >>> 24
}
export function readHostNumber(bytes: Uint8Array, offset: number): number {
  const at = (index: number): number => bytes[hostIsLittleEndian ? offset + index : offset + 3 - index] ?? 0
  return (at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24)) >>> 0
}

/** First and last address of prefixes of the family, in ascending order: what overlaps or touches is one. */
export function intervalsOf({ family, addressBytes }: FamilyWords, prefixes: Iterable<string>): Interval[] {
  const intervals: Interval[] = []
  for (const text of prefixes) {
    const prefix = parsePrefix(text)
    if (prefix?.family !== family) continue
    const size = 1n << BigInt(addressBytes * 8 - prefix.length)
    const first = (numberOf(parseAddress(prefix.address)!) / size) * size
    intervals.push({ first, last: first + size - 1n })
  }
  return union(intervals)
}

/** Elements of a set of prefixes. */
export function prefixElements(words: FamilyWords, prefixes: Iterable<string>): ElementInput[] {
  return intervalsOf(words, prefixes).flatMap((interval) => elementsOf(interval, words.addressBytes))
}

/** `id . saddr` from the first to the last of each range. */
export function sourceRangeElements(
  words: FamilyWords,
  id: number,
  prefixes: Iterable<string>,
): ElementInput[] {
  const keyOf = (address: bigint): Uint8Array => {
    const bytes = new Uint8Array(words.addressBytes + 4)
    writeHostNumber(bytes, 0, id)
    bytes.set(bytesOf(address, words.addressBytes), 4)
    return bytes
  }
  return intervalsOf(words, prefixes).map(({ first, last }) => ({ key: keyOf(first), keyEnd: keyOf(last) }))
}

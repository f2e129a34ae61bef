/**
 * Rules, expression by expression. What nft's grammar has no words for (an element's data as a part of the next key, a slot
 * beside an id) is plain here: registers are words of four bytes, and what stands side by side is a key.
 */
import { type AddressFamily, ipProtocols } from '../../address/index.js'
import { hostIsLittleEndian } from '../../netlink/constants.js'
import type { ExpressionInput, Verdict } from '../../nftables/index.js'

/** A rule's expressions, in order. */
export type Expressions = readonly ExpressionInput[]

/**
 * A word of the registers: `NFT_REG32_00` to `_15`, or where one of 16 bytes begins there (`NFT_REG_1` to `_4`) that one,
 * which the kernel tells instead (nft_dump_register).
 */
export function word(index: number): number {
  return index % 4 === 0 ? 1 + index / 4 : 8 + index
}

/** As the kernel has numbers of its own in registers: marks, slots, ids. */
export function hostNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, hostIsLittleEndian)
  return bytes
}

/** How the two families' packets differ. */
export interface FamilyWords {
  readonly family: AddressFamily
  /** At the end of names: `services4`. */
  readonly suffix: '4' | '6'
  /** Words that an address takes. */
  readonly words: 1 | 4
  readonly addressBytes: 4 | 16
  /** `NFPROTO_*`, as one byte. */
  readonly protocolFamily: 2 | 10
  /** From the beginning of the network header. */
  readonly sourceOffset: 12 | 8
  readonly destinationOffset: 16 | 24
}
export const ipv4: FamilyWords = {
  family: 'ipv4',
  suffix: '4',
  words: 1,
  addressBytes: 4,
  protocolFamily: 2,
  sourceOffset: 12,
  destinationOffset: 16,
}
export const ipv6: FamilyWords = {
  family: 'ipv6',
  suffix: '6',
  words: 4,
  addressBytes: 16,
  protocolFamily: 10,
  sourceOffset: 8,
  destinationOffset: 24,
}
export const families: readonly FamilyWords[] = [ipv4, ipv6]
export function wordsOf(family: AddressFamily): FamilyWords {
  return family === 'ipv4' ? ipv4 : ipv6
}

export function loadSource(family: FamilyWords, to: number): ExpressionInput {
  return loadAddress(family.sourceOffset, family, to)
}
export function loadDestination(family: FamilyWords, to: number): ExpressionInput {
  return loadAddress(family.destinationOffset, family, to)
}
function loadAddress(offset: number, { addressBytes: length }: FamilyWords, to: number): ExpressionInput {
  return { name: 'payload', destinationRegister: word(to), base: 'network', offset, length }
}

/** `l4proto . dport` in two words. Fragments come whole: connection tracking puts them together before. */
export function loadPort(to: number): Expressions {
  return [
    { name: 'meta', key: 'l4proto', destinationRegister: word(to) },
    { name: 'payload', destinationRegister: word(to + 1), base: 'transport', offset: 2, length: 2 },
  ]
}

/** Goes on if it is found; of maps, loads what is there. */
export function find(set: string, from: number, to?: number): ExpressionInput {
  return {
    name: 'lookup',
    set,
    sourceRegister: word(from),
    ...(to === undefined ? {} : { destinationRegister: word(to) }),
  }
}
/** Goes on if it is not found. */
export function isMissing(set: string, from: number): ExpressionInput {
  return { name: 'lookup', set, sourceRegister: word(from), flags: ['inverted'] }
}
/** Ends with the verdict that the map has; goes on if it has none. */
export function verdictFrom(map: string, from: number): ExpressionInput {
  return { name: 'lookup', set: map, sourceRegister: word(from), destinationRegister: 0 }
}

export function compare(
  from: number,
  operation: '==' | '!=',
  data: Uint8Array | readonly number[],
): ExpressionInput {
  return { name: 'cmp', sourceRegister: word(from), operation, data: Uint8Array.from(data) }
}
export function isFamily({ protocolFamily }: FamilyWords, scratch = 0): Expressions {
  return [
    { name: 'meta', key: 'nfproto', destinationRegister: word(scratch) },
    compare(scratch, '==', [protocolFamily]),
  ]
}

/** `RTN_LOCAL` (include/uapi/linux/rtnetlink.h). */
const local = 2
/** Goes on if the packet's source or destination is an address of this host. */
export function isOwn(which: 'saddr' | 'daddr', scratch = 0): Expressions {
  return [
    { name: 'fib', destinationRegister: word(scratch), result: 'type', flags: [which] },
    compare(scratch, '==', hostNumber(local)),
  ]
}

/** A word as `(word & mask) ^ xor`. */
export function masked(at: number, mask: Uint8Array, xor = hostNumber(0), to = at): ExpressionInput {
  return {
    name: 'bitwise',
    sourceRegister: word(at),
    destinationRegister: word(to),
    length: 4,
    mask,
    xor,
    operation: 'mask-xor',
  }
}

/** The mark with a bit set. */
export function setMarkBit(bit: number, scratch = 0): Expressions {
  return changeMark(hostNumber(~bit >>> 0), hostNumber(bit), scratch)
}
/** The mark with a bit taken away. */
export function clearMarkBit(bit: number, scratch = 0): Expressions {
  return changeMark(hostNumber(~bit >>> 0), hostNumber(0), scratch)
}
function changeMark(mask: Uint8Array, xor: Uint8Array, scratch: number): Expressions {
  return [
    { name: 'meta', key: 'mark', destinationRegister: word(scratch) },
    masked(scratch, mask, xor),
    { name: 'meta', key: 'mark', sourceRegister: word(scratch) },
  ]
}
export function hasMarkBit(bit: number, scratch = 0): Expressions {
  return [
    { name: 'meta', key: 'mark', destinationRegister: word(scratch) },
    masked(scratch, hostNumber(bit)),
    compare(scratch, '!=', hostNumber(0)),
  ]
}

export function end(code: 'accept' | 'drop' | 'return'): ExpressionInput {
  return verdict({ code })
}
export function goto(chain: string): ExpressionInput {
  return verdict({ code: 'goto', chain })
}
function verdict(data: Verdict): ExpressionInput {
  return { name: 'immediate', destinationRegister: 0, data }
}

/** What refuses a client at once, as a host without such a listener would: two rules. */
export const rejections: readonly Expressions[] = [
  [
    { name: 'meta', key: 'l4proto', destinationRegister: word(0) },
    compare(0, '==', [ipProtocols.tcp]),
    { name: 'reject', type: 'tcp-reset' },
  ],
  [{ name: 'reject', type: 'icmpx', icmpCode: 1 }],
]

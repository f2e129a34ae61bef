/**
 * User data: what nft keeps with objects and the kernel does not look at. Entries of a type, a length and bytes
 * (libnftnl, include/libnftnl/udata.h); a comment is a string with its NUL.
 */
import { numberOf } from './numbers.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** `enum nftnl_udata_set_types`: NFTNL_UDATA_SET_KEYBYTEORDER, …_DATABYTEORDER, …_MERGE_ELEMENTS, …_KEY_TYPEOF, …. */
const setEntry = { keyOrder: 0, dataOrder: 1, merge: 2, keyType: 3, dataType: 4, comment: 7 } as const

/** The type of the entry that holds the comment; of sets it is another one. */
const commentType = { table: 0, chain: 0, rule: 0, set: setEntry.comment, element: 0, object: 0 } as const
export type Commented = keyof typeof commentType

/** NFT_USERDATA_MAXLEN, less type, length and NUL. nft takes 128. */
export const mostCommentBytes = 253

/** User data that is a comment; undefined if it is too long. */
export function userDataOf(kind: Commented, comment: string): Uint8Array | undefined {
  const text = encoder.encode(comment)
  if (text.length > mostCommentBytes || text.includes(0)) return undefined
  const bytes = new Uint8Array(text.length + 3)
  bytes[0] = commentType[kind]
  bytes[1] = text.length + 1
  bytes.set(text, 2)
  return bytes
}

/** Its entries, as far as they are whole: other programs keep there what they like. */
export function* userDataEntries(bytes: Uint8Array): Generator<readonly [type: number, value: Uint8Array]> {
  for (let at = 0; at + 2 <= bytes.length;) {
    const length = bytes[at + 1]!
    if (at + 2 + length > bytes.length) return
    yield [bytes[at]!, bytes.subarray(at + 2, at + 2 + length)]
    at += 2 + length
  }
}

/** The comment in user data, if it has one. */
export function commentOf(kind: Commented, userData: Uint8Array | undefined): string | undefined {
  if (userData === undefined) return undefined
  for (const [type, value] of userDataEntries(userData)) {
    if (type !== commentType[kind]) continue
    const nul = value.indexOf(0)
    return decoder.decode(nul < 0 ? value : value.subarray(0, nul))
  }
  return undefined
}

/** A number of four bytes in the host's order, as an entry. */
function numberEntry(type: number, value: number): number[] {
  return [type, 4, ...new Uint8Array(Uint32Array.of(value).buffer)]
}

/** NFTNL_UDATA_SET_ELEM_FLAGS with nft's SET_ELEM_F_INTERVAL_OPEN: the element begins an interval that has no end. */
export function openInterval(): Uint8Array {
  return Uint8Array.from(numberEntry(1, 1))
}
export function isOpenInterval(userData: Uint8Array): boolean {
  const entry = openInterval()
  return userData.length === entry.length && userData.every((byte, index) => byte === entry[index])
}

/** `enum byteorder` of nft; of concatenations and verdicts it says nothing. */
const byteOrders = { none: 0, host: 1, network: 2 } as const
export type SetByteOrder = keyof typeof byteOrders

/** What nft needs to know of a set to print and to change it. */
export interface SetUserData {
  readonly key?: SetByteOrder | undefined
  /** Of maps. */
  readonly data?: SetByteOrder | undefined
  readonly autoMerge?: boolean | undefined
  readonly comment?: string | undefined
}

/** In nft's order; undefined if the comment is too long. */
export function setUserData({ key, data, autoMerge, comment }: SetUserData): Uint8Array | undefined {
  const text = comment === undefined ? [] : userDataOf('set', comment)
  if (text === undefined) return undefined
  return Uint8Array.from([
    ...(key === undefined ? [] : numberEntry(setEntry.keyOrder, byteOrders[key])),
    ...(data === undefined ? [] : numberEntry(setEntry.dataOrder, byteOrders[data])),
    ...(autoMerge === true ? numberEntry(setEntry.merge, 1) : []),
    ...text,
  ])
}

/** What nft has kept of a set's types. */
export interface SetDescription {
  readonly isHostOrder: boolean
  /** What `typeof` was written behind, as nft keeps it. */
  readonly key: Uint8Array | undefined
  /** The same of a map's data. */
  readonly data: Uint8Array | undefined
}

export function setDescription(userData: Uint8Array | undefined): SetDescription {
  const entries = new Map(userData === undefined ? [] : userDataEntries(userData))
  const order = entries.get(setEntry.keyOrder)
  return {
    isHostOrder: order !== undefined && numberOf(order, 'host') === BigInt(byteOrders.host),
    key: entries.get(setEntry.keyType),
    data: entries.get(setEntry.dataType),
  }
}

/** Whether nft merges what is added to it. */
export function isAutoMerge(userData: Uint8Array): boolean {
  for (const [type, value] of userDataEntries(userData)) {
    if (type === setEntry.merge) return value.some((byte) => byte !== 0)
  }
  return false
}

/**
 * User data: what nft keeps with objects and the kernel does not look at. Entries of a type, a length and bytes
 * (libnftnl, include/libnftnl/udata.h); a comment is a string with its NUL.
 */
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The type of the entry that holds the comment; of sets it is another one. */
const commentType = { table: 0, chain: 0, rule: 0, set: 7, element: 0, object: 0 } as const
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

/** `enum byteorder` of nft; of concatenations and verdicts it says nothing. */
const byteOrders = { none: 0, host: 1, network: 2 } as const
export type SetByteOrder = keyof typeof byteOrders

/** What nft needs to know of a set to print it: NFTNL_UDATA_SET_KEYBYTEORDER, …_DATABYTEORDER, …_COMMENT. */
export function setUserData(
  key: SetByteOrder,
  data: SetByteOrder | undefined,
  comment: string | undefined,
): Uint8Array {
  const order = (type: number, name: SetByteOrder): number[] => [
    type,
    4,
    ...new Uint8Array(Uint32Array.of(byteOrders[name]).buffer),
  ]
  const text = comment === undefined ? undefined : userDataOf('set', comment)
  return Uint8Array.from([...order(0, key), ...(data === undefined ? [] : order(1, data)), ...(text ?? [])])
}

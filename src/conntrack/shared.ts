import { hostIsLittleEndian, type AttributeType } from '../netlink/index.js'

/** Far more than a table has at a time. */
const mostKept = 1024

/**
 * Of four bytes that stand for a list, one frozen list for all that are the same: of 100,000 flows most have one of a
 * dozen.
 */
export function shared<T extends AttributeType<readonly string[]>>(type: T): T {
  const lists = new Map<number, readonly string[]>()
  return {
    ...type,
    read(bytes, view, offset, length, record) {
      if (length < 4) return type.read(bytes, view, offset, length, record)
      const key = view.getUint32(offset, hostIsLittleEndian)
      let list = lists.get(key)
      if (list === undefined) {
        list = Object.freeze(type.read(bytes, view, offset, length, record))
        if (lists.size < mostKept) lists.set(key, list)
      }
      return list
    },
  }
}

import { type AddressFamily, isIPv4, parsePrefix, prefixContains } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { isObject } from '../netlink/index.js'
import type { DiagSocket, SocketProtocol, SocketState } from './socket.js'

/** Which sockets are meant: those that fit everything that is given. */
export interface SocketFilter {
  /** The kernel chooses by it. */
  readonly protocol: SocketProtocol
  /** The kernel chooses by it. A socket of IPv6 may have connections of IPv4 (`::ffff:10.0.0.7`). */
  readonly family?: AddressFamily | undefined
  /** All unless said. The kernel chooses by them. */
  readonly states?: readonly SocketState[] | undefined
  /** The kernel chooses by it. */
  readonly localPort?: number | undefined
  /** The kernel chooses by it. */
  readonly remotePort?: number | undefined
  /** An address or a prefix; one of IPv4 fits connections of IPv4 of IPv6 sockets, too. Chosen here. */
  readonly localAddress?: string | undefined
  /** The same. */
  readonly remoteAddress?: string | undefined
}

/** @throws ValidationError for what cannot be meant. */
export function matcherOf(filter: SocketFilter): (socket: DiagSocket) => boolean {
  if (!isObject(filter)) throw new ValidationError('filter', filter, 'an object')
  const tests: ((socket: DiagSocket) => boolean)[] = []
  const { family, states } = filter
  if (family !== undefined) tests.push((socket) => socket.family === family)
  if (states !== undefined) tests.push((socket) => states.includes(socket.state))
  for (const key of ['localPort', 'remotePort'] as const) {
    const port = filter[key]
    if (port === undefined) continue
    // The kernel takes 0 as "any".
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw new ValidationError(`filter.${key}`, port, 'an integer from 1 to 65535')
    }
    tests.push((socket) => socket[key] === port)
  }
  for (const key of ['localAddress', 'remoteAddress'] as const) {
    const text = filter[key]
    if (text === undefined) continue
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    if (prefix === undefined) {
      throw new ValidationError(`filter.${key}`, text, 'an address, or a prefix as 10.0.0.0/8')
    }
    tests.push((socket) => {
      const address = prefix.family === 'ipv4' ? unmapped(socket[key]) : socket[key]
      return prefixContains(prefix, address)
    })
  }
  return (socket) => tests.every((test) => test(socket))
}

/** `::ffff:10.0.0.7` is `10.0.0.7`. */
function unmapped(address: string): string {
  const inside = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
  return isIPv4(inside) ? inside : address
}

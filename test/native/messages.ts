/** Netlink messages by hand, for tests of the addon: it is below everything that could write them. */
import { readdirSync } from 'node:fs'
import { loadNative, type NativeNetlinkOptions, type NativeNetlinkSocket } from '../../src/native.js'

export const NLM_F_REQUEST = 0x1
export const NLM_F_MULTI = 0x2
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP = 0x300
export const NLMSG_NOOP = 1
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3
export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18

export const NETLINK_ROUTE = 0
/** Answers nothing at all to a message without payload (net/ipv4/fib_frontend.c, nl_fib_input). */
export const NETLINK_FIB_LOOKUP = 10

/** No interface has this number. */
export const noInterface = 0x7fff_fffe

export interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly payload?: Uint8Array
}

export function request(...messages: readonly Message[]): Uint8Array {
  const parts = messages.map(({ type, flags, sequence, payload = new Uint8Array(0) }) => {
    const bytes = new Uint8Array((16 + payload.length + 3) & ~3)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, 16 + payload.length, true)
    view.setUint16(4, type, true)
    view.setUint16(6, flags, true)
    view.setUint32(8, sequence, true)
    bytes.set(payload, 16)
    return bytes
  })
  return new Uint8Array(Buffer.concat(parts))
}

/** struct ifinfomsg: the interface, and which of its flags to set. */
export function linkOf(index: number, flags = 0, change = 0): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, index, true)
  view.setUint32(8, flags, true)
  view.setUint32(12, change, true)
  return bytes
}

/** Asks for `lo`. */
export const getLoopback = (sequence: number, flags = NLM_F_REQUEST | NLM_F_ACK): Message => ({
  type: RTM_GETLINK,
  flags,
  sequence,
  payload: linkOf(1),
})

/** Answered by ENODEV. */
export const getNothing = (sequence: number, flags = NLM_F_REQUEST | NLM_F_ACK): Message => ({
  type: RTM_GETLINK,
  flags,
  sequence,
  payload: linkOf(noInterface),
})

export const dumpLinks = (sequence: number): Message => ({
  type: RTM_GETLINK,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  sequence,
  payload: linkOf(0),
})

/** As a dump: the kernel answers nothing, so an exchange waits for as long as it may. */
export const unanswered = (sequence: number): Message => ({
  type: NLMSG_NOOP,
  flags: NLM_F_REQUEST,
  sequence,
})

export interface Reply {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** Of NLMSG_ERROR and NLMSG_DONE: 0 or a negative number. */
  readonly errno: number | undefined
}

export function replies(bytes: Uint8Array): Reply[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: Reply[] = []
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at, true)
    if (length < 16 || at + length > bytes.length) throw new Error(`no message at byte ${at}`)
    const type = view.getUint16(at + 4, true)
    const concludes = (type === NLMSG_ERROR || type === NLMSG_DONE) && length >= 20
    found.push({
      type,
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      errno: concludes ? view.getInt32(at + 16, true) : undefined,
    })
    at += (length + 3) & ~3
  }
  return found
}

export function openNetlink(options: Partial<NativeNetlinkOptions> = {}): NativeNetlinkSocket {
  const { NetlinkSocket } = loadNative()
  return new NetlinkSocket({
    protocol: NETLINK_ROUTE,
    netnsFd: -1,
    receiveBufferBytes: 0,
    sendBufferBytes: 0,
    strictChecking: true,
    ...options,
  })
}

/** What `exchangeSync` left behind, as `exchange` gives it. */
export function exchangeNow(
  socket: NativeNetlinkSocket,
  bytes: Uint8Array,
  timeoutMilliseconds = 60_000,
): { bytes: Uint8Array; lost: boolean } {
  const result = socket.exchangeSync(bytes, bytes.length, 0, timeoutMilliseconds)
  const lost = result < 0
  const length = lost ? -1 - result : result
  const shown = socket.receiveBuffer
  return { bytes: length <= shown.length ? shown.slice(0, length) : socket.takeOverflow(), lost }
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** struct nlattr with its payload, padded. */
export function attribute(type: number, ...payload: readonly (Uint8Array | string | number)[]): Uint8Array {
  const parts = payload.map((part) => {
    if (typeof part === 'string') return Buffer.from(`${part}\0`)
    if (typeof part !== 'number') return part
    const word = Buffer.alloc(4)
    word.writeUInt32LE(part)
    return word
  })
  const content = Buffer.concat(parts)
  const bytes = Buffer.alloc((4 + content.length + 3) & ~3)
  bytes.writeUInt16LE(4 + content.length, 0)
  bytes.writeUInt16LE(type, 2)
  content.copy(bytes, 4)
  return bytes
}

export interface LinkedNamespace {
  readonly name: string
  readonly netns: { readonly fd: number }
  /** Bytes of the address that its end of the cable gets, and the length of their prefix. */
  readonly addresses: readonly (readonly [Uint8Array, number])[]
}

const NLM_F_CREATE = 0x400
const RTM_NEWADDR = 20
const IFF_UP = 1

/** Sends requests in the namespace; throws the first error. */
export function rtnetlink(
  netns: { readonly fd: number },
  ...messages: readonly Omit<Message, 'sequence'>[]
): void {
  const socket = openNetlink({ netnsFd: netns.fd, strictChecking: false })
  try {
    messages.forEach(({ type, flags, payload = new Uint8Array(0) }, index) => {
      const message = { type, flags: flags | NLM_F_REQUEST | NLM_F_ACK, sequence: index + 1, payload }
      const failed = replies(exchangeNow(socket, request(message)).bytes).find((reply) => reply.errno !== 0)
      if (failed?.errno !== undefined) throw new Error(`message ${index} of type ${type}: ${failed.errno}`)
    })
  } finally {
    socket.close()
  }
}

/** Sets an interface up or down. */
export function setLink(netns: { readonly fd: number }, index: number, isUp: boolean): void {
  rtnetlink(netns, { type: RTM_NEWLINK, flags: 0, payload: linkOf(index, isUp ? IFF_UP : 0, IFF_UP) })
}

/** A cable (veth) between two namespaces, with addresses, everything up. Interface 2 in each of them, called `cable`. */
export function cable(a: LinkedNamespace, b: LinkedNamespace): void {
  const info = linkOf(0)
  const peer = attribute(1, info, attribute(3, 'cable'), attribute(28, b.netns.fd))
  rtnetlink(a.netns, {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE,
    payload: Buffer.concat([
      info,
      attribute(3, 'cable'),
      attribute(18, attribute(1, 'veth'), attribute(2, peer)),
    ]),
  })
  for (const { netns, addresses } of [a, b]) {
    const index = indexOf(netns, 'cable')
    setLink(netns, 1, true)
    setLink(netns, index, true)
    rtnetlink(
      netns,
      ...addresses.map(([bytes, length]) => {
        // struct ifaddrmsg; IFA_F_NODAD, so that an IPv6 address can be used at once.
        const header = Buffer.alloc(8)
        header.set([bytes.length === 4 ? 2 : 10, length, bytes.length === 4 ? 0 : 2, 0])
        header.writeUInt32LE(index, 4)
        return {
          type: RTM_NEWADDR,
          flags: NLM_F_CREATE,
          payload: Buffer.concat([header, attribute(2, bytes), attribute(1, bytes)]),
        }
      }),
    )
  }
}

export function indexOf(netns: { readonly fd: number }, name: string): number {
  const socket = openNetlink({ netnsFd: netns.fd, strictChecking: false })
  try {
    const payload = Buffer.concat([linkOf(0), attribute(3, name)])
    const { bytes } = exchangeNow(
      socket,
      request({ type: RTM_GETLINK, flags: NLM_F_REQUEST, sequence: 1, payload }),
    )
    if (replies(bytes)[0]?.type !== RTM_NEWLINK) throw new Error(`no interface ${name}`)
    return new DataView(bytes.buffer, bytes.byteOffset).getInt32(20, true)
  } finally {
    socket.close()
  }
}

/**
 * Enough of SCTP (RFC 9260) to see where an association would go: an INIT, and the INIT-ACK that answers it, over raw
 * sockets. Node has no SCTP sockets, and many kernels have none either.
 */
import { KernelError } from '../errors/index.js'
import { type DatagramSocket, type NetworkNamespace, openRaw } from '../net/index.js'

const protocol = 132
const chunk = { init: 1, initAck: 2, abort: 6 } as const
/** Parameter of an INIT-ACK: opaque to the client, so the name of the one who answers fits in. */
const stateCookie = 7
const commonHeader = 12
const initHeader = 20
/** A kernel that has SCTP aborts what it does not know, beside the one who answers in user space: that one counts. */
const graceMilliseconds = 1000

/** Where to send an INIT. */
export interface SctpInitOptions {
  /** Numeric, of either family. */
  readonly to: string
  /** Where to, 1 to 65535. */
  readonly port: number
  /** The address to send from; the kernel's choice if left out. */
  readonly from?: string | undefined
  /** A random one unless said. */
  readonly fromPort?: number | undefined
  /** 10,000 unless said; within it the INIT is sent again every 300 ms. */
  readonly deadlineMilliseconds?: number | undefined
  /** Aborting rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

/** What answered an INIT. */
export interface SctpReply {
  /** Who answered, as the client sees it. */
  readonly address: string
  /** Whose, as the client sees it. */
  readonly port: number
  /** What a `serveSctp` was called; empty if a kernel answered. */
  readonly name: string
  /** The verification tag of the one who answered. */
  readonly tag: number
}

/** An endpoint that answers INITs. */
export interface SctpServeOptions {
  /** Where INITs are taken, 1 to 65535. */
  readonly port: number
  /** What it puts into its answers: printable text, or what makes it from who asks. */
  readonly name: string | ((asker: { readonly address: string; readonly port: number }) => string)
  /** Only what is sent to this address; of both families unless said. */
  readonly address?: string | undefined
}

/** Sends an INIT and resolves with what answers it. Throws ECONNREFUSED for an ABORT, ETIMEDOUT if nobody answers. */
export async function sctpInit(netns: NetworkNamespace, options: SctpInitOptions): Promise<SctpReply> {
  const { to, port, from, deadlineMilliseconds = 10_000, signal } = options
  const object = { to, port }
  const fromPort = options.fromPort ?? 1024 + Math.floor(Math.random() * 60_000)
  const tag = 1 + Math.floor(Math.random() * 0xffff_fffe)
  const request = packet(fromPort, port, 0, initChunk(chunk.init, tag, new Uint8Array(0)))
  const family = to.includes(':') ? 'ipv6' : 'ipv4'
  const socket = openRaw({ netns, protocol, family, address: from })
  const until = performance.now() + deadlineMilliseconds
  try {
    let patience = until
    let refused = false
    for (;;) {
      const now = performance.now()
      if (now >= patience) throw failed(refused ? -111 : -110, object)
      if (!refused) socket.send(request, { address: to })
      const round = Math.min(patience, now + 300)
      const answer = await nextAnswer(socket, { fromPort, port, tag, signal, until: round })
      if (answer === 'aborted' && !refused) {
        refused = true
        patience = Math.min(until, performance.now() + graceMilliseconds)
      } else if (answer !== 'aborted' && answer !== undefined) return answer
    }
  } finally {
    socket.close()
  }
}

interface Awaited {
  readonly fromPort: number
  readonly port: number
  readonly tag: number
  readonly until: number
  readonly signal: AbortSignal | undefined
}

async function nextAnswer(
  socket: DatagramSocket,
  wanted: Awaited,
): Promise<SctpReply | 'aborted' | undefined> {
  const { fromPort, port, tag, until, signal } = wanted
  for (;;) {
    const left = until - performance.now()
    if (left <= 0) return undefined
    let datagram
    try {
      datagram = await socket.receive({ deadlineMilliseconds: left, signal })
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ETIMEDOUT') return undefined
      throw error
    }
    const bytes = withoutIpHeader(datagram.bytes, datagram.address)
    const read = readPacket(bytes)
    if (
      read === undefined ||
      read.destinationPort !== fromPort ||
      read.sourcePort !== port ||
      read.tag !== tag
    )
      continue
    if (read.type === chunk.abort) return 'aborted'
    if (read.type !== chunk.initAck) continue
    return {
      address: datagram.address,
      port: read.sourcePort,
      name: cookieOf(read.body),
      tag: initiateTag(read.body),
    }
  }
}

/** Answers INITs in user space. */
export class SctpResponder {
  /** Where INITs are taken. */
  readonly port: number
  /** How many INITs were answered. */
  answered = 0
  readonly #sockets: DatagramSocket[] = []

  /** @internal */
  constructor(netns: NetworkNamespace, options: SctpServeOptions) {
    this.port = options.port
    const families = options.address === undefined ? (['ipv4', 'ipv6'] as const) : [undefined]
    for (const family of families) {
      try {
        this.#sockets.push(openRaw({ netns, protocol, family, address: options.address }))
      } catch (error) {
        // A kernel without IPv6 still has the other one.
        if (family !== 'ipv6') throw error
      }
    }
    for (const socket of this.#sockets) void this.#answer(socket, options)
  }

  /** Answers no more. */
  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.close()
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  async #answer(socket: DatagramSocket, { port, name }: SctpServeOptions): Promise<void> {
    for await (const { bytes, address } of socket) {
      const read = readPacket(withoutIpHeader(bytes, address))
      if (read?.type !== chunk.init || read.destinationPort !== port || read.body.length < initHeader)
        continue
      const text = typeof name === 'string' ? name : name({ address, port: read.sourcePort })
      const cookie = new TextEncoder().encode(text)
      const reply = initChunk(chunk.initAck, 1 + Math.floor(Math.random() * 0xffff_fffe), cookie)
      try {
        socket.send(packet(port, read.sourcePort, initiateTag(read.body), reply), { address })
        this.answered++
      } catch (error) {
        // Nobody is there any more: the client's own deadline tells.
        if (!(error instanceof KernelError)) throw error
      }
    }
  }
}

function failed(errno: number, object: object): KernelError {
  return new KernelError({ errno, operation: 'sctp.init', object })
}

/** A raw IPv4 socket gives the IP header too. */
function withoutIpHeader(bytes: Uint8Array, address: string): Uint8Array {
  return address.includes(':') ? bytes : bytes.subarray(((bytes[0] ?? 0) & 15) * 4)
}

/** INIT and INIT-ACK alike: tag, receive window, streams, first sequence number; then the cookie if there is one. */
function initChunk(type: number, tag: number, cookie: Uint8Array): Uint8Array {
  const parameter = cookie.length === 0 ? 0 : 4 + cookie.length
  const bytes = new Uint8Array(initHeader + ((parameter + 3) & ~3))
  const view = new DataView(bytes.buffer)
  bytes[0] = type
  view.setUint16(2, initHeader + parameter)
  view.setUint32(4, tag)
  view.setUint32(8, 65_536)
  view.setUint16(12, 1)
  view.setUint16(14, 1)
  view.setUint32(16, tag)
  if (parameter > 0) {
    view.setUint16(initHeader, stateCookie)
    view.setUint16(initHeader + 2, parameter)
    bytes.set(cookie, initHeader + 4)
  }
  return bytes
}

function packet(sourcePort: number, destinationPort: number, tag: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(commonHeader + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, sourcePort)
  view.setUint16(2, destinationPort)
  view.setUint32(4, tag)
  bytes.set(body, commonHeader)
  // RFC 9260 appendix A: the checksum stands with its least significant byte first.
  view.setUint32(8, crc32c(bytes), true)
  return bytes
}

interface Packet {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly tag: number
  /** Of the first chunk. */
  readonly type: number
  /** The first chunk, with its header. */
  readonly body: Uint8Array
}

/** Undefined for what is no SCTP packet, or a damaged one. */
function readPacket(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < commonHeader + 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const copy = bytes.slice()
  copy.fill(0, 8, 12)
  // A kernel leaves the sum out where the link would add it (NETIF_F_SCTP_CRC), as veth says of itself.
  const sum = view.getUint32(8, true)
  if (sum !== 0 && crc32c(copy) !== sum) return undefined
  const length = view.getUint16(commonHeader + 2)
  if (length < 4 || commonHeader + length > bytes.length) return undefined
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    tag: view.getUint32(4),
    type: bytes[commonHeader]!,
    body: bytes.subarray(commonHeader, commonHeader + length),
  }
}

function initiateTag(body: Uint8Array): number {
  return body.length < 8 ? 0 : new DataView(body.buffer, body.byteOffset).getUint32(4)
}

/** Our own name if a SctpResponder has answered: a kernel's cookie is no printable text. */
function cookieOf(body: Uint8Array): string {
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  for (let at = initHeader; at + 4 <= body.length;) {
    const length = view.getUint16(at + 2)
    if (length < 4 || at + length > body.length) return ''
    if (view.getUint16(at) === stateCookie) {
      const text = new TextDecoder().decode(body.subarray(at + 4, at + length))
      return /^[\x20-\x7e]*$/.test(text) ? text : ''
    }
    at += (length + 3) & ~3
  }
  return ''
}

/** Castagnoli's polynomial, bits reversed. */
const polynomial = 0x82f6_3b78
let table: Uint32Array | undefined

/** RFC 9260 appendix A. */
export function crc32c(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ polynomial : value >>> 1
    return value >>> 0
  })
  let sum = 0xffff_ffff
  for (const byte of bytes) sum = table[(sum ^ byte) & 0xff]! ^ (sum >>> 8)
  return ~sum >>> 0
}

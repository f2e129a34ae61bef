import type { AttributeTable, Decoded, Rows } from '../netlink/index.js'
import { errnoOf } from './errno.js'
import { kernelTable } from './kernel-table.js'
import {
  forEachMessage,
  hostIsLittleEndian,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  NLMSG_NOOP,
  viewOf,
  Writer,
} from '../netlink/index.js'

/** A message that a client sent. */
export class FakeRequest {
  /** NLMSG_* or the protocol's own (RTM_NEWLINK); for generic netlink the family's number. */
  readonly type: number
  /** NLM_F_*. */
  readonly flags: number
  /** What the replies to it carry. */
  readonly sequence: number
  /** The whole message, header included. */
  readonly bytes: Uint8Array
  /** Of generic netlink: the family's name, once the kernel knows whom it is for. */
  family: string | undefined
  /** Bytes before the first attribute: the message's header, and what stands behind it. */
  headerBytes = NLMSG_HDRLEN

  constructor(bytes: Uint8Array) {
    const view = viewOf(bytes)
    this.bytes = bytes
    this.type = view.getUint16(4, hostIsLittleEndian)
    this.flags = view.getUint16(6, hostIsLittleEndian)
    this.sequence = view.getUint32(8, hostIsLittleEndian)
  }

  /** Does it ask for a whole table? */
  get isDump(): boolean {
    return (this.flags & NLM_F_DUMP) === NLM_F_DUMP
  }

  /** Of generic netlink: IPVS_CMD_*, … */
  get command(): number | undefined {
    return this.family === undefined ? undefined : this.bytes[NLMSG_HDRLEN]
  }

  /** What stands behind the message's header. */
  get payload(): Uint8Array {
    return this.bytes.subarray(NLMSG_HDRLEN)
  }

  /** Its attributes, read by a table; `headerBytes` where a family has a fixed header of its own. */
  decode<R extends Rows>(
    table: AttributeTable<R>,
    headerBytes = this.headerBytes,
  ): Partial<Decoded<AttributeTable<R>>> {
    // A request leaves out what the kernel always says.
    const lenient = kernelTable(table)
    return lenient.decode(this.bytes, viewOf(this.bytes), headerBytes, this.bytes.length)
  }
}

/** One message of a reply, or an event. */
export interface FakeReply {
  /** Its type; the request's if left out, which is right for generic netlink. */
  readonly type?: number | undefined
  /** What stands behind the message's header: a fixed header and attributes. */
  readonly payload: Uint8Array
}

/** The kernel's refusal. */
export interface FakeRefusal {
  /** `ENOENT`. */
  readonly code: string
  /** Its words (NLMSGERR_ATTR_MSG). */
  readonly message?: string | undefined
  /** Where the attribute at fault stands in the request's message (NLMSGERR_ATTR_OFFS). */
  readonly offset?: number | undefined
  /** The number of an attribute that is missing (NLMSGERR_ATTR_MISS_TYPE). */
  readonly missing?: number | undefined
  /** Where the nest stands that it is missing in (NLMSGERR_ATTR_MISS_NEST). */
  readonly missingIn?: number | undefined
}

/** Nothing: done. A list: the messages it is answered with, none for an empty dump. */
// eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a handler that returns nothing has done it
export type FakeAnswer = readonly FakeReply[] | FakeRefusal | undefined | void

/** A reply whose attributes a table writes, behind a fixed header. What only the kernel says may be given too. */
export function fakeReply(
  table: AttributeTable,
  record: object,
  options: { readonly header?: Uint8Array | undefined; readonly type?: number | undefined } = {},
): FakeReply {
  const writer = new Writer(256)
  if (options.header !== undefined) writer.append(options.header)
  kernelTable(table).encode(writer, record)
  return { type: options.type, payload: writer.bytes.slice(0, writer.length) }
}

/** The messages of a request. */
export function messagesOf(bytes: Uint8Array): FakeRequest[] {
  const requests: FakeRequest[] = []
  forEachMessage(bytes, viewOf(bytes), (_type, _flags, _sequence, offset, end) => {
    requests.push(new FakeRequest(bytes.slice(offset - NLMSG_HDRLEN, end)))
  })
  return requests
}

/** Writes what the kernel answers. Source: netlink_ack, netlink_dump (net/netlink/af_netlink.c). */
export class Replier {
  readonly #writer = new Writer()
  readonly #starts: number[] = []
  readonly #strays: boolean

  constructor(strays: boolean) {
    this.#strays = strays
  }

  answer(request: FakeRequest, answer: FakeAnswer, interrupted: boolean): void {
    if (this.#strays) this.#stray(request)
    if (isRefusal(answer)) return this.#acknowledge(request, answer)
    const replies = answer ?? []
    if (request.isDump) {
      const flags = NLM_F_MULTI | (interrupted ? NLM_F_DUMP_INTR : 0)
      for (const [index, reply] of replies.entries()) {
        this.#message(reply.type ?? request.type, flags, request.sequence, reply.payload)
        if (this.#strays && index === 0) this.#message(NLMSG_NOOP, 0, request.sequence, new Uint8Array(0))
      }
      this.#message(NLMSG_DONE, flags, request.sequence, number(0))
      return
    }
    for (const reply of replies) this.#message(reply.type ?? request.type, 0, request.sequence, reply.payload)
    if ((request.flags & NLM_F_ACK) !== 0) this.#acknowledge(request, undefined)
  }

  event(event: FakeReply): void {
    this.#message(event.type ?? 0, 0, 0, event.payload)
  }

  /** All bytes, but for the last `dropped` messages. */
  take(dropped = 0): Uint8Array {
    const end = dropped === 0 ? this.#writer.length : (this.#starts.at(-dropped) ?? 0)
    return this.#writer.bytes.slice(0, end)
  }

  /** The late answer to an earlier request, which nobody waits for any more. */
  #stray(request: FakeRequest): void {
    this.#message(NLMSG_ERROR, NLM_F_CAPPED, (request.sequence ^ 0x4000_0000) >>> 0, refused(request, -110))
  }

  #acknowledge(request: FakeRequest, refusal: FakeRefusal | undefined): void {
    const writer = new Writer(128)
    writer.append(refused(request, refusal === undefined ? 0 : errnoOf(refusal.code)))
    const before = writer.length
    const add = (type: number, payload: Uint8Array): void => {
      const start = writer.beginAttribute(type)
      writer.append(payload)
      writer.endAttribute(start)
    }
    if (refusal?.message !== undefined) add(1, new TextEncoder().encode(`${refusal.message}\0`))
    if (refusal?.offset !== undefined) add(2, number(refusal.offset))
    if (refusal?.missing !== undefined) add(5, number(refusal.missing))
    if (refusal?.missingIn !== undefined) add(6, number(refusal.missingIn))
    const flags = NLM_F_CAPPED | (writer.length > before ? NLM_F_ACK_TLVS : 0)
    this.#message(NLMSG_ERROR, flags, request.sequence, writer.bytes.subarray(0, writer.length))
  }

  #message(type: number, flags: number, sequence: number, payload: Uint8Array): void {
    const writer = this.#writer
    this.#starts.push(writer.length)
    const start = writer.beginMessage(type, flags, sequence)
    writer.append(payload)
    writer.endMessage(start)
    while ((writer.length & 3) !== 0) writer.u8(0)
  }
}

function isRefusal(answer: FakeAnswer): answer is FakeRefusal {
  return answer !== undefined && 'code' in answer
}

function number(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer)
}

/** `struct nlmsgerr` with the request's header alone (NLM_F_CAPPED). */
function refused(request: FakeRequest, errno: number): Uint8Array {
  const bytes = new Uint8Array(4 + NLMSG_HDRLEN)
  bytes.set(number(errno))
  bytes.set(request.bytes.subarray(0, NLMSG_HDRLEN), 4)
  return bytes
}

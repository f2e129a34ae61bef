import { MalformedMessageError } from '../errors/index.js'
import { Slices } from '../slices.js'
import { forEachAttribute } from './codec.js'
import {
  hostIsLittleEndian,
  NLA_TYPE_MASK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
} from './constants.js'

/** The header of a message, and where its payload stands. */
export interface MessageHeader {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** Of the payload. */
  readonly offset: number
  readonly end: number
}

/** A view of just these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Walks the messages of a reply from `from` on: `visit(type, flags, sequence, offset, end)` with the payload's place. If
 * that says true the walk stops behind this message. Returns where it stopped. Throws a MalformedMessageError for a
 * length that cannot be; never runs past the end, always moves on.
 */
export function forEachMessage(
  bytes: Uint8Array,
  view: DataView,
  visit: (type: number, flags: number, sequence: number, offset: number, end: number) => unknown,
  from = 0,
): number {
  const size = bytes.length
  let at = from
  while (size - at >= NLMSG_HDRLEN) {
    const length = view.getUint32(at, hostIsLittleEndian)
    if (length < NLMSG_HDRLEN || length > size - at) {
      throw new MalformedMessageError(`message of ${length} bytes`, at)
    }
    const stops = visit(
      view.getUint16(at + 4, hostIsLittleEndian),
      view.getUint16(at + 6, hostIsLittleEndian),
      view.getUint32(at + 8, hostIsLittleEndian),
      at + NLMSG_HDRLEN,
      at + length,
    )
    at += (length + 3) & ~3
    if (stops === true) return Math.min(at, size)
  }
  if (at < size) throw new MalformedMessageError(`${size - at} bytes after the last message`, at)
  return size
}

/** The same over all of a reply, however long, with the event loop let in between. */
export async function forEachMessageInSlices(
  bytes: Uint8Array,
  view: DataView,
  visit: (type: number, flags: number, sequence: number, offset: number, end: number) => void,
): Promise<void> {
  const slices = new Slices()
  const step = (type: number, flags: number, sequence: number, offset: number, end: number): boolean => {
    visit(type, flags, sequence, offset, end)
    return slices.isOver
  }
  for (let at = forEachMessage(bytes, view, step); at < bytes.length;) {
    await slices.next()
    at = forEachMessage(bytes, view, step, at)
  }
}

/** What NLMSG_ERROR and NLMSG_DONE say. Source: include/uapi/linux/netlink.h, `struct nlmsgerr`, `enum nlmsgerr_attrs`. */
export interface Acknowledgement {
  /** 0 for success, else negative. */
  readonly errno: number
  /** The kernel's words (NLMSGERR_ATTR_MSG). */
  readonly message?: string
  /** Of the attribute at fault, counted from the request's message header (NLMSGERR_ATTR_OFFS). */
  readonly offset?: number
  /** The number of an attribute that is missing (NLMSGERR_ATTR_MISS_TYPE). */
  readonly missing?: number
  /** Where the nest stands that it is missing in (NLMSGERR_ATTR_MISS_NEST); none is the message itself. */
  readonly missingIn?: number
}

const succeeded: Acknowledgement = { errno: 0 }

/** Reads the payload of an NLMSG_ERROR or NLMSG_DONE. Throws a MalformedMessageError for what is none. */
export function readAcknowledgement(
  bytes: Uint8Array,
  view: DataView,
  type: number,
  flags: number,
  offset: number,
  end: number,
): Acknowledgement {
  if (end - offset < 4) {
    // NLMSG_DONE may be bare; an error without a number says nothing.
    if (type !== NLMSG_ERROR) return succeeded
    throw new MalformedMessageError(`acknowledgement of ${end - offset} bytes`, offset)
  }
  const errno = view.getInt32(offset, hostIsLittleEndian)
  if ((flags & NLM_F_ACK_TLVS) === 0) return errno === 0 ? succeeded : { errno }
  let at = offset + 4
  if (type === NLMSG_ERROR) {
    if (end - at < NLMSG_HDRLEN) return { errno }
    const copied = (flags & NLM_F_CAPPED) !== 0 ? NLMSG_HDRLEN : view.getUint32(at, hostIsLittleEndian)
    if (copied < NLMSG_HDRLEN || copied > end - at) {
      throw new MalformedMessageError(`acknowledged request of ${copied} bytes`, at)
    }
    at += (copied + 3) & ~3
  }
  const details: { errno: number; message?: string; offset?: number; missing?: number; missingIn?: number } =
    {
      errno,
    }
  if (at < end) {
    forEachAttribute(view, at, end, (attribute, start, length) => {
      const number = attribute & NLA_TYPE_MASK
      if (number === 1) details.message = textOf(bytes, start, length)
      else if (number === 2 && length >= 4) details.offset = view.getUint32(start, hostIsLittleEndian)
      else if (number === 5 && length >= 4) details.missing = view.getUint32(start, hostIsLittleEndian)
      else if (number === 6 && length >= 4) details.missingIn = view.getUint32(start, hostIsLittleEndian)
    })
  }
  return details
}

const decoder = new TextDecoder()

function textOf(bytes: Uint8Array, start: number, length: number): string {
  const field = bytes.subarray(start, start + length)
  const nul = field.indexOf(0)
  const text = decoder.decode(nul < 0 ? field : field.subarray(0, nul))
  // It goes into messages and logs: one line, no control characters.
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim()
}

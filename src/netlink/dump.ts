import { MalformedMessageError } from '../errors/index.js'
import { Slices } from '../slices.js'
import {
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
} from './constants.js'
import { refusalOf } from './failure.js'
import { forEachMessage, forEachMessageInSlices, readAcknowledgement, viewOf } from './message.js'
import { type ReadReply, type Request, rewrite } from './request.js'
import type { Replies } from './transport.js'

/** Some of many dumps, sent together. */
export interface DumpPart {
  readonly requests: readonly Request[]
  /** Which of them were sent, by position, when not all were. */
  readonly again?: ReadonlySet<number> | undefined
  readonly sequence: number
  readonly replies: Replies
}

/** Decodes the replies to a part; returns the requests that must be sent again because their dump was interrupted. */
export async function readDumpPart<T>(
  { requests, again: sent, sequence: first, replies }: DumpPart,
  read: ReadReply<T>,
  results: T[][],
): Promise<Set<number>> {
  const { bytes } = replies
  const view = viewOf(bytes)
  const settled = new Set<number>()
  const interrupted = new Set<number>()
  const positions = [...requests.keys()].filter((position) => sent?.has(position) !== false)
  for (const position of positions) results[position] = []
  await forEachMessageInSlices(bytes, view, (type, flags, sequence, offset, end) => {
    const position = sequence - first
    const request = requests[position]
    if (request === undefined || settled.has(position)) return
    if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted.add(position)
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      settled.add(position)
      const acknowledged = readAcknowledgement(bytes, view, type, flags, offset, end)
      if (acknowledged.errno !== 0) {
        throw refusalOf(acknowledged, request, () => rewrite(request, NLM_F_REQUEST | NLM_F_DUMP, sequence))
      }
    } else if (type > NLMSG_NOOP) {
      const result = read(bytes, view, offset, end, type)
      if (result !== undefined) results[position]?.push(result)
    }
  })
  // Which parts were dropped for want of buffer is unknown: nothing was changed by reading, so all are read again.
  if (replies.lost) return new Set(positions)
  for (const position of positions) {
    if (!settled.has(position)) throw new MalformedMessageError('the dump has no end', bytes.length)
  }
  return interrupted
}

/**
 * What was answered to a dump of which all is there, decoded slice by slice as it is asked for: not all of it is in memory
 * as objects at once.
 */
export async function* readInSlices<T>(
  { sequence: wanted, replies }: DumpPart,
  read: ReadReply<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T[], void, undefined> {
  const { bytes } = replies
  const view = viewOf(bytes)
  const slices = new Slices()
  let slice: T[] = []
  const visit = (type: number, _flags: number, sequence: number, offset: number, end: number): boolean => {
    if (sequence === wanted && type > NLMSG_NOOP && type !== NLMSG_ERROR && type !== NLMSG_DONE) {
      const result = read(bytes, view, offset, end, type)
      if (result !== undefined) slice.push(result)
    }
    return slices.isOver
  }
  for (let at = 0; at < bytes.length;) {
    at = forEachMessage(bytes, view, visit, at)
    // Whoever takes it has work of his own to do with it.
    await slices.next()
    if (slice.length > 0) yield slice
    slice = []
    if (at < bytes.length) {
      await slices.next()
      signal?.throwIfAborted()
    }
  }
}

/**
 * Where replies to parts are put: in memory that was used before. What is touched for the first time costs more than
 * reading it does, and in user-mode Linux more than the kernel takes to answer. Two in turn, because one part comes while
 * the one before is decoded.
 */
export class ReplyMemory {
  readonly #arrays: (Uint8Array | undefined)[] = [undefined, undefined]
  #turn = 0
  #bytes = 0

  /** Memory for the next part, if it is known how much that takes. */
  next(): Uint8Array | undefined {
    const turn = this.#turn
    this.#turn ^= 1
    if (this.#bytes > (this.#arrays[turn]?.length ?? 0)) this.#arrays[turn] = new Uint8Array(this.#bytes)
    return this.#arrays[turn]
  }

  learn({ bytes }: Replies): void {
    const wanted = bytes.length + (bytes.length >> 2) + spareBytes
    if (bytes.length + spareBytes > this.#bytes) this.#bytes = wanted
  }
}

/** The transport keeps room for one datagram more (native/exchange.h, DATAGRAM_ROOM). */
export const spareBytes = 128 * 1024

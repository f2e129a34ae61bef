import { type BatchFailure, isMalformedMessageError } from '../errors/index.js'
import { NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR } from './constants.js'
import { refusalOf, replyLost, transportError } from './failure.js'
import { forEachMessage, readAcknowledgement, viewOf } from './message.js'
import type { BatchCodec } from './request.js'
import type { Replies } from './transport.js'
import { Writer } from './writer.js'

/** Below SO_SNDBUF's usual 212,992, so that a batch passes where SO_SNDBUFFORCE is not permitted. */
const chunkBytes = 128 * 1024

/** What came of a send. Kept apart by its place, for an error of another realm (a vm context) is no `instanceof Error`. */
export type Landing = { readonly replies: Replies } | { readonly error: unknown }

/** The operations of a batch as they are read one by one. */
export class ItemReader<T> {
  readonly #iterator: Iterator<T>
  readonly #known: number
  /** How many were read. */
  count = 0
  ended = false
  /** What reading them threw. */
  failure: { readonly cause: unknown } | undefined

  constructor(items: Iterable<T>) {
    const { length, size } = items as { readonly length?: unknown; readonly size?: unknown }
    this.#known = typeof length === 'number' ? length : typeof size === 'number' ? size : 0
    this.#iterator = items[Symbol.iterator]()
  }

  next(): { readonly value: T } | undefined {
    try {
      const next = this.#iterator.next()
      if (next.done !== true) {
        this.count++
        return next
      }
    } catch (cause) {
      this.failure = { cause }
    }
    this.ended = true
    return undefined
  }

  /** Ends the reading, and tells how many are known to be left. It may have no end: it is not read to it. */
  leave(): number {
    if (this.ended) return 0
    this.ended = true
    this.#iterator.return?.()
    return Math.max(0, this.#known - this.count)
  }
}

/** The messages of one send of a batch, and which operation each of them is. */
export class Flight<T> {
  readonly writer = new Writer(chunkBytes + 4096)
  /** Written over by the next send: memory that is touched for the first time costs more than what is put there. */
  readonly #items: T[] = []
  readonly #indices: number[] = []
  readonly #starts: number[] = []
  #count = 0
  #first = 0
  #most = 0
  /** One of its operations may wait in the kernel. */
  mayWait = false

  start(first: number, most: number): void {
    this.#most = most
    this.mayWait = false
    this.writer.reset()
    this.#count = 0
    this.#first = first
  }

  get count(): number {
    return this.#count
  }

  /** It is over: what it sent is the caller's alone again. */
  forget(): void {
    this.#items.length = 0
  }

  get full(): boolean {
    return this.writer.length >= chunkBytes || this.#count >= this.#most
  }

  /** An operation that cannot be encoded fails by itself; the others go on. */
  add(item: T, index: number, codec: BatchCodec<T>, failures: BatchFailure[]): void {
    const writer = this.writer
    const start = writer.length
    try {
      codec.write(writer, NLM_F_REQUEST, this.#first + this.#count, item)
    } catch (error) {
      writer.length = start
      const { operation, object } = codec.target(item)
      failures.push({ index, operation, object, error: error as Error })
      return
    }
    if (codec.mayWait?.(item) === true) this.mayWait = true
    const position = this.#count++
    this.#items[position] = item
    this.#indices[position] = index
    this.#starts[position] = start
  }

  /** Errors are answered unasked; the acknowledgement of the last message says that all were handled. */
  seal(): void {
    this.writer.addMessageFlags(this.#starts[this.#count - 1]!, NLM_F_ACK)
  }

  /** Reads what came back; returns how many were applied. */
  land(landing: Landing, codec: BatchCodec<T>, failures: BatchFailure[]): number {
    const fail = (position: number, error: Error): void => {
      const { operation, object } = codec.target(this.#items[position]!)
      failures.push({ index: this.#indices[position]!, operation, object, error })
    }
    if ('error' in landing) {
      for (let position = 0; position < this.#count; position++) {
        fail(position, transportError(landing.error, codec.target(this.#items[position]!)) as Error)
      }
      return 0
    }
    const { bytes, lost } = landing.replies
    const view = viewOf(bytes)
    const failed = new Set<number>()
    let last: number | undefined
    const read = (type: number, flags: number, sequence: number, offset: number, end: number): void => {
      const position = sequence - this.#first
      if (type !== NLMSG_ERROR || position < 0 || position >= this.#count) return
      last = position
      const acknowledged = readAcknowledgement(bytes, view, type, flags, offset, end)
      if (acknowledged.errno === 0 || failed.has(position)) return
      failed.add(position)
      const target = codec.target(this.#items[position]!)
      const from = this.#starts[position]!
      const to = position + 1 < this.#count ? this.#starts[position + 1] : this.writer.length
      fail(
        position,
        refusalOf(acknowledged, target, () => this.writer.bytes.subarray(from, to)),
      )
    }
    let malformed: Error | undefined
    try {
      forEachMessage(bytes, view, read)
    } catch (error) {
      if (!isMalformedMessageError(error)) throw error
      malformed = error
    }
    if (malformed !== undefined || lost || last !== this.#count - 1) {
      // Which of the others failed is unknown: none of them may be called applied.
      for (let position = 0; position < this.#count; position++) {
        if (!failed.has(position))
          fail(position, malformed ?? replyLost(codec.target(this.#items[position]!)))
      }
      return 0
    }
    return this.#count - failed.size
  }
}

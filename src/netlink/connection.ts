import {
  BatchError,
  type BatchFailure,
  isMalformedMessageError,
  KernelError,
  MalformedMessageError,
} from '../errors/index.js'
import { onAbort } from './abort.js'
import { type Acknowledgement, forEachMessage, readAcknowledgement, viewOf } from './message.js'
import {
  hostIsLittleEndian,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from './constants.js'
import { kernelErrorOf, replyLost, type Target, transportError, TurnMissed } from './failure.js'
import { Pace } from './pace.js'
import type { Replies, RequestKind, Transport } from './transport.js'
import { turn } from './turn.js'
import { Writer } from './writer.js'

/** One message to send: what writes it, and what an error about it must name. */
export interface Request extends Target {
  /** Appends the whole message, with these flags and this sequence number. */
  write(writer: Writer, flags: number, sequence: number): void
  /** The kernel may wait in it (an RCU grace period): it is sent off the event loop. */
  readonly mayWait?: boolean | undefined
}

/** Reads the payload `[offset, end)` of one reply; undefined leaves it out (a message of another type). */
export type ReadReply<T> = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
  type: number,
) => T | undefined

/** What every call takes. */
export interface CallOptions {
  /**
   * Aborting before the request is sent rejects at once with nothing done. What was sent is awaited and told: a kernel
   * cannot take back a change.
   */
  readonly signal?: AbortSignal | undefined
  /**
   * How long to wait for an answer, and before that behind earlier requests, together; 10,000 unless said. A list that
   * is sent in parts has as long for each of them.
   */
  readonly deadlineMilliseconds?: number | undefined
}

/** What became of a batch. */
export interface BatchOutcome {
  /** How many operations the kernel has done. */
  readonly applied: number
  /** Every one that failed, in the order of the batch. */
  readonly failures: readonly BatchFailure[]
  /**
   * Operations that were never sent because the signal was aborted. Of an array or a Set all that is left is counted;
   * of what makes its operations as it goes (a generator) those that it was asked for: it is told to end.
   */
  readonly notSent: number
}

/** How a batch writes an operation, and what an error about it must name. */
export interface BatchCodec<T> {
  /** Appends the whole message. */
  write(writer: Writer, flags: number, sequence: number, item: T): void
  /** Asked for operations that failed. */
  target(item: T): Target
  /** The kernel may wait in it (an RCU grace period): it is never sent while the event loop is held. */
  mayWait?(item: T): boolean
}

const defaultDeadline = 10_000
/** A synchronous exchange holds the event loop, so it gets no longer than this. The kernel answers inside sendmsg. */
const syncDeadline = 1_000
const syncBytes = 16_384
/** Below SO_SNDBUF's usual 212,992, so that a batch passes where SO_SNDBUFFORCE is not permitted. */
const chunkBytes = 128 * 1024
/** Replies of one send must fit the receive buffer: some 800 bytes each there, if all of them fail. */
const chunkMessages = 1024
const sliceMilliseconds = 8
/** The first send of a batch, from which it is learnt how long the kernel takes. */
const firstMessages = 32
const dumpsAtOnce = 256
/** Of batches that are over, for the next: what one needs. */
const mostKept = 2
const mostSequence = 0x7fff_ffff
const dumpAttempts = 4

/**
 * Requests over one Transport: numbers them, keeps them in order, matches what comes back, and names what failed.
 * Small requests are answered at once, large ones off the event loop; later ones wait for earlier ones.
 */
export class Connection {
  readonly #transport: Transport
  readonly #deadline: number
  readonly #writer = new Writer(syncBytes)
  #sequence = 0
  #tail: Promise<unknown> | undefined
  #closed = false
  readonly #flights: Flight<unknown>[] = []

  /** `lastSequence`: where numbering goes on from; the first request carries the next number. */
  constructor(
    transport: Transport,
    options: {
      readonly deadlineMilliseconds?: number | undefined
      readonly lastSequence?: number | undefined
    } = {},
  ) {
    this.#transport = transport
    this.#deadline = options.deadlineMilliseconds ?? defaultDeadline
    this.#sequence = options.lastSequence ?? 0
  }

  /** What carries the bytes. */
  get transport(): Transport {
    return this.#transport
  }

  /** Closes the transport. What is under way fails with ECANCELED. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#transport.close()
  }

  /** Sends one request and waits for its acknowledgement. */
  async execute(request: Request, options?: CallOptions): Promise<void> {
    await this.#single(request, NLM_F_REQUEST | NLM_F_ACK, undefined, options)
  }

  /** Sends one request and returns what it is answered with, read by `read`. */
  async query<T>(request: Request, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#single(request, NLM_F_REQUEST | NLM_F_ACK, read, options)
  }

  async #single<T>(
    request: Request,
    flags: number,
    read: ReadReply<T> | undefined,
    options: CallOptions | undefined,
  ): Promise<T[]> {
    options?.signal?.throwIfAborted()
    const writer = this.#writer
    writer.reset()
    const sequence = this.#take(1)
    request.write(writer, flags, sequence)
    let replies: Replies
    try {
      const mayHold = request.mayWait === true ? false : undefined
      const answer = this.#exchange(writer.bytes, writer.length, 'batch', options, mayHold)
      replies = isReplies(answer) ? answer : await answer
    } catch (error) {
      throw transportError(error, request)
    }
    const results: T[] = []
    const acknowledged = settle(replies, sequence, read, results)
    const isPartLost = replies.lost && read !== undefined
    if (acknowledged === undefined || (isPartLost && acknowledged.errno === 0)) throw replyLost(request)
    if (acknowledged.errno !== 0)
      throw kernelErrorOf(acknowledged, request, () => rewrite(request, flags, sequence))
    return results
  }

  /**
   * Reads a whole table. A dump that the kernel calls interrupted (NLM_F_DUMP_INTR: it changed meanwhile) is read
   * again; after some attempts it throws, with what it has as the error's cause.
   */
  async dump<T>(request: Request, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    const [results] = await this.dumps([request], (only) => only, read, options)
    return results ?? []
  }

  /**
   * Several dumps, one after the other off the event loop; results in the order of the items. Requests are made as they
   * are sent, for there may be tens of thousands.
   */
  async dumps<I, T>(
    items: readonly I[],
    requestOf: (item: I) => Request,
    read: ReadReply<T>,
    options?: CallOptions,
  ): Promise<T[][]> {
    const results: T[][] = []
    let flying: Promise<DumpPart> | undefined
    // One part is read by the kernel while the one before is decoded here. It is not sent before that one has come: the
    // deadline of each is its own.
    for (let from = 0; from < items.length || flying !== undefined; from += dumpsAtOnce) {
      // The first is sent within the call: what is asked later comes later.
      const landed = flying === undefined ? undefined : await flying
      options?.signal?.throwIfAborted()
      flying = undefined
      if (from < items.length) {
        const requests = items.slice(from, from + dumpsAtOnce).map(requestOf)
        flying = this.#sendDumps({ requests, from }, options)
        flying.catch(() => undefined)
      }
      if (landed !== undefined) await this.#readDumps(landed, read, results, options)
    }
    return results
  }

  async #sendDumps(
    { requests, from, again }: Omit<DumpPart, 'sequence' | 'replies'>,
    options?: CallOptions,
  ): Promise<DumpPart> {
    const writer = new Writer(requests.length * 64)
    const sequence = this.#take(requests.length)
    requests.forEach((request, position) => {
      if (again?.has(position) === false) return
      request.write(writer, NLM_F_REQUEST | NLM_F_DUMP, sequence + position)
    })
    try {
      const replies = await this.#exchange(writer.bytes, writer.length, 'dumps', options, false)
      return { requests, from, again, sequence, replies }
    } catch (error) {
      throw transportError(error, requests[0]!)
    }
  }

  async #readDumps<T>(
    first: DumpPart,
    read: ReadReply<T>,
    results: T[][],
    options: CallOptions | undefined,
  ): Promise<void> {
    let part = first
    for (let attempt = 1; ; attempt++) {
      const again = await readDumpPart(part, read, results)
      if (again.size === 0) return
      if (attempt === dumpAttempts) {
        const [position] = again
        const { operation, object } = part.requests[position!]!
        const { lost } = part.replies
        throw new KernelError({
          errno: lost ? -105 : -4,
          operation,
          object,
          kernelMessage: lost
            ? `replies were lost ${dumpAttempts} times`
            : `the dump was interrupted by changes ${dumpAttempts} times`,
          hint: 'what was read is in `cause`',
          // Of several all that were begun, for the others are whole.
          cause: results.length === 1 ? results[0] : results,
        })
      }
      part = await this.#sendDumps({ ...part, again }, options)
    }
  }

  /**
   * Sends any number of operations in few sends and tells of every one that failed. The kernel applies what it can:
   * an operation that fails stops none after it. Encoding goes in slices, so the event loop stays free.
   *
   * Where the list itself throws in the middle, what was sent before is told by a BatchError with that as its cause.
   */
  async batch<T>(items: Iterable<T>, codec: BatchCodec<T>, options?: CallOptions): Promise<BatchOutcome> {
    options?.signal?.throwIfAborted()
    const failures: BatchFailure[] = []
    const list = new ItemReader(items)
    /** Two, the second when the first is on its way. */
    const flights: Flight<T>[] = []
    let flying: { readonly flight: Flight<T>; readonly landing: Promise<Landing> } | undefined
    let applied = 0
    let notSent = 0
    let started = 0
    const isAborted = (): boolean => options?.signal?.aborted === true
    const land = (flight: Flight<T>, landing: Landing): void => {
      // Aborted while it stood in the queue: it was not sent.
      if (isAborted() && 'error' in landing && landing.error === options?.signal?.reason) {
        notSent += flight.count
      } else applied += flight.land(landing, codec, failures)
    }
    const awaitLanding = async (): Promise<void> => {
      if (flying === undefined) return
      const { flight, landing } = flying
      flying = undefined
      land(flight, await landing)
    }
    const pace = new Pace(firstMessages, chunkMessages)
    // It may be one of many that are awaited one after the other.
    const next = turn.spent
    if (next !== undefined) await next
    while (!list.ended && !isAborted()) {
      const until = performance.now() + sliceMilliseconds
      do {
        const flight = (flights[started++ & 1] ??= this.#flight<T>())
        const mayHold = this.#tail === undefined && flying === undefined
        flight.start(this.#take(chunkMessages), mayHold && pace.messages > 0 ? pace.messages : chunkMessages)
        while (!flight.full) {
          const index = list.count
          const next = list.next()
          if (next === undefined) break
          flight.add(next.value, index, codec, failures)
          if ((list.count & 255) === 0 && performance.now() > until) break
        }
        await awaitLanding()
        if (isAborted() || list.failure !== undefined) {
          notSent += flight.count
          break
        }
        if (flight.count === 0) continue
        flight.seal()
        const began = performance.now()
        const landing = this.#launch(flight, mayHold && pace.messages > 0, options)
        if (landing instanceof Promise) {
          flying = { flight, landing }
          if (flight.mayWait) pace.stop()
          break
        }
        // Had at once: it is valid until the next call only, whoever makes it.
        land(flight, landing)
        pace.took(flight.count, performance.now() - began)
      } while (!list.ended && performance.now() < until)
      if (!list.ended) await immediate()
    }
    await awaitLanding()
    for (const flight of flights) this.#keep(flight)
    failures.sort((a, b) => a.index - b.index)
    const isUntouched = applied === 0 && failures.length === 0
    if (list.failure !== undefined) {
      const { cause } = list.failure
      if (isUntouched) throw cause
      throw new BatchError('netlink.batch', applied, failures, { cause })
    }
    if (isUntouched && notSent > 0) options?.signal?.throwIfAborted()
    return { applied, failures, notSent: notSent + list.leave() }
  }

  /** Its buffer costs more than a small batch does, so those of earlier batches serve again. */
  #flight<T>(): Flight<T> {
    return (this.#flights.pop() as Flight<T> | undefined) ?? new Flight<T>()
  }

  #keep<T>(flight: Flight<T>): void {
    flight.forget()
    if (this.#flights.length < mostKept) this.#flights.push(flight)
  }

  /** A promise of the transport's may be of another realm, and so may its errors: here begin our own. */
  #launch<T>(
    flight: Flight<T>,
    mayHold: boolean,
    options: CallOptions | undefined,
  ): Landing | Promise<Landing> {
    const { writer } = flight
    try {
      const answer = this.#exchange(writer.bytes, writer.length, 'batch', options, mayHold && !flight.mayWait)
      return isReplies(answer) ? { replies: answer } : landingOf(answer)
    } catch (error) {
      return { error }
    }
  }

  #take(count: number): number {
    if (this.#sequence + count > mostSequence) this.#sequence = 0
    const first = this.#sequence + 1
    this.#sequence += count
    return first
  }

  #exchange(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    options: CallOptions | undefined,
    mayHold?: boolean,
  ): Replies | Promise<Replies> {
    const transport = this.#transport
    const deadline = options?.deadlineMilliseconds ?? this.#deadline
    const here = kind === 'batch' && (mayHold ?? length <= syncBytes) && transport.exchangeSync !== undefined
    // Who says that it may hold the event loop, a batch, has its own slices.
    const busy = this.#tail ?? (here && mayHold === undefined ? turn.spent : undefined)
    if (busy === undefined) {
      return here
        ? transport.exchangeSync(request, length, Math.min(deadline, syncDeadline))
        : this.#queued(transport.exchange(request, length, kind, deadline))
    }
    // Its writer is used again by whoever comes while it waits.
    const copy = request.slice(0, length)
    const send = (left: number): Promise<Replies> =>
      here ? this.#exchangeHere(copy, left) : transport.exchange(copy, length, kind, left)
    const waiting = inTurn(busy, send, deadline, options?.signal)
    void this.#queued(waiting.over)
    return waiting.replies
  }

  /** What was waited for may have spent this turn of the event loop, too. */
  async #exchangeHere(request: Uint8Array, deadline: number): Promise<Replies> {
    const next = turn.spent
    if (next !== undefined) await next
    const exchangeSync = this.#transport.exchangeSync!.bind(this.#transport)
    const { bytes, lost } = exchangeSync(request, request.length, Math.min(deadline, syncDeadline))
    // Those behind it may be answered before these bytes are read.
    return { bytes: bytes.slice(), lost }
  }

  /** Later requests wait until it is over, however it ends. */
  #queued<T extends PromiseLike<unknown>>(running: T): T {
    const tail = Promise.resolve(running).then(
      () => undefined,
      () => undefined,
    )
    this.#tail = tail
    void tail.then(() => {
      if (this.#tail === tail) this.#tail = undefined
    })
    return running
  }
}

/** Some of many dumps, sent together. */
interface DumpPart {
  readonly requests: readonly Request[]
  /** Where the first of them stands among all. */
  readonly from: number
  /** Which of them were sent, by position, when not all were. */
  readonly again?: ReadonlySet<number> | undefined
  readonly sequence: number
  readonly replies: Replies
}

/** What came of a send. Kept apart by its place, for an error of another realm (a vm context) is no `instanceof Error`. */
type Landing = { readonly replies: Replies } | { readonly error: unknown }

function isReplies(answer: Replies | PromiseLike<Replies>): answer is Replies {
  return !('then' in answer)
}

async function landingOf(answer: PromiseLike<Replies>): Promise<Landing> {
  try {
    return { replies: await answer }
  } catch (error) {
    return { error }
  }
}

/** The operations of a batch as they are read one by one. */
class ItemReader<T> {
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

/** A timer takes no more: it would fire at once. */
const mostTimerMilliseconds = 0x7fff_ffff

/**
 * Sends once `busy` is over, with what is then left of the deadline. Before that, the deadline and the signal end the
 * waiting at once, and nothing is sent; `over` comes in its turn all the same, for those behind it.
 */
function inTurn(
  busy: Promise<unknown>,
  send: (leftMilliseconds: number) => Promise<Replies>,
  deadlineMilliseconds: number,
  signal: AbortSignal | undefined,
): { readonly replies: Promise<Replies>; readonly over: Promise<unknown> } {
  const until = performance.now() + deadlineMilliseconds
  let leave: (reason: unknown) => void
  let isLeft = false
  const left = new Promise<never>((_, reject) => {
    leave = (reason) => {
      isLeft = true
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is whatever it is
      reject(reason)
    }
  })
  const leaveAborted = (): void => leave(signal?.reason)
  const onDeadline = (): void => leave(new TurnMissed())
  const forget = signal === undefined ? undefined : onAbort(signal, leaveAborted)
  // Whoever is before it keeps the process alive.
  const timer = setTimeout(onDeadline, Math.min(deadlineMilliseconds, mostTimerMilliseconds)).unref()
  const sent = busy.then(() => {
    clearTimeout(timer)
    forget?.()
    if (signal?.aborted === true) leaveAborted()
    else if (performance.now() >= until) onDeadline()
    return isLeft ? left : send(until - performance.now())
  })
  return { replies: Promise.race([sent, left]), over: sent }
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The bytes of a request once more, for the path of the attribute that the kernel points at. */
function rewrite(request: Request, flags: number, sequence: number): Uint8Array {
  const writer = new Writer()
  request.write(writer, flags, sequence)
  return writer.bytes.subarray(0, writer.length)
}

/** Reads the replies to one request; undefined if its acknowledgement is not among them. */
function settle<T>(
  replies: Replies,
  wanted: number,
  read: ReadReply<T> | undefined,
  results: T[],
): Acknowledgement | undefined {
  const { bytes } = replies
  const view = viewOf(bytes)
  let acknowledged: Acknowledgement | undefined
  forEachMessage(bytes, view, (type, flags, sequence, offset, end) => {
    if (sequence !== wanted) return
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      acknowledged ??= readAcknowledgement(bytes, view, type, flags, offset, end)
    } else if (type > NLMSG_OVERRUN && read !== undefined) {
      const result = read(bytes, view, offset, end, type)
      if (result !== undefined) results.push(result)
    }
  })
  return acknowledged
}

/** Some milliseconds of decoding, also where code runs slowly. */
const decodeSliceMessages = 512

/** Decodes the replies to a part; returns the requests that must be sent again because their dump was interrupted. */
async function readDumpPart<T>(
  { requests, from, again: sent, sequence: first, replies }: DumpPart,
  read: ReadReply<T>,
  results: T[][],
): Promise<Set<number>> {
  const { bytes } = replies
  const view = viewOf(bytes)
  const settled = new Set<number>()
  const interrupted = new Set<number>()
  const positions = [...requests.keys()].filter((position) => sent?.has(position) !== false)
  for (const position of positions) results[from + position] = []
  let count = 0
  // A large table is decoded in slices, with the event loop let in between.
  for (const [begin, end] of slices(bytes, view, decodeSliceMessages)) {
    if (count++ > 0) await immediate()
    forEachMessage(
      bytes,
      view,
      (type, flags, sequence, offset, end) => {
        const position = sequence - first
        const request = requests[position]
        if (request === undefined || settled.has(position)) return
        if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted.add(position)
        if (type === NLMSG_ERROR || type === NLMSG_DONE) {
          settled.add(position)
          const acknowledged = readAcknowledgement(bytes, view, type, flags, offset, end)
          if (acknowledged.errno !== 0) {
            throw kernelErrorOf(acknowledged, request, () =>
              rewrite(request, NLM_F_REQUEST | NLM_F_DUMP, sequence),
            )
          }
        } else if (type > NLMSG_NOOP) {
          const result = read(bytes, view, offset, end, type)
          if (result !== undefined) results[from + position]?.push(result)
        }
      },
      begin,
      end,
    )
  }
  // Which parts were dropped for want of buffer is unknown: nothing was changed by reading, so all are read again.
  if (replies.lost) return new Set(positions)
  for (const position of positions) {
    if (!settled.has(position)) throw new MalformedMessageError('the dump has no end', bytes.length)
  }
  return interrupted
}

/** Byte ranges of about `most` messages each, cut at message borders. */
function* slices(bytes: Uint8Array, view: DataView, most: number): Generator<readonly [number, number]> {
  let from = 0
  let count = 0
  let at = 0
  while (bytes.length - at >= NLMSG_HDRLEN) {
    const length = (view.getUint32(at, hostIsLittleEndian) + 3) & ~3
    if (length < NLMSG_HDRLEN || at + length > bytes.length) break
    at += length
    if (++count === most) {
      yield [from, at]
      from = at
      count = 0
    }
  }
  if (from < bytes.length) yield [from, bytes.length]
}

/** The messages of one send of a batch, and which operation each of them is. */
class Flight<T> {
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
        kernelErrorOf(acknowledged, target, () => this.writer.bytes.subarray(from, to)),
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

import { BatchError, type BatchFailure, KernelError } from '../errors/index.js'
import { Slices } from '../slices.js'
import { onAbort } from './abort.js'
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN } from './constants.js'
import { type DumpPart, readDumpPart, readInSlices, ReplyMemory, spareBytes } from './dump.js'
import { refusalOf, replyLost, transportError, TurnMissed } from './failure.js'
import { Flight, ItemReader, type Landing } from './flight.js'
import {
  type Acknowledgement,
  forEachMessage,
  forEachMessageInSlices,
  readAcknowledgement,
  viewOf,
} from './message.js'
import { Pace } from './pace.js'
import {
  type AtomicOutcome,
  type BatchCodec,
  type BatchOutcome,
  type CallOptions,
  type ReadReply,
  type Request,
  rewrite,
} from './request.js'
import type { Replies, RequestKind, Transport } from './transport.js'
import { turn } from './turn.js'
import { Writer } from './writer.js'

const defaultDeadline = 10_000
/** A synchronous exchange holds the event loop, so it gets no longer than this. The kernel answers inside sendmsg. */
const syncDeadline = 1_000
const syncBytes = 16_384
/** The event loop is held by the next commit only if the last one, or waking the thread that it was on, took no longer. */
const shortCommitMilliseconds = 3
/** Replies of one send must fit the receive buffer: some 800 bytes each there, if all of them fail. */
const chunkMessages = 1024
/** The first send of a batch, from which it is learnt how long the kernel takes. */
const firstMessages = 32
/** So many hold the only processor of a small machine for some milliseconds. */
const dumpsAtOnce = 128
/** Of batches that are over, for the next: what one needs. */
const mostKept = 2
const mostKeptBytes = 64 * 1024
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
  /** What the last one took. */
  #commitMilliseconds = Infinity
  readonly #flights: Flight<unknown>[] = []
  /** For messages that are applied together, as many as there were at once. */
  readonly #rooms: Room[] = []

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
      throw refusalOf(acknowledged, request, () => rewrite(request, flags, sequence))
    return results
  }

  /**
   * Reads a whole table. A dump that the kernel calls interrupted (NLM_F_DUMP_INTR: it changed meanwhile) is read
   * again; after some attempts it throws, with what it has as the error's cause.
   */
  async dump<T>(request: Request, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    const [results] = await this.dumps(
      [request],
      (only) => only,
      read,
      (_, found) => found,
      options,
    )
    return results ?? []
  }

  /**
   * The same in slices, each decoded as it is asked for, so that a large table is never in memory as objects at once: its
   * bytes are. Everything is there before the first slice is handed out, so none comes of a dump that fails.
   */
  async *dumpInSlices<T>(
    request: Request,
    read: ReadReply<T>,
    options?: CallOptions,
  ): AsyncGenerator<T[], void, undefined> {
    options?.signal?.throwIfAborted()
    const first = await this.#sendDumps({ requests: [request] }, options)
    const whole = await this.#readDumps(
      first,
      () => undefined,
      [],
      () => undefined,
      options,
    )
    yield* readInSlices(whole, read, options?.signal)
  }

  /**
   * Several dumps, one after the other off the event loop; in the order of the items what `finish` makes of each and of
   * what was read for it. Requests are made as they are sent, for there may be tens of thousands.
   */
  async dumps<I, T, R>(
    items: readonly I[],
    requestOf: (item: I) => Request,
    read: ReadReply<T>,
    finish: (item: I, found: T[]) => R,
    options?: CallOptions,
  ): Promise<R[]> {
    const results: R[] = []
    const finished = (found: T[][]): R[] => {
      for (const each of found) results.push(finish(items[results.length]!, each))
      return results
    }
    const memory = new ReplyMemory()
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
        flying = this.#sendDumps({ requests }, options, memory.next())
        flying.catch(() => undefined)
      }
      if (landed !== undefined) {
        memory.learn(landed.replies)
        const found: T[][] = []
        // Of several all that were begun are told, for the others are whole.
        const told = (): unknown => (finished(found).length === 1 ? results[0] : results)
        await this.#readDumps(landed, read, found, told, options)
        finished(found)
      }
    }
    return results
  }

  async #sendDumps(
    { requests, again }: Omit<DumpPart, 'sequence' | 'replies'>,
    options?: CallOptions,
    into?: Uint8Array,
  ): Promise<DumpPart> {
    const writer = new Writer(requests.length * 64)
    const sequence = this.#take(requests.length)
    requests.forEach((request, position) => {
      if (again?.has(position) === false) return
      request.write(writer, NLM_F_REQUEST | NLM_F_DUMP, sequence + position)
    })
    try {
      const replies = await this.#exchange(writer.bytes, writer.length, 'dumps', options, false, into)
      return { requests, again, sequence, replies }
    } catch (error) {
      throw transportError(error, requests[0]!)
    }
  }

  /**
   * Reads a part into `found`, and what of it was interrupted or lost again; returns the last one that was sent. After some
   * attempts it throws, with what `told` makes of what there is.
   */
  async #readDumps<T>(
    first: DumpPart,
    read: ReadReply<T>,
    found: T[][],
    told: () => unknown,
    options: CallOptions | undefined,
  ): Promise<DumpPart> {
    let part = first
    for (let attempt = 1; ; attempt++) {
      const again = await readDumpPart(part, read, found)
      if (again.size === 0) return part
      if (attempt === dumpAttempts) {
        const [position] = again
        throw unsettledDump(part.requests[position!]!, part.replies, told())
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
    const slices = new Slices()
    while (!list.ended && !isAborted()) {
      do {
        const flight = (flights[started++ & 1] ??= this.#flight<T>())
        const mayHold = this.#tail === undefined && flying === undefined
        flight.start(this.#take(chunkMessages), mayHold && pace.messages > 0 ? pace.messages : chunkMessages)
        while (!flight.full) {
          const index = list.count
          const next = list.next()
          if (next === undefined) break
          flight.add(next.value, index, codec, failures)
          if (slices.isOver) break
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
      } while (!list.ended && slices.hasTime)
      if (!list.ended) await slices.next()
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

  /**
   * Sends messages that the kernel applies together, in one send; which of them failed, and what else was said. Each
   * writes the flags that it wants, and is asked for when it is written. A small one holds the event loop, if the one before
   * took the kernel no longer than a moment: that is less than waking a thread takes, and being woken by it. One that the
   * kernel takes back takes milliseconds; after it the next goes to a thread.
   *
   * An abort before it is sent rejects with nothing done; afterwards the outcome is awaited and told.
   */
  async atomic<T>(
    requests: Iterable<Request>,
    read: ReadReply<T>,
    options?: CallOptions,
  ): Promise<AtomicOutcome<T>> {
    options?.signal?.throwIfAborted()
    // A small one may be over when the call returns.
    const next = turn.spent
    if (next !== undefined) await next
    const room = this.#rooms.pop() ?? new Room()
    const { writer } = room
    const slices = new Slices()
    const sent: Request[] = []
    const starts: number[] = []
    for (const request of requests) {
      sent.push(request)
      starts.push(writer.length)
      request.write(writer, NLM_F_REQUEST, 0)
      if (slices.isOver) await slices.next()
    }
    options?.signal?.throwIfAborted()
    // Others may have been sent meanwhile, and numbers follow each other.
    const first = this.#take(sent.length)
    for (const [index, start] of starts.entries()) writer.setSequence(start, first + index)
    let replies: Replies
    try {
      const began = performance.now()
      const mayHold = this.#commitMilliseconds <= shortCommitMilliseconds && writer.length <= syncBytes
      const answer = this.#exchange(writer.bytes, writer.length, 'atomic', options, mayHold, room.replies)
      // Had at once: it is valid until the next call only, whoever makes it.
      replies = isReplies(answer) ? { ...answer, bytes: answer.bytes.slice() } : await answer
      this.#commitMilliseconds = performance.now() - began
    } catch (error) {
      this.#commitMilliseconds = Infinity
      throw transportError(error, sent[0]!)
    }
    const outcome = await readAtomic(
      replies,
      first,
      sent,
      (index) => writer.bytes.subarray(starts[index], starts[index + 1] ?? writer.length),
      read,
    )
    writer.reset()
    if (writer.bytes.length <= mostKeptBytes) this.#rooms.push(room)
    return outcome
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
    into?: Uint8Array,
  ): Replies | Promise<Replies> {
    const transport = this.#transport
    const deadline = options?.deadlineMilliseconds ?? this.#deadline
    const here = kind !== 'dumps' && (mayHold ?? length <= syncBytes) && transport.exchangeSync !== undefined
    // Who says that it may hold the event loop, a batch, has its own slices.
    const busy = this.#tail ?? (here && mayHold === undefined ? turn.spent : undefined)
    if (busy === undefined) {
      return here
        ? transport.exchangeSync(request, length, kind, Math.min(deadline, syncDeadline))
        : this.#queued(transport.exchange(request, length, kind, deadline, into))
    }
    // Its writer is used again by whoever comes while it waits.
    const copy = request.slice(0, length)
    const send = (left: number): Promise<Replies> =>
      here ? this.#exchangeHere(copy, kind, left) : transport.exchange(copy, length, kind, left, into)
    const waiting = inTurn(busy, send, deadline, options?.signal)
    void this.#queued(waiting.over)
    return waiting.replies
  }

  /** What was waited for may have spent this turn of the event loop, too. */
  async #exchangeHere(request: Uint8Array, kind: RequestKind, deadline: number): Promise<Replies> {
    const next = turn.spent
    if (next !== undefined) await next
    const exchangeSync = this.#transport.exchangeSync!.bind(this.#transport)
    const { bytes, lost } = exchangeSync(request, request.length, kind, Math.min(deadline, syncDeadline))
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

/**
 * What a small commit is written into, and what it is answered in: it takes the kernel some microseconds, and memory that
 * is made for each of them keeps the collector busy for longer.
 */
class Room {
  readonly writer = new Writer(syncBytes)
  readonly replies = new Uint8Array(spareBytes * 2)
}

/** With what was read in spite of it, if anything is to be told. */
function unsettledDump({ operation, object }: Request, { lost }: Replies, read?: unknown): KernelError {
  return new KernelError({
    errno: lost ? -105 : -4,
    operation,
    object,
    kernelMessage: lost
      ? `replies were lost ${dumpAttempts} times`
      : `the dump was interrupted by changes ${dumpAttempts} times`,
    hint: read === undefined ? undefined : 'what was read is in `cause`',
    cause: read,
  })
}

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

async function readAtomic<T>(
  replies: Replies,
  first: number,
  requests: readonly Request[],
  bytesOf: (index: number) => Uint8Array,
  read: ReadReply<T>,
): Promise<AtomicOutcome<T>> {
  const { bytes, lost } = replies
  const view = viewOf(bytes)
  const failures: AtomicOutcome<T>['failures'][number][] = []
  const acknowledged = new Set<number>()
  const results: { readonly index: number; readonly result: T }[] = []
  await forEachMessageInSlices(bytes, view, (type, flags, sequence, offset, end) => {
    const index = sequence - first
    const request = requests[index]
    if (request === undefined) return
    if (type === NLMSG_ERROR) {
      const answer = readAcknowledgement(bytes, view, type, flags, offset, end)
      if (answer.errno === 0) acknowledged.add(index)
      else failures.push({ index, error: refusalOf(answer, request, () => bytesOf(index)) })
    } else if (type > NLMSG_OVERRUN) {
      const result = read(bytes, view, offset, end, type)
      if (result !== undefined) results.push({ index, result })
    }
  })
  return { failures, acknowledged, results, lost }
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

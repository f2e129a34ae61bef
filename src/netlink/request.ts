import type { BatchFailure, KernelError, UnsupportedError } from '../errors/index.js'
import type { Target } from './failure.js'
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

/** What was answered to messages that are applied together. */
export interface AtomicOutcome<T> {
  /** Those that failed, by their index, in the order in which the kernel told of them. */
  readonly failures: readonly {
    readonly index: number
    readonly error: KernelError | UnsupportedError
  }[]
  /** Which of those that asked for it were acknowledged. */
  readonly acknowledged: ReadonlySet<number>
  /** What else came: the objects, if they were asked for (NLM_F_ECHO). */
  readonly results: readonly { readonly index: number; readonly result: T }[]
  /** Some of it was lost (ENOBUFS). */
  readonly lost: boolean
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

/** The bytes of a request once more, for the path of the attribute that the kernel points at. */
export function rewrite(request: Request, flags: number, sequence: number): Uint8Array {
  const writer = new Writer()
  request.write(writer, flags, sequence)
  return writer.bytes.subarray(0, writer.length)
}

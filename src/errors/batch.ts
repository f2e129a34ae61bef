import { hasKind, markKind, text } from './kind.js'

/** One operation that failed. */
export interface BatchFailure {
  /** Position in the batch, from 0. */
  readonly index: number
  /** What it was: `ipvs.createDestination`. */
  readonly operation: string
  /** What it was for, as the caller named it. */
  readonly object: object | undefined
  /** Why: mostly a KernelError. */
  readonly error: Error
}

/**
 * Some operations of a batch failed. Every one of them is told, and so is how many were applied. With a `cause` it was
 * ended by that, and what came after was not sent.
 */
export class BatchError extends AggregateError {
  /** Of every one; `isBatchError` recognises it. */
  override readonly name = 'BatchError'
  /** The same for every one, in Node's form. */
  readonly code = 'ERR_VIADUCT_BATCH'
  /** How many operations the kernel has done. */
  readonly applied: number
  /** Every one that failed, in the order of the batch. */
  readonly failures: readonly BatchFailure[]

  constructor(
    operation: string,
    applied: number,
    failures: readonly BatchFailure[],
    options: {
      readonly cause?: unknown
      /** How many operations there were, where the kernel does all of them or none. */
      readonly together?: number | undefined
    } = {},
  ) {
    const { cause, together } = options
    const first = failures[0]
    const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : ''
    super(
      failures.map((failure) => failure.error),
      `${operation}: ${failures.length} of ${together ?? applied + failures.length} operations failed` +
        (together === undefined ? '' : ', and none was done') +
        (first === undefined ? '' : `; first, number ${first.index}: ${first.error.message}${more}`) +
        ('cause' in options && together === undefined ? `; the rest was not sent: ${reasonOf(cause)}` : ''),
      'cause' in options ? { cause } : undefined,
    )
    this.applied = applied
    this.failures = failures
  }
}
function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : text(cause)
}
markKind(BatchError.prototype, 'batch')

/** Is it one? Works between two copies of the package. */
export function isBatchError(error: unknown): error is BatchError {
  return hasKind(error, 'batch')
}

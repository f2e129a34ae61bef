import { hasKind, markKind } from './kind.js'

/** One operation that failed. */
export interface BatchFailure {
  /** Position in the batch, from 0. */
  readonly index: number
  readonly operation: string
  readonly object: object | undefined
  readonly error: Error
}

/** Some operations of a batch failed. Every one of them is told, and so is how many were applied. */
export class BatchError extends AggregateError {
  override readonly name = 'BatchError'
  readonly code = 'ERR_VIADUCT_BATCH'
  readonly applied: number
  readonly failures: readonly BatchFailure[]

  constructor(operation: string, applied: number, failures: readonly BatchFailure[]) {
    const first = failures[0]
    const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : ''
    super(
      failures.map((failure) => failure.error),
      `${operation}: ${failures.length} of ${applied + failures.length} operations failed` +
        (first === undefined ? '' : `; first, number ${first.index}: ${first.error.message}${more}`),
    )
    this.applied = applied
    this.failures = failures
  }
}
markKind(BatchError.prototype, 'batch')

/** Is it one? Works between two copies of the package. */
export function isBatchError(error: unknown): error is BatchError {
  return hasKind(error, 'batch')
}

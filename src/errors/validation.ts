import { hasKind, markKind, text } from './kind.js'

/** Input that cannot be meant. Thrown before anything was sent. */
export class ValidationError extends Error {
  /** Of every one; `isValidationError` recognises it. */
  override readonly name = 'ValidationError'
  /** The same for every one, in Node's form. */
  readonly code = 'ERR_VIADUCT_VALIDATION'
  /** Where: `destination.weight`, `servers[3].port`. */
  readonly path: string
  /** What was given there. */
  readonly value: unknown
  /** What would have been right: `an integer from 0 to 65535`. */
  readonly expected: string

  constructor(path: string, value: unknown, expected: string) {
    super(`${path}: expected ${expected}, got ${text(value)}`)
    this.path = path
    this.value = value
    this.expected = expected
  }
}
markKind(ValidationError.prototype, 'validation')

/** Is it one? Works between two copies of the package. */
export function isValidationError(error: unknown): error is ValidationError {
  return hasKind(error, 'validation')
}

import { hasKind, markKind } from './kind.js'

/** Bytes from the kernel (or from what stands for it) that are no valid message. Nothing of them was used. */
export class MalformedMessageError extends Error {
  /** Of every one; `isMalformedMessageError` recognises it. */
  override readonly name = 'MalformedMessageError'
  /** The same for every one, in Node's form. */
  readonly code = 'ERR_VIADUCT_MALFORMED'
  /** Where in the reply, in bytes. */
  readonly offset: number

  constructor(what: string, offset: number) {
    super(`malformed message at byte ${offset}: ${what}`)
    this.offset = offset
  }
}
markKind(MalformedMessageError.prototype, 'malformed')

/** Is it one? Works between two copies of the package. */
export function isMalformedMessageError(error: unknown): error is MalformedMessageError {
  return hasKind(error, 'malformed')
}

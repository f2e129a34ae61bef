import { errnoCode, errnoText } from './errno.js'
import { describe, hasKind, markKind } from './kind.js'

/** What a KernelError is made of. */
export interface KernelErrorDetails {
  /** Negative, as Node has it: -2 for ENOENT. */
  readonly errno: number
  /** What was tried: `ipvs.createDestination`. */
  readonly operation: string
  /** What it was tried on, as the caller named it. */
  readonly object?: object | undefined
  /** The attribute that the kernel objects to, from the offset in its extended acknowledgement. */
  readonly attribute?: { readonly path: string; readonly offset: number } | undefined
  /** The kernel's own words (NLMSGERR_ATTR_MSG), where it sends any. */
  readonly kernelMessage?: string | undefined
  /** What to do about it. */
  readonly hint?: string | undefined
  /** What lies behind it, if anything. */
  readonly cause?: unknown
}

/** The kernel refused an operation. Follows Node's conventions: `code` is `'ENOENT'`, `errno` is negative. */
export class KernelError extends Error {
  /** Of every one; `isKernelError` recognises it. */
  override readonly name = 'KernelError'
  /** Node's name of the error number: `'ENOENT'`. */
  readonly code: string
  /** Negative, as Node has it: -2 for ENOENT. */
  readonly errno: number
  /** What was tried: `ipvs.createDestination`. */
  readonly operation: string
  /** What it was tried on, as the caller named it. */
  readonly object: object | undefined
  /** What the kernel objects to: the path in the input, and the offset in the request, in bytes. */
  readonly attribute: { readonly path: string; readonly offset: number } | undefined
  /** The kernel's own words (NLMSGERR_ATTR_MSG), where it sends any. */
  readonly kernelMessage: string | undefined
  /** What to do about it, where that is known. */
  readonly hint: string | undefined

  constructor(details: KernelErrorDetails) {
    super(messageOf(details), details.cause === undefined ? undefined : { cause: details.cause })
    this.errno = details.errno
    this.code = errnoCode(details.errno)
    this.operation = details.operation
    this.object = details.object
    this.attribute = details.attribute
    this.kernelMessage = details.kernelMessage
    this.hint = details.hint
  }
}
markKind(KernelError.prototype, 'kernel')

function messageOf(details: KernelErrorDetails): string {
  const { errno, operation, object, attribute, kernelMessage, hint } = details
  const subject = describe(object)
  return (
    `${errnoCode(errno)}: ${operation}` +
    (subject === '' ? '' : ` (${subject})`) +
    (attribute === undefined ? '' : `: ${attribute.path}`) +
    `: ${kernelMessage ?? errnoText(errno)}` +
    (hint === undefined ? '' : `. ${hint}`)
  )
}

/** Is it the kernel's refusal, with this code if one is given? Works between two copies of the package. */
export function isKernelError(error: unknown, code?: string): error is KernelError {
  return hasKind(error, 'kernel') && (code === undefined || (error as KernelError).code === code)
}

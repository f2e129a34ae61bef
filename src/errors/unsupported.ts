import { hasKind, markKind } from './kind.js'

/** This system cannot do it: a kernel too old, a module that is absent, another platform. Says what it needs. */
export class UnsupportedError extends Error {
  /** Of every one; `isUnsupportedError` recognises it. */
  override readonly name = 'UnsupportedError'
  /** The same for every one, in Node's form. */
  readonly code = 'ERR_VIADUCT_UNSUPPORTED'
  /** What was asked for: `IPVS`, `tunnel type gre`. */
  readonly feature: string
  /** What it takes: `Linux ≥ 5.3`, `the kernel module ip_vs`. */
  readonly needs: string

  constructor(feature: string, needs: string, options?: { readonly cause?: unknown }) {
    super(`${feature} is not available here: needs ${needs}`, options)
    this.feature = feature
    this.needs = needs
  }
}
markKind(UnsupportedError.prototype, 'unsupported')

/** Is it one? Works between two copies of the package. */
export function isUnsupportedError(error: unknown): error is UnsupportedError {
  return hasKind(error, 'unsupported')
}

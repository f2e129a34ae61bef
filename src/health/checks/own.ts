/** A check that the user has written. */
import type { RealServer } from '../../model/index.js'
import { type CheckResult, failed, notRun, passed, quote } from '../result.js'
import type { StartCheck } from './check.js'
import { promised } from './promised.js'

/** Calls a function. */
export interface OwnCheck {
  /** The user's own function. */
  readonly kind: 'own'
  /**
   * True, nothing or a result that passed: the server is well. False, a result that failed, or anything thrown: it is not.
   * The signal is aborted at the deadline.
   */
  readonly run: (
    server: RealServer,
    options: { readonly signal: AbortSignal; readonly deadlineMilliseconds: number },
  ) => OwnResult | Promise<OwnResult>
}

/** What a function of the user's may say: nothing means that it passed. */
export type OwnResult = boolean | CheckResult | undefined

export function startOwn({ run }: OwnCheck, server: RealServer): StartCheck {
  return promised(async ({ signal, remaining }) => {
    try {
      return read(await run(server, { signal, deadlineMilliseconds: remaining() }))
    } catch (error) {
      const { message } = (error ?? {}) as { message?: unknown }
      return failed('own', typeof message === 'string' ? message.slice(0, 200) : quote(String(error)))
    }
  })
}

/** It may be JavaScript's: anything may come. */
function read(result: unknown): CheckResult {
  if (result === undefined || result === true) return passed
  if (result === false) return failed('own', 'the function says so')
  if (typeof result === 'object' && result !== null) {
    const { outcome, share } = result as { outcome?: unknown; share?: unknown }
    if (outcome === 'failed' || outcome === 'not-run') return result as CheckResult
    const isShare = share === undefined || (typeof share === 'number' && share >= 0 && share <= mostShare)
    if (outcome === 'passed' && isShare) return result as CheckResult
  }
  return notRun('error', 'the function returned no result')
}

/** Ten times its configured weight, and no more. */
const mostShare = 10

/** Checks that are written as promises: with a deadline, and given up by a signal. */
import { resultOfError } from '../classify.js'
import { type CheckResult, failed } from '../result.js'
import type { Run, StartCheck } from './check.js'
import { CheckError } from './resources.js'

/**
 * What is thrown before the deadline becomes a result by its code; who knows better returns one. At the deadline the server
 * has failed, whatever the work does with the signal.
 */
export function promised(work: (run: Run) => Promise<CheckResult>): StartCheck {
  return (timeoutMilliseconds, done) => {
    const controller = new AbortController()
    const started = performance.now()
    let isOver = false
    const finish = (result: CheckResult | undefined): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      if (result !== undefined) {
        done(
          result.outcome === 'passed' && result.milliseconds === undefined
            ? { ...result, milliseconds: performance.now() - started }
            : result,
        )
      }
      // Also after success: whatever the work has left open goes with it.
      controller.abort(overReason)
    }
    const timer = setTimeout(
      () => finish(failed('timed-out', `no answer within ${timeoutMilliseconds} ms`)),
      timeoutMilliseconds,
    )
    const run = {
      signal: controller.signal,
      remaining: () => Math.max(1, started + timeoutMilliseconds - performance.now()),
    }
    work(run).then(finish, (error: unknown) =>
      finish(error instanceof CheckError ? error.result : resultOfError(error)),
    )
    return () => finish(undefined)
  }
}

const overReason = new Error('the check is over')

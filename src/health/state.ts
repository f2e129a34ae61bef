/**
 * The state machine of one server: results and time in, a verdict out. Pure: states are values, time is a number of
 * milliseconds, of whatever clock.
 */
import { decayed, millisecondsUntilReuse, penalized } from './damping.js'
import { ejectionMilliseconds } from './ejection.js'
import type { BlockReason, CheckResult, Failed, FailureReason } from './result.js'
import type { Rules } from './rules.js'

/** What is known of a server. */
export interface ServerState {
  /** `unknown` until a result has decided. */
  readonly verdict: 'unknown' | 'up' | 'down'
  /** When it became that. */
  readonly since: number
  /** Why: what the result that decided said. */
  readonly reason: string
  /** The same in a word, while it is down and nothing has passed since. */
  readonly failure: FailureReason | undefined
  /** In a row, and no more than `rise`. */
  readonly passes: number
  /** In a row, and no more than `fall`. */
  readonly fails: number
  /** Failures in a row since it is down, for the back-off. */
  readonly failsWhileDown: number
  /** The check cannot be run, since when and why. Verdict and counts stay as they are meanwhile. */
  readonly blocked:
    { readonly since: number; readonly reason: BlockReason; readonly message: string } | undefined
  /** Of flap damping, as it was at `penaltyAt`. */
  readonly penalty: number
  readonly penaltyAt: number
  /** Kept out because it goes up and down too often, since when. */
  readonly dampedSince: number | undefined
  /** Ejected by the kernel's numbers, until when. */
  readonly ejectedUntil: number | undefined
  readonly ejectedSince: number | undefined
  /** Ejections in a row. */
  readonly ejections: number
  /** Part of its weight that it asks for. */
  readonly share: number
  /** Since when its weight grows. */
  readonly slowSince: number | undefined
}

/** Of a server that nothing is known of. */
export function initialState(now: number): ServerState {
  return {
    verdict: 'unknown',
    since: now,
    reason: 'not checked yet',
    failure: undefined,
    passes: 0,
    fails: 0,
    failsWhileDown: 0,
    blocked: undefined,
    penalty: 0,
    penaltyAt: now,
    dampedSince: undefined,
    ejectedUntil: undefined,
    ejectedSince: undefined,
    ejections: 0,
    share: 1,
    slowSince: undefined,
  }
}

/** One more result. The same state, if it changes nothing. */
export function take(rules: Rules, state: ServerState, result: CheckResult, now: number): ServerState {
  if (result.outcome === 'not-run') {
    const { reason, message } = result
    if (state.blocked?.reason === reason && state.blocked.message === message) return state
    return { ...state, blocked: { since: state.blocked?.since ?? now, reason, message } }
  }
  const known = state.blocked === undefined ? state : { ...state, blocked: undefined }
  if (result.outcome === 'passed') return takePass(rules, known, result.share ?? state.share, now)
  return takeFailure(rules, known, result, now)
}

function takePass(rules: Rules, state: ServerState, share: number, now: number): ServerState {
  const passes = Math.min(rules.rise, state.passes + 1)
  const decides = isFirst(rules, state) || passes >= rules.rise
  if (state.verdict === 'up' || !decides) {
    if (passes === state.passes && state.fails === 0 && share === state.share) return state
    return { ...state, failure: undefined, passes, fails: 0, share }
  }
  return {
    ...state,
    verdict: 'up',
    since: now,
    reason: state.verdict === 'unknown' ? 'the first check passed' : `${rules.rise} checks passed in a row`,
    failure: undefined,
    passes,
    fails: 0,
    failsWhileDown: 0,
    share,
    // One that was never out is not new.
    slowSince: state.verdict === 'down' ? now : state.slowSince,
  }
}

function takeFailure(
  rules: Rules,
  state: ServerState,
  { reason: failure, message }: Failed,
  now: number,
): ServerState {
  const fails = Math.min(rules.fall, state.fails + 1)
  const reason = `${failure}: ${message}`
  if (state.verdict === 'down') {
    return { ...state, fails, passes: 0, reason, failure, failsWhileDown: state.failsWhileDown + 1 }
  }
  if (!isFirst(rules, state) && fails < rules.fall) return { ...state, fails, passes: 0 }
  const down: ServerState = {
    ...state,
    verdict: 'down',
    since: now,
    reason,
    failure,
    passes: 0,
    fails,
    failsWhileDown: 1,
    slowSince: undefined,
  }
  return state.verdict === 'up' ? flap(rules, down, now) : down
}

/**
 * Nothing comes of it any more: who waits for it waits in vain. Of one that refuses the host is there, which has ended the
 * connections of a process that died, and which keeps those of one that only listens no more.
 */
export function isSilent({ verdict, failure }: ServerState): boolean {
  return verdict === 'down' && (failure === 'timed-out' || failure === 'unreachable')
}

function isFirst(rules: Rules, { verdict, passes, fails }: ServerState): boolean {
  return rules.firstDecides && verdict === 'unknown' && passes === 0 && fails === 0
}

/** It was up and went down. */
function flap({ damping }: Rules, state: ServerState, now: number): ServerState {
  if (damping === undefined) return state
  const penalty = penalized(damping, decayed(damping, state.penalty, now - state.penaltyAt))
  const isDamped = state.dampedSince !== undefined || penalty >= damping.suppressAt
  return {
    ...state,
    penalty,
    penaltyAt: now,
    dampedSince: isDamped ? (state.dampedSince ?? now) : undefined,
  }
}

/** The kernel's numbers speak against it. */
export function eject(rules: Rules, state: ServerState, now: number): ServerState {
  if (rules.ejection === undefined) return state
  const ejections = state.ejections + 1
  return {
    ...state,
    ejections,
    ejectedSince: state.ejectedSince ?? now,
    ejectedUntil: now + ejectionMilliseconds(rules.ejection, ejections),
  }
}

/** An interval in which they did not. */
export function forgive(state: ServerState): ServerState {
  if (state.ejections === 0 || state.ejectedUntil !== undefined) return state
  return { ...state, ejections: state.ejections - 1 }
}

/** What time alone changes. The same state, if it does not. */
export function advance(rules: Rules, state: ServerState, now: number): ServerState {
  let next = state
  if (next.dampedSince !== undefined && now >= undampedAt(rules, next)) {
    next = { ...next, dampedSince: undefined, slowSince: next.verdict === 'up' ? now : next.slowSince }
  }
  if (next.ejectedUntil !== undefined && now >= next.ejectedUntil) {
    next = {
      ...next,
      ejectedUntil: undefined,
      ejectedSince: undefined,
      slowSince: next.verdict === 'up' ? now : next.slowSince,
    }
  }
  if (next.slowSince !== undefined && now >= next.slowSince + rules.slowStartMilliseconds) {
    next = { ...next, slowSince: undefined }
  }
  return next
}

/** When time alone changes something of it, a step of its slow start, too; Infinity for never. */
export function nextChange(rules: Rules, state: ServerState, now: number): number {
  let at = Infinity
  if (state.dampedSince !== undefined) at = Math.min(at, undampedAt(rules, state))
  if (state.ejectedUntil !== undefined) at = Math.min(at, state.ejectedUntil)
  if (state.slowSince !== undefined && rules.slowStartMilliseconds > 0) {
    const step = rules.slowStartMilliseconds / slowStartSteps
    const done = Math.floor((now - state.slowSince) / step + 1e-9)
    at = Math.min(at, state.slowSince + (done + 1) * step)
  }
  return at
}

function undampedAt({ damping }: Rules, { penalty, penaltyAt }: ServerState): number {
  return damping === undefined ? -Infinity : penaltyAt + millisecondsUntilReuse(damping, penalty)
}

const slowStartSteps = 10

/** What it gets of new connections while it is in: at least 1, unless it asks for none. */
export function weightOf(rules: Rules, state: ServerState, weight: number, now: number): number {
  const { share, slowSince } = state
  if (share === 0 || weight === 0) return 0
  const whole = weight * rules.weightScale * share
  return Math.max(1, Math.round(whole * slowStartShare(rules, slowSince, now)))
}

function slowStartShare({ slowStartMilliseconds }: Rules, since: number | undefined, now: number): number {
  if (since === undefined || slowStartMilliseconds === 0) return 1
  const steps = Math.floor(((now - since) / slowStartMilliseconds) * slowStartSteps + 1e-9) + 1
  return Math.min(1, Math.max(1, steps) / slowStartSteps)
}

/**
 * Milliseconds from the start of a check to that of the next.
 * @param random from 0 up to 1
 */
export function nextDelay(rules: Rules, state: ServerState, random: number): number {
  const { intervalMilliseconds: interval, backoff } = rules
  const disagrees =
    state.verdict === 'unknown'
      ? !blockedUnknown(state)
      : state.verdict === 'up'
        ? state.fails > 0
        : state.passes > 0
  const usual = disagrees
    ? rules.transitionIntervalMilliseconds
    : state.verdict === 'down' && backoff !== undefined
      ? Math.min(backoff.mostMilliseconds, interval * backoff.factor ** Math.max(0, state.failsWhileDown - 1))
      : interval
  return usual * (1 + rules.jitter * (2 * random - 1))
}

/** Nothing is gained by asking at once again what cannot be asked. */
function blockedUnknown({ blocked }: ServerState): boolean {
  return blocked !== undefined
}

/**
 * VRRP's state machine (RFC 5798, 6.4; RFC 9568, 6.4): pure. Time comes in as a number, what is to be done comes out. Who holds
 * the timers asks `nextAt`.
 *
 * Three things are more than the RFC has: a delay before a lower priority is pre-empted, priorities that change while it runs, and
 * that two masters tell each other of it when they meet, so that the one who stays announces the addresses once more.
 */
import { ownerPriority } from './packet.js'

/** What does not change while it runs. */
export interface VrrpRules {
  /** Of what this router sends. */
  readonly intervalCentiseconds: number
  /** Takes over from a master of a lower priority. The owner (255) does in any case. */
  readonly preempt: boolean
  /** For so long a master of a lower priority is left alone, from the first time that it is heard. */
  readonly preemptDelayMilliseconds: number
}

/** Where it is. Times are milliseconds of any clock that never goes back. */
export type VrrpState =
  | { readonly name: 'initialize'; readonly priority: number }
  | {
      readonly name: 'backup'
      readonly priority: number
      /** Of the master's advertisements. */
      readonly masterIntervalCentiseconds: number
      /** Nothing heard until then: the master is down. */
      readonly downAt: number
      /** A master of a lower priority is left alone until then. */
      readonly patientUntil: number | undefined
    }
  | {
      readonly name: 'master'
      readonly priority: number
      readonly advertiseAt: number
      /** When it last answered a lower priority. */
      readonly assertedAt: number
    }

/** What happens to it. */
export type VrrpEvent =
  /** It takes part. */
  | { readonly type: 'startup' }
  /** It takes part no longer: a master steps down and says so. */
  | { readonly type: 'shutdown' }
  /** Time has passed. */
  | { readonly type: 'time' }
  /** Another router's advertisement for the same virtual router. */
  | {
      readonly type: 'advertisement'
      readonly priority: number
      readonly intervalCentiseconds: number
      /** Whether its primary address is greater than ours, which decides between equal priorities. */
      readonly isFromHigherAddress: boolean
    }
  /** Our priority is another one. */
  | { readonly type: 'priority'; readonly priority: number }

/** What is to be done, in this order. */
export type VrrpAction =
  | { readonly type: 'advertise'; readonly priority: number }
  /** `contested`: it stays master, and another router was one as well. */
  | { readonly type: 'acquired' | 'lost' | 'contested' }

/** A state and what is to be done on the way to it. */
export interface VrrpStep {
  readonly state: VrrpState
  readonly actions: readonly VrrpAction[]
}

export function initialState(priority: number): VrrpState {
  return { name: 'initialize', priority }
}

/** RFC 5798, 6.1: the higher the priority, the shorter. In milliseconds. */
export function skewTime(priority: number, masterIntervalCentiseconds: number): number {
  return ((256 - priority) * masterIntervalCentiseconds * 10) / 256
}

/** RFC 5798, 6.1, Master_Down_Interval. In milliseconds. */
export function downInterval(priority: number, masterIntervalCentiseconds: number): number {
  return 3 * masterIntervalCentiseconds * 10 + skewTime(priority, masterIntervalCentiseconds)
}

/** When `time` has something to do. */
export function nextAt(state: VrrpState): number | undefined {
  if (state.name === 'initialize') return undefined
  return state.name === 'backup' ? state.downAt : state.advertiseAt
}

export function step(rules: VrrpRules, state: VrrpState, event: VrrpEvent, now: number): VrrpStep {
  if (event.type === 'priority') return changePriority(rules, state, event.priority, now)
  if (state.name === 'initialize') return event.type === 'startup' ? startup(rules, state, now) : stay(state)
  if (event.type === 'shutdown') return shutdown(state)
  if (event.type === 'time') return passTime(rules, state, now)
  if (event.type === 'startup') return stay(state)
  return state.name === 'backup'
    ? hearAsBackup(rules, state, event, now)
    : hearAsMaster(rules, state, event, now)
}

type Named<Name extends VrrpState['name']> = Extract<VrrpState, { readonly name: Name }>
type Heard = Extract<VrrpEvent, { readonly type: 'advertisement' }>

const nothing: readonly VrrpAction[] = []
const stay = (state: VrrpState): VrrpStep => ({ state, actions: nothing })

function startup(rules: VrrpRules, { priority }: VrrpState, now: number): VrrpStep {
  if (priority === ownerPriority) return becomeMaster(rules, priority, now)
  return stay(backup(priority, rules.intervalCentiseconds, now))
}

function backup(
  priority: number,
  masterIntervalCentiseconds: number,
  now: number,
  patientUntil?: number,
): Named<'backup'> {
  const downAt = now + downInterval(priority, masterIntervalCentiseconds)
  return { name: 'backup', priority, masterIntervalCentiseconds, downAt, patientUntil }
}

/** The advertisement goes first: it ends the others' waiting. */
function becomeMaster(rules: VrrpRules, priority: number, now: number): VrrpStep {
  return {
    state: { name: 'master', priority, advertiseAt: now + rules.intervalCentiseconds * 10, assertedAt: now },
    actions: [{ type: 'advertise', priority }, { type: 'acquired' }],
  }
}

function shutdown(state: VrrpState): VrrpStep {
  const { name, priority } = state
  return {
    state: initialState(priority),
    actions: name === 'master' ? [{ type: 'advertise', priority: 0 }, { type: 'lost' }] : nothing,
  }
}

function passTime(rules: VrrpRules, state: Named<'backup' | 'master'>, now: number): VrrpStep {
  const { priority } = state
  if (state.name === 'backup') return now < state.downAt ? stay(state) : becomeMaster(rules, priority, now)
  if (now < state.advertiseAt) return stay(state)
  // From now and not from when it was due: after a pause of the process nothing is to be made up for.
  const advertiseAt = now + rules.intervalCentiseconds * 10
  return { state: { ...state, advertiseAt }, actions: [{ type: 'advertise', priority }] }
}

function hearAsBackup(rules: VrrpRules, state: Named<'backup'>, heard: Heard, now: number): VrrpStep {
  const { priority, masterIntervalCentiseconds } = state
  if (heard.priority === 0) {
    const downAt = Math.min(state.downAt, now + skewTime(priority, masterIntervalCentiseconds))
    return stay({ ...state, downAt })
  }
  if (heard.priority >= priority) return stay(backup(priority, heard.intervalCentiseconds, now))
  const preempts = rules.preempt || priority === ownerPriority
  if (!preempts) return stay(backup(priority, heard.intervalCentiseconds, now))
  const patientUntil = state.patientUntil ?? now + rules.preemptDelayMilliseconds
  // Until the delay is over it counts as a master; afterwards the time that it was last heard runs out.
  if (rules.preemptDelayMilliseconds > 0 && now < patientUntil) {
    return stay(backup(priority, heard.intervalCentiseconds, now, patientUntil))
  }
  return stay({ ...state, patientUntil })
}

function hearAsMaster(rules: VrrpRules, state: Named<'master'>, heard: Heard, now: number): VrrpStep {
  const { priority } = state
  if (heard.priority === 0) return advertiseNow(rules, state, now)
  const isBeaten = heard.priority > priority || (heard.priority === priority && heard.isFromHigherAddress)
  if (isBeaten) {
    // The better one may have heard nothing of this one yet, and would not know that neighbours have learnt its address from here.
    return {
      state: backup(priority, heard.intervalCentiseconds, now),
      actions: [{ type: 'advertise', priority }, { type: 'lost' }],
    }
  }
  // RFC 9568, 6.4.3 answers, so that the other and the switches hear of it at once. Not more often than a tenth of the
  // interval: who sends a thousand of them is not sent a thousand.
  if (now - state.assertedAt < rules.intervalCentiseconds) return stay(state)
  const answered = advertiseNow(rules, state, now)
  return { ...answered, actions: [...answered.actions, { type: 'contested' }] }
}

function advertiseNow(rules: VrrpRules, state: Named<'master'>, now: number): VrrpStep {
  return {
    state: { ...state, advertiseAt: now + rules.intervalCentiseconds * 10, assertedAt: now },
    actions: [{ type: 'advertise', priority: state.priority }],
  }
}

/** A master tells it at once, so that a backup that is better now need not wait. A backup waits as long as it has begun to. */
function changePriority(rules: VrrpRules, state: VrrpState, priority: number, now: number): VrrpStep {
  if (priority === state.priority) return stay(state)
  if (state.name === 'master') return advertiseNow(rules, { ...state, priority }, now)
  if (state.name === 'initialize') return stay(initialState(priority))
  const { masterIntervalCentiseconds: interval } = state
  const downAt = state.downAt - skewTime(state.priority, interval) + skewTime(priority, interval)
  return stay({ ...state, priority, downAt })
}

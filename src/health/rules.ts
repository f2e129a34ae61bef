/** What the rules are, with their usual values, and what is refused. Pure. */
import { parseAddress } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { RealServer } from '../model/index.js'
import type { Damping, DampingRules } from './damping.js'
import type { EjectionRules, Ejection } from './ejection.js'

/**
 * How often servers are checked, and what their results mean. With what is usual a server that dies is out after at most
 * 2.8 s: an interval with its jitter, three timeouts and the two short pauses between them.
 */
export interface HealthRules {
  /** From the start of a check to that of the next; 1,000 unless said. */
  readonly intervalMilliseconds?: number | undefined
  /** The same while results disagree with the verdict, or there is none yet; 100 unless said, at most the interval. */
  readonly transitionIntervalMilliseconds?: number | undefined
  /** Part of the interval by which it is longer or shorter, at random; 0.1 unless said. */
  readonly jitter?: number | undefined
  /** A check that takes longer has failed; 500 unless said. */
  readonly timeoutMilliseconds?: number | undefined
  /** So many passes in a row, and a server that is down is up; 2 unless said. */
  readonly rise?: number | undefined
  /** So many failures in a row, and a server that is up is down; 3 unless said. */
  readonly fall?: number | undefined
  /** The first result decides alone, whatever `rise` and `fall` are; true unless said. */
  readonly firstDecides?: boolean | undefined
  /** What a server counts as before it has a verdict; `up` unless said, so that a restart takes nobody out. */
  readonly initial?: 'up' | 'down' | undefined
  /** A server that stays down is checked less and less often; doubling up to 10,000 unless said. False for never less. */
  readonly backoff?:
    | {
        /** By which the interval grows with each failure; at least 1. */
        readonly factor?: number | undefined
        /** The longest interval. */
        readonly mostMilliseconds?: number | undefined
      }
    | false
    | undefined
  /** In so long the weight of a server that comes back grows from a tenth to the whole, in ten steps; 0 unless said. */
  readonly slowStartMilliseconds?: number | undefined
  /** Servers that keep going up and down are kept out for a while. False for never. */
  readonly damping?: DampingRules | false | undefined
  /** Servers are taken out by what the kernel sees of their connections; never unless said. */
  readonly ejection?: EjectionRules | false | undefined
  /**
   * What becomes of a server that is out; `weight-0` unless said, which lets its connections go on. `remove` takes it away.
   * `end-connections` does that with one that is silent (nothing answers in time, or it cannot be reached) and ends its
   * connections, so that clients need not wait for it; one that still answers, whatever it says, keeps what it has.
   */
  readonly onFailure?: 'remove' | 'weight-0' | 'end-connections' | undefined
  /**
   * The part of a service's servers that may be out, rounded down; 0.5 unless said. Those beyond it stay in although they
   * fail: where most servers seem dead, it is more likely the checks that are wrong.
   */
  readonly mostOut?: number | undefined
  /** So many servers must be up; 1 unless said. */
  readonly quorum?: number | undefined
  /** It is lost below `quorum - hysteresis` and met from `quorum + hysteresis` on; 0 unless said, less than the quorum. */
  readonly hysteresis?: number | undefined
  /** Takes everything while the quorum is lost, alone and whatever `mostOut` says. Not checked. */
  readonly sorryServer?: RealServer | undefined
  /**
   * By what weights are multiplied. 1 unless there is a slow start or the check is one of an agent, else 10, so that a part of a
   * weight of 1 can be told.
   */
  readonly weightScale?: number | undefined
}

/** With everything filled in. */
export interface Rules {
  readonly intervalMilliseconds: number
  readonly transitionIntervalMilliseconds: number
  readonly jitter: number
  readonly timeoutMilliseconds: number
  readonly rise: number
  readonly fall: number
  readonly firstDecides: boolean
  readonly initial: 'up' | 'down'
  readonly backoff: { readonly factor: number; readonly mostMilliseconds: number } | undefined
  readonly slowStartMilliseconds: number
  readonly damping: Damping | undefined
  readonly ejection: Ejection | undefined
  readonly onFailure: 'remove' | 'weight-0' | 'end-connections'
  readonly mostOut: number
  readonly quorum: number
  readonly hysteresis: number
  readonly sorryServer: RealServer | undefined
  readonly weightScale: number
}

/** The longest that any time may be: Node's timers go no further. */
const longest = 2 ** 31 - 1

/**
 * Fills in what was left out.
 * @throws ValidationError for what is no rule
 */
export function rulesOf(input: HealthRules = {}, isWeighted = false): Rules {
  const intervalMilliseconds = number('intervalMilliseconds', input.intervalMilliseconds ?? 1000, 1, longest)
  const timeoutMilliseconds = number('timeoutMilliseconds', input.timeoutMilliseconds ?? 500, 1, longest)
  const slowStartMilliseconds = number('slowStartMilliseconds', input.slowStartMilliseconds ?? 0, 0, longest)
  const quorum = integer('quorum', input.quorum ?? 1, 1, 1e6)
  return {
    intervalMilliseconds,
    transitionIntervalMilliseconds: number(
      'transitionIntervalMilliseconds',
      input.transitionIntervalMilliseconds ?? Math.min(100, intervalMilliseconds),
      1,
      intervalMilliseconds,
    ),
    jitter: number('jitter', input.jitter ?? 0.1, 0, 1),
    timeoutMilliseconds,
    rise: integer('rise', input.rise ?? 2, 1, 1000),
    fall: integer('fall', input.fall ?? 3, 1, 1000),
    firstDecides: input.firstDecides ?? true,
    initial: oneOf('initial', input.initial ?? 'up', ['up', 'down']),
    backoff: backoffOf(input.backoff, intervalMilliseconds),
    slowStartMilliseconds,
    damping: dampingOf(input.damping),
    ejection: ejectionOf(input.ejection),
    onFailure: oneOf('onFailure', input.onFailure ?? 'weight-0', ['remove', 'weight-0', 'end-connections']),
    mostOut: number('mostOut', input.mostOut ?? 0.5, 0, 1),
    quorum,
    hysteresis: integer('hysteresis', input.hysteresis ?? 0, 0, quorum - 1),
    sorryServer: input.sorryServer === undefined ? undefined : checkServer('sorryServer', input.sorryServer),
    weightScale: integer(
      'weightScale',
      input.weightScale ?? (slowStartMilliseconds > 0 || isWeighted ? 10 : 1),
      1,
      1000,
    ),
  }
}

/** @throws ValidationError */
export function checkServer(path: string, server: RealServer): RealServer {
  if (parseAddress(server.address) === undefined) {
    throw new ValidationError(`${path}.address`, server.address, 'a numeric IPv4 or IPv6 address')
  }
  integer(`${path}.port`, server.port, 0, 65_535)
  integer(`${path}.weight`, server.weight, 0, 0x7fff_ffff)
  return server
}

function backoffOf(input: HealthRules['backoff'], interval: number): Rules['backoff'] {
  if (input === false) return undefined
  return {
    factor: number('backoff.factor', input?.factor ?? 2, 1, 100),
    mostMilliseconds: number(
      'backoff.mostMilliseconds',
      input?.mostMilliseconds ?? Math.max(10_000, interval),
      interval,
      longest,
    ),
  }
}

function dampingOf(input: HealthRules['damping']): Damping | undefined {
  if (input === false) return undefined
  const reuseAt = number('damping.reuseAt', input?.reuseAt ?? 1, 0.01, 1000)
  return {
    halfLifeMilliseconds: number(
      'damping.halfLifeMilliseconds',
      input?.halfLifeMilliseconds ?? 60_000,
      1,
      longest,
    ),
    reuseAt,
    suppressAt: number('damping.suppressAt', input?.suppressAt ?? Math.max(2.5, reuseAt), reuseAt, 1000),
    mostMilliseconds: number('damping.mostMilliseconds', input?.mostMilliseconds ?? 300_000, 1, longest),
  }
}

function ejectionOf(input: HealthRules['ejection']): Ejection | undefined {
  if (input === undefined || input === false) return undefined
  const baseMilliseconds = number('ejection.baseMilliseconds', input.baseMilliseconds ?? 30_000, 1, longest)
  return {
    intervalMilliseconds: number(
      'ejection.intervalMilliseconds',
      input.intervalMilliseconds ?? 10_000,
      1,
      longest,
    ),
    leastConnections: integer('ejection.leastConnections', input.leastConnections ?? 20, 1, 1e9),
    failureShare: number('ejection.failureShare', input.failureShare ?? 0.5, 0, 1),
    timesMedian: number('ejection.timesMedian', input.timesMedian ?? 3, 1, 1e6),
    baseMilliseconds,
    mostMilliseconds: number(
      'ejection.mostMilliseconds',
      input.mostMilliseconds ?? Math.max(300_000, baseMilliseconds),
      baseMilliseconds,
      longest,
    ),
  }
}

/** @throws ValidationError */
export function number(path: string, value: number, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value
  throw new ValidationError(path, value, `a number from ${least} to ${most}`)
}

/** @throws ValidationError */
export function integer(path: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new ValidationError(path, value, `an integer from ${least} to ${most}`)
}

/** @throws ValidationError */
export function oneOf<T extends string>(path: string, value: T, values: readonly T[]): T {
  if (values.includes(value)) return value
  throw new ValidationError(path, value, `one of ${values.join(', ')}`)
}

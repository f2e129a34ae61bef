/** One service that is watched: its servers, what is known of them, and what follows from it. */
import { performance } from 'node:perf_hooks'
import { ValidationError } from '../errors/index.js'
import { formatEndpoint, type RealServer } from '../model/index.js'
import { type Check, type CheckResources, startOf } from './checks/index.js'
import type { StartCheck } from './checks/check.js'
import { between, outliers, type Passing, type PassiveSample } from './ejection.js'
import type { HealthEvent, HealthEventKind } from './events.js'
import { countUp, hasQuorum, type Member, type Placement, place, serversOf } from './group.js'
import type { Due } from './heap.js'
import { type BlockReason, type CheckResult, notRun } from './result.js'
import { checkServer, type HealthRules, type Rules, rulesOf } from './rules.js'
import {
  advance,
  eject,
  forgive,
  initialState,
  isSilent,
  nextChange,
  nextDelay,
  type ServerState,
  take,
} from './state.js'

/** A service whose servers are to be checked. */
export interface HealthInput {
  /** Each address and port once. A weight of 0 is checked and stays 0. */
  readonly servers: readonly RealServer[]
  /** For all of them, or made for each one: with a firewall mark of its own, say. */
  readonly check: Check | ((server: RealServer) => Check)
  /** How often, and what results mean. */
  readonly rules?: HealthRules | undefined
  /** The kernel's own numbers, with which `rules.ejection` judges: read once in its interval. */
  readonly passive?: (() => Iterable<PassiveSample> | Promise<Iterable<PassiveSample>>) | undefined
}

/** Where a server stands. Times are milliseconds since 1970. */
export interface ServerHealth {
  /** As it was given. */
  readonly server: RealServer
  /** What the results say. */
  readonly verdict: 'unknown' | 'up' | 'down'
  /** When it became that. */
  readonly since: number
  /** Why. */
  readonly reason: string
  /** What follows: see Placement. */
  readonly place: Placement['place']
  /** Why it is out, or should be. */
  readonly cause: Placement['cause']
  /** That it gets now. */
  readonly weight: number
  /** Its check cannot be run from here. */
  readonly blocked?:
    { readonly since: number; readonly reason: BlockReason; readonly message: string } | undefined
  /** How often it went down lately: see DampingRules. */
  readonly penalty: number
  /** What the last check said, and when. */
  readonly last?: { readonly result: CheckResult; readonly at: number } | undefined
}

/** Where a service stands. */
export interface ServiceHealth {
  /** By which it was given. */
  readonly key: string
  /** Whether enough of its servers are up. */
  readonly isQuorate: boolean
  /** In the order in which they were given. */
  readonly servers: readonly ServerHealth[]
}

/** What a service needs of the monitor. */
export interface ServiceHost {
  readonly resources: CheckResources
  /** When it is called is its business: see Task. */
  schedule(task: Task, at: number): void
  unschedule(task: Task): void
  /** Something may follow of what changed. */
  touched(service: WatchedService): void
  tell(event: HealthEvent): void
  counted(result: CheckResult, lateness: number): void
}

/** Something that is to be done at a time. */
export interface Task extends Due {
  run(now: number): void
}

class WatchedServer implements Task, Member {
  dueAt = 0
  place = -1
  state: ServerState
  last: { readonly result: CheckResult; readonly at: number } | undefined
  sample: PassiveSample | undefined
  #cancel: (() => void) | undefined
  #isRunning = false

  constructor(
    readonly service: WatchedService,
    public server: RealServer,
    public start: StartCheck,
    now: number,
  ) {
    this.state = initialState(now)
  }

  run(now: number): void {
    const lateness = now - this.dueAt
    const { timeoutMilliseconds } = this.service.rules
    this.#isRunning = true
    const done = (result: CheckResult): void => {
      this.#isRunning = false
      this.#cancel = undefined
      this.service.finished(this, result, now, lateness)
    }
    let cancel: () => void
    try {
      cancel = this.start(timeoutMilliseconds, done)
    } catch (error) {
      return done(notRun('error', (error as Error).message))
    }
    if (this.#isRunning) this.#cancel = cancel
  }

  giveUp(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#isRunning = false
  }

  get isRunning(): boolean {
    return this.#isRunning
  }
}

/** @internal */
export class WatchedService {
  readonly key: string
  rules: Rules
  readonly #host: ServiceHost
  #input: HealthInput
  #servers: WatchedServer[] = []
  readonly #byEndpoint = new Map<string, WatchedServer>()
  #placements: readonly Placement[] = []
  #isQuorate: boolean | undefined
  /** Time alone changes something. */
  readonly #clock: Task = { dueAt: 0, place: -1, run: () => this.#host.touched(this) }
  readonly #passive: Task = { dueAt: 0, place: -1, run: () => void this.#readPassive() }
  #isClosed = false
  #restsUntil = 0

  constructor(key: string, input: HealthInput, host: ServiceHost, firstDue: () => number) {
    this.key = key
    this.#host = host
    this.#input = input
    this.rules = rulesFor(input)
    this.update(input, firstDue)
  }

  /** Takes another list of servers, another check or other rules. What is known of servers that stay is kept. */
  update(input: HealthInput, firstDue: () => number): void {
    const rules = rulesFor(input)
    // Everything that can be wrong with it is found out before anything is changed.
    const seen = new Set<string>()
    const compiled = input.servers.map((server, index) => {
      const path = `servers[${index}]`
      checkServer(path, server)
      const endpoint = endpointOf(server)
      if (seen.has(endpoint)) throw new ValidationError(path, endpoint, 'each address and port once')
      seen.add(endpoint)
      const before = this.#byEndpoint.get(endpoint)
      const isSame =
        before !== undefined && this.#input.check === input.check && sameServer(before.server, server)
      return {
        server,
        endpoint,
        start: isSame ? before.start : startOf(checkOf(input, server), server, this.#host.resources),
      }
    })
    this.rules = rules
    this.#input = input
    for (const [endpoint, watched] of this.#byEndpoint)
      if (!seen.has(endpoint)) this.#remove(endpoint, watched)
    const now = performance.now()
    const placed = new Map(
      this.#servers.map(({ server }, index) => [endpointOf(server), this.#placements[index]!]),
    )
    this.#placements = compiled.map(({ endpoint }) => placed.get(endpoint) ?? newcomer)
    this.#servers = compiled.map(({ server, endpoint, start }) => {
      let watched = this.#byEndpoint.get(endpoint)
      if (watched === undefined) {
        watched = new WatchedServer(this, server, start, now)
        this.#byEndpoint.set(endpoint, watched)
        this.#host.schedule(watched, firstDue())
      } else {
        watched.server = server
        watched.start = start
      }
      return watched
    })
    if (rules.ejection !== undefined && input.passive !== undefined) {
      if (this.#passive.place === -1) this.#host.schedule(this.#passive, now)
    } else this.#host.unschedule(this.#passive)
    this.settle(now)
  }

  /** A check of a server is through. */
  finished(watched: WatchedServer, result: CheckResult, startedAt: number, lateness: number): void {
    if (this.#isClosed) return
    const now = performance.now()
    this.#host.counted(result, lateness)
    watched.last = { result, at: now }
    const before = watched.state
    const after = take(this.rules, before, result, now)
    if (after !== before) this.#enter(watched, after)
    this.#host.schedule(
      watched,
      Math.max(now, startedAt + nextDelay(this.rules, watched.state, Math.random())),
    )
  }

  /** Everyone is asked as soon as possible. */
  checkNow(now: number): void {
    for (const watched of this.#servers) if (!watched.isRunning) this.#host.schedule(watched, now)
  }

  /** When it may be settled again: of a service of thousands of servers that takes milliseconds. */
  get restsUntil(): number {
    return this.#restsUntil
  }

  /** It is settled no sooner than it may be. */
  settleLater(): void {
    this.#host.schedule(
      this.#clock,
      Math.min(this.#clock.place === -1 ? Infinity : this.#clock.dueAt, this.#restsUntil),
    )
  }

  /** Works out what follows of what is known. */
  settle(now: number): void {
    if (this.#isClosed) return
    this.#settle(now)
    // A tenth of the time at most.
    const end = performance.now()
    this.#restsUntil = end + 9 * (end - now)
  }

  #settle(now: number): void {
    for (const watched of this.#servers) {
      const after = advance(this.rules, watched.state, now)
      if (after !== watched.state) this.#tellTransitions(watched, after)
      watched.state = after
    }
    const before = this.#placements
    const after = place(this.rules, this.#servers, now)
    this.#placements = after
    for (const [index, watched] of this.#servers.entries())
      this.#tellPlacement(watched, before[index]!, after[index]!)
    this.#settleQuorum()
    let next = Infinity
    for (const { state } of this.#servers) next = Math.min(next, nextChange(this.rules, state, now))
    if (next === Infinity) this.#host.unschedule(this.#clock)
    else this.#host.schedule(this.#clock, next)
  }

  get isQuorate(): boolean {
    return this.#isQuorate ?? true
  }

  /** A list with weights: see serversOf. */
  servers(): RealServer[] {
    return serversOf(this.rules, this.#servers, this.#placements, this.isQuorate)
  }

  /** Places a part of its servers, as those of this node; one that is not watched is in. */
  placeSome(servers: readonly RealServer[], now: number): readonly Placement[] {
    const members = servers.map((server): Member => {
      const watched = this.#byEndpoint.get(endpointOf(server))
      return watched === undefined ? { server, state: unwatched } : { server, state: watched.state }
    })
    return place(this.rules, members, now)
  }

  health(): ServiceHealth {
    const epoch = Date.now() - performance.now()
    const servers = this.#servers.map(({ server, state, last }, index): ServerHealth => {
      const { place, cause, weight } = this.#placements[index]!
      return {
        server,
        verdict: state.verdict,
        since: epoch + state.since,
        reason: state.reason,
        place,
        cause,
        weight,
        blocked: state.blocked && { ...state.blocked, since: epoch + state.blocked.since },
        penalty: state.penalty,
        last: last && { result: last.result, at: epoch + last.at },
      }
    })
    return { key: this.key, isQuorate: this.isQuorate, servers }
  }

  close(): void {
    this.#isClosed = true
    for (const [endpoint, watched] of this.#byEndpoint) this.#remove(endpoint, watched)
    this.#host.unschedule(this.#clock)
    this.#host.unschedule(this.#passive)
  }

  #remove(endpoint: string, watched: WatchedServer): void {
    this.#byEndpoint.delete(endpoint)
    this.#host.unschedule(watched)
    watched.giveUp()
  }

  #enter(watched: WatchedServer, after: ServerState): void {
    const before = watched.state
    this.#tellTransitions(watched, after)
    watched.state = after
    const isMaterial =
      before.verdict !== after.verdict ||
      before.share !== after.share ||
      isSilent(before) !== isSilent(after) ||
      before.dampedSince !== after.dampedSince ||
      before.ejectedUntil !== after.ejectedUntil
    if (isMaterial) this.#host.touched(this)
  }

  async #readPassive(): Promise<void> {
    const { passive } = this.#input
    const { ejection } = this.rules
    if (passive === undefined || ejection === undefined) return
    this.#host.schedule(this.#passive, performance.now() + ejection.intervalMilliseconds)
    let samples: PassiveSample[]
    try {
      samples = [...(await passive())]
    } catch {
      // Without numbers nobody is judged; what is known of before is no longer good for comparing.
      samples = []
    }
    if (this.#isClosed) return
    const now = performance.now()
    const found = new Map(samples.map((sample) => [endpointOf(sample), sample]))
    const passings = this.#servers.map((watched): Passing | undefined => {
      const sample = found.get(endpointOf(watched.server))
      const passing = sample && between(watched.sample, sample)
      watched.sample = sample
      return passing
    })
    const bad = new Set(outliers(ejection, passings))
    for (const [index, watched] of this.#servers.entries()) {
      if (bad.has(index)) this.#enter(watched, eject(this.rules, watched.state, now))
      else if (passings[index] !== undefined) watched.state = forgive(watched.state)
    }
  }

  #settleQuorum(): void {
    const up = countUp(this.rules, this.#servers)
    const before = this.isQuorate
    // A service of no servers has nothing to lose.
    const after = this.#servers.length === 0 || hasQuorum(this.rules, up, before)
    this.#isQuorate = after
    if (after === before) return
    const { quorum, hysteresis } = this.rules
    const reason = `${up} of ${this.#servers.length} servers are up; the quorum is ${quorum}${hysteresis === 0 ? '' : ` ± ${hysteresis}`}`
    this.#tell(after ? 'quorum-met' : 'quorum-lost', undefined, reason)
  }

  #tellTransitions({ server, state: before }: WatchedServer, after: ServerState): void {
    if (before.verdict !== after.verdict && after.verdict !== 'unknown')
      this.#tell(after.verdict, server, after.reason)
    if (after.blocked !== undefined && before.blocked !== after.blocked) {
      this.#tell('check-blocked', server, `${after.blocked.reason}: ${after.blocked.message}`)
    } else if (before.blocked !== undefined && after.blocked === undefined) {
      this.#tell('check-unblocked', server, 'the check can be run again')
    }
    if (before.dampedSince === undefined && after.dampedSince !== undefined) {
      this.#tell('damped', server, `it went down too often (penalty ${after.penalty.toFixed(1)})`)
    } else if (before.dampedSince !== undefined && after.dampedSince === undefined) {
      this.#tell('undamped', server, 'it has been quiet long enough')
    }
    if (after.ejectedUntil !== undefined && before.ejectedUntil !== after.ejectedUntil) {
      this.#tell('ejected', server, 'too many of its connections fail')
    } else if (before.ejectedUntil !== undefined && after.ejectedUntil === undefined) {
      this.#tell('returned', server, 'its time is over')
    }
  }

  #tellPlacement({ server, state }: WatchedServer, before: Placement, after: Placement): void {
    if (before.place !== after.place) {
      const cause = after.cause ?? before.cause ?? 'down'
      if (before.place === 'kept') this.#tell('no-longer-kept', server, cause, after.weight)
      if (after.place === 'out') this.#tell('taken-out', server, `${cause}: ${state.reason}`, 0)
      if (after.place === 'kept') {
        const reason = `${cause}, but no more than ${this.rules.mostOut * 100} % of the servers may be out`
        this.#tell('kept-in', server, reason, after.weight)
      }
      if (before.place === 'out') this.#tell('put-back', server, state.reason, after.weight)
    } else if (before.weight !== after.weight && before !== newcomer) {
      this.#tell(
        'weight',
        server,
        state.slowSince === undefined ? 'as it asks for' : 'slow start',
        after.weight,
      )
    }
    const isEnded = ({ place, isLost }: Placement): boolean => place === 'out' && isLost
    if (isEnded(after) && !isEnded(before)) this.#tell('connections-ended', server, state.reason)
  }

  #tell(event: HealthEventKind, server: RealServer | undefined, reason: string, weight?: number): void {
    this.#host.tell({
      event,
      service: this.key,
      server: server && { address: server.address, port: server.port },
      reason,
      at: Date.now(),
      ...(weight === undefined ? {} : { weight }),
    })
  }
}

/** What a server was before it was there. */
const newcomer: Placement = { place: 'in', cause: undefined, weight: 0, isLost: false }
/** Of a server that another list has and this one not yet. */
const unwatched: ServerState = { ...initialState(0), verdict: 'up' }

function rulesFor({ rules, check }: HealthInput): Rules {
  return rulesOf(rules, typeof check === 'object' && (check.kind === 'agent' || 'weightHeader' in check))
}

function checkOf({ check }: HealthInput, server: RealServer): Check {
  return typeof check === 'function' ? check(server) : check
}

function endpointOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return formatEndpoint(address, port)
}

function sameServer(a: RealServer, b: RealServer): boolean {
  return a.address === b.address && a.port === b.port && a.weight === b.weight && a.isLocal === b.isLocal
}

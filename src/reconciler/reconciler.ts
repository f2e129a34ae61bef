/** Keeps a dataplane at what is desired: takes objects, makes the least change, and goes on until it is so. */
import type { Applied, Dataplane } from '../dataplane/dataplane.js'
import { ValidationError } from '../errors/index.js'
import {
  type Condition,
  type ModelObject,
  type ModelProblem,
  type ObjectReference,
  ServiceModel,
  type ServiceModelOptions,
  type VirtualService,
} from '../model/index.js'
import type { Source, SourcePlace, SourceProblem } from '../sources/source.js'
import { Backoff } from './backoff.js'
import { follow } from './following.js'
import { Schedule } from './schedule.js'

/** How a Reconciler is made: what its model has to know, and what it works on. */
export interface ReconcilerOptions extends ServiceModelOptions {
  /** Where services are programmed. It stays the caller's, who closes it. */
  readonly dataplane: Dataplane
  /** How long changes are gathered after one was made; 50 unless said. The first one is made at once. */
  readonly coalesceMilliseconds?: number | undefined
  /** How often everything is read and compared, beside when somebody else changes it; 60,000 unless said, 0 for never. */
  readonly repairIntervalMilliseconds?: number | undefined
}

/** Where a service stands. */
export interface ServiceStatus {
  /**
   * `programmed`: the kernel has what was asked for. `pending`: not yet. `failed`: it was refused or could not be done, and is
   * tried again where that can help. `unknown`: there is no such service.
   */
  readonly state: 'programmed' | 'pending' | 'failed' | 'unknown'
  /** Why it failed: of each port that did. */
  readonly errors: readonly Error[]
  /** What of it is not as it was asked for. */
  readonly conditions: readonly Condition[]
}

/** What has been done so far. */
export interface ReconcilerCounts {
  /** Changes sent to the dataplane. */
  readonly applies: number
  /** Times that everything was read and compared. */
  readonly passes: number
  /** Times that what somebody else had changed was put right. */
  readonly repairs: number
  /** Messages that changed something. */
  readonly writes: number
  /** Calls of the dataplane that failed as a whole. */
  readonly failures: number
}

/** What could not be done of a virtual service. */
interface Failure {
  readonly error: Error
  readonly backoff: Backoff
  /** Of `performance.now()`. */
  dueAt: number
}

/**
 * Objects in, the kernel's state out. It begins with `start()`, which reads what is there and changes only what differs; until
 * then nothing is done. Closing it leaves everything forwarding; the dataplane is closed by who opened it.
 */
export class Reconciler {
  /** The one that it was made with. */
  readonly dataplane: Dataplane
  /** What it was given, and what was made of it. To be read: what is changed here is not noticed. */
  readonly model: ServiceModel
  readonly #schedule: Schedule
  readonly #closing = new AbortController()
  readonly #interval: number
  readonly #running: Promise<void>[] = []
  readonly #listings: Promise<void>[] = []
  #stopWatching: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined
  #isStarted = false
  /** Somebody else has changed what is ours. */
  #isRepairDue = false
  /** Everything has to be compared. */
  #isPassDue = true
  readonly #wholeBackoff = new Backoff()
  /** Of the last call, if it failed as a whole. */
  #wholeError: Error | undefined
  /** Taken from the model, and not in the kernel yet; undefined for what is to go. */
  readonly #pending = new Map<string, VirtualService | undefined>()
  readonly #failures = new Map<string, Failure>()
  readonly #conditions = new Map<string, readonly Condition[]>()
  readonly #sources: Source[] = []
  readonly #sourceProblems = new Map<Source, Map<string, readonly SourceProblem[]>>()
  readonly #sourceErrors = new Map<Source, Error>()
  readonly #waiting = new Set<() => void>()
  readonly #counts = { applies: 0, passes: 0, repairs: 0, writes: 0, failures: 0 }

  /** @throws ValidationError for options that are none */
  constructor({ dataplane, coalesceMilliseconds, repairIntervalMilliseconds, ...model }: ReconcilerOptions) {
    this.dataplane = dataplane
    this.model = new ServiceModel(model)
    this.#interval = milliseconds('repairIntervalMilliseconds', repairIntervalMilliseconds ?? 60_000)
    const pause = milliseconds('coalesceMilliseconds', coalesceMilliseconds ?? 50)
    this.#schedule = new Schedule(
      pause,
      () => (this.#current = this.#work()),
      () => this.#release(),
    )
  }

  /** Takes an object, new or changed. What is wrong with it is told by `status` and `problems`; the last good state stays. */
  upsert(object: ModelObject): void {
    this.model.upsert(object)
    this.#changed()
  }

  /** Forgets an object. */
  delete(reference: ObjectReference): void {
    this.model.delete(reference)
    this.#changed()
  }

  /** Takes these objects and forgets all others. */
  replaceAll(objects: Iterable<ModelObject>): void {
    this.model.replaceAll(objects)
    this.#changed()
  }

  /**
   * Takes what a source has, and what changes there, until it is closed. Objects of two sources must have different names: the
   * one that came last counts.
   * @returns when all its objects were taken for the first time
   */
  follow(source: Source): Promise<void> {
    this.#sources.push(source)
    const listed = new Promise<void>((resolve) => {
      const taker = {
        upsert: (object: ModelObject) => this.upsert(object),
        delete: (reference: ObjectReference) => this.delete(reference),
        problems: (from: Source, place: string, problems: readonly SourceProblem[]) => {
          const places = this.#sourceProblems.get(from) ?? new Map<string, readonly SourceProblem[]>()
          this.#sourceProblems.set(from, places)
          if (problems.length === 0) places.delete(place)
          else places.set(place, problems)
        },
        failed: (from: Source, error: Error | undefined) => {
          if (error === undefined) this.#sourceErrors.delete(from)
          else this.#sourceErrors.set(from, error)
        },
      }
      this.#closing.signal.addEventListener('abort', () => resolve(), { once: true })
      this.#running.push(follow(source, taker, this.#closing.signal, resolve))
    })
    this.#listings.push(listed)
    return listed
  }

  /**
   * Reads what the kernel has, adopts what is as it should be and changes what differs: of what is ours nothing is left but
   * what was given before, by calls and by every source that is followed.
   * @returns when that is done, or was tried
   */
  async start(): Promise<void> {
    await Promise.all(this.#listings)
    this.#closing.signal.throwIfAborted()
    if (!this.#isStarted) {
      this.#isStarted = true
      // From before the first reading on, so that nothing is missed in between.
      this.#stopWatching = this.dataplane.watch(() => {
        this.#isRepairDue = true
        this.#schedule.request()
      })
      if (this.#interval > 0) {
        this.#timer = setInterval(() => this.#passSoon(), this.#interval)
        this.#timer.unref()
      }
    }
    this.#schedule.request()
    await this.settled()
  }

  /** Resolves when the kernel has all that was given so far, or has refused it. @throws what the signal says */
  async settled({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    signal?.throwIfAborted()
    if (!this.#isStarted) throw new ValidationError('reconciler', undefined, 'a call of start() before')
    if (!this.#schedule.isActive) return
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        this.#waiting.delete(done)
        signal?.removeEventListener('abort', aborted)
        resolve()
      }
      const aborted = (): void => {
        this.#waiting.delete(done)
        reject(signal?.reason as Error)
      }
      this.#waiting.add(done)
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  /** Of one service. */
  status(service: { readonly namespace?: string | undefined; readonly name: string }): ServiceStatus {
    const id = `${service.namespace ?? 'default'}/${service.name}`
    const isOf = (key: string): boolean => key.startsWith(`${id}:`)
    const problems = this.model.problems().filter(({ object }) => isService(object, id))
    const errors: Error[] = problems.flatMap(({ error }) => (error === undefined ? [] : [error]))
    const conditions: Condition[] = problems.map(({ reason, message }) => ({ reason, message }))
    for (const [key, { error }] of this.#failures) if (isOf(key)) errors.push(error)
    for (const [key, told] of this.#conditions) if (isOf(key)) conditions.push(...told)
    const known = this.model.service(service) !== undefined
    if (!known && errors.length === 0) return { state: 'unknown', errors, conditions }
    const isPending =
      this.#isPassDue || this.#schedule.isActive || [...this.#pending.keys()].some((key) => isOf(key))
    const isFailed = errors.length > 0 || (isPending && this.#wholeError !== undefined)
    if (this.#wholeError !== undefined && isPending) errors.push(this.#wholeError)
    return { state: isFailed ? 'failed' : isPending ? 'pending' : 'programmed', errors, conditions }
  }

  /** What is wrong with objects, and with what sources hold. */
  problems(): {
    /** Of objects that were refused, or that ask for what they do not get. */
    readonly objects: readonly ModelProblem[]
    /** What sources could not read, or skipped. */
    readonly sources: readonly SourceProblem[]
    /** Sources that do not answer. */
    readonly errors: readonly Error[]
  } {
    return {
      objects: this.model.problems(),
      sources: [...this.#sourceProblems.values()].flatMap((places) => [...places.values()].flat()),
      errors: [...this.#sourceErrors.values()],
    }
  }

  /** What is wrong with objects, and where it was written, as far as a source knows. */
  async locatedProblems(): Promise<(ModelProblem & { readonly at?: SourcePlace | undefined })[]> {
    const located: (ModelProblem & { readonly at?: SourcePlace | undefined })[] = []
    for (const problem of this.model.problems()) {
      let at: SourcePlace | undefined
      for (const source of this.#sources) {
        at ??= await source.locate?.(problem.object, problem.error?.path)
      }
      located.push(at === undefined ? problem : { ...problem, at })
    }
    return located
  }

  /** What has been done so far. */
  get counts(): ReconcilerCounts {
    return { ...this.#counts }
  }

  /** Stops; everything goes on forwarding. Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the reconciler was closed'))
    this.#stopWatching?.()
    clearInterval(this.#timer)
    clearTimeout(this.#retryTimer)
    this.#schedule.close()
    await Promise.allSettled(this.#running)
    await this.#current
    this.#release()
  }

  /** Does what `close` does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #changed(): void {
    if (this.#isStarted) this.#schedule.request()
  }

  #passSoon(): void {
    this.#isPassDue = true
    this.#schedule.request()
  }

  /** What is under way. */
  #current: Promise<void> | undefined

  /** Those who wait for everything to be done. */
  #release(): void {
    for (const done of [...this.#waiting]) done()
  }

  async #work(): Promise<void> {
    this.#take()
    this.#takeRetries()
    const isPass = this.#isPassDue
    const isRepair = this.#isRepairDue
    this.#isPassDue = false
    this.#isRepairDue = false
    const sent = new Map(this.#pending)
    const { signal } = this.#closing
    try {
      if (isPass) {
        this.#settle(await this.dataplane.synchronize(this.model.virtualServices(), { signal }), sent, true)
        this.#counts.passes++
        return
      }
      if (isRepair) {
        this.#settle(await this.dataplane.repair({ signal }), none, false)
        this.#counts.repairs++
      }
      if (sent.size > 0) {
        this.#settle(await this.dataplane.apply(changeOf(sent), { signal }), sent, false)
        this.#counts.applies++
      }
    } catch (error) {
      this.#counts.failures++
      this.#wholeError = error as Error
      // What the kernel has now is unknown.
      this.#isPassDue = true
      this.#retryIn(this.#wholeBackoff.fail())
    }
  }

  /** What the model has changed. */
  #take(): void {
    const { upserted, deleted } = this.model.take()
    for (const service of upserted) this.#pending.set(service.key, service)
    for (const key of deleted) this.#pending.set(key, undefined)
  }

  /** Those whose time has come. */
  #takeRetries(): void {
    if (this.#failures.size === 0) return
    const now = performance.now()
    const due = new Set<string>()
    for (const [key, { dueAt }] of this.#failures) if (dueAt <= now) due.add(key)
    if (due.size === 0) return
    for (const service of this.model.virtualServices()) {
      if (due.has(service.key) && !this.#pending.has(service.key)) this.#pending.set(service.key, service)
    }
  }

  #settle(
    { writes, failures, conditions }: Applied,
    sent: ReadonlyMap<string, VirtualService | undefined>,
    isPass: boolean,
  ): void {
    this.#counts.writes += writes
    this.#wholeBackoff.succeed()
    this.#wholeError = undefined
    for (const [key, service] of sent) {
      if (this.#pending.get(key) === service) this.#pending.delete(key)
      if (!failures.has(key)) this.#failures.delete(key)
      this.#conditions.delete(key)
    }
    if (isPass) {
      for (const key of this.#failures.keys()) if (!failures.has(key)) this.#failures.delete(key)
      this.#conditions.clear()
    }
    for (const [key, told] of conditions) this.#conditions.set(key, told)
    const now = performance.now()
    for (const [key, error] of failures) {
      const backoff = this.#failures.get(key)?.backoff ?? new Backoff()
      this.#failures.set(key, { error, backoff, dueAt: now + backoff.fail() })
    }
    let soonest = Infinity
    for (const { dueAt } of this.#failures.values()) soonest = Math.min(soonest, dueAt)
    if (soonest < Infinity) this.#retryIn(Math.max(0, soonest - now))
  }

  #retryIn(wait: number): void {
    clearTimeout(this.#retryTimer)
    // A timer may fire in the millisecond before.
    this.#retryTimer = setTimeout(() => this.#schedule.request(), Math.ceil(wait) + 1)
  }
}

const none: ReadonlyMap<string, undefined> = new Map<string, undefined>()

function changeOf(pending: ReadonlyMap<string, VirtualService | undefined>) {
  const upserted: VirtualService[] = []
  const deleted: string[] = []
  for (const [key, service] of pending) {
    if (service === undefined) deleted.push(key)
    else upserted.push(service)
  }
  return { upserted, deleted }
}

function isService({ kind, namespace, name }: ObjectReference, id: string): boolean {
  return kind === 'Service' && `${namespace ?? 'default'}/${name}` === id
}

function milliseconds(path: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value
  throw new ValidationError(path, value, 'milliseconds, 0 or more')
}

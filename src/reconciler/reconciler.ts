/** Keeps a dataplane at what is desired: takes objects, makes the least change, and goes on until it is so. */
import { isDeepStrictEqual } from 'node:util'
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
import { follow, pause, type Taker } from './following.js'
import { SourceStates } from './source-states.js'
import { Schedule } from './schedule.js'
import type { ServiceShaper } from './shaper.js'

/** How a Reconciler is made: what its model has to know, and what it works on. */
export interface ReconcilerOptions extends ServiceModelOptions {
  /** Where services are programmed. It stays the caller's, who closes it. */
  readonly dataplane: Dataplane
  /** How long changes are gathered after one was made; 50 unless said. The first one is made at once. */
  readonly coalesceMilliseconds?: number | undefined
  /** How often everything is read and compared, beside when somebody else changes it; 60,000 unless said, 0 for never. */
  readonly repairIntervalMilliseconds?: number | undefined
  /** How long `start()` waits for sources that do not answer; 10,000 unless said. */
  readonly sourceTimeoutMilliseconds?: number | undefined
  /** Who has a say in which servers get connections: `ServiceChecks` of viaduct/health, say. It stays the caller's. */
  readonly shaper?: ServiceShaper | undefined
  /** Called when something was done, or could not be, and when sources tell other problems: `status`, `problems` may be others. */
  readonly onChange?: (() => void) | undefined
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
  /** The first one of each source. */
  readonly #answers: Promise<void>[] = []
  #stopWatching: (() => void) | undefined
  readonly #shaper: ServiceShaper | undefined
  readonly #onChange: () => void
  #stopShaping: (() => void) | undefined
  /** Keys of those that the shaper says something else of now. */
  readonly #reshape = new Set<string>()
  readonly #shapeErrors = new Map<string, Error>()
  /** What the shaper said last. */
  readonly #shaped = new Map<string, VirtualService>()
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
  readonly #sources = new SourceStates()
  readonly #sourceTimeout: number
  /** What an earlier process programmed may be what somebody still wants who has not been heard. */
  #keepsUnknown = true
  readonly #waiting = new Set<() => void>()
  readonly #counts = { applies: 0, passes: 0, repairs: 0, writes: 0, failures: 0 }

  /** @throws ValidationError for options that are none */
  constructor({
    dataplane,
    coalesceMilliseconds,
    repairIntervalMilliseconds,
    sourceTimeoutMilliseconds,
    shaper,
    onChange = () => undefined,
    ...model
  }: ReconcilerOptions) {
    this.dataplane = dataplane
    this.model = new ServiceModel(model)
    this.#shaper = shaper
    this.#onChange = onChange
    this.#interval = milliseconds('repairIntervalMilliseconds', repairIntervalMilliseconds ?? 60_000)
    this.#sourceTimeout = milliseconds('sourceTimeoutMilliseconds', sourceTimeoutMilliseconds ?? 10_000)
    this.#schedule = new Schedule(
      milliseconds('coalesceMilliseconds', coalesceMilliseconds ?? 50),
      () => (this.#current = this.#work().finally(this.#onChange)),
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
   * @returns when all its objects were taken for the first time, or could not be: it is asked again then, as `problems` tells
   */
  follow(source: Source): Promise<void> {
    this.#sources.add(source)
    const answered = new Promise<void>((resolve) => {
      const taker: Taker = {
        upsert: (object) => this.upsert(object),
        delete: (reference) => this.delete(reference),
        problems: (place, problems) => {
          this.#sources.setProblems(source, place, problems)
          this.#onChange()
          this.#heard()
        },
        failed: (error) => {
          this.#sources.setError(source, error)
          this.#onChange()
          resolve()
        },
        listed: (problems) => {
          this.#sources.setListed(source, problems)
          this.#heard()
          resolve()
        },
      }
      this.#closing.signal.addEventListener('abort', () => resolve(), { once: true })
      this.#running.push(follow(source, taker, this.#closing.signal))
    })
    this.#answers.push(answered)
    return answered
  }

  /**
   * Reads what the kernel has, adopts what is as it should be and changes what differs: of what is ours nothing is left but
   * what was given before, by calls and by every source that is followed.
   *
   * As long as a source has not been heard, or something that it holds could not be read, what an earlier process programmed
   * goes on forwarding though nobody wants it: it may stand there. `problems` tells.
   * @returns when that is done, or was tried
   */
  async start(): Promise<void> {
    await this.#hearSources()
    this.#closing.signal.throwIfAborted()
    if (!this.#isStarted) {
      this.#isStarted = true
      // From before the first reading on, so that nothing is missed in between.
      this.#stopWatching = this.dataplane.watch(() => {
        this.#isRepairDue = true
        this.#schedule.request()
      })
      this.#stopShaping = this.#shaper?.watch((keys) => {
        for (const key of keys) this.#reshape.add(key)
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

  /** Waits for the first answer of each, and not for ever. */
  async #hearSources(): Promise<void> {
    const isHeard = new AbortController()
    const all = Promise.all(this.#answers).then(() => isHeard.abort())
    await pause(this.#sourceTimeout, isHeard.signal)
    if (isHeard.signal.aborted) return await all
    this.#sources.setSilent(new Error(`a source has not answered within ${this.#sourceTimeout} ms`))
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
    return this.statuses()(service)
  }

  /** Of as many as are asked for: as things are now. Everything is looked at once. */
  statuses(): Reconciler['status'] {
    const errors = new Map<string, Error[]>()
    const conditions = new Map<string, Condition[]>()
    for (const { object, error, reason, message } of this.model.problems()) {
      if (object.kind !== 'Service') continue
      const id = idOf(object)
      if (error !== undefined) push(errors, id, error)
      push(conditions, id, { reason, message })
    }
    for (const [key, { error }] of this.#failures) push(errors, serviceOf(key), error)
    for (const [key, error] of this.#shapeErrors) push(errors, serviceOf(key), error)
    for (const [key, told] of this.#conditions) push(conditions, serviceOf(key), ...told)
    const pending = new Set([...this.#pending.keys()].map(serviceOf))
    const isAllPending = this.#isPassDue || this.#schedule.isActive
    const wholeError = this.#wholeError
    return (service) => {
      const id = idOf(service)
      const known = this.model.service(service) !== undefined
      const own = { errors: errors.get(id) ?? [], conditions: conditions.get(id) ?? [] }
      if (!known && own.errors.length === 0) return { state: 'unknown', ...own }
      const isPending = isAllPending || pending.has(id)
      if (isPending && wholeError !== undefined) own.errors = [...own.errors, wholeError]
      return { state: own.errors.length > 0 ? 'failed' : isPending ? 'pending' : 'programmed', ...own }
    }
  }

  /** What is wrong with objects, and with what sources hold. */
  problems(): {
    /** Of objects that were refused, or that ask for what they do not get. */
    readonly objects: readonly ModelProblem[]
    /** What sources could not read, or skipped. */
    readonly sources: readonly SourceProblem[]
    /** Sources that do not answer. */
    readonly errors: readonly Error[]
    /** What could not be done, and is tried again: of a virtual service by its key, or of all. */
    readonly failures: readonly { readonly key?: string | undefined; readonly error: Error }[]
    /** What of virtual services the dataplane does otherwise than it was asked for, by their keys. */
    readonly conditions: readonly (Condition & { readonly key: string })[]
    /**
     * Whether what an earlier process programmed is kept though nobody wants it: from the start on until each source was in
     * order once, and no object is refused.
     */
    readonly keepsUnknown: boolean
  } {
    return {
      objects: this.model.problems(),
      sources: this.#sources.problems(),
      errors: this.#sources.errors(),
      failures: [
        ...(this.#wholeError === undefined ? [] : [{ error: this.#wholeError }]),
        ...[...this.#failures].map(([key, { error }]) => ({ key, error })),
        ...[...this.#shapeErrors].map(([key, error]) => ({ key, error })),
      ],
      conditions: [...this.#conditions].flatMap(([key, told]) => told.map((one) => ({ key, ...one }))),
      keepsUnknown: this.#keepsUnknown,
    }
  }

  /** What is wrong with objects, and where it was written, as far as a source knows. */
  async locatedProblems(): Promise<(ModelProblem & { readonly at?: SourcePlace | undefined })[]> {
    const located: (ModelProblem & { readonly at?: SourcePlace | undefined })[] = []
    for (const problem of this.model.problems()) {
      let at: SourcePlace | undefined
      for (const source of this.#sources.sources) {
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
    this.#stopShaping?.()
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

  /** What was waited for may have come with it. */
  #heard(): void {
    if (this.#keepsUnknown) this.#changed()
  }

  #passSoon(): void {
    this.#isPassDue = true
    this.#schedule.request()
  }

  /** As it is to be programmed. What the shaper throws leaves it as the model has it, and is told. */
  #shape(service: VirtualService): VirtualService {
    if (this.#shaper === undefined) return service
    try {
      const shaped = this.#shaper.shape(service)
      this.#shapeErrors.delete(service.key)
      this.#shaped.set(service.key, shaped)
      return shaped
    } catch (error) {
      this.#shapeErrors.set(service.key, error as Error)
      this.#shaped.delete(service.key)
      return service
    }
  }

  *#shapeAll(services: Iterable<VirtualService>): Generator<VirtualService> {
    for (const service of services) yield this.#shape(service)
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
    const keepUnknown = this.#keepsUnknown && !this.#isAllKnown()
    // One pass takes away what nobody wants.
    const isPass = this.#isPassDue || keepUnknown !== this.#keepsUnknown
    const isRepair = this.#isRepairDue
    this.#isPassDue = false
    this.#isRepairDue = false
    const sent = new Map(this.#pending)
    const { signal } = this.#closing
    try {
      if (isPass) {
        const services = this.#shapeAll(this.model.virtualServices())
        this.#settle(await this.dataplane.synchronize(services, { signal, keepUnknown }), sent, true)
        this.#counts.passes++
        this.#keepsUnknown = keepUnknown
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

  /** Whether nothing that anybody wants can have been missed. */
  #isAllKnown(): boolean {
    return this.#sources.areSound() && this.model.problems().every(({ error }) => error === undefined)
  }

  /** What the model has changed. */
  #take(): void {
    const { upserted, deleted } = this.model.take()
    for (const key of deleted) {
      this.#pending.set(key, undefined)
      this.#shapeErrors.delete(key)
      this.#shaped.delete(key)
    }
    if (upserted.length + deleted.length > 0) this.#shaper?.change?.({ upserted, deleted })
    for (const service of upserted) this.#pending.set(service.key, this.#shape(service))
    for (const key of this.#reshape) this.#takeShape(key)
    this.#reshape.clear()
  }

  /** A shaper tells more often than it has something new to say: of every service that comes, for one. */
  #takeShape(key: string): void {
    const before = this.#shaped.get(key)
    if (this.#pending.has(key)) return
    this.#takeOne(key)
    if (before !== undefined && isDeepStrictEqual(before, this.#pending.get(key))) this.#pending.delete(key)
  }

  /** What the model has of it now, unless that waits already. */
  #takeOne(key: string): void {
    if (this.#pending.has(key)) return
    const service = this.model.virtualService(key)
    if (service !== undefined) this.#pending.set(key, this.#shape(service))
  }

  /** Those whose time has come. */
  #takeRetries(): void {
    if (this.#failures.size === 0) return
    const now = performance.now()
    for (const [key, { dueAt }] of this.#failures) if (dueAt <= now) this.#takeOne(key)
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

function idOf({ namespace, name }: { readonly namespace?: string | undefined; readonly name: string }) {
  return `${namespace ?? 'default'}/${name}`
}

/** Of the key of a virtual service. */
function serviceOf(key: string): string {
  return key.slice(0, key.indexOf(':'))
}

function push<T>(lists: Map<string, T[]>, id: string, ...values: readonly T[]): void {
  const list = lists.get(id)
  if (list === undefined) lists.set(id, [...values])
  else list.push(...values)
}

function milliseconds(path: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value
  throw new ValidationError(path, value, 'milliseconds, 0 or more')
}

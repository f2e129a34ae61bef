/** Runs the checks of many services. */
import { performance } from 'node:perf_hooks'
import { ValidationError } from '../errors/index.js'
import type { RealServer, Servers, VirtualService } from '../model/index.js'
import { CheckResources } from './checks/index.js'
import { EventQueues, type EventsLost, type HealthEvent } from './events.js'
import type { Placement } from './group.js'
import { DueHeap } from './heap.js'
import { type Lateness, LatenessCounts } from './lateness.js'
import { type HealthInput, type ServiceHealth, type Task, WatchedService } from './service.js'

/** How a HealthMonitor is made. */
export interface HealthMonitorOptions {
  /** Aborting closes it. */
  readonly signal?: AbortSignal | undefined
}

/** What has been done so far. */
export interface HealthCounts {
  /** Checks that are through. */
  readonly checks: number
  /** Those that found the server as it should be. */
  readonly passed: number
  /** Those that did not. */
  readonly failed: number
  /** Those that could not be run. */
  readonly notRun: number
  /** How much later than they were due checks were begun. */
  readonly latenessMilliseconds: Lateness
}

/** It wakes no more often than this, and begins all checks together that are due by then. */
const resolutionMilliseconds = 4
/** First checks are begun so far apart: ten thousand servers that come at once are asked within a second. */
const firstCheckSpacing = 0.1

/**
 * Checks the servers of any number of services, and says which of them are to get connections. It keeps the process alive
 * while there are servers to check, until it is closed.
 *
 * Nothing is changed by it in the kernel: what it says is asked for by `serversOf` or `shape`, when `watch` tells that there is
 * something new.
 */
export class HealthMonitor {
  readonly #services = new Map<string, WatchedService>()
  readonly #heap = new DueHeap<Task>()
  readonly #events = new EventQueues()
  readonly #watchers = new Set<(keys: readonly string[]) => void>()
  readonly #resources = new CheckResources()
  readonly #touched = new Set<WatchedService>()
  readonly #changed = new Set<string>()
  readonly #lateness = new LatenessCounts()
  readonly #counts = { checks: 0, passed: 0, failed: 0, notRun: 0 }
  readonly #signal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity
  #isSettling = false
  #lastFirst = 0
  #isClosed = false

  constructor({ signal }: HealthMonitorOptions = {}) {
    signal?.throwIfAborted()
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /**
   * Watches a service, or takes another list of its servers: what is known of those that stay is kept.
   * @param key  the one of its VirtualService, or any other name
   * @throws ValidationError if something of it is wrong; nothing is changed then
   */
  set(key: string, input: HealthInput): void {
    if (this.#isClosed) throw new ValidationError('monitor', undefined, 'a monitor that is open')
    const firstDue = (): number =>
      (this.#lastFirst = Math.max(performance.now(), this.#lastFirst + firstCheckSpacing))
    const service = this.#services.get(key)
    if (service === undefined) {
      this.#services.set(key, new WatchedService(key, input, this.#host, firstDue))
    } else service.update(input, firstDue)
    this.#changedSoon(key)
  }

  /** Watches it no more. @returns whether it was watched */
  delete(key: string): boolean {
    const service = this.#services.get(key)
    if (service === undefined) return false
    this.#services.delete(key)
    service.close()
    this.#changedSoon(key)
    return true
  }

  /** Keys of the services that are watched. */
  keys(): string[] {
    return [...this.#services.keys()]
  }

  /** Where a service stands; undefined if it is not watched. */
  health(key: string): ServiceHealth | undefined {
    return this.#services.get(key)?.health()
  }

  /**
   * What a service's servers are to be: a list with weights, of which 0 means that no new connections go there. For
   * `IpvsService.servers.set`. Undefined if it is not watched.
   */
  serversOf(key: string): RealServer[] | undefined {
    return this.#services.get(key)?.servers()
  }

  /**
   * A virtual service with the servers that are to get connections, for a dataplane: those that are out are drained, gone or
   * failed. Of the servers of this node no more than the cap are out, either. One that is not watched stays as it is.
   */
  shape(service: VirtualService): VirtualService {
    const watched = this.#services.get(service.key)
    return watched === undefined ? service : { ...service, servers: shapeServers(watched, service.servers) }
  }

  /** Calls with keys of services whose servers or weights have changed, gathered, until the function that is returned is called. */
  watch(listener: (keys: readonly string[]) => void): () => void {
    this.#watchers.add(listener)
    return () => void this.#watchers.delete(listener)
  }

  /** Every change from now on, until the monitor is closed. An aborted signal makes the loop throw its reason. */
  events({ signal }: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<
    HealthEvent | EventsLost
  > {
    const events = this.#events.open(signal)
    if (this.#isClosed) this.#events.end()
    return events
  }

  /** Checks all servers of a service, or of all, as soon as possible. */
  checkNow(key?: string): void {
    const now = performance.now()
    for (const service of this.#services.values()) {
      if (key === undefined || service.key === key) service.checkNow(now)
    }
  }

  /** What has been done so far, or since `resetCounts`. */
  get counts(): HealthCounts {
    return { ...this.#counts, latenessMilliseconds: this.#lateness.value }
  }

  /** Begins to count anew. @returns what was counted before */
  resetCounts(): HealthCounts {
    const { counts } = this
    this.#lateness.clear()
    Object.assign(this.#counts, { checks: 0, passed: 0, failed: 0, notRun: 0 })
    return counts
  }

  /** Stops. Checks under way are given up; what was said last stays as it is. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#signal?.removeEventListener('abort', this.#abort)
    clearTimeout(this.#timer)
    for (const service of this.#services.values()) service.close()
    this.#heap.clear()
    this.#touched.clear()
    this.#watchers.clear()
    this.#resources.close()
    this.#events.end()
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  readonly #abort = (): void => this.close()

  readonly #host = {
    resources: this.#resources,
    schedule: (task: Task, at: number): void => {
      if (this.#isClosed) return
      this.#heap.set(task, at)
      this.#arm()
    },
    unschedule: (task: Task): void => this.#heap.delete(task),
    touched: (service: WatchedService): void => {
      if (service.restsUntil > performance.now()) return service.settleLater()
      this.#touched.add(service)
      this.#settleSoon()
    },
    tell: (event: HealthEvent): void => {
      if (changesServers.has(event.event)) this.#changedSoon(event.service)
      this.#events.push(event)
    },
    counted: ({ outcome }: { readonly outcome: 'passed' | 'failed' | 'not-run' }, lateness: number): void => {
      this.#counts.checks++
      this.#counts[outcome === 'not-run' ? 'notRun' : outcome]++
      this.#lateness.add(lateness)
    },
  }

  #arm(): void {
    const at = this.#heap.first?.dueAt
    if (at === undefined || at >= this.#timerAt || this.#isWaking) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    const wait = Math.max(resolutionMilliseconds, Math.ceil(at - performance.now()))
    this.#timer = setTimeout(this.#wake, wait)
  }

  #isWaking = false

  readonly #wake = (): void => {
    this.#timerAt = Infinity
    this.#isWaking = true
    const now = performance.now()
    for (let task = this.#heap.take(now); task !== undefined; task = this.#heap.take(now)) task.run(now)
    this.#resources.flush()
    this.#isWaking = false
    this.#arm()
  }

  /** In one go with what else is known at this moment. */
  #settleSoon(): void {
    if (this.#isSettling) return
    this.#isSettling = true
    queueMicrotask(() => {
      this.#isSettling = false
      if (this.#isClosed) return
      const now = performance.now()
      const touched = [...this.#touched]
      this.#touched.clear()
      for (const service of touched) service.settle(now)
      const keys = [...this.#changed]
      this.#changed.clear()
      if (keys.length > 0) for (const listener of [...this.#watchers]) listener(keys)
    })
  }

  #changedSoon(key: string): void {
    this.#changed.add(key)
    this.#settleSoon()
  }
}

/** Of events: those after which a list or a weight is another. */
const changesServers: ReadonlySet<HealthEvent['event']> = new Set([
  'taken-out',
  'put-back',
  'connections-ended',
  'kept-in',
  'no-longer-kept',
  'weight',
  'quorum-lost',
  'quorum-met',
])

function shapeServers(watched: WatchedService, { cluster, local, draining, any }: Servers): Servers {
  const { rules } = watched
  const now = performance.now()
  const drained = new Map(draining.map((server) => [`${server.address} ${server.port}`, server]))
  const lost = new Map<string, RealServer>()
  const isSorry = !watched.isQuorate && rules.sorryServer !== undefined
  const shape = (servers: readonly RealServer[]): RealServer[] => {
    const placements: readonly Placement[] = watched.placeSome(servers, now)
    return servers.flatMap((server, index) => {
      const { place, weight, isLost } = placements[index]!
      if (place !== 'out' && !isSorry && weight > 0) return [{ ...server, weight }]
      if (isLost) lost.set(`${server.address} ${server.port}`, server)
      else if (rules.onFailure !== 'remove') drained.set(`${server.address} ${server.port}`, server)
      return []
    })
  }
  const shaped = { cluster: shape(cluster), local: shape(local) }
  if (isSorry) {
    const sorry = {
      ...rules.sorryServer,
      weight: Math.max(1, rules.sorryServer.weight * rules.weightScale),
    }
    shaped.cluster.push(sorry)
    shaped.local.push(sorry)
  }
  const inUse = new Set([...shaped.cluster, ...shaped.local].map(({ address, port }) => `${address} ${port}`))
  const [rest, failed] = [drained, lost].map((servers) =>
    [...servers].filter(([endpoint]) => !inUse.has(endpoint)).map(([, server]) => server),
  )
  return {
    ...shaped,
    draining: rest!,
    ...(failed!.length === 0 ? {} : { failed }),
    // Where nobody is left clients are refused, and need not wait.
    any: inUse.size > 0 || (any && cluster.length + local.length === 0),
  }
}

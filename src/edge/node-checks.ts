/** What nodes are asked, by a monitor, and what they say. */
import { isDeepStrictEqual } from 'node:util'
import type { CheckPlace, HealthMonitor, HealthRules, HttpCheck, ServerHealth } from '../health/index.js'
import type { NodeCheck } from './node-backends.js'

/** How nodes are asked. */
export interface NodeCheckOptions extends Omit<CheckPlace, 'address' | 'port'> {
  /**
   * How often, and what answers mean. Unless said, two failures in a row take a node out and one success takes it in, and nodes
   * without endpoints are asked as often as others. `mostOut` holds for what nodes say of themselves: where most of them seem ill,
   * it is more likely the question that is wrong.
   */
  readonly rules?: Omit<HealthRules, 'ejection' | 'sorryServer'> | undefined
}

/** What a node says of a service beside that it is well: how many endpoints it has. */
const endpointsHeader = 'x-load-balancing-endpoint-weight'
/** Of a check without a weight: a part of so much is what the header said. */
const whole = 100

/** Checks by the service that needs them; those of nodes themselves are shared. */
export class NodeChecks {
  readonly #monitor: HealthMonitor
  readonly #check: HttpCheck
  readonly #rules: HealthRules
  /** Of each service. */
  readonly #checks = new Map<string, readonly NodeCheck[]>()
  /** By the key that the monitor has it by. */
  readonly #watched = new Map<string, ReadonlySet<string>>()
  /** Nodes that had endpoints once. */
  readonly #served = new Map<string, Set<string>>()
  readonly #read = new Map<string, ReadonlyMap<string, ServerHealth>>()
  readonly #closing = new AbortController()
  readonly #prefix: string

  /**
   * `changed` is called with the service that a node has said something else of; undefined for all.
   * @throws ValidationError for options that are none, or where the monitor is closed
   */
  constructor(
    monitor: HealthMonitor,
    { rules, ...place }: NodeCheckOptions,
    changed: (id: string | undefined) => void,
  ) {
    this.#monitor = monitor
    this.#prefix = `edge ${++made} `
    this.#check = {
      kind: 'http',
      path: '/healthz',
      status: [200],
      weightHeader: endpointsHeader,
      ...place,
    }
    this.#rules = { fall: 2, rise: 1, damping: false, backoff: false, ...rules }
    // What is wrong with them is found out now: none is begun before this turn is over.
    const servers = [{ address: '127.0.0.1', port: 1, weight: whole }]
    monitor.set(this.#prefix, { servers, check: this.#check, rules: this.#rules })
    monitor.delete(this.#prefix)
    void this.#follow(changed)
  }

  /** What is to be asked for a service: these and no others. */
  set(id: string, checks: readonly NodeCheck[]): void {
    const before = this.#checks.get(id) ?? []
    if (isDeepStrictEqual(before, checks)) return
    if (checks.length === 0) this.#checks.delete(id)
    else this.#checks.set(id, checks)
    const groups = new Set([...before, ...checks].map((check) => this.#group(check)))
    for (const group of groups) this.#watch(group)
  }

  /** For `nodeBackends`. A node that had endpoints and says that it has none keeps its connections, and gets no more. */
  verdict(check: NodeCheck): boolean | number | undefined {
    const group = this.#group(check)
    const health = this.#health(group).get(endpointOf(check))
    if (health === undefined || health.verdict === 'unknown') return undefined
    if (check.kind === 'node') return health.place !== 'out'
    const served = this.#served.get(group)
    if (health.verdict === 'up') {
      served?.add(endpointOf(check))
      const result = health.last?.result
      const share = result?.outcome === 'passed' ? result.share : undefined
      return share === undefined ? true : Math.round(share * whole)
    }
    const result = health.last?.result
    const isAlive = result?.outcome === 'failed' && result.reason === 'wrong-answer'
    return isAlive && served?.has(endpointOf(check)) === true ? 0 : false
  }

  /** Whether each check of a service was answered, or is known not to be. */
  isAnswered(id: string): boolean {
    return (this.#checks.get(id) ?? []).every((check) => {
      const health = this.#health(this.#group(check)).get(endpointOf(check))
      return health !== undefined && (health.verdict !== 'unknown' || health.blocked !== undefined)
    })
  }

  /** What was read is old. */
  forget(): void {
    this.#read.clear()
  }

  /** Asks no more. */
  close(): void {
    this.#closing.abort(new Error('closed'))
    for (const group of this.#watched.keys()) this.#monitor.delete(group)
    this.#watched.clear()
  }

  #group({ service }: NodeCheck): string {
    return `${this.#prefix}${service ?? ''}`
  }

  #watch(group: string): void {
    const endpoints = new Map<string, { address: string; port: number; weight: number }>()
    for (const check of this.#checksOf(group)) {
      const { address, port } = check
      endpoints.set(endpointOf(check), { address, port, weight: whole })
    }
    this.#read.delete(group)
    if (endpoints.size === 0) {
      this.#watched.delete(group)
      this.#served.delete(group)
      this.#monitor.delete(group)
      return
    }
    const before = this.#watched.get(group)
    const served = this.#served.get(group) ?? new Set()
    for (const endpoint of served) if (!endpoints.has(endpoint)) served.delete(endpoint)
    this.#served.set(group, served)
    const now = new Set(endpoints.keys())
    if (isDeepStrictEqual(before, now)) return
    this.#watched.set(group, now)
    const servers = [...endpoints.values()]
    this.#monitor.set(group, { servers, check: this.#check, rules: this.#rules })
  }

  #checksOf(group: string): readonly NodeCheck[] {
    const service = group.slice(this.#prefix.length)
    if (service !== '') return this.#checks.get(service) ?? []
    return [...this.#checks.values()].flatMap((checks) => checks.filter(({ kind }) => kind === 'node'))
  }

  #health(group: string): ReadonlyMap<string, ServerHealth> {
    let known = this.#read.get(group)
    if (known === undefined) {
      const servers = this.#monitor.health(group)?.servers ?? []
      known = new Map(servers.map((health) => [endpointOf(health.server), health]))
      this.#read.set(group, known)
    }
    return known
  }

  async #follow(changed: (id: string | undefined) => void): Promise<void> {
    const { signal } = this.#closing
    try {
      for await (const event of this.#monitor.events({ signal })) {
        if (event.event === 'resynchronise') changed(undefined)
        else if (event.service.startsWith(this.#prefix)) {
          changed(event.service.slice(this.#prefix.length) || undefined)
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}

/** Several balancers may have one monitor. */
let made = 0

function endpointOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address} ${port}`
}

/** Makes of a service what it is reached at, and virtual services of that and of its endpoints. */
import { buildVirtualService, type WeightOf } from './build.js'
import type { Condition } from './condition.js'
import type { NodeFacts } from './choose.js'
import { keepSame } from './differences.js'
import { frontsOf, holdsNodePort } from './fronts.js'
import type { Holdings } from './holdings.js'
import type { PodServers } from './pod-servers.js'
import type { Problems } from './problems.js'
import type { ServiceRecord, SliceRecord } from './records.js'
import { type ServiceState, slicesById } from './service-state.js'
import type { VirtualService } from './virtual-service.js'

const none: readonly never[] = []

/** What is asked at a health-check node port. */
export interface HealthCheck {
  /** `namespace/name`. */
  readonly service: string
  /** The node's, TCP. */
  readonly port: number
  /** Ready ones on this node. Healthy is what has any. */
  readonly localEndpoints: number
}

/** What it takes to make virtual services. */
export interface Surroundings {
  readonly node: NodeFacts
  readonly pods: PodServers
  readonly holdings: Holdings
  readonly problems: Problems
}

/** Computes services again, one by one. */
export class Builder {
  /** By service. */
  readonly healthChecks = new Map<string, HealthCheck>()
  readonly #node: NodeFacts
  readonly #pods: PodServers
  readonly #holdings: Holdings
  readonly #problems: Problems

  constructor({ node, pods, holdings, problems }: Surroundings) {
    this.#node = node
    this.#pods = pods
    this.#holdings = holdings
    this.#problems = problems
  }

  /** What is stale of it, and its endpoints. */
  build(state: ServiceState): void {
    if (state.stale !== 'endpoints') this.#setFronts(state)
    state.stale = 'nothing'
    const { effective } = state
    if (effective === undefined) {
      state.inUse = none
      this.healthChecks.delete(state.id)
      return replace(state, [])
    }
    const slices = this.#slicesOf(state, effective)
    state.inUse = slices
    if (state.healthCheckNodePort !== undefined || this.healthChecks.has(state.id))
      this.#setHealthCheck(state)
    const weightOf = this.#weightsIn(effective.namespace)
    replace(
      state,
      state.fronts.map((front) => buildVirtualService(effective, front, slices, this.#node, weightOf)),
    )
  }

  /** What it is reached at, of all that it claims; what others hold is told. */
  #setFronts(state: ServiceState): void {
    const { effective } = state
    state.fronts = none
    state.healthCheckNodePort = undefined
    if (effective === undefined) {
      state.freePorts = none
      return this.#problems.set('Service', state.id, none)
    }
    const conditions: Condition[] = effective.conditions.concat(state.unmet)
    const holders = this.#holdings.holdersFor(state)
    state.fronts = frontsOf(effective, holders, conditions)
    const { healthCheckNodePort: port } = effective
    if (port !== undefined && holdsNodePort(port, 'tcp', holders, conditions))
      state.healthCheckNodePort = port
    this.#problems.set('Service', state.id, conditions)
  }

  #setHealthCheck({ id, healthCheckNodePort: port, inUse }: ServiceState): void {
    if (port === undefined) {
      this.healthChecks.delete(id)
      return
    }
    const local = new Set<string>()
    for (const { endpoints } of inUse) {
      for (const { address, ready, node } of endpoints) {
        if (ready && node !== undefined && node === this.#node.name) local.add(address)
      }
    }
    this.healthChecks.set(id, { service: id, port, localEndpoints: local.size })
  }

  /** Those that a source gives, before what is computed; servers that stand in the service itself come in any case. */
  #slicesOf(state: ServiceState, record: ServiceRecord): readonly SliceRecord[] {
    const given =
      state.slices.length > 0 ? slicesById(state.slices) : (state.endpoints ?? this.#pods.slicesFor(record))
    return record.servers.length === 0 ? given : [...given, ...record.servers]
  }

  #weightsIn(namespace: string): WeightOf {
    const pods = this.#pods
    if (pods.isEmpty) return undefined
    return ({ pod }) => (pod === undefined ? undefined : pods.pod(`${namespace}/${pod}`)?.weight)
  }
}

/** Virtual services that are the same stay the very same objects. */
function replace(state: ServiceState, now: VirtualService[]): void {
  const before = state.virtualServices
  if (keepSame(before, now)) return
  state.told ??= before
  state.virtualServices = now
}

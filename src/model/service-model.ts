/** Services, endpoints, Pods and nodes in; virtual services out, and of those only what changed. */
import { isValidationError } from '../errors/index.js'
import { type AllocateOptions, type Allocation, Allocator, readAllocation, withPicks } from './allocator.js'
import { buildVirtualService, type WeightOf } from './build.js'
import { Claims } from './claims.js'
import type { Condition } from './condition.js'
import { frontendKeys, frontsOf, holdsNodePort, type Holders, nodePortKey } from './fronts.js'
import type { ModelObject, ObjectKind, ObjectReference } from './objects.js'
import { PodServers } from './pod-servers.js'
import { type NodeRecord, type PodRecord, readNode, readPod } from './pods.js'
import type { ModelProblem } from './problem.js'
import { keyOf, Problems, referenceTo } from './problems.js'
import { fail, isObject, type Loose } from './reading.js'
import type { ServiceRecord, SliceRecord } from './records.js'
import { sameVirtualService } from './same.js'
import { ServiceState, slicesById, type Staleness, staleness } from './service-state.js'
import { readService, type ServiceRules } from './services.js'
import { readServiceInput } from './shorthand.js'
import { type ReadSlice, readEndpoints, readSlice } from './slices.js'
import type { ServiceChange, ServiceProtocol, VirtualService } from './virtual-service.js'

const none: readonly never[] = []

/** What the model has to know beside its objects. */
export interface ServiceModelOptions {
  /** This node: its endpoints are the local ones. */
  readonly nodeName?: string | undefined
  /** Where this node is, for topology hints; the label `topology.kubernetes.io/zone` of its Node object unless said. */
  readonly zone?: string | undefined
  /**
   * The model is the one that gives addresses and node ports, and refuses what is out of its ranges. With it, services as
   * Kubernetes writes them are the model's own unless they have a `metadata.uid`: those an API server has validated, and they are
   * taken as they are. Without it all of them are. Services in the short form are always the model's own.
   */
  readonly allocate?: AllocateOptions | undefined
  /** What `allocations()` told at another time. What is still free of it is picked again. */
  readonly allocations?: Iterable<Allocation> | undefined
  /**
   * Who listens on this port of this host, as people know it (`sshd`); undefined if nobody does. It is asked when a service
   * gets a node port, and not again as long as it has it.
   */
  readonly isPortTaken?: ((port: number, protocol: ServiceProtocol) => string | undefined) | undefined
}

/** What changed since it was last asked for. */
export interface ModelChange extends ServiceChange {
  /** Virtual services of `upserted` and `deleted` as they were before, by their keys; new ones are not in it. */
  readonly previous: ReadonlyMap<string, VirtualService>
  /** Services that anything may have changed of, headless ones, too: their endpoints, their fields, or that they are there. */
  readonly services: readonly string[]
  /** All problems of each object whose problems are others than before. */
  readonly problems: readonly ModelProblem[]
  /** Objects that had problems and have none any more. */
  readonly solved: readonly ObjectReference[]
}

/** A service and its endpoints, whether or not virtual services are made of them: what DNS asks for. */
export interface KnownService {
  /** With the addresses and ports that were picked for it. */
  readonly service: ServiceRecord
  /** Given ones, or computed from Pods. */
  readonly slices: readonly SliceRecord[]
}

/** What is asked at a health-check node port. */
export interface HealthCheck {
  /** `namespace/name`. */
  readonly service: string
  /** The node's, TCP. */
  readonly port: number
  /** Ready ones on this node. Healthy is what has any. */
  readonly localEndpoints: number
}

/**
 * Keeps what services are to be. It takes objects as they are written, reads them once, and computes again only what a change
 * touches. An object that cannot be meant is refused and told of; what was known of it before stays. Nothing is computed before
 * somebody asks (`take`, `virtualServices`), so that the order of what comes together does not matter.
 */
export class ServiceModel {
  readonly #node: { readonly name: string | undefined; zone: string | undefined }
  readonly #givenZone: string | undefined
  readonly #rules: ServiceRules
  readonly #services = new Map<string, ServiceState>()
  /** Whose each slice is. */
  readonly #slices = new Map<string, ServiceState>()
  readonly #pods: PodServers
  /** Of frontends and node ports; of whole addresses, too, where the model gives any. */
  readonly #claims = new Claims<ServiceState>()
  readonly #allocator: Allocator
  readonly #allocates: boolean
  readonly #recorded = new Map<string, Allocation>()
  /** What is true while it computes. */
  readonly #moment: Moment = { hasReleased: false, asking: undefined, knownPorts: none }
  /** Those that did not get what they lack: they get it when something becomes free. */
  readonly #waiting = new Set<ServiceState>()
  readonly #isPortTaken: (port: number, protocol: ServiceProtocol) => string | undefined
  readonly #healthChecks = new Map<string, HealthCheck>()
  readonly #problems = new Problems()
  readonly #stale: ServiceState[] = []
  /** Those that the next `take` tells of. */
  readonly #touched: ServiceState[] = []

  /** @throws ValidationError if a range is none, or an allocation */
  constructor(options: ServiceModelOptions = {}) {
    const { allocate, allocations = none, isPortTaken } = options
    this.#node = { name: options.nodeName, zone: options.zone }
    this.#givenZone = options.zone
    const allocator = new Allocator(allocate ?? {})
    this.#allocator = allocator
    this.#allocates = allocate !== undefined
    this.#rules = {
      ownsUnstored: this.#allocates,
      nodePorts: allocator.nodePorts,
      isClusterAddress: (address) => allocator.isClusterAddress(address),
    }
    let index = 0
    for (const value of allocations) {
      const allocation = readAllocation(value, `allocations[${index++}]`)
      this.#recorded.set(allocation.service, allocation)
    }
    this.#isPortTaken = isPortTaken ?? nobody
    const services = this.#services
    this.#pods = new PodServers(function* () {
      for (const { record } of services.values()) if (record !== undefined) yield record
    })
  }

  /**
   * Takes an object, new or changed.
   * @returns why it was refused, if it was; `take` tells it, too
   */
  upsert(object: ModelObject): ModelProblem | undefined {
    return this.#upsert(object, undefined)
  }

  /** Forgets an object. One that is unknown is none, too. */
  delete(reference: ObjectReference): void {
    this.#delete(reference.kind, keyOf(reference))
  }

  /** Takes these objects and forgets all others; those that are refused stay as they were. */
  replaceAll(objects: Iterable<ModelObject>): void {
    const known = this.#references()
    const given = known.length === 0 ? undefined : new Set<string>()
    for (const object of objects) this.#upsert(object, given)
    for (const reference of known) {
      const key = keyOf(reference)
      if (!given?.has(`${reference.kind} ${key}`)) this.#delete(reference.kind, key)
    }
  }

  /** What changed since the last time. */
  take(): ModelChange {
    this.#settle()
    const change = { upserted: [], deleted: [], previous: new Map<string, VirtualService>(), services: [] }
    this.#tell(change)
    return { ...change, ...this.#problems.take() }
  }

  /** All there are. */
  *virtualServices(): IterableIterator<VirtualService> {
    this.#settle()
    for (const { virtualServices } of this.#services.values()) yield* virtualServices
  }

  /** One service, or undefined. Also headless ones, and those that only have a name elsewhere. */
  service(reference: {
    readonly namespace?: string | undefined
    readonly name: string
  }): KnownService | undefined {
    this.#settle()
    const state = this.#services.get(keyOf({ kind: 'Service', ...reference }))
    return state?.effective && { service: state.effective, slices: state.inUse }
  }

  /** All services. */
  *services(): IterableIterator<KnownService> {
    this.#settle()
    for (const { effective, inUse } of this.#services.values()) {
      if (effective !== undefined) yield { service: effective, slices: inUse }
    }
  }

  /** Health-check node ports that are to answer. */
  healthChecks(): HealthCheck[] {
    this.#settle()
    return [...this.#healthChecks.values()]
  }

  /** What was picked, for `ServiceModelOptions.allocations` of the next start. */
  allocations(): Allocation[] {
    this.#settle()
    const allocations: Allocation[] = []
    for (const { picks } of this.#services.values()) if (picks !== undefined) allocations.push(picks)
    return allocations
  }

  /** Every problem there is. */
  problems(): ModelProblem[] {
    this.#settle()
    return this.#problems.all()
  }

  #upsert(object: unknown, given: Set<string> | undefined): ModelProblem | undefined {
    try {
      const { kind, key } = this.#read(object)
      given?.add(`${kind} ${key}`)
      return undefined
    } catch (error) {
      if (!isValidationError(error)) throw error
      const reference = guessReference(object)
      const problem: ModelProblem = { object: reference, reason: 'Invalid', message: error.message, error }
      given?.add(`${reference.kind} ${keyOf(reference)}`)
      this.#problems.refuse(problem)
      return problem
    }
  }

  /** @throws ValidationError before anything has changed */
  #read(object: unknown): { kind: ObjectKind; key: string } {
    if (!isObject(object)) fail('object', object, 'an object')
    const { kind } = object
    switch (kind) {
      case undefined:
      case 'Service': {
        if (kind === undefined && ('metadata' in object || 'spec' in object))
          fail('kind', kind, expectedKinds)
        const record =
          kind === undefined ? readServiceInput(object, this.#rules) : readService(object, this.#rules)
        this.#setService(record.id, record)
        this.#problems.accept('Service', record.id)
        return { kind: 'Service', key: record.id }
      }
      case 'EndpointSlice': {
        const read = readSlice(object)
        this.#setSlice(read.id, read)
        this.#problems.accept(kind, read.id)
        this.#problems.set(kind, read.id, read.conditions)
        return { kind, key: read.id }
      }
      case 'Endpoints': {
        const { service, slices } = readEndpoints(object)
        this.#setEndpoints(service, slices)
        this.#problems.accept(kind, service)
        return { kind, key: service }
      }
      case 'Pod': {
        const pod = readPod(object)
        this.#setPod(pod.id, pod)
        this.#problems.accept(kind, pod.id)
        this.#problems.set(kind, pod.id, pod.conditions)
        return { kind, key: pod.id }
      }
      case 'Node': {
        const node = readNode(object)
        this.#setNode(node.name, node)
        this.#problems.accept(kind, node.name)
        return { kind, key: node.name }
      }
      default:
        fail('kind', kind, expectedKinds)
    }
  }

  #delete(kind: ObjectKind, key: string): void {
    if (kind === 'Service') this.#setService(key, undefined)
    else if (kind === 'EndpointSlice') this.#setSlice(key, undefined)
    else if (kind === 'Endpoints') this.#setEndpoints(key, undefined)
    else if (kind === 'Pod') this.#setPod(key, undefined)
    else this.#setNode(key, undefined)
    this.#problems.accept(kind, key)
    // Those of a service go when it is computed.
    if (kind !== 'Service') this.#problems.set(kind, key, none)
  }

  #setService(id: string, record: ServiceRecord | undefined): void {
    const state = record === undefined ? this.#services.get(id) : this.#stateOf(id)
    if (state === undefined) return
    state.record = record
    this.#pods.setService(id, record)
    this.#touch(state, 'claims')
  }

  #setSlice(id: string, read: ReadSlice | undefined): void {
    const old = this.#slices.get(id)
    const state =
      read?.service === undefined || read.slice === undefined ? undefined : this.#stateOf(read.service)
    if (old !== undefined && old !== state) {
      old.slices = old.slices.filter((slice) => slice.id !== id)
      this.#slices.delete(id)
      this.#touch(old, 'endpoints')
    }
    if (state === undefined || read?.slice === undefined) return
    this.#slices.set(id, state)
    const { slice } = read
    state.slices =
      old === state ? [...state.slices.filter((other) => other.id !== id), slice] : [...state.slices, slice]
    this.#touch(state, 'endpoints')
  }

  #setEndpoints(service: string, slices: SliceRecord[] | undefined): void {
    const state = slices === undefined ? this.#services.get(service) : this.#stateOf(service)
    if (state === undefined) return
    state.endpoints = slices
    this.#touch(state, 'endpoints')
  }

  #setPod(id: string, pod: PodRecord | undefined): void {
    const before = this.#pods.pod(id)
    for (const service of this.#pods.setPod(id, pod)) {
      const state = this.#services.get(service)
      if (state === undefined) continue
      // Where slices are given, a Pod has but its weight to say.
      const isComputed = state.slices.length === 0 && state.endpoints === undefined
      if (isComputed || before?.weight !== pod?.weight) this.#touch(state, 'endpoints')
    }
  }

  #setNode(name: string, node: NodeRecord | undefined): void {
    for (const service of this.#pods.setNode(name, node)) {
      const state = this.#services.get(service)
      if (state !== undefined) this.#touch(state, 'endpoints')
    }
    if (name !== this.#node.name || this.#givenZone !== undefined || node?.zone === this.#node.zone) return
    // This node has moved: that happens once, when its object comes.
    this.#node.zone = node?.zone
    for (const state of this.#services.values()) this.#touch(state, 'endpoints')
  }

  #stateOf(id: string): ServiceState {
    let state = this.#services.get(id)
    if (state === undefined) this.#services.set(id, (state = new ServiceState(id)))
    return state
  }

  /** Nothing is known of it any more, and everybody has heard so. */
  #forget(state: ServiceState): void {
    const { id, record, slices, endpoints, stale } = state
    if (record !== undefined || slices.length > 0 || endpoints !== undefined || stale !== 'nothing') return
    this.#services.delete(id)
  }

  #touch(state: ServiceState, what: Staleness): void {
    if (state.stale === 'nothing') this.#stale.push(state)
    if (staleness[what] > staleness[state.stale]) state.stale = what
    if (state.isTouched) return
    state.isTouched = true
    this.#touched.push(state)
  }

  /** Computes what changed: who holds what, then what is still to be picked, then what is made of it. */
  #settle(): void {
    if (this.#stale.length === 0) return
    this.#claimAll()
    if (this.#waiting.size > 0) this.#pickAll()
    this.#buildAll()
    this.#stale.length = 0
    this.#moment.hasReleased = false
  }

  // Loops over many services stand alone: what V8 compiles of a long one at the first take has never seen what would come after
  // it, and was seen to be entered and left again at every later one.

  #claimAll(): void {
    for (const state of this.#stale) {
      if (state.stale === 'claims') this.#claimAnew(state)
    }
  }

  #claimAnew(state: ServiceState): void {
    const { record } = state
    state.picks = record && this.#allocator.keep(record, state.picks)
    state.unmet = none
    this.#waiting.delete(state)
    this.#claim(state)
    if (record !== undefined && (record.isOwn || record.pool !== undefined)) this.#waiting.add(state)
  }

  /** Those that lose or win something by others' claims came to the end of the list. */
  #buildAll(): void {
    for (const state of this.#stale) this.#build(state)
  }

  #tell(change: Untold): void {
    for (const state of this.#touched.splice(0)) {
      change.services.push(state.id)
      if (state.told !== undefined) compare(state.told, state.virtualServices, change)
      state.told = undefined
      state.isTouched = false
      this.#forget(state)
    }
  }

  /** Says what it claims now, and nothing of what it does not any more. */
  #claim(state: ServiceState): void {
    const { record, picks, effective: before } = state
    const effective = record && withPicks(record, picks)
    state.effective = effective
    const old = before === undefined ? none : frontendKeys(before, this.#allocates)
    const wanted = effective === undefined ? none : frontendKeys(effective, this.#allocates)
    const given = picks === undefined ? undefined : new Set(frontendKeys(record!, this.#allocates))
    const isAged = state.createdAt !== record?.createdAt
    const released = isAged ? old : missing(old, wanted)
    if (released.length > 0) this.#moment.hasReleased = true
    for (const key of released) this.#touchIfAny(this.#claims.remove(key, state))
    const added = isAged ? wanted : missing(wanted, old)
    state.createdAt = record?.createdAt
    for (const key of added)
      this.#touchIfAny(this.#claims.add(key, state, given !== undefined && !given.has(key)))
  }

  #touchIfAny(state: ServiceState | undefined): void {
    if (state !== undefined) this.#touch(state, 'fronts')
  }

  /** In the order of their names, so that the order in which they came does not matter. */
  #pickAll(): void {
    const all = this.#moment.hasReleased
      ? [...this.#waiting]
      : this.#stale.filter((state) => state.stale === 'claims' && this.#waiting.has(state))
    all.sort((a, b) => (a.id < b.id ? -1 : 1))
    for (const state of all) {
      const record = state.record!
      const conditions: Condition[] = []
      const around = {
        holder: (address: string) => this.#claims.holder(address)?.id,
        isFreePort: (port: number, protocol: ServiceProtocol) =>
          !this.#claims.has(nodePortKey(port, protocol)) && this.#isPortTaken(port, protocol) === undefined,
        claims: this.#claims.size,
      }
      const picks = this.#allocator.pick(
        record,
        state.picks,
        this.#recorded.get(state.id),
        around,
        conditions,
      )
      this.#recorded.delete(state.id)
      state.unmet = conditions
      if (conditions.length === 0) this.#waiting.delete(state)
      if (picks === state.picks) continue
      state.picks = picks
      this.#touch(state, 'fronts')
      this.#claim(state)
    }
  }

  #build(state: ServiceState): void {
    if (state.stale !== 'endpoints') this.#setFronts(state)
    state.stale = 'nothing'
    const { effective } = state
    if (effective === undefined) {
      state.inUse = none
      this.#healthChecks.delete(state.id)
      return this.#replace(state, [])
    }
    const slices = this.#slicesOf(state, effective)
    state.inUse = slices
    if (state.healthCheckNodePort !== undefined || this.#healthChecks.has(state.id))
      this.#setHealthCheck(state)
    const weightOf = this.#weightsIn(effective.namespace)
    this.#replace(
      state,
      state.fronts.map((front) => buildVirtualService(effective, front, slices, this.#node, weightOf)),
    )
  }

  #weightsIn(namespace: string): WeightOf {
    const pods = this.#pods
    if (pods.isEmpty) return undefined
    return ({ pod }) => (pod === undefined ? undefined : pods.pod(`${namespace}/${pod}`)?.weight)
  }

  /** Those that a source gives, before what is computed; servers that stand in the service itself come in any case. */
  #slicesOf(state: ServiceState, record: ServiceRecord): readonly SliceRecord[] {
    const given =
      state.slices.length > 0 ? slicesById(state.slices) : (state.endpoints ?? this.#pods.slicesFor(record))
    return record.servers.length === 0 ? given : [...given, ...record.servers]
  }

  /** Who has what, as the service asks that is being computed. */
  readonly #holders: Holders = {
    arePeaceful: () => this.#claims.isPeaceful,
    other: (key) => {
      const holder = this.#claims.holder(key)
      return holder === this.#moment.asking ? undefined : holder?.id
    },
    listener: (port, protocol) => {
      const state = this.#moment.asking!
      const key = nodePortKey(port, protocol)
      if (state.freePorts.includes(key)) return undefined
      const process = this.#moment.knownPorts.includes(key) ? undefined : this.#isPortTaken(port, protocol)
      if (process === undefined) state.freePorts = [...state.freePorts, key]
      return process
    },
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
    const holders = this.#holders
    this.#moment.asking = state
    this.#moment.knownPorts = state.freePorts
    state.freePorts = none
    state.fronts = frontsOf(effective, holders, conditions)
    const { healthCheckNodePort: port } = effective
    if (port !== undefined && holdsNodePort(port, 'tcp', holders, conditions))
      state.healthCheckNodePort = port
    this.#problems.set('Service', state.id, conditions)
  }

  #setHealthCheck({ id, healthCheckNodePort: port, inUse }: ServiceState): void {
    if (port === undefined) {
      this.#healthChecks.delete(id)
      return
    }
    const local = new Set<string>()
    for (const { endpoints } of inUse) {
      for (const { address, ready, node } of endpoints) {
        if (ready && node !== undefined && node === this.#node.name) local.add(address)
      }
    }
    this.#healthChecks.set(id, { service: id, port, localEndpoints: local.size })
  }

  /** Virtual services that are the same stay the very same objects. */
  #replace(state: ServiceState, now: VirtualService[]): void {
    const before = state.virtualServices
    const known = byKey(before)
    let isSame = before.length === now.length
    for (let index = 0; index < now.length; index++) {
      const service = now[index]!
      const old = known?.get(service.key)
      if (old !== undefined && sameVirtualService(old, service)) now[index] = old
      else isSame = false
    }
    if (isSame) return
    state.told ??= before
    state.virtualServices = now
  }

  /** Everything that there is, or that is wrong. */
  #references(): ObjectReference[] {
    const references: ObjectReference[] = []
    for (const { id, record, endpoints } of this.#services.values()) {
      if (record !== undefined) references.push(referenceTo('Service', id))
      if (endpoints !== undefined) references.push(referenceTo('Endpoints', id))
    }
    for (const id of this.#slices.keys()) references.push(referenceTo('EndpointSlice', id))
    for (const id of this.#pods.pods()) references.push(referenceTo('Pod', id))
    for (const name of this.#pods.nodes()) references.push(referenceTo('Node', name))
    return [...references, ...this.#problems.objects()]
  }
}

interface Moment {
  /** Somebody gave something back: those that wait look again. */
  hasReleased: boolean
  /** The service that is being computed, */
  asking: ServiceState | undefined
  /** and node ports that it had before. */
  knownPorts: readonly string[]
}

const expectedKinds = '"Service", "EndpointSlice", "Endpoints", "Pod" or "Node"'

function nobody(): undefined {
  return undefined
}

/** Undefined for none. */
function byKey(services: readonly VirtualService[]): Map<string, VirtualService> | undefined {
  return services.length === 0 ? undefined : new Map(services.map((service) => [service.key, service]))
}

/** A change as it is put together. */
interface Untold {
  readonly upserted: VirtualService[]
  readonly deleted: string[]
  readonly previous: Map<string, VirtualService>
  readonly services: string[]
}

/** Adds what is different now. */
function compare(
  told: readonly VirtualService[],
  now: readonly VirtualService[],
  { upserted, deleted, previous }: Untold,
): void {
  const gone = byKey(told)
  for (const service of now) {
    const before = gone?.get(service.key)
    if (before !== undefined) {
      gone!.delete(service.key)
      if (sameVirtualService(before, service)) continue
      previous.set(service.key, before)
    }
    upserted.push(service)
  }
  if (gone === undefined) return
  for (const [key, before] of gone) {
    deleted.push(key)
    previous.set(key, before)
  }
}

/** What is in the first list and not in the second. */
function missing(from: readonly string[], others: readonly string[]): readonly string[] {
  if (others.length === 0 || from.length === 0) return from
  if (from.length * others.length < 64) return from.filter((key) => !others.includes(key))
  const known = new Set(others)
  return from.filter((key) => !known.has(key))
}

/** What names an object that could not be read, as far as it says. */
function guessReference(object: unknown): ObjectReference {
  const { kind, metadata, ...rest } = isObject(object) ? object : ({} as Loose)
  const named = isObject(metadata) ? metadata : rest
  return {
    kind: isKind(kind) ? kind : 'Service',
    namespace:
      kind === 'Node' ? undefined : typeof named.namespace === 'string' ? named.namespace : 'default',
    name: typeof named.name === 'string' ? named.name : '',
  }
}

function isKind(kind: unknown): kind is ObjectKind {
  return (
    kind === 'Service' ||
    kind === 'EndpointSlice' ||
    kind === 'Endpoints' ||
    kind === 'Pod' ||
    kind === 'Node'
  )
}

/** Services, endpoints, Pods and nodes in; virtual services out, and of those only what changed. */
import { isValidationError } from '../errors/index.js'
import type { AllocateOptions, Allocation } from './allocator.js'
import { Builder, type HealthCheck } from './builder.js'
import { compare, type Untold } from './differences.js'
import { Holdings } from './holdings.js'
import type { ModelObject, ObjectKind, ObjectReference } from './objects.js'
import { PodServers } from './pod-servers.js'
import { type NodeRecord, type PodRecord, readNode, readPod } from './pods.js'
import type { ModelProblem } from './problem.js'
import { keyOf, Problems, referenceTo } from './problems.js'
import { fail, isObject, type Loose } from './reading.js'
import type { ServiceRecord, SliceRecord } from './records.js'
import { ServiceState, type Staleness, staleness } from './service-state.js'
import { readService } from './services.js'
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

/** A Pod, as far as DNS asks for it. */
export interface KnownPod {
  /** `default` where it names none. */
  readonly namespace: string
  /** Of the Pod's object. */
  readonly name: string
  /** In each family one at most; none as long as it has none, and when it will not run again. */
  readonly addresses: readonly string[]
}

/** Services and Pods that anything may have changed of since one asked. */
export interface ModelNews {
  /** By `namespace/name`: those that are gone, too. */
  readonly services: ReadonlySet<string>
  /** By `namespace/name`. */
  readonly pods: ReadonlySet<string>
}

/** One who hears of changes beside who calls `take`: each at his own pace. */
export class ModelFollower implements ModelNews {
  readonly services = new Set<string>()
  readonly pods = new Set<string>()

  /** Whether there is anything to take. */
  get hasNews(): boolean {
    return this.services.size > 0 || this.pods.size > 0
  }
}

/**
 * Keeps what services are to be. It takes objects as they are written, reads them once, and computes again only what a change
 * touches. An object that cannot be meant is refused and told of; what was known of it before stays. Nothing is computed before
 * somebody asks (`take`, `virtualServices`), so that the order of what comes together does not matter.
 */
export class ServiceModel {
  readonly #node: { readonly name: string | undefined; zone: string | undefined }
  readonly #givenZone: string | undefined
  readonly #services = new Map<string, ServiceState>()
  /** Whose each slice is. */
  readonly #slices = new Map<string, ServiceState>()
  readonly #pods: PodServers
  readonly #holdings: Holdings
  readonly #builder: Builder
  readonly #problems = new Problems()
  readonly #stale: ServiceState[] = []
  /** Those that the next `take` tells of. */
  readonly #touched: ServiceState[] = []
  readonly #followers = new Set<ModelFollower>()

  /** @throws ValidationError if a range is none, or an allocation */
  constructor(options: ServiceModelOptions = {}) {
    this.#node = { name: options.nodeName, zone: options.zone }
    this.#givenZone = options.zone
    this.#holdings = new Holdings(options, (state) => this.#touch(state, 'fronts'))
    const services = this.#services
    this.#pods = new PodServers(function* () {
      for (const { record } of services.values()) if (record !== undefined) yield record
    })
    this.#builder = new Builder({
      node: this.#node,
      pods: this.#pods,
      holdings: this.#holdings,
      problems: this.#problems,
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

  /** One of them by its key, or undefined. */
  virtualService(key: string): VirtualService | undefined {
    this.#settle()
    const state = this.#services.get(key.slice(0, key.indexOf(':')))
    return state?.virtualServices.find((service) => service.key === key)
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

  /** One Pod, or undefined. */
  pod(reference: { readonly namespace?: string | undefined; readonly name: string }): KnownPod | undefined {
    const pod = this.#pods.pod(keyOf({ kind: 'Pod', ...reference }))
    if (pod === undefined) return undefined
    const { namespace, name, addresses, isEnded } = pod
    return { namespace, name, addresses: isEnded ? none : addresses }
  }

  /** Begins to tell one more of changes; what there is is told as new. */
  follow(): ModelFollower {
    const follower = new ModelFollower()
    for (const id of this.#services.keys()) follower.services.add(id)
    for (const id of this.#pods.pods()) follower.pods.add(id)
    this.#followers.add(follower)
    return follower
  }

  /** What changed since he asked for the last time; he is told again of what changes from here on. */
  news(follower: ModelFollower): ModelNews {
    this.#settle()
    const news = { services: new Set(follower.services), pods: new Set(follower.pods) }
    follower.services.clear()
    follower.pods.clear()
    return news
  }

  /** Tells one no more. */
  unfollow(follower: ModelFollower): void {
    this.#followers.delete(follower)
  }

  /** Health-check node ports that are to answer. */
  healthChecks(): HealthCheck[] {
    this.#settle()
    return [...this.#builder.healthChecks.values()]
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
          kind === undefined
            ? readServiceInput(object, this.#holdings.rules)
            : readService(object, this.#holdings.rules)
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
    for (const { pods } of this.#followers) pods.add(id)
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
    for (const { services } of this.#followers) services.add(state.id)
    if (state.isTouched) return
    state.isTouched = true
    this.#touched.push(state)
  }

  /** Computes what changed: who holds what, then what is still to be picked, then what is made of it. */
  #settle(): void {
    if (this.#stale.length === 0) return
    this.#claimAll()
    this.#holdings.pick(this.#stale)
    this.#buildAll()
    this.#stale.length = 0
    this.#holdings.settle()
  }

  // Loops over many services stand alone: what V8 compiles of a long one at the first take has never seen what would come after
  // it, and was seen to be entered and left again at every later one.

  #claimAll(): void {
    for (const state of this.#stale) {
      if (state.stale === 'claims') this.#holdings.renew(state)
    }
  }

  /** Those that lose or win something by others' claims came to the end of the list. */
  #buildAll(): void {
    for (const state of this.#stale) this.#builder.build(state)
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

const expectedKinds = '"Service", "EndpointSlice", "Endpoints", "Pod" or "Node"'

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

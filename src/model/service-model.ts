/** Services, endpoints, Pods and nodes in; virtual services out, and of those only what changed. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { isValidationError } from '../errors/index.js'
import { buildVirtualService, portLabel, type ServiceFront, sourceRangesOf } from './build.js'
import { Claims } from './claims.js'
import type { Condition } from './condition.js'
import type { ModelObject, ObjectKind, ObjectReference } from './objects.js'
import { defaultNodePorts } from './port-range.js'
import type { ModelProblem } from './problem.js'
import { fail, isObject, type Loose } from './reading.js'
import type { PortRecord, ServiceRecord, SliceRecord } from './records.js'
import { sameVirtualService } from './same.js'
import { readService, type ServiceRules } from './services.js'
import { readServiceInput } from './shorthand.js'
import { type ReadSlice, readEndpoints, readSlice } from './slices.js'
import { formatEndpoint, type Frontend, type ServiceChange, type VirtualService } from './virtual-service.js'

/** What the model has to know beside its objects. */
export interface ServiceModelOptions {
  /** This node: its endpoints are the local ones. */
  readonly nodeName?: string | undefined
  /** Where this node is, for topology hints; that of the Node object with its name unless said. */
  readonly zone?: string | undefined
}

/** What changed since it was last asked for. */
export interface ModelChange extends ServiceChange {
  /** Virtual services of `upserted` and `deleted` as they were before, by their keys; new ones are not in it. */
  readonly previous: ReadonlyMap<string, VirtualService>
  /** All problems of each object whose problems are others than before. */
  readonly problems: readonly ModelProblem[]
  /** Objects that had problems and have none any more. */
  readonly solved: readonly ObjectReference[]
}

/** One service, and everything that belongs to it. */
class ServiceState {
  record: ServiceRecord | undefined
  createdAt: string | undefined
  /** Given slices, by any order. */
  slices: readonly SliceRecord[] = none
  /** Of an Endpoints object. */
  endpoints: readonly SliceRecord[] | undefined
  /** What it claims of frontends. */
  claims: readonly string[] = none
  fronts: readonly ServiceFront[] = none
  virtualServices: readonly VirtualService[] = none
  /** Whether claims have to be looked at again, or only fronts, or only endpoints. */
  stale: 'nothing' | 'endpoints' | 'fronts' | 'claims' = 'nothing'

  constructor(readonly id: string) {}
}

const none: readonly never[] = []

/**
 * Keeps what services are to be. It takes objects as they are written, reads them once, and computes again only what a change
 * touches. An object that cannot be meant is refused and told of; what was known of it before stays. Nothing is computed before
 * somebody asks (`take`, `virtualServices`), so that the order of what comes together does not matter.
 */
export class ServiceModel {
  readonly #node: { name: string | undefined; zone: string | undefined }
  readonly #rules: ServiceRules
  readonly #services = new Map<string, ServiceState>()
  /** Whose each slice is. */
  readonly #slices = new Map<string, ServiceState>()
  readonly #frontends = new Claims<ServiceState>()
  #stale: ServiceState[] = []
  readonly #problems = new Map<string, ObjectProblems>()
  readonly #changedProblems = new Set<string>()
  /** What virtual services were before, and are now, by key. */
  readonly #changes = new Map<
    string,
    { readonly before: VirtualService | undefined; after: VirtualService | undefined }
  >()

  constructor(options: ServiceModelOptions = {}) {
    this.#node = { name: options.nodeName, zone: options.zone }
    this.#rules = { ownsUnstored: false, nodePorts: defaultNodePorts, isClusterAddress: () => true }
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
    const given = new Set<string>()
    const isEmpty = this.#services.size === 0 && this.#problems.size === 0
    for (const object of objects) this.#upsert(object, given)
    if (isEmpty) return
    for (const reference of this.#references()) {
      const key = keyOf(reference)
      if (!given.has(`${reference.kind} ${key}`)) this.#delete(reference.kind, key)
    }
  }

  /** What changed since the last time. */
  take(): ModelChange {
    this.#settle()
    const upserted: VirtualService[] = []
    const deleted: string[] = []
    const previous = new Map<string, VirtualService>()
    for (const [key, { before, after }] of this.#changes) {
      if (after === undefined) {
        if (before !== undefined) deleted.push(key)
      } else if (before === undefined || !sameVirtualService(before, after)) upserted.push(after)
      else continue
      if (before !== undefined) previous.set(key, before)
    }
    this.#changes.clear()
    const problems: ModelProblem[] = []
    const solved: ObjectReference[] = []
    for (const key of this.#changedProblems) {
      const entry = this.#problems.get(key)
      if (entry === undefined) continue
      problems.push(...problemsOf(entry))
      if (entry.invalid !== undefined || entry.conditions.length > 0) continue
      if (entry.isTold) solved.push(entry.object)
      this.#problems.delete(key)
    }
    for (const key of this.#changedProblems) {
      const entry = this.#problems.get(key)
      if (entry !== undefined) entry.isTold = true
    }
    this.#changedProblems.clear()
    return { upserted, deleted, previous, problems, solved }
  }

  /** All there are. */
  *virtualServices(): IterableIterator<VirtualService> {
    this.#settle()
    for (const { virtualServices } of this.#services.values()) yield* virtualServices
  }

  /** Every problem there is. */
  problems(): ModelProblem[] {
    this.#settle()
    return [...this.#problems.values()].flatMap(problemsOf)
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
      this.#problemsFor(reference).invalid = problem
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
        this.#valid('Service', record.id)
        return { kind: 'Service', key: record.id }
      }
      case 'EndpointSlice': {
        const read = readSlice(object)
        this.#setSlice(read.id, read)
        this.#valid(kind, read.id)
        this.#setConditionsOf({ kind, ...split(read.id) }, read.conditions)
        return { kind, key: read.id }
      }
      case 'Endpoints': {
        const { service, slices } = readEndpoints(object)
        this.#setEndpoints(service, slices)
        this.#valid(kind, service)
        return { kind, key: service }
      }
      default:
        fail('kind', kind, expectedKinds)
    }
  }

  #delete(kind: ObjectKind, key: string): void {
    if (kind === 'Service') this.#setService(key, undefined)
    else if (kind === 'EndpointSlice') this.#setSlice(key, undefined)
    else if (kind === 'Endpoints') this.#setEndpoints(key, undefined)
    this.#valid(kind, key)
    if (kind !== 'Service') this.#setConditionsOf({ kind, ...split(key) }, none)
  }

  #setService(id: string, record: ServiceRecord | undefined): void {
    const state = record === undefined ? this.#services.get(id) : this.#stateOf(id)
    if (state === undefined) return
    state.record = record
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
    // Mostly there is one, and another list costs less than room for more.
    state.slices = state.slices.filter((other) => other.id !== id).concat(slice)
    this.#touch(state, 'endpoints')
  }

  #setEndpoints(service: string, slices: SliceRecord[] | undefined): void {
    const state = slices === undefined ? this.#services.get(service) : this.#stateOf(service)
    if (state === undefined) return
    state.endpoints = slices
    this.#touch(state, 'endpoints')
  }

  #stateOf(id: string): ServiceState {
    let state = this.#services.get(id)
    if (state === undefined) this.#services.set(id, (state = new ServiceState(id)))
    return state
  }

  #touch(state: ServiceState, what: 'endpoints' | 'fronts' | 'claims'): void {
    if (state.stale === 'nothing') this.#stale.push(state)
    if (order[what] > order[state.stale]) state.stale = what
  }

  /** Computes what changed: first who holds what, then what is made of it. */
  #settle(): void {
    if (this.#stale.length === 0) return
    for (const state of this.#stale) if (state.stale === 'claims') this.#claim(state)
    // Those that lose or win something by it came to the end of the list.
    for (const state of this.#stale) this.#build(state)
    this.#stale = []
  }

  #claim(state: ServiceState): void {
    const { record } = state
    const wanted = record === undefined || record.isHeadless ? none : frontendKeys(record)
    const isAged = state.createdAt !== record?.createdAt
    const released = isAged ? state.claims : missing(state.claims, wanted)
    for (const key of released) this.#touchIfAny(this.#frontends.remove(key, state))
    const added = isAged ? wanted : missing(wanted, state.claims)
    state.createdAt = record?.createdAt
    for (const key of added) this.#touchIfAny(this.#frontends.add(key, state))
    state.claims = wanted
  }

  #touchIfAny(state: ServiceState | undefined): void {
    if (state !== undefined) this.#touch(state, 'fronts')
  }

  #build(state: ServiceState): void {
    const { record } = state
    if (state.stale !== 'endpoints') this.#setFronts(state)
    state.stale = 'nothing'
    if (record === undefined) {
      this.#replace(state, [])
      if (state.slices.length === 0 && state.endpoints === undefined) this.#services.delete(state.id)
      return
    }
    const slices = slicesOf(state, record)
    this.#replace(
      state,
      state.fronts.map((front) => buildVirtualService(record, front, slices, this.#node, noWeight)),
    )
  }

  /** Virtual services that are the same stay the very same objects. */
  #replace(state: ServiceState, now: VirtualService[]): void {
    const before = state.virtualServices
    if (before.length === 0 && now.length === 0) return
    const gone = new Map(before.map((service) => [service.key, service]))
    for (let index = 0; index < now.length; index++) {
      const service = now[index]!
      const old = gone.get(service.key)
      gone.delete(service.key)
      if (old !== undefined && sameVirtualService(old, service)) now[index] = old
      else this.#note(service.key, old, service)
    }
    for (const [key, old] of gone) this.#note(key, old, undefined)
    state.virtualServices = now
  }

  #note(key: string, before: VirtualService | undefined, after: VirtualService | undefined): void {
    const change = this.#changes.get(key)
    if (change === undefined) this.#changes.set(key, { before, after })
    else change.after = after
  }

  /** What it is reached at, of all that it claims; what others hold is told. */
  #setFronts(state: ServiceState): void {
    const { record } = state
    state.fronts = none
    if (record === undefined) return this.#setConditions(state, none)
    const conditions: Condition[] = [...record.conditions]
    if (!record.isHeadless) {
      const fronts: ServiceFront[] = []
      for (const family of familiesOf(record)) {
        const sourceRanges = sourceRangesOf(record, family)
        for (const port of record.ports) {
          const frontends = this.#frontendsOf(state, record, port, family, conditions)
          const key = `${record.id}:${portLabel(port)}/${family}`
          if (frontends.length > 0) fronts.push({ key, family, port, frontends, sourceRanges })
        }
      }
      state.fronts = fronts
      if (fronts.length === 0 && record.ports.length > 0 && conditions.length === 0)
        conditions.push(noAddress)
    }
    this.#setConditions(state, conditions)
  }

  #frontendsOf(
    state: ServiceState,
    record: ServiceRecord,
    { port, protocol, nodePort }: PortRecord,
    family: AddressFamily,
    conditions: Condition[],
  ): Frontend[] {
    const frontends: Frontend[] = []
    const add = (kind: 'cluster' | 'external' | 'load-balancer', addresses: readonly string[]) => {
      for (const address of addresses) {
        if (familyOf(address) !== family) continue
        if (frontends.some((other) => other.kind !== 'node-port' && other.address === address)) continue
        const holder = this.#frontends.holder(addressKey(address, port, protocol))
        if (holder === state) frontends.push({ kind, address, port })
        else conditions.push(taken(`${formatEndpoint(address, port)}/${protocol}`, holder))
      }
    }
    add('cluster', record.clusterAddresses)
    add('external', record.externalAddresses)
    add('load-balancer', record.loadBalancerAddresses)
    if (typeof nodePort === 'number') {
      const holder = this.#frontends.holder(nodePortKey(nodePort, protocol))
      if (holder === state) frontends.push({ kind: 'node-port', port: nodePort })
      else conditions.push(taken(`the node port ${nodePort}/${protocol}`, holder))
    }
    return frontends
  }

  #setConditions(state: ServiceState, conditions: readonly Condition[]): void {
    this.#setConditionsOf({ kind: 'Service', ...split(state.id) }, conditions)
  }

  #setConditionsOf(object: ObjectReference, conditions: readonly Condition[]): void {
    if (conditions.length === 0 && !this.#problems.has(`${object.kind} ${keyOf(object)}`)) return
    this.#problemsFor(object).conditions = distinctConditions(conditions)
  }

  /** The entry of an object, which is about to change. */
  #problemsFor(object: ObjectReference): ObjectProblems {
    const key = `${object.kind} ${keyOf(object)}`
    let entry = this.#problems.get(key)
    if (entry === undefined) {
      entry = { object, invalid: undefined, conditions: none, isTold: false }
      this.#problems.set(key, entry)
    }
    this.#changedProblems.add(key)
    return entry
  }

  /** The object is well, or gone. */
  #valid(kind: ObjectKind, key: string): void {
    if (this.#problems.size === 0) return
    const entry = this.#problems.get(`${kind} ${key}`)
    if (entry?.invalid === undefined) return
    this.#problemsFor(entry.object).invalid = undefined
  }

  #references(): ObjectReference[] {
    const references: ObjectReference[] = []
    for (const { id, record, endpoints } of this.#services.values()) {
      if (record !== undefined) references.push({ kind: 'Service', ...split(id) })
      if (endpoints !== undefined) references.push({ kind: 'Endpoints', ...split(id) })
    }
    for (const id of this.#slices.keys()) references.push({ kind: 'EndpointSlice', ...split(id) })
    for (const { object } of this.#problems.values()) references.push(object)
    return references
  }
}

/** What is wrong with one object. */
interface ObjectProblems {
  readonly object: ObjectReference
  invalid: ModelProblem | undefined
  conditions: readonly Condition[]
  /** Whether somebody was told that there is a problem. */
  isTold: boolean
}

function problemsOf({ object, invalid, conditions }: ObjectProblems): ModelProblem[] {
  const problems: ModelProblem[] = conditions.map((condition) => ({ object, ...condition }))
  return invalid === undefined ? problems : [invalid, ...problems]
}

const order = { nothing: 0, endpoints: 1, fronts: 2, claims: 3 } as const
const expectedKinds = '"Service", "EndpointSlice", "Endpoints", "Pod" or "Node"'
const noAddress: Condition = {
  reason: 'NoAddress',
  message: 'it has no address: give it one, or give the model ranges to pick from',
}

function taken(what: string, holder: ServiceState | undefined): Condition {
  return {
    reason: 'AddressTaken',
    message: `${what} is held by the service ${holder?.id ?? 'that was here before'}`,
  }
}

function noWeight(): undefined {
  return undefined
}

function keyOf({ kind, namespace, name }: ObjectReference): string {
  return kind === 'Node' ? name : `${namespace ?? 'default'}/${name}`
}

function split(id: string): { namespace: string; name: string } {
  const slash = id.indexOf('/')
  return { namespace: id.slice(0, slash), name: id.slice(slash + 1) }
}

function addressKey(address: string, port: number, protocol: string): string {
  return `${address} ${port}/${protocol}`
}

function nodePortKey(port: number, protocol: string): string {
  return `${port}/${protocol}`
}

function frontendKeys(record: ServiceRecord): string[] {
  const keys: string[] = []
  for (const { port, protocol, nodePort } of record.ports) {
    for (const address of record.clusterAddresses) keys.push(addressKey(address, port, protocol))
    for (const address of record.externalAddresses) keys.push(addressKey(address, port, protocol))
    for (const address of record.loadBalancerAddresses) keys.push(addressKey(address, port, protocol))
    if (typeof nodePort === 'number') keys.push(nodePortKey(nodePort, protocol))
  }
  return keys
}

/** What is in the first list and not in the second. */
function missing(from: readonly string[], others: readonly string[]): readonly string[] {
  if (others.length === 0 || from.length === 0) return from
  if (from.length * others.length < 64) return from.filter((key) => !others.includes(key))
  const known = new Set(others)
  return from.filter((key) => !known.has(key))
}

/** Kubernetes' services are of the families of their cluster addresses; in the short form, of all their addresses. */
function familiesOf(record: ServiceRecord): readonly AddressFamily[] {
  const { clusterAddresses: cluster } = record
  const all =
    cluster.length > 0 && !record.isShort
      ? cluster
      : [...cluster, ...record.externalAddresses, ...record.loadBalancerAddresses]
  if (all.length === 1) return familyOf(all[0]!) === 'ipv4' ? onlyIPv4 : onlyIPv6
  if (all.length > 0) return [...new Set(all.map(familyOf))].sort()
  return record.families ?? onlyIPv4
}
const onlyIPv4: readonly AddressFamily[] = ['ipv4']
const onlyIPv6: readonly AddressFamily[] = ['ipv6']

/** Those that a source gives, before what is computed; servers that stand in the service itself come in any case. */
function slicesOf(state: ServiceState, record: ServiceRecord): readonly SliceRecord[] {
  const given = state.slices.length > 0 ? bySliceId(state.slices) : (state.endpoints ?? none)
  return record.servers.length === 0 ? given : [...given, ...record.servers]
}

/** In one order, in whatever order they came. */
function bySliceId(slices: readonly SliceRecord[]): readonly SliceRecord[] {
  return slices.length === 1 ? slices : [...slices].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function distinctConditions(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.filter(
    ({ message }, index) => conditions.findIndex((other) => other.message === message) === index,
  )
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

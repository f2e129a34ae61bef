/**
 * Which Pods a service has, and the endpoint slices that follow from it, as Kubernetes' controller makes them. A change of one
 * Pod asks only services that may select it: both sides are found by namespace and label.
 */
import { type AddressFamily, familyOf } from '../address/index.js'
import type { NodeRecord, PodRecord } from './pods.js'
import {
  type EndpointRecord,
  type ServiceRecord,
  type SlicePort,
  type SliceRecord,
  sortEndpoints,
} from './records.js'
import { matches, type Selector } from './selector.js'

const none: readonly never[] = []

export class PodServers {
  readonly #pods = new Map<string, PodRecord>()
  /** By `namespace`, and by `namespace label=value`. */
  readonly #podsBy = new Index<PodRecord>()
  readonly #podsByNode = new Index<PodRecord>()
  readonly #nodes = new Map<string, NodeRecord>()
  readonly #services = new Map<string, ServiceRecord>()
  /** By the most telling thing that each selector asks for. */
  readonly #servicesBy = new Index<string>()
  /** Whether services are indexed: not before there is a Pod, for in a cluster there are mostly none here. */
  #isInUse = false
  readonly #allServices: () => Iterable<ServiceRecord>

  /** @param allServices those there are when the first Pod comes */
  constructor(allServices: () => Iterable<ServiceRecord>) {
    this.#allServices = allServices
  }

  get isEmpty(): boolean {
    return this.#pods.size === 0
  }

  pod(id: string): PodRecord | undefined {
    return this.#pods.get(id)
  }

  pods(): Iterable<string> {
    return this.#pods.keys()
  }

  nodes(): Iterable<string> {
    return this.#nodes.keys()
  }

  zoneOf(node: string | undefined): string | undefined {
    return node === undefined ? undefined : this.#nodes.get(node)?.zone
  }

  /** @returns services that had it or have it now */
  setPod(id: string, pod: PodRecord | undefined): Set<string> {
    const touched = new Set<string>()
    const old = this.#pods.get(id)
    if (!this.#isInUse && pod !== undefined) {
      this.#isInUse = true
      for (const record of this.#allServices()) this.setService(record.id, record)
    }
    if (old !== undefined) {
      for (const key of podKeys(old)) this.#podsBy.delete(key, old)
      this.#podsByNode.delete(old.node ?? '', old)
      this.#pods.delete(id)
      this.#selecting(old, touched)
    }
    if (pod !== undefined) {
      for (const key of podKeys(pod)) this.#podsBy.add(key, pod)
      this.#podsByNode.add(pod.node ?? '', pod)
      this.#pods.set(id, pod)
      this.#selecting(pod, touched)
    }
    return touched
  }

  /** @returns services with Pods on it, if its zone is another one */
  setNode(name: string, node: NodeRecord | undefined): Set<string> {
    const touched = new Set<string>()
    const before = this.#nodes.get(name)?.zone
    if (node === undefined) this.#nodes.delete(name)
    else this.#nodes.set(name, node)
    if (before === node?.zone) return touched
    for (const pod of this.#podsByNode.get(name)) this.#selecting(pod, touched)
    return touched
  }

  setService(id: string, record: ServiceRecord | undefined): void {
    if (!this.#isInUse) return
    const old = this.#services.get(id)
    if (old?.selector !== undefined) {
      for (const key of selectorKeys(old.namespace, old.selector)) this.#servicesBy.delete(key, id)
      this.#services.delete(id)
    }
    if (record?.selector === undefined) return
    for (const key of selectorKeys(record.namespace, record.selector)) this.#servicesBy.add(key, id)
    this.#services.set(id, record)
  }

  #selecting(pod: PodRecord, into: Set<string>): void {
    const ask = (key: string) => {
      for (const id of this.#servicesBy.get(key)) {
        if (matches(this.#services.get(id)!.selector!, pod.labels)) into.add(id)
      }
    }
    for (const key of podKeys(pod)) ask(key)
  }

  /** Slices of one family and the same ports each: named ports may have other numbers from Pod to Pod. */
  slicesFor(record: ServiceRecord): readonly SliceRecord[] {
    const { selector, namespace } = record
    if (selector === undefined || this.#pods.size === 0) return none
    const families = familiesFor(record)
    const groups = new Map<
      string,
      { family: AddressFamily; ports: SlicePort[]; endpoints: EndpointRecord[] }
    >()
    for (const pod of this.#podsFor(namespace, selector)) {
      if (pod.isEnded || pod.addresses.length === 0 || !matches(selector, pod.labels)) continue
      const ports = portsOf(record, pod)
      const portsKey = ports.map(({ name, protocol, port }) => `${name}:${port}/${protocol}`).join()
      for (const family of families) {
        const address = pod.addresses.find((candidate) => familyOf(candidate) === family)
        if (address === undefined) continue
        const key = `${family} ${portsKey}`
        let group = groups.get(key)
        if (group === undefined) groups.set(key, (group = { family, ports, endpoints: [] }))
        group.endpoints.push(this.#endpointOf(record, pod, address))
      }
    }
    const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
    return sorted.map(([, { family, ports, endpoints }], index) => ({
      id: `${record.id}-${family}-${index}`,
      family,
      ports,
      endpoints: sortEndpoints(endpoints),
    }))
  }

  #endpointOf(record: ServiceRecord, pod: PodRecord, address: string): EndpointRecord {
    const { node } = pod
    const zone = this.zoneOf(node)
    const ready = record.publishNotReadyAddresses || (pod.isReady && !pod.isTerminating)
    const { trafficDistribution } = record
    const nearNode = trafficDistribution === 'PreferSameNode'
    const nearZone =
      nearNode || trafficDistribution === 'PreferClose' || trafficDistribution === 'PreferSameZone'
    return {
      address,
      ready,
      serving: pod.isReady,
      terminating: pod.isTerminating,
      node,
      zone,
      hostname: pod.hostname !== undefined && pod.subdomain === record.name ? pod.hostname : undefined,
      zoneHints: nearZone && zone !== undefined ? [zone] : undefined,
      nodeHints: nearNode && node !== undefined ? [node] : undefined,
      weight: pod.weight,
      pod: pod.name,
    }
  }

  /** Few Pods that hold all that the selector matches: the smallest set that one of its equalities names. */
  #podsFor(namespace: string, selector: Selector): Iterable<PodRecord> {
    let best = this.#podsBy.get(namespace)
    for (const { key, operator, values } of selector) {
      if (operator !== 'In' || values.length !== 1) continue
      const pods = this.#podsBy.get(`${namespace} ${key}=${values[0]!}`)
      if (pods.size < best.size) best = pods
    }
    return best
  }
}

/** A service with addresses takes of it what it can use; a headless one is of the families that it asks for. */
function familiesFor(record: ServiceRecord): readonly AddressFamily[] {
  return record.isHeadless && record.families !== undefined ? record.families : both
}
const both: readonly AddressFamily[] = ['ipv4', 'ipv6']

/** Ports that the Pod has: a named one only where a container has it. */
function portsOf(record: ServiceRecord, pod: PodRecord): SlicePort[] {
  const ports: SlicePort[] = []
  for (const { name, protocol, targetPort } of record.ports) {
    const port =
      typeof targetPort === 'number'
        ? targetPort
        : pod.ports.find((other) => other.name === targetPort && other.protocol === protocol)?.port
    if (port !== undefined) ports.push({ name, protocol, port })
  }
  return ports
}

function podKeys({ namespace, labels }: PodRecord): string[] {
  const keys = [namespace]
  for (const key in labels) {
    const value = labels[key]
    if (typeof value === 'string') keys.push(`${namespace} ${key}=${value}`)
  }
  return keys
}

/** Of one equality; without any it has to be asked of every Pod of the namespace. */
function selectorKeys(namespace: string, selector: Selector): string[] {
  let best: readonly string[] | undefined
  let label = ''
  for (const { key, operator, values } of selector) {
    if (operator === 'In' && (best === undefined || values.length < best.length)) {
      best = values
      label = key
    }
  }
  return best === undefined
    ? [namespace]
    : [...new Set(best)].map((value) => `${namespace} ${label}=${value}`)
}

const empty: ReadonlySet<never> = new Set<never>()

/** Sets by key; those that become empty are gone. */
class Index<T> {
  readonly #sets = new Map<string, Set<T>>()

  get(key: string): ReadonlySet<T> {
    return this.#sets.get(key) ?? empty
  }

  add(key: string, item: T): void {
    const set = this.#sets.get(key)
    if (set === undefined) this.#sets.set(key, new Set([item]))
    else set.add(item)
  }

  delete(key: string, item: T): void {
    const set = this.#sets.get(key)
    if (set?.delete(item) && set.size === 0) this.#sets.delete(key)
  }
}

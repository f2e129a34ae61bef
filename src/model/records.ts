/** What the model keeps of objects: only what it needs, read once, with addresses in their one spelling. */
import type { AddressFamily } from '../address/index.js'
import type { Condition } from './condition.js'
import type { Selector } from './selector.js'
import type { ServiceProtocol, TrafficPolicy } from './virtual-service.js'

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'

/** A service as it was read, from Kubernetes' form or from the short one. */
export interface ServiceRecord {
  readonly namespace: string
  readonly name: string
  /** `namespace/name`. */
  readonly id: string
  /** The model gives it what it lacks, and holds it to the model's ranges. Else it was validated elsewhere. */
  readonly isOwn: boolean
  /** It was written in the short form: it may share an address with others, at another port. */
  readonly isShort: boolean
  /** RFC 3339; undefined where nobody says. */
  readonly createdAt: string | undefined
  readonly type: ServiceType
  readonly externalName: string | undefined
  readonly isHeadless: boolean
  /** Those given. */
  readonly clusterAddresses: readonly string[]
  /** Families asked for, the first one first; undefined where nothing says. */
  readonly families: readonly AddressFamily[] | undefined
  /** How many families of cluster addresses it wants: one, both where there are, or both. */
  readonly stack: 'single' | 'prefer-dual' | 'require-dual'
  readonly externalAddresses: readonly string[]
  /** Of the load balancer in front, where it leaves the destination address as it is. */
  readonly loadBalancerAddresses: readonly string[]
  /** The pool to pick a load balancer's address from; `''` for any. */
  readonly pool: string | undefined
  /** Those of the pool that it asks for. */
  readonly poolAddresses: readonly string[]
  readonly ports: readonly PortRecord[]
  /** Node ports that are left out are picked. */
  readonly wantsNodePorts: boolean
  readonly wantsHealthCheck: boolean
  readonly healthCheckNodePort: number | undefined
  readonly internalTrafficPolicy: TrafficPolicy
  readonly externalTrafficPolicy: TrafficPolicy
  readonly affinitySeconds: number | undefined
  readonly scheduler: string | undefined
  readonly sourceRanges: readonly string[] | undefined
  readonly selector: Selector | undefined
  readonly publishNotReadyAddresses: boolean
  readonly trafficDistribution: string | undefined
  /** Servers that were given with it. */
  readonly servers: readonly SliceRecord[]
  /** What of it is not honoured, whatever else there is. */
  readonly conditions: readonly Condition[]
}

export interface PortRecord {
  /** `''` where it has none. */
  readonly name: string
  readonly protocol: ServiceProtocol
  readonly port: number
  /** A number, or the name of a container's port. */
  readonly targetPort: number | string
  /** Undefined for none, `'pick'` for any. */
  readonly nodePort: number | 'pick' | undefined
}

/** Endpoints of one family that have the same ports. */
export interface SliceRecord {
  /** `namespace/name` of the slice. */
  readonly id: string
  readonly family: AddressFamily
  readonly ports: readonly SlicePort[]
  /** Sorted by address, each one once. */
  readonly endpoints: readonly EndpointRecord[]
}

export interface SlicePort {
  readonly name: string
  readonly protocol: ServiceProtocol
  readonly port: number
}

export interface EndpointRecord {
  readonly address: string
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly node: string | undefined
  readonly zone: string | undefined
  readonly hostname: string | undefined
  readonly zoneHints: readonly string[] | undefined
  readonly nodeHints: readonly string[] | undefined
  /** Undefined where nothing says: the Pod may have one. */
  readonly weight: number | undefined
  /** Name of the Pod behind it, in the slice's namespace. */
  readonly pod: string | undefined
}

/** Of two records of one endpoint, the higher one holds. */
export function rank(endpoint: EndpointRecord): number {
  return endpoint.ready ? 2 : endpoint.serving && endpoint.terminating ? 1 : 0
}

/** By address, and of those with the same address the one that can do most. */
export function sortEndpoints(endpoints: EndpointRecord[]): EndpointRecord[] {
  let isSorted = true
  for (let index = 1; index < endpoints.length && isSorted; index++) {
    isSorted = endpoints[index - 1]!.address < endpoints[index]!.address
  }
  if (isSorted) return endpoints
  endpoints.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : rank(b) - rank(a)))
  return endpoints.filter((endpoint, index) => endpoints[index - 1]?.address !== endpoint.address)
}

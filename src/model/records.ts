/** What the model keeps of objects: only what it needs, read once, with addresses in their one spelling. */
import type { AddressFamily } from '../address/index.js'
import type { Condition } from './condition.js'
import type { Selector } from './selector.js'
import type { ServiceProtocol, TrafficPolicy } from './virtual-service.js'

/** What a service is reached by, as Kubernetes has it. */
export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'

/** A service as it was read, from Kubernetes' form or from the short one. */
export interface ServiceRecord {
  /** `default` where it names none. */
  readonly namespace: string
  /** A DNS label. */
  readonly name: string
  /** `namespace/name`. */
  readonly id: string
  /** The model gives it what it lacks, and holds it to the model's ranges. Else it was validated elsewhere. */
  readonly isOwn: boolean
  /** It was written in the short form: it may share an address with others, at another port. */
  readonly isShort: boolean
  /** RFC 3339; undefined where nobody says. */
  readonly createdAt: string | undefined
  /** As Kubernetes names it; in the short form always `ClusterIP`. */
  readonly type: ServiceType
  /** The name that it stands for, of type ExternalName. */
  readonly externalName: string | undefined
  /** It has no address of its own: DNS tells its endpoints, or the name that it stands for. */
  readonly isHeadless: boolean
  /** At most one of each family; those given, and in `KnownService` those picked, too. */
  readonly clusterAddresses: readonly string[]
  /** Families asked for, the first one first; undefined where nothing says. */
  readonly families: readonly AddressFamily[] | undefined
  /** How many families of cluster addresses it wants: one, both where there are, or both. */
  readonly stack: 'single' | 'prefer-dual' | 'require-dual'
  /** `externalIPs`, each one once. */
  readonly externalAddresses: readonly string[]
  /** Of the load balancer in front, where it leaves the destination address as it is. */
  readonly loadBalancerAddresses: readonly string[]
  /** The pool to pick a load balancer's address from; `''` for any. */
  readonly pool: string | undefined
  /** Those of the pool that it asks for. */
  readonly poolAddresses: readonly string[]
  /** In the order in which they are written. */
  readonly ports: readonly PortRecord[]
  /** Node ports that are left out are picked. */
  readonly wantsNodePorts: boolean
  /** A health-check node port is picked if none is given. */
  readonly wantsHealthCheck: boolean
  /** Where health of a service with local traffic from outside is asked for. */
  readonly healthCheckNodePort: number | undefined
  /** For what comes to a cluster address. */
  readonly internalTrafficPolicy: TrafficPolicy
  /** For what comes from outside to other addresses and to node ports. */
  readonly externalTrafficPolicy: TrafficPolicy
  /** How long a client stays with its server; undefined for no affinity. */
  readonly affinitySeconds: number | undefined
  /** As IPVS names it. */
  readonly scheduler: string | undefined
  /** Prefixes of clients at the load balancer's addresses, of both families. */
  readonly sourceRanges: readonly string[] | undefined
  /** Which Pods are its servers. */
  readonly selector: Selector | undefined
  /** Pods count as ready whether they are or not. */
  readonly publishNotReadyAddresses: boolean
  /** Where computed slices get hints: `PreferClose`, `PreferSameZone`, `PreferSameNode`. */
  readonly trafficDistribution: string | undefined
  /** Servers that were given with it. */
  readonly servers: readonly SliceRecord[]
  /** What of it is not honoured, whatever else there is. */
  readonly conditions: readonly Condition[]
}

/** A port of a service. */
export interface PortRecord {
  /** `''` where it has none. */
  readonly name: string
  /** In small letters. */
  readonly protocol: ServiceProtocol
  /** Where clients reach it. */
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
  /** Of all its endpoints. */
  readonly family: AddressFamily
  /** Those that have a number. */
  readonly ports: readonly SlicePort[]
  /** Sorted by address, each one once. */
  readonly endpoints: readonly EndpointRecord[]
}

/** A port of endpoints, for the service's port of the same name and protocol. */
export interface SlicePort {
  /** `''` where it has none. */
  readonly name: string
  /** In small letters. */
  readonly protocol: ServiceProtocol
  /** Where the endpoint listens. */
  readonly port: number
}

/** An endpoint: mostly a Pod. */
export interface EndpointRecord {
  /** In its one spelling. */
  readonly address: string
  /** It may get new connections. */
  readonly ready: boolean
  /** It answers, even if it is about to end. */
  readonly serving: boolean
  /** It is about to end. */
  readonly terminating: boolean
  /** The node that it runs on, if that is known. */
  readonly node: string | undefined
  /** The zone of that node. */
  readonly zone: string | undefined
  /** Its own name below the service's in DNS. */
  readonly hostname: string | undefined
  /** Zones whose nodes should use it. */
  readonly zoneHints: readonly string[] | undefined
  /** Nodes that should use it. */
  readonly nodeHints: readonly string[] | undefined
  /** Share of new connections. Undefined where nothing says: the Pod may have one. */
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

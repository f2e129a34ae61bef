/** What the model takes: Kubernetes' own objects as they are written, and a shorter form of ours. */
import type { Endpoints, Node, Pod, Service } from 'kubernetes-types/core/v1.js'
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js'
import type { SelectorInput } from './selector.js'

/** An object as Kubernetes writes it, with its `kind`. */
export type KubernetesObject =
  | (Service & { readonly kind: 'Service' })
  | (EndpointSlice & { readonly kind: 'EndpointSlice' })
  | (Endpoints & { readonly kind: 'Endpoints' })
  | (Pod & { readonly kind: 'Pod' })
  | (Node & { readonly kind: 'Node' })

/** Kinds of Kubernetes' objects that the model looks at. */
export type ObjectKind = KubernetesObject['kind']

/** A service with its servers, in few words. */
export interface ServiceInput {
  /** A DNS label. */
  readonly name: string
  /** `default` unless said. */
  readonly namespace?: string | undefined
  /**
   * Where clients reach it: one address of a family at most. If left out, one is picked from the model's ranges for each family
   * that it has servers of.
   */
  readonly address?: string | readonly string[] | undefined
  /** More addresses: those of a load balancer in front, or others that packets for it come to. */
  readonly externalAddresses?: readonly string[] | undefined
  /** An address more is picked from the pool of this name. */
  readonly pool?: string | undefined
  /** At least one; a number is a TCP port. */
  readonly ports: readonly (number | ServicePortInput)[]
  /** The servers behind every port, as `10.0.0.1`, `10.0.0.1:8080`, `[fd00::1]:8080` or in more words. */
  readonly servers?: readonly (string | ServerInput)[] | undefined
  /** Pods that are servers, too. One of `servers` and `selector` is needed. */
  readonly selector?: SelectorInput | undefined
  /** As IPVS names it: `rr`, `wrr`, `sh`, `mh`, … */
  readonly scheduler?: string | undefined
  /** How long a client stays with its server after its last new connection; 1 to 86400. */
  readonly affinitySeconds?: number | undefined
  /** Which servers clients inside reach: all, or those of this node; `cluster` unless said. */
  readonly internalTrafficPolicy?: 'cluster' | 'local' | undefined
  /** Which servers clients from outside reach, likewise. With `local` servers see the clients' own addresses. */
  readonly externalTrafficPolicy?: 'cluster' | 'local' | undefined
  /** Prefixes of clients that may reach it at its external addresses. */
  readonly sourceRanges?: readonly string[] | undefined
}

/** A port of a service. */
export interface ServicePortInput {
  /** That clients use. */
  readonly port: number
  /** `tcp` unless said. */
  readonly protocol?: 'tcp' | 'udp' | 'sctp' | undefined
  /** Needed where there are several. */
  readonly name?: string | undefined
  /** The servers' port, or the name of a port of the Pods' containers; the same one unless said. */
  readonly targetPort?: number | string | undefined
  /** On each of the node's addresses; `true` picks one. */
  readonly nodePort?: number | true | undefined
}

/** A server behind a service. */
export interface ServerInput {
  /** IPv4 or IPv6. */
  readonly address: string
  /** Instead of the port's `targetPort`. */
  readonly port?: number | undefined
  /** Share of new connections, 1 unless said, 65535 at most; 0 drains: existing connections stay. */
  readonly weight?: number | undefined
  /** The node that it runs on. */
  readonly node?: string | undefined
}

/** What the model takes. */
export type ModelObject = KubernetesObject | ServiceInput

/** What names an object. A service in the short form is a `Service`, too. */
export interface ObjectReference {
  /** Of what kind it is. */
  readonly kind: ObjectKind
  /** Of nodes there is none. */
  readonly namespace?: string | undefined
  /** Its own. */
  readonly name: string
}

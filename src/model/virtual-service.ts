/** What a dataplane makes of services: a virtual service is one port of a service, in one family of addresses. */
import type { AddressFamily } from '../address/index.js'

/** What ports are of. */
export type ServiceProtocol = 'tcp' | 'udp' | 'sctp'

/** One port of a service in one family, with all addresses that it is reached at and the servers behind it. */
export interface VirtualService {
  /** `namespace/name:port/protocol/family`, where `port` is the port's name, or its number if it has none. */
  readonly key: string
  /** `namespace/name` of the service. */
  readonly service: string
  /** Of its addresses and servers. */
  readonly family: AddressFamily
  /** Of its ports. */
  readonly protocol: ServiceProtocol
  /** Where it is reached. Of two virtual services none has the same one. */
  readonly frontends: readonly Frontend[]
  /** The servers behind it. */
  readonly servers: Servers
  /** Which servers what comes to a cluster address may reach. */
  readonly internalTrafficPolicy: TrafficPolicy
  /** Which servers what comes from outside to other addresses and to node ports may reach. */
  readonly externalTrafficPolicy: TrafficPolicy
  /** How long a client stays with its server after its last new connection. Left out, each connection is by itself. */
  readonly affinitySeconds?: number | undefined
  /** As IPVS names it; the dataplane's own choice if left out. */
  readonly scheduler?: string | undefined
  /** Prefixes of clients that may reach it at its load balancer's addresses. Left out, everybody may. */
  readonly sourceRanges?: readonly string[] | undefined
}

/** Every server; only those of this node. */
export type TrafficPolicy = 'cluster' | 'local'

/** An address and port that clients use. */
export type Frontend =
  | {
      /** `cluster`: for clients inside. The others are for those from outside; source ranges hold for `load-balancer` alone. */
      readonly kind: 'cluster' | 'external' | 'load-balancer'
      /** In its one spelling. */
      readonly address: string
      /** That clients use. */
      readonly port: number
    }
  | {
      /** A port of each of the node's addresses that answer node ports. */
      readonly kind: 'node-port'
      /** That clients use. */
      readonly port: number
    }

/** The servers of a virtual service, by what they are there for. */
export interface Servers {
  /** Those that new connections are given to: ready ones, or where there is none those that still serve while they end. */
  readonly cluster: readonly RealServer[]
  /** The same of this node alone. */
  readonly local: readonly RealServer[]
  /** Those that keep the connections they have, and get no new ones. */
  readonly draining: readonly RealServer[]
  /**
   * Those that are gone without a word: their connections are ended, so that clients need not wait for them. Left out, there are
   * none.
   */
  readonly failed?: readonly RealServer[] | undefined
  /**
   * Whether there is any server that could be reached on some node: where there is, and none that the policy allows, packets
   * are dropped; where there is none at all, clients are refused.
   */
  readonly any: boolean
}

/** A server behind a virtual service. */
export interface RealServer {
  /** IPv4 or IPv6. */
  readonly address: string
  /** That it listens on. */
  readonly port: number
  /** Share of new connections; at least 1. */
  readonly weight: number
  /** Whether it is on this node. Undefined where nothing says on which node it is. */
  readonly isLocal?: boolean | undefined
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** What changed: virtual services as they are to be now, and keys of those that are to go. */
export interface ServiceChange {
  /** New ones, and those that are others than before. */
  readonly upserted: readonly VirtualService[]
  /** Keys of those that are to go. */
  readonly deleted: readonly string[]
}

/** What every dataplane does: desired virtual services in, packets out. */
import type { Condition, ServiceChange, VirtualService } from '../model/index.js'
import type { Netns } from '../net/index.js'

/** The node that a dataplane works on. */
export interface NodeSettings {
  /** Its addresses, the primary one of each family first. Where left out, those of its interfaces. */
  readonly addresses?: readonly string[] | undefined
  /**
   * Prefixes whose addresses are those of Pods. Who is outside of them is masqueraded at cluster addresses; who is inside
   * reaches every server also where the external policy is Local. Without them nobody is told apart: nobody is masqueraded
   * at cluster addresses, and Pods are treated like clients from outside.
   */
  readonly clusterRanges?: readonly string[] | undefined
  /** Prefixes that cluster addresses are of: what goes to one that no service has is dropped. */
  readonly serviceRanges?: readonly string[] | undefined
  /** Prefixes of the node's addresses that answer node ports; its primary addresses unless said. */
  readonly nodePortAddresses?: readonly string[] | undefined
  /**
   * At cluster addresses servers see the node instead of the client, whoever it is. At other addresses nothing changes by it:
   * under the external policy Cluster they do anyhow, under Local they see the client.
   */
  readonly masqueradeAll?: boolean | undefined
}

/** How a dataplane is opened. */
export interface DataplaneOptions {
  /** The network namespace that it works in; the process's own unless said. */
  readonly netns?: Netns | undefined
  /** The node's addresses and ranges. */
  readonly node?: NodeSettings | undefined
  /** What its table, chains and interfaces are called; `viaduct` unless said. Two with different names know nothing of each other. */
  readonly name?: string | undefined
  /**
   * Counts connections where the kernel does not do it by itself (nftables: a counter for each server of each service); false
   * unless said. Changing it at a restart makes the table anew, without a gap.
   */
  readonly statistics?: boolean | undefined
  /** The bit of the packet's (or, with IPVS, the connection's) mark that asks for masquerading; 0x4000 unless said. */
  readonly masqueradeBit?: number | undefined
}

/** What one dataplane can do. */
export interface Capabilities {
  /** Which dataplane it is. */
  readonly kind: DataplaneKind
  /** Names as IPVS has them. */
  readonly schedulers: readonly string[]
  /** Whether connections, packets and bytes are counted. */
  readonly statistics: {
    /** New connections of each server. */
    readonly connections: boolean
    /** Packets and bytes, both ways. */
    readonly packets: boolean
  }
  /** What it cannot do here, and why. */
  readonly missing: readonly Condition[]
}
/** The dataplanes there are. */
export type DataplaneKind = 'nftables' | 'ipvs'

/** What is going to be done, as a value: prints as text. */
export interface DataplanePlan {
  /** How many messages that change something. */
  readonly writes: number
  /** A line for each message. */
  toString(): string
}

/** What came of a change. */
export interface Applied {
  /** How many messages were sent that change something. */
  readonly writes: number
  /** Virtual services that could not be programmed; nothing of them was changed. By their keys. */
  readonly failures: ReadonlyMap<string, Error>
  /** What of a virtual service is not honoured. By their keys; only of those that were in the change. */
  readonly conditions: ReadonlyMap<string, readonly Condition[]>
}

/** A virtual service as it is in the kernel. */
export interface ProgrammedService {
  /** Those that are no cluster addresses are told as `external`, whatever else they were, or as `node-port`. */
  readonly frontends: VirtualService['frontends']
  /** Of its addresses and servers. */
  readonly family: VirtualService['family']
  /** Of its ports. */
  readonly protocol: VirtualService['protocol']
  /** Those that every node's servers are; empty where nothing takes from them. */
  readonly cluster: readonly ProgrammedServer[]
  /** Those of this node alone; the same. */
  readonly local: readonly ProgrammedServer[]
  /** How long a client stays with its server; left out where each connection is by itself. */
  readonly affinitySeconds?: number | undefined
}

/** A server with its share of new connections. */
export interface ProgrammedServer {
  /** IPv4 or IPv6. */
  readonly address: string
  /** That it listens on. */
  readonly port: number
  /** By which shares are reckoned: with nftables the number of its slots. */
  readonly weight: number
}

/** Counted since it was programmed. What the kernel does not count is left out. */
export interface ServiceStatistics {
  /** Of the virtual service. */
  readonly key: string
  /** New connections. */
  readonly connections?: bigint | undefined
  /** From clients. */
  readonly inPackets?: bigint | undefined
  /** To clients. */
  readonly outPackets?: bigint | undefined
  /** From clients. */
  readonly inBytes?: bigint | undefined
  /** To clients. */
  readonly outBytes?: bigint | undefined
  /** The same of each server. */
  readonly servers: readonly ServerStatistics[]
}
/** What one server was given, counted since it was programmed. */
export interface ServerStatistics extends Omit<ServiceStatistics, 'key' | 'servers'> {
  /** IPv4 or IPv6. */
  readonly address: string
  /** That it listens on. */
  readonly port: number
  /** Those that are established now. */
  readonly activeConnections?: number | undefined
}

/** Of a call of a dataplane. */
export interface ApplyOptions {
  /** What was sent before it is aborted stays. */
  readonly signal?: AbortSignal | undefined
}

/** Of a comparison with everything. */
export interface SynchronizeOptions extends ApplyOptions {
  /**
   * What an earlier process programmed, and no call of this one has spoken of yet, stays as it is and goes on forwarding: until
   * a virtual service has one of its frontends, or a call of `synchronize` without this takes away what nobody wants. False
   * unless said.
   */
  readonly keepUnknown?: boolean | undefined
}

/** Keeps virtual services in the kernel of one network namespace. */
export interface Dataplane {
  /** Which dataplane it is. */
  readonly kind: DataplaneKind
  /** Why this one, where it was chosen. */
  readonly chosenBecause?: string | undefined
  /** What it can do on this kernel. */
  readonly capabilities: Capabilities
  /** What `apply` would do, and nothing is done. Before the first `synchronize` what that would do with what is upserted. */
  plan(change: ServiceChange): Promise<DataplanePlan>
  /**
   * Makes the change; what fails holds nobody else up. `synchronize` comes first: it says what there is to change.
   * @throws KernelError if the kernel does not answer; ValidationError before `synchronize`
   */
  apply(change: ServiceChange, options?: ApplyOptions): Promise<Applied>
  /**
   * Reads what is in the kernel, adopts what is as it should be, and changes only what differs: nothing but `services` is
   * left, of what is ours, unless `keepUnknown` says so. Running connections go on.
   */
  synchronize(services: Iterable<VirtualService>, options?: SynchronizeOptions): Promise<Applied>
  /** Looks at what somebody else may have changed since the last call, as far as that is known, and puts it right. */
  repair(options?: ApplyOptions): Promise<Applied>
  /** What is in the kernel now. */
  read(): Promise<ProgrammedService[]>
  /** What it counted; of one virtual service or of all. */
  stats(key?: string): Promise<ServiceStatistics[]>
  /**
   * Tells when somebody else changed what is ours, until it is called off.
   * @returns what calls it off
   */
  watch(changed: () => void): () => void
  /** Closes descriptors; everything goes on forwarding. */
  close(): void
  /** Does what `close` does. */
  [Symbol.asyncDispose](): Promise<void>
  /** Takes away all that is ours, and restores the settings that were changed. Resolves to whether there was anything. */
  teardown(): Promise<boolean>
}

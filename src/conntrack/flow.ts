/** Flows as they are read: the kernel's attributes, with both directions beside each other. */
import type { AddressFamily } from '../address/index.js'
import { hostIsLittleEndian, NLA_HDRLEN, type NameOf, type UnknownAttribute } from '../netlink/index.js'
import { netfilterFamilies, NFGENMSG_BYTES, readHeader } from '../nfnetlink/index.js'
import type { FlowProtocol } from './protocols.js'
import type { Tuple } from './tuple.js'
import {
  conntrack,
  type DccpTracking,
  type FlowCounters,
  type FlowHelper,
  type FlowTimestamps,
  type SctpTracking,
  type sctpState,
  type SequenceAdjustment,
  status,
  type SynproxyState,
  type TcpTracking,
  type tcpState,
  type WireFlow,
} from './wire.js'

/** What became of a flow so far; a bit without a name is `bit-16`. */
export type FlowStatus = NameOf<typeof status>
/** States of TCP's tracker. */
export type TcpState = NameOf<typeof tcpState>
/** States of SCTP's tracker. */
export type SctpState = NameOf<typeof sctpState>

/** Something of each direction. */
export interface BothDirections<T> {
  /** Of the packets that go the way of the first one. */
  readonly original?: T | undefined
  /** Of those that answer. */
  readonly reply?: T | undefined
}

/** An entry of the connection table. */
export interface Flow {
  /** Of its addresses. */
  readonly family: AddressFamily
  /** Of both directions. */
  readonly protocol: FlowProtocol
  /** Packets that go the way of the first one, as they come in. */
  readonly original: Tuple
  /** Packets that answer, as they come in: where addresses are translated it is not the mirror of `original`. */
  readonly reply: Tuple
  /** Flags in the order of the kernel. */
  readonly status: readonly FlowStatus[]
  /** How long it stays without another packet. Left out of flows that a flow table or hardware forwards. */
  readonly timeoutSeconds?: number | undefined
  /** 0 for none. */
  readonly mark: number
  /** Of both directions; 0 for none, or where the directions have one each. */
  readonly zone: number
  /** Tells it from a later flow with the same tuple, though not with certainty: see `Conntrack.delete`. */
  readonly id?: number | undefined
  /** How many parts of the kernel hold it. Left out of events. */
  readonly use?: number | undefined
  /** If the namespace counts (net.netfilter.nf_conntrack_acct). */
  readonly counters?: BothDirections<FlowCounters> | undefined
  /** Of a TCP connection. */
  readonly tcp?: TcpTracking | undefined
  /** Of a DCCP connection. */
  readonly dccp?: DccpTracking | undefined
  /** Of an SCTP association. */
  readonly sctp?: SctpTracking | undefined
  /** Who reads its payload, if anybody does. */
  readonly helper?: FlowHelper | undefined
  /** 128 bits, if a rule uses labels: in words of 64 bits as the host has them. */
  readonly labels?: Uint8Array | undefined
  /** Of an expected flow: the original tuple of the one that announced it. */
  readonly master?: Tuple | undefined
  /** If the namespace keeps them (net.netfilter.nf_conntrack_timestamp). */
  readonly timestamps?: FlowTimestamps | undefined
  /** Where a helper has changed the length of what was sent. */
  readonly sequenceAdjustment?: BothDirections<SequenceAdjustment> | undefined
  /** Behind a SYN proxy. */
  readonly synproxy?: SynproxyState | undefined
  /** Of SELinux and its like. */
  readonly securityContext?: string | undefined
  /** Of an event: when it was, in nanoseconds since 1970, if the namespace keeps timestamps. */
  readonly eventTime?: bigint | undefined
  /** What this version does not know, as it came. */
  readonly unknown?: readonly UnknownAttribute[] | undefined
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const noStatus: readonly never[] = Object.freeze([])

/** Reads the payload of a message about a flow. */
export function readFlow(bytes: Uint8Array, view: DataView, offset: number, end: number): Flow {
  return flowOf(
    readHeader(view, offset).family,
    conntrack.decode(bytes, view, offset + NFGENMSG_BYTES, end) as WireFlow,
  )
}

/** `NFPROTO_*`; the kernel tracks no other family. */
export function familyOfNumber(number: number): AddressFamily {
  return number === netfilterFamilies.ip6 ? 'ipv6' : 'ipv4'
}

function flowOf(family: number, wire: WireFlow): Flow {
  const { original, reply, protocolInfo } = wire
  // One literal for what nearly every flow has: it gets its shape and size from the start.
  const flow: Mutable<Flow> = {
    family: familyOfNumber(family),
    protocol: original.protocol,
    original,
    reply,
    status: wire.status ?? noStatus,
    timeoutSeconds: wire.timeoutSeconds,
    mark: wire.mark ?? 0,
    zone: wire.zone ?? 0,
    id: wire.id,
    use: wire.use,
  }
  if (wire.countersOriginal !== undefined) {
    flow.counters = { original: wire.countersOriginal, reply: wire.countersReply }
  }
  if (protocolInfo !== undefined) {
    if (protocolInfo.tcp !== undefined) flow.tcp = protocolInfo.tcp
    if (protocolInfo.sctp !== undefined) flow.sctp = protocolInfo.sctp
    if (protocolInfo.dccp !== undefined) flow.dccp = protocolInfo.dccp
  }
  if (wire.helper !== undefined) flow.helper = wire.helper
  if (wire.labels !== undefined) flow.labels = wire.labels
  if (wire.master !== undefined) flow.master = wire.master
  if (wire.timestamps !== undefined) flow.timestamps = wire.timestamps
  if (wire.sequenceAdjustmentOriginal !== undefined || wire.sequenceAdjustmentReply !== undefined) {
    flow.sequenceAdjustment = {
      original: wire.sequenceAdjustmentOriginal,
      reply: wire.sequenceAdjustmentReply,
    }
  }
  if (wire.synproxy !== undefined) flow.synproxy = wire.synproxy
  if (wire.securityContext?.name !== undefined) flow.securityContext = wire.securityContext.name
  if (wire.eventTime !== undefined) flow.eventTime = wire.eventTime
  if (wire.unknown !== undefined) flow.unknown = wire.unknown
  return flow
}

/** The zone that a flow is looked up in by its original tuple. */
export function zoneOf({ zone, original }: Flow): number {
  return original.zone ?? zone
}

/**
 * Entries of one dump, each once. The kernel goes on behind the last entry that it told; if that is gone it begins the
 * chain anew (ctnetlink_dump_table), so that others come twice. Ids are 32 bits and may be shared by different flows:
 * the first tuple is looked at too.
 */
export class Distinct {
  readonly #tuples = new Map<number, number>()
  readonly #others = new Set<string>()

  isNew({ id }: Flow, view: DataView, offset: number): boolean {
    if (id === undefined) return true
    const tuple = hashOfTuple(view, offset + NFGENMSG_BYTES)
    // Small integers are cheap keys.
    const known = this.#tuples.get(id | 0)
    if (known === undefined) {
      this.#tuples.set(id | 0, tuple)
      return true
    }
    if (known === tuple) return false
    const before = this.#others.size
    return this.#others.add(`${id} ${tuple}`).size > before
  }
}

/** Of the first attribute, which is the original tuple. */
function hashOfTuple(view: DataView, offset: number): number {
  const end = offset + view.getUint16(offset, hostIsLittleEndian)
  let hash = 0x811c9dc5
  for (let at = offset + NLA_HDRLEN; at + 4 <= end; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at, true), 0x01000193)
    hash ^= hash >>> 15
  }
  return hash
}

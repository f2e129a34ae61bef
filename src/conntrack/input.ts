/** What callers give, as the kernel wants it. What cannot be meant is refused here, before anything is sent. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { isObject } from '../netlink/index.js'
import type { NetfilterFamily } from '../nfnetlink/index.js'
import { type BothDirections, type Flow, type FlowStatus, zoneOf } from './flow.js'
import { familyOfTuple, flatPath, type Tuple } from './tuple.js'
import type {
  DccpTrackingInput,
  FlowHelperInput,
  SctpTrackingInput,
  SequenceAdjustmentInput,
  SynproxyStateInput,
  TcpTrackingInput,
  WireFlowInput,
} from './wire.js'

/** What addresses and ports are translated to. */
export interface NatInput {
  /** The address, or the first one of a range. */
  readonly address: string
  /** The last one of the range. */
  readonly lastAddress?: string | undefined
  /** The port, or the first one of a range; as it is unless said. */
  readonly port?: number | undefined
  /** The last one of the range. */
  readonly lastPort?: number | undefined
}

/** What can be changed about a flow. What is left out stays as it is. */
export interface FlowChanges {
  /** How long it stays without another packet. */
  readonly timeoutSeconds?: number | undefined
  /** 0 for none. */
  readonly mark?: number | undefined
  /** Which bits of the mark are changed; all of them unless said. */
  readonly markMask?: number | undefined
  /** Flags to set; the kernel clears none. `assured`, `seen-reply` and `fixed-timeout` are what can be set. */
  readonly status?: readonly FlowStatus[] | undefined
  /** 4 to 16 bytes, in fours; takes a rule that uses labels (ENOSPC). */
  readonly labels?: Uint8Array | undefined
  /** Which bits of the labels are changed; all of them unless said. */
  readonly labelsMask?: Uint8Array | undefined
  /** Of a flow that has one: its data, or an empty name to take it away. */
  readonly helper?: FlowHelperInput | undefined
  /** Of a TCP connection. */
  readonly tcp?: TcpTrackingInput | undefined
  /** Of a DCCP connection. */
  readonly dccp?: DccpTrackingInput | undefined
  /** Of an SCTP association. */
  readonly sctp?: SctpTrackingInput | undefined
  /** Of flows that helpers may change the length of. */
  readonly sequenceAdjustment?: BothDirections<SequenceAdjustmentInput> | undefined
  /** Of flows behind a SYN proxy. */
  readonly synproxy?: SynproxyStateInput | undefined
}

/** A flow to be made. */
export interface FlowInput extends FlowChanges {
  /** Packets that go the way of the first one. */
  readonly original: Tuple
  /** Packets that answer; the mirror of `original` unless said. */
  readonly reply?: Tuple | undefined
  /** How long it stays without another packet. */
  readonly timeoutSeconds: number
  /** Of both directions. One direction's own stands in its tuple. */
  readonly zone?: number | undefined
  /** The original tuple of the flow that announced it. */
  readonly master?: Tuple | undefined
  /** What the source becomes; `reply` is then told by the kernel. */
  readonly sourceNat?: NatInput | undefined
  /** What the destination becomes. */
  readonly destinationNat?: NatInput | undefined
}

/** A flow by either of its tuples, whose `zone` is where it is looked for; or one that was read. */
export type FlowKey = Tuple | Flow

/** Which packets a message is about, for its header. */
export function netfilterFamilyOf(family: AddressFamily | undefined): NetfilterFamily {
  if (family === undefined) return 'unspecified'
  return family === 'ipv4' ? 'ip' : 'ip6'
}

/** A message's family and attributes, and what an error about it names. */
export interface Prepared<Record = WireFlowInput> {
  readonly family: NetfilterFamily
  readonly record: Record
  readonly object: object
}

/** What the kernel finds a flow by. */
export function keyOf(key: FlowKey): Prepared {
  if (isFlow(key)) {
    const { family, original, id } = key
    const zone = zoneOf(key)
    return {
      family: netfilterFamilyOf(family),
      record: {
        original: original.zone === undefined ? original : { ...original, zone: undefined },
        zone,
        id,
      },
      object: nameOf(original, zone),
    }
  }
  const { zone, ...original } = checkedTuple(key, 'flow')
  return {
    family: netfilterFamilyOf(familyOfTuple(original)),
    record: { original, zone },
    object: nameOf(original, zone),
  }
}

/** A flow to be made. */
export function newFlow(input: FlowInput): Prepared {
  if (!isObject(input)) throw new ValidationError('flow', input, 'an object')
  const original = checkedTuple(input.original, 'flow.original')
  const reply = input.reply === undefined ? mirrored(original) : checkedTuple(input.reply, 'flow.reply')
  if (input.timeoutSeconds === undefined) {
    throw new ValidationError('flow.timeoutSeconds', undefined, 'seconds: a flow ends by itself')
  }
  const { zone, master } = input
  return {
    family: netfilterFamilyOf(familyOfTuple(original)),
    record: Object.assign(wireChanges(input, []), {
      original,
      reply,
      zone,
      master: master && checkedTuple(master, 'flow.master'),
      sourceNat: wireNat(input.sourceNat, 'flow.sourceNat'),
      destinationNat: wireNat(input.destinationNat, 'flow.destinationNat'),
    }),
    object: nameOf(original, zone),
  }
}

/** A change of a flow. */
export function changedFlow(key: FlowKey, changes: FlowChanges): Prepared {
  const { family, record, object } = keyOf(key)
  return {
    family,
    // The kernel does not compare the id of a flow to be changed (ctnetlink_new_conntrack).
    record: { ...wireChanges(changes, isFlow(key) ? key.status : []), ...record, id: undefined },
    object,
  }
}

/**
 * The kernel wants the flags as they shall be, and refuses those that would take one away (EBUSY); entries that can be
 * found are confirmed.
 */
function wireChanges(changes: FlowChanges, current: readonly FlowStatus[]): WireFlowInput {
  const { status, tcp, dccp, sctp, sequenceAdjustment } = changes
  const protocolInfo = tcp ?? dccp ?? sctp
  return {
    timeoutSeconds: changes.timeoutSeconds,
    mark: changes.mark,
    markMask: changes.markMask,
    status: status === undefined ? undefined : allOf(['confirmed', ...current], status),
    labels: changes.labels,
    labelsMask: changes.labelsMask,
    helper: changes.helper,
    protocolInfo: protocolInfo === undefined ? undefined : { tcp, dccp, sctp },
    sequenceAdjustmentOriginal: sequenceAdjustment?.original,
    sequenceAdjustmentReply: sequenceAdjustment?.reply,
    synproxy: changes.synproxy,
  }
}

/** What is no list is refused by the codec, with its path. */
function allOf(some: readonly FlowStatus[], more: readonly FlowStatus[]): readonly FlowStatus[] {
  return Array.isArray(more) ? [...some, ...(more as readonly FlowStatus[])] : more
}

function wireNat(nat: NatInput | undefined, path: string): WireFlowInput['sourceNat'] {
  if (nat === undefined) return undefined
  const { address, lastAddress, port, lastPort } = isObject(nat) ? nat : ({} as Partial<NatInput>)
  if (typeof address !== 'string') throw new ValidationError(`${path}.address`, address, anAddress)
  return {
    ...(familyOf(address) === 'ipv4'
      ? { firstIPv4: address, lastIPv4: lastAddress }
      : { firstIPv6: address, lastIPv6: lastAddress }),
    ports: port === undefined ? undefined : { first: port, last: lastPort },
  }
}

/** The path that the caller knows. */
export function callersPath(path: string): string {
  return `flow.${flatPath(path)
    .replace(/^protocolInfo\./, '')
    .replace(
      /^sequenceAdjustment(Original|Reply)/,
      (_, which: string) => `sequenceAdjustment.${which.toLowerCase()}`,
    )
    .replace(/^((?:source|destination)Nat)\.firstIPv[46]/, '$1.address')
    .replace(/^((?:source|destination)Nat)\.lastIPv[46]/, '$1.lastAddress')
    .replace(/^((?:source|destination)Nat)\.ports\.first/, '$1.port')
    .replace(/^((?:source|destination)Nat)\.ports\.last/, '$1.lastPort')}`
}

export function isFlow(key: FlowKey): key is Flow {
  return isObject(key) && 'original' in key
}

const anAddress = 'an IPv4 or IPv6 address as text'

/** What the kernel answers with a bare EINVAL to. */
export function checkedTuple(tuple: Tuple, path: string): Tuple {
  if (!isObject(tuple)) throw new ValidationError(path, tuple, 'a tuple')
  const { protocol, source, destination } = tuple
  if (typeof source !== 'string') throw new ValidationError(`${path}.source`, source, anAddress)
  if (typeof destination !== 'string')
    throw new ValidationError(`${path}.destination`, destination, anAddress)
  if (protocol === undefined)
    throw new ValidationError(`${path}.protocol`, protocol, "a protocol such as 'tcp'")
  return tuple
}

/** ICMP messages that are asked and answered, by their types. */
const icmpAnswers: Readonly<Record<string, ReadonlyMap<number, number>>> = {
  icmp: pairs([8, 0], [13, 14], [15, 16], [17, 18]),
  icmpv6: pairs([128, 129], [139, 140]),
}

function pairs(...list: readonly (readonly [number, number])[]): ReadonlyMap<number, number> {
  return new Map(list.flatMap(([one, other]) => [[one, other] as const, [other, one] as const]))
}

/** The tuple of the packets that answer, where nothing is translated. */
export function mirrored(tuple: Tuple): Tuple {
  const { protocol, source, destination, sourcePort, destinationPort, icmpType } = tuple
  return {
    ...tuple,
    protocol,
    source: destination,
    destination: source,
    sourcePort: destinationPort,
    destinationPort: sourcePort,
    icmpType: icmpType === undefined ? undefined : (icmpAnswers[protocol]?.get(icmpType) ?? icmpType),
    zone: undefined,
  }
}

/** A tuple as an error names it. */
function nameOf(
  { protocol, source, sourcePort, destination, destinationPort }: Tuple,
  zone?: number,
): object {
  return {
    protocol,
    source,
    sourcePort,
    destination,
    destinationPort,
    zone: zone === 0 ? undefined : zone,
  }
}

/**
 * Connection tracking over netlink: every attribute, once. Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h,
 * nf_conntrack_common.h, nf_conntrack_tcp.h, nf_conntrack_sctp.h. Numbers are in network order.
 */
import {
  attribute,
  attributeTable,
  be16,
  be32,
  be64,
  bits,
  bytesOf,
  type Decoded,
  type Encodable,
  field,
  ipv4Address,
  ipv6Address,
  named,
  nested,
  nulString,
  pad,
  readOnly,
  repeated,
  sbe32,
  structure,
  u32,
  u8,
} from '../netlink/index.js'
import { protocol } from './protocols.js'
import { shared } from './shared.js'
import { tuple } from './tuple.js'

/** `IPCTNL_MSG_CT_*`. */
export const message = {
  new: 0,
  get: 1,
  delete: 2,
  getStatisticsOfCpus: 4,
  getStatistics: 5,
} as const

/** `IPCTNL_MSG_EXP_*`. */
export const expectationMessage = { new: 0, get: 1, delete: 2, getStatisticsOfCpus: 3 } as const

/** `IPS_*`: what became of a flow so far. */
export const status = shared(
  bits(be32, {
    expected: 1,
    'seen-reply': 2,
    assured: 4,
    confirmed: 8,
    'source-nat': 0x10,
    'destination-nat': 0x20,
    'sequence-adjusted': 0x40,
    'source-nat-done': 0x80,
    'destination-nat-done': 0x100,
    dying: 0x200,
    'fixed-timeout': 0x400,
    template: 0x800,
    untracked: 0x1000,
    helper: 0x2000,
    offloaded: 0x4000,
    'offloaded-to-hardware': 0x8000,
  }),
)

/** `TCP_CONNTRACK_*`. */
export const tcpState = named(u8, {
  none: 0,
  'syn-sent': 1,
  'syn-received': 2,
  established: 3,
  'fin-wait': 4,
  'close-wait': 5,
  'last-ack': 6,
  'time-wait': 7,
  close: 8,
  'syn-sent-both': 9,
})

/** `IP_CT_TCP_FLAG_*`: what the tracker saw of one direction. */
const tcpFlag = bits(u8, {
  'window-scale': 1,
  'selective-acknowledgement': 2,
  'closed-first': 4,
  liberal: 8,
  'unacknowledged-data': 0x10,
  'maximum-acknowledged': 0x20,
  'challenge-expected': 0x40,
  'simultaneous-open': 0x80,
})

const tcpFlags = structure('struct nf_ct_tcp_flags', 2, {
  /** Those that are set. */
  flags: field(0, 'flags', tcpFlag),
  /** Those that a change is about; empty when read. */
  mask: field(1, 'mask', tcpFlag),
})

/** `SCTP_CONNTRACK_*`. */
export const sctpState = named(u8, {
  none: 0,
  closed: 1,
  'cookie-wait': 2,
  'cookie-echoed': 3,
  established: 4,
  'shutdown-sent': 5,
  'shutdown-received': 6,
  'shutdown-acknowledgement-sent': 7,
  'heartbeat-sent': 8,
  'heartbeat-acknowledged': 9,
})

const tcp = attributeTable('CTA_PROTOINFO_TCP', {
  /** `established`, … */
  state: attribute(1, 'CTA_PROTOINFO_TCP_STATE', tcpState),
  /** The shift of the window, as the end that began announced it. */
  windowScaleOriginal: attribute(2, 'CTA_PROTOINFO_TCP_WSCALE_ORIGINAL', u8),
  /** The same of the other end. Changed together, and if both ends have the flag. */
  windowScaleReply: attribute(3, 'CTA_PROTOINFO_TCP_WSCALE_REPLY', u8),
  /** What was seen of the end that began. */
  flagsOriginal: attribute(4, 'CTA_PROTOINFO_TCP_FLAGS_ORIGINAL', tcpFlags),
  /** The same of the other end. */
  flagsReply: attribute(5, 'CTA_PROTOINFO_TCP_FLAGS_REPLY', tcpFlags),
})
/** How far a TCP connection is, as the tracker sees it. */
export interface TcpTracking extends Decoded<typeof tcp> {}
/** The same, as it may be given. */
export interface TcpTrackingInput extends Encodable<typeof tcp> {}

const dccp = attributeTable('CTA_PROTOINFO_DCCP', {
  /** `CT_DCCP_*`, of a header that programs do not get. */
  state: attribute(1, 'CTA_PROTOINFO_DCCP_STATE', u8),
  role: attribute(2, 'CTA_PROTOINFO_DCCP_ROLE', u8),
  handshakeSequence: attribute(3, 'CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ', be64),
  padding: readOnly(4, 'CTA_PROTOINFO_DCCP_PAD', pad),
})
/** How far a DCCP connection is. */
export interface DccpTracking extends Decoded<typeof dccp> {}
/** The same, as it may be given. */
export interface DccpTrackingInput extends Encodable<typeof dccp> {}

const sctp = attributeTable('CTA_PROTOINFO_SCTP', {
  /** `established`, … */
  state: attribute(1, 'CTA_PROTOINFO_SCTP_STATE', sctpState),
  /** As packets of this direction carry it. All three are given together. */
  verificationTagOriginal: attribute(2, 'CTA_PROTOINFO_SCTP_VTAG_ORIGINAL', be32),
  /** The same of the other direction. */
  verificationTagReply: attribute(3, 'CTA_PROTOINFO_SCTP_VTAG_REPLY', be32),
})
/** How far an SCTP association is. */
export interface SctpTracking extends Decoded<typeof sctp> {}
/** The same, as it may be given. */
export interface SctpTrackingInput extends Encodable<typeof sctp> {}

const protocolInfo = attributeTable('CTA_PROTOINFO', {
  tcp: attribute(1, 'CTA_PROTOINFO_TCP', nested(tcp)),
  dccp: attribute(2, 'CTA_PROTOINFO_DCCP', nested(dccp)),
  sctp: attribute(3, 'CTA_PROTOINFO_SCTP', nested(sctp)),
})

const counters = attributeTable('CTA_COUNTERS', {
  packets: readOnly(1, 'CTA_COUNTERS_PACKETS', be64, { always: true }),
  bytes: readOnly(2, 'CTA_COUNTERS_BYTES', be64, { always: true }),
  padding: readOnly(5, 'CTA_COUNTERS_PAD', pad),
})
/** What went in one direction. */
export interface FlowCounters extends Decoded<typeof counters> {}

const timestamps = attributeTable('CTA_TIMESTAMP', {
  /** In nanoseconds since 1970. */
  start: readOnly(1, 'CTA_TIMESTAMP_START', be64),
  /** The same, of a flow that ended. */
  stop: readOnly(2, 'CTA_TIMESTAMP_STOP', be64),
  padding: readOnly(3, 'CTA_TIMESTAMP_PAD', pad),
})
/** When a flow began and ended, by the clock of the machine. */
export interface FlowTimestamps extends Decoded<typeof timestamps> {}

const helper = attributeTable('CTA_HELP', {
  /** NF_CT_HELPER_NAME_LEN is 16 with the NUL. Empty takes the helper away. */
  name: attribute(1, 'CTA_HELP_NAME', nulString(15, 0)),
  /** What a helper in user space keeps with the flow. */
  info: attribute(2, 'CTA_HELP_INFO', bytesOf()),
})
/** Who reads the flow's payload for further connections: `{ name: 'ftp' }`. */
export interface FlowHelper extends Decoded<typeof helper> {}
/** The same, as it may be given. */
export interface FlowHelperInput extends Encodable<typeof helper> {}

const natPorts = attributeTable('CTA_PROTONAT', {
  first: attribute(1, 'CTA_PROTONAT_PORT_MIN', be16),
  last: attribute(2, 'CTA_PROTONAT_PORT_MAX', be16),
})

const nat = attributeTable('CTA_NAT', {
  firstIPv4: attribute(1, 'CTA_NAT_V4_MINIP', ipv4Address),
  lastIPv4: attribute(2, 'CTA_NAT_V4_MAXIP', ipv4Address),
  ports: attribute(3, 'CTA_NAT_PROTO', nested(natPorts)),
  firstIPv6: attribute(4, 'CTA_NAT_V6_MINIP', ipv6Address),
  lastIPv6: attribute(5, 'CTA_NAT_V6_MAXIP', ipv6Address),
})

const sequenceAdjustment = attributeTable('CTA_SEQADJ', {
  /** The sequence number from which the second offset holds. */
  position: attribute(1, 'CTA_SEQADJ_CORRECTION_POS', be32),
  offsetBefore: attribute(2, 'CTA_SEQADJ_OFFSET_BEFORE', sbe32),
  offsetAfter: attribute(3, 'CTA_SEQADJ_OFFSET_AFTER', sbe32),
})
/** By how much TCP's sequence numbers of one direction are shifted. */
export interface SequenceAdjustment extends Decoded<typeof sequenceAdjustment> {}
/** The same, as it may be given: all three. */
export interface SequenceAdjustmentInput extends Encodable<typeof sequenceAdjustment> {}

const synproxy = attributeTable('CTA_SYNPROXY', {
  initialSequence: attribute(1, 'CTA_SYNPROXY_ISN', be32),
  initialTimestamp: attribute(2, 'CTA_SYNPROXY_ITS', be32),
  timestampOffset: attribute(3, 'CTA_SYNPROXY_TSOFF', be32),
})
/** What a SYN proxy keeps with the flow. */
export interface SynproxyState extends Decoded<typeof synproxy> {}
/** The same, as it may be given: all three. */
export interface SynproxyStateInput extends Encodable<typeof synproxy> {}

const securityContext = attributeTable('CTA_SECCTX', {
  name: readOnly(1, 'CTA_SECCTX_NAME', nulString(4095, 0)),
})

/** `CTA_FILTER_F_*` of net/netfilter/nf_internals.h: which members of a tuple the kernel looks at. */
const filterFlags = bits(u32, {
  source: 1,
  destination: 2,
  'protocol-number': 8,
  'source-port': 0x10,
  'destination-port': 0x20,
})

/** By which of a tuple's members the kernel chooses. */
export const filter = attributeTable('CTA_FILTER', {
  original: attribute(1, 'CTA_FILTER_ORIG_FLAGS', filterFlags),
  reply: attribute(2, 'CTA_FILTER_REPLY_FLAGS', filterFlags),
})
export type FilterFlag = NonNullable<Encodable<typeof filter>['original']>[number]

/** Multiples of 4 up to NF_CT_LABELS_MAX_SIZE, 16. */
const labels = bytesOf(4)

/** `CTA_*`: a flow. */
export const conntrack = attributeTable('CTA', {
  original: attribute(1, 'CTA_TUPLE_ORIG', tuple, { always: true }),
  reply: attribute(2, 'CTA_TUPLE_REPLY', tuple, { always: true }),
  status: attribute(3, 'CTA_STATUS', status),
  protocolInfo: attribute(4, 'CTA_PROTOINFO', repeated(nested(protocolInfo))),
  helper: attribute(5, 'CTA_HELP', nested(helper)),
  /** Of new flows; the kernel never tells it. */
  sourceNat: attribute(6, 'CTA_NAT_SRC', nested(nat)),
  timeoutSeconds: attribute(7, 'CTA_TIMEOUT', be32),
  mark: attribute(8, 'CTA_MARK', be32),
  countersOriginal: readOnly(9, 'CTA_COUNTERS_ORIG', repeated(nested(counters))),
  countersReply: readOnly(10, 'CTA_COUNTERS_REPLY', repeated(nested(counters))),
  use: readOnly(11, 'CTA_USE', be32),
  id: attribute(12, 'CTA_ID', be32),
  destinationNat: attribute(13, 'CTA_NAT_DST', nested(nat)),
  master: attribute(14, 'CTA_TUPLE_MASTER', tuple),
  sequenceAdjustmentOriginal: attribute(15, 'CTA_SEQ_ADJ_ORIG', nested(sequenceAdjustment)),
  sequenceAdjustmentReply: attribute(16, 'CTA_SEQ_ADJ_REPLY', nested(sequenceAdjustment)),
  zone: attribute(18, 'CTA_ZONE', be16),
  securityContext: readOnly(19, 'CTA_SECCTX', nested(securityContext)),
  timestamps: readOnly(20, 'CTA_TIMESTAMP', nested(timestamps)),
  markMask: attribute(21, 'CTA_MARK_MASK', be32),
  labels: attribute(22, 'CTA_LABELS', labels),
  labelsMask: attribute(23, 'CTA_LABELS_MASK', labels),
  synproxy: attribute(24, 'CTA_SYNPROXY', nested(synproxy)),
  filter: attribute(25, 'CTA_FILTER', nested(filter), { since: '5.8' }),
  statusMask: attribute(26, 'CTA_STATUS_MASK', status, { since: '5.15' }),
  /** Of an event: when it was, in nanoseconds since 1970. */
  eventTime: readOnly(27, 'CTA_TIMESTAMP_EVENT', be64, { since: '6.14' }),
})
export type WireFlow = Decoded<typeof conntrack>
export type WireFlowInput = Encodable<typeof conntrack>

/** `NF_CT_EXPECT_*`. */
export const expectationFlags = bits(be32, { permanent: 1, inactive: 2, userspace: 4 })

/** `IP_CT_DIR_*`. */
export const direction = named(be32, { original: 0, reply: 1 })

const expectationNat = attributeTable('CTA_EXPECT_NAT', {
  /** Of the expected flow: the one in which its destination is put back. */
  direction: attribute(1, 'CTA_EXPECT_NAT_DIR', direction),
  /** Its source is what is put in. */
  tuple: attribute(2, 'CTA_EXPECT_NAT_TUPLE', tuple),
})
/** How an expected flow is to be translated. */
export interface ExpectationNat extends Decoded<typeof expectationNat> {}
/** The same, as it may be given. */
export interface ExpectationNatInput extends Encodable<typeof expectationNat> {}

/** `CTA_EXPECT_*`: a flow that a helper awaits. */
export const expectation = attributeTable('CTA_EXPECT', {
  /** The original tuple of the flow that announced it. */
  master: attribute(1, 'CTA_EXPECT_MASTER', tuple, { always: true }),
  /** What the expected flow looks like. */
  tuple: attribute(2, 'CTA_EXPECT_TUPLE', tuple, { always: true }),
  /** Which bits of it count. */
  mask: attribute(3, 'CTA_EXPECT_MASK', tuple, { always: true }),
  timeoutSeconds: attribute(4, 'CTA_EXPECT_TIMEOUT', be32),
  id: attribute(5, 'CTA_EXPECT_ID', be32),
  /** Of the helper. */
  helper: attribute(6, 'CTA_EXPECT_HELP_NAME', nulString(15)),
  /** Given only: the kernel does not tell it. */
  zone: attribute(7, 'CTA_EXPECT_ZONE', be16),
  flags: attribute(8, 'CTA_EXPECT_FLAGS', expectationFlags),
  /** Which of the helper's kinds of expectations it is. */
  class: attribute(9, 'CTA_EXPECT_CLASS', be32),
  nat: attribute(10, 'CTA_EXPECT_NAT', nested(expectationNat)),
  /** What the kernel calls when the flow comes: `nat-follow-master`. */
  callback: attribute(11, 'CTA_EXPECT_FN', nulString(255)),
})

/** `CTA_STATS_*`: what one processor counted. */
export const cpuStatistics = attributeTable('CTA_STATS', {
  /** Entries found that packets belonged to while their tuple was chosen. */
  found: readOnly(2, 'CTA_STATS_FOUND', be32),
  /** Packets that cannot be tracked. */
  invalid: readOnly(4, 'CTA_STATS_INVALID', be32),
  /** Entries inserted by hand. */
  inserted: readOnly(8, 'CTA_STATS_INSERT', be32),
  /** Entries that could not be inserted, as the same was there already. */
  insertFailed: readOnly(9, 'CTA_STATS_INSERT_FAILED', be32),
  /** Packets that were dropped because no entry could be made or inserted. */
  dropped: readOnly(10, 'CTA_STATS_DROP', be32),
  /** Entries that had to go before their time because the table was full. */
  earlyDropped: readOnly(11, 'CTA_STATS_EARLY_DROP', be32),
  /** Packets of ICMP that cannot be tracked. */
  errors: readOnly(12, 'CTA_STATS_ERROR', be32),
  /** Lookups that had to begin again because the table was resized. */
  searchRestarts: readOnly(13, 'CTA_STATS_SEARCH_RESTART', be32),
  /** Two packets that made the same entry at the same moment, and were made one. */
  clashesResolved: readOnly(14, 'CTA_STATS_CLASH_RESOLVE', be32, { since: '5.10' }),
  /** Entries not made because too many share their hash. */
  chainTooLong: readOnly(15, 'CTA_STATS_CHAIN_TOOLONG', be32, { since: '5.15' }),
})

/** `CTA_STATS_GLOBAL_*`. */
export const globalStatistics = attributeTable('CTA_STATS_GLOBAL', {
  entries: readOnly(1, 'CTA_STATS_GLOBAL_ENTRIES', be32, { always: true }),
  limit: readOnly(2, 'CTA_STATS_GLOBAL_MAX_ENTRIES', be32, { since: '4.18' }),
})

/** `CTA_STATS_EXP_*`: what one processor counted of expectations. */
export const expectationStatistics = attributeTable('CTA_STATS_EXP', {
  /** Flows that came as they were expected. */
  matched: readOnly(1, 'CTA_STATS_EXP_NEW', be32),
  /** Expectations that were made. */
  created: readOnly(2, 'CTA_STATS_EXP_CREATE', be32),
  /** Expectations that went. */
  deleted: readOnly(3, 'CTA_STATS_EXP_DELETE', be32),
})

export { protocol }

/** For the test that holds tables against the kernel's headers. */
export const tables = {
  conntrack,
  expectation,
  cpuStatistics,
  globalStatistics,
  expectationStatistics,
} as const

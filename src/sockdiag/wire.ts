/**
 * Sockets over sock_diag: every member and attribute, once. Source: include/uapi/linux/sock_diag.h, inet_diag.h. Ports
 * are in network order, everything else in the host's.
 */
import {
  attributeTable,
  be16,
  bits,
  boolean8,
  type Decoded,
  field,
  inetAddressUnion,
  named,
  nulString,
  pad,
  readOnly,
  structure,
  type StructureValue,
  u32,
  u64,
  u8,
} from '../netlink/index.js'

/** Types of messages: a question (and its answer), and the end of a socket. */
export const message = { byFamily: 20, destroy: 21 } as const

const family = named(u8, { ipv4: 2, ipv6: 10 })
/** `IPPROTO_*`. */
export const protocol = named(u8, { tcp: 6, udp: 17 })

/** `TCP_*` of include/net/tcp_states.h. UDP has two: `established` if it is connected, else `close`. */
const states = {
  established: 1,
  'syn-sent': 2,
  'syn-received': 3,
  'fin-wait1': 4,
  'fin-wait2': 5,
  'time-wait': 6,
  close: 7,
  'close-wait': 8,
  'last-ack': 9,
  listen: 10,
  closing: 11,
  /** A connection that is being made, of a listener. */
  'new-syn-received': 12,
  'bound-inactive': 13,
} as const
export const state = named(u8, states)
export const everyState = Object.keys(states) as (keyof typeof states)[]
/** A bit for each of them. */
const { names: _, ...stateSet } = bits(
  u32,
  Object.fromEntries(Object.entries(states).map(([name, number]) => [name, 1 << number])) as {
    readonly [K in keyof typeof states]: number
  },
)

/** `IDIAG_TIMER_*`: what the socket waits for. */
export const timer = named(u8, {
  none: 0,
  retransmission: 1,
  keepalive: 2,
  'time-wait': 3,
  'zero-window-probe': 4,
  'delayed-acknowledgement': 5,
})

/** `struct inet_diag_sockid`, at its place in what holds it. */
const identity = (offset: number) => ({
  /** 0 for none. */
  localPort: field(offset, 'id.idiag_sport', be16),
  /** 0 for none: it is not connected. */
  remotePort: field(offset + 2, 'id.idiag_dport', be16),
  /** `0.0.0.0` or `::` for any. */
  localAddress: field(offset + 4, 'id.idiag_src', inetAddressUnion),
  /** The same for none. */
  remoteAddress: field(offset + 20, 'id.idiag_dst', inetAddressUnion),
  /** The index of the link that it is bound to; 0 for none. */
  interface: field(offset + 36, 'id.idiag_if', u32),
  /** Of this socket and no other, as long as the machine runs. */
  cookie: field(offset + 40, 'id.idiag_cookie', u64),
})

export const request = structure('struct inet_diag_req_v2', 56, {
  family: field(0, 'sdiag_family', family),
  protocol: field(1, 'sdiag_protocol', protocol),
  states: field(4, 'idiag_states', stateSet),
  ...identity(8),
})

export const reply = structure('struct inet_diag_msg', 72, {
  /** Of the socket: its connections may be of IPv4 where it is of IPv6. */
  family: field(0, 'idiag_family', family),
  /** Of its connection, if it has one. */
  state: field(1, 'idiag_state', state),
  /** What it waits for besides what the other end does. */
  timer: field(2, 'idiag_timer', timer),
  /** How often it was sent again, or asked for a sign of life. */
  retransmissions: field(3, 'idiag_retrans', u8),
  ...identity(4),
  /** When the timer runs out. */
  timerMilliseconds: field(52, 'idiag_expires', u32),
  /** Bytes that came and were not read; of a listener connections that were not accepted. */
  receiveQueue: field(56, 'idiag_rqueue', u32),
  /** Bytes that were not acknowledged; of a listener how many connections may wait. */
  sendQueue: field(60, 'idiag_wqueue', u32),
  /** The user that made it. */
  uid: field(64, 'idiag_uid', u32),
  /** As /proc/<pid>/fd has it; 0 once nobody holds it. */
  inode: field(68, 'idiag_inode', u32),
})
/** What the kernel says of every socket. */
export interface SocketRecord extends StructureValue<(typeof reply)['layout']> {}

/** `INET_DIAG_*`: what it says of some. */
export const attributes = attributeTable('INET_DIAG', {
  /** Told if it is asked for, which nothing here does; so are the next two. */
  congestionControl: readOnly(4, 'INET_DIAG_CONG', nulString(15)),
  tos: readOnly(5, 'INET_DIAG_TOS', u8),
  trafficClass: readOnly(6, 'INET_DIAG_TCLASS', u8),
  /** What it does no more. */
  shutdown: readOnly(8, 'INET_DIAG_SHUTDOWN', bits(u8, { receive: 1, send: 2 })),
  /** Whether an IPv6 socket leaves IPv4 alone. */
  ipv6Only: readOnly(11, 'INET_DIAG_SKV6ONLY', boolean8),
  padding: readOnly(14, 'INET_DIAG_PAD', pad),
  /** With CAP_NET_ADMIN. */
  mark: readOnly(15, 'INET_DIAG_MARK', u32),
  /** With CAP_NET_ADMIN. */
  classId: readOnly(17, 'INET_DIAG_CLASS_ID', u32),
  /** Of version 2: the inode of its folder. */
  cgroupId: readOnly(21, 'INET_DIAG_CGROUP_ID', u64, { since: '5.7' }),
})
/** What the kernel says of some. */
export interface SocketAttributes extends Decoded<typeof attributes> {}

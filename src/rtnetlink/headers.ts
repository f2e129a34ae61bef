/**
 * What stands between a message's header and its attributes. Source: include/uapi/linux/rtnetlink.h, if_addr.h,
 * fib_rules.h, neighbour.h.
 */
import { bits, field, named, s32, structure, type StructureValue, u16, u32, u8 } from '../netlink/index.js'
import { family } from './types.js'

/** `ARPHRD_*`. Source: include/uapi/linux/if_arp.h. */
export const linkType = named(u16, {
  netrom: 0,
  ether: 1,
  infiniband: 32,
  ppp: 512,
  ipip: 768,
  ip6tnl: 769,
  loopback: 772,
  sit: 776,
  gre: 778,
  ip6gre: 823,
  none: 0xfffe,
})

/** `IFF_*`. Source: include/uapi/linux/if.h. */
export const linkFlags = bits(u32, {
  up: 1,
  broadcast: 2,
  debug: 4,
  loopback: 8,
  'point-to-point': 0x10,
  'no-trailers': 0x20,
  running: 0x40,
  'no-arp': 0x80,
  promiscuous: 0x100,
  'all-multicast': 0x200,
  master: 0x400,
  slave: 0x800,
  multicast: 0x1000,
  'port-selection': 0x2000,
  'auto-media': 0x4000,
  dynamic: 0x8000,
  /** Carrier: the other end is up too. */
  'lower-up': 0x10000,
  dormant: 0x20000,
  echo: 0x40000,
})

export const linkHeader = structure('struct ifinfomsg', 16, {
  family: field(0, 'ifi_family', family),
  type: field(2, 'ifi_type', linkType),
  index: field(4, 'ifi_index', s32),
  flags: field(8, 'ifi_flags', linkFlags),
  /** Which flags are meant. */
  change: field(12, 'ifi_change', linkFlags),
})
export interface LinkHeader extends StructureValue<(typeof linkHeader)['layout']> {}

/** `RT_SCOPE_*`: how far it is valid. */
export const scope = named(u8, { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 })

export const addressHeader = structure('struct ifaddrmsg', 8, {
  family: field(0, 'ifa_family', family),
  prefixLength: field(1, 'ifa_prefixlen', u8),
  /** The lower 8 bits of IFA_FLAGS, for kernels before 3.14. */
  flags: field(2, 'ifa_flags', u8),
  scope: field(3, 'ifa_scope', scope),
  index: field(4, 'ifa_index', u32),
})

/** `RTN_*`. */
export const routeType = named(u8, {
  unspecified: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
})

/** `RTPROT_*`: who made the route. */
export const routeProtocol = named(u8, {
  unspecified: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  'router-advertisement': 9,
  zebra: 11,
  bird: 12,
  dhcp: 16,
  keepalived: 18,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
})

/** `RTNH_F_*` and `RTM_F_*`. */
export const routeFlags = bits(u32, {
  dead: 1,
  pervasive: 2,
  onlink: 4,
  offload: 8,
  'link-down': 0x10,
  unresolved: 0x20,
  trap: 0x40,
  notify: 0x100,
  cloned: 0x200,
  prefix: 0x800,
})

export const routeHeader = structure('struct rtmsg', 12, {
  family: field(0, 'rtm_family', family),
  destinationLength: field(1, 'rtm_dst_len', u8),
  fromLength: field(2, 'rtm_src_len', u8),
  tos: field(3, 'rtm_tos', u8),
  /** Up to 255; RTA_TABLE has them all. */
  table: field(4, 'rtm_table', u8),
  protocol: field(5, 'rtm_protocol', routeProtocol),
  scope: field(6, 'rtm_scope', scope),
  type: field(7, 'rtm_type', routeType),
  flags: field(8, 'rtm_flags', routeFlags),
})

/** `FR_ACT_*`: what becomes of packets that a rule matches. */
export const ruleAction = named(u8, {
  unspecified: 0,
  /** Looks for a route in the rule's table; the next rule if there is none. */
  lookup: 1,
  /** Goes on with the rule of another priority. */
  goto: 2,
  /** Goes on with the next rule. */
  nop: 3,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
})

/** `FIB_RULE_*`. */
export const ruleFlags = bits(u32, {
  permanent: 1,
  /** For packets that do not match. */
  invert: 2,
  /** The rule that it goes to is not there. */
  unresolved: 4,
  /** The link that packets must come by is not there. */
  'incoming-detached': 8,
  /** The link that packets must leave by is not there. */
  'outgoing-detached': 0x10,
  'find-source': 0x10000,
})

export const ruleHeader = structure('struct fib_rule_hdr', 12, {
  family: field(0, 'family', family),
  toLength: field(1, 'dst_len', u8),
  fromLength: field(2, 'src_len', u8),
  tos: field(3, 'tos', u8),
  /** Up to 255; FRA_TABLE has them all. */
  table: field(4, 'table', u8),
  action: field(7, 'action', ruleAction),
  flags: field(8, 'flags', ruleFlags),
})

/** `NUD_*`: how far the kernel knows a neighbour. */
export const neighbourState = named(u16, {
  none: 0,
  /** It is being asked for. */
  incomplete: 1,
  /** It has answered lately. */
  reachable: 2,
  /** It has not been heard of for a while. */
  stale: 4,
  /** Packets go there, and it will be asked if nothing is heard. */
  delay: 8,
  probe: 0x10,
  /** It does not answer. */
  failed: 0x20,
  /** Nobody is asked: groups, and links that have no addresses. */
  'no-arp': 0x40,
  /** Set by an administrator, and for ever. */
  permanent: 0x80,
})

/** `NTF_*`. */
export const neighbourFlags = bits(u8, {
  /** Looks for it now. */
  use: 1,
  self: 2,
  master: 4,
  /** Answered for: its address is somewhere else. */
  proxy: 8,
  /** By a program; the kernel's garbage collection leaves it. */
  'externally-learned': 0x10,
  offloaded: 0x20,
  sticky: 0x40,
  /** It says that it is a router (IPv6). */
  router: 0x80,
})

export const neighbourHeader = structure('struct ndmsg', 12, {
  family: field(0, 'ndm_family', family),
  index: field(4, 'ndm_ifindex', s32),
  state: field(8, 'ndm_state', neighbourState),
  flags: field(10, 'ndm_flags', neighbourFlags),
  type: field(11, 'ndm_type', routeType),
})

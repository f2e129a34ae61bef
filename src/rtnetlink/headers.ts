/** What stands between a message's header and its attributes. Source: include/uapi/linux/rtnetlink.h, if_addr.h. */
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

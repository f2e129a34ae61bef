/**
 * Links, addresses, routes, rules and neighbours over rtnetlink: every attribute, once. Source:
 * include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, neighbour.h, fou.h. Numbers are in the host's byte order unless their type says `be`.
 */
import { MalformedMessageError } from '../errors/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  be32,
  be64,
  bits,
  boolean8,
  bytesOf,
  type Decoded,
  type Encodable,
  field,
  flag,
  InvalidValue,
  ipAddress,
  ipv4Address,
  ipv6Address,
  named,
  nested,
  nulString,
  pad,
  readOnly,
  s32,
  structure,
  u16,
  u32,
  u32AsBigint,
  u64,
  u8,
} from '../netlink/index.js'
import {
  addressHeader,
  linkHeader,
  neighbourHeader,
  routeHeader,
  routeProtocol,
  ruleHeader,
} from './headers.js'
import { kinds, type LinkKind, none, peer, settings } from './kinds.js'
import { genevePorts, vxlanPorts } from './overlays.js'
import { vlanFlags, vlanQosMapping } from './stacked.js'
import { chosenBy, family, hardwareAddress, via } from './types.js'

/** `RTM_*`. */
export const message = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  deleteRule: 33,
  getRule: 34,
} as const

/** `RTNLGRP_*`: multicast groups. */
export const group = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv4Rule: 8,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv6Rule: 19,
} as const

/** `RT_TABLE_*`. */
export const routeTable = { main: 254, local: 255 } as const

/** What a link of one kind has of its own, as the kernel tells it. */
export type LinkData<K extends LinkKind> = Decoded<(typeof kinds)[K]>
/** The same, as it may be given. */
export type LinkDataInput<K extends LinkKind> = Encodable<(typeof kinds)[K]>

/** `IFLA_INFO_*`. */
export const linkInfo = attributeTable('IFLA_INFO', {
  kind: attribute(1, 'IFLA_INFO_KIND', nulString(63)),
  data: attribute(
    2,
    'IFLA_INFO_DATA',
    chosenBy<typeof kinds, LinkDataInput<LinkKind>, LinkData<LinkKind>>('kind', kinds, none),
  ),
  extendedStatistics: readOnly(3, 'IFLA_INFO_XSTATS', bytesOf()),
  /** What the link is to its master: `bridge` for a port of one. */
  portKind: readOnly(4, 'IFLA_INFO_SLAVE_KIND', nulString(63)),
  portData: readOnly(5, 'IFLA_INFO_SLAVE_DATA', bytesOf()),
})

const counters = (type: AttributeType<bigint>, width: number) => ({
  receivedPackets: field(0, 'rx_packets', type),
  transmittedPackets: field(width, 'tx_packets', type),
  receivedBytes: field(2 * width, 'rx_bytes', type),
  transmittedBytes: field(3 * width, 'tx_bytes', type),
  receiveErrors: field(4 * width, 'rx_errors', type),
  transmitErrors: field(5 * width, 'tx_errors', type),
  receiveDropped: field(6 * width, 'rx_dropped', type),
  transmitDropped: field(7 * width, 'tx_dropped', type),
  multicast: field(8 * width, 'multicast', type),
  collisions: field(9 * width, 'collisions', type),
})
/** The first ten of 23 and more (newer kernels append): what every link counts. */
export const statistics64 = structure('struct rtnl_link_stats64', 80, counters(u64, 8))
export const statistics32 = structure('struct rtnl_link_stats', 40, counters(u32AsBigint, 4))

/** `IFLA_INET6_*`. */
export const linkIpv6 = attributeTable('IFLA_INET6', {
  flags: readOnly(1, 'IFLA_INET6_FLAGS', u32),
  configuration: readOnly(2, 'IFLA_INET6_CONF', bytesOf()),
  statistics: readOnly(3, 'IFLA_INET6_STATS', bytesOf()),
  cacheInformation: readOnly(5, 'IFLA_INET6_CACHEINFO', bytesOf()),
  icmpStatistics: readOnly(6, 'IFLA_INET6_ICMP6STATS', bytesOf()),
  token: attribute(7, 'IFLA_INET6_TOKEN', ipv6Address),
  /** How link-local addresses are made; `none`: not at all. */
  addressGeneration: attribute(
    8,
    'IFLA_INET6_ADDR_GEN_MODE',
    named(u8, { eui64: 0, none: 1, 'stable-privacy': 2, random: 3 }),
  ),
})

export const linkIpv4 = attributeTable('IFLA_INET', {
  configuration: readOnly(1, 'IFLA_INET_CONF', bytesOf()),
})

/** Within IFLA_AF_SPEC the numbers are address families. */
export const linkFamilies = attributeTable('AF', {
  ipv4: attribute(2, 'AF_INET', nested(linkIpv4)),
  ipv6: attribute(10, 'AF_INET6', nested(linkIpv6)),
})

/** `IFLA_*`. */
export const link = attributeTable('IFLA', {
  ...settings,
  /** Index of the link below, or of the other end of a veth pair (in `linkNamespace`, if that is given). */
  link: attribute(5, 'IFLA_LINK', u32),
  queueing: readOnly(6, 'IFLA_QDISC', nulString(31)),
  /** Index of the bridge (or other master) that it is a port of. 0 takes it out. */
  master: attribute(10, 'IFLA_MASTER', u32),
  map: readOnly(14, 'IFLA_MAP', bytesOf()),
  operationalState: readOnly(
    16,
    'IFLA_OPERSTATE',
    named(u8, {
      unknown: 0,
      'not-present': 1,
      down: 2,
      'lower-layer-down': 3,
      testing: 4,
      dormant: 5,
      up: 6,
    }),
  ),
  linkMode: readOnly(17, 'IFLA_LINKMODE', u8),
  info: attribute(18, 'IFLA_LINKINFO', nested(linkInfo)),
  /** Empty takes it away. */
  alias: attribute(20, 'IFLA_IFALIAS', nulString(255, 0)),
  /** Of all its time. */
  statistics: readOnly(23, 'IFLA_STATS64', statistics64, {
    instead: { number: 7, constant: 'IFLA_STATS', type: statistics32 },
  }),
  families: attribute(26, 'IFLA_AF_SPEC', nested(linkFamilies)),
  /** What a request wants to be told: `RTEXT_FILTER_*`. */
  extendedMask: attribute(29, 'IFLA_EXT_MASK', bits(u32, { vf: 1, 'skip-statistics': 8 })),
  promiscuity: readOnly(30, 'IFLA_PROMISCUITY', u32),
  carrier: attribute(33, 'IFLA_CARRIER', boolean8),
  carrierChanges: readOnly(35, 'IFLA_CARRIER_CHANGES', u32),
  /** The namespace that `link` is in, by the id that this one has for it. */
  linkNamespace: attribute(37, 'IFLA_LINK_NETNSID', s32),
  protocolDown: attribute(39, 'IFLA_PROTO_DOWN', boolean8),
  mostSegments: attribute(40, 'IFLA_GSO_MAX_SEGS', u32),
  mostSegmentedBytes: attribute(41, 'IFLA_GSO_MAX_SIZE', u32),
  padding: readOnly(42, 'IFLA_PAD', pad),
  carrierUpCount: readOnly(47, 'IFLA_CARRIER_UP_COUNT', u32, { since: '4.16' }),
  carrierDownCount: readOnly(48, 'IFLA_CARRIER_DOWN_COUNT', u32, { since: '4.16' }),
  leastMtu: readOnly(50, 'IFLA_MIN_MTU', u32),
  mostMtu: readOnly(51, 'IFLA_MAX_MTU', u32),
  permanentAddress: readOnly(54, 'IFLA_PERM_ADDRESS', hardwareAddress, { since: '5.6' }),
  mostReceivedBytes: attribute(58, 'IFLA_GRO_MAX_SIZE', u32, { since: '5.19' }),
  allMulticast: readOnly(61, 'IFLA_ALLMULTI', u32, { since: '6.0' }),
})

/** `IFA_F_*`. */
export const addressFlags = bits(u32, {
  secondary: 1,
  'no-dad': 2,
  optimistic: 4,
  'dad-failed': 8,
  'home-address': 0x10,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  'manage-temporary': 0x100,
  'no-prefix-route': 0x200,
  'multicast-auto-join': 0x400,
  'stable-privacy': 0x800,
})

const addressLifetime = structure('struct ifa_cacheinfo', 16, {
  /** Seconds; 4294967295 is for ever. */
  preferredSeconds: field(0, 'ifa_prefered', u32),
  validSeconds: field(4, 'ifa_valid', u32),
  /** Hundredths of a second since boot. */
  createdAt: field(8, 'cstamp', u32),
  updatedAt: field(12, 'tstamp', u32),
})

/** `IFA_*`. */
export const address = attributeTable('IFA', {
  /** The prefix address: the other end of a point-to-point link, else the same as `local`. */
  address: attribute(1, 'IFA_ADDRESS', ipAddress),
  local: attribute(2, 'IFA_LOCAL', ipAddress),
  label: attribute(3, 'IFA_LABEL', nulString(15)),
  broadcast: attribute(4, 'IFA_BROADCAST', ipAddress),
  anycast: readOnly(5, 'IFA_ANYCAST', ipAddress),
  lifetime: attribute(6, 'IFA_CACHEINFO', addressLifetime),
  multicast: readOnly(7, 'IFA_MULTICAST', ipAddress),
  flags: attribute(8, 'IFA_FLAGS', addressFlags, { since: '3.14' }),
  /** Of the route to its prefix. */
  metric: attribute(9, 'IFA_RT_PRIORITY', u32, { since: '4.18' }),
  protocol: attribute(11, 'IFA_PROTO', u8, { since: '5.18' }),
})

/** `RTAX_*`. */
export const metrics = attributeTable('RTAX', {
  /** Bit mask of the metrics that the kernel must not adapt. */
  lock: attribute(1, 'RTAX_LOCK', u32),
  mtu: attribute(2, 'RTAX_MTU', u32),
  window: attribute(3, 'RTAX_WINDOW', u32),
  roundTripTime: attribute(4, 'RTAX_RTT', u32),
  roundTripVariance: attribute(5, 'RTAX_RTTVAR', u32),
  slowStartThreshold: attribute(6, 'RTAX_SSTHRESH', u32),
  congestionWindow: attribute(7, 'RTAX_CWND', u32),
  advertisedMss: attribute(8, 'RTAX_ADVMSS', u32),
  reordering: attribute(9, 'RTAX_REORDERING', u32),
  hopLimit: attribute(10, 'RTAX_HOPLIMIT', u32),
  initialCongestionWindow: attribute(11, 'RTAX_INITCWND', u32),
  features: attribute(12, 'RTAX_FEATURES', u32),
  leastRetransmissionTimeout: attribute(13, 'RTAX_RTO_MIN', u32),
  initialReceiveWindow: attribute(14, 'RTAX_INITRWND', u32),
  quickAcknowledgement: attribute(15, 'RTAX_QUICKACK', u32),
  congestionControl: attribute(16, 'RTAX_CC_ALGO', nulString(15)),
})

/** Of a next hop's attributes those that it shares with a route. */
const hop = {
  gateway: attribute(5, 'RTA_GATEWAY', ipAddress),
  /** A gateway of the other family: IPv4 over an IPv6 next hop. */
  via: attribute(18, 'RTA_VIA', via),
  encapsulationType: attribute(21, 'RTA_ENCAP_TYPE', u16),
  encapsulation: attribute(22, 'RTA_ENCAP', bytesOf()),
}
export const nextHop = attributeTable('RTA', hop)

const nextHopHeader = structure('struct rtnexthop', 8, {
  length: field(0, 'rtnh_len', u16),
  flags: field(
    2,
    'rtnh_flags',
    bits(u8, {
      dead: 1,
      pervasive: 2,
      onlink: 4,
      offload: 8,
      'link-down': 0x10,
      unresolved: 0x20,
      trap: 0x40,
    }),
  ),
  /** One less than its weight. */
  hops: field(3, 'rtnh_hops', u8),
  index: field(4, 'rtnh_ifindex', s32),
})

export interface WireNextHop extends Decoded<typeof nextHop> {
  readonly flags: readonly string[]
  /** Index of its link. */
  readonly device: number
  /** Its share, 1 to 256. */
  readonly weight: number
}

/** RTA_MULTIPATH: `struct rtnexthop` and attributes, one after the other. */
const nextHops: AttributeType<readonly Partial<WireNextHop>[], readonly WireNextHop[]> = {
  name: 'list of struct rtnexthop',
  expected: 'a list of next hops',
  write(writer, value) {
    if (!Array.isArray(value)) throw new InvalidValue(this.expected)
    for (const { flags, device, weight, ...attributes } of value as readonly Partial<WireNextHop>[]) {
      if (weight !== undefined && !(Number.isInteger(weight) && weight >= 1 && weight <= 256)) {
        throw new InvalidValue('next hops with a weight from 1 to 256')
      }
      const start = writer.length
      nextHopHeader.write(writer, { flags: flags as never, index: device, hops: (weight ?? 1) - 1 }, {})
      nextHop.encode(writer, attributes)
      const end = writer.length
      writer.length = start
      writer.u16(end - start)
      writer.length = end
    }
  },
  read(bytes, view, offset, length) {
    const hops: WireNextHop[] = []
    const end = offset + length
    for (let at = offset; at < end;) {
      const header = nextHopHeader.read(bytes, view, at, end - at, {})
      if (header.length < nextHopHeader.bytes || header.length > end - at) {
        throw new MalformedMessageError(`next hop of ${header.length} bytes`, at)
      }
      const attributes = nextHop.decode(bytes, view, at + nextHopHeader.bytes, at + header.length)
      hops.push({ ...attributes, flags: header.flags, device: header.index, weight: header.hops + 1 })
      at += (header.length + 3) & ~3
    }
    return hops
  },
}

/** `RTA_*`. */
export const route = attributeTable('RTA', {
  ...hop,
  destination: attribute(1, 'RTA_DST', ipAddress),
  /** IPv6 alone: only for packets from here. */
  from: attribute(2, 'RTA_SRC', ipAddress),
  incomingDevice: attribute(3, 'RTA_IIF', u32),
  /** Index of the link. */
  device: attribute(4, 'RTA_OIF', u32),
  metric: attribute(6, 'RTA_PRIORITY', u32),
  /** Address that packets are sent from, unless their socket has one. */
  source: attribute(7, 'RTA_PREFSRC', ipAddress),
  metrics: attribute(8, 'RTA_METRICS', nested(metrics)),
  nextHops: attribute(9, 'RTA_MULTIPATH', nextHops),
  realm: attribute(11, 'RTA_FLOW', u32),
  cache: readOnly(12, 'RTA_CACHEINFO', bytesOf()),
  table: attribute(15, 'RTA_TABLE', u32),
  preference: attribute(20, 'RTA_PREF', named(u8, { medium: 0, high: 1, low: 3 })),
  padding: readOnly(24, 'RTA_PAD', pad),
  ttlPropagate: attribute(26, 'RTA_TTL_PROPAGATE', boolean8),
  nextHopId: attribute(30, 'RTA_NH_ID', u32, { since: '5.3' }),
})

const ruleUsers = structure('struct fib_rule_uid_range', 8, {
  first: field(0, 'start', u32),
  last: field(4, 'end', u32),
})
const rulePorts = structure('struct fib_rule_port_range', 4, {
  first: field(0, 'start', u16),
  last: field(2, 'end', u16),
})

/** `FRA_*`. */
export const rule = attributeTable('FRA', {
  to: attribute(1, 'FRA_DST', ipAddress),
  from: attribute(2, 'FRA_SRC', ipAddress),
  /** Name of the link that packets must have come by; `lo` for those of this system. */
  incomingDevice: attribute(3, 'FRA_IIFNAME', nulString(15)),
  /** Priority of the rule to go on with; it must be a later one. */
  goto: attribute(4, 'FRA_GOTO', u32),
  priority: attribute(6, 'FRA_PRIORITY', u32),
  firewallMark: attribute(10, 'FRA_FWMARK', u32),
  realm: attribute(11, 'FRA_FLOW', u32),
  /** Of the tunnel that a packet came by. */
  tunnelId: attribute(12, 'FRA_TUN_ID', be64, { since: '4.3' }),
  /** A route over a link of this group does not count as found. */
  suppressGroup: attribute(13, 'FRA_SUPPRESS_IFGROUP', s32, { since: '3.12' }),
  /** A route whose prefix is so long or shorter does not count as found: 0 leaves out default routes. */
  suppressPrefixLength: attribute(14, 'FRA_SUPPRESS_PREFIXLEN', s32, { since: '3.12' }),
  table: attribute(15, 'FRA_TABLE', u32),
  /** Which bits of the mark are looked at; all unless said. */
  firewallMask: attribute(16, 'FRA_FWMASK', u32),
  /** Name of the link that the socket of packets of this system is bound to. */
  outgoingDevice: attribute(17, 'FRA_OIFNAME', nulString(15)),
  padding: readOnly(18, 'FRA_PAD', pad),
  /** Looks into the table of the VRF that the packet's link is in. */
  l3mdev: attribute(19, 'FRA_L3MDEV', boolean8, { since: '4.8' }),
  /** Users of the sockets that packets of this system are from. */
  users: attribute(20, 'FRA_UID_RANGE', ruleUsers, { since: '4.10' }),
  protocol: attribute(21, 'FRA_PROTOCOL', routeProtocol, { since: '4.17' }),
  /** Of the packet; others by their number as text. */
  ipProtocol: attribute(
    22,
    'FRA_IP_PROTO',
    named(u8, { icmp: 1, tcp: 6, udp: 17, gre: 47, esp: 50, ah: 51, icmpv6: 58, sctp: 132 }),
    { since: '4.17' },
  ),
  sourcePorts: attribute(23, 'FRA_SPORT_RANGE', rulePorts, { since: '4.17' }),
  destinationPorts: attribute(24, 'FRA_DPORT_RANGE', rulePorts, { since: '4.17' }),
  /** 0 to 63. From here on, older kernels take a rule with it and do not look at it: it is then for more packets. */
  dscp: attribute(25, 'FRA_DSCP', u8, { since: '6.12' }),
  /** Of IPv6 packets. */
  flowLabel: attribute(26, 'FRA_FLOWLABEL', be32, { since: '6.14' }),
  flowLabelMask: attribute(27, 'FRA_FLOWLABEL_MASK', be32, { since: '6.14' }),
  /** Which bits of the port are looked at, where `sourcePorts` is one. */
  sourcePortMask: attribute(28, 'FRA_SPORT_MASK', u16, { since: '6.15' }),
  /** Which bits of the port are looked at, where `destinationPorts` is one. */
  destinationPortMask: attribute(29, 'FRA_DPORT_MASK', u16, { since: '6.15' }),
  dscpMask: attribute(30, 'FRA_DSCP_MASK', u8, { since: '6.15' }),
})

const neighbourCache = structure('struct nda_cacheinfo', 16, {
  /** Hundredths of a second since it was last heard of. */
  confirmedAgo: field(0, 'ndm_confirmed', u32),
  usedAgo: field(4, 'ndm_used', u32),
  updatedAgo: field(8, 'ndm_updated', u32),
  references: field(12, 'ndm_refcnt', u32),
})

/** `NDA_*`: those that neighbours have. Entries of a bridge (AF_BRIDGE) have more. */
export const neighbour = attributeTable('NDA', {
  address: attribute(1, 'NDA_DST', ipAddress),
  /** Its hardware address. */
  linkAddress: attribute(2, 'NDA_LLADDR', hardwareAddress),
  cache: readOnly(3, 'NDA_CACHEINFO', neighbourCache),
  /** How often it was asked for without an answer. */
  probes: readOnly(4, 'NDA_PROBES', u32),
  /** In a request for a list: index of the link. */
  device: attribute(8, 'NDA_IFINDEX', u32),
  /** In a request for a list: index of the master of its link. */
  master: attribute(9, 'NDA_MASTER', u32),
  protocol: attribute(12, 'NDA_PROTOCOL', routeProtocol, { since: '5.0' }),
  /** `managed`: the kernel keeps it known, by asking again and again. */
  extendedFlags: attribute(
    15,
    'NDA_FLAGS_EXT',
    bits(u32, { managed: 1, locked: 2, 'externally-validated': 4 }),
    { since: '5.16' },
  ),
})

/** The generic netlink family that has the receiving ports of fou and gue. */
export const FOU_GENL_NAME = 'fou'
export const FOU_GENL_VERSION = 1
/** `FOU_CMD_*`. */
export const fouCommand = { add: 1, delete: 2, get: 3 } as const

/** `FOU_ATTR_*`. */
export const fou = attributeTable('FOU_ATTR', {
  port: attribute(1, 'FOU_ATTR_PORT', be16),
  family: attribute(2, 'FOU_ATTR_AF', family),
  /** Of what is inside, with `direct`. */
  protocol: attribute(3, 'FOU_ATTR_IPPROTO', named(u8, { any: 0, ipip: 4, ipv6: 41, gre: 47 })),
  /** `direct`: nothing between the UDP header and the packet; `gue` has a header that tells what is inside. */
  encapsulation: attribute(4, 'FOU_ATTR_TYPE', named(u8, { direct: 1, gue: 2 })),
  remoteChecksumNotPartial: attribute(5, 'FOU_ATTR_REMCSUM_NOPARTIAL', flag),
  localIpv4: attribute(6, 'FOU_ATTR_LOCAL_V4', ipv4Address, { since: '5.2' }),
  localIpv6: attribute(7, 'FOU_ATTR_LOCAL_V6', ipv6Address, { since: '5.2' }),
  peerIpv4: attribute(8, 'FOU_ATTR_PEER_V4', ipv4Address, { since: '5.2' }),
  peerIpv6: attribute(9, 'FOU_ATTR_PEER_V6', ipv6Address, { since: '5.2' }),
  peerPort: attribute(10, 'FOU_ATTR_PEER_PORT', be16, { since: '5.2' }),
  device: attribute(11, 'FOU_ATTR_IFINDEX', s32, { since: '5.2' }),
})

/** Every table and structure of this family, for the tests that hold them against the kernel's headers. */
export const tables = {
  link,
  linkInfo,
  linkFamilies,
  linkIpv4,
  linkIpv6,
  ...kinds,
  peer,
  address,
  route,
  metrics,
  nextHop,
  rule,
  neighbour,
  fou,
} as const
export const structures = {
  linkHeader,
  addressHeader,
  routeHeader,
  nextHopHeader,
  ruleHeader,
  ruleUsers,
  rulePorts,
  neighbourHeader,
  neighbourCache,
  vlanFlags,
  vlanQosMapping,
  vxlanPorts,
  genevePorts,
  addressLifetime,
  statistics64,
  statistics32,
} as const

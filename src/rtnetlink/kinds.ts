/**
 * What each kind of link has of its own: the attributes within IFLA_INFO_DATA. A kind is one table, one line in `kinds`
 * and one in `modules`. Source: include/uapi/linux/if_link.h, if_tunnel.h, veth.h; policies in drivers/net/veth.c,
 * net/bridge/br_netlink.c, net/ipv4/ipip.c, net/ipv6/sit.c, net/ipv6/ip6_tunnel.c, net/ipv4/ip_gre.c,
 * net/ipv6/ip6_gre.c.
 */
import {
  attribute,
  attributeTable,
  be16,
  be32,
  bits,
  boolean8,
  flag,
  ipv4Address,
  ipv6Address,
  named,
  nulString,
  readOnly,
  u16,
  u32,
  u8,
} from '../netlink/index.js'
import { linkHeader } from './headers.js'
import { geneve, vxlan } from './overlays.js'
import { ipvlan, macvlan, vlan } from './stacked.js'
import { behind, hardwareAddress } from './types.js'

/** Of a link's attributes those that one may give when it is made; the other end of a veth pair has the same. */
export const settings = {
  /** Hardware address; the kernel chooses one if left out. */
  address: attribute(1, 'IFLA_ADDRESS', hardwareAddress),
  broadcast: attribute(2, 'IFLA_BROADCAST', hardwareAddress),
  name: attribute(3, 'IFLA_IFNAME', nulString(15)),
  /** Bytes. */
  mtu: attribute(4, 'IFLA_MTU', u32),
  transmitQueueLength: attribute(13, 'IFLA_TXQLEN', u32),
  /** Namespace to put it in, by one of its processes. */
  netnsPid: attribute(19, 'IFLA_NET_NS_PID', u32),
  group: attribute(27, 'IFLA_GROUP', u32),
  /** Namespace to put it in, by a descriptor of the sender's. */
  netnsFd: attribute(28, 'IFLA_NET_NS_FD', u32),
  transmitQueues: attribute(31, 'IFLA_NUM_TX_QUEUES', u32),
  receiveQueues: attribute(32, 'IFLA_NUM_RX_QUEUES', u32),
}

/** The other end of a veth pair. */
export const peer = attributeTable('IFLA', settings)

export const veth = attributeTable('VETH_INFO', {
  /** Only when it is made: the kernel does not say it again (a link's `link` is the peer's index). */
  peer: attribute(1, 'VETH_INFO_PEER', behind(linkHeader, peer)),
})

export const bridge = attributeTable('IFLA_BR', {
  /** In hundredths of a second, as all times of a bridge. */
  forwardDelay: attribute(1, 'IFLA_BR_FORWARD_DELAY', u32),
  helloTime: attribute(2, 'IFLA_BR_HELLO_TIME', u32),
  maximumAge: attribute(3, 'IFLA_BR_MAX_AGE', u32),
  ageingTime: attribute(4, 'IFLA_BR_AGEING_TIME', u32),
  /** Spanning tree: 0 off, 1 by the kernel, 2 by a daemon. */
  spanningTree: attribute(5, 'IFLA_BR_STP_STATE', u32),
  priority: attribute(6, 'IFLA_BR_PRIORITY', u16),
  vlanFiltering: attribute(7, 'IFLA_BR_VLAN_FILTERING', boolean8),
  groupAddress: attribute(20, 'IFLA_BR_GROUP_ADDR', hardwareAddress),
  multicastSnooping: attribute(23, 'IFLA_BR_MCAST_SNOOPING', boolean8),
  netfilterCallsIptables: attribute(36, 'IFLA_BR_NF_CALL_IPTABLES', boolean8),
  netfilterCallsIp6tables: attribute(37, 'IFLA_BR_NF_CALL_IP6TABLES', boolean8),
  netfilterCallsArptables: attribute(38, 'IFLA_BR_NF_CALL_ARPTABLES', boolean8),
})

/** A dummy link has nothing of its own; so has every kind that is not in `kinds`: all of its data is in `unknown`. */
export const none = attributeTable('IFLA_DUMMY', {})

/** IPPROTO_* of what is inside a tunnel. */
const innerProtocol = named(u8, { any: 0, ipip: 4, ipv6: 41, mpls: 137 })
/** `TUNNEL_ENCAP_*`. */
const encapsulation = named(u16, { none: 0, fou: 1, gue: 2, mpls: 3 })
/** `TUNNEL_ENCAP_FLAG_*`. */
const encapsulationFlags = bits(u16, { checksum: 1, checksum6: 2, 'remote-checksum': 4 })

/** What ipip, sit and ip6tnl have in common. */
const tunnelCommon = {
  /** Index of the link that it goes over. */
  link: attribute(1, 'IFLA_IPTUN_LINK', u32),
  protocol: attribute(9, 'IFLA_IPTUN_PROTO', innerProtocol),
  encapsulation: attribute(15, 'IFLA_IPTUN_ENCAP_TYPE', encapsulation),
  encapsulationFlags: attribute(16, 'IFLA_IPTUN_ENCAP_FLAGS', encapsulationFlags),
  /** UDP ports of fou and gue; source 0 lets the flow choose. */
  encapsulationSourcePort: attribute(17, 'IFLA_IPTUN_ENCAP_SPORT', be16),
  encapsulationDestinationPort: attribute(18, 'IFLA_IPTUN_ENCAP_DPORT', be16),
  firewallMark: attribute(20, 'IFLA_IPTUN_FWMARK', u32, { since: '4.12' }),
}

/** ipip and sit: IPv4 outside. */
const outerIpv4 = {
  ...tunnelCommon,
  local: attribute(2, 'IFLA_IPTUN_LOCAL', ipv4Address),
  /** The other end; 0.0.0.0 takes packets of any. */
  remote: attribute(3, 'IFLA_IPTUN_REMOTE', ipv4Address),
  /** 0: the inner packet's. */
  ttl: attribute(4, 'IFLA_IPTUN_TTL', u8),
  tos: attribute(5, 'IFLA_IPTUN_TOS', u8),
  pathMtuDiscovery: attribute(10, 'IFLA_IPTUN_PMTUDISC', boolean8),
}

export const ipip = attributeTable('IFLA_IPTUN', {
  ...outerIpv4,
  /** Takes packets of every tunnel; one such link in a namespace. */
  collectMetadata: attribute(19, 'IFLA_IPTUN_COLLECT_METADATA', flag, { since: '4.9' }),
})

export const sit = attributeTable('IFLA_IPTUN', {
  ...outerIpv4,
  /** Declared as a __be16, and looked at in the order of the host (net/ipv6/sit.c, ipip6_tunnel_create). */
  flags: attribute(8, 'IFLA_IPTUN_FLAGS', bits(u16, { isatap: 1 })),
  sixRdPrefix: attribute(11, 'IFLA_IPTUN_6RD_PREFIX', ipv6Address),
  sixRdRelayPrefix: attribute(12, 'IFLA_IPTUN_6RD_RELAY_PREFIX', ipv4Address),
  sixRdPrefixLength: attribute(13, 'IFLA_IPTUN_6RD_PREFIXLEN', u16),
  sixRdRelayPrefixLength: attribute(14, 'IFLA_IPTUN_6RD_RELAY_PREFIXLEN', u16),
})

/** `IP6_TNL_F_*`. Source: include/uapi/linux/ip6_tunnel.h. */
const ip6tunnelFlags = bits(u32, {
  'ignore-encapsulation-limit': 1,
  'use-original-traffic-class': 2,
  'use-original-flow-label': 4,
  'mobile-ipv6': 8,
  'receive-dscp-copy': 0x10,
  'use-original-firewall-mark': 0x20,
  'allow-local-remote': 0x40,
  'cap-transmit': 0x10000,
  'cap-receive': 0x20000,
  'cap-per-packet': 0x40000,
})

/** ip6tnl: IPv6 outside. */
export const ip6tunnel = attributeTable('IFLA_IPTUN', {
  ...tunnelCommon,
  local: attribute(2, 'IFLA_IPTUN_LOCAL', ipv6Address),
  remote: attribute(3, 'IFLA_IPTUN_REMOTE', ipv6Address),
  hopLimit: attribute(4, 'IFLA_IPTUN_TTL', u8),
  /** The kernel never sends it: the traffic class is in `flowInformation`. */
  tos: readOnly(5, 'IFLA_IPTUN_TOS', u8),
  encapsulationLimit: attribute(6, 'IFLA_IPTUN_ENCAP_LIMIT', u8),
  /** Traffic class and flow label as they stand in the packet. */
  flowInformation: attribute(7, 'IFLA_IPTUN_FLOWINFO', be32),
  flags: attribute(8, 'IFLA_IPTUN_FLAGS', ip6tunnelFlags),
  collectMetadata: attribute(19, 'IFLA_IPTUN_COLLECT_METADATA', flag, { since: '4.9' }),
})

/** `GRE_CSUM`, `GRE_KEY`, `GRE_SEQ`: what the header carries. A key alone does nothing without its flag. */
const greFlags = bits(be16, { checksum: 0x8000, key: 0x2000, sequence: 0x1000 })

/** What gre and ip6gre have in common. */
const greCommon = {
  link: attribute(1, 'IFLA_GRE_LINK', u32),
  incomingFlags: attribute(2, 'IFLA_GRE_IFLAGS', greFlags),
  outgoingFlags: attribute(3, 'IFLA_GRE_OFLAGS', greFlags),
  incomingKey: attribute(4, 'IFLA_GRE_IKEY', be32),
  outgoingKey: attribute(5, 'IFLA_GRE_OKEY', be32),
  encapsulation: attribute(14, 'IFLA_GRE_ENCAP_TYPE', encapsulation),
  encapsulationFlags: attribute(15, 'IFLA_GRE_ENCAP_FLAGS', encapsulationFlags),
  encapsulationSourcePort: attribute(16, 'IFLA_GRE_ENCAP_SPORT', be16),
  encapsulationDestinationPort: attribute(17, 'IFLA_GRE_ENCAP_DPORT', be16),
  collectMetadata: attribute(18, 'IFLA_GRE_COLLECT_METADATA', flag, { since: '4.3' }),
  firewallMark: attribute(20, 'IFLA_GRE_FWMARK', u32, { since: '4.12' }),
}

/** GRE over IPv4. */
export const gre = attributeTable('IFLA_GRE', {
  ...greCommon,
  local: attribute(6, 'IFLA_GRE_LOCAL', ipv4Address),
  remote: attribute(7, 'IFLA_GRE_REMOTE', ipv4Address),
  ttl: attribute(8, 'IFLA_GRE_TTL', u8),
  tos: attribute(9, 'IFLA_GRE_TOS', u8),
  pathMtuDiscovery: attribute(10, 'IFLA_GRE_PMTUDISC', boolean8),
  ignoreDontFragment: attribute(19, 'IFLA_GRE_IGNORE_DF', boolean8, { since: '4.8' }),
})

/** GRE over IPv6. */
export const ip6gre = attributeTable('IFLA_GRE', {
  ...greCommon,
  local: attribute(6, 'IFLA_GRE_LOCAL', ipv6Address),
  remote: attribute(7, 'IFLA_GRE_REMOTE', ipv6Address),
  /** Hop limit. */
  ttl: attribute(8, 'IFLA_GRE_TTL', u8),
  encapsulationLimit: attribute(11, 'IFLA_GRE_ENCAP_LIMIT', u8),
  /** Traffic class and flow label as they stand in the packet. */
  flowInformation: attribute(12, 'IFLA_GRE_FLOWINFO', be32),
  flags: attribute(13, 'IFLA_GRE_FLAGS', ip6tunnelFlags),
})

/** IFLA_INFO_KIND, and what is within IFLA_INFO_DATA beside it. */
export const kinds = {
  veth,
  bridge,
  dummy: none,
  vlan,
  macvlan,
  ipvlan,
  vxlan,
  geneve,
  ipip,
  sit,
  ip6tnl: ip6tunnel,
  gre,
  ip6gre,
} as const
/** Kinds of links that can be made. */
export type LinkKind = keyof typeof kinds

/** What the kernel must have for it. */
export const modules = {
  veth: 'veth (CONFIG_VETH)',
  bridge: 'bridge (CONFIG_BRIDGE)',
  dummy: 'dummy (CONFIG_DUMMY)',
  vlan: '8021q (CONFIG_VLAN_8021Q)',
  macvlan: 'macvlan (CONFIG_MACVLAN)',
  ipvlan: 'ipvlan (CONFIG_IPVLAN)',
  vxlan: 'vxlan (CONFIG_VXLAN)',
  geneve: 'geneve (CONFIG_GENEVE)',
  ipip: 'ipip (CONFIG_NET_IPIP)',
  sit: 'sit (CONFIG_IPV6_SIT)',
  ip6tnl: 'ip6_tunnel (CONFIG_IPV6_TUNNEL)',
  gre: 'ip_gre (CONFIG_NET_IPGRE)',
  ip6gre: 'ip6_gre (CONFIG_IPV6_GRE)',
} as const satisfies Readonly<Record<LinkKind, string>>

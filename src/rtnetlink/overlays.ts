/**
 * What links that carry Ethernet within UDP have of their own: vxlan, geneve. Source: include/uapi/linux/if_link.h;
 * policies in drivers/net/vxlan/vxlan_core.c, drivers/net/geneve.c.
 */
import {
  attribute,
  attributeTable,
  be16,
  be32,
  bytesOf,
  flag,
  ipv4Address,
  ipv6Address,
  named,
  u32,
  u8,
} from '../netlink/index.js'
import { boolean8, field, structure } from '../netlink/index.js'
import { toldFlag } from './types.js'

const ports = { lowest: field(0, 'low', be16), highest: field(2, 'high', be16) }
export const vxlanPorts = structure('struct ifla_vxlan_port_range', 4, ports)
export const genevePorts = structure('struct ifla_geneve_port_range', 4, ports)

export const vxlan = attributeTable('IFLA_VXLAN', {
  /** The network's number (VNI), 0 to 16,777,215; with `collectMetadata` that of every packet. */
  id: attribute(1, 'IFLA_VXLAN_ID', u32),
  /** The other end, or the multicast group of all ends, which takes `link`. */
  remoteIpv4: attribute(2, 'IFLA_VXLAN_GROUP', ipv4Address),
  /** Index of the link that it goes over. */
  link: attribute(3, 'IFLA_VXLAN_LINK', u32),
  localIpv4: attribute(4, 'IFLA_VXLAN_LOCAL', ipv4Address),
  /** 0: the system's default, or 1 to a group. */
  ttl: attribute(5, 'IFLA_VXLAN_TTL', u8),
  /** 1: the inner packet's. */
  tos: attribute(6, 'IFLA_VXLAN_TOS', u8),
  /** Learns which hardware address is behind which end; true unless said. */
  learning: attribute(7, 'IFLA_VXLAN_LEARNING', boolean8),
  /** How long what was learnt is kept; 300 unless said. */
  ageingSeconds: attribute(8, 'IFLA_VXLAN_AGEING', u32),
  /** So many hardware addresses at most; 0 sets no limit. */
  mostAddresses: attribute(9, 'IFLA_VXLAN_LIMIT', u32),
  /** UDP ports to send from; which one is chosen by the flow. */
  sourcePorts: attribute(10, 'IFLA_VXLAN_PORT_RANGE', vxlanPorts),
  /** Answers ARP and neighbour solicitations from its own table. */
  proxy: attribute(11, 'IFLA_VXLAN_PROXY', boolean8),
  /** Routes to what it knows to be behind another end without the way through the router. */
  routeShortCircuit: attribute(12, 'IFLA_VXLAN_RSC', boolean8),
  /** Tells by an event which hardware address it does not know. */
  l2Miss: attribute(13, 'IFLA_VXLAN_L2MISS', boolean8),
  /** Tells by an event which IP address it does not know. */
  l3Miss: attribute(14, 'IFLA_VXLAN_L3MISS', boolean8),
  /** UDP port to send to and to receive at: the kernel's default is 8472, IANA's number 4789. */
  destinationPort: attribute(15, 'IFLA_VXLAN_PORT', be16),
  remoteIpv6: attribute(16, 'IFLA_VXLAN_GROUP6', ipv6Address),
  localIpv6: attribute(17, 'IFLA_VXLAN_LOCAL6', ipv6Address),
  /** Checksums over IPv4; true unless said. */
  udpChecksum: attribute(18, 'IFLA_VXLAN_UDP_CSUM', boolean8),
  /** Sends without checksums over IPv6. */
  udpZeroChecksum6Transmit: attribute(19, 'IFLA_VXLAN_UDP_ZERO_CSUM6_TX', boolean8),
  /** Takes what comes without checksums over IPv6. */
  udpZeroChecksum6Receive: attribute(20, 'IFLA_VXLAN_UDP_ZERO_CSUM6_RX', boolean8),
  remoteChecksumTransmit: attribute(21, 'IFLA_VXLAN_REMCSUM_TX', boolean8),
  remoteChecksumReceive: attribute(22, 'IFLA_VXLAN_REMCSUM_RX', boolean8),
  /** The group policy extension: a packet's mark goes along. */
  groupPolicy: attribute(23, 'IFLA_VXLAN_GBP', flag),
  remoteChecksumNotPartial: attribute(24, 'IFLA_VXLAN_REMCSUM_NOPARTIAL', flag),
  /** Takes packets of every network; each to send says its ends and its network by a route or a filter. */
  collectMetadata: attribute(25, 'IFLA_VXLAN_COLLECT_METADATA', boolean8),
  /** Flow label of what is sent over IPv6. */
  flowLabel: attribute(26, 'IFLA_VXLAN_LABEL', be32),
  /** The generic protocol extension, with `collectMetadata` alone: what is inside need not be Ethernet. */
  genericProtocol: attribute(27, 'IFLA_VXLAN_GPE', flag),
  /** The inner packet's TTL. */
  ttlInherit: attribute(28, 'IFLA_VXLAN_TTL_INHERIT', toldFlag, { since: '4.18' }),
  /** Whether IPv4 packets may be fragmented on their way. */
  dontFragment: attribute(29, 'IFLA_VXLAN_DF', named(u8, { unset: 0, set: 1, inherit: 2 }), {
    since: '4.20',
  }),
  /** With `collectMetadata`: takes packets of those networks only that it is told. */
  vniFilter: attribute(30, 'IFLA_VXLAN_VNIFILTER', boolean8, { since: '5.18' }),
  /** What is for an end of this system goes there directly; true unless said. */
  localBypass: attribute(31, 'IFLA_VXLAN_LOCALBYPASS', boolean8, { since: '6.4' }),
  /** Where the flow label over IPv6 is from. */
  flowLabelPolicy: attribute(32, 'IFLA_VXLAN_LABEL_POLICY', named(u32, { fixed: 0, inherit: 1 }), {
    since: '6.8',
  }),
  /** Bits of the header that must be 0 in what is received. */
  reservedBits: attribute(33, 'IFLA_VXLAN_RESERVED_BITS', bytesOf(8, 8), { since: '6.14' }),
  /** Multicast packets go by the multicast routes of the system. Linux 6.18 takes it, and does not tell it. */
  multicastRoute: attribute(34, 'IFLA_VXLAN_MC_ROUTE', boolean8, { since: '6.17' }),
})

export const geneve = attributeTable('IFLA_GENEVE', {
  /** The network's number (VNI), 0 to 16,777,215. */
  id: attribute(1, 'IFLA_GENEVE_ID', u32),
  /** The other end. */
  remoteIpv4: attribute(2, 'IFLA_GENEVE_REMOTE', ipv4Address),
  /** 0: the system's default. */
  ttl: attribute(3, 'IFLA_GENEVE_TTL', u8),
  /** 1: the inner packet's. */
  tos: attribute(4, 'IFLA_GENEVE_TOS', u8),
  /** UDP port to send to and to receive at; 6081 unless said. */
  destinationPort: attribute(5, 'IFLA_GENEVE_PORT', be16),
  /** Takes packets of every network; each to send says its ends and its network by a route or a filter. */
  collectMetadata: attribute(6, 'IFLA_GENEVE_COLLECT_METADATA', flag),
  remoteIpv6: attribute(7, 'IFLA_GENEVE_REMOTE6', ipv6Address),
  /** Checksums over IPv4; true unless said. */
  udpChecksum: attribute(8, 'IFLA_GENEVE_UDP_CSUM', boolean8),
  /** Sends without checksums over IPv6. */
  udpZeroChecksum6Transmit: attribute(9, 'IFLA_GENEVE_UDP_ZERO_CSUM6_TX', boolean8),
  /** Takes what comes without checksums over IPv6. */
  udpZeroChecksum6Receive: attribute(10, 'IFLA_GENEVE_UDP_ZERO_CSUM6_RX', boolean8),
  /** Flow label of what is sent over IPv6. */
  flowLabel: attribute(11, 'IFLA_GENEVE_LABEL', be32),
  /** The inner packet's TTL. */
  ttlInherit: attribute(12, 'IFLA_GENEVE_TTL_INHERIT', boolean8, { since: '4.20' }),
  /** Whether IPv4 packets may be fragmented on their way. */
  dontFragment: attribute(13, 'IFLA_GENEVE_DF', named(u8, { unset: 0, set: 1, inherit: 2 }), {
    since: '4.20',
  }),
  /** What is inside need not be Ethernet: the link has no hardware address then. */
  innerProtocolInherit: attribute(14, 'IFLA_GENEVE_INNER_PROTO_INHERIT', flag, { since: '5.18' }),
  /** UDP ports to send from; which one is chosen by the flow. */
  sourcePorts: attribute(15, 'IFLA_GENEVE_PORT_RANGE', genevePorts, { since: '6.15' }),
  /** Tells the other end how packets that it gets together may be joined. */
  receiveOffloadHint: attribute(16, 'IFLA_GENEVE_GRO_HINT', flag, { since: '7.0' }),
  /** It receives at this address alone. */
  localIpv4: attribute(17, 'IFLA_GENEVE_LOCAL', ipv4Address, { since: '7.2' }),
  localIpv6: attribute(18, 'IFLA_GENEVE_LOCAL6', ipv6Address, { since: '7.2' }),
})

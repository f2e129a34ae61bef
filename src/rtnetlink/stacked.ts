/**
 * What links that stand on another one have of their own: vlan, macvlan, ipvlan. Source: include/uapi/linux/if_link.h,
 * if_vlan.h, if_ether.h; policies in net/8021q/vlan_netlink.c, drivers/net/macvlan.c, drivers/net/ipvlan/ipvlan_main.c.
 */
import {
  attribute,
  attributeTable,
  be16,
  bits,
  listOf,
  named,
  readOnly,
  s32,
  u16,
  u32,
} from '../netlink/index.js'
import { field, structure } from '../netlink/index.js'
import { hardwareAddress, switches } from './types.js'

/** `VLAN_FLAG_*`. */
const vlanFlag = bits(u32, {
  /** The tag is taken out of what is received, as if the hardware had done it; on unless said. */
  'reorder-header': 1,
  /** Announces itself to switches by GVRP. */
  gvrp: 2,
  /** It stays up when the link below goes down. */
  'loose-binding': 4,
  /** Announces itself to switches by MVRP. */
  mvrp: 8,
  /** It is up when a port of the bridge below, that is in this VLAN, is. */
  'bridge-binding': 0x10,
})

export const vlanFlags = structure('struct ifla_vlan_flags', 8, {
  flags: field(0, 'flags', vlanFlag),
  /** Which flags are meant. */
  mask: field(4, 'mask', vlanFlag),
})

export const vlanQosMapping = structure('struct ifla_vlan_qos_mapping', 8, {
  from: field(0, 'from', u32),
  to: field(4, 'to', u32),
})

export const vlan = attributeTable('IFLA_VLAN', {
  /** 0 to 4094. Only when it is made. */
  id: attribute(1, 'IFLA_VLAN_ID', u16),
  /** What is left out stays as it is. */
  flags: attribute(2, 'IFLA_VLAN_FLAGS', switches(vlanFlags)),
  /** Which priority (0 to 7) a packet's own becomes in the tag of what is sent. */
  egressPriorities: attribute(3, 'IFLA_VLAN_EGRESS_QOS', listOf(vlanQosMapping, 1, 0)),
  /** Which priority a packet gets of the one (0 to 7) in the tag of what is received. */
  ingressPriorities: attribute(4, 'IFLA_VLAN_INGRESS_QOS', listOf(vlanQosMapping, 1, 0)),
  /** `802.1q` unless said. Only when it is made. */
  protocol: attribute(5, 'IFLA_VLAN_PROTOCOL', named(be16, { '802.1q': 0x8100, '802.1ad': 0x88a8 })),
})

export const macvlan = attributeTable('IFLA_MACVLAN', {
  /** Whom it hears of those on the same link; `vepa` unless said. */
  mode: attribute(
    1,
    'IFLA_MACVLAN_MODE',
    named(u32, { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 }),
  ),
  /** `no-promiscuous`, with the mode `passthru`: the link below does not become promiscuous. */
  flags: attribute(2, 'IFLA_MACVLAN_FLAGS', bits(u16, { 'no-promiscuous': 1, 'no-destination-copy': 2 })),
  /** In the mode `source`: `add` and `delete` take `sourceAddress`, `set` takes `sourceAddresses`, `flush` none. */
  addressChange: attribute(
    3,
    'IFLA_MACVLAN_MACADDR_MODE',
    named(u32, { add: 0, delete: 1, flush: 2, set: 3 }),
  ),
  /** One hardware address for `addressChange`. */
  sourceAddress: attribute(4, 'IFLA_MACVLAN_MACADDR', hardwareAddress),
  /** Whose packets it takes, in the mode `source`. */
  sourceAddresses: attribute(5, 'IFLA_MACVLAN_MACADDR_DATA', listOf(hardwareAddress, 4, 0)),
  sourceAddressCount: readOnly(6, 'IFLA_MACVLAN_MACADDR_COUNT', u32),
  /** Packets to all and to groups that may wait; the most that any on the same link asks for is used. */
  broadcastQueueLength: attribute(7, 'IFLA_MACVLAN_BC_QUEUE_LEN', u32, { since: '5.11' }),
  broadcastQueueLengthUsed: readOnly(8, 'IFLA_MACVLAN_BC_QUEUE_LEN_USED', u32, { since: '5.11' }),
  /** Packets for more than so many of them wait in that queue; 1 unless said, -1 none. */
  broadcastCutoff: attribute(9, 'IFLA_MACVLAN_BC_CUTOFF', s32, { since: '6.4' }),
})

export const ipvlan = attributeTable('IFLA_IPVLAN', {
  /** `l3` unless said; it is the mode of every one on the same link. */
  mode: attribute(1, 'IFLA_IPVLAN_MODE', named(u16, { l2: 0, l3: 1, l3s: 2 })),
  /** `private`: they do not reach each other. `vepa`: only by a switch outside. Neither: as bridged. */
  flags: attribute(2, 'IFLA_IPVLAN_FLAGS', bits(u16, { private: 1, vepa: 2 }), { since: '4.15' }),
})

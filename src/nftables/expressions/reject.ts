/** Refuses the packet and says so. */
import { attribute, attributeTable, be32, named, u8 } from '../../netlink/index.js'

export const reject = attributeTable('NFTA_REJECT', {
  type: attribute(1, 'NFTA_REJECT_TYPE', named(be32, { icmp: 0, 'tcp-reset': 1, icmpx: 2 })),
  /** Of ICMP or ICMPv6; of icmpx 0 no-route, 1 port-unreachable, 2 host-unreachable, 3 admin-prohibited. */
  icmpCode: attribute(2, 'NFTA_REJECT_ICMP_CODE', u8),
})

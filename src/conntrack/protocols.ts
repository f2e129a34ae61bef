/** Transport protocols that flows are of. Source: include/uapi/linux/in.h, in6.h. */
import { named, type NameOf, u8 } from '../netlink/index.js'

/** `IPPROTO_*`. */
export const protocol = named(u8, {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
})
/** By name; one without a name here is its number as text (`'89'`), which may also be given. */
export type FlowProtocol = NameOf<typeof protocol>

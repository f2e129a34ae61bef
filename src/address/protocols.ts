/** Protocols above IP, by their names. Source: include/uapi/linux/in.h, in6.h. */

/** `IPPROTO_*`. */
export const ipProtocols = {
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
} as const

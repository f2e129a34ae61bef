/** Which of the kernel's constants stand behind the names that the project has for flags, types and commands. */

/** The headers that hold them. The C library's comes first: the kernel's then leave out what it has. */
export const headers = [
  'sys/socket.h',
  'asm/byteorder.h',
  'linux/fou.h',
  'linux/genetlink.h',
  'linux/icmpv6.h',
  'linux/if.h',
  'linux/if_addr.h',
  'linux/if_arp.h',
  'linux/if_bridge.h',
  'linux/if_link.h',
  'linux/if_tunnel.h',
  'linux/in.h',
  'linux/ip6_tunnel.h',
  'linux/ip_vs.h',
  'linux/neighbour.h',
  'linux/netlink.h',
  'linux/rtnetlink.h',
  'linux/veth.h',
]

/** Constants that are in a header of the kernel which programs do not get, with the reason. */
export const beyondUapi = new Map([
  ['IP6_TNL_F_CAP_XMIT', 'include/net/ip6_tunnel.h: the kernel only tells it'],
  ['IP6_TNL_F_CAP_RCV', 'include/net/ip6_tunnel.h: the kernel only tells it'],
  ['IP6_TNL_F_CAP_PER_PACKET', 'include/net/ip6_tunnel.h: the kernel only tells it'],
])

/** Constants that are written in C otherwise than by their name alone. */
export const expressionOf = new Map([
  // It is the complement of the flags, an int; the attribute's type is a u16.
  ['NLA_TYPE_MASK', '(__u16)NLA_TYPE_MASK'],
])

/** Structures of which we read the first part alone: newer kernels append to them. */
export const partOfStructure = new Set(['struct rtnl_link_stats', 'struct rtnl_link_stats64'])

/** The constants behind a set of names, which is told by its names; C expressions. */
export function constantsOf(names: object): Readonly<Record<string, string>> | undefined {
  const keys = Object.keys(names).join()
  return Object.values(nameSets).find((constants) => Object.keys(constants).join() === keys)
}

/** Names with a prefix: `prefixed('IFF_', { up: 'UP' })`. */
function prefixed<const T extends Readonly<Record<string, string>>>(prefix: string, names: T): T {
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, `${prefix}${name}`])) as T
}

export const nameSets: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'IPVS commands': prefixed('IPVS_CMD_', {
    newService: 'NEW_SERVICE',
    setService: 'SET_SERVICE',
    deleteService: 'DEL_SERVICE',
    getService: 'GET_SERVICE',
    newDestination: 'NEW_DEST',
    setDestination: 'SET_DEST',
    deleteDestination: 'DEL_DEST',
    getDestination: 'GET_DEST',
    newDaemon: 'NEW_DAEMON',
    deleteDaemon: 'DEL_DAEMON',
    getDaemon: 'GET_DAEMON',
    setConfig: 'SET_CONFIG',
    getConfig: 'GET_CONFIG',
    setInfo: 'SET_INFO',
    getInfo: 'GET_INFO',
    zero: 'ZERO',
    flush: 'FLUSH',
  }),
  'IPVS service flags': prefixed('IP_VS_SVC_F_', {
    persistent: 'PERSISTENT',
    hashed: 'HASHED',
    onePacket: 'ONEPACKET',
    scheduler1: 'SCHED1',
    scheduler2: 'SCHED2',
    scheduler3: 'SCHED3',
  }),
  'IPVS forwarding methods': prefixed('IP_VS_CONN_F_', {
    masquerade: 'MASQ',
    local: 'LOCALNODE',
    tunnel: 'TUNNEL',
    'direct-route': 'DROUTE',
    bypass: 'BYPASS',
  }),
  'IPVS tunnel types': prefixed('IP_VS_CONN_F_TUNNEL_TYPE_', { ipip: 'IPIP', gue: 'GUE', gre: 'GRE' }),
  'IPVS tunnel flags': prefixed('IP_VS_TUNNEL_ENCAP_FLAG_', {
    checksum: 'CSUM',
    'remote-checksum': 'REMCSUM',
  }),
  'IPVS daemon states': prefixed('IP_VS_STATE_', { master: 'MASTER', backup: 'BACKUP' }),
  'IPVS protocols': prefixed('IPPROTO_', { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' }),
  'address families': prefixed('AF_', { ipv4: 'INET', ipv6: 'INET6' }),
  'address families of rtnetlink': prefixed('AF_', {
    unspecified: 'UNSPEC',
    ipv4: 'INET',
    bridge: 'BRIDGE',
    ipv6: 'INET6',
  }),
  messages: prefixed('RTM_', {
    newLink: 'NEWLINK',
    deleteLink: 'DELLINK',
    getLink: 'GETLINK',
    newAddress: 'NEWADDR',
    deleteAddress: 'DELADDR',
    getAddress: 'GETADDR',
    newRoute: 'NEWROUTE',
    deleteRoute: 'DELROUTE',
    getRoute: 'GETROUTE',
  }),
  groups: prefixed('RTNLGRP_', {
    link: 'LINK',
    ipv4Address: 'IPV4_IFADDR',
    ipv4Route: 'IPV4_ROUTE',
    ipv6Address: 'IPV6_IFADDR',
    ipv6Route: 'IPV6_ROUTE',
  }),
  'route tables': prefixed('RT_TABLE_', { main: 'MAIN', local: 'LOCAL' }),
  'link flags': prefixed('IFF_', {
    up: 'UP',
    broadcast: 'BROADCAST',
    debug: 'DEBUG',
    loopback: 'LOOPBACK',
    'point-to-point': 'POINTOPOINT',
    'no-trailers': 'NOTRAILERS',
    running: 'RUNNING',
    'no-arp': 'NOARP',
    promiscuous: 'PROMISC',
    'all-multicast': 'ALLMULTI',
    master: 'MASTER',
    slave: 'SLAVE',
    multicast: 'MULTICAST',
    'port-selection': 'PORTSEL',
    'auto-media': 'AUTOMEDIA',
    dynamic: 'DYNAMIC',
    'lower-up': 'LOWER_UP',
    dormant: 'DORMANT',
    echo: 'ECHO',
  }),
  'link types': prefixed('ARPHRD_', {
    netrom: 'NETROM',
    ether: 'ETHER',
    infiniband: 'INFINIBAND',
    ppp: 'PPP',
    ipip: 'TUNNEL',
    ip6tnl: 'TUNNEL6',
    loopback: 'LOOPBACK',
    sit: 'SIT',
    gre: 'IPGRE',
    ip6gre: 'IP6GRE',
    none: 'NONE',
  }),
  'operational states': prefixed('IF_OPER_', {
    unknown: 'UNKNOWN',
    'not-present': 'NOTPRESENT',
    down: 'DOWN',
    'lower-layer-down': 'LOWERLAYERDOWN',
    testing: 'TESTING',
    dormant: 'DORMANT',
    up: 'UP',
  }),
  'what a request for links wants': prefixed('RTEXT_FILTER_', { vf: 'VF', 'skip-statistics': 'SKIP_STATS' }),
  'address generation': prefixed('IN6_ADDR_GEN_MODE_', {
    eui64: 'EUI64',
    none: 'NONE',
    'stable-privacy': 'STABLE_PRIVACY',
    random: 'RANDOM',
  }),
  'address flags': prefixed('IFA_F_', {
    secondary: 'SECONDARY',
    'no-dad': 'NODAD',
    optimistic: 'OPTIMISTIC',
    'dad-failed': 'DADFAILED',
    'home-address': 'HOMEADDRESS',
    deprecated: 'DEPRECATED',
    tentative: 'TENTATIVE',
    permanent: 'PERMANENT',
    'manage-temporary': 'MANAGETEMPADDR',
    'no-prefix-route': 'NOPREFIXROUTE',
    'multicast-auto-join': 'MCAUTOJOIN',
    'stable-privacy': 'STABLE_PRIVACY',
  }),
  scopes: prefixed('RT_SCOPE_', {
    universe: 'UNIVERSE',
    site: 'SITE',
    link: 'LINK',
    host: 'HOST',
    nowhere: 'NOWHERE',
  }),
  'route types': prefixed('RTN_', {
    unspecified: 'UNSPEC',
    unicast: 'UNICAST',
    local: 'LOCAL',
    broadcast: 'BROADCAST',
    anycast: 'ANYCAST',
    multicast: 'MULTICAST',
    blackhole: 'BLACKHOLE',
    unreachable: 'UNREACHABLE',
    prohibit: 'PROHIBIT',
    throw: 'THROW',
  }),
  'route protocols': prefixed('RTPROT_', {
    unspecified: 'UNSPEC',
    redirect: 'REDIRECT',
    kernel: 'KERNEL',
    boot: 'BOOT',
    static: 'STATIC',
    'router-advertisement': 'RA',
    zebra: 'ZEBRA',
    bird: 'BIRD',
    dhcp: 'DHCP',
    keepalived: 'KEEPALIVED',
    bgp: 'BGP',
    isis: 'ISIS',
    ospf: 'OSPF',
    rip: 'RIP',
  }),
  'route flags': {
    ...prefixed('RTNH_F_', {
      dead: 'DEAD',
      pervasive: 'PERVASIVE',
      onlink: 'ONLINK',
      offload: 'OFFLOAD',
      'link-down': 'LINKDOWN',
      unresolved: 'UNRESOLVED',
      trap: 'TRAP',
    }),
    ...prefixed('RTM_F_', { notify: 'NOTIFY', cloned: 'CLONED', prefix: 'PREFIX' }),
  },
  'next hop flags': prefixed('RTNH_F_', {
    dead: 'DEAD',
    pervasive: 'PERVASIVE',
    onlink: 'ONLINK',
    offload: 'OFFLOAD',
    'link-down': 'LINKDOWN',
    unresolved: 'UNRESOLVED',
    trap: 'TRAP',
  }),
  'route preferences': prefixed('ICMPV6_ROUTER_PREF_', { medium: 'MEDIUM', high: 'HIGH', low: 'LOW' }),
  'protocols inside a tunnel': prefixed('IPPROTO_', { any: 'IP', ipip: 'IPIP', ipv6: 'IPV6', mpls: 'MPLS' }),
  'protocols of a fou port': prefixed('IPPROTO_', { any: 'IP', ipip: 'IPIP', ipv6: 'IPV6', gre: 'GRE' }),
  'tunnel encapsulations': prefixed('TUNNEL_ENCAP_', { none: 'NONE', fou: 'FOU', gue: 'GUE', mpls: 'MPLS' }),
  'tunnel encapsulation flags': prefixed('TUNNEL_ENCAP_FLAG_', {
    checksum: 'CSUM',
    checksum6: 'CSUM6',
    'remote-checksum': 'REMCSUM',
  }),
  'ip6tnl flags': prefixed('IP6_TNL_F_', {
    'ignore-encapsulation-limit': 'IGN_ENCAP_LIMIT',
    'use-original-traffic-class': 'USE_ORIG_TCLASS',
    'use-original-flow-label': 'USE_ORIG_FLOWLABEL',
    'mobile-ipv6': 'MIP6_DEV',
    'receive-dscp-copy': 'RCV_DSCP_COPY',
    'use-original-firewall-mark': 'USE_ORIG_FWMARK',
    'allow-local-remote': 'ALLOW_LOCAL_REMOTE',
    'cap-transmit': 'CAP_XMIT',
    'cap-receive': 'CAP_RCV',
    'cap-per-packet': 'CAP_PER_PACKET',
  }),
  // The header has them in network order, our type too.
  'GRE flags': {
    checksum: '__be16_to_cpu(GRE_CSUM)',
    key: '__be16_to_cpu(GRE_KEY)',
    sequence: '__be16_to_cpu(GRE_SEQ)',
  },
  'fou commands': prefixed('FOU_CMD_', { add: 'ADD', delete: 'DEL', get: 'GET' }),
  'fou encapsulations': prefixed('FOU_ENCAP_', { direct: 'DIRECT', gue: 'GUE' }),
}

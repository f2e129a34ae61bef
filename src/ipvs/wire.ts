/**
 * IPVS over generic netlink: every attribute, once. Source: include/uapi/linux/ip_vs.h; policies and conversions in
 * net/netfilter/ipvs/ip_vs_ctl.c. Numbers are in the host's byte order unless their type says `be`.
 */
import { lengthOfNetmask, netmaskOfLength, readIPv4, writeIPv4 } from '../address/index.js'
import { MalformedMessageError } from '../errors/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  bits,
  type Decoded,
  inetAddressUnion,
  InvalidValue,
  ipAddress,
  named,
  nested,
  nulString,
  pad,
  readOnly,
  repeated,
  u16,
  u32,
  u32AsBigint,
  u64,
  u64AsNumber,
  u8,
} from '../netlink/index.js'

export const IPVS_GENL_NAME = 'IPVS'
export const IPVS_GENL_VERSION = 1

/** `IPVS_CMD_*`. */
export const command = {
  newService: 1,
  setService: 2,
  deleteService: 3,
  getService: 4,
  newDestination: 5,
  setDestination: 6,
  deleteDestination: 7,
  getDestination: 8,
  newDaemon: 9,
  deleteDaemon: 10,
  getDaemon: 11,
  setConfig: 12,
  getConfig: 13,
  setInfo: 14,
  getInfo: 15,
  zero: 16,
  flush: 17,
} as const

/** AF_INET, AF_INET6. */
export const family = named(u16, { ipv4: 2, ipv6: 10 })
/** IPPROTO_*: what IPVS balances. */
export const protocol = named(u16, { tcp: 6, udp: 17, sctp: 132 })
/** `IP_VS_CONN_F_FWD_MASK`: how packets reach the real server. */
export const forwardingMethod = named(u32, {
  masquerade: 0,
  local: 1,
  tunnel: 2,
  'direct-route': 3,
  bypass: 4,
})
/** `IP_VS_CONN_F_TUNNEL_TYPE_*`. */
export const tunnelType = named(u8, { ipip: 0, gue: 1, gre: 2 })
/** `IP_VS_TUNNEL_ENCAP_FLAG_*`. */
export const tunnelFlags = bits(u16, { checksum: 1, 'remote-checksum': 2 })
/** `IP_VS_STATE_*`. */
export const daemonState = named(u32, { master: 1, backup: 2 })

/** `IP_VS_SVC_F_*`. */
export const serviceFlag = {
  persistent: 1,
  hashed: 2,
  onePacket: 4,
  scheduler1: 8,
  scheduler2: 0x10,
  scheduler3: 0x20,
} as const

/** `struct ip_vs_flags`: which bits are meant, and what they are. On reading, the mask is all ones. */
export interface FlagsAndMask {
  readonly flags: number
  readonly mask: number
}

const flagsAndMask: AttributeType<FlagsAndMask> = {
  name: 'struct ip_vs_flags',
  expected: 'flags and their mask',
  write(writer, { flags, mask }) {
    writer.u32(flags)
    writer.u32(mask)
  },
  read(bytes, view, offset, length, record) {
    if (length < 8) throw new MalformedMessageError(`struct ip_vs_flags of ${length} bytes`, offset)
    return {
      flags: u32.read(bytes, view, offset, 4, record),
      mask: u32.read(bytes, view, offset + 4, 4, record),
    }
  },
}

const netmaskExpected =
  'a prefix length (IPv4 0 to 32, IPv6 1 to 128) or an IPv4 netmask such as 255.255.255.0'

/**
 * A network-order mask for IPv4, a prefix length in host order for IPv6 (ip_vs_genl_parse_service). A prefix length to
 * the user, or a dotted mask where the ones of an IPv4 mask are not in a row.
 */
const persistenceNetmask: AttributeType<number | string> = {
  name: 'be32 netmask (IPv4) or u32 prefix length (IPv6)',
  expected: netmaskExpected,
  deferred: true,
  write(writer, value, record) {
    if ((record as { readonly family?: unknown }).family === 'ipv6') {
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 128) {
        throw new InvalidValue(netmaskExpected)
      }
      return writer.u32(value)
    }
    if (typeof value === 'number') {
      if (!Number.isInteger(value) || value < 0 || value > 32) throw new InvalidValue(netmaskExpected)
      writer.view.setUint32(writer.length, netmaskOfLength(value))
    } else if (!writeIPv4(value, writer.bytes, writer.length)) {
      throw new InvalidValue(netmaskExpected)
    }
    writer.length += 4
  },
  read(bytes, view, offset, length, record) {
    const number = u32.read(bytes, view, offset, length, record)
    if ((record as { readonly family?: unknown }).family === 'ipv6') return number
    return lengthOfNetmask(view.getUint32(offset)) ?? readIPv4(bytes, offset)
  },
}

/** `IPVS_STATS_ATTR_*` within STATS64 (Linux 4.1): everything u64. */
export const statistics = attributeTable('IPVS_STATS_ATTR', {
  /** Connections scheduled. */
  connections: readOnly(1, 'IPVS_STATS_ATTR_CONNS', u64, { always: true }),
  incomingPackets: readOnly(2, 'IPVS_STATS_ATTR_INPKTS', u64, { always: true }),
  /** Stays 0 with direct routing and tunnels: answers go past the director. */
  outgoingPackets: readOnly(3, 'IPVS_STATS_ATTR_OUTPKTS', u64, { always: true }),
  incomingBytes: readOnly(4, 'IPVS_STATS_ATTR_INBYTES', u64, { always: true }),
  outgoingBytes: readOnly(5, 'IPVS_STATS_ATTR_OUTBYTES', u64, { always: true }),
  /** New connections a second: the kernel's estimate over some seconds. */
  connectionsPerSecond: readOnly(6, 'IPVS_STATS_ATTR_CPS', u64AsNumber, { always: true }),
  incomingPacketsPerSecond: readOnly(7, 'IPVS_STATS_ATTR_INPPS', u64AsNumber, { always: true }),
  outgoingPacketsPerSecond: readOnly(8, 'IPVS_STATS_ATTR_OUTPPS', u64AsNumber, { always: true }),
  incomingBytesPerSecond: readOnly(9, 'IPVS_STATS_ATTR_INBPS', u64AsNumber, { always: true }),
  outgoingBytesPerSecond: readOnly(10, 'IPVS_STATS_ATTR_OUTBPS', u64AsNumber, { always: true }),
  padding: readOnly(11, 'IPVS_STATS_ATTR_PAD', pad),
})

/**
 * What a service or destination has carried. Counters are bigint, rates numbers. The kernel sums up what its CPUs have
 * counted every two seconds (ip_vs_est.c): until then they stand still.
 */
export interface Statistics extends Decoded<typeof statistics> {}

/** The same within STATS, for kernels before 4.1: u32, but for the bytes. Counters wrap at 2^32 there. */
export const statistics32 = attributeTable('IPVS_STATS_ATTR', {
  connections: readOnly(1, 'IPVS_STATS_ATTR_CONNS', u32AsBigint, { always: true }),
  incomingPackets: readOnly(2, 'IPVS_STATS_ATTR_INPKTS', u32AsBigint, { always: true }),
  outgoingPackets: readOnly(3, 'IPVS_STATS_ATTR_OUTPKTS', u32AsBigint, { always: true }),
  incomingBytes: readOnly(4, 'IPVS_STATS_ATTR_INBYTES', u64, { always: true }),
  outgoingBytes: readOnly(5, 'IPVS_STATS_ATTR_OUTBYTES', u64, { always: true }),
  connectionsPerSecond: readOnly(6, 'IPVS_STATS_ATTR_CPS', u32, { always: true }),
  incomingPacketsPerSecond: readOnly(7, 'IPVS_STATS_ATTR_INPPS', u32, { always: true }),
  outgoingPacketsPerSecond: readOnly(8, 'IPVS_STATS_ATTR_OUTPPS', u32, { always: true }),
  incomingBytesPerSecond: readOnly(9, 'IPVS_STATS_ATTR_INBPS', u32, { always: true }),
  outgoingBytesPerSecond: readOnly(10, 'IPVS_STATS_ATTR_OUTBPS', u32, { always: true }),
  padding: readOnly(11, 'IPVS_STATS_ATTR_PAD', pad),
})

/** `IPVS_SVC_ATTR_*`: a virtual service. */
export const service = attributeTable('IPVS_SVC_ATTR', {
  family: attribute(1, 'IPVS_SVC_ATTR_AF', family, { always: true }),
  protocol: attribute(2, 'IPVS_SVC_ATTR_PROTOCOL', protocol),
  address: attribute(3, 'IPVS_SVC_ATTR_ADDR', inetAddressUnion),
  port: attribute(4, 'IPVS_SVC_ATTR_PORT', be16),
  firewallMark: attribute(5, 'IPVS_SVC_ATTR_FWMARK', u32),
  scheduler: attribute(6, 'IPVS_SVC_ATTR_SCHED_NAME', nulString(15), { always: true }),
  flags: attribute(7, 'IPVS_SVC_ATTR_FLAGS', flagsAndMask, { always: true }),
  persistenceTimeoutSeconds: attribute(8, 'IPVS_SVC_ATTR_TIMEOUT', u32, { always: true }),
  persistenceNetmask: attribute(9, 'IPVS_SVC_ATTR_NETMASK', persistenceNetmask, { always: true }),
  persistenceEngine: attribute(11, 'IPVS_SVC_ATTR_PE_NAME', nulString(15)),
  statistics: readOnly(12, 'IPVS_SVC_ATTR_STATS64', repeated(nested(statistics)), {
    always: true,
    since: '4.1',
    instead: { number: 10, constant: 'IPVS_SVC_ATTR_STATS', type: nested(statistics32) },
  }),
})

/** A service as it is on the wire. */
export interface WireService extends Decoded<typeof service> {}

/** `IPVS_DEST_ATTR_*`: a destination, which is what IPVS calls a real server. */
export const destination = attributeTable('IPVS_DEST_ATTR', {
  address: attribute(1, 'IPVS_DEST_ATTR_ADDR', inetAddressUnion, { always: true }),
  port: attribute(2, 'IPVS_DEST_ATTR_PORT', be16, { always: true }),
  /** How packets reach it. What is forwarded to an address of the director is delivered there, whatever this says. */
  forwardingMethod: attribute(3, 'IPVS_DEST_ATTR_FWD_METHOD', forwardingMethod, { always: true }),
  /** Share of new connections; 0 drains: existing connections stay. */
  weight: attribute(4, 'IPVS_DEST_ATTR_WEIGHT', u32, { always: true }),
  /** No new connections from this many on; 0: no limit. */
  upperThreshold: attribute(5, 'IPVS_DEST_ATTR_U_THRESH', u32, { always: true }),
  /** New ones again below this many; 0: three quarters of the upper one. */
  lowerThreshold: attribute(6, 'IPVS_DEST_ATTR_L_THRESH', u32, { always: true }),
  /** TCP connections in their handshake (since Linux 4.8) and while established; SCTP associations while established. */
  activeConnections: readOnly(7, 'IPVS_DEST_ATTR_ACTIVE_CONNS', u32, { always: true }),
  /** All others: closing connections, and every UDP flow. */
  inactiveConnections: readOnly(8, 'IPVS_DEST_ATTR_INACT_CONNS', u32, { always: true }),
  /** Persistence templates that point here. */
  persistentConnections: readOnly(9, 'IPVS_DEST_ATTR_PERSIST_CONNS', u32, { always: true }),
  /** Since 3.18 it may differ from the service's, with tunnelling. Always sent, or IPv6 would be cut to IPv4. */
  family: attribute(11, 'IPVS_DEST_ATTR_ADDR_FAMILY', family, { always: true, since: '3.18' }),
  statistics: readOnly(12, 'IPVS_DEST_ATTR_STATS64', repeated(nested(statistics)), {
    always: true,
    since: '4.1',
    instead: { number: 10, constant: 'IPVS_DEST_ATTR_STATS', type: nested(statistics32) },
  }),
  /** Of forwarding method `tunnel`. */
  tunnelType: attribute(13, 'IPVS_DEST_ATTR_TUN_TYPE', tunnelType, { since: '5.2' }),
  /** UDP port that GUE is sent to. */
  tunnelPort: attribute(14, 'IPVS_DEST_ATTR_TUN_PORT', be16, { since: '5.2' }),
  /** Of GUE and GRE. */
  tunnelFlags: attribute(15, 'IPVS_DEST_ATTR_TUN_FLAGS', tunnelFlags, { since: '5.3' }),
})

/** A destination as the kernel has it. Numbers of connections are of now; statistics of all its time. */
export interface Destination extends Decoded<typeof destination> {}

/** `IPVS_DAEMON_ATTR_*`: the connection synchronisation daemon, one each as master and as backup. */
export const daemon = attributeTable('IPVS_DAEMON_ATTR', {
  state: attribute(1, 'IPVS_DAEMON_ATTR_STATE', daemonState, { always: true }),
  /** Interface that it multicasts on. */
  interface: attribute(2, 'IPVS_DAEMON_ATTR_MCAST_IFN', nulString(15), { always: true }),
  /** 0 to 255; a backup takes what carries its own id, 0 takes all. */
  syncId: attribute(3, 'IPVS_DAEMON_ATTR_SYNC_ID', u32, { always: true }),
  /** Bytes of a sync message; the MTU decides if left out. */
  maximumLength: attribute(4, 'IPVS_DAEMON_ATTR_SYNC_MAXLEN', u16, { since: '4.3' }),
  multicastGroup: attribute(5, 'IPVS_DAEMON_ATTR_MCAST_GROUP', ipAddress, { since: '4.3' }),
  multicastGroup6: attribute(6, 'IPVS_DAEMON_ATTR_MCAST_GROUP6', ipAddress, { since: '4.3' }),
  /** The first UDP port; in the host's order, unlike every other port. */
  multicastPort: attribute(7, 'IPVS_DAEMON_ATTR_MCAST_PORT', u16, { since: '4.3' }),
  multicastTtl: attribute(8, 'IPVS_DAEMON_ATTR_MCAST_TTL', u8, { since: '4.3' }),
})

/** `IPVS_CMD_ATTR_*`: what stands at the top of a message. */
export const top = attributeTable('IPVS_CMD_ATTR', {
  service: attribute(1, 'IPVS_CMD_ATTR_SERVICE', nested(service)),
  destination: attribute(2, 'IPVS_CMD_ATTR_DEST', nested(destination)),
  daemon: attribute(3, 'IPVS_CMD_ATTR_DAEMON', nested(daemon)),
  /** Seconds; 0 leaves it as it is. */
  tcpTimeoutSeconds: attribute(4, 'IPVS_CMD_ATTR_TIMEOUT_TCP', u32),
  tcpFinTimeoutSeconds: attribute(5, 'IPVS_CMD_ATTR_TIMEOUT_TCP_FIN', u32),
  udpTimeoutSeconds: attribute(6, 'IPVS_CMD_ATTR_TIMEOUT_UDP', u32),
})

/** `IPVS_INFO_ATTR_*`: the reply to GET_INFO, at the top of its message. */
export const info = attributeTable('IPVS_INFO_ATTR', {
  /** 0x010201 for 1.2.1. */
  version: readOnly(1, 'IPVS_INFO_ATTR_VERSION', u32, { always: true }),
  connectionTableSize: readOnly(2, 'IPVS_INFO_ATTR_CONN_TAB_SIZE', u32, { always: true }),
})

/** Every table of this family, for the tests that hold them against the kernel's headers. */
export const tables = { top, service, destination, daemon, info, statistics, statistics32 } as const

/** Numbers of netlink itself. Source: include/uapi/linux/netlink.h. */
import { endianness } from 'node:os'

/** Netlink headers and most payloads are in the host's byte order. */
export const hostIsLittleEndian = endianness() === 'LE'

/** Links, addresses, routes. */
export const NETLINK_ROUTE = 0
/** Who has which sockets. */
export const NETLINK_SOCK_DIAG = 4
/** nf_tables, connection tracking. */
export const NETLINK_NETFILTER = 12
/** Families by name: IPVS is one. */
export const NETLINK_GENERIC = 16

/** Bytes of `struct nlmsghdr`. */
export const NLMSG_HDRLEN = 16
/** A message that says nothing. */
export const NLMSG_NOOP = 1
/** An error, or with number 0 an acknowledgement. */
export const NLMSG_ERROR = 2
/** The end of a dump. */
export const NLMSG_DONE = 3
/** Data were lost; no kernel sends it today. */
export const NLMSG_OVERRUN = 4

/** Set on every request. */
export const NLM_F_REQUEST = 0x1
/** One of several messages, ended by NLMSG_DONE. */
export const NLM_F_MULTI = 0x2
/** Asks for an acknowledgement of success, too. */
export const NLM_F_ACK = 0x4
/** Asks for the notification that others get. */
export const NLM_F_ECHO = 0x8
/** The table changed while it was dumped. */
export const NLM_F_DUMP_INTR = 0x10
/** The dump was filtered as asked. */
export const NLM_F_DUMP_FILTERED = 0x20
/** For get requests: the whole table (NLM_F_ROOT | NLM_F_MATCH). */
export const NLM_F_DUMP = 0x300
/** For new requests. */
export const NLM_F_REPLACE = 0x100
/** Do not touch what is there: EEXIST. */
export const NLM_F_EXCL = 0x200
/** Make it if it is not there. */
export const NLM_F_CREATE = 0x400
/** Put it at the end. */
export const NLM_F_APPEND = 0x800
/** In acknowledgements: the request was not copied back; attributes follow. */
export const NLM_F_CAPPED = 0x100
/** In acknowledgements: attributes follow (extended acknowledgement). */
export const NLM_F_ACK_TLVS = 0x200

/** Bytes of `struct nlattr`. */
export const NLA_HDRLEN = 4
/** Set on the type of an attribute that holds attributes. */
export const NLA_F_NESTED = 0x8000
/** The type without its flags. */
export const NLA_TYPE_MASK = 0x3fff

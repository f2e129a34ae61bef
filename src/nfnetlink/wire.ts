/** What all of netfilter's families have in common. Source: include/uapi/linux/netfilter/nfnetlink.h. */
import { attribute, attributeTable, be32, named, NLMSG_HDRLEN, u8 } from '../netlink/index.js'

/** `NFNL_SUBSYS_*`: the upper byte of a message's type. */
export const subsystem = { conntrack: 1, conntrackExpect: 2, nftables: 10 } as const
/** `NFNLGRP_*`: multicast groups. */
export const netfilterGroup = {
  conntrackNew: 1,
  conntrackUpdate: 2,
  conntrackDestroy: 3,
  expectNew: 4,
  expectUpdate: 5,
  expectDestroy: 6,
  nftables: 7,
  nftrace: 9,
} as const
/** `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`. */
export const batchMessage = { begin: 16, end: 17 } as const

/** `NFPROTO_*`: which packets it is about. */
export const netfilterFamilies = {
  unspecified: 0,
  inet: 1,
  ip: 2,
  arp: 3,
  netdev: 5,
  bridge: 7,
  ip6: 10,
} as const
/** `NFPROTO_*` by name. */
export type NetfilterFamily = keyof typeof netfilterFamilies
export const netfilterFamily = named(u8, netfilterFamilies)

/** `struct nfgenmsg`: family, version 0, resource id. */
export const NFGENMSG_BYTES = 4
/** Bytes before the first attribute of a netfilter message. */
export const attributesAt = NLMSG_HDRLEN + NFGENMSG_BYTES

/** `NFNL_BATCH_*`: attributes of the message that begins a batch. */
export const batch = attributeTable('NFNL_BATCH', {
  generation: attribute(1, 'NFNL_BATCH_GENID', be32),
})

/** For the test that holds tables against the kernel's headers. */
export const tables = { batch } as const

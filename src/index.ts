/**
 * Virtual services and real servers in the Linux kernel.
 *
 * Importing loads no addon: that happens at the first open, so editors, bundlers and users of the pure parts work on
 * any platform.
 */
export type { AddressFamily } from './address/index.js'
export * from './errors/index.js'
export * from './ipvs/index.js'
export { toJson } from './json.js'
export type { Netns } from './net/index.js'
export type { BatchOutcome, CallOptions, Transport } from './netlink/index.js'

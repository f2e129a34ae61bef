/** The edge of a network: who is master, and the addresses that go with it. `viaduct/edge`. */
export type { Leader, LeaderEvent, LeaderListener } from './leader.js'
export { VrrpLeader, type VrrpStatus } from './vrrp/leader.js'
export type { HealthEffect, VrrpOptions } from './vrrp/options.js'
export type { VrrpChecksum, VrrpFault } from './vrrp/packet.js'

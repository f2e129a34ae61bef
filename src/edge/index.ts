/** The edge of a network: who is master, and the addresses that go with it. `viaduct/edge`. */
export { type AddressesChange, VirtualAddresses, type VirtualAddressesOptions } from './addresses.js'
export type { AnnounceSchedule } from './announcer.js'
export { EdgeBalancer, type EdgeBalancerOptions, type EdgeBalancerProblem } from './balancer.js'
export {
  type HealthCheckFailure,
  HealthCheckServer,
  type HealthCheckServerOptions,
} from './health-check-server.js'
export type { Leader, LeaderEvent, LeaderListener } from './leader.js'
export { type HeldLock, leaderFromLock, type Lock } from './lock-leader.js'
export {
  nodeBackends,
  type NodeBackends,
  type NodeBackendsInput,
  type NodeBackendsProblem,
  type NodeCheck,
} from './node-backends.js'
export type { NodeCheckOptions } from './node-checks.js'
export {
  type LoadBalancerProvider,
  PoolProvider,
  type ProviderOptions,
  type PoolProviderOptions,
  type ServiceName,
} from './provider.js'
export {
  prepareRealServer,
  type RealServerChange,
  type RealServerOptions,
  type RealServerTunnel,
  undoRealServer,
} from './real-server.js'
export { VirtualRouter, type VirtualRouterOptions, type VirtualRouterStatus } from './virtual-router.js'
export { VrrpLeader, type VrrpStatus } from './vrrp/leader.js'
export type { HealthEffect, VrrpOptions } from './vrrp/options.js'
export type { VrrpChecksum, VrrpFault } from './vrrp/packet.js'

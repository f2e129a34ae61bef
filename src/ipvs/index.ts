/** IPVS: virtual services and real servers in the kernel. `viaduct/ipvs`. */
export {
  type Daemon,
  type DaemonInput,
  Ipvs,
  IpvsBatch,
  type IpvsOptions,
  type ServiceEntry,
  type Timeouts,
} from './client.js'
export {
  type ConnectionEnd,
  type ConnectionFilter,
  connections,
  type ConnectionsOptions,
  type ConnectionState,
  type IpvsConnection,
  parseConnections,
} from './connections.js'
export {
  diagnose,
  type DiagnoseOptions,
  type Diagnosis,
  type Finding,
  type Level,
  type ModuleState,
} from './diagnose.js'
export type { DrainOptions, DrainResult } from './drain.js'
export type { IpvsInfo } from './info.js'
export {
  type AddressKey,
  type DestinationInput,
  type DestinationKey,
  type FirewallMarkKey,
  type ForwardingMethod,
  type Protocol,
  type Service,
  type ServiceInput,
  type ServiceKey,
  type ServiceOptions,
  type TunnelType,
} from './input.js'
export type { IpvsOperation } from './operations.js'
export type { ServerKey } from './plan.js'
export {
  type SchedulerFacts,
  schedulerFacts,
  type SchedulerFlag,
  type SchedulerName,
  schedulers,
} from './schedulers.js'
export { IpvsService, type IpvsServiceOptions, type ServiceStatistics } from './service.js'
export { ServersAbortedError, type ServersChange } from './ledger.js'
export { Servers, type SetServersOptions } from './servers.js'
export { type ConnectionSync, type ConnectionSyncOptions, syncConnections } from './sync.js'
export {
  IpvsSettings,
  type Setting,
  type SettingKey,
  ipvsSettings,
  type SettingsInput,
  type SettingType,
  type SettingValues,
  type SyncThreshold,
} from './sysctl.js'
export type { ServiceEvent, WatchOptions } from './watch.js'
export type { Destination, Statistics } from './wire.js'

/** What puts services into the kernel. */
export type {
  Applied,
  ApplyOptions,
  Capabilities,
  Dataplane,
  DataplaneKind,
  DataplaneOptions,
  DataplanePlan,
  NodeSettings,
  ProgrammedService,
  ProgrammedServer,
  ServerStatistics,
  ServiceStatistics,
  SynchronizeOptions,
} from './dataplane.js'
export { openDataplane, type OpenOptions } from './open.js'

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
} from './dataplane.js'
export { openDataplane, type OpenOptions } from './open.js'

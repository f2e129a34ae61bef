/** What services are: pure, without the kernel and without a clock. */
export type { Condition } from './condition.js'
export {
  formatEndpoint,
  type Frontend,
  type RealServer,
  type ServiceChange,
  type ServiceProtocol,
  type Servers,
  type TrafficPolicy,
  type VirtualService,
} from './virtual-service.js'
export type {
  KubernetesObject,
  ModelObject,
  ObjectKind,
  ObjectReference,
  ServerInput,
  ServiceInput,
  ServicePortInput,
} from './objects.js'

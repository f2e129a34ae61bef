/** What services are: pure, without the kernel and without a clock. */
export type { AllocateOptions, Allocation } from './allocator.js'
export { poolAnnotation, schedulerAnnotation, weightAnnotation } from './annotations.js'
export type { Condition } from './condition.js'
export { formatChange } from './format.js'
export type {
  KubernetesObject,
  ModelObject,
  ObjectKind,
  ObjectReference,
  ServerInput,
  ServiceInput,
  ServicePortInput,
} from './objects.js'
export type { ModelProblem } from './problem.js'
export type {
  EndpointRecord,
  PortRecord,
  ServiceRecord,
  ServiceType,
  SlicePort,
  SliceRecord,
} from './records.js'
export {
  type Labels,
  matches,
  readSelector,
  type Requirement,
  type Selector,
  type SelectorInput,
} from './selector.js'
export type { HealthCheck } from './builder.js'
export {
  type KnownPod,
  type KnownService,
  type ModelChange,
  ModelFollower,
  type ModelNews,
  ServiceModel,
  type ServiceModelOptions,
} from './service-model.js'
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

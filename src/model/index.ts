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
export { poolAnnotation, schedulerAnnotation, weightAnnotation } from './annotations.js'
export type { ModelProblem } from './problem.js'
export type { SelectorInput } from './selector.js'
export { type ModelChange, ServiceModel, type ServiceModelOptions } from './service-model.js'

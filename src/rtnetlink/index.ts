/** Links, addresses, routes, rules and neighbours of a network namespace. `viaduct/rtnetlink`. */
export {
  Addresses,
  type AddressFlag,
  type InterfaceAddress,
  type InterfaceAddressInput,
  type InterfaceAddressKey,
  type Scope,
} from './addresses.js'
export { Rtnetlink, type RtnetlinkOptions } from './client.js'
export type { EventOptions, RtnetlinkEvent, RtnetlinkObjectKind, RtnetlinkObjects } from './events.js'
export { type FouPort, type FouPortInput, FouPorts } from './fou.js'
export {
  linkFlags,
  linkType,
  neighbourFlags,
  neighbourState,
  routeFlags,
  routeProtocol,
  routeType,
  ruleAction,
  ruleFlags,
  scope,
} from './headers.js'
export { kinds, type LinkKind } from './kinds.js'
export {
  type CommonLinkChanges,
  type Link,
  type LinkChanges,
  type LinkFilter,
  type LinkInput,
  type LinkOwn,
  Links,
  type LinkSettings,
  type LinkState,
  type PeerInput,
} from './links.js'
export {
  type Neighbour,
  type NeighbourFilter,
  type NeighbourFlag,
  type NeighbourInput,
  type NeighbourKey,
  Neighbours,
  type NeighbourState,
} from './neighbours.js'
export type { Device } from './requests.js'
export {
  type NextHop,
  type NextHopInput,
  type Route,
  type RouteFilter,
  type RouteFlag,
  type RouteInput,
  type RouteMetrics,
  type RouteProtocol,
  Routes,
  type RouteType,
} from './routes.js'
export {
  type PortRange,
  type Rule,
  type RuleAction,
  type RuleFilter,
  type RuleFlag,
  type RuleInput,
  Rules,
} from './rules.js'
export type {
  Field,
  FieldIn,
  FieldOut,
  Layout,
  Structure,
  StructureInput,
  StructureValue,
} from '../netlink/index.js'
export type { Switches } from './types.js'
export { addressFlags, type LinkData, type LinkDataInput } from './wire.js'

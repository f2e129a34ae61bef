/** Links, addresses and routes of a network namespace. `viaduct/rtnetlink`. */
export {
  Addresses,
  type AddressFlag,
  type InterfaceAddress,
  type InterfaceAddressInput,
  type InterfaceAddressKey,
  type Scope,
} from './addresses.js'
export { Rtnetlink, type RtnetlinkOptions } from './client.js'
export { type FouPort, type FouPortInput, FouPorts } from './fou.js'
export { linkFlags, linkType, routeFlags, routeProtocol, routeType, scope } from './headers.js'
export { kinds, type LinkKind } from './kinds.js'
export {
  type Link,
  type LinkChanges,
  type LinkInput,
  Links,
  type LinkSettings,
  type LinkState,
  type PeerInput,
} from './links.js'
export type { Device } from './requests.js'
export {
  type NextHop,
  type NextHopInput,
  type Route,
  type RouteFilter,
  type RouteFlag,
  type RouteInput,
  type RouteProtocol,
  Routes,
  type RouteType,
} from './routes.js'
export type {
  Field,
  FieldIn,
  FieldOut,
  Layout,
  Structure,
  StructureInput,
  StructureValue,
} from '../netlink/index.js'
export { addressFlags, type LinkData, type LinkDataInput } from './wire.js'

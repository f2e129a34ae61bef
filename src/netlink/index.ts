/** Netlink: transport, framing, attribute tables. `viaduct/netlink`, for those who write a family of their own. */
export { type Decode, type Encode, forEachAttribute, pathAtOffset } from './codec.js'
export { Connection } from './connection.js'
export * from './constants.js'
export { eventsOf } from './events.js'
export { permissionHint, type Target } from './failure.js'
export { type Acknowledgement, forEachMessage, readAcknowledgement, viewOf } from './message.js'
export type { AtomicOutcome, BatchCodec, BatchOutcome, CallOptions, ReadReply, Request } from './request.js'
export { openSocket, type SocketOptions } from './socket.js'
export {
  type Field,
  field,
  type FieldIn,
  type FieldOut,
  type Layout,
  type Structure,
  structure,
  type StructureInput,
  type StructureValue,
} from './structure.js'
export {
  attribute,
  type AttributeTable,
  attributeTable,
  type Decoded,
  type Encodable,
  listOf,
  nested,
  readOnly,
  repeated,
  type Row,
  type Rows,
  type RowOptions,
  shallow,
  type TableRow,
  type Unknown,
  type UnknownAttribute,
} from './table.js'
export type { EventListener, Replies, RequestKind, Transport, TransportEvent } from './transport.js'
export {
  type AttributeType,
  be16,
  be32,
  be64,
  be64AsNumber,
  bits,
  boolean8,
  bytesOf,
  type FieldsTable,
  flag,
  inetAddressUnion,
  InvalidValue,
  ipAddress,
  ipv4Address,
  ipv6Address,
  isObject,
  named,
  type NameOf,
  nulString,
  omitting,
  pad,
  s32,
  sbe32,
  type Since,
  u16,
  u32,
  u32AsBigint,
  u64,
  u64AsNumber,
  u8,
} from './types.js'
export { Writer } from './writer.js'

/** Sockets of a network namespace: who listens, who is connected, and ending them. `viaduct/sockdiag`. */
export { Sockdiag, type SockdiagOptions } from './client.js'
export type { SocketFilter } from './filter.js'
export type { SocketProcess } from '../processes.js'
export type { DiagSocket, OwnedSocket, SocketKey, SocketProtocol, SocketState } from './socket.js'
export type { SocketAttributes, SocketRecord } from './wire.js'

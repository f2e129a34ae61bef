import type { NameOf } from '../netlink/index.js'
import type { SocketProcess } from '../processes.js'
import type { protocol, SocketAttributes, SocketRecord, state } from './wire.js'

/** Whose sockets are known here. */
export type SocketProtocol = NameOf<typeof protocol>
/** States of TCP. UDP has two: `established` if it is connected, else `close`. */
export type SocketState = NameOf<typeof state>

/** A socket of somebody's. */
export interface DiagSocket extends SocketRecord, SocketAttributes {
  /** Of what it speaks. */
  readonly protocol: SocketProtocol
}

/** A socket with those who hold it. */
export interface OwnedSocket extends DiagSocket {
  /** None where this process may not see them, or where the kernel holds it alone. */
  readonly processes: readonly SocketProcess[]
}

/** What tells a socket from all others. The cookie may be left out: then the addresses and ports alone do. */
export type SocketKey = Pick<
  DiagSocket,
  'family' | 'protocol' | 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'
> &
  Partial<Pick<DiagSocket, 'interface' | 'cookie'>>

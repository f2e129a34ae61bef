/** What a run of ours sends, as bytes: what the C program sends once more. */
import { closeSync, openSync, writeSync } from 'node:fs'
import {
  NETLINK_NETFILTER,
  openSocket,
  type RequestKind,
  type Transport,
} from '../../../src/netlink/index.js'
import type { Place } from '../processes.js'

/** As peer.c has them. */
const kinds: Readonly<Record<RequestKind, number>> = { batch: 0, dumps: 1, atomic: 2 }

/** A socket in the namespace that writes what is sent into a file, from `begin` to `end`. */
export function recorder(netns: Place): Transport & { begin(file: string): void; end(): void } {
  const socket = openSocket({ protocol: NETLINK_NETFILTER, netns, ...buffers })
  let file: number | undefined
  const keep = (request: Uint8Array, length: number, kind: RequestKind): void => {
    if (file === undefined) return
    writeSync(file, Uint32Array.of(kinds[kind], length))
    writeSync(file, request, 0, length)
  }
  return {
    exchangeSync(request, length, kind, deadline) {
      keep(request, length, 'batch')
      return socket.exchangeSync!(request, length, kind, deadline)
    },
    exchange(request, length, kind, ...given) {
      keep(request, length, kind)
      return socket.exchange(request, length, kind, ...given)
    },
    subscribe: socket.subscribe?.bind(socket),
    portId: socket.portId,
    close: () => socket.close(),
    begin: (path) => void (file = openSync(path, 'w', 0o600)),
    end: () => {
      closeSync(file!)
      file = undefined
    },
  }
}

/** As the clients open theirs. */
const buffers = { sendBufferBytes: 64 << 20, receiveBufferBytes: 16 << 20 }

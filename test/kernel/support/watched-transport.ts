/** Sockets, of NETLINK_NETFILTER unless said, that show what goes through them, before it is sent and after it was answered. */
import {
  forEachMessage,
  NETLINK_NETFILTER,
  openSocket,
  type Replies,
  type RequestKind,
  type Transport,
  type TransportEvent,
  viewOf,
} from '../../../src/netlink/index.js'
import type { Netns } from '../../../src/net/index.js'
import { subsystem } from '../../../src/nfnetlink/index.js'
import { message as flowMessage } from '../../../src/conntrack/wire.js'
import type { KindName, Outputs } from '../../../src/nftables/index.js'
import { readObject } from '../../../src/nftables/reading.js'
import { message } from '../../../src/nftables/wire.js'

/** What is told, and what may be made of it. */
export interface Watcher {
  /** Throwing keeps it from being sent. */
  sending?(request: Uint8Array): void
  /** Answers in place of the kernel, which is sent nothing then. */
  instead?(request: Uint8Array, kind: RequestKind): Promise<Replies> | undefined
  /** The kernel has done it, and its answer waits. What is returned is taken for it. */
  answered?(request: Uint8Array, replies: Replies): Promise<Replies>
  /** Undefined drops it. */
  event?(event: TransportEvent): TransportEvent | undefined
}

/** As the dataplane's own sockets are. */
export function watchedTransport(netns: Netns, watcher: Watcher, protocol = NETLINK_NETFILTER): Transport {
  const bufferBytes = 64 * 1024 * 1024
  const inner = openSocket({
    protocol,
    netns,
    sendBufferBytes: bufferBytes,
    receiveBufferBytes: bufferBytes,
  })
  const isPatient = watcher.instead === undefined && watcher.answered === undefined
  return {
    portId: inner.portId,
    // Who answers when it likes cannot do it at once.
    exchangeSync: isPatient
      ? (request, length, kind, deadline) => {
          watcher.sending?.(request.slice(0, length))
          return inner.exchangeSync!(request, length, kind, deadline)
        }
      : undefined,
    async exchange(request, length, kind, deadline, into) {
      const sent = request.slice(0, length)
      watcher.sending?.(sent)
      const instead = watcher.instead?.(sent, kind)
      if (instead !== undefined) return await instead
      const replies = await inner.exchange(request, length, kind, deadline, into)
      return watcher.answered === undefined ? replies : await watcher.answered(sent, replies)
    },
    subscribe: (groups, listener) =>
      inner.subscribe!(groups, (event) => {
        const told = watcher.event === undefined ? event : watcher.event(event)
        if (told !== undefined) listener(told)
      }),
    close: () => inner.close(),
  }
}

/** A message that changes something. */
export interface Write {
  /** `flow` is one of connection tracking's. */
  readonly kind: KindName | 'flow'
  readonly isDelete: boolean
  readonly family?: string | undefined
  /** The table that it is in, or is. */
  readonly table?: string | undefined
  readonly object?: Outputs[KindName] | undefined
  readonly bytes: number
}

const reads: ReadonlySet<number> = new Set([
  message.getTable,
  message.getChain,
  message.getRule,
  message.getSet,
  message.getElements,
  message.getGeneration,
])
const flowReads: ReadonlySet<number> = new Set([
  flowMessage.get,
  flowMessage.getStatistics,
  flowMessage.getStatisticsOfCpus,
])

/** Those of what was sent. @throws TypeError for what is neither known to read nor to write */
export function writesIn(request: Uint8Array): Write[] {
  const view = viewOf(request)
  const found: Write[] = []
  forEachMessage(request, view, (type, _flags, _sequence, offset, end) => {
    const bytes = end - offset
    const [of, what] = [type >> 8, type & 0xff]
    // The begin and the end of a batch.
    if (type === 16 || type === 17) return
    if (of === subsystem.nftables && reads.has(what)) return
    if (of === subsystem.conntrack && flowReads.has(what)) return
    if (of === subsystem.conntrack && (what === flowMessage.new || what === flowMessage.delete)) {
      found.push({ kind: 'flow', isDelete: what === flowMessage.delete, bytes })
      return
    }
    const read = readObject(request, view, offset, end, type)
    if (read === undefined) throw new TypeError(`message ${type} is neither known to read nor to write`)
    const { kind, isGone, object } = read
    const { family, table, name } = object as { family: string; table?: string; name?: string }
    found.push({
      kind,
      isDelete: isGone,
      family,
      table: kind === 'table' ? name : table,
      object,
      bytes,
    })
  })
  return found
}

/** Everything that is sent, to be looked at afterwards. */
export class Recorder implements Watcher {
  #sent: Uint8Array[] = []

  sending(request: Uint8Array): void {
    this.#sent.push(request)
  }

  /** Since it was asked last. */
  take(): { readonly sends: number; readonly writes: Write[] } {
    const sent = this.#sent
    this.#sent = []
    return { sends: sent.length, writes: sent.flatMap(writesIn) }
  }
}

/** Events of nf_tables: what was made and deleted by anybody, and what traced packets went through. */
import { eventsOf, hostIsLittleEndian, type Transport } from '../netlink/index.js'
import { netfilterGroup, NFGENMSG_BYTES, readHeader, subsystem } from '../nfnetlink/index.js'
import { type Family, familyOfNumber } from './hooks.js'
import { type ReadObject, readObject } from './reading.js'
import {
  generation as generationTable,
  type Generation,
  message,
  trace as traceTable,
  type TraceRecord,
} from './wire.js'

/** What a monitor tells. */
export type NftablesEvent =
  | ({ readonly event: 'made' | 'gone' } & Pick<ReadObject, 'kind' | 'object'>)
  /** A transaction is whole: what was told before it belongs to it. */
  | {
      readonly event: 'generation'
      readonly id: number
      readonly processId?: number
      readonly processName?: string
    }
  /** Events were lost: read the ruleset anew. */
  | { readonly event: 'resynchronise' }

/** What befell a packet at one place of the ruleset. */
export interface TraceEvent extends TraceRecord {
  /** Which event it is. */
  readonly event: 'trace'
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family: Family
}
/** What a trace tells. */
export type NftablesTrace = TraceEvent | { readonly event: 'resynchronise' }

/** What of all events is told. */
export interface MonitorOptions {
  /** Ends it. */
  readonly signal?: AbortSignal | undefined
  /** Nothing of what this client's own transactions do. It costs next to nothing: none of it is read. */
  readonly others?: boolean | undefined
}

export function monitor(
  transport: Transport,
  { signal, others = false }: MonitorOptions,
): AsyncIterableIterator<NftablesEvent> {
  const own = others ? transport.portId : undefined
  return eventsOf<NftablesEvent>(
    transport,
    netfilterGroup.nftables,
    (bytes, view, type, offset, end) => {
      // nlmsg_pid, the last field of the header: whose request it comes of (nf_tables_api.c, nft_ctx.portid).
      if (own !== undefined && view.getUint32(offset - 4, hostIsLittleEndian) === own) return undefined
      if (type === ((subsystem.nftables << 8) | message.newGeneration)) {
        const { id, processId, processName } = generationTable.decode(
          bytes,
          view,
          offset + NFGENMSG_BYTES,
          end,
        ) as Generation
        return {
          event: 'generation',
          id,
          ...(processId === undefined ? {} : { processId }),
          ...(processName === undefined ? {} : { processName }),
        }
      }
      const found = readObject(bytes, view, offset, end, type)
      return found && { event: found.isGone ? 'gone' : 'made', kind: found.kind, object: found.object }
    },
    () => ({ event: 'resynchronise' }),
    signal,
  )
}

export function trace(transport: Transport, signal?: AbortSignal): AsyncIterableIterator<NftablesTrace> {
  return eventsOf<NftablesTrace>(
    transport,
    netfilterGroup.nftrace,
    (bytes, view, type, offset, end) => {
      if (type !== ((subsystem.nftables << 8) | message.trace)) return undefined
      const record = traceTable.decode(bytes, view, offset + NFGENMSG_BYTES, end) as TraceRecord
      return { event: 'trace', family: familyOfNumber(readHeader(view, offset).family), ...record }
    },
    () => ({ event: 'resynchronise' }),
    signal,
  )
}

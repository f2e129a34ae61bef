/** Events of the connection table: flows that begin, change and end, whoever does it. */
import { eventsOf, NLM_F_CREATE, type Transport } from '../netlink/index.js'
import { netfilterGroup, subsystem } from '../nfnetlink/index.js'
import { compileFilter, type FlowFilter } from './filter.js'
import { type Flow, readFlow } from './flow.js'
import { message } from './wire.js'

/** What can befall a flow: it begins, changes (its state, flags, mark, …) or ends. */
export type EventKind = 'new' | 'update' | 'destroy'

/** What a subscription tells. */
export type ConntrackEvent =
  | {
      /** What befell it. */
      readonly event: EventKind
      /** What the kernel tells of it: what changed and what tells it from others; never how many hold it. */
      readonly flow: Flow
    }
  /** Events were lost: read the table anew. */
  | { readonly event: 'resynchronise' }

/** Which events are wanted, and until when. */
export interface EventsOptions {
  /** All unless said. The kernel sends no others. */
  readonly kinds?: readonly EventKind[] | undefined
  /** Of which flows. Chosen here: what an event does not tell (of counters, of the mark of a flow that ended) does not fit. */
  readonly filter?: FlowFilter | undefined
  /** Ends it. */
  readonly signal?: AbortSignal | undefined
}

const groups: Readonly<Record<EventKind, number>> = {
  new: netfilterGroup.conntrackNew,
  update: netfilterGroup.conntrackUpdate,
  destroy: netfilterGroup.conntrackDestroy,
}

const made = (subsystem.conntrack << 8) | message.new
const gone = (subsystem.conntrack << 8) | message.delete

export function events(
  transport: Transport,
  { kinds = ['new', 'update', 'destroy'], filter, signal }: EventsOptions,
): AsyncIterableIterator<ConntrackEvent> {
  const matches = filter === undefined ? undefined : compileFilter(filter).matches
  return eventsOf<ConntrackEvent>(
    transport,
    // One socket for all: a flow's end must not be told before its beginning.
    kinds.map((kind) => groups[kind]),
    (bytes, view, type, offset, end, flags) => {
      if (type !== made && type !== gone) return undefined
      const flow = readFlow(bytes, view, offset, end)
      if (matches?.(flow) === false) return undefined
      return { event: type === gone ? 'destroy' : (flags & NLM_F_CREATE) !== 0 ? 'new' : 'update', flow }
    },
    () => ({ event: 'resynchronise' }),
    signal,
  )
}

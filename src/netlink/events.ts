import { EventQueue } from '../event-queue.js'
import { forEachMessage, viewOf } from './message.js'
import type { Transport, TransportEvent } from './transport.js'

/**
 * Events of a multicast group, or of several in their order, as they come, each read by `read` (undefined leaves it out).
 * Subscribed at the call, so that nothing is missed before the first is asked for. It is over when the loop is left; an aborted signal, the end of the
 * socket and a malformed message throw. `onOverrun` makes of events that were lost one that says so.
 */
export function eventsOf<T>(
  transport: Transport,
  groups: number | readonly number[],
  read: (
    bytes: Uint8Array,
    view: DataView,
    type: number,
    offset: number,
    end: number,
    flags: number,
  ) => T | undefined,
  onOverrun: () => T,
  signal: AbortSignal | undefined,
): AsyncIterableIterator<T> {
  signal?.throwIfAborted()
  if (transport.subscribe === undefined) throw new Error('this transport has no events')
  let stop: (() => void) | undefined
  const events = new EventQueue<T>({ signal, ended: () => stop?.() })
  const take = (event: TransportEvent): void => {
    if ('error' in event) return events.end({ error: event.error })
    if ('overrun' in event) return events.push(onOverrun())
    const { bytes } = event
    const view = viewOf(bytes)
    try {
      forEachMessage(bytes, view, (type, flags, _sequence, offset, last) => {
        const found = read(bytes, view, type, offset, last, flags)
        if (found !== undefined) events.push(found)
      })
    } catch (error) {
      events.end({ error })
    }
  }
  try {
    stop = transport.subscribe(groups, take)
  } catch (error) {
    events.end()
    throw error
  }
  return events
}

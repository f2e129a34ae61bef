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
  const waiting: { resolve(result: IteratorResult<T>): void; reject(error: unknown): void }[] = []
  const queue: T[] = []
  let failure: { readonly error: unknown } | undefined
  let isOver = false
  const push = (event: T): void => {
    const next = waiting.shift()
    if (next === undefined) queue.push(event)
    else next.resolve({ value: event, done: false })
  }
  const end = (error?: { readonly error: unknown }): void => {
    if (isOver) return
    isOver = true
    // Told once: to who waits, or else to who asks next.
    failure = waiting.length === 0 ? error : undefined
    stop()
    signal?.removeEventListener('abort', onAbort)
    for (const next of waiting.splice(0)) {
      if (error === undefined) next.resolve({ value: undefined, done: true })
      else next.reject(error.error)
    }
  }
  const take = (event: TransportEvent): void => {
    if ('error' in event) return end({ error: event.error })
    if ('overrun' in event) return push(onOverrun())
    const { bytes } = event
    const view = viewOf(bytes)
    try {
      forEachMessage(bytes, view, (type, flags, _sequence, offset, last) => {
        const found = read(bytes, view, type, offset, last, flags)
        if (found !== undefined) push(found)
      })
    } catch (error) {
      end({ error })
    }
  }
  const onAbort = (): void => end({ error: signal?.reason })
  signal?.throwIfAborted()
  if (transport.subscribe === undefined) throw new Error('this transport has no events')
  const stop = transport.subscribe(groups, take)
  signal?.addEventListener('abort', onAbort)
  return {
    next() {
      const value = queue.shift()
      if (value !== undefined) return Promise.resolve({ value, done: false })
      if (failure !== undefined) {
        const { error } = failure
        failure = undefined
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is whatever it is
        return Promise.reject(error)
      }
      if (isOver) return Promise.resolve({ value: undefined, done: true })
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
    return() {
      end()
      queue.length = 0
      return Promise.resolve({ value: undefined, done: true })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** Commands that print events as they come. */
import { toJson } from '../json.js'
import type { Invocation } from './command.js'
import { write } from './streams.js'

/** Events were lost: the receive buffer was full. */
interface Lost {
  readonly event: 'resynchronise'
}

/** What is printed until it is interrupted. */
export interface Following<E> {
  /** Subscribed at the call. */
  readonly events: (signal: AbortSignal) => AsyncIterable<E | Lost>
  /** One or several lines; empty for what is not shown. */
  readonly textOf: (event: E) => string | Promise<string>
  /** What is said if some were lost, and what to do then. It goes on. */
  readonly lost: string
}

/** A line for each event, until it is interrupted. */
export function follow<E extends { readonly event: string }>(
  { streams, isJson, signal: given }: Invocation,
  { events, textOf, lost }: Following<E>,
): Promise<void> {
  return untilInterrupted(given, async (signal) => {
    for await (const event of events(signal)) {
      const text = isJson ? toJson(event) : isLost(event) ? '' : await textOf(event)
      if (text !== '') await write(streams.stdout, `${text}\n`)
      if (isLost(event)) await write(streams.stderr, `${lost}\n`)
    }
  })
}

function isLost(event: { readonly event: string }): event is Lost {
  return event.event === 'resynchronise'
}

/** Until ^C, SIGTERM or `given`: to be ended so is no failure. The second ^C ends the process. */
async function untilInterrupted(
  given: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  const signal = given === undefined ? interrupted.signal : AbortSignal.any([given, interrupted.signal])
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupt)
  try {
    await work(signal)
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, interrupt)
  }
}

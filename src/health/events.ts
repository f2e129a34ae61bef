/** What is told of health: every change, with its reason. */
import { EventQueue } from '../event-queue.js'

/** What happened. */
export type HealthEventKind =
  /** A server has a verdict, or another one. */
  | 'up'
  | 'down'
  /** Its check cannot be run from here; it can again. The verdict stays as it is meanwhile. */
  | 'check-blocked'
  | 'check-unblocked'
  /** It goes up and down too often and is kept out; it comes back. */
  | 'damped'
  | 'undamped'
  /** The kernel's numbers speak against it; its time is over. */
  | 'ejected'
  | 'returned'
  /** It is taken out of its service; it is in again. */
  | 'taken-out'
  | 'put-back'
  /** It is out and silent: its connections are ended, as `onFailure` says. */
  | 'connections-ended'
  /** It should be out and stays in, because too many are out already; that is over. */
  | 'kept-in'
  | 'no-longer-kept'
  /** It has another weight: a slow start, or what an agent says. */
  | 'weight'
  /** The service has too few servers; it has enough. */
  | 'quorum-lost'
  | 'quorum-met'

/** One change. */
export interface HealthEvent {
  /** What it tells. */
  readonly event: HealthEventKind
  /** The service's key. */
  readonly service: string
  /** Which server; undefined for what is of the service as a whole. */
  readonly server?: { readonly address: string; readonly port: number } | undefined
  /** Why, for people. */
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** The new weight, of what changes it. */
  readonly weight?: number | undefined
}

/** Events were lost, because nobody took them: read the state anew. */
export interface EventsLost {
  /** What it tells. */
  readonly event: 'resynchronise'
}

/** So many wait for one reader; then they are lost. */
const mostWaiting = 10_000

/** Those who read events, each at its own pace. */
export class EventQueues {
  readonly #readers = new Set<EventQueue<HealthEvent | EventsLost>>()

  push(event: HealthEvent): void {
    for (const reader of this.#readers) reader.push(event)
  }

  /** Nothing comes any more: what waits is read first. */
  end(): void {
    for (const reader of [...this.#readers]) reader.end()
  }

  /** @throws what the signal says, if it is aborted already */
  open(signal: AbortSignal | undefined): AsyncIterableIterator<HealthEvent | EventsLost> {
    const reader = new EventQueue<HealthEvent | EventsLost>({
      signal,
      ended: () => this.#readers.delete(reader),
      bound: { most: mostWaiting, instead: () => ({ event: 'resynchronise' }) },
    })
    this.#readers.add(reader)
    return reader
  }
}

/** How clients' TCP connections go, as connection tracking sees them: numbers for `rules.ejection`. */
import type { Conntrack, ConntrackEvent, Flow } from '../conntrack/index.js'
import { number } from './rules.js'
import type { PassiveSample } from './ejection.js'

/** Which connections count, and how. */
export interface ConntrackPassiveOptions {
  /** A connection that nobody has answered after so long has failed; 3,000 unless said. */
  readonly answerMilliseconds?: number | undefined
  /** Ends it. So does closing the client. */
  readonly signal?: AbortSignal | undefined
}

interface Server {
  readonly address: string
  readonly port: number
  /** Of which it is known whether they were answered: a failure is told together with its connection. */
  connections: number
  failures: number
  /** When something of it was seen last. */
  seenAt: number
}

/** A connection that nobody has answered yet. */
interface Unanswered {
  readonly server: Server
  readonly since: number
}

/** A server without connections is forgotten, and counted anew when it has some. */
const forgottenAfterMilliseconds = 3_600_000
/** More are not remembered: a flood of SYNs says nothing of a server. */
const mostUnanswered = 65_536

/**
 * Counts by the events of a client, from now on, for all services of its namespace: one function is the `passive` of any number of
 * them. Connections are those whose destination is translated to a server's. Failed ones are those that are refused, reset by
 * either end, or not answered in time.
 *
 * Takes connection tracking on the way of both directions, and its events (`net.netfilter.nf_conntrack_events`, usually on). What it
 * costs is an event or two for each connection. Where events are lost it counts anew.
 * @returns what to give as `passive`; it throws once the events are over
 * @throws ValidationError for options that are none
 */
export function conntrackPassive(
  conntrack: Conntrack,
  { answerMilliseconds = 3000, signal }: ConntrackPassiveOptions = {},
): () => PassiveSample[] {
  const counts = new Counts(number('answerMilliseconds', answerMilliseconds, 1, 2 ** 31 - 1))
  void counts.follow(conntrack.events({ filter: { protocol: 'tcp' }, signal }))
  return () => counts.samples(performance.now())
}

class Counts {
  readonly #answerMilliseconds: number
  /** By address and port. */
  readonly #servers = new Map<string, Server>()
  /** In the order in which they began. */
  readonly #unanswered = new Map<string, Unanswered>()
  /** Connections that were reset, until they are gone. */
  readonly #reset = new Set<string>()
  #end: Error | undefined

  constructor(answerMilliseconds: number) {
    this.#answerMilliseconds = answerMilliseconds
  }

  async follow(events: AsyncIterable<ConntrackEvent>): Promise<void> {
    try {
      for await (const event of events) this.#take(event, performance.now())
      throw new Error('there are no more events')
    } catch (error) {
      this.#end = error as Error
    }
  }

  samples(now: number): PassiveSample[] {
    if (this.#end !== undefined) throw this.#end
    for (const [key, { server, since }] of this.#unanswered) {
      if (since + this.#answerMilliseconds > now) break
      this.#unanswered.delete(key)
      server.connections++
      server.failures++
    }
    for (const [key, { seenAt }] of this.#servers) {
      if (seenAt + forgottenAfterMilliseconds < now) this.#servers.delete(key)
    }
    return [...this.#servers.values()].map(({ address, port, connections, failures }) => ({
      address,
      port,
      connections,
      failures,
    }))
  }

  #take(event: ConntrackEvent, now: number): void {
    if (event.event === 'resynchronise') {
      this.#servers.clear()
      this.#unanswered.clear()
      this.#reset.clear()
      return
    }
    const { flow } = event
    const server = this.#serverOf(flow)
    if (server === undefined) return
    server.seenAt = now
    const key = keyOf(flow)
    if (event.event === 'new') {
      if (this.#unanswered.size < mostUnanswered) this.#unanswered.set(key, { server, since: now })
    } else if (event.event === 'destroy') {
      // A reset that answers the first packet ends the flow at once (nf_conntrack_tcp_packet), and nothing else ends it so soon.
      if (this.#unanswered.delete(key)) {
        server.connections++
        server.failures++
      }
      this.#reset.delete(key)
    } else {
      if (flow.status.includes('seen-reply') && this.#unanswered.delete(key)) server.connections++
      // Only a reset leads there; it may be told again.
      if (flow.tcp?.state !== 'close' || this.#reset.has(key)) return
      this.#reset.add(key)
      server.failures++
    }
  }

  /** Undefined where the destination is not translated: who serves then is not known. */
  #serverOf({ original, reply }: Flow): Server | undefined {
    const { source: address, sourcePort: port } = reply
    if (port === undefined) return undefined
    if (address === original.destination && port === original.destinationPort) return undefined
    const key = `${address} ${port}`
    let server = this.#servers.get(key)
    if (server === undefined) {
      server = { address, port, connections: 0, failures: 0, seenAt: 0 }
      this.#servers.set(key, server)
    }
    return server
  }
}

/** A tuple alone may be used again as soon as it is free, and an id may be shared. */
function keyOf({ id, original }: Flow): string {
  return `${id} ${original.source} ${original.sourcePort}`
}

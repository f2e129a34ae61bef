/** The network of a situation, made: those who answer, witnesses at every host, and single tries of packets. */
import type { Socket } from 'node:net'
import { isKernelError } from '../../src/errors/index.js'
import { formatEndpoint } from '../../src/model/index.js'
import { type Host, type Sandbox, sandbox } from '../../src/testing/index.js'
import type { Listener, NetworkPlan } from './plan.js'
import type { Packet } from './situation.js'
import { type Refusal, type Sighting, watchArrivals, watchRefusals } from './witness.js'

/** What became of one try. */
export type Outcome =
  | ({ readonly result: 'answered' } & Answer)
  /** `TCP reset`, `port unreachable`, … */
  | { readonly result: 'refused'; readonly how: string; readonly milliseconds: number }
  | { readonly result: 'silence' }
  /** Nothing that any situation allows. */
  | { readonly result: 'odd'; readonly what: string }

/** What the one who answers says of itself, and of the client as it sees it. */
export interface Answer {
  readonly host: string
  /** `10.0.0.1:80`. */
  readonly at: string
  readonly peer: string
  readonly peerPort: number
}

/** One try. */
export interface Attempt {
  readonly packet: Packet
  readonly from: string
  readonly fromPort: number
  readonly outcome: Outcome
}

/** In the order of the kernel's own choices, these come last: nobody else takes them. */
const firstPort = 40_000
const lastPort = 65_000

export class Network {
  readonly #net: Sandbox
  readonly #plan: NetworkPlan
  readonly #awaiting = new Map<number, (refusal: Refusal) => void>()
  #sightings: Sighting[] = []
  #attempts: Attempt[] = []
  #nextPort = firstPort

  private constructor(net: Sandbox, plan: NetworkPlan) {
    this.#net = net
    this.#plan = plan
  }

  /** Ends with `close`; whatever ends the process, nothing is left behind. */
  static async make(plan: NetworkPlan): Promise<Network> {
    const net = await sandbox(plan.layout)
    const network = new Network(net, plan)
    try {
      for (const listener of plan.listeners) await network.#listen(listener)
      network.#watch()
      return network
    } catch (error) {
      await net.close()
      throw error
    }
  }

  get node(): Host {
    return this.#host('node')
  }

  /** Addresses that are the node's: its own, and those of its ends of the links. */
  get nodeAddresses(): string[] {
    const ends = this.node.interfaces.flatMap(({ address, address6 }) => [address, address6])
    return [...this.#plan.ownAddresses, ...ends].filter((address) => address !== '')
  }

  close(): Promise<void> {
    return this.#net.close()
  }

  /** Whether packets from there start on the node itself. */
  isOnNode(address: string): boolean {
    return this.#plan.hostOf(address) === 'node'
  }

  hasAffinity(packet: Packet): boolean {
    return this.#plan.hasAffinity(packet)
  }

  /** Whether there is an endpoint that the packet could reach by mistake. */
  hasOthers({ protocol, expected }: Packet): boolean {
    const wanted = expected.outcome === 'endpoints' ? expected.endpoints : []
    return this.#plan.listeners.some(
      ({ address, port, isEndpoint, ...other }) =>
        isEndpoint && other.protocol === protocol && !wanted.includes(formatEndpoint(address, port)),
    )
  }

  sourcesOf(packet: Packet): readonly string[] {
    return this.#plan.sourcesOf(packet)
  }

  /** One connection, from a port of its own. Nothing said within the time is silence. */
  async try(packet: Packet, from: string, deadlineMilliseconds: number): Promise<Attempt> {
    const fromPort = this.#nextPort
    this.#nextPort = fromPort === lastPort ? firstPort : fromPort + 1
    const start = performance.now()
    const told = new AbortController()
    let refusal: Refusal | undefined
    this.#awaiting.set(fromPort, (heard) => {
      if (refusal !== undefined || heard.protocol !== packet.protocol) return
      refusal = heard
      told.abort(new Refused(heard.what))
    })
    let outcome: Outcome
    try {
      const place = { host: this.#host(this.#plan.hostOf(from)), from, fromPort }
      const answer = await talk(packet, place, deadlineMilliseconds, told.signal)
      outcome = answer === undefined ? { result: 'silence' } : { result: 'answered', ...answer }
    } catch (error) {
      const milliseconds = performance.now() - start
      // ICMP's own words first: to TCP they are a refusal as a reset is.
      if (refusal !== undefined) outcome = { result: 'refused', how: refusal.what, milliseconds }
      else if (isKernelError(error, 'ECONNREFUSED')) {
        const how = packet.protocol === 'tcp' ? 'TCP reset' : 'ABORT'
        outcome = { result: 'refused', how, milliseconds }
      } else outcome = { result: 'odd', what: error instanceof Error ? error.message : String(error) }
    } finally {
      this.#awaiting.delete(fromPort)
    }
    const attempt = { packet, from, fromPort, outcome }
    this.#attempts.push(attempt)
    return attempt
  }

  /**
   * What arrived somewhere and belongs to no try that was answered, by the packets that it may be of: a port tells which
   * one, where masquerading has kept it.
   */
  unexplained(): (packet: Packet) => readonly Sighting[] {
    const attempts = this.#attempts
    const key = (host: string, protocol: string, from: string, port: number): string =>
      `${host} ${protocol} ${from} ${port}`
    const explained = new Set<string>()
    for (const { packet, outcome } of attempts) {
      if (outcome.result !== 'answered') continue
      explained.add(key(outcome.host, packet.protocol, outcome.peer, outcome.peerPort))
    }
    const byPort = new Map(attempts.map((attempt) => [attempt.fromPort, attempt]))
    const stray = this.#sightings.filter(
      ({ host, protocol, from, fromPort }) => !explained.has(key(host, protocol, from, fromPort)),
    )
    return (packet) =>
      stray.filter(({ protocol, fromPort }) => {
        const sender = byPort.get(fromPort)
        if (sender?.packet.protocol === protocol) return sender.packet === packet
        return protocol === packet.protocol
      })
  }

  /** Another step begins: what was seen before it is over. */
  forget(): void {
    this.#sightings = []
    this.#attempts = []
  }

  #host(name: string): Host {
    return this.#net.hosts[name]!
  }

  #watch(): void {
    for (const [name, host] of Object.entries(this.#net.hosts)) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const isThere = family === 'ipv4' ? host.address !== '' : host.address6 !== ''
        if (!isThere) continue
        if (this.#plan.senders.has(name)) {
          watchRefusals(host, family, (refusal) => this.#awaiting.get(refusal.fromPort)?.(refusal))
        }
        for (const protocol of this.#plan.receivers.has(name) ? this.#plan.protocols : []) {
          watchArrivals(host, family, protocol, (sighting) => {
            // An answer to a client that is on this host, too.
            if (protocol !== 'udp' || !this.#awaiting.has(sighting.port)) this.#sightings.push(sighting)
          })
        }
      }
    }
  }

  async #listen({ host: name, address, port, protocol }: Listener): Promise<void> {
    const host = this.#host(name)
    const say = (peer: string, peerPort: number): string =>
      JSON.stringify({ host: name, at: formatEndpoint(address, port), peer, peerPort } satisfies Answer)
    if (protocol === 'tcp') {
      await host.serveTcp((socket) => socket.end(say(socket.remoteAddress ?? '', socket.remotePort ?? 0)), {
        address,
        port,
      })
    } else if (protocol === 'udp') {
      await host.serveUdp((_, from, reply) => reply(new TextEncoder().encode(say(from.address, from.port))), {
        address,
        port,
      })
    } else {
      await host.serveSctp({ address, port, name: (asker) => say(asker.address, asker.port) })
    }
  }
}

/** ICMP has told. */
class Refused extends Error {}

interface Place {
  readonly host: Host
  readonly from: string
  readonly fromPort: number
}

/** What was answered; undefined if nobody said anything. */
async function talk(
  { protocol, to, port }: Packet,
  place: Place,
  deadlineMilliseconds: number,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  try {
    if (protocol === 'udp') return await talkUdp(to, port, place, deadlineMilliseconds, signal)
    const { host, from, fromPort } = place
    if (protocol === 'sctp') {
      const { name } = await host.sctpInit({ to, port, from, fromPort, deadlineMilliseconds, signal })
      return readAnswer(name)
    }
    const until = performance.now() + deadlineMilliseconds
    const socket = await host.connect({
      address: to,
      port,
      localAddress: from,
      localPort: fromPort,
      deadlineMilliseconds,
      signal,
    })
    return readAnswer(await readAll(socket, until - performance.now()))
  } catch (error) {
    if (isKernelError(error, 'ETIMEDOUT')) return undefined
    if (isKernelError(error, 'EPERM')) return silence(deadlineMilliseconds, signal)
    throw error
  }
}

/** A host whose own rules drop what it sends is told EPERM at once; if they refuse it, it hears of that, too. */
function silence(milliseconds: number, signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), milliseconds)
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

async function talkUdp(
  to: string,
  port: number,
  { host, from, fromPort }: Place,
  deadlineMilliseconds: number,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const socket = await host.udp({ address: from, port: fromPort })
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(undefined), deadlineMilliseconds)
      const fail = (error: Error): void => {
        clearTimeout(timer)
        reject(error)
      }
      socket.once('message', (bytes, { address, port: fromPort }) => {
        clearTimeout(timer)
        if (address === to && fromPort === port) resolve(readAnswer(bytes.toString()))
        else reject(new Error(`${formatEndpoint(address, fromPort)} answers, and not whom it was sent to`))
      })
      socket.on('error', fail)
      signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true })
      socket.send('who are you?', port, to, (error) => {
        // Its own rules drop it, as above.
        if (error !== null && (error as NodeJS.ErrnoException).code !== 'EPERM') fail(error)
      })
    })
  } finally {
    socket.close()
  }
}

function readAll(socket: Socket, milliseconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(
      () => socket.destroy(new Error('connected, and then nobody says who it is')),
      milliseconds,
    )
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    socket.once('error', reject).once('end', () => resolve(text))
    socket.once('close', () => clearTimeout(timer))
  })
}

/** Every host of the network says it in this form. */
function readAnswer(text: string): Answer {
  return JSON.parse(text) as Answer
}

/** `servers saw tcp to port 80 from 10.0.0.2:40000`. */
export function describeSighting({ host, protocol, from, fromPort, port }: Sighting): string {
  return `${host} saw ${protocol} to port ${port} from ${formatEndpoint(from, fromPort)}`
}

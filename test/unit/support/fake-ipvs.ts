/** One virtual service behind a fake socket, with a table that a test may change at any moment. */
import type { Destination, ServiceKey } from '../../../src/index.js'
import { command, top, type WireService } from '../../../src/ipvs/wire.js'
import { type FakeAnswer, FakeKernel, fakeReply, type FakeRequest } from '../../../src/testing/index.js'

export const web: ServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 80 }

const statistics = {
  connections: 0n,
  incomingPackets: 0n,
  outgoingPackets: 0n,
  incomingBytes: 0n,
  outgoingBytes: 0n,
  connectionsPerSecond: 0,
  incomingPacketsPerSecond: 0,
  outgoingPacketsPerSecond: 0,
  incomingBytesPerSecond: 0,
  outgoingBytesPerSecond: 0,
}
const defaults = {
  port: 80,
  family: 'ipv4',
  forwardingMethod: 'masquerade',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
  tunnelType: 'ipip',
  tunnelPort: 0,
  tunnelFlags: [],
  statistics,
}

export type FakeServer = Partial<Record<keyof Destination, unknown>> & { readonly address: string }
type Entry = Record<string, unknown> & { address: string; port: number; weight: number }

const names = Object.fromEntries(Object.entries(command).map(([name, number]) => [number, name]))

export class FakeIpvs {
  readonly kernel = new FakeKernel({
    families: [{ name: 'IPVS', handle: (request) => this.#answer(request) }],
  })
  /** What there is, by address; undefined: no service either. */
  servers: Map<string, Entry> | undefined = new Map()
  service: Record<string, unknown> = {
    family: 'ipv4',
    ...web,
    scheduler: 'rr',
    flags: { flags: 2, mask: 0xffff_ffff },
    persistenceTimeoutSeconds: 0,
    persistenceNetmask: 32,
    statistics,
  }
  /** As it was last set. */
  lastService: Partial<WireService> | undefined
  /** What was changed: `newDestination 10.0.0.1 weight 1`. */
  readonly log: string[] = []
  /** How many servers took connections at the worst moment. */
  fewestTakers = Infinity
  /** Before each command; what it returns is the answer then. */
  before: ((what: string, destination: Partial<Destination>) => FakeAnswer) | undefined
  /** What a dump is answered with instead of the table: how a torn one looks. */
  torn: ((whole: Entry[]) => Entry[]) | undefined

  constructor(...servers: readonly FakeServer[]) {
    for (const server of servers) this.put(server)
  }

  put(server: FakeServer): void {
    const entry = { ...defaults, ...this.servers?.get(server.address), ...server }
    this.servers?.set(server.address, entry as Entry)
  }

  #answer(request: FakeRequest): FakeAnswer {
    const { destination = {} as Partial<Destination>, service = {} } = request.decode(top)
    const what = names[request.command ?? 0] ?? ''
    const answer = this.before?.(what, destination)
    if (answer !== undefined) return answer
    const { servers } = this
    if (what === 'getDestination') {
      const whole = [...(servers?.values() ?? [])]
      return (this.torn?.(whole) ?? whole).map((entry) => fakeReply(top, { destination: entry }))
    }
    if (servers === undefined) return { code: 'ESRCH' }
    if (what === 'getService') return [fakeReply(top, { service: this.service })]
    if (what === 'setService') {
      this.lastService = service
      this.service = { ...this.service, ...service, statistics }
      return undefined
    }
    const address = destination.address!
    const isThere = servers.has(address)
    if (what === 'newDestination' ? isThere : !isThere) return { code: isThere ? 'EEXIST' : 'ENOENT' }
    if (what === 'deleteDestination') servers.delete(address)
    else this.put({ ...destination, address })
    this.log.push(`${what} ${address}${what === 'deleteDestination' ? '' : ` weight ${destination.weight}`}`)
    const takers = [...servers.values()].filter(({ weight }) => weight > 0).length
    this.fewestTakers = Math.min(this.fewestTakers, takers)
    return undefined
  }
}

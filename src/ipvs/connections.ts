/** What IPVS is forwarding right now: the entries of its connection table, one by one. */
import {
  type AddressFamily,
  formatAddress,
  parseAddress,
  parsePrefix,
  type Prefix,
} from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { readChunks } from '../net/files.js'
import type { Netns } from '../net/index.js'
import { absent } from './absent.js'
import { type ConnectionLine, ConnectionLines, type LineEnd } from './connection-lines.js'
import type { DestinationKey, Protocol, ServiceKey } from './input.js'

/** One side of a connection. */
export interface ConnectionEnd {
  /** IPv4 or IPv6, in its usual form. */
  readonly address: string
  /** 0 to 65535. */
  readonly port: number
}

/**
 * The kernel's word for a state: of TCP and SCTP connections as below, `UDP` for UDP, `NONE` and `ASSURED` for
 * persistence templates (net/netfilter/ipvs/ip_vs_proto_tcp.c, ip_vs_proto_sctp.c, ip_vs_proto.c).
 */
export type ConnectionState =
  | 'NONE'
  | 'ESTABLISHED'
  | 'SYN_SENT'
  | 'SYN_RECV'
  | 'FIN_WAIT'
  | 'TIME_WAIT'
  | 'CLOSE'
  | 'CLOSE_WAIT'
  | 'LAST_ACK'
  | 'LISTEN'
  | 'SYNACK'
  | 'UDP'
  | 'ASSURED'
  | 'INIT1'
  | 'INIT'
  | 'C-SENT'
  | 'C-REPLIED'
  | 'C-WAIT'
  | 'COOKIE'
  | 'C-ECHOED'
  | 'S-SENT'
  | 'S-RECEIVED'
  | 'S-ACK-SENT'
  | 'REJECTED'
  | 'CLOSED'
  | (string & {})

/** An entry of the connection table. */
export interface IpvsConnection {
  /** `ip` for the template of a service by firewall mark. */
  readonly protocol: Protocol | (string & {})
  /** Of client and service; the destination's may differ with tunnelling. */
  readonly family: AddressFamily
  /** A template's address is the client's network, and its port 0. */
  readonly client: ConnectionEnd
  /** What the client connected to. Undefined for the template of a service by firewall mark. */
  readonly virtual: ConnectionEnd | undefined
  /** Of a template of a service by firewall mark; the connections of such a service do not tell it. */
  readonly firewallMark: number | undefined
  /** The real server, as it is reached. */
  readonly destination: ConnectionEnd
  /** As IPVS follows the protocol. */
  readonly state: ConnectionState
  /** Until the entry goes, if no packet comes; whole seconds. */
  readonly expiresSeconds: number
  /** No connection, but what keeps a persistent client with its server. */
  readonly template: boolean
  /** `sip`; of templates that an engine made. */
  readonly persistenceEngine: string | undefined
  /** What the engine tells clients apart by: for `sip` the Call-ID, as the client chose it. */
  readonly persistenceData: string | undefined
  /** Made here or learnt from another director; known if `origins` was asked for. */
  readonly origin: 'local' | 'sync' | undefined
}

/** What to leave in; every condition that is given must hold. */
export interface ConnectionFilter {
  /** Every one unless said. */
  readonly protocol?: Protocol | undefined
  /**
   * Connections to this service. A port of 0 takes every port. By firewall mark only the templates can be told.
   */
  readonly service?: ServiceKey | undefined
  /** Connections to this server; every port of it if `port` is left out. */
  readonly destination?: DestinationKey | undefined
  /** An address or a prefix such as `10.0.0.0/8`. */
  readonly client?: string | undefined
  /** 1 to 65535. */
  readonly clientPort?: number | undefined
  /** One, or any of several. */
  readonly state?: ConnectionState | readonly ConnectionState[] | undefined
  /** True: templates alone; false: none. */
  readonly template?: boolean | undefined
}

/** How the file is read. */
export interface ConnectionsOptions {
  /** Ends the reading: the next step rejects. */
  readonly signal?: AbortSignal | undefined
  /**
   * Tells where each entry came from, and no persistence engines: the kernel shows them in different files
   * (`ip_vs_conn_sync` and `ip_vs_conn`).
   */
  readonly origins?: boolean | undefined
}

/**
 * The connections of a network namespace as they are read, piece by piece off the event loop: memory stays the same
 * for a thousand and for a million. The kernel takes no snapshot: an entry that moves meanwhile may come twice or not
 * at all. Stopping early (`break`) closes the file.
 *
 * Needs no privilege but that of entering the namespace.
 *
 * @throws UnsupportedError if the kernel has no IPVS (or it is not loaded), MalformedMessageError for what is no
 *   connection, ValidationError for a filter that cannot be meant.
 */
export async function* connections(
  netns?: Netns,
  filter: ConnectionFilter = {},
  options: ConnectionsOptions = {},
): AsyncGenerator<IpvsConnection, void, undefined> {
  const wanted = compileFilter(filter)
  yield* connectionsIn(readTable(netns, options), wanted, options)
}

/** The connections that such a file's content tells of, for those who have it from elsewhere. */
export function parseConnections(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  filter: ConnectionFilter = {},
  options: ConnectionsOptions = {},
): AsyncGenerator<IpvsConnection, void, undefined> {
  return connectionsIn(content, compileFilter(filter), options)
}

async function* connectionsIn(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  wanted: Condition,
  options: ConnectionsOptions,
): AsyncGenerator<IpvsConnection, void, undefined> {
  const lines = new ConnectionLines({ withOrigin: options.origins === true })
  for await (const piece of content) {
    const found: IpvsConnection[] = []
    lines.push(piece, (line) => {
      if (wanted(line)) found.push(connectionOf(line))
    })
    yield* found
  }
  lines.finish()
}

/** Some thousand connections: what is parsed in one go. */
const chunkBytes = 65_536

async function* readTable(
  netns: Netns | undefined,
  { origins, signal }: ConnectionsOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = `/proc/net/${origins === true ? 'ip_vs_conn_sync' : 'ip_vs_conn'}`
  try {
    yield* readChunks(file, { netns, signal, chunkBytes })
  } catch (error) {
    throw absent('IPVS', error)
  }
}

/** A template has no client port; a connection without one waits for it (FTP data) in another state. */
function isTemplate(line: ConnectionLine): boolean {
  return (
    line.protocol === 'IP' ||
    line.engine !== undefined ||
    (line.client.port === 0 && (line.state === 'NONE' || line.state === 'ASSURED'))
  )
}

function connectionOf(line: ConnectionLine): IpvsConnection {
  const mark = line.protocol === 'IP' ? markOf(line) : undefined
  return {
    protocol: line.protocol.toLowerCase(),
    family: line.client.length === 4 ? 'ipv4' : 'ipv6',
    client: endOf(line.client),
    virtual: mark === undefined ? endOf(line.virtual) : undefined,
    firewallMark: mark,
    destination: endOf(line.destination),
    state: line.state,
    expiresSeconds: line.expiresSeconds,
    template: isTemplate(line),
    persistenceEngine: line.engine,
    persistenceData: line.engineData,
    origin: line.origin === undefined ? undefined : line.origin === 'SYNC' ? 'sync' : 'local',
  }
}

function endOf(end: LineEnd): ConnectionEnd {
  return { address: formatAddress(end.bytes.subarray(0, end.length)), port: end.port }
}

/** The mark stands in the first four bytes of the address, in either family (`ip_vs_sched_persist`, ip_vs_core.c). */
function markOf({ virtual: { bytes } }: ConnectionLine): number {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0
}

type Condition = (line: ConnectionLine) => boolean

/** Conditions on the bytes of a line, so that what is left out costs no object. */
function compileFilter(filter: ConnectionFilter): Condition {
  const all: Condition[] = []
  const { protocol, service, destination, client, clientPort, state, template } = filter
  if (protocol !== undefined) all.push(isProtocol(protocol))
  if (service !== undefined) all.push(...ofService(service))
  if (destination !== undefined) {
    all.push(within((line) => line.destination, prefixOf(destination.address, 'filter.destination.address')))
    const { port } = destination
    if (port !== undefined) all.push((line) => line.destination.port === port)
  }
  if (client !== undefined) all.push(within((line) => line.client, prefixOf(client, 'filter.client')))
  if (clientPort !== undefined) all.push((line) => line.client.port === clientPort)
  if (state !== undefined) {
    const states = new Set(typeof state === 'string' ? [state] : state)
    all.push((line) => states.has(line.state))
  }
  if (template !== undefined) all.push((line) => isTemplate(line) === template)
  return (line) => all.every((condition) => condition(line))
}

function ofService(service: ServiceKey): Condition[] {
  if (service.firewallMark !== undefined) {
    const { firewallMark, family } = service
    const length = family === 'ipv4' ? 4 : 16
    return [
      (line) => line.protocol === 'IP' && line.client.length === length && markOf(line) === firewallMark,
    ]
  }
  const { port } = service
  return [
    isProtocol(service.protocol),
    within((line) => line.virtual, prefixOf(service.address, 'filter.service.address')),
    (line) => port === 0 || line.virtual.port === port,
  ]
}

function isProtocol(protocol: string): Condition {
  const name = protocol.toUpperCase()
  return (line) => line.protocol === name
}

function prefixOf(text: string, path: string): Prefix {
  const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
  if (prefix === undefined) {
    throw new ValidationError(path, text, 'an IPv4 or IPv6 address, or a prefix such as 10.0.0.0/8')
  }
  return prefix
}

function within(end: (line: ConnectionLine) => LineEnd, prefix: Prefix): Condition {
  const base = parseAddress(prefix.address)!
  const whole = prefix.length >> 3
  const rest = 8 - (prefix.length & 7)
  return (line) => {
    const { bytes, length } = end(line)
    if (length !== base.length) return false
    for (let index = 0; index < whole; index++) if (bytes[index] !== base[index]) return false
    return rest === 8 || (bytes[whole]! ^ base[whole]!) >> rest === 0
  }
}

/** Which records services have: a pure function, line by line the Kubernetes DNS specification 1.1.0. */
import { familyOf } from '../address/index.js'
import type { EndpointRecord, KnownPod, KnownService, SliceRecord } from '../model/index.js'
import { addressLabel, canonicalName, isNameLabel, isWritable, reverseName } from './names.js'

/** Types that the zone has records of. */
export type RecordType = 'A' | 'AAAA' | 'CNAME' | 'NS' | 'PTR' | 'SOA' | 'SRV' | 'TXT'

/** A record. */
export interface ResourceRecord {
  /** In small letters, without the final dot. */
  readonly name: string
  /** Of class IN. */
  readonly type: RecordType
  /** Seconds. */
  readonly ttl: number
  /**
   * As zone files have it, names without the final dot: an address, a name, a text, of SRV `PRIORITY WEIGHT PORT TARGET`, of SOA
   * `MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM`.
   */
  readonly data: string
}

/** A record without its TTL. Of the type `''` it says only that the name is there. */
export type Line = readonly [name: string, type: RecordType | '', data: string]

/** Whether Pods have names: none, any address in a namespace, or those of Pods alone. */
export type PodRecords = 'disabled' | 'insecure' | 'verified'

/** What records are made for. */
export interface RecordPlace {
  /** Of the cluster: `cluster.local`. */
  readonly zone: string
  readonly podRecords: PodRecords
  /** Whether addresses lead back to names. */
  readonly hasReverse: boolean
}

/** Each name and type and content once. */
export class Lines {
  readonly #lines = new Map<string, Line>()

  /** A name that is too long for DNS has no records, and nothing leads to it. */
  add(name: string, type: RecordType | '', data: string): void {
    if (!isWritable(name) || (type === 'PTR' && !isWritable(data))) return
    this.#lines.set(`${name} ${type} ${data}`, [name, type, data])
  }

  /** By what identifies them. */
  get all(): ReadonlyMap<string, Line> {
    return this.#lines
  }
}

/** Priority and weight of all: whose they are makes no difference. */
const evenly = '0 100'

/** The records of one service. */
export function linesOfService({ service, slices }: KnownService, place: RecordPlace): Lines {
  const lines = new Lines()
  addNamespace(lines, service.namespace, place)
  const name = `${service.name}.${service.namespace}.svc.${place.zone}`
  if (service.type === 'ExternalName') {
    // 2.5
    const target = canonicalName(service.externalName ?? '')
    if (target !== undefined) lines.add(name, 'CNAME', target)
  } else if (service.isHeadless) {
    // 2.4: a name for each endpoint; without any there is nothing, which is NXDOMAIN.
    for (const slice of slices) {
      for (const endpoint of slice.endpoints) {
        if (!endpoint.ready && !service.publishNotReadyAddresses) continue
        addEndpoint(lines, name, endpoint, namedPorts(service.ports, slice), place)
      }
    }
  } else {
    // 2.3
    for (const address of service.clusterAddresses) addAddress(lines, name, address, place)
    if (service.clusterAddresses.length > 0) {
      for (const { name: port, protocol, port: number } of service.ports) {
        if (port !== '') lines.add(`_${port}._${protocol}.${name}`, 'SRV', `${evenly} ${number} ${name}`)
      }
    }
  }
  return lines
}

/** That a namespace is there. */
export function addNamespace(lines: Lines, namespace: string, { zone, podRecords }: RecordPlace): void {
  lines.add(`${namespace}.svc.${zone}`, '', '')
  if (podRecords !== 'disabled') lines.add(`${namespace}.pod.${zone}`, '', '')
}

/** The records of one Pod: 2.6 for addresses that one has. */
export function linesOfPod(pod: KnownPod, place: RecordPlace): Lines {
  const lines = new Lines()
  addNamespace(lines, pod.namespace, place)
  if (place.podRecords !== 'verified') return lines
  for (const address of pod.addresses) {
    const name = `${addressLabel(address)}.${pod.namespace}.pod.${place.zone}`
    lines.add(name, familyOf(address) === 'ipv4' ? 'A' : 'AAAA', address)
  }
  return lines
}

function addAddress(lines: Lines, name: string, address: string, place: RecordPlace): void {
  lines.add(name, familyOf(address) === 'ipv4' ? 'A' : 'AAAA', address)
  if (place.hasReverse) lines.add(reverseName(address), 'PTR', name)
}

/** 2.4.1 to 2.4.3. */
function addEndpoint(
  lines: Lines,
  service: string,
  { address, hostname }: EndpointRecord,
  ports: readonly NamedPort[],
  place: RecordPlace,
): void {
  const own =
    hostname === undefined || !isNameLabel(hostname) ? addressLabel(address) : hostname.toLowerCase()
  const name = `${own}.${service}`
  if (!isWritable(name)) return
  lines.add(service, familyOf(address) === 'ipv4' ? 'A' : 'AAAA', address)
  addAddress(lines, name, address, place)
  for (const { prefix, port } of ports) lines.add(`${prefix}.${service}`, 'SRV', `${evenly} ${port} ${name}`)
}

interface NamedPort {
  readonly prefix: string
  /** Where the endpoint listens: nothing in between would translate the service's. */
  readonly port: number
}

/** Ports that the service names, as endpoints of the slice have them. */
function namedPorts(ports: KnownService['service']['ports'], slice: SliceRecord): readonly NamedPort[] {
  const named: NamedPort[] = []
  for (const { name, protocol } of ports) {
    if (name === '') continue
    const found = slice.ports.find((other) => other.name === name && other.protocol === protocol)
    if (found !== undefined) named.push({ prefix: `_${name}._${protocol}`, port: found.port })
  }
  return named
}

/** Files of cases: a list of situations, each with a node, objects as Kubernetes writes them, and packets. */
import { canonicalAddress, familyOf, parsePrefix } from '../../src/address/index.js'
import { ValidationError } from '../../src/errors/index.js'
import { formatEndpoint, type KubernetesObject, type ServiceProtocol } from '../../src/model/index.js'

/** A node, what is to be programmed on it, and what then happens to packets. */
export interface Situation {
  readonly name: string
  readonly node: SituationNode
  /** With their `kind`, which the file tells by the list that they stand in. */
  readonly objects: readonly KubernetesObject[]
  readonly packets: readonly Packet[]
}

/** `config` of a situation. Addresses in the one spelling that equal ones share. */
export interface SituationNode {
  readonly name: string
  /** The primary one (`nodeIP`) first, and no loopback address. */
  readonly addresses: readonly string[]
  /** Where Pods live; none if that is unknown. */
  readonly clusterRanges: readonly string[]
  readonly serviceRanges: readonly string[]
  /** Undefined where the file says nothing. */
  readonly nodePortAddresses: readonly string[] | undefined
  readonly masqueradeAll: boolean
}

/** The first packet of a new connection as it enters the node, and what must become of it. */
export interface Packet {
  readonly name: string
  readonly from: string
  readonly to: string
  readonly port: number
  readonly protocol: ServiceProtocol
  readonly expected: Expected
}

export type Expected =
  /** Delivered to one of these (`ip:port`, `[ip]:port`), and over enough tries to each. */
  | { readonly outcome: 'endpoints'; readonly endpoints: readonly string[]; readonly masquerade: boolean }
  /** The client is told at once; silence; none of a service's: it goes on untouched. */
  | { readonly outcome: 'reject' | 'drop' | 'none' }

/**
 * Situations of a file, those that follow each other on the same node together: what is named `… (step 2)` is what is left
 * of the one before it.
 *
 * @throws ValidationError that names the place
 */
export function readSituations(text: string): Situation[][] {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw new ValidationError('the file', (error as Error).message, 'JSON')
  }
  if (!Array.isArray(content) || content.length === 0) {
    throw new ValidationError('the file', content, 'a list of situations')
  }
  const groups: Situation[][] = []
  for (const [index, one] of content.entries()) {
    const situation = readSituation(`[${index}]`, one)
    const before = groups.at(-1)?.at(-1)
    if (before !== undefined && follows(before, situation)) groups.at(-1)!.push(situation)
    else groups.push([situation])
  }
  if (!groups.flat().some(({ packets }) => packets.length > 0)) {
    throw new ValidationError('the file', 0, 'a packet at least')
  }
  return groups
}

const step = / \(step [2-9]\)$/

/** A later step of the same situation, on a node that is the same. */
function follows(before: Situation, { name, node }: Situation): boolean {
  return (
    step.test(name) &&
    before.name.replace(step, '') === name.replace(step, '') &&
    JSON.stringify(before.node) === JSON.stringify(node)
  )
}

function readSituation(path: string, value: unknown): Situation {
  const { name, config, services, endpointSlices, nodes, packets } = object(path, value)
  return {
    name: string(`${path}.name`, name),
    node: readNode(`${path}.config`, config),
    objects: [
      ...objects(`${path}.nodes`, nodes, 'Node'),
      ...objects(`${path}.services`, services, 'Service'),
      ...objects(`${path}.endpointSlices`, endpointSlices, 'EndpointSlice'),
    ],
    packets: list(`${path}.packets`, packets).map((packet, index) =>
      readPacket(`${path}.packets[${index}]`, packet),
    ),
  }
}

/** What is in the objects is for the model to judge. */
function objects(path: string, value: unknown, kind: KubernetesObject['kind']): KubernetesObject[] {
  return (value === undefined || value === null ? [] : list(path, value)).map((one, index) => {
    return { ...object(`${path}[${index}]`, one), kind } as KubernetesObject
  })
}

function readNode(path: string, value: unknown): SituationNode {
  const config = object(path, value)
  const primary = address(`${path}.nodeIP`, config['nodeIP'])
  const others = list(`${path}.nodeAddresses`, config['nodeAddresses']).map((one, index) =>
    address(`${path}.nodeAddresses[${index}]`, one),
  )
  const nodePortAddresses = prefixes(`${path}.nodePortAddresses`, config['nodePortAddresses'])
  const { masqueradeAll = false } = config
  if (typeof masqueradeAll !== 'boolean') {
    throw new ValidationError(`${path}.masqueradeAll`, masqueradeAll, 'true or false')
  }
  return {
    name: string(`${path}.nodeName`, config['nodeName']),
    addresses: [...new Set([primary, ...others])].filter((one) => !isLoopback(one)),
    clusterRanges: prefixes(`${path}.clusterCIDR`, config['clusterCIDR']),
    serviceRanges: prefixes(`${path}.serviceCIDRs`, config['serviceCIDRs']),
    nodePortAddresses: nodePortAddresses.length === 0 ? undefined : nodePortAddresses,
    masqueradeAll,
  }
}

function readPacket(path: string, value: unknown): Packet {
  const packet = object(path, value)
  const protocol = string(`${path}.protocol`, packet['protocol']).toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw new ValidationError(`${path}.protocol`, protocol, 'tcp, udp or sctp')
  }
  const from = address(`${path}.from`, packet['from'])
  const to = address(`${path}.to`, packet['to'])
  if (familyOf(from) !== familyOf(to)) {
    throw new ValidationError(`${path}.to`, to, `an address of the family of ${from}`)
  }
  return {
    name: string(`${path}.name`, packet['name']),
    from,
    to,
    port: port(`${path}.port`, packet['port']),
    protocol,
    expected: readExpected(path, packet),
  }
}

function readExpected(path: string, packet: Readonly<Record<string, unknown>>): Expected {
  const { outcome, endpoints, masquerade = false } = packet
  if (outcome === 'reject' || outcome === 'drop' || outcome === 'none') return { outcome }
  if (outcome !== 'endpoints') {
    throw new ValidationError(`${path}.outcome`, outcome, 'endpoints, reject, drop or none')
  }
  if (typeof masquerade !== 'boolean') {
    throw new ValidationError(`${path}.masquerade`, masquerade, 'true or false')
  }
  const wanted = list(`${path}.endpoints`, endpoints).map((one, index) => {
    const { host, port } = readEndpoint(`${path}.endpoints[${index}]`, one)
    return formatEndpoint(host, port)
  })
  if (wanted.length === 0) throw new ValidationError(`${path}.endpoints`, endpoints, 'an endpoint at least')
  return { outcome, endpoints: [...new Set(wanted)], masquerade }
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function readEndpoint(path: string, value: unknown): { readonly host: string; readonly port: number } {
  const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(string(path, value))
  if (parts === null) throw new ValidationError(path, value, 'ip:port or [ip]:port')
  return { host: address(path, parts[1] ?? parts[2]), port: port(path, Number(parts[3])) }
}

/** Whether a packet goes to an address and port of a service, or to a node port of it. */
export function isForService(object: KubernetesObject, { to, port }: Packet): boolean {
  if (object.kind !== 'Service') return false
  const { clusterIP, clusterIPs, externalIPs, ports } = object.spec ?? {}
  const ingress = (object.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip)
  const isAddress = [clusterIP, ...(clusterIPs ?? []), ...(externalIPs ?? []), ...ingress].some(
    (text) => typeof text === 'string' && canonicalAddress(text) === to,
  )
  return (ports ?? []).some((one) => one.nodePort === port || (isAddress && one.port === port))
}

/** A list, one text with commas in it, or nothing. */
function prefixes(path: string, value: unknown): string[] {
  if (value === undefined || value === null) return []
  const items = typeof value === 'string' ? value.split(',') : list(path, value)
  return items.map((item, index) => {
    const text = string(`${path}[${index}]`, item).trim()
    if (parsePrefix(text) === undefined) {
      throw new ValidationError(`${path}[${index}]`, item, 'a prefix such as 10.0.0.0/8')
    }
    return text
  })
}

/** Of the node itself, whatever `nodeAddresses` says. */
export function isLoopback(one: string): boolean {
  return one === '::1' || one.startsWith('127.')
}

function address(path: string, value: unknown): string {
  const found = typeof value === 'string' ? canonicalAddress(value) : undefined
  if (found === undefined) throw new ValidationError(path, value, 'an IP address')
  return found
}

function port(path: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535) return value
  throw new ValidationError(path, value, 'an integer from 1 to 65535')
}

function string(path: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new ValidationError(path, value, 'text')
}

function list(path: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new ValidationError(path, value, 'a list')
}

function object(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>
  }
  throw new ValidationError(path, value, 'an object')
}

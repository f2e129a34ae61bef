/** Reads a service in the short form. */
import { type AddressFamily, canonicalAddress, familyOf } from '../address/index.js'
import { isScheduler, isWeight, maximumWeight } from './annotations.js'
import {
  expectedLabel,
  expectedPort,
  fail,
  isLabel,
  isObject,
  isPort,
  listOf,
  type Loose,
  textOf,
} from './reading.js'
import {
  type EndpointRecord,
  type PortRecord,
  type ServiceRecord,
  type SlicePort,
  type SliceRecord,
  sortEndpoints,
} from './records.js'
import { readSelector } from './selector.js'
import {
  distinct,
  expectedAffinity,
  isAffinity,
  readAddresses,
  readSourceRanges,
  type ServiceRules,
} from './services.js'
import type { ServiceProtocol, TrafficPolicy } from './virtual-service.js'

const fields = [
  'name',
  'namespace',
  'address',
  'externalAddresses',
  'pool',
  'ports',
  'servers',
  'selector',
  'scheduler',
  'affinitySeconds',
  'internalTrafficPolicy',
  'externalTrafficPolicy',
  'sourceRanges',
]
const portFields = ['port', 'protocol', 'name', 'targetPort', 'nodePort']
const serverFields = ['address', 'port', 'weight', 'node']

/** @throws ValidationError with a path in the object */
export function readServiceInput(object: Loose, rules: ServiceRules): ServiceRecord {
  onlyKnown(object, fields, '')
  const { name, namespace = 'default', scheduler, affinitySeconds, selector } = object
  if (!isLabel(name)) fail('name', name, expectedLabel)
  if (!isLabel(namespace)) fail('namespace', namespace, expectedLabel)
  if (scheduler !== undefined && !isScheduler(scheduler)) {
    fail('scheduler', scheduler, 'the name of a scheduler, such as "wrr"')
  }
  if (affinitySeconds !== undefined && !isAffinity(affinitySeconds)) {
    fail('affinitySeconds', affinitySeconds, expectedAffinity)
  }
  const addresses = readAddresses(
    typeof object.address === 'string' ? [object.address] : object.address,
    'address',
  )
  if (
    addresses.length > 2 ||
    (addresses.length === 2 && familyOf(addresses[0]!) === familyOf(addresses[1]!))
  ) {
    fail('address', object.address, 'at most one address of each family')
  }
  const id = `${namespace}/${name}`
  const ports = readPorts(object.ports, rules)
  const servers = readServers(object.servers, ports, id, selector === undefined)
  const families = [...new Set(servers.map((slice) => slice.family))].sort()
  return {
    namespace,
    name,
    id,
    isOwn: true,
    isShort: true,
    createdAt: undefined,
    type: 'ClusterIP',
    externalName: undefined,
    isHeadless: false,
    clusterAddresses: addresses,
    // An address is picked for each family that it has servers of.
    families: addresses.length > 0 || families.length === 0 ? undefined : families,
    stack: addresses.length === 0 && families.length === 2 ? 'prefer-dual' : 'single',
    externalAddresses: none,
    // Clients from outside come to them, and `sourceRanges` hold for them.
    loadBalancerAddresses: readAddresses(object.externalAddresses, 'externalAddresses'),
    pool: textOf(object.pool, 'pool'),
    poolAddresses: none,
    ports,
    wantsNodePorts: false,
    wantsHealthCheck: false,
    healthCheckNodePort: undefined,
    internalTrafficPolicy: readPolicy(object.internalTrafficPolicy, 'internalTrafficPolicy'),
    externalTrafficPolicy: readPolicy(object.externalTrafficPolicy, 'externalTrafficPolicy'),
    affinitySeconds,
    scheduler,
    sourceRanges: readSourceRanges(object.sourceRanges, 'sourceRanges'),
    selector: selector === undefined ? undefined : readSelector(selector, 'selector'),
    publishNotReadyAddresses: false,
    trafficDistribution: undefined,
    servers,
    conditions: none,
  }
}

const none: readonly never[] = []

/** What is misspelt would have no effect, and nobody would see it. */
function onlyKnown(object: Loose, known: readonly string[], path: string): void {
  for (const key in object) {
    if (!known.includes(key)) fail(`${path}${key}`, object[key], `one of ${known.join(', ')}`)
  }
}

function readPolicy(value: unknown, path: string): TrafficPolicy {
  if (value === undefined || value === 'cluster') return 'cluster'
  return value === 'local' ? value : fail(path, value, '"cluster" or "local"')
}

function readPorts(value: unknown, rules: ServiceRules): readonly PortRecord[] {
  const list = listOf(value, 'ports')
  if (list.length === 0) fail('ports', value, 'at least one port')
  const ports = list.map((entry, index): PortRecord => {
    const item = typeof entry === 'number' ? { port: entry } : entry
    if (!isObject(item)) fail(`ports[${index}]`, item, 'a number, or an object with a port')
    onlyKnown(item, portFields, `ports[${index}].`)
    const { port, protocol = 'tcp', name = '', targetPort = port, nodePort } = item
    if (!isPort(port)) fail(`ports[${index}].port`, port, expectedPort)
    if (name !== '' && !isLabel(name)) fail(`ports[${index}].name`, name, expectedLabel)
    if (!isProtocol(protocol)) fail(`ports[${index}].protocol`, protocol, '"tcp", "udp" or "sctp"')
    if (!isPort(targetPort) && !isLabel(targetPort)) {
      fail(`ports[${index}].targetPort`, targetPort, 'a port from 1 to 65535 or the name of one')
    }
    const { from, to } = rules.nodePorts
    if (
      nodePort !== undefined &&
      nodePort !== true &&
      !(isPort(nodePort) && nodePort >= from && nodePort <= to)
    ) {
      fail(`ports[${index}].nodePort`, nodePort, `a port from ${from} to ${to}, or true`)
    }
    return { name, protocol, port, targetPort, nodePort: nodePort === true ? 'pick' : nodePort }
  })
  return distinct(ports, 'ports')
}

function isProtocol(value: unknown): value is ServiceProtocol {
  return value === 'tcp' || value === 'udp' || value === 'sctp'
}

/** Servers as slices: those of one family that have the same port of their own (or none) make one. */
function readServers(
  value: unknown,
  ports: readonly PortRecord[],
  id: string,
  isRequired: boolean,
): SliceRecord[] {
  if (isRequired && value === undefined) fail('servers', value, 'a list of servers, or a selector')
  const groups = new Map<
    string,
    { family: AddressFamily; port: number | undefined; endpoints: EndpointRecord[] }
  >()
  listOf(value, 'servers').forEach((entry, index) => {
    const { address, port, weight, node } = readServer(entry, index)
    const family = familyOf(address)
    if (port === undefined) {
      const unnumbered = ports.find((service) => typeof service.targetPort === 'string')
      if (unnumbered !== undefined) {
        fail(
          `servers[${index}].port`,
          port,
          `a port: ${String(unnumbered.targetPort)} is a name, which Pods alone know`,
        )
      }
    }
    const key = `${family} ${port}`
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = { family, port, endpoints: [] }))
    group.endpoints.push({
      address,
      ready: true,
      serving: true,
      terminating: false,
      node,
      zone: undefined,
      hostname: undefined,
      zoneHints: undefined,
      nodeHints: undefined,
      weight: weight ?? 1,
      pod: undefined,
    })
  })
  return [...groups].map(([key, { family, port, endpoints }]) => ({
    id: `${id} ${key}`,
    family,
    ports: ports.map((service): SlicePort => ({
      name: service.name,
      protocol: service.protocol,
      port: port ?? (service.targetPort as number),
    })),
    endpoints: sortEndpoints(endpoints),
  }))
}

interface Server {
  readonly address: string
  readonly port: number | undefined
  readonly weight: number | undefined
  readonly node: string | undefined
}

const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/
const plain = /^([^:]*):(\d{1,5})$/

function readServer(entry: unknown, index: number): Server {
  if (typeof entry === 'string') {
    const parts = bracketed.exec(entry) ?? plain.exec(entry)
    const address = canonicalAddress(parts?.[1] ?? entry)
    const port = parts?.[2] === undefined ? undefined : Number(parts[2])
    if (address === undefined || (port !== undefined && !isPort(port))) {
      fail(
        `servers[${index}]`,
        entry,
        'an address with or without a port, such as 10.0.0.1:8080 or [fd00::1]:8080',
      )
    }
    return { address, port, weight: undefined, node: undefined }
  }
  if (!isObject(entry)) fail(`servers[${index}]`, entry, 'an address, or an object with an address')
  onlyKnown(entry, serverFields, `servers[${index}].`)
  const { port, weight } = entry
  const address = typeof entry.address === 'string' ? canonicalAddress(entry.address) : undefined
  if (address === undefined) fail(`servers[${index}].address`, entry.address, 'an IP address')
  if (port !== undefined && !isPort(port)) fail(`servers[${index}].port`, port, expectedPort)
  if (weight !== undefined && !isWeight(weight)) {
    fail(`servers[${index}].weight`, weight, `an integer from 0 to ${maximumWeight}`)
  }
  return { address, port, weight, node: textOf(entry.node, `servers[${index}].node`) }
}

/** Reads a Service as Kubernetes writes it. */
import {
  type AddressFamily,
  canonicalAddress,
  familyOf,
  formatAddress,
  parseAddress,
  parsePrefix,
} from '../address/index.js'
import { poolAnnotation, readScheduler } from './annotations.js'
import type { Condition } from './condition.js'
import type { PortRange } from './port-range.js'
import {
  booleanOf,
  compact,
  expectedLabel,
  expectedPort,
  fail,
  isLabel,
  isObject,
  isPort,
  listOf,
  type Loose,
  objectOf,
  readMetadata,
  textOf,
} from './reading.js'
import type { PortRecord, ServiceRecord, ServiceType } from './records.js'
import { readSelector } from './selector.js'
import { readProtocol } from './slices.js'
import type { TrafficPolicy } from './virtual-service.js'

/** How long a client stays with its server where nothing else is said: three hours. */
const defaultAffinitySeconds = 10_800
/** The class of load balancers that viaduct gives addresses to. */
export const loadBalancerClass = 'viaduct'

/** What a service of the model's own is held to. */
export interface ServiceRules {
  /** Objects that no API server has stored are the model's own. */
  readonly ownsUnstored: boolean
  readonly nodePorts: PortRange
  /** Is it an address that services may be given? */
  readonly isClusterAddress: (address: string) => boolean
}

/** @throws ValidationError with a path in the object */
export function readService(object: Loose, rules: ServiceRules): ServiceRecord {
  const metadata = readMetadata(object, isLabel)
  const { namespace, name } = metadata
  const { spec } = object
  if (!isObject(spec)) fail('spec', spec, 'an object')
  const isOwn = rules.ownsUnstored && !metadata.isStored
  const conditions: Condition[] = []
  const type = spec.type ?? 'ClusterIP'
  if (type !== 'ClusterIP' && type !== 'NodePort' && type !== 'LoadBalancer' && type !== 'ExternalName') {
    fail('spec.type', type, '"ClusterIP", "NodePort", "LoadBalancer" or "ExternalName"')
  }
  const given = readClusterAddresses(spec)
  const clusterAddresses = given ?? []
  const isHeadless = given === undefined
  if (isOwn) {
    for (const address of clusterAddresses) {
      if (!rules.isClusterAddress(address)) {
        fail('spec.clusterIP', address, 'an address of the ranges of cluster addresses')
      }
    }
  }
  const isBalanced = type === 'LoadBalancer'
  const loadBalancerAddresses = isBalanced ? readIngress(object.status) : none
  const selector = isObject(spec.selector) && hasKeys(spec.selector) ? spec.selector : undefined
  const externalTrafficPolicy = readPolicy(spec.externalTrafficPolicy, 'spec.externalTrafficPolicy')
  const { healthCheckNodePort } = spec
  const hasHealthCheck = isBalanced && externalTrafficPolicy === 'local'
  return {
    namespace,
    name,
    id: `${namespace}/${name}`,
    isOwn,
    isShort: false,
    createdAt: metadata.createdAt,
    type,
    externalName: type === 'ExternalName' ? textOf(spec.externalName, 'spec.externalName') : undefined,
    isHeadless: isHeadless || type === 'ExternalName',
    clusterAddresses,
    families: readFamilies(spec.ipFamilies),
    stack: readStack(spec.ipFamilyPolicy),
    externalAddresses: readAddresses(spec.externalIPs, 'spec.externalIPs'),
    loadBalancerAddresses,
    pool: isBalanced ? readPool(metadata.annotations, spec, isOwn, conditions) : undefined,
    poolAddresses: isBalanced
      ? readAddresses(spec.loadBalancerIP ? [spec.loadBalancerIP] : [], 'spec.loadBalancerIP')
      : none,
    ports: readPorts(spec.ports, type, isOwn ? rules.nodePorts : undefined),
    wantsNodePorts:
      isOwn &&
      (type === 'NodePort' ||
        (isBalanced &&
          booleanOf(spec.allocateLoadBalancerNodePorts, 'spec.allocateLoadBalancerNodePorts', true))),
    wantsHealthCheck: isOwn && hasHealthCheck,
    healthCheckNodePort:
      healthCheckNodePort === undefined || healthCheckNodePort === 0 || !hasHealthCheck
        ? undefined
        : isPort(healthCheckNodePort)
          ? healthCheckNodePort
          : fail('spec.healthCheckNodePort', healthCheckNodePort, expectedPort),
    internalTrafficPolicy: readPolicy(spec.internalTrafficPolicy, 'spec.internalTrafficPolicy'),
    externalTrafficPolicy,
    affinitySeconds: readAffinity(spec),
    scheduler:
      metadata.annotations === undefined ? undefined : readScheduler(metadata.annotations, conditions),
    sourceRanges: isBalanced
      ? readSourceRanges(spec.loadBalancerSourceRanges, 'spec.loadBalancerSourceRanges')
      : undefined,
    selector: selector === undefined ? undefined : readSelector(selector, 'spec.selector'),
    publishNotReadyAddresses: booleanOf(
      spec.publishNotReadyAddresses,
      'spec.publishNotReadyAddresses',
      false,
    ),
    trafficDistribution: textOf(spec.trafficDistribution, 'spec.trafficDistribution'),
    servers: none,
    conditions: conditions.length === 0 ? none : conditions,
  }
}

const none: readonly never[] = []
/** What nearly every service says. */
const onlyIPv4: readonly AddressFamily[] = ['ipv4']

function hasKeys(object: Loose): boolean {
  for (const _ in object) return true
  return false
}

/** Undefined for a headless service, none for one that lacks an address as yet. */
function readClusterAddresses(spec: Loose): readonly string[] | undefined {
  const { clusterIP, clusterIPs } = spec
  if (clusterIP === 'None' || (Array.isArray(clusterIPs) && clusterIPs[0] === 'None')) return undefined
  if (
    clusterIPs === undefined ||
    clusterIPs === null ||
    (Array.isArray(clusterIPs) && clusterIPs.length === 0)
  ) {
    return clusterIP === undefined || clusterIP === '' ? none : readAddresses([clusterIP], 'spec.clusterIP')
  }
  const addresses = readAddresses(clusterIPs, 'spec.clusterIPs')
  if (
    addresses.length > 2 ||
    (addresses.length === 2 && familyOf(addresses[0]!) === familyOf(addresses[1]!))
  ) {
    fail('spec.clusterIPs', clusterIPs, 'at most one address of each family')
  }
  return addresses
}

/** Each address once, in its one spelling. */
export function readAddresses(value: unknown, path: string): readonly string[] {
  const list = listOf(value, path)
  if (list.length === 0) return none
  const addresses = new Array<string>(list.length)
  for (let index = 0; index < list.length; index++) {
    const item = list[index]
    const address = typeof item === 'string' ? canonicalAddress(item) : undefined
    if (address === undefined) fail(list.length === 1 ? path : `${path}[${index}]`, item, 'an IP address')
    addresses[index] = address
  }
  return addresses.length === 1 ? addresses : [...new Set(addresses)]
}

/** Addresses at which packets arrive unchanged: what a load balancer that is a proxy sends has the node's address. */
function readIngress(status: unknown): readonly string[] {
  if (!isObject(status) || !isObject(status.loadBalancer)) return none
  const list = listOf(status.loadBalancer.ingress, 'status.loadBalancer.ingress')
  if (list.length === 0) return none
  const addresses: unknown[] = []
  for (const item of list) {
    if (isObject(item) && item.ip !== undefined && item.ip !== '' && (item.ipMode ?? 'VIP') === 'VIP') {
      addresses.push(item.ip)
    }
  }
  return readAddresses(addresses, 'status.loadBalancer.ingress')
}

function readFamilies(value: unknown): readonly AddressFamily[] | undefined {
  if (value === undefined || value === null) return undefined
  const list = listOf(value, 'spec.ipFamilies')
  if (list.length === 1 && list[0] === 'IPv4') return onlyIPv4
  const families = list.map((family, index) =>
    family === 'IPv4'
      ? 'ipv4'
      : family === 'IPv6'
        ? 'ipv6'
        : fail(`spec.ipFamilies[${index}]`, family, '"IPv4" or "IPv6"'),
  )
  return families.length === 0 ? undefined : families
}

function readStack(value: unknown): ServiceRecord['stack'] {
  if (value === undefined || value === 'SingleStack') return 'single'
  if (value === 'PreferDualStack') return 'prefer-dual'
  if (value === 'RequireDualStack') return 'require-dual'
  return fail('spec.ipFamilyPolicy', value, '"SingleStack", "PreferDualStack" or "RequireDualStack"')
}

function readPolicy(value: unknown, path: string): TrafficPolicy {
  if (value === undefined || value === '' || value === 'Cluster') return 'cluster'
  return value === 'Local' ? 'local' : fail(path, value, '"Cluster" or "Local"')
}

function readAffinity(spec: Loose): number | undefined {
  const { sessionAffinity } = spec
  if (sessionAffinity === undefined || sessionAffinity === 'None' || sessionAffinity === '') return undefined
  if (sessionAffinity !== 'ClientIP') fail('spec.sessionAffinity', sessionAffinity, '"None" or "ClientIP"')
  const config = objectOf(spec.sessionAffinityConfig, 'spec.sessionAffinityConfig')
  const client = objectOf(config?.clientIP, 'spec.sessionAffinityConfig.clientIP')
  const seconds = client?.timeoutSeconds
  if (seconds === undefined || seconds === null) return defaultAffinitySeconds
  return isAffinity(seconds)
    ? seconds
    : fail('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, expectedAffinity)
}

/** A day at most, as Kubernetes has it. */
export function isAffinity(value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && value <= 86_400 && Number.isInteger(value)
}
export const expectedAffinity = 'an integer from 1 to 86400'

/**
 * Prefixes in their one spelling, with the bits behind them zero. Undefined where there is none.
 * @throws ValidationError
 */
export function readSourceRanges(value: unknown, path: string): readonly string[] | undefined {
  const list = listOf(value, path)
  if (list.length === 0) return undefined
  return list.map((item, index) => {
    const prefix = typeof item === 'string' ? parsePrefix(item.trim()) : undefined
    if (prefix === undefined) fail(`${path}[${index}]`, item, 'a prefix such as 192.0.2.0/24')
    const bytes = parseAddress(prefix.address)!
    for (let bit = prefix.length; bit < bytes.length * 8; bit++) bytes[bit >> 3]! &= ~(128 >> (bit & 7))
    return `${formatAddress(bytes)}/${prefix.length}`
  })
}

function readPool(
  annotations: Loose | undefined,
  spec: Loose,
  isOwn: boolean,
  conditions: Condition[],
): string | undefined {
  const pool = annotations?.[poolAnnotation]
  if (typeof pool === 'string') return pool
  if (pool !== undefined) {
    conditions.push({
      reason: 'AnnotationIgnored',
      message: `the annotation ${poolAnnotation} has no effect: it is no text`,
    })
  }
  const { loadBalancerClass: wanted } = spec
  if (wanted === undefined || wanted === '') return isOwn ? '' : undefined
  if (wanted === loadBalancerClass) return ''
  return typeof wanted === 'string' && wanted.startsWith(`${loadBalancerClass}/`)
    ? wanted.slice(loadBalancerClass.length + 1)
    : undefined
}

function readPorts(value: unknown, type: ServiceType, range: PortRange | undefined): readonly PortRecord[] {
  const list = listOf(value, 'spec.ports')
  const ports: PortRecord[] = []
  for (let index = 0; index < list.length; index++) {
    const item = list[index]
    if (!isObject(item)) fail(`spec.ports[${index}]`, item, 'an object')
    const { name, protocol, port, targetPort, nodePort } = item
    if (!isPort(port)) fail(`spec.ports[${index}].port`, port, expectedPort)
    if (name !== undefined && name !== '' && !isLabel(name))
      fail(`spec.ports[${index}].name`, name, expectedLabel)
    const hasNodePort = nodePort !== undefined && nodePort !== null && nodePort !== 0
    if (hasNodePort) {
      if (!isPort(nodePort)) fail(`spec.ports[${index}].nodePort`, nodePort, expectedPort)
      if (range !== undefined && (nodePort < range.from || nodePort > range.to)) {
        fail(`spec.ports[${index}].nodePort`, nodePort, `a port from ${range.from} to ${range.to}`)
      }
      if (range !== undefined && type === 'ClusterIP') {
        fail(`spec.ports[${index}].nodePort`, nodePort, 'none for a service of type ClusterIP')
      }
    }
    ports.push({
      name: name ?? '',
      protocol:
        readProtocol(protocol) ?? fail(`spec.ports[${index}].protocol`, protocol, '"TCP", "UDP" or "SCTP"'),
      port,
      targetPort: readTargetPort(targetPort, index) || port,
      nodePort: hasNodePort ? nodePort : undefined,
    })
  }
  return distinct(compact(ports), 'spec.ports')
}

function readTargetPort(value: unknown, index: number): number | string | undefined {
  if (value === undefined || value === null || value === 0 || value === '') return undefined
  if (typeof value === 'string' || isPort(value)) return value
  return fail(`spec.ports[${index}].targetPort`, value, 'a port from 1 to 65535 or the name of one')
}

/** No two with the same name, nor with the same port and protocol, nor with the same node port. @throws ValidationError */
export function distinct(ports: readonly PortRecord[], path: string): readonly PortRecord[] {
  if (ports.length < 2) return ports
  const seen = new Set<string>()
  ports.forEach(({ name, protocol, port, nodePort }, index) => {
    const add = (key: string, field: string, value: unknown, expected: string) => {
      if (seen.has(key)) fail(`${path}[${index}].${field}`, value, expected)
      seen.add(key)
    }
    add(`name ${name}`, 'name', name, 'a name, each port another one')
    add(`port ${port}/${protocol}`, 'port', port, 'another port, or another protocol')
    if (typeof nodePort === 'number') {
      add(`node port ${nodePort}/${protocol}`, 'nodePort', nodePort, 'another node port, or another protocol')
    }
  })
  return ports
}

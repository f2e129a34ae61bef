/** Where a service is reached: what it claims, and of that what it holds. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { portLabel, type ServiceFront, sourceRangesOf } from './build.js'
import type { Condition } from './condition.js'
import { compact } from './reading.js'
import type { PortRecord, ServiceRecord } from './records.js'
import { formatEndpoint, type Frontend, type ServiceProtocol } from './virtual-service.js'

const none: readonly never[] = []

/** @returns each once at least; the same ones in the same order for the same service */
export function frontendKeys(record: ServiceRecord, withAddresses: boolean): readonly string[] {
  if (record.isHeadless) return none
  const { ports, clusterAddresses, externalAddresses, loadBalancerAddresses, healthCheckNodePort } = record
  const addresses =
    externalAddresses.length === 0 && loadBalancerAddresses.length === 0
      ? clusterAddresses
      : [...clusterAddresses, ...externalAddresses, ...loadBalancerAddresses]
  const keys: string[] = []
  // Asked of every service at every start: iterators would cost more than what they go through.
  for (let index = 0; index < ports.length; index++) {
    const { port, protocol, nodePort } = ports[index]!
    for (let place = 0; place < addresses.length; place++)
      keys.push(addressKey(addresses[place]!, port, protocol))
    if (typeof nodePort === 'number') keys.push(nodePortKey(nodePort, protocol))
  }
  if (withAddresses) keys.push(...addresses)
  if (healthCheckNodePort !== undefined) keys.push(nodePortKey(healthCheckNodePort, 'tcp'))
  return keys
}

function addressKey(address: string, port: number, protocol: ServiceProtocol): string {
  return `${address} ${port}/${protocol}`
}

export function nodePortKey(port: number, protocol: ServiceProtocol): string {
  return `${port}/${protocol}`
}

/** Whom to ask whether the service may have something. */
export interface Holders {
  /** Nobody claims what another one has: there is nothing to ask. */
  readonly arePeaceful: () => boolean
  /** Undefined if the service itself has it; else who. */
  readonly other: (key: string) => string | undefined
  /** Who listens on a port of the node. */
  readonly listener: (port: number, protocol: ServiceProtocol) => string | undefined
}

/** @param conditions gets what it claims and does not hold */
export function frontsOf(
  record: ServiceRecord,
  holders: Holders,
  conditions: Condition[],
): readonly ServiceFront[] {
  if (record.isHeadless) return none
  const { ports } = record
  const fronts: ServiceFront[] = []
  const families = familiesOf(record)
  for (let index = 0; index < families.length; index++) {
    const family = families[index]!
    const sourceRanges = sourceRangesOf(record, family)
    for (let place = 0; place < ports.length; place++) {
      const port = ports[place]!
      const frontends = frontendsOf(record, port, family, holders, conditions)
      if (frontends.length === 0) continue
      const key = `${record.id}:${portLabel(port)}/${family}`
      fronts.push({ key, family, port, frontends: compact(frontends), sourceRanges })
    }
  }
  if (fronts.length === 0 && record.ports.length > 0 && conditions.length === 0) conditions.push(noAddress)
  return compact(fronts)
}

const noAddress: Condition = {
  reason: 'NoAddress',
  message: 'it has no address: give it one, or give the model ranges to pick from',
}

/** Kubernetes' services are of the families of their cluster addresses; in the short form, of all their addresses. */
function familiesOf(record: ServiceRecord): readonly AddressFamily[] {
  const { clusterAddresses: cluster } = record
  const all =
    cluster.length > 0 && !record.isShort
      ? cluster
      : [...cluster, ...record.externalAddresses, ...record.loadBalancerAddresses]
  if (all.length === 1) return familyOf(all[0]!) === 'ipv4' ? onlyIPv4 : onlyIPv6
  if (all.length > 0) return [...new Set(all.map(familyOf))].sort()
  return record.families ?? onlyIPv4
}
const onlyIPv4: readonly AddressFamily[] = ['ipv4']
const onlyIPv6: readonly AddressFamily[] = ['ipv6']

function frontendsOf(
  record: ServiceRecord,
  port: PortRecord,
  family: AddressFamily,
  holders: Holders,
  conditions: Condition[],
): Frontend[] {
  const frontends: Frontend[] = []
  // A cluster address that the model has given is one service's, whatever the port.
  const isWhole = record.isOwn && !record.isShort
  addFrontends(frontends, 'cluster', record.clusterAddresses, isWhole, port, family, holders, conditions)
  addFrontends(frontends, 'external', record.externalAddresses, false, port, family, holders, conditions)
  addFrontends(
    frontends,
    'load-balancer',
    record.loadBalancerAddresses,
    false,
    port,
    family,
    holders,
    conditions,
  )
  const { nodePort, protocol } = port
  if (typeof nodePort === 'number' && holdsNodePort(nodePort, protocol, holders, conditions)) {
    frontends.push({ kind: 'node-port', port: nodePort })
  }
  return frontends
}

/** @param isWhole whether another port of the address is enough to hold it */
function addFrontends(
  frontends: Frontend[],
  kind: 'cluster' | 'external' | 'load-balancer',
  addresses: readonly string[],
  isWhole: boolean,
  { port, protocol }: PortRecord,
  family: AddressFamily,
  holders: Holders,
  conditions: Condition[],
): void {
  for (let index = 0; index < addresses.length; index++) {
    const address = addresses[index]!
    if (familyOf(address) !== family) continue
    if (
      frontends.length > 0 &&
      frontends.some((other) => other.kind !== 'node-port' && other.address === address)
    ) {
      continue
    }
    if (holders.arePeaceful()) {
      frontends.push({ kind, address, port })
      continue
    }
    const owner = isWhole ? holders.other(address) : undefined
    const holder = owner ?? holders.other(addressKey(address, port, protocol))
    if (holder === undefined) frontends.push({ kind, address, port })
    else {
      const what = owner === undefined ? `${formatEndpoint(address, port)}/${protocol}` : address
      conditions.push({ reason: 'AddressTaken', message: `${what} is held by the service ${holder}` })
    }
  }
}

/** Neither another service nor a process has it. */
export function holdsNodePort(
  port: number,
  protocol: ServiceProtocol,
  { other, listener }: Holders,
  conditions: Condition[],
): boolean {
  const holder = other(nodePortKey(port, protocol))
  if (holder !== undefined) {
    const message = `the node port ${port}/${protocol} is held by the service ${holder}`
    conditions.push({ reason: 'NodePortTaken', message })
    return false
  }
  const process = listener(port, protocol)
  if (process === undefined) return true
  const message = `the node port ${port}/${protocol} is in use on this host: ${process} listens on it`
  conditions.push({ reason: 'NodePortInUse', message })
  return false
}

/** Where a service is reached: what it claims, and of that what it holds. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { portLabel, type ServiceFront, sourceRangesOf } from './build.js'
import type { Condition } from './condition.js'
import { compact } from './reading.js'
import type { PortRecord, ServiceRecord } from './records.js'
import { formatEndpoint, type Frontend, type ServiceProtocol } from './virtual-service.js'

/** @returns each once at least; the same ones in the same order for the same service */
export function frontendKeys(record: ServiceRecord, withAddresses: boolean): string[] {
  const keys: string[] = []
  if (record.isHeadless) return keys
  const { clusterAddresses, externalAddresses, loadBalancerAddresses, healthCheckNodePort } = record
  for (const { port, protocol, nodePort } of record.ports) {
    for (const address of clusterAddresses) keys.push(addressKey(address, port, protocol))
    for (const address of externalAddresses) keys.push(addressKey(address, port, protocol))
    for (const address of loadBalancerAddresses) keys.push(addressKey(address, port, protocol))
    if (typeof nodePort === 'number') keys.push(nodePortKey(nodePort, protocol))
  }
  if (withAddresses) keys.push(...clusterAddresses, ...externalAddresses, ...loadBalancerAddresses)
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
  const fronts: ServiceFront[] = []
  if (record.isHeadless) return fronts
  for (const family of familiesOf(record)) {
    const sourceRanges = sourceRangesOf(record, family)
    for (const port of record.ports) {
      const frontends = frontendsOf(record, port, family, holders, conditions)
      const key = `${record.id}:${portLabel(port)}/${family}`
      if (frontends.length > 0)
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
  { port, protocol, nodePort }: PortRecord,
  family: AddressFamily,
  holders: Holders,
  conditions: Condition[],
): Frontend[] {
  const frontends: Frontend[] = []
  const add = (kind: 'cluster' | 'external' | 'load-balancer', address: string) => {
    if (familyOf(address) !== family) return
    if (frontends.some((other) => other.kind !== 'node-port' && other.address === address)) return
    // A cluster address that the model has given is one service's, whatever the port.
    const isWhole = kind === 'cluster' && record.isOwn && !record.isShort
    const owner = isWhole ? holders.other(address) : undefined
    const holder = owner ?? holders.other(addressKey(address, port, protocol))
    if (holder === undefined) frontends.push({ kind, address, port })
    else {
      const what = owner === undefined ? `${formatEndpoint(address, port)}/${protocol}` : address
      conditions.push({ reason: 'AddressTaken', message: `${what} is held by the service ${holder}` })
    }
  }
  for (const address of record.clusterAddresses) add('cluster', address)
  for (const address of record.externalAddresses) add('external', address)
  for (const address of record.loadBalancerAddresses) add('load-balancer', address)
  if (typeof nodePort === 'number' && holdsNodePort(nodePort, protocol, holders, conditions)) {
    frontends.push({ kind: 'node-port', port: nodePort })
  }
  return frontends
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

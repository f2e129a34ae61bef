/** What a service lacks is picked: cluster addresses, load balancers' addresses, node ports. */
import { type AddressFamily, canonicalAddress, familyOf } from '../address/index.js'
import {
  addressAt,
  type AddressRange,
  bandOf,
  pickPlace,
  rangeContains,
  readClusterRange,
  readPoolRange,
} from './address-range.js'
import { portLabel } from './build.js'
import type { Condition } from './condition.js'
import { defaultNodePorts, type PortRange, readPortRange } from './port-range.js'
import { fail, isObject, isPort, listOf } from './reading.js'
import type { PortRecord, ServiceRecord } from './records.js'
import type { ServiceProtocol } from './virtual-service.js'

/** What the model may give to services. */
export interface AllocateOptions {
  /** Prefixes that cluster addresses are of; those of a family are used in turn. Without any, no cluster address is picked. */
  readonly clusterRanges?: readonly string[] | undefined
  /** `30000-32767` unless said; anything from 1 to 65535. */
  readonly nodePorts?: string | undefined
  /**
   * Addresses of load balancers by the name of the pool: prefixes, or ranges such as `192.0.2.10-192.0.2.20`. A service of type
   * LoadBalancer names its pool in the annotation `viaduct/pool` or as `loadBalancerClass: viaduct/NAME`; with the class
   * `viaduct` it takes any, and so does one without a class that no API server has stored.
   */
  readonly pools?: Readonly<Record<string, readonly string[]>> | undefined
}

/** What was picked for a service, to be kept over a restart. */
export interface Allocation {
  /** `namespace/name`. */
  readonly service: string
  /** At most one of each family. */
  readonly clusterAddresses: readonly string[]
  /** Of a pool. */
  readonly loadBalancerAddresses: readonly string[]
  /** By `port/protocol`, where `port` is the port's name, or its number if it has none. */
  readonly nodePorts: Readonly<Record<string, number>>
  /** Where health is asked for. */
  readonly healthCheckNodePort?: number | undefined
}

/**
 * An allocation as it comes back from where it was kept; what is none of its addresses and ports is left out when it is used.
 * @throws ValidationError
 */
export function readAllocation(value: unknown, path: string): Allocation {
  if (!isObject(value) || typeof value.service !== 'string')
    fail(path, value, 'an allocation with its service')
  const { service, clusterAddresses, loadBalancerAddresses, nodePorts = {}, healthCheckNodePort } = value
  if (!isObject(nodePorts)) fail(`${path}.nodePorts`, nodePorts, 'node ports by port')
  return {
    service,
    clusterAddresses: listOf(clusterAddresses, `${path}.clusterAddresses`) as readonly string[],
    loadBalancerAddresses: listOf(
      loadBalancerAddresses,
      `${path}.loadBalancerAddresses`,
    ) as readonly string[],
    nodePorts: nodePorts as Readonly<Record<string, number>>,
    healthCheckNodePort: isPort(healthCheckNodePort) ? healthCheckNodePort : undefined,
  }
}

/** What the allocator asks for. */
export interface Surroundings {
  /** The service that has it, if one has. */
  readonly holder: (address: string) => string | undefined
  /** No service has it, nor does a process listen on it. */
  readonly isFreePort: (port: number, protocol: ServiceProtocol) => boolean
  /** How many addresses are not free, at most. */
  readonly claims: number
}

const nothing: readonly never[] = []

export class Allocator {
  readonly nodePorts: PortRange
  readonly #ranges: readonly AddressRange[]
  readonly #pools: ReadonlyMap<string, readonly AddressRange[]>

  /** @throws ValidationError */
  constructor({ clusterRanges, nodePorts, pools }: AllocateOptions) {
    this.#ranges = listOf(clusterRanges, 'allocate.clusterRanges').map((range, index) =>
      readClusterRange(range, `allocate.clusterRanges[${index}]`),
    )
    this.nodePorts =
      nodePorts === undefined ? defaultNodePorts : readPortRange(nodePorts, 'allocate.nodePorts')
    if (pools !== undefined && !isObject(pools)) fail('allocate.pools', pools, 'lists of ranges by name')
    this.#pools = new Map(
      Object.entries(pools ?? {}).map(([name, ranges]) => [
        name,
        listOf(ranges, `allocate.pools.${name}`).map((range, index) =>
          readPoolRange(range, `allocate.pools.${name}[${index}]`),
        ),
      ]),
    )
  }

  /** May a service have it as its cluster address? Without ranges, any will do. */
  isClusterAddress(address: string): boolean {
    return this.#ranges.length === 0 || this.#ranges.some((range) => rangeContains(range, address))
  }

  /** What of earlier picks it still needs. */
  keep(record: ServiceRecord, picks: Allocation | undefined): Allocation | undefined {
    if (picks === undefined) return undefined
    const families = this.#clusterFamilies(record)
    const pool = this.#poolOf(record)
    const nodePorts: Record<string, number> = {}
    for (const port of record.ports) {
      const label = portLabel(port)
      const old = Object.hasOwn(picks.nodePorts, label) ? picks.nodePorts[label] : undefined
      if (old !== undefined && wantsNodePort(record, port)) nodePorts[label] = old
    }
    return orNothing({
      service: record.id,
      clusterAddresses: picks.clusterAddresses.filter((address) => families.includes(familyOf(address))),
      loadBalancerAddresses: picks.loadBalancerAddresses.filter(
        (address) =>
          pool?.some((range) => rangeContains(range, address)) &&
          (record.poolAddresses.length === 0 || record.poolAddresses.includes(address)),
      ),
      nodePorts,
      healthCheckNodePort: wantsHealthCheck(record) ? picks.healthCheckNodePort : undefined,
    })
  }

  /**
   * Picks what is missing; what cannot be had is a condition.
   * @param before what it has already
   * @param recorded what it had at another time, which it gets again where that is free
   */
  pick(
    record: ServiceRecord,
    before: Allocation | undefined,
    recorded: Allocation | undefined,
    around: Surroundings,
    conditions: Condition[],
  ): Allocation | undefined {
    const clusterAddresses = [...(before?.clusterAddresses ?? nothing)]
    for (const family of this.#clusterFamilies(record)) {
      if (clusterAddresses.some((address) => familyOf(address) === family)) continue
      const ranges = this.#ranges.filter((range) => range.family === family)
      const address = pickAddress(ranges, record.id, recorded?.clusterAddresses, around)
      if (address !== undefined) clusterAddresses.push(address)
      else
        conditions.push(exhausted(`cluster address (${family})`, ranges.map(({ text }) => text).join(', ')))
    }
    const loadBalancerAddresses = [...(before?.loadBalancerAddresses ?? nothing)]
    const families = familiesOf([...record.clusterAddresses, ...clusterAddresses])
    this.#pickFromPool(record, families, loadBalancerAddresses, recorded, around, conditions)
    const nodePorts: Record<string, number> = { ...before?.nodePorts }
    const picked = new Set(
      Object.entries(nodePorts).map(([label, port]) => `${port}/${label.split('/')[1]!}`),
    )
    const pickPort = (
      protocol: ServiceProtocol,
      old: number | undefined,
      seed: string,
    ): number | undefined => {
      const isFree = (port: number) => !picked.has(`${port}/${protocol}`) && around.isFreePort(port, protocol)
      const port = pickNodePort(this.nodePorts, seed, old, isFree)
      if (port === undefined) {
        conditions.push(exhausted('node port', `${this.nodePorts.from}-${this.nodePorts.to}`))
      } else picked.add(`${port}/${protocol}`)
      return port
    }
    for (const port of record.ports) {
      const label = portLabel(port)
      if (!wantsNodePort(record, port) || Object.hasOwn(nodePorts, label)) continue
      const old = recorded?.nodePorts[label]
      const found = pickPort(port.protocol, old, `${record.id}:${label}`)
      if (found !== undefined) nodePorts[label] = found
    }
    let healthCheckNodePort = before?.healthCheckNodePort
    if (wantsHealthCheck(record)) {
      healthCheckNodePort ??= pickPort('tcp', recorded?.healthCheckNodePort, `${record.id} health`)
    }
    return orNothing({
      service: record.id,
      clusterAddresses,
      loadBalancerAddresses,
      nodePorts,
      healthCheckNodePort,
    })
  }

  #pickFromPool(
    record: ServiceRecord,
    families: readonly AddressFamily[],
    addresses: string[],
    recorded: Allocation | undefined,
    around: Surroundings,
    conditions: Condition[],
  ): void {
    const ranges = this.#poolOf(record)
    if (ranges === undefined) {
      const { pool } = record
      if (pool !== undefined && pool !== '' && record.loadBalancerAddresses.length === 0) {
        const known = [...this.#pools.keys()].join(', ') || 'none'
        conditions.push({
          reason: 'PoolUnknown',
          message: `there is no pool of the name ${pool}; there is: ${known}`,
        })
      }
      return
    }
    if (record.poolAddresses.length > 0) {
      for (const address of record.poolAddresses) {
        if (addresses.includes(address)) continue
        if (!ranges.some((range) => rangeContains(range, address))) {
          conditions.push({
            reason: 'AddressOutOfRange',
            message: `${address} is in none of the pools that it may take from`,
          })
        } else if (around.holder(address) !== undefined) {
          const message = `${address} is held by the service ${around.holder(address)!}`
          conditions.push({ reason: 'AddressTaken', message })
        } else addresses.push(address)
      }
      return
    }
    const wanted = families.length > 0 ? families : [ranges[0]!.family]
    for (const family of wanted) {
      if (addresses.some((address) => familyOf(address) === family)) continue
      const ofFamily = ranges.filter((range) => range.family === family)
      // A pool of one family serves that one alone.
      if (ofFamily.length === 0 && wanted.length > 1) continue
      const address = pickAddress(ofFamily, record.id, recorded?.loadBalancerAddresses, around)
      if (address !== undefined) addresses.push(address)
      else
        conditions.push(
          exhausted(`load balancer's address (${family})`, `the pool ${record.pool || 'of any name'}`),
        )
    }
  }

  /** Ranges that a load balancer's address is to be picked from; undefined where none is. */
  #poolOf(record: ServiceRecord): readonly AddressRange[] | undefined {
    const { pool } = record
    if (pool === undefined || (record.loadBalancerAddresses.length > 0 && !record.isShort)) return undefined
    const ranges = pool === '' ? [...this.#pools.values()].flat() : this.#pools.get(pool)
    return ranges === undefined || ranges.length === 0 ? undefined : ranges
  }

  /** Families that it lacks a cluster address of. */
  #clusterFamilies(record: ServiceRecord): readonly AddressFamily[] {
    if (!record.isOwn || record.isHeadless || this.#ranges.length === 0) return nothing
    const given = familiesOf(record.clusterAddresses)
    if (record.stack === 'single' && given.length > 0) return nothing
    const available = [...new Set(this.#ranges.map((range) => range.family))]
    const asked = record.families ?? available.slice(0, 1)
    if (record.stack === 'single') return asked.slice(0, 1)
    const all: readonly AddressFamily[] = record.stack === 'require-dual' ? ['ipv4', 'ipv6'] : available
    return [...new Set([...asked, ...all])].filter(
      (family) => !given.includes(family) && (record.stack === 'require-dual' || available.includes(family)),
    )
  }
}

/** The service with what was picked for it. */
export function withPicks(record: ServiceRecord, picks: Allocation | undefined): ServiceRecord {
  if (picks === undefined) return record
  return {
    ...record,
    clusterAddresses: [...record.clusterAddresses, ...picks.clusterAddresses],
    loadBalancerAddresses: [...record.loadBalancerAddresses, ...picks.loadBalancerAddresses],
    ports: record.ports.map((port) => {
      const nodePort = picks.nodePorts[portLabel(port)]
      return nodePort === undefined ? port : { ...port, nodePort }
    }),
    healthCheckNodePort: record.healthCheckNodePort ?? picks.healthCheckNodePort,
  }
}

function wantsNodePort(record: ServiceRecord, { nodePort }: PortRecord): boolean {
  return nodePort === 'pick' || (nodePort === undefined && record.wantsNodePorts)
}

function wantsHealthCheck(record: ServiceRecord): boolean {
  return record.wantsHealthCheck && record.healthCheckNodePort === undefined
}

function familiesOf(addresses: readonly string[]): readonly AddressFamily[] {
  return [...new Set(addresses.map(familyOf))]
}

/** Nothing picked is undefined, so that services without picks cost nothing. */
function orNothing(picks: Allocation): Allocation | undefined {
  const { clusterAddresses, loadBalancerAddresses, nodePorts, healthCheckNodePort } = picks
  const count = clusterAddresses.length + loadBalancerAddresses.length + Object.keys(nodePorts).length
  return count === 0 && healthCheckNodePort === undefined ? undefined : picks
}

function pickAddress(
  ranges: readonly AddressRange[],
  seed: string,
  recorded: readonly string[] | undefined,
  around: Surroundings,
): string | undefined {
  for (const text of recorded ?? nothing) {
    const address = typeof text === 'string' ? canonicalAddress(text) : undefined
    if (address === undefined || !ranges.some((range) => rangeContains(range, address))) continue
    if (around.holder(address) === undefined) return address
  }
  for (const range of ranges) {
    const isFree = (place: number) => around.holder(addressAt(range, place)) === undefined
    const place = pickPlace(range.size, range.lowerBand, seed, isFree, around.claims)
    if (place !== undefined) return addressAt(range, place)
  }
  return undefined
}

/** The lower band is that of Kubernetes (KEP-3668): min(max(16, size / 32), 128). */
function pickNodePort(
  { from, to }: PortRange,
  seed: string,
  recorded: number | undefined,
  isFree: (port: number) => boolean,
): number | undefined {
  if (isPort(recorded) && recorded >= from && recorded <= to && isFree(recorded)) return recorded
  const size = to - from + 1
  const place = pickPlace(size, bandOf(size, 16, 32, 128), seed, (place) => isFree(from + place))
  return place === undefined ? undefined : from + place
}

function exhausted(what: string, where: string): Condition {
  return { reason: 'RangeExhausted', message: `no ${what} is free in ${where || 'any range: there is none'}` }
}

/** Makes virtual services of a service, of what it holds and of its slices. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { type Candidates, chooseServers, type NodeFacts } from './choose.js'
import {
  type EndpointRecord,
  type PortRecord,
  rank,
  type ServiceRecord,
  type SliceRecord,
} from './records.js'
import type { Frontend, RealServer, VirtualService } from './virtual-service.js'

/** The part of a virtual service that endpoints do not change. */
export interface ServiceFront {
  readonly key: string
  readonly family: AddressFamily
  readonly port: PortRecord
  readonly frontends: readonly Frontend[]
  readonly sourceRanges: readonly string[] | undefined
}

/** `port` is the port's name, or its number if it has none. */
export function portLabel(port: PortRecord): string {
  return `${port.name === '' ? port.port : port.name}/${port.protocol}`
}

/** Of one family; undefined where everybody may: one that says so makes the others mean nothing. */
export function sourceRangesOf(record: ServiceRecord, family: AddressFamily): readonly string[] | undefined {
  const ranges = record.sourceRanges?.filter((range) => familyOf(range) === family)
  if (ranges === undefined || ranges.length === 0 || ranges.some((range) => range.endsWith('/0')))
    return undefined
  return [...new Set(ranges)].sort()
}

/** What an endpoint's Pod says; undefined where no Pod says anything. */
export type WeightOf = ((endpoint: EndpointRecord) => number | undefined) | undefined

/** @param weightOf what an endpoint's Pod says, where the endpoint itself says nothing */
export function buildVirtualService(
  record: ServiceRecord,
  front: ServiceFront,
  slices: readonly SliceRecord[],
  node: NodeFacts,
  weightOf: WeightOf,
): VirtualService {
  const { internalTrafficPolicy, externalTrafficPolicy } = record
  const isOutside = front.frontends.some((frontend) => frontend.kind !== 'cluster')
  const usesLocal = internalTrafficPolicy === 'local' || (externalTrafficPolicy === 'local' && isOutside)
  return {
    key: front.key,
    service: record.id,
    family: front.family,
    protocol: front.port.protocol,
    frontends: front.frontends,
    servers: chooseServers(candidatesOf(front, slices, node, weightOf), node, usesLocal),
    internalTrafficPolicy,
    externalTrafficPolicy,
    affinitySeconds: record.affinitySeconds,
    scheduler: record.scheduler,
    sourceRanges: front.sourceRanges,
  }
}

/** Endpoints of the port's name and protocol, sorted by address and port, each one once. */
function candidatesOf(
  front: ServiceFront,
  slices: readonly SliceRecord[],
  node: NodeFacts,
  weightOf: WeightOf,
): Candidates {
  const { name, protocol } = front.port
  let first: Candidates | undefined
  const others: Candidates[] = []
  for (let index = 0; index < slices.length; index++) {
    const { family, ports, endpoints } = slices[index]!
    if (family !== front.family) continue
    for (let place = 0; place < ports.length; place++) {
      const port = ports[place]!
      if (port.protocol !== protocol || port.name !== name) continue
      const found = candidatesIn(endpoints, port.port, node, weightOf)
      if (first === undefined) first = found
      else others.push(found)
    }
  }
  if (first === undefined) return nobody
  return others.length === 0 ? first : merge([first, ...others])
}
const nobody: Candidates = { endpoints: [], servers: [], idle: undefined }

function candidatesIn(
  endpoints: readonly EndpointRecord[],
  port: number,
  node: NodeFacts,
  weightOf: WeightOf,
): Candidates {
  const servers = new Array<RealServer>(endpoints.length)
  let idle: Set<RealServer> | undefined
  for (let index = 0; index < endpoints.length; index++) {
    const endpoint = endpoints[index]!
    const { address } = endpoint
    const weight = endpoint.weight ?? weightOf?.(endpoint) ?? 1
    const isLocal =
      endpoint.node === undefined || node.name === undefined ? undefined : endpoint.node === node.name
    const server: RealServer = { address, port, weight: weight === 0 ? 1 : weight, isLocal }
    servers[index] = server
    if (weight === 0) (idle ??= new Set()).add(server)
  }
  return { endpoints, servers, idle }
}

/** An endpoint that moves from slice to slice is in both for a while: what can do more is what holds. */
function merge(all: readonly Candidates[]): Candidates {
  const idle = new Set<RealServer>()
  const pairs: { readonly endpoint: EndpointRecord; readonly server: RealServer }[] = []
  for (const { endpoints, servers, idle: more } of all) {
    endpoints.forEach((endpoint, index) => pairs.push({ endpoint, server: servers[index]! }))
    for (const server of more ?? []) idle.add(server)
  }
  pairs.sort(
    (one, other) =>
      compare(one.server.address, other.server.address) ||
      one.server.port - other.server.port ||
      rank(other.endpoint) - rank(one.endpoint) ||
      Number(other.server.isLocal ?? false) - Number(one.server.isLocal ?? false) ||
      Number(idle.has(one.server)) - Number(idle.has(other.server)) ||
      other.server.weight - one.server.weight,
  )
  const first = pairs.filter(({ server }, index) => {
    const before = pairs[index - 1]?.server
    return before?.address !== server.address || before.port !== server.port
  })
  return {
    endpoints: first.map(({ endpoint }) => endpoint),
    servers: first.map(({ server }) => server),
    idle: idle.size === 0 ? undefined : idle,
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

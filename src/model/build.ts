/** Makes virtual services of a service, of what it holds and of its slices. */
import { type AddressFamily, familyOf } from '../address/index.js'
import { type Candidate, chooseServers, type NodeFacts } from './choose.js'
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

/** @param weightOf what an endpoint's Pod says, where the endpoint itself says nothing */
export function buildVirtualService(
  record: ServiceRecord,
  front: ServiceFront,
  slices: readonly SliceRecord[],
  node: NodeFacts,
  weightOf: (pod: string) => number | undefined,
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
    servers: chooseServers(candidatesOf(front, slices, node, weightOf, record.namespace), node, usesLocal),
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
  weightOf: (pod: string) => number | undefined,
  namespace: string,
): Candidate[] {
  const { name, protocol } = front.port
  const candidates: Candidate[] = []
  let sliceCount = 0
  for (const slice of slices) {
    if (slice.family !== front.family) continue
    for (const port of slice.ports) {
      if (port.protocol !== protocol || port.name !== name) continue
      sliceCount++
      for (const endpoint of slice.endpoints) {
        candidates.push(candidateOf(endpoint, port.port, node, weightOf, namespace))
      }
    }
  }
  return sliceCount < 2 ? candidates : merge(candidates)
}

function candidateOf(
  endpoint: EndpointRecord,
  port: number,
  node: NodeFacts,
  weightOf: (pod: string) => number | undefined,
  namespace: string,
): Candidate {
  const { address, pod } = endpoint
  const weight = endpoint.weight ?? (pod === undefined ? undefined : weightOf(`${namespace}/${pod}`)) ?? 1
  const isLocal =
    endpoint.node === undefined || node.name === undefined ? undefined : endpoint.node === node.name
  const server: RealServer = { address, port, weight: weight === 0 ? 1 : weight, isLocal }
  return { endpoint, server, weight }
}

/** An endpoint that moves from slice to slice is in both for a while: what can do more is what holds. */
function merge(candidates: Candidate[]): Candidate[] {
  candidates.sort(
    (a, b) =>
      compare(a.server.address, b.server.address) ||
      a.server.port - b.server.port ||
      rank(b.endpoint) - rank(a.endpoint) ||
      Number(b.server.isLocal ?? false) - Number(a.server.isLocal ?? false) ||
      b.weight - a.weight,
  )
  return candidates.filter(({ server }, index) => {
    const before = candidates[index - 1]?.server
    return before?.address !== server.address || before.port !== server.port
  })
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Which endpoints new connections go to, by the rules of Kubernetes (pkg/proxy/topology.go there). */
import type { EndpointRecord } from './records.js'
import type { RealServer, Servers } from './virtual-service.js'

/** This node, as far as the choice depends on it. */
export interface NodeFacts {
  readonly name: string | undefined
  readonly zone: string | undefined
}

/** An endpoint, and what a dataplane sees of it. */
export interface Candidate {
  readonly endpoint: EndpointRecord
  readonly server: RealServer
  /** 0: it keeps what it has, and gets nothing new. */
  readonly weight: number
}

const none: readonly never[] = []
export const noServers: Servers = { cluster: none, local: none, draining: none, any: false }

/** @param usesLocal whether any traffic of the service is for this node's servers alone */
export function chooseServers(
  candidates: readonly Candidate[],
  node: NodeFacts,
  usesLocal: boolean,
): Servers {
  if (candidates.length === 0) return noServers
  let readyCount = 0
  let localReadyCount = 0
  let hasHints = false
  for (const candidate of candidates) {
    const { zoneHints, nodeHints } = candidate.endpoint
    if (zoneHints !== undefined || nodeHints !== undefined) hasHints = true
    if (!isReady(candidate)) continue
    readyCount++
    if (candidate.server.isLocal === true) localReadyCount++
  }
  const hints = hasHints ? hintsFor(candidates, node) : 'none'
  const cluster: RealServer[] = []
  const local: RealServer[] = []
  const draining: RealServer[] = []
  let any = readyCount > 0
  for (const candidate of candidates) {
    const { endpoint, server } = candidate
    const isLocal = server.isLocal === true
    const isLast = isServingToTheEnd(candidate)
    if (isLast) any = true
    const inCluster = readyCount > 0 ? isReady(candidate) && isHinted(endpoint, hints, node) : isLast
    const inLocal = isLocal && (localReadyCount > 0 ? isReady(candidate) : isLast)
    if (inCluster) cluster.push(server)
    if (inLocal) local.push(server)
    const isChosen = inCluster || (inLocal && usesLocal)
    if (!isChosen && (endpoint.terminating || (candidate.weight === 0 && endpoint.ready)))
      draining.push(server)
  }
  return {
    cluster: cluster.length === 0 ? none : cluster,
    local:
      local.length === 0
        ? none
        : local.length === cluster.length && sameItems(local, cluster)
          ? cluster
          : local,
    draining: draining.length === 0 ? none : draining,
    any,
  }
}

function isReady({ endpoint, weight }: Candidate): boolean {
  return endpoint.ready && weight > 0
}

/** Better than nobody: it ends, but still answers. */
function isServingToTheEnd({ endpoint, weight }: Candidate): boolean {
  return !endpoint.ready && endpoint.serving && endpoint.terminating && weight > 0
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((item, index) => item === b[index])
}

/** Hints hold where every ready endpoint has one and this node (or, second, its zone) is in one of them. */
function hintsFor(candidates: readonly Candidate[], { name, zone }: NodeFacts): 'node' | 'zone' | 'none' {
  let allForNodes = true
  let allForZones = true
  let anyForNode = false
  let anyForZone = false
  for (const candidate of candidates) {
    if (!isReady(candidate)) continue
    const { nodeHints, zoneHints } = candidate.endpoint
    if (nodeHints === undefined) allForNodes = false
    else if (name !== undefined && nodeHints.includes(name)) anyForNode = true
    if (zoneHints === undefined) allForZones = false
    else if (zone !== undefined && zoneHints.includes(zone)) anyForZone = true
    if (!allForNodes && !allForZones) return 'none'
  }
  return allForNodes && anyForNode ? 'node' : allForZones && anyForZone ? 'zone' : 'none'
}

function isHinted(endpoint: EndpointRecord, hints: 'node' | 'zone' | 'none', node: NodeFacts): boolean {
  if (hints === 'none') return true
  return hints === 'node'
    ? endpoint.nodeHints!.includes(node.name!)
    : endpoint.zoneHints!.includes(node.zone!)
}

/** Which endpoints new connections go to, by the rules of Kubernetes (pkg/proxy/topology.go there). */
import { compact } from './reading.js'
import type { EndpointRecord } from './records.js'
import type { RealServer, Servers } from './virtual-service.js'

/** This node, as far as the choice depends on it. */
export interface NodeFacts {
  readonly name: string | undefined
  readonly zone: string | undefined
}

/** Endpoints, and beside each what a dataplane sees of it. */
export interface Candidates {
  readonly endpoints: readonly EndpointRecord[]
  readonly servers: readonly RealServer[]
  /** Servers of weight 0: they keep what they have, and get nothing new. */
  readonly idle: ReadonlySet<RealServer> | undefined
}

const none: readonly never[] = []
const noServers: Servers = { cluster: none, local: none, draining: none, any: false }

/** @param usesLocal whether any traffic of the service is for this node's servers alone */
export function chooseServers(candidates: Candidates, node: NodeFacts, usesLocal: boolean): Servers {
  const { endpoints, servers, idle } = candidates
  const count = endpoints.length
  if (count === 0) return noServers
  let ready = 0
  let localReady = 0
  let hasHints = false
  for (let index = 0; index < count; index++) {
    const { zoneHints, nodeHints } = endpoints[index]!
    if (zoneHints !== undefined || nodeHints !== undefined) hasHints = true
    if (!isReady(candidates, index)) continue
    ready++
    if (servers[index]!.isLocal === true) localReady++
  }
  // Nearly always: all are ready, and none is better than another.
  if (ready === count && !hasHints && idle === undefined) {
    const local = localReady === 0 ? none : localReady === count ? servers : servers.filter(isLocal)
    return { cluster: servers, local, draining: none, any: true }
  }
  const hints = hasHints ? hintsFor(candidates, node) : 'none'
  const cluster: RealServer[] = []
  const local: RealServer[] = []
  const draining: RealServer[] = []
  let any = ready > 0
  for (let index = 0; index < count; index++) {
    const endpoint = endpoints[index]!
    const server = servers[index]!
    const isLast = isServingToTheEnd(candidates, index)
    if (isLast) any = true
    const inCluster = ready > 0 ? isReady(candidates, index) && isHinted(endpoint, hints, node) : isLast
    const inLocal = isLocal(server) && (localReady > 0 ? isReady(candidates, index) : isLast)
    if (inCluster) cluster.push(server)
    if (inLocal) local.push(server)
    if (inCluster || (inLocal && usesLocal)) continue
    if (endpoint.terminating || (endpoint.ready && idle?.has(server))) draining.push(server)
  }
  return { cluster: compact(cluster), local: compact(local), draining: compact(draining), any }
}

function isLocal(server: RealServer): boolean {
  return server.isLocal === true
}

function isReady({ endpoints, servers, idle }: Candidates, index: number): boolean {
  return endpoints[index]!.ready && (idle === undefined || !idle.has(servers[index]!))
}

/** Better than nobody: it ends, but still answers. It is asked where none is ready. */
function isServingToTheEnd({ endpoints, servers, idle }: Candidates, index: number): boolean {
  const { serving, terminating } = endpoints[index]!
  return serving && terminating && (idle === undefined || !idle.has(servers[index]!))
}

/** Hints hold where every ready endpoint has one and this node (or, second, its zone) is in one of them. */
function hintsFor(candidates: Candidates, { name, zone }: NodeFacts): 'node' | 'zone' | 'none' {
  let allForNodes = true
  let allForZones = true
  let anyForNode = false
  let anyForZone = false
  for (let index = 0; index < candidates.endpoints.length; index++) {
    if (!isReady(candidates, index)) continue
    const { nodeHints, zoneHints } = candidates.endpoints[index]!
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

/** A virtual service as it is programmed: which profile each frontend has, which server each slot, and all its elements. */
import type { Frontend, RealServer, VirtualService } from '../../model/index.js'
import type { Condition } from '../../model/index.js'
import type { ElementInput } from '../../nftables/index.js'
import {
  ElementBytes,
  frontendData,
  type SetNames,
  setNames,
  sourceRangeElements,
  twoNumbers,
} from '../ruleset/sets.js'
import { consistentSlots, consistentSlotsOf, slotsOf } from '../ruleset/slots.js'
import { ipv4, ipv6, wordsOf } from '../ruleset/words.js'
import { localSlots, type Method, type Pool, type Profile } from './profiles.js'

/** What is kept of a virtual service. */
export interface Programmed {
  readonly service: VirtualService
  readonly id: number
  /** Servers by slot; empty where no frontend takes from there. */
  readonly cluster: readonly RealServer[]
  readonly local: readonly RealServer[]
  /** The number of the profile of each frontend. */
  readonly profiles: readonly number[]
}

/** What an earlier state says of a service: who has it keeps it. */
export interface Kept {
  readonly id: number
  readonly cluster: readonly RealServer[]
  readonly local: readonly RealServer[]
}

/** How connections of the schedulers of IPVS are given out here. Others have no like, for rules count no connections. */
const methods: Readonly<Record<string, Method>> = {
  random: 'random',
  rr: 'round-robin',
  wrr: 'round-robin',
  sh: 'source-hash',
  mh: 'source-hash',
}
export const schedulers: readonly string[] = Object.keys(methods)

/** What of it is not honoured. */
export function conditionsOf({ scheduler, servers }: VirtualService): readonly Condition[] {
  if (scheduler === undefined) return none
  if (!Object.hasOwn(methods, scheduler)) {
    const message = `nftables has no scheduler ${scheduler}: servers are drawn at random by weight. It has ${schedulers.join(', ')}; the ipvs dataplane has all of the kernel's`
    return [{ reason: 'SchedulerNotHonoured', message }]
  }
  if (scheduler === 'mh' && servers.cluster.length > consistentSlots / 4) {
    const message = `${servers.cluster.length} servers share ${consistentSlots} slots of consistent hashing: their shares are uneven, and some may get none`
    return [{ reason: 'SchedulerNotHonoured', message }]
  }
  return none
}
const none: readonly Condition[] = []

/** @throws ValidationError if it is too large */
export function program(
  service: VirtualService,
  kept: Kept,
  numberOf: (profile: Profile) => number,
): Programmed {
  const needs = poolsOf(service)
  const choose = (servers: readonly RealServer[], before: readonly RealServer[]): readonly RealServer[] =>
    service.scheduler === 'mh' ? consistentSlotsOf(servers) : slotsOf(servers, before)
  const cluster = needs.cluster ? choose(service.servers.cluster, kept.cluster) : []
  const local = needs.local ? choose(service.servers.local, kept.local) : []
  const profiles = service.frontends.map((frontend) =>
    numberOf(profileOf(service, frontend, kept.id, cluster.length, local.length)),
  )
  return { service, id: kept.id, cluster, local, profiles }
}

/** From which servers its frontends take. */
function poolsOf({ frontends, internalTrafficPolicy, externalTrafficPolicy }: VirtualService) {
  const has = (isCluster: boolean): boolean =>
    frontends.some(({ kind }) => (kind === 'cluster') === isCluster)
  const [inside, outside] = [has(true), has(false)]
  return {
    // Outside, also where the policy is Local, Pods and the node reach every server.
    cluster: outside || (inside && internalTrafficPolicy === 'cluster'),
    local: (outside && externalTrafficPolicy === 'local') || (inside && internalTrafficPolicy === 'local'),
  }
}

function profileOf(
  service: VirtualService,
  { kind }: Frontend,
  id: number,
  cluster: number,
  local: number,
): Profile {
  const { family, servers, internalTrafficPolicy, externalTrafficPolicy, affinitySeconds } = service
  const method = methods[service.scheduler ?? 'random'] ?? 'random'
  const pool = (slots: number): Pool => ({ slots, others: servers.any })
  const isInside = kind === 'cluster'
  return {
    family,
    entry: kind === 'node-port' ? 'node-ports' : 'services',
    side: isInside ? 'cluster' : 'external',
    isLimited: kind === 'load-balancer' && service.sourceRanges !== undefined,
    policy: isInside ? internalTrafficPolicy : externalTrafficPolicy,
    cluster: pool(cluster),
    local: pool(local),
    method,
    affinitySeconds,
    own: method === 'round-robin' ? id : undefined,
  }
}

/** Takes an element of a set. */
export interface Emit {
  /** One of this service alone. */
  (set: string, element: ElementInput): void
}

const bytesOf = { ipv4: new ElementBytes(ipv4), ipv6: new ElementBytes(ipv6) }
const namesOf: Readonly<Record<'ipv4' | 'ipv6', SetNames>> = {
  ipv4: setNames(ipv4),
  ipv6: setNames(ipv6),
}

/** Every element of it. What `share` gets, others may have, too. */
export function emit({ service, id, cluster, local, profiles }: Programmed, one: Emit, share: Emit): void {
  const { family, protocol, frontends, affinitySeconds } = service
  const bytes = bytesOf[family]
  const names = namesOf[family]
  for (const [index, frontend] of frontends.entries()) {
    const data = frontendData(profiles[index]!, id)
    if (frontend.kind === 'node-port') {
      one(names.nodePorts, { key: bytes.nodePort(protocol, frontend.port), data })
      continue
    }
    one(names.services, { key: bytes.service(frontend.address, protocol, frontend.port), data })
    if (frontend.kind === 'cluster') share(names.clusterAddresses, { key: bytes.address(frontend.address) })
  }
  if (service.sourceRanges !== undefined) {
    for (const element of sourceRangeElements(wordsOf(family), id, service.sourceRanges)) {
      one(names.sourceRanges, element)
    }
  }
  emitPool(cluster, 0, names.endpoints)
  emitPool(local, localSlots, names.localEndpoints)

  function emitPool(slots: readonly RealServer[], first: number, live: string): void {
    for (let slot = 0; slot < slots.length; slot++) {
      const { address, port } = slots[slot]!
      one(names.backends, { key: twoNumbers(id, first + slot), data: bytes.endpoint(address, port) })
    }
    if (slots.length === 0) return
    const servers = first === 0 ? service.servers.cluster : service.servers.local
    for (const { address, port, isLocal } of servers) {
      if (affinitySeconds !== undefined) one(live, { key: bytes.liveEndpoint(id, address, port) })
      if (isLocal !== false) share(names.hairpin, { key: bytes.twice(address) })
    }
  }
}

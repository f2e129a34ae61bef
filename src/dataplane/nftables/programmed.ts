/** A virtual service as it is programmed: which profile each frontend has, which server each slot, and all its elements. */
import type { AddressFamily } from '../../address/index.js'
import type { Frontend, RealServer, VirtualService } from '../../model/index.js'
import type { Condition } from '../../model/index.js'
import type { ElementInput } from '../../nftables/index.js'
import {
  ElementBytes,
  frontendData,
  type SetNames,
  sourceRangeElements,
  twoNumbers,
} from '../ruleset/sets.js'
import { consistentSlots, consistentSlotsOf, slotsOf } from '../ruleset/slots.js'
import { withOwnAddresses } from '../ruleset/source-ranges.js'
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
  /** An earlier process programmed it, and nobody has spoken of it yet. */
  readonly isSpared?: true
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
  desired: VirtualService,
  kept: Kept,
  nodeAddresses: readonly string[],
  numberOf: (profile: Profile) => number,
): Programmed {
  const service = withOwnAddresses(desired, nodeAddresses)
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

/** Elements of a set that one virtual service alone has. */
export interface Emitter {
  readonly set: keyof SetNames
  /** Every element of a virtual service in it. */
  readonly emit: (programmed: Programmed, take: (element: ElementInput) => void) => void
}

const bytesOf = { ipv4: new ElementBytes(ipv4), ipv6: new ElementBytes(ipv6) }

export const emitters: readonly Emitter[] = [
  {
    set: 'services',
    emit({ service: { family, protocol, frontends }, id, profiles }, take) {
      const bytes = bytesOf[family]
      for (let index = 0; index < frontends.length; index++) {
        const frontend = frontends[index]!
        if (frontend.kind === 'node-port') continue
        const key = bytes.service(frontend.address, protocol, frontend.port)
        take({ key, data: frontendData(profiles[index]!, id) })
      }
    },
  },
  {
    set: 'nodePorts',
    emit({ service: { family, protocol, frontends }, id, profiles }, take) {
      for (let index = 0; index < frontends.length; index++) {
        const { kind, port } = frontends[index]!
        if (kind !== 'node-port') continue
        take({ key: bytesOf[family].nodePort(protocol, port), data: frontendData(profiles[index]!, id) })
      }
    },
  },
  {
    set: 'backends',
    emit({ service: { family }, id, cluster, local }, take) {
      const bytes = bytesOf[family]
      for (const [slots, first] of [
        [cluster, 0],
        [local, localSlots],
      ] as const) {
        for (let slot = 0; slot < slots.length; slot++) {
          const { address, port } = slots[slot]!
          take({ key: twoNumbers(id, first + slot), data: bytes.endpoint(address, port) })
        }
      }
    },
  },
  {
    set: 'endpoints',
    emit({ service, id, cluster }, take) {
      if (cluster.length > 0) emitLive(service, id, service.servers.cluster, take)
    },
  },
  {
    set: 'localEndpoints',
    emit({ service, id, local }, take) {
      if (local.length > 0) emitLive(service, id, service.servers.local, take)
    },
  },
  {
    set: 'sourceRanges',
    emit({ service: { family, sourceRanges, frontends }, id }, take) {
      // Of nobody else they are looked at, and who has no frontend is not found again after a restart.
      if (sourceRanges === undefined || frontends.every(({ kind }) => kind !== 'load-balancer')) return
      for (const element of sourceRangeElements(wordsOf(family), id, sourceRanges)) take(element)
    },
  },
]

/** Sets of addresses that several virtual services may have. */
export interface SharedSet {
  readonly set: keyof SetNames
  /** Those of one virtual service; one may come several times. */
  readonly addresses: (programmed: Programmed, take: (address: string) => void) => void
  readonly element: (family: AddressFamily, address: string) => ElementInput
}

export const sharedSets: readonly SharedSet[] = [
  {
    set: 'clusterAddresses',
    addresses({ service: { frontends } }, take) {
      for (const frontend of frontends) if (frontend.kind === 'cluster') take(frontend.address)
    },
    element: (family, address) => ({ key: bytesOf[family].address(address) }),
  },
  {
    set: 'hairpin',
    addresses({ service: { servers }, cluster, local }, take) {
      for (const [slots, pool] of [
        [cluster, servers.cluster],
        [local, servers.local],
      ] as const) {
        if (slots.length === 0) continue
        for (const { address, isLocal } of pool) if (isLocal !== false) take(address)
      }
    },
    element: (family, address) => ({ key: bytesOf[family].twice(address) }),
  },
]

function emitLive(
  { family, affinitySeconds }: VirtualService,
  id: number,
  servers: readonly RealServer[],
  take: (element: ElementInput) => void,
): void {
  if (affinitySeconds === undefined) return
  for (const { address, port } of servers) take({ key: bytesOf[family].liveEndpoint(id, address, port) })
}

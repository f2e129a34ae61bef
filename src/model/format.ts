/** Changes as people read them. */
import { sameFrontend } from './same.js'
import {
  formatEndpoint,
  type Frontend,
  type RealServer,
  type ServiceChange,
  type VirtualService,
} from './virtual-service.js'

/**
 * A line for each virtual service, in the order of their keys: `+` for a new one, `-` for one that goes, `~` for one that becomes
 * another, with what differs. Empty if nothing changes.
 * @param previous what there was, by key, as `ModelChange` has it; without it everything that is upserted counts as new
 */
export function formatChange(
  change: ServiceChange & { readonly previous?: ReadonlyMap<string, VirtualService> | undefined },
  previous: ReadonlyMap<string, VirtualService> | undefined = change.previous,
): string {
  const lines: (readonly [key: string, line: string])[] = [
    ...change.upserted.map((service) => {
      const before = previous?.get(service.key)
      const line =
        before === undefined ? `+ ${describe(service)}` : `~ ${service.key}: ${difference(before, service)}`
      return [service.key, line] as const
    }),
    ...change.deleted.map((key) => [key, `- ${key}`] as const),
  ]
  return lines
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, line]) => line)
    .join('\n')
}

function describe(service: VirtualService): string {
  const { servers } = service
  const parts = [
    `${service.key}: ${service.frontends.map(formatFrontend).join(', ')} -> ${listServers(servers.cluster)}`,
    ...settings(service).map(([name, value]) => `${name} ${value}`),
  ]
  for (const set of ['draining', 'failed'] as const) {
    const list = servers[set] ?? []
    if (list.length > 0) parts.push(`${set} ${listServers(list)}`)
  }
  return parts.join('; ')
}

/** What differs, in words. */
function difference(before: VirtualService, after: VirtualService): string {
  const parts = listDifference(before.frontends, after.frontends, sameFrontend, formatFrontend)
  for (const set of ['cluster', 'local', 'draining', 'failed'] as const) {
    const [old, now] = [before.servers[set] ?? [], after.servers[set] ?? []]
    const changes = listDifference(old, now, sameServer, formatServer)
    // What is true of all servers needs no second word for those of this node.
    if (changes.length > 0) parts.push(`${set === 'cluster' ? 'servers' : set} ${changes.join(' ')}`)
  }
  if (before.servers.any !== after.servers.any) {
    parts.push(after.servers.any ? 'some server is there' : 'no server is there: refused')
  }
  const [old, now] = [new Map(settings(before)), new Map(settings(after))]
  for (const name of new Set([...old.keys(), ...now.keys()])) {
    const [from, to] = [old.get(name) ?? 'none', now.get(name) ?? 'none']
    if (from !== to) parts.push(`${name} ${from} => ${to}`)
  }
  return parts.join('; ')
}

/** What is set, but for what is usual. */
function settings(service: VirtualService): (readonly [name: string, value: string])[] {
  const { scheduler, affinitySeconds, internalTrafficPolicy, externalTrafficPolicy, sourceRanges } = service
  const list: (readonly [string, string])[] = []
  if (scheduler !== undefined) list.push(['scheduler', scheduler])
  if (affinitySeconds !== undefined) list.push(['affinity', `${affinitySeconds} s`])
  if (internalTrafficPolicy === 'local') list.push(['internal policy', 'local'])
  if (externalTrafficPolicy === 'local') list.push(['external policy', 'local'])
  if (sourceRanges !== undefined) list.push(['source ranges', sourceRanges.join(',')])
  return list
}

function listDifference<T>(
  before: readonly T[],
  after: readonly T[],
  same: (a: T, b: T) => boolean,
  format: (item: T) => string,
): string[] {
  if (before === after) return []
  const [old, now] = [
    new Map(before.map((item) => [format(item), item])),
    new Map(after.map((item) => [format(item), item])),
  ]
  const changes: string[] = []
  for (const [text, item] of now) {
    const known = old.get(text)
    if (known === undefined) changes.push(`+${text}`)
    else if (!same(known, item)) changes.push(`~${text}`)
  }
  for (const text of old.keys()) if (!now.has(text)) changes.push(`-${text}`)
  return changes
}

function sameServer(a: RealServer, b: RealServer): boolean {
  return a.isLocal === b.isLocal
}

function formatFrontend(frontend: Frontend): string {
  if (frontend.kind === 'node-port') return `*:${frontend.port}`
  const endpoint = formatEndpoint(frontend.address, frontend.port)
  return frontend.kind === 'cluster' ? endpoint : `${endpoint} (${frontend.kind})`
}

function formatServer({ address, port, weight }: RealServer): string {
  return formatEndpoint(address, port) + (weight === 1 ? '' : ` weight ${weight}`)
}

function listServers(servers: readonly RealServer[]): string {
  return servers.length === 0 ? 'nobody' : servers.map(formatServer).join(', ')
}

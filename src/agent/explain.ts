/** What would become of a packet, step by step, and why. Pure: it is told what there is. */
import {
  type AddressFamily,
  canonicalAddress,
  familyOf,
  parsePrefix,
  prefixContains,
} from '../address/index.js'
import type { DataplaneKind, ProgrammedService } from '../dataplane/index.js'
import type { Frontend, RealServer, ServiceProtocol, VirtualService } from '../model/index.js'
import { formatEndpoint } from '../model/index.js'

/** A packet, and what it meets. */
export interface Question {
  readonly address: string
  readonly port: number
  readonly protocol: ServiceProtocol
  /** Who sends it; somebody outside unless said. `node` is the node itself. */
  readonly from?: string | undefined
}

export interface Surroundings {
  readonly kind: DataplaneKind
  /** What its table is called. */
  readonly name: string
  /** As they are to be in the kernel. */
  readonly services: readonly VirtualService[]
  /** As they are there. */
  readonly programmed: readonly ProgrammedService[]
  readonly nodeAddresses: readonly string[]
  readonly clusterRanges: readonly string[]
  readonly serviceRanges: readonly string[]
  /** Prefixes of the node's addresses that answer node ports; undefined for the primary ones. */
  readonly nodePortAddresses: readonly string[] | undefined
  readonly masqueradeAll: boolean
  /** Why a server gets what it gets, where somebody checks it or has drained it. */
  readonly standing: (key: string) => (server: RealServer) => string | undefined
}

export interface Step {
  /** `destination`, `service`, `client`, `policy`, … */
  readonly what: string
  readonly says: string
}

export interface Explanation {
  readonly verdict: 'forwarded' | 'rejected' | 'dropped' | 'not-ours'
  readonly steps: readonly Step[]
  /** Of whom one is chosen. */
  readonly candidates: readonly { readonly address: string; readonly port: number; readonly weight: number }[]
  /** The virtual service. */
  readonly key?: string | undefined
  /** Whether the server sees the node instead of the client. */
  readonly isMasqueraded?: boolean | undefined
}

interface Found {
  readonly service: VirtualService
  readonly frontend: Frontend
}

export function explain(question: Question, around: Surroundings): Explanation {
  const steps: Step[] = []
  const say = (what: string, says: string): void => void steps.push({ what, says })
  const end = (
    verdict: Explanation['verdict'],
    says: string,
    rest: Partial<Explanation> = {},
  ): Explanation => {
    say('verdict', says)
    return { verdict, steps, candidates: [], ...rest }
  }
  const address = canonicalAddress(question.address) ?? question.address
  const asked = { ...question, address }
  const place = `${formatEndpoint(address, asked.port)}/${asked.protocol}`
  const found = find(asked, around)
  if (found === undefined) return unknown(asked, place, around, say, end)

  const { service, frontend } = found
  const { key, servers } = service
  say('destination', `${place} is ${nameOf(frontend)} of ${key}`)
  const client = clientOf(asked.from, around)
  say('client', client.says)
  const entry = entryOf(asked, frontend, around)
  const programmed = around.programmed.find((one) => isOf(one, service, frontend))
  say(
    'kernel',
    programmed === undefined
      ? `there is no ${entry}: it is not programmed yet, or failed`
      : `${entry} decides${programmed.affinitySeconds === undefined ? '' : `; a client stays with its server for ${programmed.affinitySeconds} s`}`,
  )

  const isInside = frontend.kind === 'cluster'
  if (frontend.kind === 'load-balancer' && service.sourceRanges !== undefined) {
    const { sourceRanges } = service
    const isAmong = (one: string): boolean => sourceRanges.some((range) => holds(range, one))
    // The node comes to this address from the address itself.
    const isOwn = client.address === address || (client.kind === 'node' && client.address === undefined)
    const { nodeAddresses } = around
    const allowed = isOwn
      ? nodeAddresses.some(isAmong)
      : client.address !== undefined && isAmong(client.address)
    const who = isOwn ? 'an address of the node' : (client.address ?? 'a client that is not named (--from)')
    say('source ranges', `${who} is ${allowed ? '' : 'not '}among ${sourceRanges.join(', ')}`)
    if (!allowed && client.kind !== 'anybody')
      return end('dropped', 'dropped: the source ranges keep it out', { key })
  }
  const policy = isInside ? service.internalTrafficPolicy : service.externalTrafficPolicy
  const isShort = !isInside && policy === 'local' && (client.kind === 'node' || client.kind === 'pod')
  const pool = policy === 'local' && !isShort ? servers.local : servers.cluster
  say(
    'policy',
    policy === 'cluster'
      ? `${isInside ? 'internal' : 'external'} traffic policy Cluster: every server`
      : isShort
        ? 'external traffic policy Local, which is for those outside: every server'
        : `${isInside ? 'internal' : 'external'} traffic policy Local: servers of this node alone`,
  )
  const standingOf = around.standing(key)
  for (const server of [...pool, ...servers.draining]) {
    const isDraining = servers.draining.includes(server)
    const standing = standingOf(server)
    const weight = isDraining ? 'gets no new connections' : `weight ${server.weight}`
    say(
      isDraining ? 'leaving' : 'candidate',
      `${formatEndpoint(server.address, server.port)} ${weight}${standing === undefined ? '' : `: ${standing}`}`,
    )
  }
  const candidates = pool
    .filter(({ weight }) => weight > 0)
    .map(({ address: its, port, weight }) => ({ address: its, port, weight }))
  if (candidates.length === 0) {
    return servers.any
      ? end('dropped', 'dropped: there are servers, and none that may be used here', { key })
      : end('rejected', 'refused (TCP reset, else ICMP port unreachable): there is no server', { key })
  }
  const isMasqueraded = masquerades(found, client.kind, policy, around)
  say(
    'source address',
    isMasqueraded
      ? 'the server sees the node (masqueraded)'
      : 'the server sees the client, unless that is the server itself',
  )
  const scheduler = service.scheduler ?? (around.kind === 'ipvs' ? 'wrr' : 'random, by weight')
  const to = candidates.length === 1 ? 'the only one' : `one of ${candidates.length} (${scheduler})`
  return end('forwarded', `forwarded to ${to}`, { key, candidates, isMasqueraded })
}

function unknown(
  { address, from }: Question,
  place: string,
  around: Surroundings,
  say: (what: string, says: string) => void,
  end: (verdict: Explanation['verdict'], says: string) => Explanation,
): Explanation {
  say('destination', `${place} is of no service here`)
  say('client', clientOf(from, around).says)
  const owner = around.services.find(({ frontends }) =>
    frontends.some((one) => one.kind !== 'node-port' && one.kind === 'cluster' && one.address === address),
  )
  if (owner !== undefined) {
    say('address', `it is a cluster address of ${owner.service}, at other ports`)
    return end('rejected', 'refused: no service has this port')
  }
  const range = around.serviceRanges.find((one) => holds(one, address))
  if (range !== undefined) {
    say('address', `it is in ${range}, of which cluster addresses are, and no service has it`)
    return end('dropped', 'dropped: nobody is there')
  }
  return end('not-ours', 'let through: it is none of ours')
}

function find({ address, port, protocol }: Question, around: Surroundings): Found | undefined {
  const family = familyOf(address)
  const isNodePlace = answersNodePorts(address, family, around)
  let nodePort: Found | undefined
  for (const service of around.services) {
    if (service.family !== family || service.protocol !== protocol) continue
    for (const frontend of service.frontends) {
      if (frontend.port !== port) continue
      if (frontend.kind === 'node-port') {
        if (isNodePlace) nodePort ??= { service, frontend }
      } else if (frontend.address === address) return { service, frontend }
    }
  }
  return nodePort
}

function answersNodePorts(address: string, family: AddressFamily, around: Surroundings): boolean {
  const own = around.nodeAddresses.filter((one) => familyOf(one) === family)
  if (!own.includes(address)) return false
  if (around.nodePortAddresses === undefined) return own[0] === address
  return around.nodePortAddresses.some((range) => range === address || holds(range, address))
}

type Client = 'anybody' | 'outside' | 'node' | 'pod'

function clientOf(
  from: string | undefined,
  { nodeAddresses, clusterRanges }: Surroundings,
): { readonly kind: Client; readonly address?: string | undefined; readonly says: string } {
  if (from === undefined) return { kind: 'anybody', says: 'somebody outside (--from names one)' }
  const address = canonicalAddress(from)
  if (address === undefined) return { kind: 'node', says: 'the node itself' }
  if (nodeAddresses.includes(address) || /^127\.|^::1$/.test(address))
    return { kind: 'node', address, says: `${address} is the node itself` }
  const range = clusterRanges.find((one) => holds(one, address))
  return range === undefined
    ? { kind: 'outside', address, says: `${address} is outside: in no cluster range` }
    : { kind: 'pod', address, says: `${address} is a Pod: in the cluster range ${range}` }
}

/** As the dataplanes do it. */
function masquerades(
  { frontend }: Found,
  client: Client,
  policy: 'cluster' | 'local',
  { clusterRanges, masqueradeAll }: Surroundings,
): boolean {
  if (frontend.kind === 'cluster') return masqueradeAll || (client !== 'pod' && clusterRanges.length > 0)
  return policy === 'cluster' || client === 'node'
}

function entryOf(
  { address, port, protocol }: Question,
  frontend: Frontend,
  { kind, name }: Surroundings,
): string {
  const suffix = familyOf(address) === 'ipv4' ? '4' : '6'
  if (kind === 'ipvs')
    return `IPVS service ${protocol} ${formatEndpoint(address, port)}, claimed in the map services${suffix} of the table inet ${name},`
  return frontend.kind === 'node-port'
    ? `element { ${protocol} . ${port} } of the map node-ports${suffix} in the table inet ${name}`
    : `element { ${address} . ${protocol} . ${port} } of the map services${suffix} in the table inet ${name}`
}

function isOf(
  { family, protocol, frontends }: ProgrammedService,
  service: VirtualService,
  frontend: Frontend,
): boolean {
  if (family !== service.family || protocol !== service.protocol) return false
  return frontends.some((one) =>
    frontend.kind === 'node-port' || one.kind === 'node-port'
      ? one.kind === frontend.kind && one.port === frontend.port
      : one.address === frontend.address && one.port === frontend.port,
  )
}

function nameOf(frontend: Frontend): string {
  const names = {
    cluster: 'the cluster address',
    external: 'an external address',
    'load-balancer': 'a load balancer’s address',
    'node-port': 'the node port',
  } as const
  return names[frontend.kind]
}

function holds(range: string, address: string): boolean {
  const prefix = parsePrefix(range)
  return prefix !== undefined && prefixContains(prefix, address)
}

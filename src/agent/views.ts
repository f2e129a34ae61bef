/** How things are, as values that are written as JSON: what `viaduct status`, `get`, `describe` and `explain` show. */
import type { Node } from 'kubernetes-types/core/v1.js'
import type { DnsCounts, DnsServer } from '../dns/index.js'
import type { VirtualRouter } from '../edge/index.js'
import type { Capabilities, ServerStatistics } from '../dataplane/index.js'
import { ValidationError } from '../errors/index.js'
import {
  formatEndpoint,
  type Frontend,
  type KnownService,
  type RealServer,
  type VirtualService,
} from '../model/index.js'
import type { ReconcilerCounts, ServiceStatus } from '../reconciler/index.js'
import type { Netns } from '../net/index.js'
import { Rtnetlink } from '../rtnetlink/index.js'
import { formatReference, type SourceProblem } from '../sources/index.js'
import type { AgentConfiguration } from './configuration.js'
import type { Drains } from './drains.js'
import { explain, type Explanation, type Question } from './explain.js'
import type { Forwarding } from './forwarding.js'

export interface ViewsOptions {
  readonly startedAt: string
  readonly configuration: AgentConfiguration
  readonly forwarding: Forwarding
  readonly router: VirtualRouter | undefined
  readonly dns: DnsServer | undefined
  readonly drains: Drains
  readonly saveError: Error | undefined
}

export interface ProblemView {
  readonly object?: string | undefined
  readonly at?: string | undefined
  readonly reason?: string | undefined
  readonly message: string
}

export interface StatusView {
  /** Whether everything is as it was asked for. */
  readonly isSound: boolean
  readonly pid: number
  readonly startedAt: string
  readonly dataplane: {
    readonly kind: string
    readonly chosenBecause?: string | undefined
    readonly missing: Capabilities['missing']
  }
  readonly manifests: readonly string[]
  readonly services: Readonly<Record<ServiceStatus['state'], number>>
  readonly counts: ReconcilerCounts
  readonly health: { readonly servers: number; readonly down: number; readonly out: number } | undefined
  readonly drained: readonly string[]
  readonly edge:
    | {
        readonly isMaster: boolean
        readonly addresses: readonly string[]
        readonly error?: string | undefined
      }
    | undefined
  readonly dns:
    | { readonly addresses: readonly string[]; readonly zones: readonly string[]; readonly counts: DnsCounts }
    | undefined
  /** What an earlier process programmed is kept, for a source is not whole. */
  readonly keepsUnknown: boolean
  readonly problems: readonly ProblemView[]
}

export interface ServiceView {
  readonly namespace: string
  readonly name: string
  readonly type: string
  readonly addresses: readonly string[]
  readonly external: readonly string[]
  readonly ports: readonly string[]
  /** Those that get connections, and all. */
  readonly servers: readonly [now: number, all: number]
  readonly state: ServiceStatus['state']
}

export interface EndpointView {
  /** Key of the virtual service. */
  readonly service: string
  readonly address: string
  readonly port: number
  readonly weight: number
  readonly state: 'in' | 'draining' | 'out'
  readonly isLocal?: boolean | undefined
  /** What its checks say, or who drained it. */
  readonly standing?: string | undefined
}

export interface NodeView {
  readonly name: string
  readonly status: string
  readonly addresses: readonly string[]
  readonly zone?: string | undefined
}

export interface Description extends ServiceView {
  readonly at?: string | undefined
  readonly internalTrafficPolicy: string
  readonly externalTrafficPolicy: string
  readonly affinitySeconds?: number | undefined
  readonly sourceRanges?: readonly string[] | undefined
  readonly virtualServices: readonly {
    readonly key: string
    readonly frontends: readonly string[]
    readonly scheduler?: string | undefined
    readonly endpoints: readonly (EndpointView &
      Partial<Pick<ServerStatistics, 'connections' | 'activeConnections'>>)[]
  }[]
  readonly problems: readonly ProblemView[]
}

export class Views {
  readonly #options: ViewsOptions
  /** By their services, once somebody asks for that. */
  #byService: Map<string, VirtualService[]> | undefined

  constructor(options: ViewsOptions) {
    this.#options = options
  }

  async status(): Promise<StatusView> {
    const { startedAt, configuration, forwarding, router, dns, drains, saveError } = this.#options
    const { reconciler, dataplane, monitor } = forwarding
    const statusOf = reconciler.statuses()
    const services = { programmed: 0, pending: 0, failed: 0, unknown: 0 }
    for (const { service } of reconciler.model.services()) services[statusOf(service).state]++
    const problems = await this.#problems()
    if (dns?.error !== undefined) problems.push({ reason: 'DnsFailed', message: dns.error.message })
    if (saveError !== undefined) problems.push({ reason: 'StateNotSaved', message: saveError.message })
    const checked = monitor.keys().flatMap((key) => monitor.health(key)?.servers ?? [])
    return {
      isSound: problems.length === 0 && services.failed === 0,
      pid: process.pid,
      startedAt,
      dataplane: {
        kind: dataplane.kind,
        chosenBecause: dataplane.chosenBecause,
        missing: dataplane.capabilities.missing,
      },
      manifests: configuration.manifests ?? [],
      services,
      counts: reconciler.counts,
      health:
        checked.length === 0
          ? undefined
          : {
              servers: checked.length,
              down: checked.filter(({ verdict }) => verdict === 'down').length,
              out: checked.filter(({ place }) => place === 'out').length,
            },
      drained: drains.servers,
      edge:
        router === undefined
          ? undefined
          : {
              isMaster: router.status().isLeader,
              addresses: configuration.edge?.addresses ?? [],
              error: router.status().error?.message,
            },
      dns: dns && {
        addresses: dns.addresses.map(({ address, port }) => formatEndpoint(address, port)),
        zones: configuration.dns?.zones ?? ['cluster.local'],
        counts: dns.counts,
      },
      keepsUnknown: reconciler.problems().keepsUnknown,
      problems,
    }
  }

  services(): ServiceView[] {
    const { reconciler } = this.#options.forwarding
    const statusOf = reconciler.statuses()
    return [...reconciler.model.services()]
      .map((known) => this.#viewOf(known, statusOf(known.service)))
      .sort(byName)
  }

  endpoints(): EndpointView[] {
    return this.#virtualServices().flatMap((service) => this.#endpointsOf(service))
  }

  nodes(): NodeView[] {
    const nodes = new Map<string, NodeView>()
    for (const source of this.#options.forwarding.sources.values()) {
      for (const object of source.objects) {
        if (!('kind' in object) || object.kind !== 'Node') continue
        const view = nodeView(object)
        nodes.set(view.name, view)
      }
    }
    return [...nodes.values()].sort((one, other) => compare(one.name, other.name))
  }

  /** @throws ValidationError if there is none */
  async describe(namespace: string, name: string): Promise<Description> {
    const { forwarding } = this.#options
    const { reconciler, dataplane } = forwarding
    const known = reconciler.model.service({ namespace, name })
    if (known === undefined)
      throw new ValidationError(
        'service',
        `${namespace}/${name}`,
        'a service that is there (`viaduct get services`)',
      )
    const { service } = known
    const status = reconciler.status(service)
    const own = this.#servicesOf(service.id)
    const counted = new Map<string, ServerStatistics>()
    for (const { key } of own) {
      const [statistics] = await dataplane.stats(key)
      for (const one of statistics?.servers ?? [])
        counted.set(`${key} ${formatEndpoint(one.address, one.port)}`, one)
    }
    const reference = { kind: 'Service', namespace, name } as const
    let at: string | undefined
    for (const source of forwarding.sources.values()) at ??= placeOf(await source.locate(reference))
    return {
      ...this.#viewOf(known, status),
      at,
      internalTrafficPolicy: service.internalTrafficPolicy,
      externalTrafficPolicy: service.externalTrafficPolicy,
      affinitySeconds: service.affinitySeconds,
      sourceRanges: service.sourceRanges,
      virtualServices: own.map((one) => ({
        key: one.key,
        frontends: one.frontends.map(formatFrontend),
        scheduler: one.scheduler,
        endpoints: this.#endpointsOf(one).map((endpoint) => {
          const statistics = counted.get(`${one.key} ${formatEndpoint(endpoint.address, endpoint.port)}`)
          return {
            ...endpoint,
            connections: statistics?.connections,
            activeConnections: statistics?.activeConnections,
          }
        }),
      })),
      problems: [
        ...status.errors.map(({ message }) => ({ message })),
        ...status.conditions.map(({ reason, message }) => ({ reason, message })),
      ],
    }
  }

  async explain(question: Question): Promise<Explanation> {
    const { forwarding, configuration } = this.#options
    const { dataplane } = forwarding
    const { node = {}, dataplane: settings = {} } = configuration
    return explain(question, {
      kind: dataplane.kind,
      name: settings.name ?? 'viaduct',
      services: this.#virtualServices(),
      programmed: await dataplane.read(),
      nodeAddresses: node.addresses ?? (await addressesOf(settings.netns)),
      clusterRanges: node.clusterRanges ?? [],
      serviceRanges: node.serviceRanges ?? [],
      nodePortAddresses: node.nodePortAddresses,
      masqueradeAll: node.masqueradeAll === true,
      standing: forwarding.standing,
    })
  }

  async #problems(): Promise<ProblemView[]> {
    const { forwarding } = this.#options
    const { sources, errors, failures, conditions } = forwarding.reconciler.problems()
    const located = await forwarding.reconciler.locatedProblems()
    return [
      ...located.map(({ object, reason, message, at }) => ({
        object: formatReference(object),
        at: placeOf(at),
        reason,
        message,
      })),
      ...sources.filter(({ severity }) => severity === 'error').map(ofSource),
      ...errors.map(({ message }) => ({ message })),
      ...failures.map(({ key, error }) => ({ object: key, reason: 'NotProgrammed', message: error.message })),
      ...conditions.map(({ key, reason, message }) => ({ object: key, reason, message })),
      ...forwarding.closedPorts.map((message) => ({ reason: 'NotListening', message })),
      ...(forwarding.balancer?.problems() ?? []).map(({ object, reason, message }) => ({
        object: formatReference(object),
        reason,
        message,
      })),
    ]
  }

  #servicesOf(id: string): readonly VirtualService[] {
    if (this.#byService === undefined) {
      this.#byService = new Map()
      for (const service of this.#virtualServices()) {
        const own = this.#byService.get(service.service)
        if (own === undefined) this.#byService.set(service.service, [service])
        else own.push(service)
      }
    }
    return this.#byService.get(id) ?? []
  }

  #virtualServices(): VirtualService[] {
    return this.#options.forwarding.virtualServices().sort((one, other) => compare(one.key, other.key))
  }

  #viewOf({ service, slices }: KnownService, { state }: ServiceStatus): ServiceView {
    const own = this.#servicesOf(service.id)
    const now = new Set(own.flatMap(({ servers }) => servers.cluster.map(({ address }) => address)))
    const all = new Set(slices.flatMap(({ endpoints }) => endpoints.map(({ address }) => address)))
    return {
      namespace: service.namespace,
      name: service.name,
      type: this.#typeOf(service),
      addresses: service.externalName === undefined ? service.clusterAddresses : [service.externalName],
      external: [...service.loadBalancerAddresses, ...service.externalAddresses],
      ports: service.ports.map(({ port, protocol, nodePort }) =>
        typeof nodePort === 'number' ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
      ),
      servers: [now.size, all.size],
      state,
    }
  }

  #typeOf({ type, isHeadless }: KnownService['service']): string {
    // At the edge the model has services with nodes as servers, and what they were made of is of one type.
    if (this.#options.forwarding.balancer !== undefined) return 'LoadBalancer'
    return isHeadless && type !== 'ExternalName' ? `${type}, headless` : type
  }

  #endpointsOf({ key, servers }: VirtualService): EndpointView[] {
    const { forwarding } = this.#options
    const standing = forwarding.standing(key)
    const view = (server: RealServer, state: EndpointView['state']): EndpointView => ({
      service: key,
      address: server.address,
      port: server.port,
      weight: state === 'in' ? server.weight : 0,
      state,
      isLocal: server.isLocal,
      standing: standing(server),
    })
    const known = new Set<string>()
    const once = ({ address, port }: RealServer): boolean => {
      const name = formatEndpoint(address, port)
      if (known.has(name)) return false
      known.add(name)
      return true
    }
    // What checks have taken out for good stands in the model alone.
    const model = forwarding.reconciler.model.virtualService(key)?.servers
    return [
      ...[...servers.cluster, ...servers.local].filter(once).map((server) => view(server, 'in')),
      ...servers.draining.filter(once).map((server) => view(server, 'draining')),
      ...[...(model?.cluster ?? []), ...(model?.local ?? [])]
        .filter(once)
        .map((server) => view(server, 'out')),
    ]
  }
}

function ofSource({ path, message, ...place }: SourceProblem): ProblemView {
  return { at: placeOf(place), message: path === undefined || path === '' ? message : `${path}: ${message}` }
}

function placeOf(
  at:
    | { readonly place: string; readonly line?: number | undefined; readonly column?: number | undefined }
    | undefined,
): string | undefined {
  if (at === undefined) return undefined
  return [at.place, at.line, at.column].filter((part) => part !== undefined).join(':')
}

export function formatFrontend(frontend: Frontend): string {
  return frontend.kind === 'node-port'
    ? `node port ${frontend.port}`
    : `${frontend.kind} ${formatEndpoint(frontend.address, frontend.port)}`
}

/** What is read here may have any shape: the edge looks at it in earnest. */
function nodeView({ metadata, spec, status }: Node): NodeView {
  const isReady = listOf(status?.conditions).some(({ type, status: is }) => type === 'Ready' && is === 'True')
  return {
    name: metadata?.name ?? '',
    status: `${isReady ? 'Ready' : 'NotReady'}${spec?.unschedulable === true ? ',SchedulingDisabled' : ''}`,
    addresses: listOf(status?.addresses).map(({ address }) => address),
    zone: metadata?.labels?.['topology.kubernetes.io/zone'],
  }
}

function listOf<T extends object>(value: readonly T[] | undefined): readonly T[] {
  return Array.isArray(value)
    ? value.filter((one: unknown): one is T => typeof one === 'object' && one !== null)
    : []
}

/** Of the interfaces, the first one of each family first: those that answer node ports where nothing is said. */
async function addressesOf(netns: Netns | undefined): Promise<string[]> {
  const rtnetlink = await Rtnetlink.open({ netns })
  try {
    const found = await rtnetlink.addresses.list()
    return found.filter(({ scope }) => scope === 'universe').map(({ address }) => address.split('/')[0]!)
  } finally {
    rtnetlink.close()
  }
}

function byName(one: ServiceView, other: ServiceView): number {
  return compare(`${one.namespace}/${one.name}`, `${other.namespace}/${other.name}`)
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}

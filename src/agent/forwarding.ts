/** From manifests to the kernel: sources, reconciler, dataplane, and who has a say in servers. */
import { statSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type Dataplane, openDataplane } from '../dataplane/index.js'
import { EdgeBalancer, HealthCheckServer, PoolProvider } from '../edge/index.js'
import { type Check, type HealthInput, HealthMonitor, ServiceChecks } from '../health/index.js'
import { type Netns, netnsPath } from '../net/index.js'
import { formatEndpoint, type RealServer, type VirtualService } from '../model/index.js'
import { joinShapers, Reconciler, type ServiceShaper } from '../reconciler/index.js'
import type { Allocation } from '../model/index.js'
import { FileSource } from '../sources/index.js'
import type { AgentConfiguration } from './configuration.js'
import type { Drains } from './drains.js'
import { JoinedSource } from './joined-source.js'
import type { AgentLog } from './log.js'
import { RememberedSource } from './remembered-source.js'
import type { SavedState } from './state-file.js'
import { TakenPorts } from './taken-ports.js'

export interface ForwardingOptions {
  readonly configuration: AgentConfiguration
  readonly saved: SavedState
  readonly drains: Drains
  readonly log: AgentLog
  /** Something was done, or cannot be. */
  readonly changed: () => void
  /** Objects are others: they are to be saved. */
  readonly objectsChanged: () => void
  /** Stands before the dataplane. */
  readonly wrap?: ((dataplane: Dataplane) => Dataplane) | undefined
}

/** What of a configuration it is made of: others may change without it. */
function partOf({
  manifests,
  dataplane,
  node,
  allocate,
  reconcile,
  health,
  healthCheckNodePorts,
  edge,
}: AgentConfiguration) {
  const balancer = edge && { pools: edge.pools, nodeHealthPort: edge.nodeHealthPort }
  return { manifests, dataplane, node, allocate, reconcile, health, healthCheckNodePorts, balancer }
}

/** The same text for the same network namespace, however it is named. @throws what the file system says: it is not there */
export function namespaceOf({ dataplane }: AgentConfiguration): string {
  const { dev, ino } = statSync(netnsPath(dataplane?.netns))
  return `${dev} ${ino}`
}

/** What its table is called. */
export function nameOf({ dataplane }: AgentConfiguration): string {
  return dataplane?.name ?? 'viaduct'
}

export class Forwarding {
  readonly configuration: AgentConfiguration
  /** That it works in, as `namespaceOf` has it. */
  readonly namespace: string
  readonly dataplane: Dataplane
  readonly reconciler: Reconciler
  readonly monitor: HealthMonitor
  /** By the path that is configured. */
  readonly sources: ReadonlyMap<string, RememberedSource>
  /** At the edge. */
  readonly balancer: EdgeBalancer | undefined
  readonly #provider: PoolProvider | undefined
  readonly #drains: Drains
  readonly #checks: ServiceChecks
  readonly #healthPorts: HealthCheckServer | undefined
  readonly #log: AgentLog
  readonly #events = new AbortController()
  #isStarted = false
  #allocations: readonly Allocation[] | undefined
  readonly #services = new Map<string, VirtualService>()
  /** Health-check node ports that cannot be opened, as they were told. */
  #closedPorts: ReadonlySet<string> = new Set()

  private constructor(
    dataplane: Dataplane,
    { configuration, saved, drains, log, changed, objectsChanged }: ForwardingOptions,
    isPortTaken: TakenPorts,
  ) {
    const {
      node = {},
      allocate,
      reconcile = {},
      health = {},
      healthCheckNodePorts = {},
      edge,
    } = configuration
    this.dataplane = dataplane
    this.configuration = configuration
    this.namespace = namespaceOf(configuration)
    this.#allocations = saved.allocations
    this.#drains = drains
    this.#log = log
    this.monitor = new HealthMonitor()
    const { netns } = configuration.dataplane ?? {}
    this.#checks = new ServiceChecks(this.monitor, (service) => checksOf(service, health.checks ?? [], netns))
    const isServing = healthCheckNodePorts.enabled !== false && edge === undefined
    this.#healthPorts = isServing
      ? new HealthCheckServer({ netns, addresses: healthCheckNodePorts.addresses })
      : undefined
    this.reconciler = new Reconciler({
      dataplane,
      nodeName: node.name,
      zone: node.zone,
      allocate,
      allocations: saved.allocations,
      isPortTaken: isPortTaken.holder,
      coalesceMilliseconds: reconcile.coalesceMilliseconds,
      repairIntervalMilliseconds: reconcile.repairIntervalMilliseconds,
      shaper: joinShapers(
        schedulerShaper(configuration.dataplane?.scheduler),
        this.#checks,
        drains,
        this.#observer(),
      ),
      onChange: () => {
        // Who has them may be gone.
        if (this.#closedPorts.size > 0) this.#serveHealthPorts()
        changed()
      },
    })
    const sources = new Map<string, RememberedSource>()
    for (const folder of configuration.manifests ?? []) {
      const source = new RememberedSource(
        new FileSource(folder),
        saved.objects.get(folder) ?? [],
        objectsChanged,
        (object) => isPortTaken.refreshFor(object),
      )
      sources.set(folder, source)
      // At the edge services have the nodes as servers: the balancer follows them.
      if (edge === undefined) void this.reconciler.follow(source)
    }
    this.sources = sources
    if (edge === undefined) return
    const { pools, nodeHealthPort } = edge
    this.#provider = pools && new PoolProvider({ pools, allocations: saved.allocations })
    this.balancer = new EdgeBalancer({
      // Nodes may stand in one folder, and services in another.
      source: new JoinedSource([...sources.values()]),
      reconciler: this.reconciler,
      monitor: this.monitor,
      provider: this.#provider,
      nodeHealthPort,
      nodeChecks: { netns },
      status: false,
    })
  }

  static async open(options: ForwardingOptions): Promise<Forwarding> {
    const { kind, name, netns, statistics, masqueradeBit } = options.configuration.dataplane ?? {}
    const { name: _name, zone: _zone, ...node } = options.configuration.node ?? {}
    const dataplane = await openDataplane({ kind, name, netns, statistics, masqueradeBit, node })
    try {
      return new Forwarding(options.wrap?.(dataplane) ?? dataplane, options, await TakenPorts.open(netns))
    } catch (error) {
      dataplane.close()
      throw error
    }
  }

  /** Whether it would be the same by this configuration. */
  isFor(configuration: AgentConfiguration): boolean {
    return isDeepStrictEqual(partOf(this.configuration), partOf(configuration))
  }

  /** What was picked for services; until their sources were heard what was picked before. */
  allocations(): readonly Allocation[] {
    return this.#allocations ?? (this.#provider ?? this.reconciler.model).allocations()
  }

  /** What of health-check node ports cannot be done. */
  get closedPorts(): readonly string[] {
    return [...this.#closedPorts]
  }

  /** Programs what is there. */
  async start(): Promise<void> {
    if (!this.#isStarted) void this.#logHealth()
    this.#isStarted = true
    await this.reconciler.start()
    this.#allocations = undefined
  }

  /** Why servers of a service get what they get; undefined where nobody has a say. */
  standing = (key: string): ((server: RealServer) => string | undefined) => {
    const checked = new Map(
      this.monitor
        .health(key)
        ?.servers.map((one) => [formatEndpoint(one.server.address, one.server.port), one]),
    )
    return ({ address, port }) => {
      if (this.#drains.has({ address, port })) return 'drained by hand'
      const health = checked.get(formatEndpoint(address, port))
      if (health === undefined) return undefined
      const { verdict, reason, place, blocked } = health
      if (blocked !== undefined) return `its check cannot be run: ${blocked.message}`
      return `${verdict}: ${reason}${place === 'in' ? '' : ` (${place})`}`
    }
  }

  /** Virtual services as they are programmed, and not as the model has them. */
  virtualServices(): VirtualService[] {
    return [...this.#services.values()]
  }

  /** Stops; everything goes on forwarding. */
  async close(): Promise<void> {
    this.#events.abort()
    await this.balancer?.close()
    this.monitor.close()
    await this.reconciler.close()
    await this.#healthPorts?.close()
    this.dataplane.close()
  }

  /** Sees what is programmed, and has health-check node ports answer. */
  #observer(): ServiceShaper {
    return {
      change: ({ deleted }) => {
        for (const key of deleted) this.#services.delete(key)
        this.#serveHealthPorts()
      },
      shape: (service) => {
        this.#services.set(service.key, service)
        return service
      },
      watch: () => () => undefined,
    }
  }

  #serveHealthPorts(): void {
    if (this.#healthPorts === undefined) return
    // What changes is told before it is computed.
    queueMicrotask(() => {
      void this.#healthPorts!.set(this.reconciler.model.healthChecks()).then((failures) => {
        const closed = failures.map(
          ({ service, port, error }) =>
            `the health-check node port ${port} of ${service} cannot be opened: ${error.message}`,
        )
        for (const told of closed) if (!this.#closedPorts.has(told)) this.#log.warn({}, told)
        this.#closedPorts = new Set(closed)
      })
    })
  }

  async #logHealth(): Promise<void> {
    try {
      for await (const event of this.monitor.events({ signal: this.#events.signal })) {
        if (event.event === 'resynchronise') continue
        const { event: what, service, server, reason, weight } = event
        const level = ['down', 'taken-out', 'quorum-lost', 'check-blocked', 'kept-in'].includes(what)
          ? 'warn'
          : 'info'
        this.#log[level](
          { service, server: server && `${server.address} port ${server.port}`, reason, weight },
          `health: ${what}`,
        )
      }
    } catch {
      // Closed.
    }
  }
}

type ConfiguredCheck = NonNullable<NonNullable<AgentConfiguration['health']>['checks']>[number]

/** The first that is for it. */
function checksOf(
  service: VirtualService,
  checks: readonly ConfiguredCheck[],
  netns: Netns | undefined,
): Omit<HealthInput, 'servers'> | undefined {
  const found = checks.find(
    ({ services = ['*/*'], protocol }) =>
      (protocol === undefined || protocol === service.protocol) &&
      services.some((pattern) => matchesPattern(pattern, service.service)),
  )
  if (found?.check === undefined) return undefined
  // From where the dataplane works, unless the check says otherwise.
  return { check: { netns, ...found.check } as Check, rules: found.rules }
}

/** `*` stands for any letters but the slash. */
export function matchesPattern(pattern: string, name: string): boolean {
  const [wanted, given] = [pattern.split('/'), name.split('/')]
  return wanted.length === given.length && wanted.every((part, index) => isLike(part, given[index]!))
}

/** Without an expression: those that people write may take for ever. */
function isLike(pattern: string, name: string): boolean {
  const [first, ...rest] = pattern.split('*') as [string, ...string[]]
  if (rest.length === 0) return name === first
  const last = rest.pop()!
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last))
    return false
  let at = first.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found === -1 || found + part.length > name.length - last.length) return false
    at = found + part.length
  }
  return at <= name.length - last.length
}

/** Of services that say none. */
function schedulerShaper(scheduler: string | undefined): ServiceShaper {
  return {
    shape: (service) =>
      scheduler === undefined || service.scheduler !== undefined ? service : { ...service, scheduler },
    watch: () => () => undefined,
  }
}

/** A balancer in front of a cluster, kept at what a source tells of its services and nodes. */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Service } from 'kubernetes-types/core/v1.js'
import type { HealthMonitor } from '../health/index.js'
import type { ModelObject } from '../model/index.js'
import { follow } from '../reconciler/following.js'
import type { Reconciler } from '../reconciler/index.js'
import { Schedule } from '../reconciler/schedule.js'
import { MemorySource } from '../sources/memory.js'
import { formatReference } from '../sources/reference.js'
import type { Source, SourceProblem, StatusWriter } from '../sources/source.js'
import { KeyedWork } from './keyed-work.js'
import {
  ingressOf,
  inOrder,
  nameOf,
  type NamespacedName,
  type NodeBackendsInput,
  type NodeBackendsProblem,
  type NodeCheck,
  type NodeRecord,
  readNode,
  readService,
} from './node-backends.js'
import { type NodeCheckOptions, NodeChecks } from './node-checks.js'
import type { LoadBalancerProvider, ServiceName } from './provider.js'
import { ServiceAddresses } from './service-addresses.js'

/** What an EdgeBalancer is made of. What it is given stays the caller's, who closes it afterwards. */
export interface EdgeBalancerOptions extends Pick<
  NodeBackendsInput,
  'nodeHealthPort' | 'cordoned' | 'nodeAddress'
> {
  /** Of Services and Nodes as Kubernetes writes them; other objects are none of its business. */
  readonly source: Source
  /** Has the services programmed. It follows the balancer from then on, so that its `start()` waits for the source. */
  readonly reconciler: Pick<Reconciler, 'follow' | 'settled' | 'status'>
  /** Asks nodes which of them have endpoints of a service (the policy Local), and whether they are well (`nodeHealthPort`). */
  readonly monitor: HealthMonitor
  /** Where the services' addresses come from. Without one they are those of `status.loadBalancer`, which somebody else writes. */
  readonly provider?: LoadBalancerProvider | undefined
  /** Which services of type LoadBalancer are its own, by their class say; all unless said. */
  readonly selects?: ((service: Service) => boolean) | undefined
  /**
   * Takes `status.loadBalancer` of services back, each once it is programmed; the source unless said, if it can write. Nothing is
   * written without a provider, or with false.
   */
  readonly status?: StatusWriter | false | undefined
  /** How nodes are asked. */
  readonly nodeChecks?: NodeCheckOptions | undefined
}

/** What of a service or a node is not as it is written, or could not be done. */
export interface EdgeBalancerProblem extends Omit<NodeBackendsProblem, 'reason'> {
  /** In one word. */
  readonly reason: NodeBackendsProblem['reason'] | 'NoAnswer' | 'ProviderFailed' | 'StatusNotWritten'
}

interface Known {
  readonly name: NamespacedName
  service: Service
  problems: readonly EdgeBalancerProblem[]
  /** Undefined for one that is not served. */
  addresses: readonly string[] | undefined
}

/** What is to stand, and stands as far as is known, where status goes. */
interface Status {
  readonly name: NamespacedName
  wanted: readonly string[]
  written: readonly string[] | undefined
}

/** How long the first list waits for what providers and nodes answer. */
const patienceMilliseconds = 5000
const writeDeadlineMilliseconds = 30_000
const coalesceMilliseconds = 50
const sourcePlace = 'source'

/**
 * Follows Services and Nodes from a source, and has a reconciler program each Service of type LoadBalancer with every node that is
 * ready as a server, at its node port. Addresses come from a provider and go back to the source as the service's status. Nodes are
 * asked where they have a say: with the policy Local only those that have endpoints of the service get its connections.
 *
 * What cannot be done of a service is told by `problems` and tried again; all others go on. Where the source does not answer, the
 * last state stays. It begins when it is made.
 */
export class EdgeBalancer {
  readonly #options: EdgeBalancerOptions
  readonly #services = new Map<string, Known>()
  readonly #nodes = new Map<string, NodeRecord>()
  /** Of nodes, and of services that could not be looked at. */
  readonly #problems = new Map<string, readonly EdgeBalancerProblem[]>()
  /** Of #nodes; undefined when they have changed. */
  #inOrder: readonly NodeRecord[] | undefined
  /** What the reconciler follows. */
  readonly #output = new MemorySource()
  readonly #addresses: ServiceAddresses | undefined
  readonly #checks: NodeChecks
  readonly #statuses = new Map<string, Status>()
  readonly #writing: KeyedWork
  readonly #writer: StatusWriter | undefined
  readonly #schedule: Schedule
  /** What is to be computed again. */
  readonly #stale = new Set<string>()
  /** Where something was wrong in the source. */
  readonly #places = new Set<string>()
  readonly #closing = new AbortController()
  readonly #following: Promise<void>
  /** Aborted when the reconciler may hear of what is there. */
  readonly #ready = new AbortController()
  #patience: NodeJS.Timeout | undefined
  #isHeard = false

  /** @throws ValidationError for checks that are none */
  constructor(options: EdgeBalancerOptions) {
    const { source, reconciler, monitor, provider, nodeChecks = {} } = options
    this.#options = options
    const { status = isStatusWriter(source) ? source : undefined } = options
    this.#writer = provider === undefined || status === false ? undefined : status
    this.#addresses = provider && new ServiceAddresses(provider, (id) => this.#changed(id))
    this.#checks = new NodeChecks(monitor, nodeChecks, (id) => this.#changed(id))
    this.#schedule = new Schedule(
      coalesceMilliseconds,
      // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
      async () => this.#work(),
      () => undefined,
    )
    this.#writing = new KeyedWork({
      work: (id, signal) => this.#write(id, signal),
      answered: (id) => this.#written(id),
      deadlineMilliseconds: writeDeadlineMilliseconds,
    })
    this.#following = follow(
      source,
      {
        upsert: (object) => this.#upsert(object),
        delete: ({ kind, namespace = 'default', name }) => {
          if (kind === 'Node') this.#setNode(name, undefined, [])
          else if (kind === 'Service') this.#release({ namespace, name }, 'gone')
        },
        problems: (place, problems) => this.#tell(place, problems),
        failed: ({ message }) =>
          this.#tell(sourcePlace, [{ severity: 'error', place: sourcePlace, message }]),
        listed: (problems) => this.#listed(problems),
      },
      this.#closing.signal,
    )
    void reconciler.follow(this.#asSource(source))
  }

  /** Where clients reach a service; none as long as it is not served. */
  addressesOf({ namespace = 'default', name }: ServiceName): readonly string[] {
    return this.#services.get(`${namespace}/${name}`)?.addresses ?? []
  }

  /** What is not as it is written, or could not be done. What the source says is wrong is told by the reconciler. */
  problems(): EdgeBalancerProblem[] {
    const problems = [...this.#problems.values()].flat()
    for (const { problems: own } of this.#services.values()) problems.push(...own)
    for (const [id, { name }] of this.#statuses) {
      const error = this.#writing.errorOf(id)
      if (error !== undefined) problems.push(problemOf(name, 'StatusNotWritten', error.message))
    }
    return problems
  }

  /** Follows no more: services, addresses and what is forwarded stay as they are. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the balancer was closed'))
    clearTimeout(this.#patience)
    this.#schedule.close()
    this.#addresses?.close()
    this.#checks.close()
    this.#writing.close()
    await this.#following
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The first list waits: what an earlier process has programmed is not to be taken away for an answer that is still to come. */
  #asSource(source: Source): Source {
    const output = this.#output
    return {
      list: async (options = {}) => {
        const ready = this.#ready.signal
        const end = options.signal === undefined ? ready : AbortSignal.any([ready, options.signal])
        if (!end.aborted) await once(end, 'abort')
        return output.list(options)
      },
      watch: (revision, options) => output.watch(revision, options),
      ...(source.locate && { locate: (reference, path) => source.locate!(reference, path) }),
    }
  }

  // What comes from the source

  #upsert(object: ModelObject): void {
    if (!('kind' in object)) return
    if (object.kind === 'Node') {
      const problems: NodeBackendsProblem[] = []
      const record = readNode(object, this.#options, problems)
      this.#setNode(object.metadata?.name ?? '', record, problems)
    } else if (object.kind === 'Service') this.#setService(object)
  }

  /** Most changes of a node, its heartbeats above all, change nothing here. */
  #setNode(name: string, record: NodeRecord | undefined, problems: readonly NodeBackendsProblem[]): void {
    this.#note(formatReference({ kind: 'Node', name }), problems)
    if (isDeepStrictEqual(this.#nodes.get(name), record)) return
    if (record === undefined) this.#nodes.delete(name)
    else this.#nodes.set(name, record)
    this.#inOrder = undefined
    this.#changed(undefined)
  }

  #setService(service: Service): void {
    const { namespace = 'default', name = '' } = service.metadata ?? {}
    const any = { namespace, name }
    const place = formatReference({ kind: 'Service', ...any })
    let isOurs: boolean
    try {
      isOurs = nameOf(service) !== undefined && (this.#options.selects?.(service) ?? true)
    } catch (error) {
      // It stays as it was.
      return this.#note(place, [problemOf(any, 'Invalid', `selects: ${String(error)}`)])
    }
    this.#note(place, [])
    if (!isOurs) return this.#release(any, service.metadata?.deletionTimestamp ? 'gone' : 'not ours')
    const id = `${namespace}/${name}`
    const known = this.#services.get(id)
    const status = this.#statuses.get(id)
    // Somebody has written another one, or ours has come back.
    if (status !== undefined && !isDeepStrictEqual(known?.service.status, service.status)) {
      status.written = undefined
    }
    if (known === undefined)
      this.#services.set(id, { name: any, service, problems: [], addresses: undefined })
    else known.service = service
    if (this.#isHeard) this.#addresses?.set(id, any, service)
    this.#changed(id)
  }

  #release(name: NamespacedName, why: 'gone' | 'not ours'): void {
    const id = `${name.namespace}/${name.name}`
    const reference = { kind: 'Service', ...name } as const
    this.#note(formatReference(reference), [])
    if (this.#services.delete(id)) {
      this.#stale.delete(id)
      this.#output.delete(reference)
      this.#output.setProblems(formatReference(reference), [])
      this.#checks.set(id, [])
      this.#addresses?.delete(id)
      if (why === 'not ours') this.#publish(id, name, [])
    }
    if (why === 'gone') {
      this.#statuses.delete(id)
      this.#writing.forget(id)
    }
  }

  #listed(problems: readonly SourceProblem[]): void {
    const places = new Set([...this.#places, ...problems.map(({ place }) => place)])
    for (const at of places) {
      this.#tell(
        at,
        problems.filter(({ place }) => place === at),
      )
    }
    if (this.#isHeard) return
    this.#isHeard = true
    this.#patience = setTimeout(() => this.#ready.abort(), patienceMilliseconds)
    // In the order of their names: a pool then gives the same ones whatever order the source has.
    for (const [id, { name, service }] of [...this.#services].sort(([a], [b]) => (a < b ? -1 : 1))) {
      this.#addresses?.set(id, name, service)
    }
    this.#changed(undefined)
  }

  #tell(place: string, problems: readonly SourceProblem[]): void {
    if (problems.length > 0) this.#places.add(place)
    else this.#places.delete(place)
    this.#output.setProblems(place, problems)
  }

  #note(place: string, problems: readonly EdgeBalancerProblem[]): void {
    if (problems.length > 0) this.#problems.set(place, problems)
    else this.#problems.delete(place)
  }

  // What follows of it

  /** One service, or all. */
  #changed(id: string | undefined): void {
    if (id !== undefined) this.#stale.add(id)
    else for (const one of this.#services.keys()) this.#stale.add(one)
    this.#schedule.request()
  }

  #work(): void {
    if (!this.#isHeard) return
    const stale = [...this.#stale]
    this.#stale.clear()
    this.#checks.forget()
    this.#inOrder ??= inOrder(this.#nodes.values())
    for (const id of stale) {
      const known = this.#services.get(id)
      if (known === undefined) continue
      try {
        this.#compute(id, known, this.#inOrder)
      } catch (error) {
        this.#setProblems(known, [problemOf(known.name, 'Invalid', (error as Error).message)])
      }
    }
    if (!this.#ready.signal.aborted && [...this.#services.keys()].every((id) => this.#isAnswered(id))) {
      clearTimeout(this.#patience)
      this.#ready.abort()
    }
  }

  #isAnswered(id: string): boolean {
    const hasAnswer = this.#addresses === undefined || this.#addresses.of(id) !== undefined
    return hasAnswer && this.#checks.isAnswered(id)
  }

  #compute(id: string, known: Known, nodes: readonly NodeRecord[]): void {
    const { name, service } = known
    const given = this.#addresses?.of(id)
    if (this.#addresses !== undefined && given === undefined) {
      return this.#setProblems(known, [problemOf(name, 'NoAnswer', 'its provider has not answered yet')])
    }
    const failure = this.#addresses?.errorOf(id)
    const problems: NodeBackendsProblem[] = []
    const checks = new Map<string, NodeCheck>()
    const rules = {
      ...this.#options,
      addressesOf: () => given,
      verdict: (check: NodeCheck) => this.#checks.verdict(check),
    }
    const made = readService(service, name, nodes, rules, checks, problems)
    this.#checks.set(id, [...checks.values()])
    known.addresses = made?.externalAddresses
    if (made === undefined) this.#output.delete({ kind: 'Service', ...name })
    else this.#output.upsert(made)
    if (failure === undefined) {
      this.#setProblems(known, problems)
      this.#publish(id, name, known.addresses ?? [])
    } else {
      const others = problems.filter(({ reason }) => reason !== 'NoAddress')
      this.#setProblems(known, [...others, problemOf(name, 'ProviderFailed', failure.message)])
    }
  }

  /** Of what may still be wanted nothing is taken away: see Reconciler.start. */
  #setProblems(known: Known, problems: readonly EdgeBalancerProblem[]): void {
    known.problems = problems
    const place = formatReference({ kind: 'Service', ...known.name })
    const told = problems.map(({ reason, message }): SourceProblem => ({
      severity: reason === 'NoAddress' ? 'note' : 'error',
      place,
      message,
    }))
    this.#output.setProblems(place, told)
  }

  // What goes back

  #publish(id: string, name: NamespacedName, wanted: readonly string[]): void {
    if (this.#writer === undefined) return
    let status = this.#statuses.get(id)
    if (status === undefined) {
      status = { name, wanted, written: undefined }
      this.#statuses.set(id, status)
    }
    status.wanted = wanted
    if (!this.#stands(id, status) || this.#writing.isOpen(id)) this.#writing.request(id)
  }

  #stands(id: string, { wanted, written }: Status): boolean {
    const known = this.#services.get(id)
    return isDeepStrictEqual(written ?? (known && ingressOf(known.service)), wanted)
  }

  async #write(id: string, signal: AbortSignal): Promise<void> {
    const status = this.#statuses.get(id)
    if (status === undefined || this.#stands(id, status)) return
    const { name, wanted } = status
    if (wanted.length > 0) {
      const { reconciler } = this.#options
      // What stands in the output is heard in this turn, and told of by `settled` in the next.
      await setImmediate()
      await reconciler.settled({ signal })
      const { state, errors } = reconciler.status(name)
      if (state !== 'programmed') throw new Error(`it is ${state}: ${errors.map(String).join('; ')}`)
    }
    const ingress = wanted.map((ip) => ({ ip }))
    await this.#writer!.writeLoadBalancer(
      { kind: 'Service', ...name },
      wanted.length === 0 ? {} : { ingress },
      { signal },
    )
    status.written = wanted
  }

  #written(id: string): void {
    // Nothing is left to say of one that is not ours.
    if (this.#services.has(id) || this.#writing.errorOf(id) !== undefined) return
    this.#statuses.delete(id)
    this.#writing.forget(id)
  }
}

function problemOf(
  name: NamespacedName,
  reason: EdgeBalancerProblem['reason'],
  message: string,
): EdgeBalancerProblem {
  return { object: { kind: 'Service', ...name }, reason, message }
}

function isStatusWriter(source: Source): source is Source & StatusWriter {
  return typeof (source as Partial<StatusWriter>).writeLoadBalancer === 'function'
}

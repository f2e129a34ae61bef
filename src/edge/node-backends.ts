/**
 * Nodes as the servers of a load balancer in front of a cluster: each Service of type LoadBalancer becomes a service whose servers are
 * the nodes at its node ports. Pure: it is computed again when services, nodes or verdicts change, and a model or a reconciler that is
 * given the result (`replaceAll`) changes what differs.
 */
import type { Node, Service } from 'kubernetes-types/core/v1.js'
import { type AddressFamily, canonicalAddress, familyOf } from '../address/index.js'
import { schedulerAnnotation, type ServerInput, type ServiceInput } from '../model/index.js'

/** What is known of a cluster. */
export interface NodeBackendsInput {
  /** All of them; those of type LoadBalancer are taken. */
  readonly services: Iterable<Service>
  /** All of them; those that are ready and not excluded are taken. */
  readonly nodes: Iterable<Node>
  /**
   * Addresses of a service that clients use; those of `status.loadBalancer.ingress` unless said, or where it gives undefined. Of a
   * `LoadBalancerProvider`, what `ensure` has returned.
   */
  readonly addressesOf?: ((service: Service) => readonly string[] | undefined) | undefined
  /**
   * What is known of a check of `checks`. True, or how many connections it should get beside others (1 to 65535; 0 drains): well.
   * False: not well. Undefined: not known yet, which is not well for the policy Local, whose nodes have endpoints or not, and well for
   * the policy Cluster, whose nodes are the servers unless something speaks against it. Without the function nothing is known.
   */
  readonly verdict?: ((check: NodeCheck) => boolean | number | undefined) | undefined
  /** Where a node says how it is itself (kube-proxy: 10256), asked for services of the policy Cluster; not asked unless said. */
  readonly nodeHealthPort?: number | undefined
  /** Nodes that are cordoned keep the connections they have (`drain`), stay (`keep`) or go; `drain` unless said. */
  readonly cordoned?: 'drain' | 'keep' | 'remove' | undefined
  /** Which of a node's addresses; `InternalIP` unless said. */
  readonly nodeAddress?: 'InternalIP' | 'ExternalIP' | undefined
}

/** A question to a node: HTTP, well is 200. */
export interface NodeCheck {
  /** `service`: has it ready endpoints of this service (`healthCheckNodePort`)? `node`: is it well? */
  readonly kind: 'service' | 'node'
  /** `namespace/name`; of a question about the node undefined. */
  readonly service?: string | undefined
  /** Its name. */
  readonly node: string
  /** The node's. */
  readonly address: string
  /** TCP. */
  readonly port: number
  /** Of the request. */
  readonly path: '/healthz'
}

/** Why something of a service or a node is not as it is written. */
export interface NodeBackendsProblem {
  /** Which one. */
  readonly object: { readonly kind: 'Service' | 'Node'; readonly namespace?: string; readonly name: string }
  /** In one word. */
  readonly reason: 'NoAddress' | 'NoNodePort' | 'NoHealthCheckNodePort' | 'NoNodeAddress' | 'Invalid'
  /** For people. */
  readonly message: string
}

/** What a balancer is to have. */
export interface NodeBackends {
  /** In the order of their namespaces and names; servers by the names of their nodes. */
  readonly services: readonly ServiceInput[]
  /** What is to be asked, each once. */
  readonly checks: readonly NodeCheck[]
  /** What is left out, and why. */
  readonly problems: readonly NodeBackendsProblem[]
}

const exclusionLabel = 'node.kubernetes.io/exclude-from-external-load-balancers'
/** A node that the autoscaler is about to take away (KEP-3836). */
const removalTaint = 'ToBeDeletedByClusterAutoscaler'
const longestAffinity = 86_400

/** Computes the services of a balancer. Whatever is written in the objects, it does not throw: what cannot be meant is a problem. */
export function nodeBackends(input: NodeBackendsInput): NodeBackends {
  const problems: NodeBackendsProblem[] = []
  const nodes = inOrder([...input.nodes].flatMap((node) => readNode(node, input, problems) ?? []))
  const services: ServiceInput[] = []
  const checks = new Map<string, NodeCheck>()
  for (const service of input.services) {
    const name = nameOf(service)
    if (name === undefined) continue
    const made = readService(service, name, nodes, input, checks, problems)
    if (made !== undefined) services.push(made)
  }
  services.sort((a, b) => compare(a.namespace! + '/' + a.name, b.namespace! + '/' + b.name))
  return { services, checks: [...checks.values()], problems }
}

/** What of a node matters here. */
export interface NodeRecord {
  readonly name: string
  readonly addresses: Readonly<Partial<Record<AddressFamily, string>>>
  readonly drains: boolean
}

/** What is to be known beside the objects. */
export type NodeBackendsRules = Omit<NodeBackendsInput, 'services' | 'nodes'>

/** Undefined for one that serves nothing. */
export function readNode(
  node: Node | undefined,
  { cordoned = 'drain', nodeAddress = 'InternalIP' }: NodeBackendsRules,
  problems: NodeBackendsProblem[],
): NodeRecord | undefined {
  const name = node?.metadata?.name
  if (typeof name !== 'string' || name === '' || node?.metadata?.deletionTimestamp) return undefined
  if (Object.hasOwn(node?.metadata?.labels ?? {}, exclusionLabel)) return undefined
  const isReady = listOf(node?.status?.conditions).some(
    (condition) => condition?.type === 'Ready' && condition.status === 'True',
  )
  const isCordoned = node?.spec?.unschedulable === true
  if (!isReady || (isCordoned && cordoned === 'remove')) return undefined
  const addresses: Partial<Record<AddressFamily, string>> = {}
  for (const entry of listOf(node?.status?.addresses)) {
    const address = entry?.type === nodeAddress ? canonical(entry.address) : undefined
    if (address !== undefined) addresses[familyOf(address)] ??= address
  }
  if (Object.keys(addresses).length === 0) {
    const message = `it has no ${nodeAddress}`
    problems.push({ object: { kind: 'Node', name }, reason: 'NoNodeAddress', message })
    return undefined
  }
  const goes = listOf(node?.spec?.taints).some((taint) => taint?.key === removalTaint)
  return { name, addresses, drains: goes || (isCordoned && cordoned === 'drain') }
}

/** In the order that servers have. */
export function inOrder(nodes: Iterable<NodeRecord>): NodeRecord[] {
  return [...nodes].sort((a, b) => compare(a.name, b.name))
}

/** Undefined for one that cannot be served; the problems say why. */
export function readService(
  service: Service,
  name: NamespacedName,
  nodes: readonly NodeRecord[],
  input: NodeBackendsRules,
  checks: Map<string, NodeCheck>,
  problems: NodeBackendsProblem[],
): ServiceInput | undefined {
  const spec = service.spec!
  const problem = (reason: NodeBackendsProblem['reason'], message: string): undefined => {
    problems.push({ object: { kind: 'Service', ...name }, reason, message })
    return undefined
  }
  const addresses = [...new Set(input.addressesOf?.(service) ?? ingressOf(service))].flatMap(
    (address) => canonical(address) ?? [],
  )
  if (addresses.length === 0) return problem('NoAddress', 'it has no address that clients could use')
  const ports = listOf(spec.ports).flatMap((port) => {
    const given: unknown = port?.protocol ?? 'TCP'
    const protocol = typeof given === 'string' ? given.toLowerCase() : ''
    const isKnown = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp'
    if (!isKnown || !isPort(port?.port)) return problem('Invalid', `it has a port that is none`) ?? []
    if (!isPort(port.nodePort)) return problem('NoNodePort', `its port ${port.port} has no node port`) ?? []
    return [{ port: port.port, protocol, name: port.name || undefined, targetPort: port.nodePort } as const]
  })
  if (ports.length === 0) return undefined
  const isLocal = spec.externalTrafficPolicy === 'Local'
  if (isLocal && !isPort(spec.healthCheckNodePort)) {
    return problem(
      'NoHealthCheckNodePort',
      'its policy is Local, and nothing says which nodes have endpoints',
    )
  }
  const checkPort = isLocal ? spec.healthCheckNodePort : input.nodeHealthPort
  const id = `${name.namespace}/${name.name}`
  const servers: ServerInput[] = []
  for (const family of new Set(addresses.map(familyOf))) {
    for (const node of nodes) {
      const address = node.addresses[family]
      if (address === undefined) continue
      let weight: number | undefined
      if (checkPort !== undefined) {
        const check = checkOf(isLocal ? id : undefined, node.name, address, checkPort)
        checks.set(JSON.stringify(check), check)
        const verdict = input.verdict?.(check)
        if (verdict === false || (isLocal && verdict === undefined)) continue
        if (typeof verdict === 'number') weight = Math.min(65_535, Math.max(0, Math.trunc(verdict) || 0))
      }
      if (node.drains) weight = 0
      servers.push({ address, node: node.name, ...(weight === undefined ? {} : { weight }) })
    }
  }
  const scheduler: unknown = service.metadata?.annotations?.[schedulerAnnotation]
  return {
    ...name,
    externalAddresses: addresses,
    ports,
    servers,
    scheduler: typeof scheduler === 'string' && /^[a-z0-9_-]{1,15}$/.test(scheduler) ? scheduler : undefined,
    affinitySeconds: affinityOf(service),
    sourceRanges: sourceRangesOf(service),
  }
}

function checkOf(service: string | undefined, node: string, address: string, port: number): NodeCheck {
  return { kind: service === undefined ? 'node' : 'service', service, node, address, port, path: '/healthz' }
}

/** Where the mode is Proxy, packets come with another destination: the address is somebody else's. */
export function ingressOf({ status }: Service): string[] {
  return listOf(status?.loadBalancer?.ingress).flatMap((entry) => {
    const { ip, ipMode } = (entry ?? {}) as { ip?: unknown; ipMode?: unknown }
    return typeof ip === 'string' && (ipMode === undefined || ipMode === 'VIP') ? [ip] : []
  })
}

function affinityOf({ spec }: Service): number | undefined {
  if (spec?.sessionAffinity !== 'ClientIP') return undefined
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800
  return Number.isInteger(seconds) && seconds >= 1 && seconds <= longestAffinity ? seconds : 10_800
}

function sourceRangesOf({ spec }: Service): string[] | undefined {
  const ranges = listOf(spec?.loadBalancerSourceRanges).flatMap((range) =>
    typeof range === 'string' ? [range.trim()] : [],
  )
  return ranges.length === 0 ? undefined : ranges
}

/** What names a service. */
export interface NamespacedName {
  readonly namespace: string
  readonly name: string
}

/** Undefined for what is to be no service of a load balancer: also one that is being deleted. */
export function nameOf(service: Service | undefined): NamespacedName | undefined {
  if (service?.spec?.type !== 'LoadBalancer') return undefined
  const { name, namespace } = service?.metadata ?? {}
  if (typeof name !== 'string' || name === '' || service?.metadata?.deletionTimestamp) return undefined
  return { namespace: typeof namespace === 'string' && namespace !== '' ? namespace : 'default', name }
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535
}

function canonical(text: unknown): string | undefined {
  return typeof text === 'string' ? canonicalAddress(text) : undefined
}

/** Objects come from files and servers: a list may be anything. */
function listOf<T>(value: readonly T[] | undefined): readonly (T | undefined)[] {
  return Array.isArray(value) ? (value as readonly T[]) : []
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

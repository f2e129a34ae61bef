/** What `viaduct run` is configured by. Pure: every field, and what it takes. */
import { parseAddress, parsePrefix } from '../address/index.js'
import { isObject } from '../model/reading.js'
import { settingsOf } from '../dataplane/ruleset/settings.js'
import { readUpstream } from '../dns/upstreams.js'
import { isValidationError } from '../errors/index.js'
import { Allocator } from '../model/allocator.js'
import { checkField, rulesField } from './check-field.js'
import {
  address,
  type FieldProblem,
  flag,
  integer,
  list,
  map,
  namespace,
  object,
  oneOf,
  refuse,
  text,
  type ValueOf,
} from './schema.js'

export const configurationKind = { apiVersion: 'viaduct/v1', kind: 'Configuration' } as const

const prefix = text('a prefix such as 10.0.0.0/8', (value) => parsePrefix(value) !== undefined)
const prefixOrAddress = text(
  'an address or a prefix',
  (value) => parseAddress(value) !== undefined || parsePrefix(value) !== undefined,
)
const path = text('the path of a file')
const seconds = integer(0, 86_400 * 365)
const milliseconds = integer(0, 2 ** 31 - 1)
const namePattern = text('namespace/name, in which * stands for any letters', (value) =>
  /^[a-z0-9.*-]+\/[a-z0-9.*-]+$/.test(value),
)

export const configurationField = object({
  apiVersion: oneOf(configurationKind.apiVersion),
  kind: oneOf(configurationKind.kind),
  manifests: list(path),
  dataplane: object({
    kind: oneOf('auto', 'nftables', 'ipvs'),
    name: text('the name of a table'),
    statistics: flag,
    masqueradeBit: integer(1, 2 ** 31),
    netns: namespace,
    scheduler: text('the name of a scheduler, as wrr', (value) => /^[\w-]{1,15}$/.test(value)),
  }),
  node: object({
    name: text('the name of this node'),
    zone: text('the name of a zone'),
    addresses: list(address),
    clusterRanges: list(prefix),
    serviceRanges: list(prefix),
    nodePortAddresses: list(prefixOrAddress),
    masqueradeAll: flag,
  }),
  allocate: object({
    clusterRanges: list(prefix),
    nodePorts: text('a range of ports such as 30000-32767', (value) => /^\d+-\d+$/.test(value)),
    pools: map(list(text('a prefix, or a range of addresses'))),
  }),
  reconcile: object({
    coalesceMilliseconds: milliseconds,
    repairIntervalMilliseconds: milliseconds,
  }),
  health: object({
    checks: list(
      object({
        services: list(namePattern),
        protocol: oneOf('tcp', 'udp', 'sctp'),
        check: checkField,
        rules: rulesField,
      }),
    ),
  }),
  healthCheckNodePorts: object({ enabled: flag, addresses: list(address) }),
  edge: object({
    device: text('the name of an interface', (value) => /^[^/\s]{1,15}$/.test(value)),
    addresses: list(prefix),
    pools: map(list(text('a prefix, or a range of addresses'))),
    nodeHealthPort: integer(1, 65_535),
    vrrp: object({
      virtualRouterId: integer(1, 255),
      priority: integer(1, 255),
      intervalCentiseconds: integer(1, 4095),
      preempt: flag,
      preemptDelayMilliseconds: milliseconds,
      peers: list(address),
      sourceAddress: address,
    }),
  }),
  dns: object({
    listen: list(object({ address, port: integer(1, 65_535) })),
    zones: list(text('a name such as cluster.local', (value) => /^[\w-]+(\.[\w-]+)*\.?$/.test(value))),
    upstreams: list(text('an address, or address:port')),
    podRecords: oneOf('disabled', 'insecure', 'verified'),
    ttlSeconds: integer(0, 2 ** 31 - 1),
    rateLimit: object({ responsesPerSecond: integer(1, 1_000_000), burst: integer(1, 100_000_000) }),
  }),
  conntrack: object({
    tcpEstablishedTimeoutSeconds: seconds,
    tcpCloseWaitTimeoutSeconds: seconds,
    tcpBeLiberal: flag,
    udpTimeoutSeconds: seconds,
    udpStreamTimeoutSeconds: seconds,
  }),
  state: object({ enabled: flag, file: path }),
  control: object({ enabled: flag, socket: path }),
  log: object({ level: oneOf('debug', 'info', 'warn', 'error', 'silent') }),
})

export type AgentConfiguration = ValueOf<typeof configurationField>

/** What a value says, and what is wrong with it. */
export interface ConfigurationReading {
  readonly configuration: AgentConfiguration
  /** Errors: it is not to be used. */
  readonly problems: readonly FieldProblem[]
  /** What was left aside, and why. */
  readonly notes: readonly FieldProblem[]
}

/** Of a value that says it is a Configuration. */
export function readConfiguration(value: unknown): ConfigurationReading {
  const problems: FieldProblem[] = []
  const configuration = configurationField.read(value ?? {}, '', problems) ?? {}
  if (isObject(value)) {
    for (const [name, wanted] of Object.entries(configurationKind)) {
      if (value[name] === undefined || value[name] === null)
        problems.push({ path: name, message: `expected ${wanted}, and it is not there` })
    }
  }
  return {
    configuration,
    problems: problems.length > 0 ? problems : judge(configuration),
    notes: idle(configuration),
  }
}

/** What has no effect beside the rest. */
function idle({ edge, allocate, healthCheckNodePorts }: AgentConfiguration): FieldProblem[] {
  if (edge === undefined) return []
  const notes: FieldProblem[] = []
  if (allocate !== undefined)
    notes.push({ path: 'allocate', message: 'nothing is picked by it at the edge, but by edge.pools' })
  if (healthCheckNodePorts?.enabled === true)
    notes.push({ path: 'healthCheckNodePorts.enabled', message: 'at the edge none are: nodes have them' })
  return notes
}

/** What single fields cannot tell, and what those know who are given it. */
function judge(configuration: AgentConfiguration): FieldProblem[] {
  const { dataplane = {}, node, allocate = {}, edge, health, dns } = configuration
  const problems: FieldProblem[] = []
  const judgedBy = (read: () => unknown, pathOf: (path: string) => string): void => {
    try {
      read()
    } catch (error) {
      if (!isValidationError(error)) throw error
      refuse(problems, pathOf(error.path), error.value, error.expected)
    }
  }
  const { name, masqueradeBit } = dataplane
  judgedBy(
    () => settingsOf({ name, masqueradeBit, node }, []),
    (at) => (at.startsWith('node.') ? at : at in dataplane ? `dataplane.${at}` : `node.${at}`),
  )
  judgedBy(
    () => new Allocator(allocate),
    (at) => at,
  )
  judgedBy(
    () => new Allocator({ pools: edge?.pools }),
    (at) => at.replace('allocate', 'edge'),
  )
  judgedBy(
    () => dns?.upstreams?.map(readUpstream),
    (at) => `dns.${at}`,
  )
  if (edge !== undefined && (edge.addresses?.length ?? 0) > 0 && edge.device === undefined)
    problems.push({
      path: 'edge.device',
      message: 'expected the interface that the addresses are on, and it is not there',
    })
  if (edge?.vrrp !== undefined) {
    if (edge.vrrp.virtualRouterId === undefined)
      problems.push({
        path: 'edge.vrrp.virtualRouterId',
        message: 'expected an integer from 1 to 255, and it is not there',
      })
    if ((edge.addresses?.length ?? 0) === 0)
      problems.push({
        path: 'edge.addresses',
        message: 'expected the addresses that go with the master, and there is none',
      })
  }
  for (const [index, { check }] of (health?.checks ?? []).entries()) {
    if (check === undefined)
      problems.push({
        path: `health.checks[${index}].check`,
        message: 'expected a check, and it is not there',
      })
  }
  return problems
}

/** What of kube-proxy's own configuration holds here, and what does not. Pure. */
import { isObject } from '../model/reading.js'
import {
  type AgentConfiguration,
  configurationKind,
  type ConfigurationReading,
  readConfiguration,
} from './configuration.js'
import { type FieldProblem, refuse } from './schema.js'

export const kubeProxyKind = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
} as const

/** Where it says what is configured here. */
const fieldOf: Readonly<Record<string, string>> = {
  'dataplane.scheduler': 'ipvs.scheduler',
  'node.name': 'hostnameOverride',
  'node.clusterRanges': 'clusterCIDR',
  'node.nodePortAddresses': 'nodePortAddresses',
  'conntrack.tcpEstablishedTimeoutSeconds': 'conntrack.tcpEstablishedTimeout',
  'conntrack.tcpCloseWaitTimeoutSeconds': 'conntrack.tcpCloseWaitTimeout',
  'conntrack.udpTimeoutSeconds': 'conntrack.udpTimeout',
  'conntrack.udpStreamTimeoutSeconds': 'conntrack.udpStreamTimeout',
}

type Loose = Readonly<Record<string, unknown>>

/** Fields that are read; others are noted, where they say something. */
const read = new Set([
  'apiVersion',
  'kind',
  'mode',
  'clusterCIDR',
  'hostnameOverride',
  'nodePortAddresses',
  'conntrack',
  'ipvs',
  'nftables',
  'iptables',
  'detectLocalMode',
])
const readWithin: Readonly<Record<string, ReadonlySet<string>>> = {
  ipvs: new Set(['scheduler', 'syncPeriod', 'minSyncPeriod']),
  nftables: new Set(['masqueradeAll', 'masqueradeBit', 'syncPeriod', 'minSyncPeriod']),
  iptables: new Set(['masqueradeAll', 'masqueradeBit', 'syncPeriod', 'minSyncPeriod']),
  conntrack: new Set([
    'tcpEstablishedTimeout',
    'tcpCloseWaitTimeout',
    'tcpBeLiberal',
    'udpTimeout',
    'udpStreamTimeout',
  ]),
}
const why: Readonly<Record<string, string>> = {
  'conntrack.maxPerCore': 'nf_conntrack_max is the whole host’s: set it with sysctl',
  'conntrack.min': 'nf_conntrack_max is the whole host’s: set it with sysctl',
  'ipvs.strictARP':
    'arp_ignore and arp_announce are left as they are: cluster addresses are on an interface that asks nobody',
  'ipvs.excludeCIDRs': 'services of others are never touched',
  metricsBindAddress: 'there are no metrics yet',
  healthzBindAddress: '`viaduct status` tells',
  clientConnection: 'services come from manifests',
}

/** Of a value that says it is a KubeProxyConfiguration. */
export function readKubeProxyConfiguration(value: Loose): ConfigurationReading {
  const reader = new Reader(value)
  const configuration = reader.configuration()
  if (reader.problems.length === 0) reader.judge(configuration)
  return { configuration, problems: reader.problems, notes: reader.notes }
}

class Reader {
  readonly problems: FieldProblem[] = []
  readonly notes: FieldProblem[] = []
  readonly #value: Loose

  constructor(value: Loose) {
    this.#value = value
  }

  /** What it says has to hold as if it had been written here. */
  judge(configuration: AgentConfiguration): void {
    const own = configuration.dataplane?.kind === 'auto' ? 'iptables' : configuration.dataplane?.kind
    const written: Readonly<Record<string, string>> = {
      ...fieldOf,
      'reconcile.coalesceMilliseconds': `${own}.minSyncPeriod`,
      'reconcile.repairIntervalMilliseconds': `${own}.syncPeriod`,
    }
    for (const { path, message } of readConfiguration({ ...configurationKind, ...configuration }).problems)
      this.problems.push({ path: written[path.replace(/\[\d+\]$/, '')] ?? path, message })
  }

  configuration(): AgentConfiguration {
    const mode = this.#text('mode') ?? ''
    const kinds: Readonly<Record<string, 'auto' | 'nftables' | 'ipvs'>> = {
      '': 'auto',
      ipvs: 'ipvs',
      nftables: 'nftables',
      iptables: 'auto',
    }
    const kind = Object.hasOwn(kinds, mode) ? kinds[mode] : undefined
    if (kind === undefined) refuse(this.problems, 'mode', mode, 'iptables, ipvs or nftables')
    if (mode === 'iptables')
      this.#note('mode', 'there is no dataplane of iptables: the best of this kernel is taken')
    // What the other modes say does not hold for this one.
    const own = mode === 'ipvs' ? 'ipvs' : mode === 'nftables' ? 'nftables' : 'iptables'
    const rules = mode === 'nftables' ? 'nftables' : 'iptables'
    const masqueradeBit = this.#number(`${rules}.masqueradeBit`, 0, 31)
    const clusterRanges = this.#text('clusterCIDR')
      ?.split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
    const nodePortAddresses = this.#texts('nodePortAddresses')?.filter((one) => one !== 'primary')
    this.#noteOthers()
    return {
      dataplane: {
        kind,
        scheduler: mode === 'ipvs' ? nonEmpty(this.#text('ipvs.scheduler')) : undefined,
        masqueradeBit: masqueradeBit === undefined ? undefined : 2 ** masqueradeBit,
      },
      node: {
        name: nonEmpty(this.#text('hostnameOverride')),
        clusterRanges: clusterRanges?.length === 0 ? undefined : clusterRanges,
        nodePortAddresses: nodePortAddresses?.length === 0 ? undefined : nodePortAddresses,
        masqueradeAll: this.#flag(`${rules}.masqueradeAll`),
      },
      reconcile: {
        coalesceMilliseconds: this.#duration(`${own}.minSyncPeriod`, 1),
        repairIntervalMilliseconds: this.#duration(`${own}.syncPeriod`, 1),
      },
      conntrack: {
        tcpEstablishedTimeoutSeconds: this.#duration('conntrack.tcpEstablishedTimeout', 1000),
        tcpCloseWaitTimeoutSeconds: this.#duration('conntrack.tcpCloseWaitTimeout', 1000),
        tcpBeLiberal: this.#flag('conntrack.tcpBeLiberal'),
        udpTimeoutSeconds: this.#duration('conntrack.udpTimeout', 1000),
        udpStreamTimeoutSeconds: this.#duration('conntrack.udpStreamTimeout', 1000),
      },
    }
  }

  #noteOthers(): void {
    if (!['', 'ClusterCIDR'].includes(this.#text('detectLocalMode') ?? ''))
      this.#note('detectLocalMode', 'who is inside is told by clusterCIDR alone')
    for (const [name, held] of Object.entries(this.#value)) {
      if (says(held) && !read.has(name)) this.#note(name)
      const within = Object.hasOwn(readWithin, name) ? readWithin[name] : undefined
      if (within === undefined || !isObject(held)) continue
      for (const [one, said] of Object.entries(held))
        if (says(said) && !within.has(one)) this.#note(`${name}.${one}`)
    }
  }

  #note(path: string, reason = Object.hasOwn(why, path) ? why[path] : undefined): void {
    this.notes.push({ path, message: `not taken over${reason === undefined ? '' : `: ${reason}`}` })
  }

  #at(path: string): unknown {
    const [outer, inner] = path.split('.') as [string, string | undefined]
    const held = this.#value[outer]
    const found = inner === undefined ? held : isObject(held) ? held[inner] : undefined
    return found === null ? undefined : found
  }

  #text(path: string): string | undefined {
    const value = this.#at(path)
    if (value === undefined || typeof value === 'string') return value
    return refuse(this.problems, path, value, 'a string')
  }

  #texts(path: string): readonly string[] | undefined {
    const value = this.#at(path)
    if (value === undefined) return undefined
    if (Array.isArray(value) && value.every((one): one is string => typeof one === 'string')) return value
    return refuse(this.problems, path, value, 'a list of prefixes')
  }

  #flag(path: string): boolean | undefined {
    const value = this.#at(path)
    if (value === undefined || typeof value === 'boolean') return value
    return refuse(this.problems, path, value, 'true or false')
  }

  #number(path: string, least: number, most: number): number | undefined {
    const value = this.#at(path)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    return refuse(this.problems, path, value, `an integer from ${least} to ${most}`)
  }

  /** Of milliseconds, in units of so many. 0, as kube-proxy has it, leaves things as they are. */
  #duration(path: string, unit: number): number | undefined {
    const value = this.#text(path)
    if (value === undefined || value === '') return undefined
    const milliseconds = millisecondsOf(value)
    if (milliseconds === undefined)
      return refuse(this.problems, path, value, 'a duration such as 1h30m or 250ms')
    return milliseconds === 0 ? undefined : Math.ceil(milliseconds / unit)
  }
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** As Go writes durations: `1h30m`, `0s`, `250ms`. */
export function millisecondsOf(text: string): number | undefined {
  if (text === '0') return 0
  // Each part begins where the last one ended, and is short: no text takes long.
  const part = /(\d{1,15}(?:\.\d{1,15})?)(ns|us|µs|ms|s|m|h)/y
  let [total, end] = [0, 0]
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    total += Number(match[1]) * units[match[2]!]!
    end = part.lastIndex
  }
  return end === text.length && end > 0 ? total : undefined
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

/** What a generated file has everywhere says nothing. */
function says(value: unknown): boolean {
  if (
    value === undefined ||
    value === null ||
    value === '' ||
    value === 0 ||
    value === false ||
    value === '0s'
  )
    return false
  if (isObject(value)) return Object.values(value).some(says)
  return !Array.isArray(value) || value.length > 0
}

/** Reads Pods and Nodes: of them only what endpoints are made of. */
import { canonicalAddress } from '../address/index.js'
import { readWeight } from './annotations.js'
import type { Condition } from './condition.js'
import { fail, isObject, isPort, listOf, type Loose, objectOf, readMetadata, textOf } from './reading.js'
import type { SlicePort } from './records.js'
import type { Labels } from './selector.js'
import { readProtocol } from './slices.js'

export interface PodRecord {
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly labels: Labels | undefined
  readonly node: string | undefined
  /** In each family one at most; none as long as it has none. */
  readonly addresses: readonly string[]
  readonly isReady: boolean
  readonly isTerminating: boolean
  /** It will not run again. */
  readonly isEnded: boolean
  readonly hostname: string | undefined
  readonly subdomain: string | undefined
  /** Named ports of its containers. */
  readonly ports: readonly SlicePort[]
  /** Share of new connections, if it says so. */
  readonly weight: number | undefined
  readonly conditions: readonly Condition[]
}

const none: readonly never[] = []

/** @throws ValidationError with a path in the object */
export function readPod(object: Loose): PodRecord {
  const { namespace, name, labels, annotations, isDeleted } = readMetadata(object)
  const spec = objectOf(object.spec, 'spec') ?? {}
  const status = objectOf(object.status, 'status') ?? {}
  const conditions: Condition[] = []
  const weight = readWeight(annotations, conditions)
  return {
    id: `${namespace}/${name}`,
    namespace,
    name,
    labels,
    node: textOf(spec.nodeName, 'spec.nodeName'),
    addresses: readPodAddresses(spec, status),
    isReady: listOf(status.conditions, 'status.conditions').some(
      (condition) => isObject(condition) && condition.type === 'Ready' && condition.status === 'True',
    ),
    isTerminating: isDeleted,
    isEnded: status.phase === 'Succeeded' || status.phase === 'Failed',
    hostname: textOf(spec.hostname, 'spec.hostname'),
    subdomain: textOf(spec.subdomain, 'spec.subdomain'),
    ports: readNamedPorts(spec),
    weight,
    conditions: conditions.length === 0 ? none : conditions,
  }
}

/** A Pod in its node's network has the node's addresses, which may be told only as such. */
function readPodAddresses(spec: Loose, status: Loose): readonly string[] {
  const own = readIPs(status, 'podIPs', 'podIP')
  return own.length > 0 || spec.hostNetwork !== true ? own : readIPs(status, 'hostIPs', 'hostIP')
}

function readIPs(status: Loose, several: string, single: string): readonly string[] {
  const list = listOf(status[several], `status.${several}`)
  if (list.length > 0) {
    return list.map((item, index) =>
      readIP(isObject(item) ? item.ip : item, `status.${several}[${index}].ip`),
    )
  }
  const address = textOf(status[single], `status.${single}`)
  return address === undefined ? none : [readIP(address, `status.${single}`)]
}

function readIP(value: unknown, path: string): string {
  return (
    (typeof value === 'string' ? canonicalAddress(value) : undefined) ?? fail(path, value, 'an IP address')
  )
}

/** Also those of containers that are begun before and run on beside the others. */
function readNamedPorts(spec: Loose): readonly SlicePort[] {
  const ports: SlicePort[] = []
  const add = (field: string, isTaken: (container: Loose) => boolean) => {
    listOf(spec[field], `spec.${field}`).forEach((container, place) => {
      const path = `spec.${field}[${place}]`
      if (!isObject(container)) fail(path, container, 'an object')
      if (!isTaken(container)) return
      listOf(container.ports, `${path}.ports`).forEach((item, index) => {
        if (!isObject(item)) fail(`${path}.ports[${index}]`, item, 'an object')
        const { name, containerPort, protocol } = item
        if (name === undefined) return
        if (typeof name !== 'string') fail(`${path}.ports[${index}].name`, name, 'a name')
        if (!isPort(containerPort)) {
          fail(`${path}.ports[${index}].containerPort`, containerPort, 'a port from 1 to 65535')
        }
        const known = readProtocol(protocol)
        ports.push({
          name,
          protocol: known ?? fail(`${path}.ports[${index}].protocol`, protocol, '"TCP", "UDP" or "SCTP"'),
          port: containerPort,
        })
      })
    })
  }
  add('containers', () => true)
  add('initContainers', (container) => container.restartPolicy === 'Always')
  return ports.length === 0 ? none : ports
}

export interface NodeRecord {
  readonly name: string
  readonly zone: string | undefined
}

/** @throws ValidationError with a path in the object */
export function readNode(object: Loose): NodeRecord {
  const { name, labels } = readMetadata(object)
  return { name, zone: textOf(labels?.['topology.kubernetes.io/zone'], 'metadata.labels') }
}

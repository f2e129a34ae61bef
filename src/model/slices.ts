/** Reads EndpointSlices and Endpoints. */
import { type AddressFamily, canonicalAddress, familyOf } from '../address/index.js'
import type { Condition } from './condition.js'
import { readWeight } from './annotations.js'
import {
  booleanOf,
  compact,
  fail,
  isObject,
  isPort,
  listOf,
  type Loose,
  objectOf,
  readMetadata,
  textOf,
} from './reading.js'
import { type EndpointRecord, type SlicePort, type SliceRecord, sortEndpoints } from './records.js'
import type { ServiceProtocol } from './virtual-service.js'

/** The label that ties a slice to its service. */
export const serviceNameLabel = 'kubernetes.io/service-name'

/** A slice as it was read. */
export interface ReadSlice {
  /** `namespace/name` of the slice. */
  readonly id: string
  /** `namespace/name` of its service; undefined for one that belongs to none. */
  readonly service: string | undefined
  /** Undefined where it holds no addresses but names (FQDN). */
  readonly slice: SliceRecord | undefined
  readonly conditions: readonly Condition[]
}

/** @throws ValidationError with a path in the object */
export function readSlice(object: Loose): ReadSlice {
  const metadata = readMetadata(object)
  const conditions: Condition[] = []
  const weight = readWeight(metadata.annotations, conditions)
  const id = `${metadata.namespace}/${metadata.name}`
  const name = textOf(metadata.labels?.[serviceNameLabel], 'metadata.labels')
  const service = name === undefined ? undefined : `${metadata.namespace}/${name}`
  const { addressType } = object
  if (addressType !== 'IPv4' && addressType !== 'IPv6') {
    if (addressType === 'FQDN') return { id, service, slice: undefined, conditions }
    fail('addressType', addressType, '"IPv4", "IPv6" or "FQDN"')
  }
  const family = addressType === 'IPv4' ? 'ipv4' : 'ipv6'
  const list = listOf(object.endpoints, 'endpoints')
  const endpoints = new Array<EndpointRecord>(list.length)
  for (let index = 0; index < list.length; index++) {
    endpoints[index] = readEndpoint(list[index], index, family, weight)
  }
  const ports = readPorts(object.ports, 'ports')
  return { id, service, slice: { id, family, ports, endpoints: sortEndpoints(endpoints) }, conditions }
}

function readEndpoint(
  value: unknown,
  index: number,
  family: AddressFamily,
  weight: number | undefined,
): EndpointRecord {
  if (!isObject(value)) fail(`endpoints[${index}]`, value, 'an object')
  const { addresses, conditions, hints, targetRef, nodeName, zone, hostname } = value
  // Only the first address counts, as the API says: others have no meaning.
  const first: unknown = Array.isArray(addresses) ? addresses[0] : undefined
  const address = typeof first === 'string' ? canonicalAddress(first) : undefined
  if (address === undefined || familyOf(address) !== family) {
    fail(`endpoints[${index}].addresses[0]`, first, `an ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`)
  }
  let ready = true
  let serving = true
  let terminating = false
  if (conditions !== undefined && conditions !== null) {
    if (!isObject(conditions)) fail(`endpoints[${index}].conditions`, conditions, 'an object')
    ready = condition(conditions.ready, index, 'ready', true)
    serving = condition(conditions.serving, index, 'serving', true)
    terminating = condition(conditions.terminating, index, 'terminating', false)
  }
  return {
    address,
    ready,
    serving,
    terminating,
    node: nodeName === undefined ? undefined : textOf(nodeName, `endpoints[${index}].nodeName`),
    zone: zone === undefined ? undefined : textOf(zone, `endpoints[${index}].zone`),
    hostname: hostname === undefined ? undefined : textOf(hostname, `endpoints[${index}].hostname`),
    zoneHints: isObject(hints) ? readHints(hints.forZones, `endpoints[${index}].hints.forZones`) : undefined,
    nodeHints: isObject(hints) ? readHints(hints.forNodes, `endpoints[${index}].hints.forNodes`) : undefined,
    weight,
    pod:
      isObject(targetRef) && targetRef.kind === 'Pod' && typeof targetRef.name === 'string'
        ? targetRef.name
        : undefined,
  }
}

function condition(value: unknown, index: number, name: string, otherwise: boolean): boolean {
  if (typeof value === 'boolean') return value
  return booleanOf(value, `endpoints[${index}].conditions.${name}`, otherwise)
}

function readHints(value: unknown, path: string): readonly string[] | undefined {
  const names = listOf(value, path).map((hint, index) => {
    if (!isObject(hint) || typeof hint.name !== 'string')
      fail(`${path}[${index}]`, hint, 'an object with a name')
    return hint.name
  })
  return names.length === 0 ? undefined : names
}

/** Ports with a number; one without means any port, which no service can use. */
function readPorts(value: unknown, path: string): SlicePort[] {
  const list = listOf(value, path)
  const ports: SlicePort[] = []
  for (let index = 0; index < list.length; index++) {
    const item = list[index]
    if (!isObject(item)) fail(`${path}[${index}]`, item, 'an object')
    const { name, port, protocol } = item
    if (port === undefined || port === null) continue
    if (!isPort(port)) fail(`${path}[${index}].port`, port, 'a port from 1 to 65535')
    ports.push({
      name: (name === undefined ? undefined : textOf(name, `${path}[${index}].name`)) ?? '',
      protocol:
        readProtocol(protocol) ?? fail(`${path}[${index}].protocol`, protocol, '"TCP", "UDP" or "SCTP"'),
      port,
    })
  }
  return compact(ports)
}

/** `tcp` where nothing is said; undefined for what is no protocol. */
export function readProtocol(value: unknown): ServiceProtocol | undefined {
  if (value === 'TCP' || value === undefined || value === null || value === '') return 'tcp'
  return value === 'UDP' ? 'udp' : value === 'SCTP' ? 'sctp' : undefined
}

/** Slices out of an Endpoints object: each subset, and each family of addresses. @throws ValidationError */
export function readEndpoints(object: Loose): { readonly service: string; readonly slices: SliceRecord[] } {
  const { namespace, name } = readMetadata(object)
  const service = `${namespace}/${name}`
  const slices: SliceRecord[] = []
  listOf(object.subsets, 'subsets').forEach((subset, index) => {
    const path = `subsets[${index}]`
    if (!isObject(subset)) fail(path, subset, 'an object')
    const ports = readPorts(subset.ports, `${path}.ports`)
    const endpoints = [
      ...readAddresses(subset.addresses, `${path}.addresses`, true),
      ...readAddresses(subset.notReadyAddresses, `${path}.notReadyAddresses`, false),
    ]
    for (const family of ['ipv4', 'ipv6'] as const) {
      const ofFamily = endpoints.filter((endpoint) => familyOf(endpoint.address) === family)
      if (ofFamily.length === 0) continue
      slices.push({ id: `${service}-${index}-${family}`, family, ports, endpoints: sortEndpoints(ofFamily) })
    }
  })
  return { service, slices }
}

function readAddresses(value: unknown, path: string, ready: boolean): EndpointRecord[] {
  return listOf(value, path).map((item, index) => {
    if (!isObject(item)) fail(`${path}[${index}]`, item, 'an object')
    const address = typeof item.ip === 'string' ? canonicalAddress(item.ip) : undefined
    const targetRef = objectOf(item.targetRef, `${path}[${index}].targetRef`)
    return {
      address: address ?? fail(`${path}[${index}].ip`, item.ip, 'an IP address'),
      ready,
      serving: ready,
      terminating: false,
      node: textOf(item.nodeName, `${path}[${index}].nodeName`),
      zone: undefined,
      hostname: textOf(item.hostname, `${path}[${index}].hostname`),
      zoneHints: undefined,
      nodeHints: undefined,
      weight: undefined,
      pod: targetRef?.kind === 'Pod' && typeof targetRef.name === 'string' ? targetRef.name : undefined,
    }
  })
}

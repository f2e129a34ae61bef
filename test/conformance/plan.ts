/**
 * Which network a situation takes, as a plan: a node that passes packets on, and around it, each on a link of its own, those
 * who send, those who answer, and a world that holds every other address that packets go to.
 *
 * Hosts stand for more than one address where no packet could tell: a client reaches its server through the node in any
 * case. A Pod that sends and answers has a host of its own.
 */
import {
  canonicalAddress,
  familyOf,
  formatAddress,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '../../src/address/index.js'
import { formatEndpoint, type KubernetesObject, type ServiceProtocol } from '../../src/model/index.js'
import type { SandboxLayout } from '../../src/testing/index.js'
import { isForService, isLoopback, type Packet, readEndpoint, type Situation } from './situation.js'

/** Somebody who answers. */
export interface Listener {
  readonly host: string
  readonly address: string
  readonly port: number
  readonly protocol: ServiceProtocol
  /** Of a service, and not only what packets go to if nothing is done with them. */
  readonly isEndpoint: boolean
}

export interface NetworkPlan {
  readonly layout: SandboxLayout<string>
  readonly listeners: readonly Listener[]
  /** Hosts that packets may come to, and that are to see them: all but those that only send. */
  readonly receivers: ReadonlySet<string>
  readonly senders: ReadonlySet<string>
  /** Of the packets. */
  readonly protocols: readonly ServiceProtocol[]
  /** The host that has this address. */
  hostOf(address: string): string
  /** Whether clients stay with their server, of the service that it is for. */
  hasAffinity(packet: Packet): boolean
  /** Where new tries of a packet may come from: its own address first. More than one only where a service has affinity. */
  sourcesOf(packet: Packet): readonly string[]
  /** The node's addresses, with those that it was given for more sources: what a dataplane is told. */
  readonly nodeAddresses: readonly string[]
  /** All that it has. */
  readonly ownAddresses: readonly string[]
}

/** How often, for each endpoint that is to be reached, it is tried until it has been. */
export const triesForEach = 20
/** More sources than that tell no more. */
const mostSources = 60

export function planNetwork(group: readonly Situation[]): NetworkPlan {
  const { node } = group[0]!
  const packets = group.flatMap((situation) => situation.packets)
  const objects = group.flatMap((situation) => situation.objects)
  const slices = objects.flatMap(endpointsOf)
  const named = packets.flatMap(({ expected, protocol }) =>
    expected.outcome !== 'endpoints'
      ? []
      : expected.endpoints.map((text) => ({ ...readEndpoint('endpoint', text), protocol })),
  )
  const endpoints = new Set([...slices, ...named].map(({ host }) => host))
  const senders = new Set(packets.map(({ from }) => from))

  const hosts = new Map<string, string>()
  for (const address of node.addresses) hosts.set(address, 'node')
  const place = (address: string, host: string): void => {
    if (!isLoopback(address) && !hosts.has(address)) hosts.set(address, host)
  }
  // What comes from the address that it goes to can only begin on the node: it has taken a service's address.
  for (const { from, to } of packets) if (from === to) place(from, 'node')
  for (const address of endpoints) place(address, senders.has(address) ? `pod ${address}` : 'servers')
  for (const address of senders) place(address, within(node.clusterRanges, address) ? 'pods' : 'outside')
  for (const { to } of packets) place(to, 'world')
  const hostOf = (address: string): string => (isLoopback(address) ? 'node' : (hosts.get(address) ?? 'world'))

  const more = moreSources(group, hosts, endpoints)
  for (const [from, others] of more) for (const address of others) hosts.set(address, hostOf(from))

  const listeners = new Map<string, Listener>()
  const listen = (listener: Listener): void => {
    const { host, address, port, protocol } = listener
    const key = `${host} ${formatEndpoint(address, port)} ${protocol}`
    if (!listeners.has(key)) listeners.set(key, listener)
  }
  for (const { host, port, protocol } of [...slices, ...named]) {
    listen({ host: hostOf(host), address: host, port, protocol, isEndpoint: true })
  }
  // What nobody has programmed must be seen to arrive: a closed port would refuse it, as a service without endpoints does.
  for (const { from, to, port, protocol } of packets) {
    // A loopback address is the sender's own.
    const host = hostOf(isLoopback(to) ? from : to)
    listen({ host, address: to, port, protocol, isEndpoint: false })
  }

  return {
    layout: layoutOf(hosts),
    listeners: [...listeners.values()],
    receivers: new Set(['world', ...[...listeners.values()].map(({ host }) => host)]),
    senders: new Set(packets.map(({ from }) => hostOf(from))),
    protocols: [...new Set(packets.map(({ protocol }) => protocol))],
    hostOf,
    hasAffinity: (packet) => hasAffinity(objects, packet),
    sourcesOf: (packet) => [
      packet.from,
      ...(hasAffinity(objects, packet) ? (more.get(packet.from) ?? []) : []),
    ],
    nodeAddresses: [...node.addresses, ...node.addresses.flatMap((address) => more.get(address) ?? [])],
    ownAddresses: [...hosts].filter(([, host]) => host === 'node').map(([address]) => address),
  }
}

interface Endpoint {
  readonly host: string
  readonly port: number
  readonly protocol: ServiceProtocol
}

/** What a slice names: an address that is none, or a port that is left open, is for the model to judge. */
function endpointsOf(object: KubernetesObject): Endpoint[] {
  if (object.kind !== 'EndpointSlice') return []
  const addresses = (object.endpoints ?? []).flatMap((endpoint) => endpoint?.addresses ?? [])
  return addresses.flatMap((text) => {
    const host = typeof text === 'string' ? canonicalAddress(text) : undefined
    if (host === undefined) return []
    return (object.ports ?? []).flatMap((one) => {
      const protocol = (one?.protocol ?? 'TCP').toLowerCase() as ServiceProtocol
      const isPort = Number.isInteger(one?.port) && one.port! > 0 && one.port! <= 65_535
      return isPort && ['tcp', 'udp', 'sctp'].includes(protocol) ? [{ host, port: one.port!, protocol }] : []
    })
  })
}

function hasAffinity(objects: readonly KubernetesObject[], packet: Packet): boolean {
  return objects.some(
    (object) =>
      object.kind === 'Service' &&
      object.spec?.sessionAffinity === 'ClientIP' &&
      isForService(object, packet),
  )
}

/** Addresses of the same kind as a sender's: in the same ranges, and nobody else's. */
function moreSources(
  group: readonly Situation[],
  taken: ReadonlyMap<string, string>,
  endpoints: ReadonlySet<string>,
): Map<string, string[]> {
  const more = new Map<string, string[]>()
  const services = group.flatMap(({ objects }) => objects.filter((object) => object.kind === 'Service'))
  if (!services.some(({ spec }) => spec?.sessionAffinity === 'ClientIP')) return more
  const { node } = group[0]!
  const ranges = [
    ...node.clusterRanges,
    ...node.serviceRanges,
    ...services.flatMap(({ spec }) => spec?.loadBalancerSourceRanges ?? []).map((text) => text.trim()),
  ]
  const kindOf = (address: string): string => ranges.map((range) => within([range], address)).join()
  const used = new Set(taken.keys())
  for (const { from, expected } of group.flatMap(({ packets }) => packets)) {
    // A Pod that reaches itself is of a kind of its own.
    if (expected.outcome !== 'endpoints' || endpoints.has(from) || isLoopback(from)) continue
    const found = more.get(from) ?? []
    more.set(from, found)
    const wanted = Math.min(mostSources, triesForEach * expected.endpoints.length)
    for (let step = 1; step < 1000 && found.length + 1 < wanted; step++) {
      const candidate = addressAfter(from, step)
      if (used.has(candidate) || kindOf(candidate) !== kindOf(from)) continue
      used.add(candidate)
      found.push(candidate)
    }
  }
  return more
}

/** The address so many further, in its last 16 bits. */
function addressAfter(address: string, step: number): string {
  const bytes = parseAddress(address)!
  const view = new DataView(bytes.buffer)
  const at = bytes.length - 2
  view.setUint16(at, (view.getUint16(at) + step) & 0xffff)
  return formatAddress(bytes)
}

export function within(ranges: readonly string[], address: string): boolean {
  return ranges.some((range) => {
    const prefix = parsePrefix(range)
    return prefix !== undefined && prefixContains(prefix, address)
  })
}

/** A link from the node to each host; the world is where the node sends what it knows nothing of. */
function layoutOf(places: ReadonlyMap<string, string>): SandboxLayout<string> {
  const names = [...new Set(['world', ...places.values()])].filter((name) => name !== 'node')
  const families = new Set([...places.keys()].map(familyOf))
  const withLength = (address: string): string => `${address}/${familyOf(address) === 'ipv4' ? 32 : 128}`
  const addressesOf = (name: string): string[] =>
    [...places].filter(([, host]) => host === name).map(([address]) => withLength(address))
  return {
    hosts: ['node', ...names],
    links: names.map((name, index) => ({
      hosts: ['node', name],
      ipv4: families.has('ipv4') ? `100.64.${index}.0/30` : null,
      ipv6: families.has('ipv6') ? `fdfe:64:${index.toString(16)}::/126` : null,
    })),
    settings: {
      ...Object.fromEntries(names.map((name) => [name, { addresses: addressesOf(name) }])),
      node: {
        addresses: addressesOf('node'),
        forwarding: true,
        sysctls: refusingFreely(families),
        defaultRoute: 'world',
        routes: names.flatMap((name) =>
          name === 'world' ? [] : addressesOf(name).map((destination) => ({ destination, via: name })),
        ),
      },
    },
  }
}

/** However many packets are refused, each is told: the kernel's own limit is six at once to the same client. */
function refusingFreely(families: ReadonlySet<string>): Record<string, number> {
  return {
    'net.ipv4.icmp_ratemask': 0,
    ...(families.has('ipv6') ? { 'net.ipv6.icmp.ratelimit': 0 } : {}),
  }
}

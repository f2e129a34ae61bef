/**
 * For every attribute of rtnetlink that can be written a sample, or the reason why no kernel says it again. A unit test
 * holds that none is without; rtnetlink-attributes.test.ts gives each to a kernel and reads it back.
 */
import type { Encodable } from '../../../src/netlink/index.js'
import type { tables } from '../../../src/rtnetlink/wire.js'

type Tables = typeof tables

export interface Samples<K extends keyof Tables> {
  /** Each is written at once, and must be read back as it was given. */
  readonly records: readonly Encodable<Tables[K]>[]
  /** What no kernel says again, and why. */
  readonly unsaid?: Readonly<Partial<Record<keyof Tables[K]['rows'], string>>>
}

/** Indexes that the test gives to links. `lo` has 1. */
export const index = { dummy: 100, bridge: 90 } as const
/** The number that the test gives to the other namespace. */
export const otherNamespace = 7
/** The number that the test gives to a next hop object. */
export const nextHopObject = 11

const within = {
  encapsulation: 'gue',
  encapsulationFlags: ['checksum', 'remote-checksum'],
  encapsulationSourcePort: 4444,
  encapsulationDestinationPort: 5555,
} as const
const ends = { link: 1, local: '10.0.1.1', remote: '10.0.1.2' } as const
const ends6 = { link: 1, local: 'fd00:1::1', remote: 'fd00:1::2' } as const
const keys = {
  incomingFlags: ['checksum', 'key', 'sequence'],
  outgoingFlags: ['checksum', 'key'],
  incomingKey: 0x0102_0304,
  outgoingKey: 0x0506_0708,
} as const

/** `LWTUNNEL_IP_*`, as net/ipv4/ip_tunnel_core.c tells it: id 42 to 10.9.0.77, TOS 4, TTL 9, flag 4 (a key). */
// prettier-ignore
const ipEncapsulation = Uint8Array.of(
  12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 42,
  8, 0, 2, 0, 10, 9, 0, 77,
  8, 0, 3, 0, 10, 9, 0, 1,
  5, 0, 5, 0, 4, 0, 0, 0,
  5, 0, 4, 0, 9, 0, 0, 0,
  6, 0, 6, 0, 0, 4, 0, 0,
)
const LWTUNNEL_ENCAP_IP = 2

const settings = {
  address: '02:00:00:00:09:01',
  broadcast: '02:ff:ff:ff:ff:ff',
  name: 'given',
  mtu: 1400,
  transmitQueueLength: 33,
  group: 5,
  transmitQueues: 3,
  receiveQueues: 2,
} as const
const elsewhere = 'the link is where it says, which is tested by itself'

export const samples: { readonly [K in keyof Tables]: Samples<K> } = {
  link: {
    records: [
      {
        ...settings,
        info: { kind: 'dummy' },
        mostSegments: 1000,
        mostSegmentedBytes: 40_000,
        mostReceivedBytes: 30_000,
        alias: 'ünder a name',
        carrier: false,
        families: { ipv6: { addressGeneration: 'none' } },
        master: index.bridge,
      },
      { name: 'upon', info: { kind: 'macvlan' }, link: index.dummy, protocolDown: true },
      {
        name: 'through',
        info: { kind: 'ipip', data: { local: '10.0.1.1' } },
        linkNamespace: otherNamespace,
      },
    ],
    unsaid: {
      netnsPid: elsewhere,
      netnsFd: elsewhere,
      extendedMask: 'it asks, and what is left out is tested by itself',
    },
  },
  linkInfo: { records: [{ kind: 'bridge', data: { priority: 0x7000 } }] },
  linkFamilies: { records: [{ ipv4: {}, ipv6: { addressGeneration: 'eui64' } }] },
  linkIpv4: { records: [] },
  linkIpv6: { records: [{ addressGeneration: 'random', token: '::aa:5' }] },
  veth: { records: [], unsaid: { peer: 'it is a link of its own, and read back as such' } },
  peer: { records: [settings], unsaid: { netnsPid: elsewhere, netnsFd: elsewhere } },
  bridge: {
    records: [
      {
        forwardDelay: 1000,
        helloTime: 300,
        maximumAge: 1500,
        ageingTime: 12_300,
        spanningTree: 1,
        priority: 0x6000,
        vlanFiltering: true,
        groupAddress: '01:80:c2:00:00:0d',
        multicastSnooping: false,
        netfilterCallsIptables: true,
        netfilterCallsIp6tables: true,
        netfilterCallsArptables: true,
      },
    ],
  },
  dummy: { records: [] },
  ipip: {
    records: [
      { ...ends, ttl: 33, tos: 16, protocol: 'ipip', pathMtuDiscovery: true, firewallMark: 9 },
      { ...ends, ...within },
      { collectMetadata: true },
    ],
  },
  sit: {
    records: [
      { ...ends, ttl: 33, tos: 16, protocol: 'ipv6', pathMtuDiscovery: true, firewallMark: 9 },
      { ...ends, ...within },
      { local: '10.0.1.1', flags: ['isatap'] },
      {
        local: '10.0.1.1',
        sixRdPrefix: '2001:db8::',
        sixRdPrefixLength: 32,
        sixRdRelayPrefix: '10.0.0.0',
        sixRdRelayPrefixLength: 8,
      },
    ],
  },
  ip6tnl: {
    records: [
      {
        ...ends6,
        hopLimit: 35,
        encapsulationLimit: 3,
        flowInformation: 0x0a01_2345,
        flags: ['use-original-traffic-class', 'receive-dscp-copy', 'allow-local-remote'],
        protocol: 'ipip',
        firewallMark: 9,
      },
      { ...ends6, ...within, encapsulationFlags: ['checksum6'] },
      { collectMetadata: true },
    ],
  },
  gre: {
    records: [
      { ...ends, ...keys, ttl: 33, tos: 16, pathMtuDiscovery: true, firewallMark: 9 },
      { ...ends, ...within, ttl: 0, pathMtuDiscovery: false, ignoreDontFragment: true },
      { collectMetadata: true },
    ],
  },
  ip6gre: {
    records: [
      {
        ...ends6,
        ...keys,
        ttl: 35,
        encapsulationLimit: 3,
        flowInformation: 0x0a01_2345,
        flags: ['use-original-traffic-class', 'receive-dscp-copy'],
        firewallMark: 9,
      },
      { ...ends6, ...within, encapsulationFlags: ['checksum6'] },
      { collectMetadata: true },
    ],
  },
  address: {
    records: [
      {
        address: '10.9.5.2',
        local: '10.9.5.1',
        broadcast: '10.9.5.255',
        label: 'd100:label',
        lifetime: { preferredSeconds: 50_000, validSeconds: 60_000 },
        flags: ['no-prefix-route'],
        metric: 77,
        protocol: 5,
      },
      {
        address: '2001:db8:5::2',
        local: '2001:db8:5::1',
        lifetime: { preferredSeconds: 50_000, validSeconds: 60_000 },
        flags: ['no-dad', 'no-prefix-route'],
        metric: 78,
        protocol: 6,
      },
    ],
  },
  route: {
    records: [
      {
        destination: '10.8.0.0',
        device: index.dummy,
        gateway: '10.9.0.9',
        source: '10.9.0.1',
        metric: 5,
        table: 1000,
        realm: 0x0001_0002,
        metrics: { mtu: 1280 },
      },
      { destination: '10.7.0.0', device: index.dummy, via: '2001:db8:9::9', table: 1000 },
      {
        destination: '10.6.0.0',
        table: 1000,
        nextHops: [
          { device: index.dummy, gateway: '10.9.0.8', weight: 3, flags: ['onlink'] },
          { device: index.dummy, gateway: '10.9.0.9', weight: 256, flags: [] },
        ],
      },
      {
        destination: '10.5.0.0',
        device: index.dummy,
        table: 1000,
        encapsulationType: LWTUNNEL_ENCAP_IP,
        encapsulation: ipEncapsulation,
      },
      { destination: '10.4.0.0', table: 1000, nextHopId: nextHopObject },
      {
        destination: '2001:db8:8::',
        from: '2001:db8:7::',
        device: index.dummy,
        table: 1000,
        preference: 'high',
        metrics: { hopLimit: 9 },
      },
      // Asked for, not made: how a packet from there, that came by this link, would go.
      { destination: '10.9.0.1', from: '10.9.0.9', incomingDevice: index.dummy },
    ],
    unsaid: { ttlPropagate: 'routes of MPLS alone have it (net/mpls/af_mpls.c)' },
  },
  metrics: {
    records: [
      {
        lock: 4,
        mtu: 1281,
        window: 1002,
        roundTripTime: 1003,
        roundTripVariance: 1004,
        slowStartThreshold: 1005,
        congestionWindow: 1006,
        advertisedMss: 1007,
        reordering: 8,
        hopLimit: 9,
        initialCongestionWindow: 10,
        features: 1,
        leastRetransmissionTimeout: 1011,
        initialReceiveWindow: 12,
        quickAcknowledgement: 1,
        congestionControl: 'reno',
      },
    ],
  },
  nextHop: {
    records: [
      {
        gateway: '10.9.0.8',
        encapsulationType: LWTUNNEL_ENCAP_IP,
        encapsulation: ipEncapsulation,
      },
      { via: '2001:db8:9::9' },
    ],
  },
  fou: {
    records: [
      {
        port: 5555,
        family: 'ipv4',
        protocol: 'ipip',
        encapsulation: 'direct',
        remoteChecksumNotPartial: true,
        localIpv4: '127.0.0.1',
        peerIpv4: '127.0.0.2',
        peerPort: 5556,
        device: 1,
      },
      {
        port: 5555,
        family: 'ipv6',
        encapsulation: 'gue',
        localIpv6: '::1',
        peerIpv6: '::1',
        peerPort: 5557,
        device: 1,
      },
    ],
  },
}

/** Writable rows that have neither a sample nor a reason, or have both. */
export function uncovered(
  all: Readonly<
    Record<
      string,
      { readonly list: readonly { readonly key: string; readonly access: 'read' | 'readWrite' }[] }
    >
  >,
  given: Readonly<Record<string, { readonly records: readonly object[]; readonly unsaid?: object }>>,
): string[] {
  return Object.entries(all).flatMap(([name, { list }]) => {
    const { records = [], unsaid = {} } = given[name] ?? {}
    const sampled = new Set(records.flatMap((record) => Object.keys(record)))
    return list
      .filter(({ key, access }) => access === 'readWrite' && sampled.has(key) === Object.hasOwn(unsaid, key))
      .map(({ key }) => `${name}.${key}`)
  })
}

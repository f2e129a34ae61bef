/**
 * For every attribute of rtnetlink that can be written a sample, or the reason why no kernel says it again. A unit test
 * holds that none is without; rtnetlink-attributes.test.ts gives each to a kernel and reads it back.
 */
import type { AttributeTable, Encodable } from '../../../src/netlink/index.js'
import type { LinkInput, LinkKind } from '../../../src/rtnetlink/index.js'
import type { tables } from '../../../src/rtnetlink/wire.js'
import { requires } from '../../../src/testing/index.js'

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
  vlan: {
    records: [
      {
        id: 77,
        protocol: '802.1ad',
        flags: {
          'reorder-header': false,
          gvrp: true,
          'loose-binding': true,
          mvrp: true,
          'bridge-binding': false,
        },
        egressPriorities: [{ from: 3, to: 5 }],
        ingressPriorities: [
          { from: 1, to: 9 },
          { from: 7, to: 2 },
        ],
      },
    ],
  },
  macvlan: {
    records: [
      { mode: 'passthru', flags: ['no-promiscuous'] },
      {
        mode: 'source',
        sourceAddresses: ['02:00:00:00:00:21'],
        broadcastQueueLength: 1234,
        broadcastCutoff: 5,
      },
    ],
    unsaid: {
      sourceAddress: 'one that is added is told with the others',
      addressChange: 'it says what to do with addresses, and is given with them',
    },
  },
  ipvlan: {
    records: [
      { mode: 'l2', flags: ['private'] },
      { mode: 'l3s', flags: ['vepa'] },
    ],
  },
  vxlan: {
    records: [
      {
        id: 4242,
        remoteIpv4: '10.0.1.2',
        localIpv4: '10.0.1.1',
        link: 1,
        ttl: 7,
        tos: 4,
        learning: false,
        ageingSeconds: 111,
        mostAddresses: 77,
        sourcePorts: { lowest: 5000, highest: 6000 },
        proxy: true,
        routeShortCircuit: true,
        l2Miss: true,
        l3Miss: true,
        destinationPort: 4789,
        udpChecksum: false,
        remoteChecksumTransmit: true,
        remoteChecksumReceive: true,
        groupPolicy: true,
        remoteChecksumNotPartial: true,
        dontFragment: 'set',
        localBypass: false,
      },
      {
        id: 16_777_215,
        remoteIpv6: 'fd00:1::2',
        localIpv6: 'fd00:1::1',
        udpZeroChecksum6Transmit: true,
        udpZeroChecksum6Receive: true,
        flowLabel: 0x12345,
        ttlInherit: true,
      },
      {
        id: 3,
        remoteIpv6: 'fd00:1::2',
        flowLabelPolicy: 'inherit',
        reservedBits: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1),
      },
      { collectMetadata: true, genericProtocol: true, learning: false, vniFilter: true },
    ],
    unsaid: { multicastRoute: 'kernels take it, and do not tell it' },
  },
  geneve: {
    records: [
      {
        id: 4242,
        remoteIpv4: '10.0.1.2',
        ttl: 7,
        tos: 4,
        destinationPort: 6082,
        udpChecksum: false,
        dontFragment: 'set',
        innerProtocolInherit: true,
        sourcePorts: { lowest: 5000, highest: 6000 },
      },
      {
        id: 5,
        remoteIpv6: 'fd00:1::2',
        udpZeroChecksum6Transmit: true,
        udpZeroChecksum6Receive: true,
        flowLabel: 0x12345,
        ttlInherit: true,
      },
      { collectMetadata: true },
      { id: 6, remoteIpv4: '10.0.1.2', localIpv4: '10.0.1.1', receiveOffloadHint: true },
      { id: 7, remoteIpv6: 'fd00:1::2', localIpv6: 'fd00:1::1' },
    ],
  },
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
  rule: {
    records: [
      {
        from: '10.1.0.0',
        to: '10.2.0.0',
        incomingDevice: 'lo',
        outgoingDevice: 'd100',
        priority: 100,
        firewallMark: 0x10,
        firewallMask: 0xf0,
        realm: 0x0001_0002,
        tunnelId: 0x0102_0304_0506_0708n,
        suppressGroup: 3,
        suppressPrefixLength: 0,
        table: 1000,
        users: { first: 5, last: 7 },
        protocol: 'bgp',
        ipProtocol: 'tcp',
        sourcePorts: { first: 1000, last: 2000 },
        destinationPorts: { first: 80, last: 80 },
      },
      { from: '2001:db8:1::', to: '2001:db8:2::', priority: 101, goto: 32_766 },
      { priority: 102, l3mdev: true },
      {
        from: '2001:db8:3::',
        priority: 103,
        table: 5,
        ipProtocol: 'udp',
        sourcePorts: { first: 0x1100, last: 0x1100 },
        sourcePortMask: 0xff00,
        destinationPorts: { first: 0x2200, last: 0x2200 },
        destinationPortMask: 0xff00,
        dscp: 8,
        dscpMask: 0x38,
        flowLabel: 0x100,
        flowLabelMask: 0xf_ff00,
      },
    ],
  },
  neighbour: {
    records: [
      { address: '10.9.0.7', linkAddress: '02:00:00:00:00:77', protocol: 'zebra' },
      { address: '2001:db8:9::7', extendedFlags: ['managed'] },
    ],
    unsaid: {
      device: 'it says which are to be listed',
      master: 'it says which are to be listed',
    },
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

/** A link with the sample of its kind: on which other one it stands, and what must be given with it. */
export function linkOf(kind: LinkKind, data: object, below: string): LinkInput {
  const stands = kind === 'vlan' || kind === 'macvlan' || kind === 'ipvlan'
  return {
    kind,
    name: 'sample',
    ...(stands ? { link: below } : {}),
    data: { ...data, ...('sourceAddresses' in data ? { addressChange: 'set' } : {}) },
  } as LinkInput
}

/** Of a record that which the running kernel is new enough for. */
export function knownHere<T extends object>(table: AttributeTable, record: T): T {
  const isKnown = (key: string): boolean =>
    requires({ kernel: table.list.find((row) => row.key === key)?.since }) === undefined
  return Object.fromEntries(Object.entries(record).filter(([key]) => isKnown(key))) as T
}

/** Of what was read that which was given; of flags, the kernel adds some of its own. */
export function asGiven(read: unknown, given: unknown): unknown {
  if (Array.isArray(given)) {
    if (!Array.isArray(read)) return read
    if (typeof given[0] === 'string') return read.filter((name) => given.includes(name))
    return read.length === given.length ? given.map((one, at) => asGiven(read[at], one)) : read
  }
  if (given instanceof Uint8Array || typeof given !== 'object' || given === null) return read
  const whole = (read ?? {}) as Record<string, unknown>
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, asGiven(whole[key], value)]))
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

/**
 * A network in which every forwarding method works, and what each method needs on the real servers:
 *
 *   client ── router ──┬── director ──┐
 *                 │    └── near ──────┘
 *                 └── far
 *
 * `near` shares a link with the director (direct routing), and has another one to it, by which answers to what was
 * masqueraded go back. `far` is behind the router: only tunnels lead there.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { DestinationInput } from '../../../src/index.js'
import type { Host, Sandbox } from '../../../src/testing/index.js'
import type { MakeSandbox } from '../../kernel/kernel-test.js'

export type Family = 'ipv4' | 'ipv6'
type Name = 'client' | 'router' | 'director' | 'near' | 'far'
export type Network = Sandbox<Name>

/** Of every service; of real servers, too, where the forwarding method leaves the packet as it is. */
export const port = 7000
/** Of real servers behind masquerade. */
export const realPort = 8080
const guePort = 6080

/** One virtual address with one server. */
export interface Case {
  /** `ipv6 by gue+checksum over ipv4`. */
  readonly name: string
  readonly family: Family
  /** The service's address. */
  readonly address: string
  readonly destination: DestinationInput
  readonly server: 'near' | 'far' | 'director'
  /** What the client sends from. */
  readonly from: string
  /** Where the server takes the packet: its own address, or the service's. */
  readonly takenAt: string
  /** The link of the server's that it comes by, and what it is there; left out if it comes by none. */
  readonly comesBy?: { readonly device: string; readonly as: (protocol: string) => string } | undefined
}

/** By family. */
const clientAddress = { ipv4: '10.0.1.1', ipv6: 'fd00:1::1' }
/** Answers to these go through the director. */
const masqueradedClient = { ipv4: '10.0.1.100', ipv6: 'fd00:1::100' }
const nearLink = { ipv4: '10.0.2.3', ipv6: 'fd00:2::3' }
const nearBehind = { ipv4: '10.0.4.2', ipv6: 'fd00:4::2' }
const far = { ipv4: '10.0.3.2', ipv6: 'fd00:3::2' }
/** Another address of `far`, for a link that takes GRE with a checksum: one for each address does either. */
const farChecked = { ipv4: '10.0.3.22', ipv6: 'fd00:3::22' }

interface Tunnel {
  readonly name: string
  readonly to: Readonly<Record<Family, string>>
  readonly options: Omit<DestinationInput, 'address'>
}

const tunnels: readonly Tunnel[] = [
  { name: 'ipip', to: far, options: {} },
  { name: 'gue', to: far, options: { tunnelType: 'gue', tunnelPort: guePort } },
  {
    name: 'gue+checksum',
    to: far,
    options: { tunnelType: 'gue', tunnelPort: guePort, tunnelFlags: ['checksum'] },
  },
  {
    name: 'gue+remote-checksum',
    to: far,
    options: { tunnelType: 'gue', tunnelPort: guePort, tunnelFlags: ['remote-checksum'] },
  },
  { name: 'gre', to: far, options: { tunnelType: 'gre' } },
  { name: 'gre+checksum', to: farChecked, options: { tunnelType: 'gre', tunnelFlags: ['checksum'] } },
]

/**
 * The receiver finishes TCP's and UDP's checksums alone, and with them the outer one is asked for, too
 * (`ip_vs_gue_encap` and `ip_vs_tunnel_xmit`, net/netfilter/ipvs/ip_vs_xmit.c).
 */
function wireName(tunnel: string, protocol: string): string {
  if (tunnel !== 'gue+remote-checksum') return tunnel
  return protocol === 'sctp' ? 'gue+checksum' : 'gue+checksum+remote-checksum'
}

/** Every method with every family, each with an address of its own. */
export function cases(): Case[] {
  let number = 1
  const address = (family: Family): string =>
    family === 'ipv4' ? `192.0.2.${number++}` : `2001:db8::${(number++).toString(16)}`
  const families = ['ipv4', 'ipv6'] as const
  return families.flatMap((family): Case[] => {
    const [masqueraded, routed, local] = [address(family), address(family), address(family)]
    const from = clientAddress[family]
    return [
      {
        name: `${family} by masquerade`,
        family,
        address: masqueraded,
        destination: { address: nearBehind[family], port: realPort },
        server: 'near',
        from: masqueradedClient[family],
        takenAt: `${nearBehind[family]} ${realPort}`,
      },
      {
        name: `${family} by direct routing`,
        family,
        address: routed,
        destination: { address: nearLink[family], forwardingMethod: 'direct-route' },
        server: 'near',
        from,
        takenAt: `${routed} ${port}`,
        comesBy: { device: 'eth0', as: () => 'plain' },
      },
      {
        name: `${family} to the director itself`,
        family,
        address: local,
        destination: { address: local, forwardingMethod: 'local' },
        server: 'director',
        from,
        takenAt: `${local} ${port}`,
      },
      ...families.flatMap((outer) =>
        tunnels.map(({ name, to, options }): Case => {
          const own = address(family)
          return {
            name: `${family} by ${name} over ${outer}`,
            family,
            address: own,
            destination: { address: to[outer], forwardingMethod: 'tunnel', ...options },
            server: 'far',
            from,
            takenAt: `${own} ${port}`,
            comesBy: { device: 'eth0', as: (protocol) => `${outer} ${wireName(name, protocol)}` },
          }
        }),
      ),
    ]
  })
}

/** The network, with the addresses of these cases where they must be. */
export async function network(sandbox: MakeSandbox, all: readonly Case[]): Promise<Network> {
  const takenBy = (server: Case['server']): string[] =>
    all.filter((one) => one.server === server && one.takenAt.startsWith(`${one.address} `)).map(prefixed)
  const net = await sandbox({
    hosts: ['client', 'router', 'director', 'near', 'far'],
    links: [
      ['client', 'router'],
      ['router', 'director', 'near'],
      ['router', 'far'],
      ['director', 'near'],
    ],
    settings: {
      client: {
        addresses: [
          { address: `${masqueradedClient.ipv4}/24`, towards: 'router' },
          { address: `${masqueradedClient.ipv6}/64`, towards: 'router' },
        ],
      },
      router: {
        routes: [
          { destination: '192.0.2.0/24', via: 'director' },
          { destination: '2001:db8::/64', via: 'director' },
        ],
      },
      director: { addresses: all.map(prefixed), defaultRoute: 'router' },
      near: {
        addresses: takenBy('near'),
        defaultRoute: 'router',
        forwarding: false,
        routes: [
          { destination: `${masqueradedClient.ipv4}/32`, via: '10.0.4.1' },
          { destination: `${masqueradedClient.ipv6}/128`, via: 'fd00:4::1' },
        ],
        sysctls: { 'net.ipv4.conf.all.arp_ignore': 1, 'net.ipv4.conf.all.arp_announce': 2 },
      },
      far: {
        addresses: [
          ...takenBy('far'),
          { address: `${farChecked.ipv4}/24`, towards: 'router' },
          { address: `${farChecked.ipv6}/64`, towards: 'router' },
        ],
      },
    },
  })
  await unwrapAt(net.hosts.far)
  return net
}

function prefixed({ address, family }: Case): string {
  return `${address}/${family === 'ipv4' ? 32 : 128}`
}

/**
 * What takes wrapped packets: the links that come with the modules, where they do. `ip6tnl0` takes IPv6 alone, and a
 * link either demands GRE's checksum or refuses it.
 */
async function unwrapAt({ rtnetlink }: Host): Promise<void> {
  const { links, fou } = rtnetlink
  const modules = ['ipip', 'sit', 'ip6_tunnel', 'ip_gre', 'ip6_gre', 'fou']
  // In a container they are the host's to load, and may be there already: else the next line says what is missing.
  await promisify(execFile)('modprobe', ['-a', ...modules]).catch(() => undefined)
  for (const name of ['tunl0', 'sit0', 'gre0', 'ip6gre0']) await links.set(name, { up: true })
  const checked = { incomingFlags: ['checksum'] } as const
  await links.add({ kind: 'ip6tnl', name: 'any0', up: true, data: { local: far.ipv6, protocol: 'any' } })
  await links.add({ kind: 'gre', name: 'checked0', up: true, data: { local: farChecked.ipv4, ...checked } })
  await links.add({
    kind: 'ip6gre',
    name: 'checked1',
    up: true,
    data: { local: farChecked.ipv6, ...checked },
  })
  await fou.add({ port: guePort, encapsulation: 'gue' })
  await fou.add({ port: guePort, encapsulation: 'gue', family: 'ipv6' })
}

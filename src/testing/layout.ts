/**
 * What a sandbox will be, as a plan: which host has which interfaces, addresses and routes. Pure, so that it can be
 * printed and tested without a kernel; `sandbox.ts` carries it out.
 */
import { familyOf, formatAddress, parseAddress, parsePrefix } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { RouteInput } from '../rtnetlink/index.js'

/** Hosts on one wire: two are joined directly, more (at most 255, and as the network has room for) by a switch. */
export type LinkInput<Name extends string> =
  | readonly Name[]
  | {
      readonly hosts: readonly Name[]
      /** Bytes; 1500 unless said. */
      readonly mtu?: number | undefined
      /** The network, `10.0.<number of the link>.0/24` unless said; null for none. */
      readonly ipv4?: string | null | undefined
      /** The network, `fd00:<number of the link>::/64` unless said; null for none. */
      readonly ipv6?: string | null | undefined
      /** Joins two hosts by a switch, as more are. */
      readonly switch?: boolean | undefined
    }

/** What a host has beside its links. */
export interface HostSettings<Name extends string> {
  /** More addresses: on `lo` (a virtual address of a real server), or on the interface towards a host. */
  readonly addresses?: readonly (string | { readonly address: string; readonly towards: Name })[] | undefined
  /** More routes; `via` is a host on a common link, or an address. */
  readonly routes?: readonly { readonly destination: string; readonly via: string }[] | undefined
  /**
   * The host that everything else goes to. Unless said the only neighbour, or among several the only one that
   * forwards. False for none.
   */
  readonly defaultRoute?: Name | false | undefined
  /** Whether it passes packets on. Unless said it does if it has several links. */
  readonly forwarding?: boolean | undefined
  /** Settings below `/proc/sys`, made before there are any links: `{ 'net.ipv4.conf.all.arp_ignore': 1 }`. */
  readonly sysctls?: Readonly<Record<string, string | number>> | undefined
}

/** Hosts and links. */
export interface SandboxLayout<Name extends string> {
  /** Names, each used once; what `hosts` of the sandbox is indexed by. */
  readonly hosts: readonly Name[]
  /** What joins them, in the order of which devices and networks are numbered; none unless said. */
  readonly links?: readonly LinkInput<Name>[] | undefined
  /** By host, for those that need any. */
  readonly settings?: { readonly [K in Name]?: HostSettings<Name> | undefined } | undefined
}

/** One end of a link. */
export interface HostInterface {
  /** `eth0`, `eth1`, … in the order of the links. */
  readonly device: string
  /** The hosts at the other ends. */
  readonly towards: readonly string[]
  /** IPv4, without the length of its prefix. Empty if the link has none. */
  readonly address: string
  /** IPv6, the same. */
  readonly address6: string
  /** MAC: `02:00:…`, the same in every run. */
  readonly hardwareAddress: string
  /** Bytes. */
  readonly mtu: number
}

export interface PlannedInterface extends HostInterface {
  /** Position in `links`, from 0. */
  readonly link: number
  /** With the length of their prefix. */
  readonly addresses: readonly string[]
}

export interface PlannedHost {
  readonly name: string
  readonly interfaces: readonly PlannedInterface[]
  /** On `lo`. */
  readonly ownAddresses: readonly string[]
  readonly routes: readonly RouteInput[]
  readonly forwarding: boolean
  readonly sysctls: Readonly<Record<string, string | number>>
}

export interface PlannedLink {
  readonly hosts: readonly string[]
  readonly isSwitched: boolean
  readonly mtu: number
}

export interface Plan {
  readonly hosts: readonly PlannedHost[]
  readonly links: readonly PlannedLink[]
}

export function planSandbox(layout: SandboxLayout<string>): Plan {
  const names = layout.hosts
  for (const [index, name] of names.entries()) {
    if (typeof name !== 'string' || name === '' || names.indexOf(name) !== index) {
      throw new ValidationError(`hosts[${index}]`, name, 'a name that no other host has')
    }
  }
  const known = (path: string, name: string): void => {
    if (!names.includes(name)) throw new ValidationError(path, name, `one of the hosts: ${names.join(', ')}`)
  }
  for (const name of Object.keys(layout.settings ?? {})) known('settings', name)
  const links = (layout.links ?? []).map((input, index) => planLink(input, index, known))
  const bare = names.map((name) => ({ name, interfaces: interfacesOf(name, links) }))
  const forwards = (name: string): boolean =>
    layout.settings?.[name]?.forwarding ??
    (bare.find((host) => host.name === name)?.interfaces.length ?? 0) > 1
  const hosts = bare.map(({ name, interfaces }) => {
    const settings = layout.settings?.[name] ?? {}
    const host = { name, interfaces: withAddresses(name, interfaces, settings) }
    return {
      ...host,
      ownAddresses: (settings.addresses ?? []).filter((entry) => typeof entry === 'string'),
      routes: [...explicitRoutes(host, settings, bare), ...defaultRoutes(host, settings, bare, forwards)],
      forwarding: forwards(name),
      sysctls: settings.sysctls ?? {},
    }
  })
  return { hosts, links }
}

interface Bare {
  readonly name: string
  readonly interfaces: readonly PlannedInterface[]
}

interface Network {
  readonly base: Uint8Array
  readonly length: number
}

interface NumberedLink extends PlannedLink {
  readonly number: number
  readonly networks: readonly Network[]
}

function planLink(
  input: LinkInput<string>,
  index: number,
  known: (path: string, name: string) => void,
): NumberedLink {
  const path = `links[${index}]`
  const given = isList(input) ? { hosts: input } : input
  const { hosts, mtu = 1500 } = given
  const number = index + 1
  if (number > 255) throw new ValidationError('links', index + 1, 'at most 255 links')
  if (hosts.length < 2) throw new ValidationError(path, hosts, 'two hosts or more')
  // Each has a byte of a hardware address of its own, from 1.
  if (hosts.length > 255) throw new ValidationError(path, hosts.length, 'at most 255 hosts')
  for (const [position, name] of hosts.entries()) {
    known(`${path}[${position}]`, name)
    if (hosts.indexOf(name) !== position)
      throw new ValidationError(`${path}[${position}]`, name, 'each host once')
  }
  const ipv4 = given.ipv4 === undefined ? `10.0.${number}.0/24` : given.ipv4
  const ipv6 = given.ipv6 === undefined ? `fd00:${number.toString(16)}::/64` : given.ipv6
  const networks = [networkOf(`${path}.ipv4`, ipv4, 4), networkOf(`${path}.ipv6`, ipv6, 16)].filter(
    (network) => network !== undefined,
  )
  for (const network of networks) {
    const most = mostHosts(network)
    if (hosts.length > most)
      throw new ValidationError(path, hosts.length, `at most ${most} hosts in its network`)
  }
  return { hosts, mtu, number, networks, isSwitched: given.switch ?? hosts.length > 2 }
}

function isList<T>(input: readonly T[] | object): input is readonly T[] {
  return Array.isArray(input)
}

function networkOf(path: string, text: string | null, bytes: 4 | 16): Network | undefined {
  if (text === null) return undefined
  const prefix = parsePrefix(text)
  const base = prefix === undefined ? undefined : parseAddress(prefix.address)
  if (prefix === undefined || base?.length !== bytes) {
    throw new ValidationError(
      path,
      text,
      bytes === 4 ? 'a network such as 10.1.0.0/24' : 'a network such as fd01::/64',
    )
  }
  return { base, length: prefix.length }
}

/** From its base on, which may stand in the middle; the last address of an IPv4 network is its broadcast. */
function mostHosts({ base, length }: Network): bigint {
  const size = 1n << BigInt(base.length * 8 - length)
  const first = base.reduce((value, byte) => value * 256n + BigInt(byte), 0n) % size
  const most = size - 1n - first - (base.length === 4 ? 1n : 0n)
  return most < 0n ? 0n : most
}

/** The first host of a link is .1 in its network, the second .2, and so on. */
function addressIn({ base }: Network, position: number): string {
  const bytes = base.slice()
  let carry = position + 1
  for (let at = bytes.length - 1; carry > 0 && at >= 0; at--) {
    carry += bytes[at]!
    bytes[at] = carry & 0xff
    carry >>= 8
  }
  return formatAddress(bytes)
}

function interfacesOf(name: string, links: readonly NumberedLink[]): PlannedInterface[] {
  return links
    .filter((link) => link.hosts.includes(name))
    .map((link, index) => {
      const position = link.hosts.indexOf(name)
      const own = link.networks.map((network) => ({ network, address: addressIn(network, position) }))
      const ofFamily = (family: string): string =>
        own.find(({ address }) => familyOf(address) === family)?.address ?? ''
      return {
        device: `eth${index}`,
        link: link.number - 1,
        towards: link.hosts.filter((other) => other !== name),
        address: ofFamily('ipv4'),
        address6: ofFamily('ipv6'),
        addresses: own.map(({ network, address }) => `${address}/${network.length}`),
        hardwareAddress: `02:00:00:00:${hex(link.number)}:${hex(position + 1)}`,
        mtu: link.mtu,
      }
    })
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0')

function withAddresses(
  name: string,
  interfaces: readonly PlannedInterface[],
  settings: HostSettings<string>,
): PlannedInterface[] {
  const extra = (settings.addresses ?? []).filter((entry) => typeof entry !== 'string')
  for (const { towards } of extra) {
    if (!interfaces.some((one) => one.towards.includes(towards)))
      throw notNeighbours(name, towards, 'addresses')
  }
  return interfaces.map((one) => {
    const more = extra.filter(
      ({ towards }) => one === interfaces.find((each) => each.towards.includes(towards)),
    )
    return { ...one, addresses: [...one.addresses, ...more.map(({ address }) => address)] }
  })
}

function explicitRoutes(host: Bare, settings: HostSettings<string>, hosts: readonly Bare[]): RouteInput[] {
  return (settings.routes ?? []).map(({ destination, via }) => {
    const family = familyOf(destination)
    const gateway = parseAddress(via) === undefined ? addressTowards(host, via, hosts, 'routes')[family] : via
    if (gateway === '')
      throw new ValidationError(`settings.${host.name}.routes`, via, `a host with ${family}`)
    return { destination, gateway }
  })
}

function defaultRoutes(
  host: Bare,
  settings: HostSettings<string>,
  hosts: readonly Bare[],
  forwards: (name: string) => boolean,
): RouteInput[] {
  if (settings.defaultRoute === false) return []
  const neighbours = [...new Set(host.interfaces.flatMap(({ towards }) => towards))]
  const routers = neighbours.length === 1 ? neighbours : neighbours.filter(forwards)
  const via = settings.defaultRoute ?? (routers.length === 1 ? routers[0] : undefined)
  if (via === undefined) return []
  const { ipv4, ipv6 } = addressTowards(host, via, hosts, 'defaultRoute')
  return [
    ...(ipv4 === '' ? [] : [{ destination: '0.0.0.0/0', gateway: ipv4 }]),
    ...(ipv6 === '' ? [] : [{ destination: '::/0', gateway: ipv6 }]),
  ]
}

/** The addresses of another host on the first link that both are on. */
function addressTowards(
  host: Bare,
  other: string,
  hosts: readonly Bare[],
  key: string,
): { readonly ipv4: string; readonly ipv6: string } {
  const near = host.interfaces.find(({ towards }) => towards.includes(other))
  const far = hosts.find(({ name }) => name === other)?.interfaces.find(({ link }) => link === near?.link)
  if (near === undefined || far === undefined) throw notNeighbours(host.name, other, key)
  return { ipv4: far.address, ipv6: far.address6 }
}

function notNeighbours(name: string, other: string, key: string): ValidationError {
  return new ValidationError(`settings.${name}.${key}`, other, `a host on a link of ${name}'s`)
}

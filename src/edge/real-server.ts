/**
 * What direct routing and tunnels need of a real server: it takes packets for the virtual addresses as its own, and yet says on no
 * network that they are. What was before is written down as the alias of `lo`, which outlives the process and goes with the
 * namespace.
 */
import { isIPv4 } from '../address/index.js'
import { isKernelError, UnsupportedError, ValidationError } from '../errors/index.js'
import {
  formatSettingsRecord,
  type Netns,
  parseSettingsRecord,
  readSysctl,
  writeSysctl,
} from '../net/index.js'
import { Rtnetlink } from '../rtnetlink/index.js'
import { type AddressesChange, bearsMark, VirtualAddresses } from './addresses.js'

/** What a host is to serve. */
export interface RealServerOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Virtual addresses, put on `lo` each by itself (/32, /128), of IPv4 with scope host: no route tells others of them. */
  readonly addresses: readonly string[]
  /**
   * Interfaces that must not answer ARP for them, nor ask with them (`arp_ignore`, `arp_announce`): those towards clients and the
   * director. All of the host (`['all']`) unless said. IPv6 does so by itself: it answers for addresses of the interface alone.
   */
  readonly devices?: readonly string[] | undefined
  /** Tunnels that packets come through: `ipip` (IPv4, by `tunl0`), `ip6tnl` (IPv6, by `ip6tnl0`). None unless said. */
  readonly tunnels?: readonly RealServerTunnel[] | undefined
}

/** A kind of tunnel that takes packets of any director. */
export type RealServerTunnel = 'ipip' | 'ip6tnl'

/** What was done. */
export interface RealServerChange {
  /** Addresses that were put on, or taken off. */
  readonly addresses: readonly string[]
  /** Addresses that somebody else has put on `lo`: they serve, and are left alone. */
  readonly foreign: readonly string[]
  /** Settings by their names, and what they are now. */
  readonly settings: Readonly<Record<string, string>>
}

const mark = 'viaduct real server, before:'
/** IFA_PROTO of addresses on `lo`, beside 118 of those that go with a master. */
const owner = 119
const device = { ipip: 'tunl0', ip6tnl: 'ip6tnl0' } as const
const conf = 'net/ipv4/conf/'

/**
 * Prepares a host to be a real server of IPVS by direct routing or by a tunnel. Again with other addresses, it changes what differs.
 * What it has done outlives the process, until `undoRealServer`.
 *
 * @throws ValidationError; UnsupportedError where the kernel lacks a tunnel, or the alias of `lo` is somebody else's; KernelError
 */
export async function prepareRealServer(options: RealServerOptions): Promise<RealServerChange> {
  const { netns, addresses, devices = ['all'], tunnels = [] } = options
  for (const [index, name] of devices.entries()) {
    if (readSysctl(`${conf}${name}/arp_ignore`, { netns }) === undefined) {
      throw new ValidationError(`devices[${index}]`, name, 'the name of an interface of this namespace')
    }
  }
  const alone = addresses.map(withoutPrefix)
  const rtnetlink = await Rtnetlink.open({ netns })
  try {
    for (const tunnel of tunnels) await makeTunnel(rtnetlink, tunnel)
    const settings = await change(rtnetlink, netns, wantedSettings(devices, tunnels, netns))
    for (const tunnel of tunnels) await bringUp(rtnetlink, device[tunnel])
    if (tunnels.includes('ipip')) {
      // Loose filtering refuses everything on an interface that has no address at all (fib_validate_source).
      await putAddresses(netns, device.ipip, alone.filter(isIPv4))
    }
    // Last: from here on the host would answer for them.
    const { changed, foreign } = await putAddresses(netns, 'lo', alone)
    return { addresses: changed, foreign, settings }
  } finally {
    rtnetlink.close()
  }
}

/** Takes the addresses off and sets everything back to what it was. Where nothing was prepared, nothing happens. */
export async function undoRealServer(
  options: { readonly netns?: Netns | undefined } = {},
): Promise<RealServerChange> {
  const { netns } = options
  const rtnetlink = await Rtnetlink.open({ netns })
  try {
    const ours = (await rtnetlink.addresses.list({ device: 'lo' })).filter((entry) =>
      bearsMark(entry, 'lo', owner),
    )
    await putAddresses(netns, 'lo', [])
    if ((await rtnetlink.links.find(device.ipip)) !== undefined) await putAddresses(netns, device.ipip, [])
    const recorded = await readRecord(rtnetlink)
    const settings: Record<string, string> = {}
    for (const [name, value] of Object.entries(recorded ?? {})) {
      const [link, what] = name.split('/') as [string, string]
      if (what === 'up') {
        if (value === '0') await lower(rtnetlink, link)
      } else if (readSysctl(conf + name, { netns }) !== undefined) {
        writeSysctl(conf + name, value, { netns })
        settings[`${conf}${name}`] = value
      }
    }
    if (recorded !== undefined) await rtnetlink.links.set('lo', { alias: null })
    return { addresses: ours.map(({ address }) => address), foreign: [], settings }
  } finally {
    rtnetlink.close()
  }
}

/** These of ours and no others. They stay when this process ends. */
async function putAddresses(
  netns: Netns | undefined,
  name: string,
  addresses: readonly string[],
): Promise<AddressesChange> {
  const virtual = await VirtualAddresses.open({ netns, device: name, addresses, scope: 'host', owner })
  try {
    return await virtual.put()
  } finally {
    virtual.leave()
  }
}

/** By their names below `net.ipv4.conf`: what each has to be. */
function wantedSettings(
  devices: readonly string[],
  tunnels: readonly RealServerTunnel[],
  netns: Netns | undefined,
): Record<string, string> {
  const wanted: Record<string, string> = {}
  for (const name of devices) {
    // What is more than needed stays: 2 of arp_ignore is stricter still.
    for (const [setting, least] of [
      ['arp_ignore', 1],
      ['arp_announce', 2],
    ] as const) {
      if (Number(readSysctl(`${conf}${name}/${setting}`, { netns })) < least)
        wanted[`${name}/${setting}`] = String(least)
    }
  }
  if (tunnels.includes('ipip')) {
    // Packets come out of the tunnel from clients that the route back to leads elsewhere. The kernel takes the greater one of `all`
    // and of the interface (IN_DEV_RPFILTER): where `all` is strict, 2 (loose) is what lets them in without loosening the others.
    const all = readSysctl(`${conf}all/rp_filter`, { netns })
    wanted['tunl0/rp_filter'] = all === '0' ? '0' : '2'
  }
  return wanted
}

/** Writes down what was, then changes it. Of what was written down before, the first value holds. */
async function change(
  rtnetlink: Rtnetlink,
  netns: Netns | undefined,
  wanted: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const differing = Object.entries(wanted).filter(
    ([name, value]) => readSysctl(conf + name, { netns }) !== value,
  )
  const before = Object.fromEntries(
    differing.map(([name]) => [name, readSysctl(conf + name, { netns }) ?? '0']),
  )
  await write(rtnetlink, before)
  for (const [name, value] of differing) writeSysctl(conf + name, value, { netns })
  return Object.fromEntries(differing.map(([name, value]) => [`${conf}${name}`, value]))
}

async function bringUp(rtnetlink: Rtnetlink, name: string): Promise<void> {
  const link = await rtnetlink.links.get(name)
  if (link.up) return
  await write(rtnetlink, { [`${name}/up`]: '0' })
  await rtnetlink.links.set(name, { up: true })
}

async function lower(rtnetlink: Rtnetlink, name: string): Promise<void> {
  await rtnetlink.links.set(name, { up: false }).catch((error: unknown) => {
    if (!isKernelError(error, 'ENODEV')) throw error
  })
}

/** The tunnel for everybody comes with the module (ip_tunnel_init_net), which asking for one of its kind loads. */
async function makeTunnel(rtnetlink: Rtnetlink, kind: RealServerTunnel): Promise<void> {
  const name = device[kind]
  if ((await rtnetlink.links.find(name)) !== undefined) return
  try {
    await rtnetlink.links.add({ kind, name })
  } catch (error) {
    if (isKernelError(error, 'EEXIST')) return
    if (!isKernelError(error, 'EOPNOTSUPP')) throw error
    throw new UnsupportedError(
      `tunnels of kind ${kind}`,
      `the kernel module ${kind === 'ipip' ? 'ipip' : 'ip6_tunnel'}`,
      {
        cause: error,
      },
    )
  }
}

async function write(rtnetlink: Rtnetlink, more: Readonly<Record<string, string>>): Promise<void> {
  const recorded = await readRecord(rtnetlink)
  const all = { ...more, ...recorded }
  if (recorded !== undefined && Object.keys(all).length === Object.keys(recorded).length) return
  const alias = formatSettingsRecord(mark, all)
  if (alias.length > 255) {
    throw new ValidationError(
      'devices',
      Object.keys(all),
      'fewer of them: what was before is to fit into 255 bytes',
    )
  }
  await rtnetlink.links.set('lo', { alias })
}

/** @throws UnsupportedError if the alias says something else */
async function readRecord(rtnetlink: Rtnetlink): Promise<Record<string, string> | undefined> {
  const { alias } = await rtnetlink.links.get('lo')
  const isKnown = (name: string): boolean =>
    /^[^/\s=]{1,15}\/(arp_ignore|arp_announce)$/.test(name) ||
    /^(tunl0\/rp_filter|(tunl0|ip6tnl0)\/up)$/.test(name)
  const record = parseSettingsRecord(mark, alias, isKnown)
  if (record === undefined && alias !== undefined && alias !== '') {
    throw new UnsupportedError('writing down what was before', `the alias of lo, where "${alias}" stands`)
  }
  return record
}

function withoutPrefix(text: string, index: number): string {
  if (typeof text === 'string' && !text.includes('/')) return text
  throw new ValidationError(`addresses[${index}]`, text, 'an address without the length of a prefix')
}

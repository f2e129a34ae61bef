import { KernelError } from '../errors/index.js'
import { NetworkNamespace, readFile, writeFile } from '../net/index.js'
import { NETLINK_ROUTE, openSocket } from '../netlink/index.js'
import { Rtnetlink } from '../rtnetlink/index.js'
import { group } from '../rtnetlink/wire.js'
import { Host } from './host.js'
import { type Plan, type PlannedHost, type PlannedLink, planSandbox, type SandboxLayout } from './layout.js'
import { sysctlPath } from './sysctl.js'

/** What a sandbox is to be. */
export interface SandboxOptions<Name extends string> extends SandboxLayout<Name> {
  /** How long the links may take to come up; 10,000 unless said. */
  readonly deadlineMilliseconds?: number | undefined
}

/** Hosts and links of a test, each host a network namespace of its own. */
export interface Sandbox<Name extends string = string> {
  /** By their names. */
  readonly hosts: { readonly [K in Name]: Host }
  /** Ends every server and connection of its hosts, and then the hosts. */
  close(): Promise<void>
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Makes hosts and the links between them: namespaces without a name, held by this process alone, so that nothing is
 * left behind even if it is killed. Takes CAP_SYS_ADMIN and CAP_NET_ADMIN.
 *
 * The first link's network is 10.0.1.0/24 and fd00:1::/64, its first host has .1 and ::1; the second link's is
 * 10.0.2.0/24, and so on. When it resolves, packets flow.
 */
export async function sandbox<const Name extends string>(
  options: SandboxOptions<Name>,
): Promise<Sandbox<Name>> {
  const plan = planSandbox(options)
  const made = new Made()
  try {
    await made.build(plan, options.deadlineMilliseconds ?? 10_000)
  } catch (error) {
    await made.close()
    throw error
  }
  const close = (): Promise<void> => made.close()
  return {
    hosts: Object.fromEntries(made.hosts.map((host) => [host.name, host])) as { [K in Name]: Host },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Node {
  readonly namespace: NetworkNamespace
  readonly rtnetlink: Rtnetlink
}

/** What was made so far, to be closed in the right order, also when the rest could not be made. */
class Made {
  readonly hosts: Host[] = []
  readonly #nodes: Node[] = []
  readonly #byName = new Map<string, Node>()

  async build(plan: Plan, deadlineMilliseconds: number): Promise<void> {
    const hasIpv6 = await this.#addHosts(plan.hosts)
    for (const [index, link] of plan.links.entries()) await this.#addLink(plan, index, link)
    for (const host of plan.hosts) await this.#addAddresses(host, hasIpv6)
    for (const host of plan.hosts) await this.#waitUntilUp(host, deadlineMilliseconds)
    for (const host of plan.hosts) await this.#addRoutes(host, hasIpv6)
  }

  async close(): Promise<void> {
    // What runs in a namespace first: a socket left open would keep it alive.
    try {
      await Promise.all(this.hosts.map((host) => host.close()))
    } finally {
      for (const { rtnetlink, namespace } of this.#nodes.splice(0)) {
        rtnetlink.close()
        namespace.close()
      }
    }
  }

  async #addHosts(hosts: readonly PlannedHost[]): Promise<boolean> {
    let hasIpv6 = true
    for (const planned of hosts) {
      const node = await this.#addNode(planned.name)
      hasIpv6 = knowsIpv6(node.namespace)
      for (const [name, value] of Object.entries({ ...settingsOf(planned, hasIpv6), ...planned.sysctls })) {
        writeFile(sysctlPath(name), String(value), { netns: node.namespace })
      }
      await node.rtnetlink.links.set('lo', { up: true })
      this.hosts.push(new Host(planned, node.namespace, node.rtnetlink))
    }
    return hasIpv6
  }

  async #addNode(name: string): Promise<Node> {
    const namespace = NetworkNamespace.create()
    let rtnetlink: Rtnetlink
    try {
      rtnetlink = await Rtnetlink.open({ netns: namespace })
    } catch (error) {
      namespace.close()
      throw error
    }
    const node = { namespace, rtnetlink }
    this.#nodes.push(node)
    this.#byName.set(name, node)
    return node
  }

  /** A veth pair from host to host, or one from each host to a bridge that is in a namespace of its own. */
  async #addLink(plan: Plan, index: number, { hosts, isSwitched, mtu }: PlannedLink): Promise<void> {
    const ends = hosts.map((name) => {
      const planned = plan.hosts.find((host) => host.name === name)!.interfaces
      return { node: this.#byName.get(name)!, planned: planned.find((one) => one.link === index)! }
    })
    const pair = async (
      { node, planned }: (typeof ends)[number],
      peer: { name: string; address?: string; netns: NetworkNamespace },
    ): Promise<void> => {
      const { device: name, hardwareAddress: address } = planned
      await node.rtnetlink.links.add({ kind: 'veth', name, address, mtu, data: { peer: { ...peer, mtu } } })
    }
    const [first, second] = ends
    if (!isSwitched && first !== undefined && second !== undefined) {
      const { device: name, hardwareAddress: address } = second.planned
      return pair(first, { name, address, netns: second.node.namespace })
    }
    const { namespace, rtnetlink } = await this.#addNode(`switch ${index}`)
    // It has no address of its own, and says nothing.
    if (knowsIpv6(namespace))
      writeFile(sysctlPath('net.ipv6.conf.default.disable_ipv6'), '1', { netns: namespace })
    // Without snooping it passes multicast, and with that neighbour discovery, from the first packet on.
    const data = { multicastSnooping: false, spanningTree: 0, forwardDelay: 0 }
    await rtnetlink.links.add({ kind: 'bridge', name: 'switch', mtu, up: true, data })
    for (const [position, end] of ends.entries()) {
      const port = `port${position}`
      await pair(end, { name: port, netns: namespace })
      await rtnetlink.links.set(port, { master: 'switch', up: true })
    }
  }

  async #addAddresses({ name, interfaces, ownAddresses }: PlannedHost, hasIpv6: boolean): Promise<void> {
    const { rtnetlink } = this.#byName.get(name)!
    const add = async (device: string, address: string): Promise<void> => {
      if (address.includes(':') && !hasIpv6) return
      await rtnetlink.addresses.add({ device, address, flags: address.includes(':') ? ['no-dad'] : [] })
    }
    for (const address of ownAddresses) await add('lo', address)
    for (const { device, addresses, hardwareAddress } of interfaces) {
      await rtnetlink.links.set(device, { up: true })
      // A router solicits neighbours from its link-local address. The kernel's own would be there some time later.
      if (addresses.some((address) => address.includes(':'))) await add(device, linkLocal(hardwareAddress))
      for (const address of addresses) await add(device, address)
    }
  }

  async #addRoutes({ name, routes }: PlannedHost, hasIpv6: boolean): Promise<void> {
    const { rtnetlink } = this.#byName.get(name)!
    for (const route of routes) {
      if (hasIpv6 || !route.destination.includes(':')) await rtnetlink.routes.add(route)
    }
  }

  /** The end that was set up first gets its queue some time after the other one (net/core/link_watch.c); until then it drops. */
  async #waitUntilUp({ name, interfaces }: PlannedHost, deadlineMilliseconds: number): Promise<void> {
    const { rtnetlink, namespace } = this.#byName.get(name)!
    const waiting = async (): Promise<string[]> => {
      const links = await rtnetlink.links.list()
      const isUp = (device: string): boolean =>
        links.some((link) => link.name === device && link.operationalState === 'up')
      return interfaces.map(({ device }) => device).filter((device) => !isUp(device))
    }
    if ((await waiting()).length === 0) return
    const events = openSocket({ protocol: NETLINK_ROUTE, netns: namespace })
    const until = performance.now() + deadlineMilliseconds
    try {
      const changed = new Signal()
      events.subscribe?.(group.link, () => changed.give())
      for (let rest = await waiting(); rest.length > 0; rest = await waiting()) {
        if (!(await changed.wait(until - performance.now()))) {
          throw new KernelError({
            errno: -110,
            operation: 'sandbox',
            object: { host: name, links: rest.join(' ') },
            kernelMessage: 'the links did not come up',
          })
        }
      }
    } finally {
      events.close()
    }
  }
}

/** Something happened, perhaps before anybody waited. */
class Signal {
  #given = false
  #wake: (() => void) | undefined

  give(): void {
    this.#given = true
    this.#wake?.()
  }

  /** False at the deadline. */
  async wait(milliseconds: number): Promise<boolean> {
    if (!this.#given && milliseconds > 0) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = setTimeout(resolve, milliseconds)
      })
      clearTimeout(timer)
    }
    const given = this.#given
    this.#given = false
    return given
  }
}

function knowsIpv6(netns: NetworkNamespace): boolean {
  try {
    readFile(sysctlPath('net.ipv6.conf.all.forwarding'), { netns })
    return true
  } catch {
    return false
  }
}

/** A namespace takes some settings over from the first one: what matters is set, whatever they are there. */
function settingsOf({ forwarding }: PlannedHost, hasIpv6: boolean): Record<string, number> {
  const flag = forwarding ? 1 : 0
  const ipv4 = {
    'net.ipv4.ip_forward': flag,
    'net.ipv4.conf.all.rp_filter': 0,
    'net.ipv4.conf.default.rp_filter': 0,
  }
  if (!hasIpv6) return ipv4
  return {
    ...ipv4,
    'net.ipv6.conf.all.forwarding': flag,
    'net.ipv6.conf.default.forwarding': flag,
    // No address that the kernel makes up: they come late, and differ from run to run.
    'net.ipv6.conf.default.addr_gen_mode': 1,
    'net.ipv6.conf.default.accept_ra': 0,
  }
}

/** `fe80::1:1` for 02:00:00:00:01:01: the link's and the host's number. */
function linkLocal(hardwareAddress: string): string {
  const [link, host] = hardwareAddress.split(':').slice(4)
  return `fe80::${Number.parseInt(link!, 16).toString(16)}:${Number.parseInt(host!, 16).toString(16)}/64`
}

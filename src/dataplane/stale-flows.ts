/**
 * Flows of UDP have no end that the kernel could see: as long as a client sends, connection tracking takes its datagrams
 * where the first one went, also when that server is gone, or when there was no service yet. Such flows are deleted, so that
 * the next datagram is decided on anew. Those of TCP end by themselves and are left alone, but for those of servers that have
 * failed without a word.
 */
import type { Conntrack, Flow } from '../conntrack/index.js'
import type { AddressFamily } from '../address/index.js'
import { formatEndpoint, type VirtualService } from '../model/index.js'

/** Where clients send to. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Frontends with the servers that their flows may go to; of nobody any more, none. */
export class StaleFlows {
  readonly #frontends: Readonly<Record<AddressFamily, Map<string, ReadonlySet<string>>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  }
  /** Those that are nobody's any more. */
  readonly #left: Readonly<Record<AddressFamily, Map<string, Endpoint>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  }
  /** Frontends of TCP with the servers whose flows are to be ended. */
  readonly #failed: Readonly<Record<AddressFamily, Map<string, ReadonlySet<string>>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  }
  /** The same frontends, to be written down. */
  readonly #ended: Readonly<Record<AddressFamily, Map<string, Endpoint>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  }
  /** Addresses that answer node ports. */
  readonly #nodeAddresses: readonly string[]

  constructor(nodeAddresses: readonly string[]) {
    this.#nodeAddresses = nodeAddresses
  }

  get isEmpty(): boolean {
    const all = [this.#frontends, this.#failed]
    return all.every(({ ipv4, ipv6 }) => ipv4.size === 0 && ipv6.size === 0)
  }

  /** A change of a service: what it was, what it is. Nothing is looked for where no flow can have gone wrong. */
  changed(before: VirtualService | undefined, after: VirtualService | undefined): void {
    const { protocol } = (after ?? before)!
    this.fail(before, after)
    if (protocol !== 'udp') return
    const live = new Set(after === undefined ? [] : serversOf(after))
    const isSmaller = before !== undefined && serversOf(before).some((server) => !live.has(server))
    const had = new Set(
      before === undefined || !before.servers.any ? [] : this.#endpointsOf(before).map(nameOf),
    )
    const has = new Set(after === undefined ? [] : this.#endpointsOf(after).map(nameOf))
    for (const name of has) {
      if (!isSmaller && had.has(name)) continue
      this.#frontends[after!.family].set(name, live)
      this.#left[after!.family].delete(name)
    }
    if (before === undefined) return
    this.leftAt(
      before.family,
      this.#endpointsOf(before).filter((endpoint) => !has.has(nameOf(endpoint))),
    )
  }

  /** The same of servers of TCP alone that have failed since. */
  fail(before: VirtualService | undefined, after: VirtualService | undefined): void {
    if (after?.protocol !== 'tcp') return
    const known = new Set(before?.servers.failed?.map(nameOf))
    const failed = new Set(after?.servers.failed?.map(nameOf).filter((name) => !known.has(name)))
    if (failed.size === 0) return
    for (const { address, port } of this.#endpointsOf(after)) {
      const name = formatEndpoint(address, port)
      this.#failed[after.family].set(name, failed)
      this.#ended[after.family].set(name, { address, port })
    }
  }

  /** Frontends of TCP that have flows which are to be ended. */
  endedOf(family: AddressFamily): Endpoint[] {
    return [...this.#ended[family].values()]
  }

  /** Frontends that were somebody's: whoever has them now was told of before. */
  left(service: Pick<VirtualService, 'protocol' | 'family' | 'frontends'>): void {
    if (service.protocol === 'udp') this.leftAt(service.family, this.#endpointsOf(service))
  }

  leftAt(family: AddressFamily, endpoints: Iterable<Endpoint>): void {
    const frontends = this.#frontends[family]
    for (const endpoint of endpoints) {
      const name = nameOf(endpoint)
      // Somebody else may have it by now.
      if (frontends.has(name)) continue
      frontends.set(name, none)
      this.#left[family].set(name, endpoint)
    }
  }

  /** Frontends that are nobody's any more: what has them is known nowhere else, if this process ends before it is deleted. */
  leftOf(family: AddressFamily): Endpoint[] {
    return [...this.#left[family].values()]
  }

  #endpointsOf({ frontends, family }: Pick<VirtualService, 'frontends' | 'family'>): Endpoint[] {
    const own = this.#nodeAddresses.filter((address) => address.includes(':') === (family === 'ipv6'))
    return frontends.flatMap((frontend) =>
      frontend.kind === 'node-port' ? own.map((address) => ({ address, port: frontend.port })) : [frontend],
    )
  }

  /** Deletes them. @returns those of TCP: their clients do not know it yet */
  async delete(conntrack: Conntrack): Promise<Flow[]> {
    const ended: Flow[] = []
    for (const family of ['ipv4', 'ipv6'] as const) {
      const [frontends, failed] = [this.#frontends[family], this.#failed[family]]
      if (frontends.size > 0) {
        const where = (flow: Flow): boolean => isOf(frontends, flow) === false
        await conntrack.deleteMatching({ family, protocol: 'udp', where })
      }
      if (failed.size > 0) {
        const where = (flow: Flow): boolean => {
          const isEnded = !over.has(flow.tcp?.state) && isOf(failed, flow) === true
          if (isEnded) ended.push(flow)
          return isEnded
        }
        await conntrack.deleteMatching({ family, protocol: 'tcp', where })
      }
    }
    return ended
  }
}

/** States in which nobody waits for anything any more. */
const over: ReadonlySet<string | undefined> = new Set(['time-wait', 'close'])

/** Whether its server is among those of its frontend; undefined if that is none of these. */
function isOf(
  frontends: ReadonlyMap<string, ReadonlySet<string>>,
  { original, reply }: Flow,
): boolean | undefined {
  const { destination, destinationPort } = original
  if (destination === undefined || destinationPort === undefined) return undefined
  const servers = frontends.get(formatEndpoint(destination, destinationPort))
  if (servers === undefined || reply.source === undefined) return undefined
  return servers.has(formatEndpoint(reply.source, reply.sourcePort ?? 0))
}

const none: ReadonlySet<string> = new Set()

function nameOf({ address, port }: Endpoint): string {
  return formatEndpoint(address, port)
}

/** All that may have flows. */
function serversOf({ servers: { cluster, local, draining } }: VirtualService): string[] {
  return [cluster, local, draining].flatMap((servers) =>
    servers.map(({ address, port }) => formatEndpoint(address, port)),
  )
}

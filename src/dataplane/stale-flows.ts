/**
 * Flows of UDP have no end that the kernel could see: as long as a client sends, connection tracking takes its datagrams
 * where the first one went, also when that server is gone, or when there was no service yet. Such flows are deleted, so that
 * the next datagram is decided on anew.
 */
import type { Conntrack, Flow } from '../conntrack/index.js'
import type { AddressFamily } from '../address/index.js'
import { formatEndpoint, type VirtualService } from '../model/index.js'

/** Frontends with the servers that their flows may go to; of nobody any more, none. */
export class StaleFlows {
  readonly #frontends: Readonly<Record<AddressFamily, Map<string, ReadonlySet<string>>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  }
  /** Addresses that answer node ports. */
  readonly #nodeAddresses: readonly string[]

  constructor(nodeAddresses: readonly string[]) {
    this.#nodeAddresses = nodeAddresses
  }

  get isEmpty(): boolean {
    return this.#frontends.ipv4.size === 0 && this.#frontends.ipv6.size === 0
  }

  /** A change of a service: what it was, what it is. Nothing is looked for where no flow can have gone wrong. */
  changed(before: VirtualService | undefined, after: VirtualService | undefined): void {
    const { protocol } = (after ?? before)!
    if (protocol !== 'udp') return
    const live = new Set(after === undefined ? [] : serversOf(after))
    const isSmaller = before !== undefined && serversOf(before).some((server) => !live.has(server))
    const had = new Set(before === undefined || !before.servers.any ? [] : this.#namesOf(before))
    const has = after === undefined ? [] : this.#namesOf(after)
    for (const name of has) {
      if (isSmaller || !had.has(name)) this.#frontends[after!.family].set(name, live)
    }
    if (before === undefined) return
    const kept = new Set(has)
    this.#gone(
      before.family,
      this.#namesOf(before).filter((name) => !kept.has(name)),
    )
  }

  /** Frontends that were somebody's: whoever has them now was told of before. */
  left(service: Pick<VirtualService, 'protocol' | 'family' | 'frontends'>): void {
    if (service.protocol === 'udp') this.#gone(service.family, this.#namesOf(service))
  }

  #gone(family: AddressFamily, names: readonly string[]): void {
    const frontends = this.#frontends[family]
    // Somebody else may have it by now.
    for (const name of names) if (!frontends.has(name)) frontends.set(name, none)
  }

  #namesOf({ frontends, family }: Pick<VirtualService, 'frontends' | 'family'>): string[] {
    const own = this.#nodeAddresses.filter((address) => address.includes(':') === (family === 'ipv6'))
    return frontends.flatMap((frontend) =>
      frontend.kind === 'node-port'
        ? own.map((address) => formatEndpoint(address, frontend.port))
        : [formatEndpoint(frontend.address, frontend.port)],
    )
  }

  /** Deletes them. @returns how many */
  async delete(conntrack: Conntrack): Promise<number> {
    let deleted = 0
    for (const family of ['ipv4', 'ipv6'] as const) {
      const frontends = this.#frontends[family]
      if (frontends.size === 0) continue
      const where = ({ original, reply }: Flow): boolean => {
        const { destination, destinationPort } = original
        if (destination === undefined || destinationPort === undefined) return false
        const live = frontends.get(formatEndpoint(destination, destinationPort))
        if (live === undefined || reply.source === undefined) return false
        return !live.has(formatEndpoint(reply.source, reply.sourcePort ?? 0))
      }
      deleted += await conntrack.deleteMatching({ family, protocol: 'udp', where })
    }
    return deleted
  }
}

const none: ReadonlySet<string> = new Set()

/** All that may have flows. */
function serversOf({ servers: { cluster, local, draining } }: VirtualService): string[] {
  return [cluster, local, draining].flatMap((servers) =>
    servers.map(({ address, port }) => formatEndpoint(address, port)),
  )
}

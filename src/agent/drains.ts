/** Servers that somebody has taken out by hand: what they have goes on, and they get no more. */
import { canonicalAddress } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { formatEndpoint, type RealServer, type VirtualService } from '../model/index.js'
import type { ServiceShaper } from '../reconciler/index.js'

/** A server, at one port or at all. */
export interface DrainedServer {
  readonly address: string
  readonly port?: number | undefined
}

/** `10.0.0.7`, `10.0.0.7:80`, `fd00::7`, `[fd00::7]:80`. @throws ValidationError */
export function readServer(text: unknown): DrainedServer {
  const [, bracketed, plain, port] =
    typeof text === 'string' ? (/^(?:\[([^\]]*)\]|([^:]*|.*:.*:.*?))(?::(\d{1,5}))?$/.exec(text) ?? []) : []
  // Of an IPv6 address without brackets the last group is none.
  const whole = typeof text === 'string' ? canonicalAddress(text) : undefined
  if (whole !== undefined) return { address: whole }
  const address = canonicalAddress(bracketed ?? plain ?? '')
  const number = port === undefined ? undefined : Number(port)
  if (address === undefined || (number !== undefined && (number < 1 || number > 65_535)))
    throw new ValidationError('server', text, 'an address, or address:port')
  return number === undefined ? { address } : { address, port: number }
}

export function formatServer({ address, port }: DrainedServer): string {
  if (port === undefined) return address
  return formatEndpoint(address, port)
}

export class Drains implements ServiceShaper {
  readonly #drained = new Map<string, DrainedServer>()
  readonly #listeners = new Set<(keys: readonly string[]) => void>()

  constructor(servers: Iterable<DrainedServer> = []) {
    for (const server of servers) this.#drained.set(formatServer(server), server)
  }

  get servers(): readonly string[] {
    return [...this.#drained.keys()]
  }

  /** Returns those of the services that it is a server of, by their keys. */
  add(server: DrainedServer, services: Iterable<VirtualService>): readonly string[] {
    this.#drained.set(formatServer(server), server)
    return this.#tell(server, services)
  }

  /** The same; undefined if it was not drained. */
  remove(server: DrainedServer, services: Iterable<VirtualService>): readonly string[] | undefined {
    return this.#drained.delete(formatServer(server)) ? this.#tell(server, services) : undefined
  }

  has({ address, port }: DrainedServer): boolean {
    return (
      this.#drained.size > 0 &&
      (this.#drained.has(address) || this.#drained.has(formatServer({ address, port })))
    )
  }

  shape(service: VirtualService): VirtualService {
    const { cluster, local, draining } = service.servers
    const isDrained = (server: RealServer): boolean => this.has(server)
    const leaving = [...cluster, ...local].filter(isDrained)
    if (leaving.length === 0) return service
    const known = new Set(draining.map(({ address, port }) => formatServer({ address, port })))
    const added = leaving.filter(({ address, port }) => {
      const name = formatServer({ address, port })
      if (known.has(name)) return false
      known.add(name)
      return true
    })
    return {
      ...service,
      servers: {
        ...service.servers,
        cluster: cluster.filter((server) => !isDrained(server)),
        local: local.filter((server) => !isDrained(server)),
        draining: [...draining, ...added],
      },
    }
  }

  watch(changed: (keys: readonly string[]) => void): () => void {
    this.#listeners.add(changed)
    return () => void this.#listeners.delete(changed)
  }

  #tell({ address, port }: DrainedServer, services: Iterable<VirtualService>): readonly string[] {
    const keys: string[] = []
    for (const { key, servers } of services) {
      const has = ({ address: its, port: at }: RealServer): boolean =>
        its === address && (port === undefined || at === port)
      if (servers.cluster.some(has) || servers.local.some(has)) keys.push(key)
    }
    if (keys.length > 0) for (const listener of this.#listeners) listener(keys)
    return keys
  }
}

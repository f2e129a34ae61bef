/** Names of hosts and services, as the C library finds them: /etc/hosts and DNS, /etc/services. */
import { readFileSync } from 'node:fs'

export type ServiceProtocol = 'tcp' | 'udp' | 'sctp'

/** The names in a file such as /etc/services: both ways, for each protocol the first that is found. */
export class ServiceNames {
  readonly #ports = new Map<string, number>()
  readonly #names = new Map<string, string>()

  constructor(text: string) {
    for (const line of text.split('\n')) {
      // `http  80/tcp  www  # comment`
      const [name, where, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
      const found = /^(\d+)\/(\w+)$/.exec(where ?? '')
      if (name === undefined || found === null) continue
      const [, port, protocol] = found as unknown as [string, string, string]
      if (!this.#names.has(`${port}/${protocol}`)) this.#names.set(`${port}/${protocol}`, name)
      for (const known of [name, ...aliases]) {
        if (!this.#ports.has(`${known}/${protocol}`)) this.#ports.set(`${known}/${protocol}`, Number(port))
      }
    }
  }

  port(name: string, protocol: ServiceProtocol): number | undefined {
    return this.#ports.get(`${name}/${protocol}`)
  }

  name(port: number, protocol: ServiceProtocol): string | undefined {
    return this.#names.get(`${port}/${protocol}`)
  }
}

let systemNames: ServiceNames | undefined

/** Those of /etc/services; none where there is no such file. */
export function systemServiceNames(): ServiceNames {
  if (systemNames === undefined) {
    let text = ''
    try {
      text = readFileSync('/etc/services', 'utf8')
    } catch {
      // Without the file, ports are numbers.
    }
    systemNames = new ServiceNames(text)
  }
  return systemNames
}

/** Looks names up, each once. Loaded when a name is there to be looked up: most commands are numeric. */
export class HostNames {
  readonly #addresses = new Map<string, string | undefined>()
  readonly #names = new Map<string, string | undefined>()

  /** What is known of a name so far: undefined if it was not asked for, null if it has no address. */
  known(name: string, family: 4 | 6): string | null | undefined {
    const key = `${family} ${name}`
    return this.#addresses.has(key) ? (this.#addresses.get(key) ?? null) : undefined
  }

  /** Finds the address of a name, for `known`. */
  async find(name: string, family: 4 | 6): Promise<void> {
    const { lookup } = await import('node:dns/promises')
    const found = await lookup(name, { family }).catch(() => undefined)
    this.#addresses.set(`${family} ${name}`, found?.address)
  }

  /** The name of an address that was found by `findNames`. */
  nameOf(address: string): string | undefined {
    return this.#names.get(address)
  }

  /** Finds the names of addresses, some at a time: the C library is asked in a thread pool of few threads. */
  async findNames(addresses: Iterable<string>): Promise<void> {
    const { lookupService } = await import('node:dns/promises')
    const wanted = [...new Set(addresses)].filter((address) => !this.#names.has(address))
    const worker = async (): Promise<void> => {
      for (let address = wanted.pop(); address !== undefined; address = wanted.pop()) {
        const found = await lookupService(address, 0).catch(() => undefined)
        this.#names.set(address, found?.hostname)
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
  }
}

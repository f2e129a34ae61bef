/** DNS for services: answers of the zone over UDP and TCP. */
import { randomInt } from 'node:crypto'
import { canonicalAddress } from '../address/index.js'
import { isKernelError, ValidationError } from '../errors/index.js'
import { ServiceModel } from '../model/index.js'
import { type Netns, openUdpServer, type UdpServer } from '../net/index.js'
import { RateLimit, type RateLimitOptions } from './rate-limit.js'
import type { PodRecords } from './records.js'
import { Responder } from './responder.js'
import { type DnsCounts, newTally } from './tally.js'
import { TcpListener, type TcpLimits } from './tcp.js'
import { answerUdp } from './udp.js'
import { Upstreams } from './upstreams.js'
import { Zone } from './zone.js'
import { ZoneFeed } from './zone-feed.js'

/** Where a server answers, over UDP and TCP. */
export interface DnsListenAddress {
  /** One address of the host: answers leave from it. */
  readonly address: string
  /** 53 unless said; 0 is any that is free. */
  readonly port?: number | undefined
}

/** What a server knows, and where it answers. */
export interface DnsServerOptions {
  /** Where services come from: a reconciler's, say. One of its own unless said, which the caller fills. */
  readonly model?: ServiceModel | undefined
  /** Names of the cluster, each with all services; `cluster.local` unless said. Addresses have names in the first. */
  readonly zones?: readonly string[] | undefined
  /** 127.0.0.1, port 53, unless said. */
  readonly listen?: readonly DnsListenAddress[] | undefined
  /** Whether Pods have names; `disabled` unless said. `verified` takes the Pods' own objects. */
  readonly podRecords?: PodRecords | undefined
  /** Namespaces that are there beside those in which there is a service or Pod. */
  readonly namespaces?: Iterable<string> | undefined
  /** Seconds; 5 unless said. */
  readonly ttlSeconds?: number | undefined
  /** The serial number of the zones to begin with; the time unless said, so that it rises over restarts. */
  readonly serial?: number | undefined
  /** Addresses that `ns.dns.` below each zone has; those of `listen` unless said. */
  readonly nameservers?: readonly string[] | undefined
  /**
   * Who is asked for other names, one after the other: `192.0.2.1`, `[2001:db8::1]:5353`. Without any such queries are refused,
   * and there is no name of an address that is none of a service.
   */
  readonly upstreams?: readonly string[] | undefined
  /** How long each is waited for; 2,000 unless said. */
  readonly upstreamTimeoutMilliseconds?: number | undefined
  /** Limits answers over UDP; none unless said. */
  readonly rateLimit?: RateLimitOptions | undefined
  /** Limits connections. */
  readonly tcp?: TcpLimits | undefined
  /** The network namespace that it answers in, and asks others from; the current one if left out. */
  readonly netns?: Netns | undefined
}

interface Listener {
  readonly address: string
  readonly port: number
  readonly udp: UdpServer
  readonly tcp: TcpListener
}

/** Ports that are free for TCP may be taken for UDP: so often another one is tried. */
const tries = 16

/**
 * Answers for the services of a model, as the Kubernetes DNS specification 1.1.0 says. What the model is given is in the next answer.
 * It keeps the process alive until it is closed.
 */
export class DnsServer {
  /** To be read: they follow the model. */
  readonly zones: readonly Zone[]
  readonly #options: DnsServerOptions
  readonly #feed: ZoneFeed
  readonly #upstreams: Upstreams | undefined
  readonly #rateLimit: RateLimit | undefined
  readonly #responder: Responder
  readonly #tally = newTally()
  readonly #listeners: Listener[] = []
  #error: Error | undefined

  private constructor(options: DnsServerOptions) {
    const { zones = ['cluster.local'], podRecords, ttlSeconds, netns } = options
    const { serial = Math.floor(Date.now() / 1000), upstreams = [], upstreamTimeoutMilliseconds } = options
    const { nameservers = addressesOf(options).map(({ address }) => address), namespaces = [] } = options
    this.#options = options
    this.zones = zones.map(
      (name, index) =>
        new Zone({ name, podRecords, ttlSeconds, serial, nameservers, hasReverse: index === 0 }),
    )
    const { model } = options
    this.#feed = new ZoneFeed(model ?? new ServiceModel(), this.zones, {
      isOwn: model === undefined,
      namespaces,
    })
    this.#upstreams =
      upstreams.length === 0
        ? undefined
        : new Upstreams({ servers: upstreams, timeoutMilliseconds: upstreamTimeoutMilliseconds, netns })
    this.#rateLimit = options.rateLimit && new RateLimit(options.rateLimit, randomInt(2 ** 31))
    this.#responder = new Responder(this.zones, this.#upstreams)
  }

  /**
   * Resolves when it answers at every address.
   * @throws ValidationError; KernelError EADDRINUSE, EADDRNOTAVAIL, EACCES below port 1024
   */
  static async start(options: DnsServerOptions = {}): Promise<DnsServer> {
    const server = new DnsServer(options)
    try {
      for (const { address, port } of addressesOf(options)) await server.#listen(address, port)
      return server
    } catch (error) {
      await server.close()
      throw error
    }
  }

  /** Where its services come from. */
  get model(): ServiceModel {
    return this.#feed.model
  }

  /** Takes its services from another model from the next answer on. */
  follow(model: ServiceModel): void {
    this.#feed.follow(model)
  }

  /** Where it answers, with the ports that were picked. */
  get addresses(): readonly { readonly address: string; readonly port: number }[] {
    return this.#listeners.map(({ address, port }) => ({ address, port }))
  }

  /** What it has done so far. */
  get counts(): DnsCounts {
    return { ...this.#tally }
  }

  /** Why it does not receive any more, if that is so. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Namespaces that are there beside those in which there is a service or Pod, in the place of those given before. */
  setNamespaces(names: Iterable<string>): void {
    this.#feed.setNamespaces(names)
  }

  /** Brings the zones up to the model, as it is done before every answer. @throws what the model does */
  refresh(): void {
    this.#feed.refresh()
  }

  /** Stops answering. */
  async close(): Promise<void> {
    this.#upstreams?.close()
    this.#feed.close()
    const ended = this.#listeners.splice(0).map(async ({ udp, tcp }) => {
      udp.close()
      await tcp.close()
    })
    await Promise.all(ended)
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Whatever goes wrong in a model, what is known is answered. */
  #refresh(): void {
    try {
      this.#feed.refresh()
    } catch {
      this.#tally.failed++
    }
  }

  async #listen(address: string, port: number): Promise<void> {
    const { netns, tcp: limits } = this.#options
    const shared = { responder: this.#responder, tally: this.#tally, refresh: () => this.#refresh() }
    for (let tried = 1; ; tried++) {
      const tcp = new TcpListener({ ...limits, ...shared })
      await tcp.listen({ address, port, netns })
      try {
        const udp = openUdpServer({ address, port: tcp.port, netns })
        this.#listeners.push({ address, port: tcp.port, udp, tcp })
        answerUdp(udp, { ...shared, rateLimit: this.#rateLimit }, (error) => (this.#error ??= error))
        return
      } catch (error) {
        await tcp.close()
        if (port !== 0 || tried === tries || !isKernelError(error, 'EADDRINUSE')) throw error
      }
    }
  }
}

/** One address each: what is sent from all of them would leave from any. */
function addressesOf({
  listen = [{ address: '127.0.0.1' }],
}: DnsServerOptions): { readonly address: string; readonly port: number }[] {
  return listen.map(({ address: text, port }, index) => {
    const address = canonicalAddress(text)
    if (address === undefined || address === '0.0.0.0' || address === '::') {
      throw new ValidationError(`listen[${index}].address`, text, 'one IP address of the host')
    }
    return { address, port: port ?? 53 }
  })
}

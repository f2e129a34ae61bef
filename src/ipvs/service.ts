import { lengthOfDotted } from '../address/index.js'
import { isKernelError, KernelError } from '../errors/index.js'
import type { CallOptions } from '../netlink/index.js'
import { Ipvs, type IpvsOptions } from './client.js'
import type { DrainOptions, DrainResult } from './drain.js'
import {
  type DestinationKey,
  keyOf,
  schedulerBits,
  type Service,
  type ServiceInput,
  type ServiceKey,
  type ServiceOptions,
  wireKey,
} from './input.js'
import { changeService, serviceOptionKeys } from './keep.js'
import { applyOne } from './operations.js'
import type { SchedulerFlag } from './schedulers.js'
import { Servers } from './servers.js'
import { type ServiceEvent, watchService, type WatchOptions } from './watch.js'
import type { Destination, Statistics } from './wire.js'

/** Where the service is, and who speaks to the kernel. */
export interface IpvsServiceOptions extends IpvsOptions {
  /** A client to share; it stays open. Without one the service opens its own. */
  readonly ipvs?: Ipvs | undefined
}

/** Numbers of a service and its servers. */
export interface ServiceStatistics {
  /** Counters and rates of the service as a whole, of all its time. */
  readonly service: Statistics
  /** Each with its own counters, and the connections that it has now. */
  readonly servers: readonly Destination[]
}

/**
 * One virtual service and its real servers.
 *
 * ```ts
 * const web = await IpvsService.ensure({ protocol: 'tcp', address: '192.0.2.10', port: 80, scheduler: 'mh' })
 * await web.servers.set([{ address: '10.0.0.7', port: 8080 }, { address: '10.0.0.8', port: 8080 }])
 * await web.close() // goes on forwarding; web.delete() removes it
 * ```
 */
export class IpvsService {
  /** What names it. */
  readonly key: ServiceKey
  /** Its real servers. */
  readonly servers: Servers
  readonly #ipvs: Ipvs
  readonly #owned: boolean
  readonly #temporary: boolean
  readonly #closed = new AbortController()

  private constructor(ipvs: Ipvs, owned: boolean, key: ServiceKey, temporary = false) {
    this.#ipvs = ipvs
    this.#owned = owned
    this.#temporary = temporary
    this.key = key
    this.servers = new Servers(ipvs, key, this.#closed.signal)
  }

  /**
   * The service, made if it is not there. One that is there keeps its servers, its connections and every option that
   * is not given here. Another scheduler than it has leaves it without one for some 20 ms (an RCU grace period), in which
   * new connections are refused.
   */
  static ensure(input: ServiceInput, options: IpvsServiceOptions = {}): Promise<IpvsService> {
    return IpvsService.#with(input, options, async (ipvs) => {
      await ensureService(ipvs, input, options)
      return true
    }) as Promise<IpvsService>
  }

  /** @throws KernelError EEXIST if it is there already. */
  static create(input: ServiceInput, options: IpvsServiceOptions = {}): Promise<IpvsService> {
    return IpvsService.#with(input, options, async (ipvs) => {
      await ipvs.createService(input, options)
      return true
    }) as Promise<IpvsService>
  }

  /** Undefined if there is no such service. */
  static find(key: ServiceKey, options: IpvsServiceOptions = {}): Promise<IpvsService | undefined> {
    return IpvsService.#with(key, options, async (ipvs) => (await ipvs.service(key, options)) !== undefined)
  }

  /** For tests: a service that is deleted when disposed of or closed. */
  static temporary(input: ServiceInput, options: IpvsServiceOptions = {}): Promise<IpvsService> {
    return IpvsService.#with(
      input,
      options,
      async (ipvs) => {
        await ipvs.createService(input, options)
        return true
      },
      true,
    ) as Promise<IpvsService>
  }

  static async #with(
    key: ServiceKey,
    options: IpvsServiceOptions,
    act: (ipvs: Ipvs) => Promise<boolean>,
    temporary = false,
  ): Promise<IpvsService | undefined> {
    wireKey(key)
    const ipvs = options.ipvs ?? (await Ipvs.open(options))
    const owned = options.ipvs === undefined
    let found = false
    try {
      found = await act(ipvs)
    } finally {
      if (!found && owned) ipvs.close()
    }
    return found ? new IpvsService(ipvs, owned, keyOf(key), temporary) : undefined
  }

  /** As the kernel has it now. @throws KernelError ESRCH if somebody deleted it. */
  async read(options?: CallOptions): Promise<Service> {
    const found = await this.#ipvs.service(this.key, options)
    if (found !== undefined) return found
    throw new KernelError({
      errno: -3,
      operation: 'ipvs.service',
      object: this.key,
      kernelMessage: 'there is no such virtual service any more',
      hint: 'IpvsService.ensure() makes it again',
    })
  }

  /** Changes the options that are given and keeps the others. Connections stay. Another scheduler: see `ensure`. */
  async update(changes: ServiceOptions, options?: CallOptions): Promise<void> {
    const present = await this.read(options)
    await applyOne(this.#ipvs, changeService(present, changes), options)
  }

  /** Lets a server's connections end, then deletes it: see `DrainOptions`. */
  drain(server: DestinationKey, options?: DrainOptions): Promise<DrainResult> {
    return this.servers.drain(server, options)
  }

  /** Counters and rates of the service and of each server, read together. The kernel sums them up every two seconds. */
  async statistics(options?: CallOptions): Promise<ServiceStatistics> {
    const service = await this.read(options)
    return { service: service.statistics, servers: await this.servers.list(options) }
  }

  /** What changes, and the numbers at every look. IPVS has no events, so it is polled. */
  watch(options?: WatchOptions): AsyncGenerator<ServiceEvent, void, undefined> {
    return watchService(this.#ipvs, this.key, this.#closed.signal, options)
  }

  /** Removes the service with its servers from the kernel, and closes. One that is gone already is no error. */
  async delete(options?: CallOptions): Promise<void> {
    try {
      await this.#ipvs.deleteService(this.key, options)
    } catch (error) {
      if (!isKernelError(error, 'ESRCH')) throw error
    }
    this.#end()
  }

  /** Closes the descriptor. The service stays in the kernel and goes on forwarding, unless it is a temporary one. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return
    if (this.#temporary) return this.delete()
    this.#end()
  }

  #end(): void {
    this.#closed.abort(new DOMException('the IpvsService was closed', 'AbortError'))
    if (this.#owned) this.#ipvs.close()
  }

  /** As `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function ensureService(ipvs: Ipvs, input: ServiceInput, options: CallOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const present = await ipvs.service(input, options)
    try {
      if (present === undefined) await ipvs.createService(input, options)
      else await bringTo(ipvs, present, input, options)
      return
    } catch (error) {
      const overtaken = isKernelError(error, present === undefined ? 'EEXIST' : 'ESRCH')
      if (!overtaken || attempt === 5) throw error
    }
  }
}

async function bringTo(
  ipvs: Ipvs,
  present: Service,
  input: ServiceInput,
  options: CallOptions,
): Promise<void> {
  // What is wrong with it is wrong whether there is something to change or not.
  const operation = changeService(present, input)
  if (differs(present, input)) await applyOne(ipvs, operation, options)
}

function differs(present: Service, wanted: ServiceOptions): boolean {
  return serviceOptionKeys.some((key) => {
    const value = wanted[key]
    return value !== undefined && !Object.is(comparable(key, value), comparable(key, present[key]))
  })
}

/** One value for all the ways to write the same. */
function comparable(key: (typeof serviceOptionKeys)[number], value: unknown): unknown {
  if (key === 'schedulerFlags') return schedulerBits(value as SchedulerFlag[])
  if (key === 'persistenceNetmask' && typeof value === 'string') return lengthOfDotted(value) ?? value
  // Null is none, as one that was not read.
  return value ?? undefined
}

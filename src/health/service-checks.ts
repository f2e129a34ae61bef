/** Health of the services of a model: each is watched as long as it is there. */
import type { ServiceChange, VirtualService } from '../model/index.js'
import type { HealthMonitor } from './monitor.js'
import type { HealthInput } from './service.js'

/** How the servers of a service are checked; undefined for one that is not. */
export type ChecksOf = (service: VirtualService) => Omit<HealthInput, 'servers'> | undefined

/**
 * Has a monitor check the servers of virtual services as these come, change and go, and tells what follows. A Reconciler takes
 * it as its `shaper`. The monitor stays the caller's, who closes it.
 */
export class ServiceChecks {
  /** The one that it was made with. */
  readonly monitor: HealthMonitor
  readonly #checksOf: ChecksOf
  /** What is wrong with checks, by the key of the service. */
  readonly #errors = new Map<string, unknown>()

  /** @param checksOf  Asked each time that the model changes a service. */
  constructor(monitor: HealthMonitor, checksOf: ChecksOf) {
    this.monitor = monitor
    this.#checksOf = checksOf
  }

  /** Takes services as they are now, and forgets those that went. What is wrong with a check is thrown by `shape`. */
  change({ upserted, deleted }: ServiceChange): void {
    for (const key of deleted) {
      this.#errors.delete(key)
      this.monitor.delete(key)
    }
    for (const service of upserted) {
      const { key } = service
      this.#errors.delete(key)
      try {
        const checks = this.#checksOf(service)
        if (checks === undefined) this.monitor.delete(key)
        else this.monitor.set(key, { ...checks, servers: serversOf(service) })
      } catch (error) {
        this.#errors.set(key, error)
      }
    }
  }

  /**
   * The service with the servers that are to get connections.
   * @throws what was wrong with its checks: ValidationError, or what `checksOf` threw
   */
  shape(service: VirtualService): VirtualService {
    if (this.#errors.has(service.key)) throw this.#errors.get(service.key)
    return this.monitor.shape(service)
  }

  /** Calls with keys of services that are to be shaped anew. @returns what calls it off */
  watch(changed: (keys: readonly string[]) => void): () => void {
    return this.monitor.watch(changed)
  }
}

/** Those of this node are among all, unless only they are left. */
function serversOf({ servers: { cluster, local } }: VirtualService): HealthInput['servers'] {
  const all = new Map([...cluster, ...local].map((server) => [`${server.address} ${server.port}`, server]))
  return [...all.values()]
}

/** Servers that were taken out while they had connections: looked at until those have ended, then deleted. */
import { isKernelError } from '../../errors/index.js'
import { destinationId, serviceId } from '../../ipvs/input.js'
import { isGone } from '../../ipvs/drain.js'
import type { Destination, Ipvs, ServiceKey } from '../../ipvs/index.js'
import type { DestinationItem } from './items.js'

/** A connection that was being scheduled when the weight was set counts a moment later: twice none, some time apart. */
const quietMilliseconds = 250
const longestPauseMilliseconds = 2000

interface Leaving {
  readonly item: DestinationItem
  quietSince?: number | undefined
}

export class Drainer {
  readonly #ipvs: Ipvs
  /** By the service's id, then by name. */
  readonly #services = new Map<string, { readonly key: ServiceKey; readonly leaving: Map<string, Leaving> }>()
  /** Runs a look with nobody else at work; tells the names that are no longer there. */
  readonly #run: (look: () => Promise<readonly string[]>) => Promise<void>
  #timer: NodeJS.Timeout | undefined
  /** When it goes off, of `performance.now()`. */
  #dueAt = 0
  #pause = quietMilliseconds
  #isClosed = false

  constructor(ipvs: Ipvs, run: (look: () => Promise<readonly string[]>) => Promise<void>) {
    this.#ipvs = ipvs
    this.#run = run
  }

  add(items: readonly DestinationItem[]): void {
    let isNew = false
    for (const item of items) {
      const id = item.serviceId
      const held = this.#services.get(id) ?? { key: item.service, leaving: new Map<string, Leaving>() }
      this.#services.set(id, held)
      if (held.leaving.has(item.name)) continue
      held.leaving.set(item.name, { item })
      isNew = true
    }
    if (!isNew) return
    this.#pause = quietMilliseconds
    this.#schedule()
  }

  /** It is wanted again. */
  forget(item: DestinationItem): void {
    const held = this.#services.get(item.serviceId)
    held?.leaving.delete(item.name)
    if (held?.leaving.size === 0) this.#services.delete(item.serviceId)
  }

  /** The service was deleted, with all that it had. Returns the names of those. */
  forgetService(key: ServiceKey): readonly string[] {
    const id = serviceId(key)
    const names = [...(this.#services.get(id)?.leaving.keys() ?? [])]
    this.#services.delete(id)
    return names
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#isClosed || this.#services.size === 0) return
    const dueAt = performance.now() + this.#pause
    // Who adds one after the other puts nothing off.
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return
    clearTimeout(this.#timer)
    this.#dueAt = dueAt
    // It keeps no process alive: whoever reads the kernel next finds them at weight 0.
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#pause = Math.min(this.#pause * 1.5, longestPauseMilliseconds)
      const again = (): void => this.#schedule()
      this.#run(() => this.#look()).then(again, again)
    }, this.#pause).unref()
  }

  async #look(): Promise<readonly string[]> {
    const gone: string[] = []
    const due: DestinationItem[] = []
    for (const [id, { key, leaving }] of this.#services) {
      const present = await this.#destinationsOf(key)
      const now = performance.now()
      for (const [name, one] of leaving) {
        const destination = present.get(destinationId(key, one.item.destination))
        if (destination === undefined || destination.weight !== 0) {
          // Somebody deleted it, or gave it weight: it is his.
          leaving.delete(name)
          if (destination === undefined) gone.push(name)
        } else if (connectionsOf(key, destination) > 0) one.quietSince = undefined
        else if (one.quietSince === undefined) one.quietSince = now
        else if (now - one.quietSince >= quietMilliseconds) due.push(one.item)
        if (one.quietSince !== undefined) this.#pause = quietMilliseconds
      }
      if (leaving.size === 0) this.#services.delete(id)
    }
    if (due.length === 0) return gone
    const { failures } = await this.#ipvs.apply(
      due.map(({ service, destination: { address, port } }) => ({
        operation: 'deleteDestination',
        service,
        destination: { address, port },
      })),
    )
    const failed = new Set(failures.filter(({ error }) => !isGone(error)).map(({ index }) => index))
    for (const [index, item] of due.entries()) {
      if (failed.has(index)) continue
      this.forget(item)
      gone.push(item.name)
    }
    return gone
  }

  async #destinationsOf(key: ServiceKey): Promise<Map<string, Destination>> {
    try {
      return new Map((await this.#ipvs.destinations(key)).map((one) => [destinationId(key, one), one]))
    } catch (error) {
      if (isKernelError(error, 'ESRCH')) return new Map()
      throw error
    }
  }
}

/** To IPVS an association of SCTP that is being made is inactive, as are flows behind a firewall mark that are no TCP. */
function connectionsOf({ protocol }: ServiceKey, read: Destination): number {
  return read.activeConnections + (protocol === 'tcp' ? 0 : read.inactiveConnections)
}

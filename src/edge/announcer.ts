import { parseMac } from '../address/index.js'
import { type Netns, openPacket, readSysctl } from '../net/index.js'
import type { Rtnetlink } from '../rtnetlink/index.js'
import { announcementsOf } from './announcement.js'

/** When addresses are announced. */
export interface AnnounceSchedule {
  /**
   * After the take-over; `[0, 1000, 2000, 5000]` unless said. The first one moves clients at once. Whoever misses it (a switch whose
   * port still learns, an overfull queue) would stay with the old host until its entry ages, so it is said again: after a second
   * and two, which is when switches and bridges of a network that has just changed begin to forward, and once more afterwards.
   */
  readonly afterMilliseconds?: readonly number[] | undefined
  /** Again and again afterwards, at this distance; not at all unless said. */
  readonly refreshMilliseconds?: number | undefined
}

export const usualSchedule = [0, 1000, 2000, 5000] as const

/**
 * Tells the network once that these addresses are behind this interface. Where the interface has no Ethernet address (`lo`, a tunnel)
 * nobody needs to be told.
 *
 * @param addresses without the lengths of prefixes
 * @throws KernelError, if the interface is gone or down, or packet sockets may not be opened
 */
export async function announce(
  { netns, device }: { readonly netns?: Netns | undefined; readonly device: string },
  addresses: readonly string[],
  rtnetlink: Rtnetlink,
): Promise<void> {
  const link = await rtnetlink.links.get(device)
  if (link.type !== 'ether' || link.address === undefined) return
  const hardware = parseMac(link.address)!
  const isRouter = readSysctl(`net/ipv6/conf/${device}/forwarding`, { netns }) === '1'
  // Of no protocol: it receives nothing.
  const socket = openPacket({ netns, device, protocol: 0 })
  try {
    let failure: unknown
    for (const address of addresses) {
      for (const { bytes, destination, etherType } of announcementsOf(address, hardware, isRouter)) {
        try {
          socket.send(bytes, { address: destination, port: etherType, interfaceIndex: link.index })
        } catch (error) {
          failure ??= error
        }
      }
    }
    if (failure !== undefined) throw failure as Error
  } finally {
    socket.close()
  }
}

/** Announces by a schedule, until it is stopped. What fails is told, and the next one is tried all the same. */
export class Announcer {
  readonly #announce: () => Promise<void>
  readonly #schedule: readonly number[]
  readonly #refresh: number | undefined
  readonly #failed: (error: Error) => void
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #running = new Set<Promise<void>>()

  constructor(
    announce: () => Promise<void>,
    { afterMilliseconds = usualSchedule, refreshMilliseconds }: AnnounceSchedule,
    failed: (error: Error) => void,
  ) {
    this.#announce = announce
    this.#schedule = afterMilliseconds
    this.#refresh = refreshMilliseconds
    this.#failed = failed
  }

  /** From the beginning. The first one, if it is due at once, is out when it resolves. */
  async start(): Promise<void> {
    this.#cancel()
    for (const wait of this.#schedule) if (wait > 0) this.#after(wait)
    if (this.#refresh !== undefined) {
      const last = this.#schedule.at(-1) ?? 0
      this.#after(last + this.#refresh, this.#refresh)
    }
    if (this.#schedule.includes(0)) await this.#now()
  }

  async stop(): Promise<void> {
    this.#cancel()
    await Promise.all(this.#running)
  }

  #cancel(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #after(wait: number, again?: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#now()
      if (again !== undefined) this.#after(again, again)
    }, wait)
    this.#timers.add(timer)
  }

  #now(): Promise<void> {
    const work = this.#announce()
      .catch((error: unknown) => this.#failed(error as Error))
      .finally(() => this.#running.delete(work))
    this.#running.add(work)
    return work
  }
}

/** Whether the kernel has a scheduler, before anything is made that needs it. */
import { isKernelError, UnsupportedError } from '../../errors/index.js'
import type { Ipvs } from '../../ipvs/index.js'
import { firstMark, firstServerMark } from './words.js'

/** No virtual service and no server has these numbers; somebody else may have one. */
const probes = [firstMark, firstServerMark].map((firewallMark) => ({ firewallMark, family: 'ipv4' }) as const)
/** What a probe is told by, if its process was killed before it took it away. */
const signature = { persistenceTimeoutSeconds: 2_654_321 } as const

/** Remembers what it has found. A scheduler's module is loaded by asking for it. */
export class SchedulerProbe {
  readonly #ipvs: Ipvs
  readonly #known = new Set<string>()

  constructor(ipvs: Ipvs) {
    this.#ipvs = ipvs
  }

  /** It is in use. */
  see(scheduler: string): void {
    this.#known.add(scheduler)
  }

  /** Makes a service with it that no packet reaches, and takes it away. @throws UnsupportedError, KernelError */
  async check(scheduler: string): Promise<void> {
    if (this.#known.has(scheduler)) return
    const probe = await this.#create(scheduler)
    // Whether it is there is told by what needs it.
    if (probe === undefined) return
    await this.#ipvs.deleteService(probe)
    this.#known.add(scheduler)
  }

  /** None where all are somebody else's. */
  async #create(scheduler: string): Promise<(typeof probes)[number] | undefined> {
    for (const probe of probes) {
      try {
        if (await this.#isLeft(probe)) await this.#ipvs.deleteService(probe)
        await this.#ipvs.createService({ ...probe, ...signature, scheduler })
        return probe
      } catch (error) {
        if (isKernelError(error, 'EEXIST')) continue
        if (!isKernelError(error, 'ENOENT')) throw error
        throw new UnsupportedError(
          `the scheduler ${scheduler}`,
          `the kernel module ip_vs_${scheduler}, or another scheduler: rr, wrr, lc, wlc, sh and mh are the usual ones`,
          { cause: error },
        )
      }
    }
    return undefined
  }

  async #isLeft(probe: (typeof probes)[number]): Promise<boolean> {
    const found = await this.#ipvs.service(probe)
    return found?.persistenceTimeoutSeconds === signature.persistenceTimeoutSeconds
  }
}

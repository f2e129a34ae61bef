/** Whether the kernel has a scheduler, before anything is made that needs it. */
import { isKernelError, UnsupportedError } from '../../errors/index.js'
import type { Ipvs } from '../../ipvs/index.js'
import { firstMark } from './words.js'

/** No virtual service has this number. */
const probe = { firewallMark: firstMark, family: 'ipv4' } as const

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
    try {
      await this.#ipvs.createService({ ...probe, scheduler })
    } catch (error) {
      // Of one that was left by a process which was killed here.
      if (isKernelError(error, 'EEXIST')) {
        await this.#ipvs.deleteService(probe)
        return this.check(scheduler)
      }
      if (!isKernelError(error, 'ENOENT')) throw error
      throw new UnsupportedError(
        `the scheduler ${scheduler}`,
        `the kernel module ip_vs_${scheduler}, or another scheduler: rr, wrr, lc, wlc, sh and mh are the usual ones`,
        { cause: error },
      )
    }
    await this.#ipvs.deleteService(probe)
    this.#known.add(scheduler)
  }
}

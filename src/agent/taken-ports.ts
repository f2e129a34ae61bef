/** Who listens on ports of this host, so that no service is given a node port that a process has. */
import type { Netns } from '../net/index.js'
import type { ServiceProtocol } from '../model/index.js'
import { isKernelError, isUnsupportedError } from '../errors/index.js'
import { Sockdiag } from '../sockdiag/index.js'

export class TakenPorts {
  readonly #netns: Netns | undefined
  #holders = new Map<string, string>()
  #reading: Promise<void> | undefined

  private constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  static async open(netns: Netns | undefined): Promise<TakenPorts> {
    const taken = new TakenPorts(netns)
    await taken.refresh()
    return taken
  }

  /** As the model asks. */
  readonly holder = (port: number, protocol: ServiceProtocol): string | undefined =>
    this.#holders.get(`${port}/${protocol}`)

  /** Looks again. Where the kernel does not tell nobody is known. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #read(): Promise<void> {
    try {
      const sockdiag = await Sockdiag.open({ netns: this.#netns })
      try {
        const holders = new Map<string, string>()
        for (const protocol of ['tcp', 'udp'] as const) {
          const states = [protocol === 'tcp' ? ('listen' as const) : ('close' as const)]
          const found = await sockdiag.owners(await sockdiag.sockets({ protocol, states }))
          for (const { localPort, processes } of found) {
            // What this process answers at is the service's own.
            if (processes.some(({ pid }) => pid === process.pid)) continue
            const names = processes.map(({ name, pid }) => `${name} (${pid})`)
            holders.set(`${localPort}/${protocol}`, names.join(', ') || 'a process of somebody else')
          }
        }
        this.#holders = holders
      } finally {
        sockdiag.close()
      }
    } catch (error) {
      if (!isKernelError(error) && !isUnsupportedError(error)) throw error
    }
  }
}

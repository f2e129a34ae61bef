/** Who listens on ports of this host, so that no service is given a node port that a process has. */
import type { Netns } from '../net/index.js'
import { isObject } from '../model/reading.js'
import type { ModelObject, ServiceProtocol } from '../model/index.js'
import { isKernelError, isUnsupportedError } from '../errors/index.js'
import { Sockdiag } from '../sockdiag/index.js'

/** All processes are looked at for it: in a burst of changes that is done now and then. */
const freshMilliseconds = 100

export class TakenPorts {
  readonly #netns: Netns | undefined
  #holders = new Map<string, string>()
  #reading: Promise<void> | undefined
  /** Of `performance.now()`. */
  #readAt = -Infinity

  private constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  static async open(netns: Netns | undefined): Promise<TakenPorts> {
    const taken = new TakenPorts(netns)
    await taken.#refresh()
    return taken
  }

  /** As the model asks. */
  readonly holder = (port: number, protocol: ServiceProtocol): string | undefined =>
    this.#holders.get(`${port}/${protocol}`)

  /** Looks again, if the object may ask for node ports. Where the kernel does not tell nobody is known. */
  async refreshFor(object: ModelObject): Promise<void> {
    if (mayAskForNodePorts(object)) await this.#refresh()
  }

  #refresh(): Promise<void> {
    if (performance.now() - this.#readAt < freshMilliseconds) return Promise.resolve()
    this.#reading ??= this.#read().finally(() => {
      this.#readAt = performance.now()
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    try {
      const sockdiag = await Sockdiag.open({ netns: this.#netns })
      try {
        const holders = new Map<string, string>()
        for (const protocol of ['tcp', 'udp'] as const) {
          for (const { localPort, processes } of await sockdiag.listeners(undefined, protocol)) {
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

/** What is read here may have any shape: the model looks at it in earnest. */
function mayAskForNodePorts(object: ModelObject): boolean {
  if (!('kind' in object)) {
    const ports: unknown = object.ports
    return Array.isArray(ports) && ports.some((port: unknown) => isObject(port) && 'nodePort' in port)
  }
  if (object.kind !== 'Service') return false
  return object.spec?.type === 'NodePort' || object.spec?.type === 'LoadBalancer'
}

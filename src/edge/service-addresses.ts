/** Addresses of services from a provider: asked for when a service comes or changes, given back when it goes. */
import { isDeepStrictEqual } from 'node:util'
import type { Service } from 'kubernetes-types/core/v1.js'
import { KeyedWork } from './keyed-work.js'
import type { NamespacedName } from './node-backends.js'
import type { LoadBalancerProvider } from './provider.js'

interface Known {
  readonly name: NamespacedName
  /** Undefined where the addresses are to be given back. */
  service: Service | undefined
  /** What it had last: kept where it cannot be asked for now. Undefined before, and when it was to be given back. */
  addresses: readonly string[] | undefined
}

const deadlineMilliseconds = 30_000

/** Services are named by `namespace/name`. */
export class ServiceAddresses {
  readonly #known = new Map<string, Known>()
  readonly #work: KeyedWork

  /** `changed` is called with those whose addresses, or errors, are others now. */
  constructor(provider: LoadBalancerProvider, changed: (id: string) => void) {
    this.#work = new KeyedWork({
      work: async (id, signal) => {
        const known = this.#known.get(id)
        if (known === undefined) return
        const { service } = known
        if (service !== undefined) known.addresses = [...(await provider.ensure(service, { signal }))]
        else {
          await provider.remove(known.name, { signal })
          // What it has given back may be what others lack.
          this.#work.requestFailed()
        }
      },
      answered: (id) => {
        const isGone = this.#known.get(id)?.service === undefined
        if (isGone && this.#work.errorOf(id) === undefined) {
          this.#known.delete(id)
          this.#work.forget(id)
        }
        changed(id)
      },
      deadlineMilliseconds,
    })
  }

  /** It is to have addresses. Its status and what an API server notes in it are no reason to ask again. */
  set(id: string, name: NamespacedName, service: Service): void {
    const known = this.#known.get(id)
    const before = known?.service
    if (known === undefined) this.#known.set(id, { name, service, addresses: undefined })
    else known.service = service
    if (before === undefined || !isDeepStrictEqual(asked(before), asked(service))) this.#work.request(id)
  }

  /** It needs none any more. */
  delete(id: string): void {
    const known = this.#known.get(id)
    if (known?.service === undefined) return
    known.service = undefined
    known.addresses = undefined
    this.#work.request(id)
  }

  /** None where it has failed; undefined as long as the provider has not answered for the first time. */
  of(id: string): readonly string[] | undefined {
    return this.#known.get(id)?.addresses ?? (this.#work.errorOf(id) === undefined ? undefined : [])
  }

  /** Why it has none, or not those that it asks for. */
  errorOf(id: string): Error | undefined {
    return this.#work.errorOf(id)
  }

  /** Asks no more; what was given stays given. */
  close(): void {
    this.#work.close()
  }
}

function asked({ metadata, spec }: Service) {
  return { annotations: metadata?.annotations, labels: metadata?.labels, spec }
}

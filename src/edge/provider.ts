/** Where load balancers' addresses come from. */
import type { Service } from 'kubernetes-types/core/v1.js'
import { ValidationError } from '../errors/index.js'
import { type AllocateOptions, type Allocation, type ObjectReference, ServiceModel } from '../model/index.js'

/** What names a Service. */
export interface ServiceName {
  /** `default` unless said. */
  readonly namespace?: string | undefined
  /** A DNS label. */
  readonly name: string
}

/** Gives addresses to services of type LoadBalancer: a pool of one's own, or a cloud's API. */
export interface LoadBalancerProvider {
  /**
   * The addresses of a service, the same ones as long as it is known. It may be called as often as one likes, and with what has changed
   * of the service. Rejects when none can be had, with an error that says why.
   */
  ensure(service: Service, options?: ProviderOptions): Promise<readonly string[]>
  /** The service is gone: its addresses are free. One that is unknown is none, too. */
  remove(service: ServiceName, options?: ProviderOptions): Promise<void>
}

/** Of a call. */
export interface ProviderOptions {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined
}

/** What a pool is made of. */
export interface PoolProviderOptions {
  /** As `AllocateOptions.pools`: ranges of addresses by the name of the pool. */
  readonly pools: NonNullable<AllocateOptions['pools']>
  /** What `allocations()` told at another time: a service gets the same addresses again, where they are free. */
  readonly allocations?: Iterable<Allocation> | undefined
}

/**
 * Addresses out of pools of one's own. A service names its pool as it does for the model (the annotation `viaduct/pool`, or
 * `loadBalancerClass: viaduct/NAME`), and may ask for an address (`spec.loadBalancerIP`).
 */
export class PoolProvider implements LoadBalancerProvider {
  readonly #model: ServiceModel

  /** @throws ValidationError if a range is none */
  constructor({ pools, allocations }: PoolProviderOptions) {
    this.#model = new ServiceModel({ allocate: { pools }, allocations })
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- other providers ask somebody
  async ensure(service: Service): Promise<readonly string[]> {
    const { metadata, spec } = service
    const name = metadata?.name
    if (spec?.type !== 'LoadBalancer' || name === undefined) {
      throw new ValidationError('spec.type', spec?.type, '"LoadBalancer"')
    }
    const { namespace = 'default', annotations } = metadata ?? {}
    // To the pool it is a service that asks for an address and nothing else. What it has already by its status is not its own word.
    const refused = this.#model.upsert({
      kind: 'Service',
      metadata: { name, namespace, ...(annotations === undefined ? {} : { annotations }) },
      spec: {
        type: 'LoadBalancer',
        // Their node ports are no business of the pool's.
        ports: (spec.ports ?? []).map(({ name, port, protocol }) => ({ name, port, protocol })),
        allocateLoadBalancerNodePorts: false,
        loadBalancerClass: spec.loadBalancerClass ?? 'viaduct',
        ...(spec.loadBalancerIP === undefined ? {} : { loadBalancerIP: spec.loadBalancerIP }),
        ...(spec.ipFamilies === undefined ? {} : { ipFamilies: spec.ipFamilies }),
      },
    } as never)
    if (refused?.error !== undefined) throw refused.error
    const known = this.#model.service({ namespace, name })
    const addresses = known?.service.loadBalancerAddresses ?? []
    if (addresses.length > 0) return addresses
    const reasons = this.#model
      .problems()
      .filter(({ object, reason }) => isOf(object, namespace, name) && reason !== 'NoAddress')
      .map(({ message }) => message)
    throw new Error(`no address for ${namespace}/${name}: ${reasons.join('; ') || 'it is of no pool here'}`)
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- other providers ask somebody
  async remove({ namespace, name }: ServiceName): Promise<void> {
    this.#model.delete({ kind: 'Service', namespace, name })
  }

  /** What was given, for `PoolProviderOptions.allocations` of the next start. */
  allocations(): Allocation[] {
    return this.#model.allocations()
  }
}

function isOf(object: ObjectReference, namespace: string, name: string): boolean {
  return object.kind === 'Service' && object.name === name && (object.namespace ?? 'default') === namespace
}

import { BatchError, KernelError } from '../errors/index.js'
import type { BatchOutcome, CallOptions } from '../netlink/index.js'
import type { Ipvs } from './client.js'
import type { IpvsOperation } from './operations.js'
import { drainServers, type DrainOptions, type DrainResult, isGone } from './drain.js'
import {
  destinationId,
  type DestinationInput,
  destinationInputOf,
  type DestinationKey,
  type ServiceKey,
} from './input.js'
import {
  additions,
  deletions,
  planServers,
  quiesce,
  serverKey,
  type ServerKey,
  type ServerPlan,
} from './plan.js'
import type { Destination } from './wire.js'

/** How servers are replaced. */
export interface SetServersOptions extends Omit<DrainOptions, 'timeoutSeconds'> {
  /** What becomes of servers that are not in the list: gone at once (the default), or when their connections are. */
  readonly removed?: 'delete' | 'drain' | undefined
  /** How long a drain may take; 30 unless said. */
  readonly drainTimeoutSeconds?: number | undefined
}

/** What `servers.set` has done. */
export interface ServersChange {
  readonly added: readonly ServerKey[]
  readonly updated: readonly ServerKey[]
  /** With how their draining went, where they were drained. */
  readonly removed: readonly (ServerKey & { readonly drain?: DrainResult })[]
  readonly unchanged: readonly ServerKey[]
}

const attempts = 5

/** The real servers of one virtual service. */
export class Servers {
  readonly #ipvs: Ipvs
  readonly #service: ServiceKey
  readonly #closed: AbortSignal

  constructor(ipvs: Ipvs, service: ServiceKey, closed: AbortSignal) {
    this.#ipvs = ipvs
    this.#service = service
    this.#closed = closed
  }

  /** As the kernel has them now. */
  list(options?: CallOptions): Promise<Destination[]> {
    return this.#ipvs.destinations(this.#service, options)
  }

  /** @throws KernelError EEXIST if it is there already. */
  async add(server: DestinationInput, options?: CallOptions): Promise<void> {
    await this.#ipvs.createDestination(this.#service, server, options)
  }

  /** Changes the fields that are given and keeps the others. */
  async update(server: DestinationKey & Partial<DestinationInput>, options?: CallOptions): Promise<void> {
    const read = await this.#find(server, options)
    const given = Object.fromEntries(Object.entries(server).filter(([, value]) => value !== undefined))
    const kept = destinationInputOf(read)
    const merged: DestinationInput = { ...kept, ...given }
    await this.#ipvs.setDestination(this.#service, withoutStrayTunnel(merged, server), options)
  }

  /** Takes a server out at once; packets of its connections are dropped. One that is not there is no error. */
  async remove(server: DestinationKey, options?: CallOptions): Promise<void> {
    try {
      await this.#ipvs.deleteDestination(this.#service, server, options)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  /**
   * Lets a server's connections end and then deletes it. New ones go to the others from the call on.
   * @throws KernelError ENOENT if there is no such server.
   */
  async drain(server: DestinationKey, options: DrainOptions = {}): Promise<DrainResult> {
    return this.#unlessClosed(async () => {
      const read = await this.#find(server, { signal: options.signal })
      const [result] = await this.#drain([read], options)
      return result!
    })
  }

  /**
   * Makes the service have just these servers, with the least change and without a moment in which it has none: adds
   * and updates first, then weight 0 for those that go, then their deletion. Nothing else is touched, and a second
   * call changes nothing. What a server leaves out has its default.
   * @throws BatchError with what was applied and every failure; no server is removed if one could not be added.
   */
  async set(wanted: readonly DestinationInput[], options: SetServersOptions = {}): Promise<ServersChange> {
    const { signal, removed: how = 'delete' } = options
    const { plan, applied } = await this.#addAndUpdate(wanted, signal)
    const key = this.#service
    const removed = plan.remove.map(serverKey)
    let drains: readonly DrainResult[] | undefined
    if (how === 'drain' && plan.remove.length > 0) {
      const drainOptions = { ...options, timeoutSeconds: options.drainTimeoutSeconds }
      drains = await this.#unlessClosed(() => this.#drain(plan.remove, drainOptions))
    } else if (plan.remove.length > 0) {
      const operations = [...quiesce(key, plan.remove), ...deletions(key, plan.remove)]
      // What has been added cannot be taken back, so an abort comes too late for the rest.
      const outcome = await this.#ipvs.apply(operations)
      const failures = outcome.failures.filter(({ error }) => !isGone(error))
      if (failures.length > 0) throw new BatchError('ipvs.servers.set', applied + outcome.applied, failures)
    }
    const named = (server: DestinationInput): ServerKey => ({
      address: server.address,
      port: server.port ?? key.port ?? 0,
    })
    return {
      added: plan.add.map(named),
      updated: plan.update.map(named),
      removed: removed.map((server, index) =>
        drains === undefined ? server : { ...server, drain: drains[index]! },
      ),
      unchanged: plan.unchanged.map(serverKey),
    }
  }

  /** Somebody else may change the table meanwhile: then it is read and compared anew. */
  async #addAndUpdate(
    wanted: readonly DestinationInput[],
    signal: AbortSignal | undefined,
  ): Promise<{ plan: ServerPlan; applied: number }> {
    let applied = 0
    for (let attempt = 1; ; attempt++) {
      const plan = planServers(this.#service, await this.list({ signal }), wanted)
      const operations: IpvsOperation[] = additions(this.#service, plan)
      const outcome: BatchOutcome =
        operations.length === 0
          ? { applied: 0, failures: [], notSent: 0 }
          : await this.#ipvs.apply(operations, { signal })
      applied += outcome.applied
      if (outcome.failures.length === 0) return { plan, applied }
      const overtaken = outcome.failures.every(({ error }) => isGone(error) || codeOf(error) === 'EEXIST')
      if (
        !overtaken ||
        attempt === attempts ||
        outcome.failures.some(({ error }) => codeOf(error) === 'ESRCH')
      ) {
        throw new BatchError('ipvs.servers.set', applied, outcome.failures)
      }
    }
  }

  async #drain(servers: readonly Destination[], options: DrainOptions): Promise<DrainResult[]> {
    const signal =
      options.signal === undefined ? this.#closed : AbortSignal.any([options.signal, this.#closed])
    return drainServers(this.#ipvs, this.#service, servers, { ...options, signal })
  }

  /** Closing the service closes the socket under what is going on: the closing is the reason then, not the socket. */
  async #unlessClosed<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.#closed.throwIfAborted()
      throw error
    }
  }

  async #find(server: DestinationKey, options?: CallOptions): Promise<Destination> {
    const id = destinationId(this.#service, server)
    const read = (await this.list(options)).find((other) => destinationId(this.#service, other) === id)
    if (read !== undefined) return read
    throw new KernelError({
      errno: -2,
      operation: 'ipvs.servers',
      object: { service: this.#service, server },
      kernelMessage: 'the service has no such server',
      hint: 'Add it first, or use servers.set()',
    })
  }
}

/** Another forwarding method than tunnel has no tunnel: what was kept of it must go, what was given must fail. */
function withoutStrayTunnel(merged: DestinationInput, given: Partial<DestinationInput>): DestinationInput {
  if (merged.forwardingMethod === 'tunnel') return merged
  const { tunnelType, tunnelPort, tunnelFlags, ...rest } = merged
  return {
    ...rest,
    ...(given.tunnelType !== undefined && { tunnelType }),
    ...(given.tunnelPort !== undefined && { tunnelPort }),
    ...(given.tunnelFlags !== undefined && { tunnelFlags }),
  }
}

function codeOf(error: Error): unknown {
  return (error as { code?: unknown }).code
}

import { type BatchFailure, isKernelError, KernelError } from '../errors/index.js'
import type { BatchOutcome, CallOptions } from '../netlink/index.js'
import type { Ipvs } from './client.js'
import { applyOne, type IpvsOperation } from './operations.js'
import { checkDrainTimeout, drainServers, type DrainOptions, type DrainResult, isGone } from './drain.js'
import { destinationId, type DestinationInput, type DestinationKey, type ServiceKey } from './input.js'
import { changeDestination } from './keep.js'
import { ServerLedger, type ServersChange } from './ledger.js'
import {
  additions,
  deletions,
  isNothing,
  planServers,
  quiesce,
  type ServerPlan,
  withdrawals,
} from './plan.js'
import { isWhole } from './reading.js'
import type { Destination } from './wire.js'

/** How servers are replaced. */
export interface SetServersOptions extends Omit<DrainOptions, 'timeoutSeconds'> {
  /** What becomes of servers that are not in the list: gone at once (the default), or when their connections are. */
  readonly removed?: 'delete' | 'drain' | undefined
  /** How long a drain may take; 30 unless said. */
  readonly drainTimeoutSeconds?: number | undefined
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

  /** Changes the fields that are given and keeps the others, whoever chose them. */
  async update(server: DestinationKey & Partial<DestinationInput>, options?: CallOptions): Promise<void> {
    const read = await this.#find(server, options)
    await applyOne(this.#ipvs, changeDestination(this.#service, read, server), options)
  }

  /**
   * Takes a server out at once. One that is not there is no error. What becomes of its connections: see
   * `Ipvs.deleteDestination`; `drain` lets them end first.
   */
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
   * Makes the service have just these servers, with the least change and without a moment in which none takes
   * connections: servers that do come first, and only when all of them are there do others get weight 0 and go. Nothing
   * else is touched, and a second call changes nothing. What a server leaves out has its default.
   *
   * What others change meanwhile is read and compared anew, a few times.
   * @throws BatchError with how much was applied and every failure; no server is removed if one could not be added.
   * ServersAbortedError if it was aborted with something done.
   */
  async set(wanted: readonly DestinationInput[], options: SetServersOptions = {}): Promise<ServersChange> {
    checkDrainTimeout(options.drainTimeoutSeconds, 'options.drainTimeoutSeconds')
    const ledger = new ServerLedger(this.#service, wanted)
    try {
      await this.#settle(wanted, options, ledger)
    } catch (error) {
      throw ledger.ended(error, options.signal, this.#closed)
    }
    return ledger.change()
  }

  async #settle(
    wanted: readonly DestinationInput[],
    options: SetServersOptions,
    ledger: ServerLedger,
  ): Promise<void> {
    const { signal, removed = 'delete' } = options
    let overtaken = 0
    for (let looks = 1; ; looks++) {
      const present = await this.list({ signal })
      const plan = ledger.pending(planServers(this.#service, present, wanted))
      if (await this.#perform(plan, removed, options, ledger, overtaken === attempts - 1)) {
        overtaken++
        continue
      }
      // A table that came in pieces may have more in it than was read: a second look must find nothing to do.
      if (isWhole(present) || (looks > 1 && isNothing(plan)) || looks - overtaken === attempts) return
    }
  }

  /** Returns whether somebody else was faster, so that it must be compared anew. */
  async #perform(
    plan: ServerPlan,
    removed: 'delete' | 'drain',
    options: SetServersOptions,
    ledger: ServerLedger,
    last: boolean,
  ): Promise<boolean> {
    const { signal } = options
    const service = this.#service
    const added = await this.#apply(additions(service, plan), ledger, signal)
    if (added.notSent > 0) signal?.throwIfAborted()
    if (added.failures.length > 0) {
      if (last || !added.failures.every(isOvertaken)) throw ledger.failed(added.failures)
      return true
    }
    const operations = withdrawals(service, plan)
    if (removed === 'delete') {
      operations.push(...quiesce(service, plan.remove), ...deletions(service, plan.remove))
    }
    // What has been added cannot be taken back, so an abort comes too late for the rest.
    const { failures } = await this.#apply(operations, ledger)
    const real = failures.filter(({ error }) => !isGone(error))
    if (real.length > 0) {
      if (last || !real.every(isOvertaken)) throw ledger.failed(real)
      return true
    }
    if (removed === 'drain' && plan.remove.length > 0) {
      const drainOptions = { ...options, timeoutSeconds: options.drainTimeoutSeconds }
      ledger.drained(plan.remove, await this.#drain(plan.remove, drainOptions))
    }
    return false
  }

  async #apply(
    operations: readonly IpvsOperation[],
    ledger: ServerLedger,
    signal?: AbortSignal,
  ): Promise<BatchOutcome> {
    if (operations.length === 0) return { applied: 0, failures: [], notSent: 0 }
    const outcome = await this.#ipvs.apply(operations, { signal })
    ledger.applied(operations, outcome)
    return outcome
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
    for (let look = 1; ; look++) {
      const all = await this.list(options)
      const read = all.find((other) => destinationId(this.#service, other) === id)
      if (read !== undefined) return read
      if (isWhole(all) || look === 2) break
    }
    throw new KernelError({
      errno: -2,
      operation: 'ipvs.servers',
      object: { service: this.#service, server },
      kernelMessage: 'the service has no such server',
      hint: 'Add it first, or use servers.set()',
    })
  }
}

/** Somebody was faster, or an answer was lost (ENOBUFS): looking again tells what is so. */
function isOvertaken({ error }: BatchFailure): boolean {
  return ['ENOENT', 'EEXIST', 'ENOBUFS'].some((code) => isKernelError(error, code))
}

import { BatchError, type BatchFailure, isBatchError, isKernelError } from '../errors/index.js'
import type { BatchOutcome } from '../netlink/index.js'
import { type DrainResult, isGone } from './drain.js'
import { destinationId, type DestinationInput, type ServiceKey } from './input.js'
import type { IpvsOperation } from './operations.js'
import { type ServerKey, serverKey, type ServerPlan } from './plan.js'

/** What `servers.set` has done. */
export interface ServersChange {
  /** They were not there before. */
  readonly added: readonly ServerKey[]
  /** They were there, and something of them was another. */
  readonly updated: readonly ServerKey[]
  /** With how their draining went, where they were drained. */
  readonly removed: readonly (ServerKey & { readonly drain?: DrainResult })[]
  /** They were as wanted: nothing was sent for them. */
  readonly unchanged: readonly ServerKey[]
}

/**
 * `servers.set` was aborted, by its signal or because the service was closed, when something was done already. That
 * stays: servers that were to go are still there, at weight 0 if they were being drained. `cause` is the signal's reason.
 */
export class ServersAbortedError extends Error {
  /** Node's own, as of every abort. */
  override readonly name = 'AbortError'
  /** Node's own, as of every abort. */
  readonly code = 'ABORT_ERR'
  /** What had been done. */
  readonly change: Omit<ServersChange, 'unchanged'>

  constructor(change: Omit<ServersChange, 'unchanged'>, reason: unknown) {
    const { added, updated, removed } = change
    const done = `${added.length} servers added, ${updated.length} updated and ${removed.length} removed`
    super(`ipvs.servers.set was aborted with ${done}`, { cause: reason })
    this.change = change
  }
}

interface Deed {
  readonly what: 'added' | 'updated' | 'removed'
  readonly server: ServerKey & { readonly drain?: DrainResult }
}

/** Keeps what one `servers.set` has done, over all the times that it had to look again. */
export class ServerLedger {
  readonly #service: ServiceKey
  readonly #wanted: readonly DestinationInput[]
  #wantedIds: ReadonlyMap<string, ServerKey> = new Map()
  readonly #done = new Map<string, Deed>()
  /** Their answer was lost: the next look tells whether they were done. */
  readonly #uncertain = new Map<string, Deed>()
  #applied = 0

  constructor(service: ServiceKey, wanted: readonly DestinationInput[]) {
    this.#service = service
    this.#wanted = wanted
  }

  /** What of a new plan is left to do. */
  pending(plan: ServerPlan): ServerPlan {
    const port = this.#service.port ?? 0
    this.#wantedIds = new Map(
      this.#wanted.map((server) => [
        this.#id(server),
        { address: server.address, port: server.port ?? port },
      ]),
    )
    const open = new Set([...plan.add, ...plan.update, ...plan.remove].map((server) => this.#id(server)))
    for (const [id, deed] of this.#uncertain) if (!open.has(id)) this.#note(id, deed)
    this.#uncertain.clear()
    // One that was left at the end of its drain is not drained again.
    const remove = plan.remove.filter(
      (server) => this.#done.get(this.#id(server))?.server.drain === undefined,
    )
    return { ...plan, remove }
  }

  applied(operations: readonly IpvsOperation[], { applied, failures }: BatchOutcome): void {
    this.#applied += applied
    const errors = new Map(failures.map(({ index, error }) => [index, error]))
    // Those that were never sent are the last ones.
    let rest = applied
    for (const [index, operation] of operations.entries()) {
      const error = errors.get(index)
      const isDone = error === undefined && rest-- > 0
      const deed = this.#deedOf(operation)
      if (deed === undefined) continue
      const id = this.#id(deed.server)
      if (isDone || (deed.what === 'removed' && isGone(error))) this.#note(id, deed)
      else if (isKernelError(error, 'ENOBUFS')) this.#uncertain.set(id, deed)
    }
  }

  drained(servers: readonly ServerKey[], results: readonly DrainResult[]): void {
    for (const [index, server] of servers.entries()) {
      const drain = results[index]!
      if (drain.deleted) this.#applied++
      this.#done.set(this.#id(server), { what: 'removed', server: { ...serverKey(server), drain } })
    }
  }

  change(): ServersChange {
    const deeds = (what: Deed['what']): Deed['server'][] =>
      [...this.#done.values()].filter((deed) => deed.what === what).map(({ server }) => server)
    const unchanged = [...this.#wantedIds].filter(([id]) => !this.#done.has(id)).map(([, server]) => server)
    return { added: deeds('added'), updated: deeds('updated'), removed: deeds('removed'), unchanged }
  }

  failed(failures: readonly BatchFailure[]): BatchError {
    return new BatchError('ipvs.servers.set', this.#applied, failures)
  }

  /** What is thrown where `error` ended it: it tells what had been done, if anything. */
  ended(error: unknown, signal: AbortSignal | undefined, closed: AbortSignal): unknown {
    const isAbort = error === signal?.reason || (error as Error).name === 'AbortError'
    const aborted = closed.aborted ? closed : isAbort && signal?.aborted === true ? signal : undefined
    if (aborted !== undefined) {
      if (this.#applied === 0) return aborted.reason
      const { added, updated, removed } = this.change()
      return new ServersAbortedError({ added, updated, removed }, aborted.reason)
    }
    if (this.#applied === 0 || isBatchError(error)) return error
    const operation = (error as { operation?: string }).operation ?? 'ipvs.servers.set'
    return this.failed([{ index: 0, operation, object: this.#service, error: error as Error }])
  }

  #deedOf(operation: IpvsOperation): Deed | undefined {
    if (!('destination' in operation)) return undefined
    const { destination } = operation
    const server = { address: destination.address, port: destination.port ?? this.#service.port ?? 0 }
    if (operation.operation === 'createDestination') return { what: 'added', server }
    if (operation.operation === 'deleteDestination') return { what: 'removed', server }
    // Weight 0 for one that goes is on the way to its removal.
    return this.#wantedIds.has(this.#id(server)) ? { what: 'updated', server } : undefined
  }

  #note(id: string, deed: Deed): void {
    // What was added and then had to be mended was added.
    if (deed.what === 'updated' && this.#done.get(id)?.what === 'added') return
    this.#done.set(id, deed)
  }

  #id(server: { readonly address: string; readonly port?: number | undefined }): string {
    return destinationId(this.#service, server)
  }
}

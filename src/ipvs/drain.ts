import { setTimeout as sleep } from 'node:timers/promises'
import { isKernelError, isUnsupportedError, ValidationError } from '../errors/index.js'
import type { Ipvs } from './client.js'
import { destinationId, type ServiceKey } from './input.js'
import { deletions, quiesce } from './plan.js'
import { isWhole } from './reading.js'
import type { Destination } from './wire.js'

/** How a server is drained. */
export interface DrainOptions {
  /** How long connections may take to end; 30 unless said. */
  readonly timeoutSeconds?: number | undefined
  /** What becomes of a server that still has connections then; `delete` unless said. */
  readonly onTimeout?: 'delete' | 'keep' | undefined
  /**
   * Which connections are waited for. `active`: those that carry data (the default for TCP); `all`: the inactive ones,
   * too (the default for UDP, whose flows are all inactive to IPVS, and for SCTP). A firewall mark may carry everything:
   * its servers that have UDP flows or SCTP associations are waited for as with `all`, the others as with `active`.
   */
  readonly connections?: 'active' | 'all' | undefined
  /**
   * Persistent clients come back to their server in spite of weight 0, unless the namespace's
   * `net.ipv4.vs.expire_quiescent_template` is on. True turns it on.
   */
  readonly expireTemplates?: boolean | undefined
  /** Aborting leaves the server at weight 0. */
  readonly signal?: AbortSignal | undefined
}

/** How a drain ended. */
export interface DrainResult {
  /** All connections that were waited for were seen to have ended. */
  readonly drained: boolean
  /** How many had not when it was last seen. */
  readonly remaining: number
  /** Persistence templates that still pointed to it then. */
  readonly persistent: number
  /** This drain took it out of the service; false where `onTimeout: 'keep'` left it at weight 0. */
  readonly deleted: boolean
  /** It got its weight back meanwhile, or somebody deleted it: nothing more was done. */
  readonly overtaken: boolean
}

const firstPauseMilliseconds = 50
const longestPauseMilliseconds = 1000
/**
 * A connection that was being scheduled when the weight was set counts a moment later, and before Linux 4.8 one whose
 * handshake is under way is inactive until it is through: a zero is believed when it lasts.
 */
const quietMilliseconds = 250

/**
 * Sets weight 0 and waits for the connections of each of the servers; deletes those that are drained as they are. The
 * results are in the order of the servers.
 */
export async function drainServers(
  ipvs: Ipvs,
  service: ServiceKey,
  servers: readonly Destination[],
  options: DrainOptions,
): Promise<DrainResult[]> {
  const { signal, timeoutSeconds = 30 } = options
  checkDrainTimeout(timeoutSeconds)
  signal?.throwIfAborted()
  if (options.expireTemplates === true) await ipvs.settings.set({ expireQuiescentTemplate: true })
  const { failures } = await ipvs.apply(quiesce(service, servers), { signal })
  for (const { error } of failures) if (!isGone(error)) throw error
  const waitsForAll = await whomToWaitForAll(ipvs, service, options)
  const deadline = performance.now() + timeoutSeconds * 1000
  const drains = servers.map((server) => new Drain(server, waitsForAll(server), options.onTimeout))
  let open = drains
  let pause = firstPauseMilliseconds
  for (;;) {
    signal?.throwIfAborted()
    const read = await readDestinations(ipvs, service)
    const present = new Map(read.map((one) => [destinationId(service, one), one]))
    const now = performance.now()
    for (const drain of open) {
      drain.look(present.get(destinationId(service, drain.server)), isWhole(read), now, now >= deadline)
    }
    // At once, all together: what was read is never older than this.
    await remove(
      ipvs,
      service,
      open.filter((drain) => drain.isDue),
    )
    open = open.filter(({ result }) => result === undefined)
    if (open.length === 0) return drains.map(({ result }) => result!)
    const rest = Math.max(1, deadline - performance.now())
    const soon = open.some((drain) => drain.isQuiet) ? quietMilliseconds / 2 : pause
    await sleep(Math.min(soon, rest), undefined, { signal })
    pause = Math.min(pause * 1.5, longestPauseMilliseconds)
  }
}

/** @throws ValidationError: a deadline that is no number would never come. */
export function checkDrainTimeout(seconds: number | undefined, path = 'options.timeoutSeconds'): void {
  if (seconds !== undefined && !(seconds >= 0)) throw new ValidationError(path, seconds, 'a number from 0')
}

/** One server on its way out. */
class Drain {
  readonly server: Destination
  /** How it ended. */
  result: DrainResult | undefined
  readonly #waitsForAll: boolean
  readonly #onTimeout: 'delete' | 'keep'
  #last: Destination
  #quietSince: number | undefined
  #wasMissed = false
  #due: Omit<DrainResult, 'deleted' | 'overtaken'> | undefined

  constructor(server: Destination, waitsForAll: boolean, onTimeout: 'delete' | 'keep' = 'delete') {
    this.server = server
    this.#last = server
    this.#waitsForAll = waitsForAll
    this.#onTimeout = onTimeout
  }

  /** It is to be deleted now. */
  get isDue(): boolean {
    return this.#due !== undefined && this.result === undefined
  }

  get isQuiet(): boolean {
    return this.#quietSince !== undefined
  }

  look(read: Destination | undefined, isWhole: boolean, now: number, isLate: boolean): void {
    if (read === undefined) {
      // See reading.ts: an absence is believed at once or at the second look.
      if (isWhole || this.#wasMissed) this.end(this.#due !== undefined)
      this.#wasMissed = true
      return
    }
    this.#wasMissed = false
    this.#due = undefined
    this.#last = read
    if (read.weight !== 0) return this.end(false)
    const { remaining, persistent } = this.#counts
    if (remaining > 0) this.#quietSince = undefined
    else this.#quietSince ??= now
    const isQuiet = this.#quietSince !== undefined && now - this.#quietSince >= quietMilliseconds
    if (!isQuiet && !isLate) return
    const counts = { drained: remaining === 0, remaining, persistent }
    if (remaining === 0 || this.#onTimeout === 'delete') this.#due = counts
    else this.result = { ...counts, deleted: false, overtaken: false }
  }

  /** It is gone or was given weight again: by us, or by somebody else. */
  end(deleted: boolean): void {
    const counts = this.#due ?? { drained: false, ...this.#counts }
    this.result = { ...counts, deleted, overtaken: !deleted }
  }

  get #counts(): { readonly remaining: number; readonly persistent: number } {
    const { activeConnections, inactiveConnections, persistentConnections } = this.#last
    const remaining = activeConnections + (this.#waitsForAll ? inactiveConnections : 0)
    return { remaining, persistent: persistentConnections }
  }
}

async function remove(ipvs: Ipvs, service: ServiceKey, due: readonly Drain[]): Promise<void> {
  if (due.length === 0) return
  const { failures } = await ipvs.apply(
    deletions(
      service,
      due.map(({ server }) => server),
    ),
  )
  const errors = new Map(failures.map(({ index, error }) => [index, error]))
  for (const [index, drain] of due.entries()) {
    const error = errors.get(index)
    // Where the answer was lost the next look tells.
    if (isKernelError(error, 'ENOBUFS')) continue
    if (error !== undefined && !isGone(error)) throw error
    drain.end(error === undefined)
  }
}

async function whomToWaitForAll(
  ipvs: Ipvs,
  service: ServiceKey,
  { connections, signal }: DrainOptions,
): Promise<(server: Destination) => boolean> {
  const { protocol } = service
  if (connections !== undefined || protocol !== undefined) {
    const all = (connections ?? (protocol === 'tcp' ? 'active' : 'all')) === 'all'
    return () => all
  }
  try {
    const addresses = new Set<string>()
    for await (const { protocol, destination } of ipvs.connections({ template: false }, { signal })) {
      if (protocol !== 'tcp') addresses.add(destination.address)
    }
    return ({ address }) => addresses.has(address)
  } catch (error) {
    signal?.throwIfAborted()
    if (!isUnsupportedError(error) && !isKernelError(error)) throw error
    // What cannot be looked at may be there.
    return () => true
  }
}

/** A service that somebody deleted has no destinations. */
async function readDestinations(ipvs: Ipvs, service: ServiceKey): Promise<Destination[]> {
  try {
    return await ipvs.destinations(service)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/**
 * The service (ESRCH) or the destination (ENOENT) is not there any more: as good as deleted by us. ENOENT because the
 * family could not be looked up again is another matter: then IPVS itself is gone.
 */
export function isGone(error: unknown): boolean {
  if (isKernelError(error, 'ESRCH')) return error.operation.startsWith('ipvs.')
  if (!isKernelError(error, 'ENOENT')) return false
  const familyIsGone = isKernelError(error.cause) && error.cause.operation.startsWith('genetlink.')
  return error.operation.startsWith('ipvs.') && !familyIsGone
}

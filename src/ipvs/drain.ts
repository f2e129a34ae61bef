import { setTimeout as sleep } from 'node:timers/promises'
import type { Ipvs } from './client.js'
import { destinationId, type ServiceKey } from './input.js'
import { quiesce, type ServerKey } from './plan.js'
import type { Destination } from './wire.js'

/** How a server is drained. */
export interface DrainOptions {
  /** How long connections may take to end; 30 unless said. */
  readonly timeoutSeconds?: number | undefined
  /** What becomes of a server that still has connections then; `delete` unless said. */
  readonly onTimeout?: 'delete' | 'keep' | undefined
  /**
   * Which connections are waited for. `active`: those that carry data (the default for TCP and firewall marks); `all`:
   * the inactive ones, too (the default for UDP, whose flows are all inactive to IPVS, and for SCTP).
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
  /** All connections that were waited for have ended. */
  readonly drained: boolean
  /** How many had not. */
  readonly remaining: number
  /** Persistence templates that still pointed to it. */
  readonly persistent: number
  readonly deleted: boolean
  /** It got its weight back meanwhile, or somebody deleted it: nothing more was done. */
  readonly overtaken: boolean
}

const firstPauseMilliseconds = 50
const longestPauseMilliseconds = 1000
/**
 * A connection whose handshake is under way counts as inactive until it is through, so that a first zero may be
 * followed by a one: it is believed when it lasts.
 */
const quietMilliseconds = 250

/**
 * Sets weight 0 and waits for the connections of each of the servers; deletes those that are drained, one by one as
 * they are. The results are in the order of the servers.
 */
export async function drainServers(
  ipvs: Ipvs,
  service: ServiceKey,
  servers: readonly Destination[],
  options: DrainOptions,
): Promise<DrainResult[]> {
  const { signal, onTimeout = 'delete', timeoutSeconds = 30 } = options
  const which =
    options.connections ?? (service.protocol === 'udp' || service.protocol === 'sctp' ? 'all' : 'active')
  signal?.throwIfAborted()
  if (options.expireTemplates === true) await ipvs.settings.set({ expireQuiescentTemplate: true })
  const { failures } = await ipvs.apply(quiesce(service, servers), { signal })
  for (const { error } of failures) if (!isGone(error)) throw error
  const deadline = performance.now() + timeoutSeconds * 1000
  const results = new Map<string, DrainResult>()
  const quietSince = new Map<string, number>()
  let pause = firstPauseMilliseconds
  const remove = async (
    server: ServerKey,
    result: Omit<DrainResult, 'deleted' | 'overtaken'>,
  ): Promise<DrainResult> => {
    try {
      await ipvs.deleteDestination(service, server)
      return { ...result, deleted: true, overtaken: false }
    } catch (error) {
      if (isGone(error)) return { ...result, deleted: false, overtaken: true }
      throw error
    }
  }
  while (results.size < servers.length) {
    signal?.throwIfAborted()
    const present = new Map(
      (await readDestinations(ipvs, service)).map((read) => [destinationId(service, read), read]),
    )
    const now = performance.now()
    for (const server of servers) {
      const id = destinationId(service, server)
      if (results.has(id)) continue
      const read = present.get(id)
      if (read === undefined || read.weight !== 0) {
        const remaining = read === undefined ? 0 : waitedFor(read, which)
        results.set(id, {
          drained: read === undefined,
          remaining,
          persistent: 0,
          deleted: false,
          overtaken: true,
        })
        continue
      }
      const remaining = waitedFor(read, which)
      const persistent = read.persistentConnections
      if (remaining > 0) quietSince.delete(id)
      else if (!quietSince.has(id)) quietSince.set(id, now)
      if (remaining === 0 && now - quietSince.get(id)! >= quietMilliseconds) {
        results.set(id, await remove(server, { drained: true, remaining, persistent }))
      } else if (now >= deadline) {
        const result = { drained: remaining === 0, remaining, persistent }
        results.set(
          id,
          onTimeout === 'delete' || remaining === 0
            ? await remove(server, result)
            : { ...result, deleted: false, overtaken: false },
        )
      }
    }
    if (results.size === servers.length) break
    const rest = Math.max(1, deadline - performance.now())
    await sleep(Math.min(quietSince.size > 0 ? quietMilliseconds / 2 : pause, rest), undefined, { signal })
    pause = Math.min(pause * 1.5, longestPauseMilliseconds)
  }
  return servers.map((server) => results.get(destinationId(service, server))!)
}

function waitedFor(read: Destination, which: 'active' | 'all'): number {
  return read.activeConnections + (which === 'all' ? read.inactiveConnections : 0)
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

/** The service (ESRCH) or the destination (ENOENT) is not there any more: as good as deleted by us. */
export function isGone(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'ENOENT' || code === 'ESRCH'
}

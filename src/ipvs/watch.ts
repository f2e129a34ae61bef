import { setTimeout as sleep } from 'node:timers/promises'
import { isKernelError, ValidationError } from '../errors/index.js'
import type { Ipvs } from './client.js'
import { destinationId, type Service, type ServiceKey } from './input.js'
import type { Destination } from './wire.js'

/** How often to look, and until when. */
export interface WatchOptions {
  /** From look to look; 1 unless said. */
  readonly intervalSeconds?: number | undefined
  /** Aborting ends the iteration. */
  readonly signal?: AbortSignal | undefined
}

/** What a watch tells. */
export type ServiceEvent =
  /** At every look. */
  | { readonly type: 'statistics'; readonly service: Service; readonly servers: readonly Destination[] }
  | { readonly type: 'serverAdded'; readonly server: Destination }
  | { readonly type: 'serverRemoved'; readonly server: Destination }
  /** Its weight, forwarding method, thresholds or tunnel. */
  | { readonly type: 'serverChanged'; readonly server: Destination; readonly before: Destination }
  /** Scheduler, persistence or flags. */
  | { readonly type: 'serviceChanged'; readonly service: Service; readonly before: Service }
  /** Somebody deleted the service. The last event. */
  | { readonly type: 'deleted' }

/** Of Node's timers: 2^31 - 1 milliseconds. */
const longestInterval = 2_147_483

/** Looks, compares with the look before, tells. What was there at the first look is told by its statistics alone. */
export async function* watchService(
  ipvs: Ipvs,
  key: ServiceKey,
  closed: AbortSignal,
  { intervalSeconds = 1, signal }: WatchOptions = {},
): AsyncGenerator<ServiceEvent, void, undefined> {
  // A timer that cannot be that long goes off at once.
  if (!(intervalSeconds > 0 && intervalSeconds <= longestInterval)) {
    throw new ValidationError(
      'options.intervalSeconds',
      intervalSeconds,
      `a number above 0, at most ${longestInterval}`,
    )
  }
  const ended = signal === undefined ? closed : AbortSignal.any([signal, closed])
  let before: { service: Service; servers: Map<string, Destination> } | undefined
  while (!ended.aborted) {
    const look = await lookAt(ipvs, key).catch((error: unknown) => {
      // Closing the service closes the socket under a look, too.
      if (ended.aborted) return 'ended' as const
      throw error
    })
    if (look === 'ended') return
    if (look === undefined) {
      yield { type: 'deleted' }
      return
    }
    const servers = new Map(look.servers.map((server) => [destinationId(key, server), server]))
    if (before !== undefined) {
      if (settingsOf(look.service) !== settingsOf(before.service)) {
        yield { type: 'serviceChanged', service: look.service, before: before.service }
      }
      for (const [id, server] of servers) {
        const old = before.servers.get(id)
        if (old === undefined) yield { type: 'serverAdded', server }
        else if (settingsOf(old) !== settingsOf(server)) yield { type: 'serverChanged', server, before: old }
      }
      for (const [id, server] of before.servers) if (!servers.has(id)) yield { type: 'serverRemoved', server }
    }
    yield { type: 'statistics', service: look.service, servers: look.servers }
    before = { service: look.service, servers }
    try {
      await sleep(intervalSeconds * 1000, undefined, { signal: ended })
    } catch {
      return
    }
  }
}

async function lookAt(
  ipvs: Ipvs,
  key: ServiceKey,
): Promise<{ service: Service; servers: Destination[] } | undefined> {
  try {
    const service = await ipvs.service(key)
    return service && { service, servers: await ipvs.destinations(key) }
  } catch (error) {
    if (isKernelError(error, 'ESRCH')) return undefined
    throw error
  }
}

/** What somebody chose, without what traffic does to it. */
function settingsOf(read: Service | Destination): string {
  return JSON.stringify(read, (key, value: unknown) =>
    key === 'statistics' || key.endsWith('Connections') ? undefined : value,
  )
}

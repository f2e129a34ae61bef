/** What is different of virtual services now. */
import { sameVirtualService } from './same.js'
import type { VirtualService } from './virtual-service.js'

/** Undefined for none. */
function byKey(services: readonly VirtualService[]): Map<string, VirtualService> | undefined {
  return services.length === 0 ? undefined : new Map(services.map((service) => [service.key, service]))
}

/** A change as it is put together. */
export interface Untold {
  readonly upserted: VirtualService[]
  readonly deleted: string[]
  readonly previous: Map<string, VirtualService>
  readonly services: string[]
}

/** Adds what is different now. */
export function compare(
  told: readonly VirtualService[],
  now: readonly VirtualService[],
  { upserted, deleted, previous }: Untold,
): void {
  const gone = byKey(told)
  for (const service of now) {
    const before = gone?.get(service.key)
    if (before !== undefined) {
      gone!.delete(service.key)
      if (sameVirtualService(before, service)) continue
      previous.set(service.key, before)
    }
    upserted.push(service)
  }
  if (gone === undefined) return
  for (const [key, before] of gone) {
    deleted.push(key)
    previous.set(key, before)
  }
}

/** Those that are as they were become the very same objects. @returns whether all are */
export function keepSame(before: readonly VirtualService[], now: VirtualService[]): boolean {
  const known = byKey(before)
  let isSame = before.length === now.length
  for (let index = 0; index < now.length; index++) {
    const service = now[index]!
    const old = known?.get(service.key)
    if (old !== undefined && sameVirtualService(old, service)) now[index] = old
    else isSame = false
  }
  return isSame
}

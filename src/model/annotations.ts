/** What objects of Kubernetes may say to viaduct. A wrong one is told and has no effect: no traffic stops for it. */
import type { Condition } from './condition.js'
import type { Loose } from './reading.js'

/** On a Service: how new connections are shared, as IPVS names it. */
export const schedulerAnnotation = 'viaduct/scheduler'
/** On a Service of type LoadBalancer: the pool that its address is picked from. */
export const poolAnnotation = 'viaduct/pool'
/** On a Pod, or on an EndpointSlice for all its endpoints: share of new connections; 0 drains. */
export const weightAnnotation = 'viaduct/weight'

/** The kernel's IP_VS_SCHEDNAME_MAXLEN is 16, with the final zero. */
const schedulerName = /^[a-z0-9_-]{1,15}$/

export function isScheduler(value: unknown): value is string {
  return typeof value === 'string' && schedulerName.test(value)
}

export function readScheduler(annotations: Loose | undefined, conditions: Condition[]): string | undefined {
  const value = annotations?.[schedulerAnnotation]
  if (value === undefined) return undefined
  if (isScheduler(value)) return value
  conditions.push(ignored(schedulerAnnotation, value, 'the name of a scheduler, such as "wrr"'))
  return undefined
}

/** The greatest weight that is taken: sums of them stay in the kernel's 32 bits. */
export const maximumWeight = 65535

export function isWeight(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= maximumWeight && Number.isInteger(value)
}

export function readWeight(annotations: Loose | undefined, conditions: Condition[]): number | undefined {
  const value = annotations?.[weightAnnotation]
  if (value === undefined) return undefined
  if (typeof value === 'string' && /^\d{1,5}$/.test(value) && Number(value) <= maximumWeight)
    return Number(value)
  conditions.push(ignored(weightAnnotation, value, `an integer from 0 to ${maximumWeight}`))
  return undefined
}

function ignored(annotation: string, value: unknown, expected: string): Condition {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : typeof value
  return {
    reason: 'AnnotationIgnored',
    message: `the annotation ${annotation} has no effect: expected ${expected}, got ${shown}`,
  }
}

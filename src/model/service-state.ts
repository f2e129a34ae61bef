/** One service in the model, and everything that belongs to it. */
import type { Allocation } from './allocator.js'
import type { ServiceFront } from './build.js'
import type { Condition } from './condition.js'
import type { ServiceRecord, SliceRecord } from './records.js'
import type { VirtualService } from './virtual-service.js'

const none: readonly never[] = []

/** What has to be computed again: each one includes those before it. */
export const staleness = { nothing: 0, endpoints: 1, fronts: 2, claims: 3 } as const
export type Staleness = keyof typeof staleness

export class ServiceState {
  readonly id: string
  /** As it was given. Undefined where only its endpoints are known. */
  record: ServiceRecord | undefined
  /** With what was picked for it: what it claims is what this says. */
  effective: ServiceRecord | undefined
  picks: Allocation | undefined
  /** What could not be picked. */
  unmet: readonly Condition[] = none
  /** Age that its claims were made with. */
  createdAt: string | undefined
  /** Given slices, in any order. */
  slices: readonly SliceRecord[] = none
  /** Of an Endpoints object. */
  endpoints: readonly SliceRecord[] | undefined
  /** What its virtual services are made of, of all those. */
  inUse: readonly SliceRecord[] = none
  /** Node ports on which nobody else listened when it got them. */
  freePorts: readonly string[] = none
  fronts: readonly ServiceFront[] = none
  /** The one that it holds. */
  healthCheckNodePort: number | undefined
  virtualServices: readonly VirtualService[] = none
  /** What they were at the last `take`, where they are others now. */
  told: readonly VirtualService[] | undefined
  /** Whether it is told at the next `take`. */
  isTouched = false
  stale: Staleness = 'nothing'

  constructor(id: string) {
    this.id = id
  }
}

/** In one order, in whatever order they came. */
export function slicesById(slices: readonly SliceRecord[]): readonly SliceRecord[] {
  return slices.length < 2 ? slices : [...slices].sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The changes that are measured, one after the other: each is one transaction. */
import type { Reconciler } from '../../../src/reconciler/index.js'
import { freshPod, podsOf, referencesOf, serviceObject, type Size, sliceObject } from './objects.js'

export const changeNames = [
  "an endpoint's address changed",
  'an endpoint added',
  'an endpoint removed',
  'a service added',
  'a service deleted',
] as const
export type Change = (typeof changeNames)[number]

/** A list for each. */
export type Times = Record<Change, number[]>
export const noTimes = (): Times =>
  Object.fromEntries(changeNames.map((name) => [name, []])) as unknown as Times

/** How changes follow each other: the next when the one before is done, or when the processor has rested for a while. */
export const paces = ['in a row', 'after a rest'] as const
export type Pace = (typeof paces)[number]
/** About as long as a reconciler gathers changes, unless it is told otherwise. */
export const restMilliseconds = 52

/** Rounds of changes: each second one takes back what the first of the two made. */
export class Changes {
  readonly #reconciler: Reconciler
  readonly #size: Size
  #round = 0

  constructor(reconciler: Reconciler, size: Size) {
    this.#reconciler = reconciler
    this.#size = size
  }

  /** Takes what it is called, in their order. */
  make(name: Change): void {
    const reconciler = this.#reconciler
    const size = this.#size
    // Far from each other, so that no two are in the same bucket or page.
    const service = ((this.#round >> 1) * 7919) % size.services
    const [first, ...others] = podsOf(service, size)
    const pods = [this.#round % 2 === 0 ? freshPod(this.#round) : first!, ...others]
    const another = size.services + 1 + (this.#round % 1000)
    switch (name) {
      case "an endpoint's address changed":
      case 'an endpoint removed':
        return reconciler.upsert(sliceObject(service, size, pods))
      case 'an endpoint added':
        return reconciler.upsert(sliceObject(service, size, [...pods, freshPod(this.#round + 0x8000)]))
      case 'a service added':
        reconciler.upsert(serviceObject(another))
        return reconciler.upsert(sliceObject(another, size))
      case 'a service deleted':
        for (const reference of referencesOf(another)) reconciler.delete(reference)
    }
  }

  next(): void {
    this.#round++
  }
}

/** What virtual services want together, each item counted: who shares one keeps it there. Pure. */
import type { Difference } from './changes.js'
import type { Item, Items } from './items.js'

/** What each virtual service is to have; a step is planned first and taken over when it is done. */
export class Wanted {
  readonly #services = new Map<string, Items>()
  readonly #counts = new Map<string, { count: number; item: Item; key: string }>()

  get keys(): Iterable<string> {
    return this.#services.keys()
  }

  itemsOf(key: string): Items | undefined {
    return this.#services.get(key)
  }

  /** How an item is wanted; undefined where nobody does. */
  item(name: string): Item | undefined {
    return this.#counts.get(name)?.item
  }

  /** One of those that want it. */
  ownerOf(name: string): string | undefined {
    return this.#counts.get(name)?.key
  }

  get names(): Iterable<string> {
    return this.#counts.keys()
  }

  /** Takes the step; returns the names of all items that it touches. Undefined for services that go. */
  set(step: ReadonlyMap<string, Items | undefined>): Set<string> {
    const touched = new Set<string>()
    // Those that go first: what one had may be another's in the same step.
    for (const key of step.keys()) {
      for (const name of this.#services.get(key)?.keys() ?? []) {
        touched.add(name)
        const held = this.#counts.get(name)!
        if (--held.count === 0) this.#counts.delete(name)
      }
      this.#services.delete(key)
    }
    for (const [key, items] of step) {
      if (items === undefined) continue
      this.#services.set(key, items)
      for (const [name, item] of items) {
        touched.add(name)
        const held = this.#counts.get(name)
        if (held === undefined) this.#counts.set(name, { count: 1, item, key })
        else {
          held.count++
          held.item = item
          held.key = key
        }
      }
    }
    return touched
  }
}

/** Of the items of these names: what is wanted, and what there is. */
export function* differences(
  names: Iterable<string>,
  wanted: Wanted,
  present: ReadonlyMap<string, Item>,
): Generator<Difference> {
  for (const name of names) yield { wanted: wanted.item(name), present: present.get(name) }
}

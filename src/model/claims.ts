/** Who holds what can be held once: addresses, and ports of them. */

/** What claims something. */
export interface Claimant {
  /** When it was made, as RFC 3339 has it, which sorts as text. Undefined where nobody says. */
  readonly createdAt: string | undefined
  readonly id: string
}

/**
 * Keys and their claimants. The oldest one holds the key, and of those whose age nobody knows the one that claimed it first;
 * the others wait for it. So every node of a cluster comes to the same result, in whatever order it hears of the services.
 */
export class Claims<C extends Claimant> {
  /** One claimant, or the queue of several: nearly every key has but one. */
  readonly #claimants = new Map<string, C | C[]>()

  /** Keys that more than one claims. */
  #contested = 0

  /** Whether every claimant holds all that it claims, so that nobody need ask. */
  get isPeaceful(): boolean {
    return this.#contested === 0
  }

  get size(): number {
    return this.#claimants.size
  }

  has(key: string): boolean {
    return this.#claimants.has(key)
  }

  holder(key: string): C | undefined {
    const entry = this.#claimants.get(key)
    return Array.isArray(entry) ? entry[0] : entry
  }

  /** Keys that were picked for their holder: nobody else had them then, and nobody takes them away. */
  readonly #picked = new Map<string, C>()

  /**
   * @param isPicked it was free, and was picked for the claimant
   * @returns who held it and does not any more
   */
  add(key: string, claimant: C, isPicked: boolean): C | undefined {
    if (isPicked) this.#picked.set(key, claimant)
    const entry = this.#claimants.get(key)
    if (entry === undefined) {
      this.#claimants.set(key, claimant)
      return undefined
    }
    if (entry === claimant) return undefined
    const queue = Array.isArray(entry) ? entry : [entry]
    if (queue.includes(claimant)) return undefined
    if (queue.length === 1) this.#contested++
    let place = queue.findIndex((other) => isOlder(claimant, other))
    if (place < 0) place = queue.length
    if (place === 0 && this.#picked.get(key) === queue[0]) place = 1
    queue.splice(place, 0, claimant)
    this.#claimants.set(key, queue)
    return place === 0 ? queue[1] : undefined
  }

  /** @returns who holds it from now on, where that is another one than before */
  remove(key: string, claimant: C): C | undefined {
    const entry = this.#claimants.get(key)
    if (this.#picked.size > 0 && this.#picked.get(key) === claimant) this.#picked.delete(key)
    if (entry === claimant) this.#claimants.delete(key)
    if (!Array.isArray(entry)) return undefined
    const place = entry.indexOf(claimant)
    if (place < 0) return undefined
    entry.splice(place, 1)
    if (entry.length === 1) {
      this.#claimants.set(key, entry[0]!)
      this.#contested--
    }
    return place === 0 ? entry[0] : undefined
  }
}

function isOlder(a: Claimant, b: Claimant): boolean {
  if (a.createdAt === undefined) return false
  if (b.createdAt === undefined) return true
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id)
}

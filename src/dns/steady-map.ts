/**
 * A map whose keys come and go. V8 leaves a key that is deleted in the chain of its hash until the whole table is made anew
 * (src/objects/ordered-hash-table.h): one that is deleted and set again and again makes a chain that grows with the table, and
 * what costs a microsecond among ten costs a hundred among ten thousand. Here a deleted key keeps its place, and when most
 * have nothing any more the table is made anew.
 */
export class SteadyMap<K, V> {
  #map = new Map<K, V | undefined>()
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: K): V | undefined {
    return this.#map.get(key)
  }

  has(key: K): boolean {
    return this.#map.get(key) !== undefined
  }

  set(key: K, value: V & {}): void {
    if (this.#map.get(key) === undefined) this.#size++
    this.#map.set(key, value)
  }

  delete(key: K): void {
    if (this.#map.get(key) === undefined) return
    this.#size--
    this.#map.set(key, undefined)
    if (this.#map.size > 2 * this.#size + 1024) this.#map = new Map(this)
  }

  *[Symbol.iterator](): Generator<[K, V]> {
    for (const [key, value] of this.#map) if (value !== undefined) yield [key, value]
  }

  *keys(): Generator<K> {
    for (const [key] of this) yield key
  }

  *values(): Generator<V> {
    for (const [, value] of this) yield value
  }
}

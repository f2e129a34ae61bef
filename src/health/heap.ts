/** What is due, the soonest first: one heap in place of a timer for each. */

/** Something that is due at a time, in one heap at most. */
export interface Due {
  /** Of the clock of who owns the heap. */
  dueAt: number
  /** Its place in the heap, -1 if it is in none. The heap's own. */
  place: number
}

/** A binary heap that knows where each of its items is, so that any can be moved or taken out. */
export class DueHeap<T extends Due> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** The one that is due first. */
  get first(): T | undefined {
    return this.#items[0]
  }

  /** Puts it in, or moves it to where its time belongs. */
  set(item: T, dueAt: number): void {
    const before = item.dueAt
    item.dueAt = dueAt
    if (item.place === -1) {
      item.place = this.#items.length
      this.#items.push(item)
      this.#rise(item)
    } else if (dueAt < before) this.#rise(item)
    else this.#sink(item)
  }

  /** Takes it out, if it is in. */
  delete(item: T): void {
    const { place } = item
    if (place === -1) return
    item.place = -1
    const last = this.#items.pop()!
    if (last === item) return
    last.place = place
    this.#items[place] = last
    this.#rise(last)
    this.#sink(last)
  }

  /** Takes the first one out if it is due. */
  take(now: number): T | undefined {
    const item = this.#items[0]
    if (item === undefined || item.dueAt > now) return undefined
    this.delete(item)
    return item
  }

  clear(): void {
    for (const item of this.#items) item.place = -1
    this.#items.length = 0
  }

  #rise(item: T): void {
    const items = this.#items
    let place = item.place
    while (place > 0) {
      const above = (place - 1) >> 1
      const other = items[above]!
      if (other.dueAt <= item.dueAt) break
      items[place] = other
      other.place = place
      place = above
    }
    items[place] = item
    item.place = place
  }

  #sink(item: T): void {
    const items = this.#items
    let place = item.place
    for (;;) {
      let below = 2 * place + 1
      if (below >= items.length) break
      if (below + 1 < items.length && items[below + 1]!.dueAt < items[below]!.dueAt) below++
      const other = items[below]!
      if (other.dueAt >= item.dueAt) break
      items[place] = other
      other.place = place
      place = below
    }
    items[place] = item
    item.place = place
  }
}

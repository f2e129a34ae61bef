/** Names of interfaces, for numbers that rules and packets have: read when one is spoken of that is not known. */
import type { Netns } from '../../net/index.js'

export class Interfaces {
  readonly #netns: Netns | undefined
  readonly #names = new Map<number, string>()
  /** Those that were not there when they were spoken of: they keep their numbers. */
  readonly #gone = new Set<number>()

  constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  async nameOf(index: number | undefined): Promise<string | undefined> {
    return index === undefined ? undefined : this.naming((name) => name(index) ?? String(index))
  }

  /** What is said with the names that are known; once more if it speaks of others. */
  async naming<T>(say: (name: (index: number) => string | undefined) => T): Promise<T> {
    const missing = new Set<number>()
    const said = say((index) => {
      if (!this.#names.has(index) && !this.#gone.has(index)) missing.add(index)
      return this.#names.get(index)
    })
    if (missing.size === 0) return said
    await this.#read()
    for (const index of missing) if (!this.#names.has(index)) this.#gone.add(index)
    return say((index) => this.#names.get(index))
  }

  async #read(): Promise<void> {
    const { Rtnetlink } = await import('../../rtnetlink/index.js')
    const rtnetlink = await Rtnetlink.open({ netns: this.#netns })
    try {
      for (const { index, name } of await rtnetlink.links.list()) this.#names.set(index, name)
    } finally {
      rtnetlink.close()
    }
  }
}

/** Names of interfaces, for numbers that rules and packets have. */
import type { Netns } from '../../net/index.js'

/** Names of interfaces, read when one is spoken of that is not known. */
export class Interfaces {
  readonly #netns: Netns | undefined
  readonly #names = new Map<number, string>()

  constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  async nameOf(index: number | undefined): Promise<string | undefined> {
    if (index === undefined) return undefined
    if (!this.#names.has(index)) await this.#read()
    // One that is gone keeps its number.
    if (!this.#names.has(index)) this.#names.set(index, String(index))
    return this.#names.get(index)
  }

  /** Of all that are there now, for whoever cannot wait. */
  async all(): Promise<(index: number) => string | undefined> {
    await this.#read()
    return (index) => this.#names.get(index)
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

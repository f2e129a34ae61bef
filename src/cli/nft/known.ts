/** What has to be known of a namespace to write its rules: types of sets, elements of those without a name. */
import { isKernelError } from '../../errors/index.js'
import type { Elements, Nftables, NftSet, Ruleset, Selection } from '../../nftables/index.js'

export type Known = Pick<Ruleset, 'sets' | 'elements'>

/** Of sets that have a name nothing more than what they are: they may be large, and rules name them. */
export async function knownOf(nftables: Nftables, selection?: Selection): Promise<Known> {
  const sets = await nftables.sets(selection)
  const elements: Elements[] = []
  for (const set of sets) {
    if (set.flags?.includes('anonymous') !== true) continue
    const found = await nftables.elements(set).catch((error: unknown) => {
      // Gone with its rule.
      if (isKernelError(error, 'ENOENT')) return undefined
      throw error
    })
    if (found !== undefined) elements.push(found)
  }
  return { sets, elements }
}

/** Sets as events tell of them. */
export class KnownSets {
  readonly #nftables: Nftables
  readonly #sets = new Map<string, NftSet>()
  readonly #elements = new Map<string, Elements>()

  constructor(nftables: Nftables) {
    this.#nftables = nftables
  }

  get known(): Known {
    return { sets: [...this.#sets.values()], elements: [...this.#elements.values()] }
  }

  made(set: NftSet): void {
    this.#sets.set(nameOf(set, set.name), set)
  }

  gone(set: NftSet): void {
    this.#sets.delete(nameOf(set, set.name))
    this.#elements.delete(nameOf(set, set.name))
  }

  /** Of sets without a name they are kept for the rule that follows. */
  async filled(part: Elements): Promise<void> {
    const name = nameOf(part, part.set)
    const set = await this.need(part, part.set)
    if (set?.flags?.includes('anonymous') !== true) return
    const before = this.#elements.get(name)?.elements ?? []
    this.#elements.set(name, { ...part, elements: [...before, ...part.elements] })
  }

  /** One that was there before anything was told is read. */
  async need(place: InTable, set: string): Promise<NftSet | undefined> {
    const name = nameOf(place, set)
    if (!this.#sets.has(name)) for (const one of await this.#nftables.sets(place)) this.made(one)
    return this.#sets.get(name)
  }
}
type InTable = Pick<Elements, 'family' | 'table'>

function nameOf({ family, table }: InTable | NftSet, name: string): string {
  return `${family} ${table} ${name}`
}

/** What has to be known of a namespace to write its rules: types of sets, elements of those without a name. */
import { isKernelError } from '../../errors/index.js'
import type {
  Elements,
  Nftables,
  NftablesEvent,
  NftSet,
  Rule,
  Ruleset,
  Selection,
} from '../../nftables/index.js'

export type Known = Pick<Ruleset, 'sets' | 'elements'>

/** Of sets that have a name nothing more than what they are: they may be large, and rules name them. */
export async function knownOf(nftables: Nftables, selection?: Selection): Promise<Known> {
  const sets = await unlessGone(nftables.sets(selection), [])
  const elements: Elements[] = []
  for (const set of sets) {
    if (set.flags?.includes('anonymous') !== true) continue
    const found = await unlessGone<Elements | undefined>(nftables.elements(set), undefined)
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

  /** What has to be known to write this event. */
  async learn(event: NftablesEvent): Promise<Known> {
    if (event.event === 'resynchronise') {
      this.#sets.clear()
      this.#elements.clear()
    }
    if (event.event !== 'made' && event.event !== 'gone') return nothing
    const isMade = event.event === 'made'
    switch (event.kind) {
      case 'set':
        if (isMade) this.#made(event.object as NftSet)
        return nothing
      case 'elements':
        return this.#filled(event.object as Elements)
      case 'rule':
        return isMade ? this.#needed(event.object as Rule) : nothing
      default:
        return nothing
    }
  }

  /** Once it is written. */
  forget(event: NftablesEvent): void {
    if (event.event !== 'gone' || event.kind !== 'set') return
    const set = event.object as NftSet
    this.#sets.delete(nameOf(set, set.name))
    this.#elements.delete(nameOf(set, set.name))
  }

  #made(set: NftSet): void {
    this.#sets.set(nameOf(set, set.name), set)
  }

  /** Of sets without a name they are kept for the rule that follows. */
  async #filled(part: Elements): Promise<Known> {
    const set = await this.#need(part, part.set)
    if (set?.flags?.includes('anonymous') === true) {
      const name = nameOf(part, part.set)
      const before = this.#elements.get(name)?.elements ?? []
      this.#elements.set(name, { ...part, elements: [...before, ...part.elements] })
    }
    return { sets: set === undefined ? [] : [set], elements: [] }
  }

  async #needed({ family, table, expressions = [] }: Rule): Promise<Known> {
    const sets: NftSet[] = []
    const elements: Elements[] = []
    for (const { set: name } of expressions as readonly { readonly set?: string }[]) {
      const set = name === undefined ? undefined : await this.#need({ family, table }, name)
      if (set === undefined) continue
      sets.push(set)
      const known = this.#elements.get(nameOf(set, set.name))
      if (known !== undefined) elements.push(known)
    }
    return { sets, elements }
  }

  /** One that was there before anything was told is read; undefined if it is gone by now. */
  async #need(place: InTable, set: string): Promise<NftSet | undefined> {
    const name = nameOf(place, set)
    if (!this.#sets.has(name)) {
      const { family, table } = place
      for (const one of await unlessGone(this.#nftables.sets({ family, table }), [])) this.#made(one)
    }
    return this.#sets.get(name)
  }
}
type InTable = Pick<Elements, 'family' | 'table'>
const nothing: Known = { sets: [], elements: [] }

function nameOf({ family, table }: InTable | NftSet, name: string): string {
  return `${family} ${table} ${name}`
}

/** Events tell of what may have been deleted since. */
export function unlessGone<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  return reading.catch((error: unknown) => {
    if (isKernelError(error, 'ENOENT')) return otherwise
    throw error
  })
}

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

  /** Before it is written. */
  async learn(event: NftablesEvent): Promise<void> {
    if (event.event === 'resynchronise') {
      this.#sets.clear()
      this.#elements.clear()
    }
    if (event.event !== 'made' && event.event !== 'gone') return
    if (event.kind === 'elements') return this.#filled(event.object as Elements)
    if (event.event === 'gone') return
    if (event.kind === 'set') this.#made(event.object as NftSet)
    else if (event.kind === 'rule') {
      const rule = event.object as Rule
      for (const name of setsIn(rule)) await this.#need(rule, name)
    }
  }

  /** What has to be known to write it. */
  about(event: NftablesEvent): Known {
    if (event.event !== 'made' && event.event !== 'gone') return { sets: [], elements: [] }
    const { kind, object } = event
    const names =
      kind === 'elements' ? [(object as Elements).set] : kind === 'rule' ? setsIn(object as Rule) : []
    const keys = names.map((name) => nameOf(object as InTable, name))
    const all = <T>(known: ReadonlyMap<string, T>): T[] =>
      keys.map((key) => known.get(key)).filter((one) => one !== undefined)
    return { sets: all(this.#sets), elements: all(this.#elements) }
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
  async #filled(part: Elements): Promise<void> {
    const set = await this.#need(part, part.set)
    if (set?.flags?.includes('anonymous') !== true) return
    const name = nameOf(part, part.set)
    const before = this.#elements.get(name)?.elements ?? []
    this.#elements.set(name, { ...part, elements: [...before, ...part.elements] })
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
type InTable = Pick<Rule, 'family' | 'table'>

function nameOf({ family, table }: InTable | NftSet, name: string): string {
  return `${family} ${table} ${name}`
}

function setsIn({ expressions = [] }: Rule): string[] {
  return expressions.flatMap((one) => (one as { readonly set?: string }).set ?? [])
}

/** Events tell of what may have been deleted since. */
export function unlessGone<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  return reading.catch((error: unknown) => {
    if (isKernelError(error, 'ENOENT')) return otherwise
    throw error
  })
}

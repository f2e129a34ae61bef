/** What has to change of sets' elements: those that are, against those that are to be. Pure. */
import type { ElementInput, Transaction } from '../../nftables/index.js'
import type { TableName } from './sets.js'

/** The bytes of its key (and of its end), as text: what an element is found by. */
export function keyOf({ key, keyEnd, flags }: ElementInput): string {
  const start = textOf(key)
  if (keyEnd !== undefined) return start + textOf(keyEnd)
  return flags?.includes('interval-end') === true ? `${start}>` : start
}
function textOf(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return ''
  let text = ''
  for (let index = 0; index < bytes.length; index++) text += String.fromCharCode(bytes[index]!)
  return text
}

/** Of elements with the same key: whether they say the same. */
function isSame(one: ElementInput, other: ElementInput): boolean {
  const [data, with_] = [one.data, other.data]
  if (data === undefined || with_ === undefined) return data === with_
  if (data instanceof Uint8Array) {
    if (!(with_ instanceof Uint8Array) || data.length !== with_.length) return false
    for (let index = 0; index < data.length; index++) if (data[index] !== with_[index]) return false
    return true
  }
  return !(with_ instanceof Uint8Array) && data.code === with_.code && data.chain === with_.chain
}

interface Pair {
  readonly before?: ElementInput
  readonly after?: ElementInput
}

/** Elements of one set. */
class SetChanges {
  readonly pairs = new Map<string, Pair>()
  /** Those of which it is known that there is nothing before, and nothing else after. */
  readonly added: ElementInput[] = []
}

/** Collects; says at the end what is to be sent. */
export class ElementChanges {
  readonly #sets = new Map<string, SetChanges>()

  #of(set: string): SetChanges {
    let found = this.#sets.get(set)
    if (found === undefined) this.#sets.set(set, (found = new SetChanges()))
    return found
  }

  /** One that is there. */
  before(set: string, element: ElementInput): void {
    const { pairs } = this.#of(set)
    const key = keyOf(element)
    const known = pairs.get(key)
    pairs.set(key, known === undefined ? { before: element } : { ...known, before: element })
  }

  /** One that is to be. @returns false if there is to be another one with its key. */
  after(set: string, element: ElementInput): boolean {
    const { pairs } = this.#of(set)
    const key = keyOf(element)
    const known = pairs.get(key)
    if (known?.after !== undefined) return isSame(known.after, element)
    pairs.set(key, known === undefined ? { after: element } : { ...known, after: element })
    return true
  }

  /** One that is to be, of a set that is empty: the kernel finds what is given twice. */
  afterNothing(set: string, element: ElementInput): void {
    this.#of(set).added.push(element)
  }

  /** Whether anything is known to be in it. */
  isEmpty(set: string): boolean {
    return !this.#sets.has(set)
  }

  /** Deletions first: an element takes another's place within a transaction. */
  addTo(transaction: Transaction, table: TableName): void {
    const deleted: [string, ElementInput[]][] = []
    const added: [string, ElementInput[]][] = []
    for (const [set, { pairs, added: fresh }] of this.#sets) {
      const gone: ElementInput[] = []
      const made: ElementInput[] = fresh
      for (const { before, after } of pairs.values()) {
        if (before !== undefined && after !== undefined && isSame(before, after)) continue
        if (before !== undefined) gone.push(nameOf(before))
        if (after !== undefined) made.push(after)
      }
      if (gone.length > 0) deleted.push([set, gone])
      if (made.length > 0) added.push([set, made])
    }
    for (const [set, elements] of deleted) transaction.delete('elements', { ...table, set, elements })
    for (const [set, elements] of added) transaction.add('elements', { ...table, set, elements })
  }
}

/** What names it. */
function nameOf({ key, keyEnd, flags }: ElementInput): ElementInput {
  if (keyEnd !== undefined) return { key, keyEnd }
  return flags === undefined || flags.length === 0 ? { key } : { key, flags }
}

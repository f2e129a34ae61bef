/** What has to change of sets' elements: those that are, against those that are to be. Pure. */
import type { ElementInput, Transaction } from '../../nftables/index.js'
import type { TableName } from './sets.js'

/** The bytes of its key (and of its end), as text: what an element is found by. */
export function keyOf({ key, keyEnd, flags }: ElementInput): string {
  const start = textOf(key)
  if (keyEnd !== undefined) return start + textOf(keyEnd)
  return flags?.includes('interval-end') === true ? `${start}>` : start
}
/** In one piece: a text that is put together byte by byte is a tree of texts. */
function textOf(bytes: Uint8Array = none): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[])
}
const none = new Uint8Array()

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

/** What is deleted and added, set by set. Deletions come first: an element takes another's place within a transaction. */
export class ElementChanges {
  readonly #deleted: [set: string, elements: Iterable<ElementInput>][] = []
  readonly #added: [set: string, elements: Iterable<ElementInput>][] = []

  /** From elements that are to those that are to be. */
  change(set: string, before: Iterable<ElementInput>, after: Iterable<ElementInput>): void {
    const left = new Map<string, ElementInput>()
    for (const element of before) left.set(keyOf(element), element)
    const gone: ElementInput[] = []
    const made: ElementInput[] = []
    for (const element of after) {
      const key = keyOf(element)
      const there = left.get(key)
      if (there !== undefined) {
        left.delete(key)
        if (isSame(there, element)) continue
        gone.push(nameOf(there))
      }
      made.push(element)
    }
    for (const element of left.values()) gone.push(nameOf(element))
    if (gone.length > 0) this.#deleted.push([set, gone])
    if (made.length > 0) this.#added.push([set, made])
  }

  /** Into a set that is empty. They are gone through when they are sent, each time. */
  fill(set: string, after: Iterable<ElementInput>): void {
    if (after[Symbol.iterator]().next().done !== true) this.#added.push([set, after])
  }

  addTo(transaction: Transaction, table: TableName): void {
    for (const [set, elements] of this.#deleted) transaction.delete('elements', { ...table, set, elements })
    for (const [set, elements] of this.#added) transaction.add('elements', { ...table, set, elements })
  }
}

/** What names it. */
function nameOf({ key, keyEnd, flags }: ElementInput): ElementInput {
  if (keyEnd !== undefined) return { key, keyEnd }
  return flags === undefined || flags.length === 0 ? { key } : { key, flags }
}

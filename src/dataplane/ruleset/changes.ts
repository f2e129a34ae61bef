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
  if (data instanceof Uint8Array) return with_ instanceof Uint8Array && areEqual(data, with_)
  return !(with_ instanceof Uint8Array) && data.code === with_.code && data.chain === with_.chain
}

/** As `keyOf`, of elements without an end. */
function hasSameKey(one: ElementInput, other: ElementInput): boolean {
  if (one.key === undefined || other.key === undefined) return false
  const isPlain = ({ keyEnd, flags }: ElementInput): boolean => keyEnd === undefined && flags === undefined
  return isPlain(one) && isPlain(other) && areEqual(one.key, other.key)
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) return false
  return true
}

/** What is deleted and added, set by set. Deletions come first: an element takes another's place within a transaction. */
export class ElementChanges {
  readonly #deleted: [set: string, elements: Iterable<ElementInput>][] = []
  readonly #added: [set: string, elements: Iterable<ElementInput>][] = []

  /** From elements that are to those that are to be. */
  change(set: string, before: Iterable<ElementInput>, after: Iterable<ElementInput>): void {
    const gone: ElementInput[] = []
    const made: ElementInput[] = []
    const olds = before[Symbol.iterator]()
    const news = after[Symbol.iterator]()
    let [old, now] = [olds.next(), news.next()]
    // A service that has changed mostly has the same keys in the same places: nothing has to be looked for.
    for (; old.done !== true && now.done !== true; old = olds.next(), now = news.next()) {
      if (!hasSameKey(old.value, now.value)) break
      if (isSame(old.value, now.value)) continue
      gone.push(nameOf(old.value))
      made.push(now.value)
    }
    const left = new Map<string, ElementInput>()
    for (; old.done !== true; old = olds.next()) left.set(keyOf(old.value), old.value)
    for (; now.done !== true; now = news.next()) {
      const key = left.size === 0 ? undefined : keyOf(now.value)
      const there = key === undefined ? undefined : left.get(key)
      if (there !== undefined) {
        left.delete(key!)
        if (isSame(there, now.value)) continue
        gone.push(nameOf(there))
      }
      made.push(now.value)
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

/**
 * What a transaction sends for sets that merge their intervals: the kernel has no such thing, so what is there is read, and
 * what differs is taken away and put there anew.
 */
import { MalformedMessageError } from '../errors/index.js'
import {
  covers,
  difference,
  elementsOf,
  type Interval,
  intervalsGiven,
  intervalsStored,
  isPlain,
  type Stored,
  union,
} from './intervals.js'
import type { ElementInput } from './kinds.js'

/** What a transaction does to a set in the end. */
export interface Merge {
  readonly removed: readonly ElementInput[]
  readonly added: readonly ElementInput[]
}

/**
 * The intervals of one set, while a transaction is put together: what is there, and what is to be. Of each interval the
 * kernel hears once, however many operations there are: of one that was deleted and added before in the same batch it does
 * not find the right element again (nft_rbtree_deactivate). What carries more than its key is never merged.
 */
export class MergedSet {
  readonly #there: readonly Stored[]
  #wanted: readonly Interval[]
  #bytes = 0

  /** What the kernel tells of the set. @throws MalformedMessageError */
  constructor(elements: readonly ElementInput[]) {
    const lengths = new Set(elements.flatMap(({ key }) => (key === undefined ? [] : [key.length])))
    if (lengths.size > 1) throw new MalformedMessageError('keys of a set that differ in length', 0)
    this.#there = intervalsStored(elements).filter(isPlain)
    this.#wanted = this.#there
  }

  /** All of these keys are in it from then on. Returns what is added as it is. @throws ValidationError */
  add(elements: readonly ElementInput[]): ElementInput[] {
    const given = this.#read(elements)
    this.#wanted = union([...this.#wanted, ...given.filter(isPlain)])
    const others = given.filter((one) => !isPlain(one)).flatMap((one) => one.elements)
    return [...elements.filter(({ key }) => key === undefined), ...others]
  }

  /** None of these keys is in it from then on. False if it has not all of them now, unless they may be missing. */
  delete(elements: readonly ElementInput[], mayMiss: boolean): boolean {
    const given = this.#read(elements)
    const now = union(this.#wanted)
    if (!mayMiss && !covers(now, given)) return false
    this.#wanted = difference(now, given)
    return true
  }

  get changes(): Merge {
    const gone = new Map(this.#there.map((one) => [nameOf(one), one]))
    const made = this.#wanted.filter((one) => !gone.delete(nameOf(one)))
    const removed = [...gone.values()].flatMap(({ elements }) => elements)
    return {
      removed: removed.map(({ key, flags }) => ({ key, flags })),
      added: made.flatMap((one) => elementsOf(one, this.#bytes)),
    }
  }

  #read(elements: readonly ElementInput[]): Stored[] {
    const given = intervalsGiven(elements)
    this.#bytes ||= given[0]?.elements[0]?.key?.length ?? 0
    return given
  }
}

function nameOf({ first, last }: Interval): string {
  return `${first}-${last}`
}

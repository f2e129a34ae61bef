/** Intervals and how they are merged, against a model that knows every key by itself. */
import t from 'tap'
import {
  covers,
  difference,
  elementsOf,
  type Interval,
  intervalsGiven,
  intervalsStored,
  union,
} from '../../src/nftables/intervals.js'
import type { ElementInput } from '../../src/nftables/index.js'
import { MergedSet } from '../../src/nftables/merging.js'
import { isOpenInterval } from '../../src/nftables/userdata.js'

/** xorshift32: repeatable. */
let state = 1
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

const keys = 256
const interval = (): Interval => {
  const first = random(keys)
  // Some of them reach to the last key.
  const last = random(8) === 0 ? keys - 1 : Math.min(keys - 1, first + random(40))
  return { first: BigInt(first), last: BigInt(last) }
}
const intervals = (): Interval[] => Array.from({ length: random(7) }, interval)
const keysOf = (list: readonly Interval[]): Set<number> =>
  new Set(
    list.flatMap(({ first, last }) =>
      Array.from({ length: Number(last - first) + 1 }, (_, index) => Number(first) + index),
    ),
  )
const sorted = (set: ReadonlySet<number>): number[] => [...set].sort((one, other) => one - other)
const isCanonical = (list: readonly Interval[]): boolean =>
  list.every(({ first, last }, index) => first <= last && (index === 0 || list[index - 1]!.last + 1n < first))

t.test(
  'sums and differences have the keys that they are to have, and no more intervals than it takes',
  (t) => {
    for (let round = 0; round < 5000; round++) {
      const [one, other] = [intervals(), intervals()]
      const [a, b] = [keysOf(one), keysOf(other)]
      const sum = union([...one, ...other])
      const rest = difference(union(one), other)
      const isSame =
        String(sorted(keysOf(sum))) === String(sorted(new Set([...a, ...b]))) &&
        String(sorted(keysOf(rest))) === String(sorted(new Set([...a].filter((key) => !b.has(key))))) &&
        covers(union(one), other) === [...b].every((key) => a.has(key)) &&
        isCanonical(sum) &&
        isCanonical(rest)
      if (!isSame) t.fail(`round ${round}: ${JSON.stringify([one, other].map((list) => list.map(String)))}`)
    }
    t.pass('5000 rounds')
    t.end()
  },
)

/** A set as the kernel has it: it merges nothing, refuses what overlaps, and deletes what is there. */
class KernelSet {
  #elements: ElementInput[] = []

  get elements(): readonly ElementInput[] {
    // In any order.
    return [...this.#elements].sort(() => random(3) - 1)
  }
  delete(elements: readonly ElementInput[]): void {
    for (const element of elements) {
      const at = this.#elements.findIndex((one) => isSame(one, element))
      if (at < 0) throw new Error('ENOENT')
      this.#elements.splice(at, 1)
    }
  }
  add(elements: readonly ElementInput[]): void {
    const there = keysOf(intervalsStored(this.#elements))
    for (const key of keysOf(intervalsGiven(elements))) if (there.has(key)) throw new Error('EEXIST')
    for (const element of elements) {
      if (this.#elements.some((one) => isSame(one, element))) throw new Error('EEXIST')
      this.#elements.push(element)
    }
  }
}
function isSame(one: ElementInput, other: ElementInput): boolean {
  return one.key![0] === other.key![0] && String(one.flags ?? []) === String(other.flags ?? [])
}

t.test('what a transaction does to a set is what the model does, and the kernel takes it', (t) => {
  for (let round = 0; round < 500; round++) {
    const kernel = new KernelSet()
    const model = new Set<number>()
    for (let transaction = 0; transaction < 8; transaction++) {
      const merged = new MergedSet(kernel.elements)
      for (let operations = random(4); operations > 0; operations--) {
        const list = intervals()
        const elements = list.flatMap((one) => elementsOf(one, 1))
        const isThere = [...keysOf(list)].every((key) => model.has(key))
        const mayMiss = random(2) === 0
        if (random(3) > 0) {
          if (merged.add(elements).length > 0) t.fail(`round ${round}: something is left as it is`)
          for (const key of keysOf(list)) model.add(key)
        } else if (merged.delete(elements, mayMiss) !== (mayMiss || isThere)) {
          t.fail(`round ${round}: what is there is not found`)
        } else if (mayMiss || isThere) for (const key of keysOf(list)) model.delete(key)
      }
      const { removed, added } = merged.changes
      kernel.delete(removed)
      kernel.add(added)
      const there = intervalsStored(kernel.elements)
      if (String(sorted(keysOf(there))) !== String(sorted(model))) t.fail(`round ${round}: other keys`)
      if (!isCanonical(there)) t.fail(`round ${round}: more intervals than it takes`)
    }
  }
  t.pass('500 sets')
  t.end()
})

t.test('what carries more than its key is left as it is', (t) => {
  const plain = elementsOf({ first: 1n, last: 5n }, 1)
  const timed = elementsOf({ first: 10n, last: 15n }, 1, { timeoutMilliseconds: 5000 })
  const set = new MergedSet([...plain, ...timed])
  t.same(set.add(elementsOf({ first: 6n, last: 9n }, 1)), [])
  const commented = elementsOf({ first: 2n, last: 3n }, 1, { comment: 'mine' })
  t.same(set.add(commented), commented, 'the kernel is to say that it overlaps')
  t.equal(set.delete(timed, false), false, 'nor is it for us to delete')
  t.same(set.changes, { removed: plain, added: elementsOf({ first: 1n, last: 9n }, 1) })
  t.end()
})

t.test('intervals without an end', (t) => {
  const [open, ...none] = elementsOf({ first: 200n, last: 255n }, 1)
  t.same(none, [])
  t.ok(isOpenInterval(open!.userData!))
  t.same(elementsOf({ first: 255n, last: 255n }, 1), [{ key: Uint8Array.of(255) }])
  t.match(intervalsStored([open!]), [{ first: 200n, last: 255n }])
  // nft leaves an end out where another interval begins.
  const chained = [
    { key: Uint8Array.of(1) },
    { key: Uint8Array.of(5) },
    { key: Uint8Array.of(9), flags: ['interval-end'] },
  ]
  t.match(intervalsStored(chained as never), [{ first: 1n, last: 8n, elements: { length: 3 } }])
  t.throws(
    () => intervalsGiven([{ key: Uint8Array.of(5) }, { key: Uint8Array.of(4), flags: ['interval-end'] }]),
    { name: 'ValidationError', path: 'elements[1].key' },
  )
  t.end()
})

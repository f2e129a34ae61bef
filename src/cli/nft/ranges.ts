/** Bounds of intervals as events tell them: each by itself, the two of a range one after the other. */
import type { Element, Elements, NftablesEvent } from '../../nftables/index.js'

type Change = Extract<NftablesEvent, { readonly event: 'made' | 'gone' }>

/** Puts the two bounds of a range into one event again. */
export class Ranges {
  #waiting: { readonly event: Change; readonly part: Elements; readonly bound: Element } | undefined

  /** What is to be told now; `isOfIntervals`: it is of elements of a set of intervals of one field. */
  put(event: NftablesEvent, isOfIntervals: boolean): NftablesEvent[] {
    const waiting = this.#waiting
    this.#waiting = undefined
    const before = waiting === undefined ? [] : [waiting.event]
    const part = (event as Change).object as Elements
    const bound = isOfIntervals && part.elements.length === 1 ? part.elements[0] : undefined
    if (bound?.key === undefined) return [...before, event]
    if (
      waiting?.event.event === event.event &&
      isSameSet(waiting.part, part) &&
      (isRange(waiting.bound, bound) || isRange(bound, waiting.bound))
    ) {
      return [{ ...waiting.event, object: { ...part, elements: [waiting.bound, bound] } }]
    }
    this.#waiting = { event: event as Change, part, bound }
    return before
  }
}

/** The kernel begins a set with an end that stands at the first key of all: it is none of anything. */
function isRange(first: Element, end: Element): boolean {
  return !isEnd(first) && isEnd(end) && Buffer.compare(first.key!, end.key!) < 0
}

function isEnd({ flags }: Element): boolean {
  return flags?.includes('interval-end') === true
}

function isSameSet(one: Elements, other: Elements): boolean {
  return one.family === other.family && one.table === other.table && one.set === other.set
}

/** Sets and maps with a name, typed by their keys: a field of another type does not compile. */
import { ValidationError } from '../../errors/index.js'
import type { Family } from '../hooks.js'
import { nextSetId } from '../ids.js'
import type { ElementInput, ElementsInput, SetInput } from '../kinds.js'
import { mostCommentBytes, type SetByteOrder, setUserData } from '../userdata.js'
import { verdictType } from '../values.js'
import type { DataType } from './datatypes.js'
import { type Entry, intervalElements, type IntervalOf } from './intervals.js'
import {
  type Entries,
  orderOf,
  otherwise,
  plainElement,
  verdictBytes,
  type VerdictValue,
  verdictOf,
} from './literals.js'

/** What sets and maps may be told beside their types. */
export interface NamedSetOptions {
  /** What it is told beside that. */
  readonly flags?: SetInput['flags']
  /**
   * Elements that overlap or touch become one, also with what the kernel has; what is deleted may be a part of one. It makes
   * it a set of intervals. Not of maps, nor where the key is of several fields.
   */
  readonly autoMerge?: boolean | undefined
  /** How long an element stays. */
  readonly timeoutMilliseconds?: number | undefined
  /** The most elements. */
  readonly size?: number | undefined
  /** What `nft` shows beside it. */
  readonly comment?: string | undefined
  /** What each element carries: a counter, a limit. */
  readonly expressions?: SetInput['expressions']
  /** What becomes of packets that no rule has decided on. */
  readonly policy?: SetInput['policy']
}

/** Which set it is. */
export interface SetPlace {
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family: Family
  /** The name of its table. */
  readonly table: string
  /** Its name in its table. */
  readonly name: string
}

/** A set of keys; with the flag `interval`, of ranges and prefixes of them. */
export class NamedSet<Key> {
  /** Where it is. */
  readonly place: SetPlace
  /** Its key, as bytes. */
  readonly key: DataType<Key>
  readonly #options: Omit<NamedSetOptions, 'comment' | 'autoMerge'>
  readonly #comment: string | undefined
  readonly #autoMerge: boolean
  readonly #id: number

  /** @throws ValidationError */
  constructor(
    place: SetPlace,
    key: DataType<Key>,
    { comment, autoMerge = false, ...options }: NamedSetOptions = {},
  ) {
    this.place = place
    this.key = key
    this.#options = options
    this.#comment = comment
    this.#autoMerge = autoMerge
    if (autoMerge && ('parts' in key || options.flags?.includes('map') === true)) {
      throw new ValidationError(
        'autoMerge',
        autoMerge,
        'nothing, where it is a map or the key has several fields',
      )
    }
    if (setUserData({ comment }) === undefined) {
      throw new ValidationError('comment', comment, `at most ${mostCommentBytes} bytes without NUL`)
    }
    this.#id = nextSetId()
  }

  /** Whether it holds ranges and prefixes, too. */
  get isInterval(): boolean {
    return this.#autoMerge || this.#options.flags?.includes('interval') === true
  }

  /** Its name in its table. */
  get name(): string {
    return this.place.name
  }

  /** For `Transaction.add('set', …)`. */
  get input(): SetInput {
    return this.describe({}, undefined)
  }

  /** What the kernel and nft are told of it. */
  protected describe(more: Partial<SetInput>, data: SetByteOrder | undefined): SetInput {
    const { key } = this
    const { parts } = key as { readonly parts?: readonly DataType<never>[] }
    const flags = [
      ...new Set([...(this.#options.flags ?? []), ...(this.isInterval ? (['interval'] as const) : [])]),
    ]
    const userData = setUserData({
      key: orderOf(key),
      data,
      autoMerge: this.#autoMerge,
      comment: this.#comment,
    })
    const set = {
      ...this.#options,
      ...more,
      ...this.place,
      userData,
      ...(this.#autoMerge ? { autoMerge: true } : {}),
      id: this.#id,
      flags,
      keyType: key.number,
      keyLength: key.bytes,
    }
    if (parts === undefined || !this.isInterval) return set
    // Of intervals of several fields the kernel must know how long each is (nft_set_pipapo.c).
    return { ...set, flags: [...flags, 'concatenation'], fields: parts.map(({ bytes }) => bytes) }
  }

  /** For `Transaction.add('elements', …)` and `delete`. @throws ValidationError */
  elementsOf(keys: Iterable<IntervalOf<Key>>): ElementsInput {
    return this.elementsInput(Array.from(keys, (key) => [key, {}] as const))
  }

  /** Elements of this set. @throws ValidationError */
  protected elementsInput(entries: Entries<Key, Omit<ElementInput, 'key'>>): ElementsInput {
    const { family, table, name } = this.place
    const keyed: Entry<Key>[] = []
    const others: ElementInput[] = []
    for (const [key, more] of entries) {
      if (key === otherwise) others.push({ ...more, flags: ['catch-all'] })
      else keyed.push([key, more])
    }
    const elements = this.isInterval
      ? intervalElements(this.key, keyed)
      : keyed.map(([key, more]) => plainElement(this.key, key, more))
    const merging = this.#autoMerge ? { autoMerge: true } : {}
    return { family, table, set: name, elements: [...elements, ...others], ...merging }
  }
}

/** A map from keys to values. */
export class NamedMap<Key, Value> extends NamedSet<Key> {
  /** What its values are. */
  readonly value: DataType<Value>

  constructor(place: SetPlace, key: DataType<Key>, value: DataType<Value>, options: NamedSetOptions = {}) {
    super(place, key, { ...options, flags: [...(options.flags ?? []), 'map'] })
    this.value = value
  }

  override get input(): SetInput {
    return this.describe({ dataType: this.value.number, dataLength: this.value.bytes }, orderOf(this.value))
  }

  /** Keys with their values; `otherwise` is for every key that has none. @throws ValidationError */
  entriesOf(entries: Entries<Key, Value>): ElementsInput {
    return this.elementsInput(
      Array.from(entries, ([key, value]) => [key, { data: this.value.encode(value) }] as const),
    )
  }
}

/** A map from keys to verdicts. */
export class VerdictMap<Key> extends NamedSet<Key> {
  constructor(place: SetPlace, key: DataType<Key>, options: NamedSetOptions = {}) {
    super(place, key, { ...options, flags: [...(options.flags ?? []), 'map'] })
  }

  override get input(): SetInput {
    return this.describe({ dataType: verdictType, dataLength: verdictBytes }, 'none')
  }

  /** Keys with their verdicts; `otherwise` is for every key that has none. @throws ValidationError */
  entriesOf(entries: Entries<Key, VerdictValue>): ElementsInput {
    return this.elementsInput(
      Array.from(entries, ([key, verdict]) => [key, { data: verdictOf(verdict) }] as const),
    )
  }
}

/** Sets and maps with a name, typed by their keys: a field of another type does not compile. */
import { ValidationError } from '../../errors/index.js'
import type { Family } from '../hooks.js'
import type { ElementsInput, SetInput, Verdict } from '../kinds.js'
import { mostCommentBytes, type SetByteOrder, setUserData, userDataOf } from '../userdata.js'
import { type DataType, registerBytes } from './datatypes.js'

/** NFT_DATA_VERDICT. */
const verdictType = 0xffff_ff00
/** What the kernel counts for one. */
const verdictBytes = 16

/** What sets and maps may be told beside their types. */
export interface NamedSetOptions {
  /** What it is told beside that. */
  readonly flags?: SetInput['flags']
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

/** Numbers of sets within a transaction; those of anonymous sets are below. */
const firstId = 0x4000_0000
const mostId = 0x7fff_ffff
let lastId = firstId

/** Of several fields each has its own. */
function orderOf(type: DataType<never>): SetByteOrder {
  return 'parts' in type ? 'none' : type.order
}

/** A set of keys. */
export class NamedSet<Key> {
  /** Where it is. */
  readonly place: SetPlace
  /** Its key, as bytes. */
  readonly key: DataType<Key>
  readonly #options: Omit<NamedSetOptions, 'comment'>
  readonly #comment: string | undefined
  readonly #id: number

  constructor(place: SetPlace, key: DataType<Key>, { comment, ...options }: NamedSetOptions = {}) {
    this.place = place
    this.key = key
    this.#options = options
    this.#comment = comment
    if (comment !== undefined && userDataOf('set', comment) === undefined) {
      throw new ValidationError('comment', comment, `at most ${mostCommentBytes} bytes without NUL`)
    }
    this.#id = lastId = lastId === mostId ? firstId : lastId + 1
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
    const flags = this.#options.flags ?? []
    const set = {
      ...this.#options,
      ...more,
      userData: setUserData(orderOf(key), data, this.#comment),
      ...this.place,
      id: this.#id,
      flags,
      keyType: key.number,
      keyLength: key.bytes,
    }
    if (parts === undefined || !flags.includes('interval')) return set
    // Of intervals of several fields the kernel must know how long each is (nft_set_pipapo.c).
    const fields = parts.map(({ bytes }) => registerBytes(bytes))
    return { ...set, flags: [...flags, 'concatenation'], fields }
  }

  /** For `Transaction.add('elements', …)` and `delete`. @throws ValidationError */
  elementsOf(keys: Iterable<Key>): ElementsInput {
    return this.elementsInput(Array.from(keys, (key) => ({ key: this.key.encode(key) })))
  }

  /** Elements of this set. */
  protected elementsInput(elements: NonNullable<ElementsInput['elements']>): ElementsInput {
    const { family, table, name } = this.place
    return { family, table, set: name, elements }
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

  /** Keys with their values. @throws ValidationError */
  entriesOf(entries: Iterable<readonly [key: Key, value: Value]>): ElementsInput {
    return this.elementsInput(
      Array.from(entries, ([key, value]) => ({ key: this.key.encode(key), data: this.value.encode(value) })),
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

  /** Keys with their verdicts. @throws ValidationError */
  entriesOf(entries: Iterable<readonly [key: Key, verdict: Verdict]>): ElementsInput {
    return this.elementsInput(Array.from(entries, ([key, data]) => ({ key: this.key.encode(key), data })))
  }
}

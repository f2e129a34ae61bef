import {
  BatchError,
  type BatchFailure,
  isKernelError,
  isUnsupportedError,
  KernelError,
  UnsupportedError,
} from '../errors/index.js'
import {
  type Acknowledgement,
  type AttributeTable,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_ECHO,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from '../netlink/index.js'
import type { Commit, CommitFailure, CommitOptions, Netfilter, NetfilterMessage } from '../nfnetlink/index.js'
import type { Family } from './hooks.js'
import { nextSetId } from './ids.js'
import { type ElementInput, type Inputs, type Kind, type KindName, kinds, type Outputs } from './kinds.js'
import { MergedSet } from './merging.js'
import { type ReadObject, readObject } from './reading.js'

/** What can be asked for in a transaction, as `nft` has it. */
export type Verb = 'add' | 'create' | 'insert' | 'replace' | 'rename' | 'delete' | 'destroy' | 'flush'

/** One thing that a transaction does. */
export interface Operation<K extends KindName = KindName> {
  /** What is done. */
  readonly verb: Verb
  /** What it is done to. */
  readonly kind: K
  /** As the caller gave it. */
  readonly object: Inputs[K]
}

/** How a transaction is made. */
export interface TransactionOptions extends CommitOptions {
  /** The kernel tells of what was made, with its handles. False unless said: it costs a message for each. */
  readonly echo?: boolean | undefined
}

/** What a commit has made, as far as it was asked for. */
export interface Committed {
  /** By the number of the operation: what the kernel made of it. Elements may come in several. */
  readonly made: ReadonlyMap<number, readonly Outputs[KindName][]>
  /** Some of `made` was lost by a full receive buffer; everything was committed all the same. */
  readonly lost: boolean
}

/** What names an object where it is to be deleted: nothing else may be sent. */
export type Existing<K extends KindName> = Partial<Inputs[K]> & {
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family: Family
  /** The number that the kernel gave it. */
  readonly handle?: number | undefined
}

/**
 * Changes that the kernel makes all together, or not at all. Nothing is sent before `commit()`. Objects of the same
 * transaction may be referred to before they have a handle, by the `id` that the program gives them.
 */
export class Transaction {
  readonly #netfilter: Netfilter
  readonly #operations: Operation[] = []
  readonly #looks: Looks

  /** @internal */
  constructor(netfilter: Netfilter, looks: Looks) {
    this.#netfilter = netfilter
    this.#looks = looks
  }

  /** What it is going to do. */
  get operations(): readonly Operation[] {
    return this.#operations
  }

  /** Makes it if it is not there. Rules go behind those of their chain, or behind the one of `position`. */
  add<K extends KindName>(kind: K, object: Inputs[K]): this {
    return this.#put('add', kind, object)
  }

  /** Makes it; fails with EEXIST if it is there. */
  create<K extends Exclude<KindName, 'rule'>>(kind: K, object: Inputs[K]): this {
    return this.#put('create', kind, object)
  }

  /** Puts a rule before those of its chain, or before the one of `position`. */
  insert(kind: 'rule', object: Inputs['rule']): this {
    return this.#put('insert', kind, object)
  }

  /** Puts a rule in the place of the one of `handle`. */
  replace(kind: 'rule', object: Inputs['rule']): this {
    return this.#put('replace', kind, object)
  }

  /** Gives the chain of `handle` the name. */
  rename(
    kind: 'chain',
    object: {
      readonly family: Family
      readonly table: string
      readonly handle: number
      readonly name: string
    },
  ): this {
    return this.#put('rename', kind, object)
  }

  /** Takes it away; fails with ENOENT if it is not there. */
  delete<K extends KindName>(kind: K, object: Existing<K>): this {
    return this.#put('delete', kind, object as Inputs[K])
  }

  /** Takes it away if it is there. Before Linux 6.3 it is looked for first. */
  destroy<K extends KindName>(kind: K, object: Existing<K>): this {
    return this.#put('destroy', kind, object as Inputs[K])
  }

  /** Takes away what is in it: the rules of a chain or of a table, the elements of a set. */
  flush(
    kind: 'chain' | 'table' | 'set',
    object: { readonly family: Family; readonly table?: string; readonly name: string },
  ): this {
    const { family, name } = object
    if (kind === 'table') return this.#put('flush', 'rule', { family, table: name })
    const table = object.table ?? ''
    if (kind === 'chain') return this.#put('flush', 'rule', { family, table, chain: name })
    return this.#put('flush', 'elements', { family, table, set: name })
  }

  /** Takes away every table that is not owned by somebody, of one family or of all. */
  flushRuleset(family?: Family): this {
    return this.#put('flush', 'table', { family: family ?? 'unspecified' } as unknown as Inputs['table'])
  }

  /** Whether the kernel would do it: nothing is changed. @throws as `commit` does. */
  async check(options?: TransactionOptions): Promise<void> {
    await this.commit({ ...options, check: true })
  }

  /**
   * Does all of it. It never holds the event loop: what the kernel takes back costs it milliseconds.
   *
   * @throws BatchError with every operation that failed and none applied; KernelError of the whole (ERESTART if the
   *   generation is another one); UnsupportedError if something of it is newer than this kernel, whose `cause` is the
   *   BatchError; ValidationError before anything is sent.
   */
  async commit(options: TransactionOptions = {}): Promise<Committed> {
    const all: readonly Numbered[] = [...this.#operations.entries()]
    const isMerging = mergingSets(this.#operations).size > 0
    const sent = await (isMerging
      ? this.#looking(() => this.#merged(all), options)
      : this.#send(all, options))
    if (!this.#isDestroyUnknown(sent)) return this.#outcome(sent)
    const prepare = async (): Promise<Numbered[]> => this.#withoutDestroy(await this.#merged(all))
    return this.#outcome(await this.#looking(prepare, options))
  }

  /** What was found stays so until the commit, or the kernel takes nothing and it is looked for again. */
  async #looking(prepare: () => Promise<readonly Numbered[]>, options: TransactionOptions): Promise<Sent> {
    for (let attempt = 1; ; attempt++) {
      const ifGeneration = options.ifGeneration ?? (await this.#looks.generation())
      const sent = await this.#send(await prepare(), { ...options, ifGeneration })
      const isChanged = sent.failures.some(
        ({ index, error }) => index < 0 && isKernelError(error, 'ERESTART'),
      )
      if (!isChanged || options.ifGeneration !== undefined || attempt === lookAttempts) return sent
    }
  }

  /** Elements of sets that merge their intervals, as the kernel is to get them. */
  async #merged(operations: readonly Numbered[]): Promise<Numbered[]> {
    const merging = mergingSets(operations.map(([, operation]) => operation))
    // What an operation becomes; of a set all changes are with its last one.
    const slots: Numbered[][] = []
    const open = new Map<
      string,
      { readonly set: MergedSet; readonly number: number; readonly slot: Numbered[] }
    >()
    const end = (id: string, place: SetPlace): void => {
      const found = open.get(id)
      if (found === undefined) return
      const { removed, added } = found.set.changes
      const of = (verb: Verb, elements: readonly ElementInput[]): Numbered[] =>
        elements.length === 0
          ? []
          : [[found.number, { verb, kind: 'elements', object: { ...place, elements } }]]
      found.slot.push(...of('delete', removed), ...of('add', added))
      open.delete(id)
    }
    const emptied = new Set<string>()
    for (const [number, operation] of operations) {
      const { verb, kind, object } = operation
      for (const [id, place] of merging) {
        if (!isEmptiedBy(operation, place)) continue
        end(id, place)
        emptied.add(id)
      }
      const { elements, ...where } = object as Inputs['elements']
      const id = kind === 'elements' ? idOf(where) : ''
      const place = merging.get(id)
      if (place === undefined || elements === undefined || where.autoMerge !== true || verb === 'create') {
        slots.push([[number, operation]])
        continue
      }
      const { set } = open.get(id) ?? {
        set: new MergedSet(emptied.has(id) ? [] : await this.#looks.elements(place)),
      }
      const given = [...elements]
      const slot: Numbered[] = []
      slots.push(slot)
      open.set(id, { set, number, slot })
      if (verb === 'add') {
        const others = set.add(given)
        if (others.length > 0) slot.push([number, { ...operation, object: { ...place, elements: others } }])
        // What is not there is for the kernel to say.
      } else if (!set.delete(given, verb === 'destroy')) slot.push([number, operation])
    }
    for (const [id, place] of merging) end(id, place)
    return slots.flat()
  }

  async #send(operations: readonly Numbered[], options: TransactionOptions): Promise<Sent> {
    const numberOf: number[] = []
    const messages = messagesOf(operations, options.echo === true, numberOf)
    const commit = await this.#netfilter.commit('nftables.commit', messages, readObject, options)
    return { ...commit, operations, numberOf }
  }

  async #outcome({ failures, results, lost, numberOf }: Sent): Promise<Committed> {
    if (failures.length > 0) {
      throw failureOf(await this.#withOwners(failures, numberOf), numberOf, this.#operations)
    }
    const made = new Map<number, Outputs[KindName][]>()
    for (const { index, result } of results) {
      const number = numberOf[index]
      if (number === undefined || result.kind !== this.#operations[number]!.kind) continue
      const list = made.get(number) ?? []
      made.set(number, list)
      list.push(result.object)
    }
    return { made, lost }
  }

  /** What a table's owner alone may do is told with who that is. */
  async #withOwners(
    failures: readonly CommitFailure[],
    numberOf: readonly number[],
  ): Promise<readonly CommitFailure[]> {
    const known = new Map<string, string | undefined>()
    const result: CommitFailure[] = []
    for (const { index, error } of failures) {
      const operation = this.#operations[numberOf[index] ?? -1]
      if (operation === undefined || !isKernelError(error, 'EPERM')) {
        result.push({ index, error })
        continue
      }
      const { kind, object } = operation
      const { family, table, name } = object as Partial<Inputs['table'] & Inputs['rule']>
      const place = { family: family!, name: (kind === 'table' ? name : table) ?? '' }
      const id = `${place.family} ${place.name}`
      if (!known.has(id)) known.set(id, await this.#looks.owner(place))
      const owner = known.get(id)
      result.push({ index, error: owner === undefined ? error : ownedBy(owner, error) })
    }
    return result
  }

  #put<K extends KindName>(verb: Verb, kind: K, object: Inputs[K]): this {
    const { elements } = object as Partial<Inputs['elements']>
    // They are gone through each time that it is sent: for a check, and where the kernel knows no destroy. What can be gone
    // through once alone is its own iterator.
    const isOnce =
      kind === 'elements' && elements !== undefined && (elements[Symbol.iterator]() as unknown) === elements
    this.#operations.push({ verb, kind, object: isOnce ? { ...object, elements: [...elements] } : object })
    return this
  }

  /** Before 6.3 the messages for it have no number: EINVAL (nfnetlink_rcv_batch), and for nothing else of them. */
  #isDestroyUnknown({ failures, operations, numberOf }: Sent): boolean {
    const destroyed = operations.filter(([, { verb }]) => verb === 'destroy')
    if (destroyed.length === 0) return false
    const refused = new Set(
      failures.filter(({ error }) => isKernelError(error, 'EINVAL')).map(({ index }) => numberOf[index]),
    )
    return destroyed.every(([number]) => refused.has(number))
  }

  async #withoutDestroy(operations: readonly Numbered[]): Promise<Numbered[]> {
    const plain: Numbered[] = []
    for (const [number, operation] of operations) {
      if (operation.verb !== 'destroy') plain.push([number, operation])
      else {
        const object = await this.#present(operation)
        if (object !== undefined) plain.push([number, { ...operation, verb: 'delete', object }])
      }
    }
    return plain
  }

  /** What there is of an object: of several elements, those that are there. */
  async #present(operation: Operation): Promise<Inputs[KindName] | undefined> {
    const { kind, object } = operation
    const { elements } = object as Inputs['elements']
    if (kind !== 'elements' || elements === undefined) {
      return (await this.#looks.exists(operation)) ? object : undefined
    }
    const present: ElementInput[] = []
    for (const element of elements) {
      const alone = { ...object, elements: [element] } as Inputs['elements']
      if (await this.#looks.exists({ ...operation, object: alone })) present.push(element)
    }
    return present.length === 0 ? undefined : { ...object, elements: present }
  }
}

/** What a transaction asks the kernel before it decides. */
interface Looks {
  exists(operation: Operation): Promise<boolean>
  /** Of a set; none if there is no such set. */
  elements(set: SetPlace): Promise<readonly ElementInput[]>
  generation(): Promise<number>
  /** Who owns a table, if somebody does. */
  owner(table: { readonly family: Family; readonly name: string }): Promise<string | undefined>
}
const lookAttempts = 10

/** A set by its name. */
export interface SetPlace {
  readonly family: Family
  readonly table: string
  readonly set: string
}
function idOf({ family, table, set }: SetPlace): string {
  return JSON.stringify([family, table, set])
}

/** Sets whose elements are merged. */
function mergingSets(operations: readonly Operation[]): Map<string, SetPlace> {
  const found = new Map<string, SetPlace>()
  for (const { kind, object } of operations) {
    if (kind !== 'elements') continue
    const { family, table, set, elements, autoMerge } = object as Inputs['elements']
    if (autoMerge !== true || elements === undefined) continue
    const place = { family, table, set }
    found.set(idOf(place), place)
  }
  return found
}

/** Whether nothing is left in the set by it. */
function isEmptiedBy({ verb, kind, object }: Operation, { family, table, set }: SetPlace): boolean {
  if (verb !== 'delete' && verb !== 'destroy' && verb !== 'flush') return false
  const { name, ...given } = object as { readonly name?: string } & Partial<Inputs['elements']>
  if (given.family !== family) return kind === 'table' && given.family === ('unspecified' as string)
  if (kind === 'table') return name === undefined || name === table
  if (given.table !== table) return false
  return kind === 'set'
    ? name === set
    : kind === 'elements' && given.set === set && given.elements === undefined
}

/** An operation with its number among those of the caller. */
type Numbered = readonly [number: number, operation: Operation]
/** What came of a send; an operation may have had several messages. */
interface Sent extends Commit<ReadObject> {
  readonly operations: readonly Numbered[]
  /** By the message's place. */
  readonly numberOf: readonly number[]
}

/** The operations of a batch that failed, or what failed of the whole. */
function failureOf(
  failures: readonly CommitFailure[],
  numberOf: readonly number[],
  operations: readonly Operation[],
): Error {
  // Of the begin, or of the end.
  const isWhole = ({ index }: CommitFailure): boolean => numberOf[index] === undefined
  const whole = failures.find(isWhole)
  if (whole !== undefined && failures.length === 1) return withHint(whole.error)
  const told: BatchFailure[] = failures
    .filter((failure) => !isWhole(failure))
    .map(({ index, error }) => ({
      index: numberOf[index]!,
      operation: nameOf(operations[numberOf[index]!]!),
      object: operations[numberOf[index]!]!.object,
      error,
    }))
  const together = operations.length
  const error = new BatchError(
    'nftables.commit',
    0,
    told,
    whole === undefined ? { together } : { together, cause: whole.error },
  )
  // Whatever else was wrong: this kernel will never do all of it.
  const unsupported = told.map((failure) => failure.error).find(isUnsupportedError)
  if (unsupported === undefined) return error
  return new UnsupportedError(unsupported.feature, unsupported.needs, { cause: error })
}

function ownedBy(owner: string, error: KernelError): KernelError {
  const { errno, operation, object, attribute, kernelMessage } = error
  const hint = `The table is owned by ${owner}: nobody else may change it until that closes its socket`
  return new KernelError({ errno, operation, object, attribute, kernelMessage, hint, cause: error })
}

function withHint(error: KernelError | UnsupportedError): KernelError | UnsupportedError {
  if (!isKernelError(error, 'ERESTART')) return error
  return new KernelError({
    errno: error.errno,
    operation: error.operation,
    kernelMessage: 'the ruleset was changed since that generation',
    hint: 'Read it again, and decide anew (`retrying` does both)',
    cause: error,
  })
}

const flagsOf: Readonly<Record<Verb, number>> = {
  add: NLM_F_CREATE,
  create: NLM_F_CREATE | NLM_F_EXCL,
  insert: NLM_F_CREATE,
  replace: NLM_F_REPLACE,
  rename: 0,
  delete: 0,
  destroy: 0,
  flush: 0,
}

/** `nftables.addRule`. */
function nameOf({ verb, kind }: Operation): string {
  return `nftables.${verb}${kind[0]!.toUpperCase()}${kind.slice(1)}`
}

const makes: ReadonlySet<Verb> = new Set(['add', 'create', 'insert'])

/** Made as they are written; `numberOf` gets the number of the operation of each. */
function* messagesOf(
  operations: readonly Numbered[],
  echo: boolean,
  numberOf: number[],
): Generator<NetfilterMessage> {
  for (const [number, operation] of operations) {
    const elements =
      operation.kind === 'elements' ? (operation.object as Inputs['elements']).elements : undefined
    if (elements === undefined) {
      numberOf.push(number)
      yield new OperationMessage(number, operation, echo)
      continue
    }
    // They go in several, because the length of a nest is a u16.
    let first = 0
    for (const part of elementParts(elements)) {
      numberOf.push(number)
      yield new OperationMessage(number, operation, echo, part, first)
      first += part.length
    }
  }
}

/** It holds what the caller gave and nothing that is made of it: of 10,000 rules there are 10,000 at once. */
class OperationMessage implements NetfilterMessage {
  readonly #number: number
  readonly #operation: Operation
  readonly #echo: boolean
  /** Of elements: some of them, and which of all is the first. */
  #part: readonly ElementInput[] | undefined
  readonly #first: number

  constructor(
    number: number,
    operation: Operation,
    echo: boolean,
    part?: readonly ElementInput[],
    first = 0,
  ) {
    this.#number = number
    this.#operation = operation
    this.#echo = echo
    this.#part = part
    this.#first = first
  }

  get #kind(): Kind {
    return kinds[this.#operation.kind]
  }

  get operation(): string {
    return nameOf(this.#operation)
  }

  get object(): Inputs[KindName] {
    return this.#operation.object
  }

  get message(): number {
    const { messages } = this.#kind
    const { verb } = this.#operation
    if (verb === 'destroy') return messages.destroy
    return verb === 'delete' || verb === 'flush' ? messages.delete : messages.new
  }

  get flags(): number {
    const { verb, kind } = this.#operation
    const append = verb === 'add' && kind === 'rule' ? NLM_F_APPEND : 0
    return flagsOf[verb] | append | (this.#echo ? NLM_F_ECHO : 0)
  }

  get family(): Family {
    return this.object.family
  }

  get table(): AttributeTable {
    return this.#kind.table
  }

  get record(): object {
    const { verb, kind, object } = this.#operation
    if (this.#part !== undefined) return this.#kind.record({ ...object, elements: this.#part })
    if (!makes.has(verb)) return this.#kind.record(object)
    const { handle, id } = object as { readonly handle?: number; readonly id?: number }
    // The kernel takes no new set without a number.
    if (kind === 'set' && id === undefined)
      return this.#kind.record({ ...object, handle: undefined, id: nextSetId() })
    // What was read may be sent again: a handle is given out by the kernel, and names what is there already.
    return this.#kind.record(handle === undefined ? object : { ...object, handle: undefined })
  }

  /** Of many elements there are many parts: kept until the kernel's answer, they outlive what they were made for. */
  written(): void {
    if (this.#part !== undefined) this.#part = noElements
  }

  /** Where the operation stands among the caller's. */
  get path(): string {
    return `operations[${this.#number}].${this.#operation.kind}`
  }

  pathOf(path: string): string {
    return this.#kind
      .path(path)
      .replace(/^elements\[(\d+)\]/, (_, index: string) => `elements[${this.#first + Number(index)}]`)
  }

  hint(acknowledged: Acknowledgement): string | undefined {
    return this.#operation.kind === 'elements' ? elementHint(acknowledged) : undefined
  }
}

const noElements: readonly ElementInput[] = []

function elementHint({ errno }: { readonly errno: number }): string | undefined {
  if (errno !== EEXIST) return undefined
  return 'It is there with something else, or overlaps what is there: delete that in the same transaction, or of intervals say `autoMerge`'
}
const EEXIST = -17

/** Far below 65,535 bytes of a nest, whatever else an element has. */
const partBytes = 32_768
/** Attribute headers of an element with key and data. */
const elementBytes = 48

function* elementParts(elements: Iterable<ElementInput>): Generator<ElementInput[]> {
  let part: ElementInput[] = []
  let bytes = 0
  for (const element of elements) {
    const { key, keyEnd, data, userData, comment, expressions, expression } = element
    const size =
      elementBytes +
      (key?.length ?? 0) +
      (keyEnd === undefined ? 0 : keyEnd.length + 8) +
      (data instanceof Uint8Array ? data.length : data === undefined ? 0 : 280) +
      (userData?.length ?? (comment === undefined ? 0 : comment.length * 3)) +
      ((expressions?.length ?? 0) + (expression === undefined ? 0 : 1)) * 256
    if (bytes + size > partBytes && part.length > 0) {
      yield part
      part = []
      bytes = 0
    }
    part.push(element)
    bytes += size
  }
  if (part.length > 0) yield part
}

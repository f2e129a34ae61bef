import {
  isKernelError,
  isValidationError,
  KernelError,
  MalformedMessageError,
  UnsupportedError,
} from '../errors/index.js'
import {
  type CallOptions,
  Connection,
  NETLINK_NETFILTER,
  openSocket,
  type Transport,
} from '../netlink/index.js'
import type { Netns } from '../net/index.js'
import { Netfilter, type NetfilterMessage, NFGENMSG_BYTES, subsystem } from '../nfnetlink/index.js'
import { distinct, hashesOf } from './distinct.js'
import type { Family } from './hooks.js'
import {
  type Chain,
  type Element,
  type ElementInput,
  type Elements,
  type Flowtable,
  type Inputs,
  type Kind,
  type KindName,
  kinds,
  type NftObject,
  type NftSet,
  type Outputs,
  type Rule,
  type Table,
} from './kinds.js'
import { monitor, type MonitorOptions, type NftablesEvent, type NftablesTrace, trace } from './monitor.js'
import { describeOwner } from './owners.js'
import { readObject } from './reading.js'
import { type Operation, type SetPlace, Transaction } from './transaction.js'
import { generation as generationTable, message, type Generation } from './wire.js'

/** Where and how a client speaks to the kernel. */
export interface NftablesOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket. It is closed with the client. */
  readonly transport?: Transport | undefined
  /** How long to wait for an answer; 10,000 unless said. */
  readonly deadlineMilliseconds?: CallOptions['deadlineMilliseconds']
}

/** What of a ruleset is asked for: all of it unless said. */
export interface Selection {
  /** Which packets it is about: `inet` is both `ip` and `ip6`. */
  readonly family?: Family | undefined
  /** The name of its table. */
  readonly table?: string | undefined
}

/** A set or map by its name. */
export interface SetName {
  /** Which packets its table is about. */
  readonly family: Family
  /** The name of its table. */
  readonly table: string
  /** Its name there. */
  readonly name: string
}

/** A whole ruleset, of one generation. */
export interface Ruleset {
  /** The number of the state that it was read in. */
  readonly generation: number
  /** All of them. */
  readonly tables: readonly Table[]
  /** All of them. */
  readonly chains: readonly Chain[]
  /** In their order, chain by chain. */
  readonly rules: readonly Rule[]
  /** Sets and maps. */
  readonly sets: readonly NftSet[]
  /** Of every set. */
  readonly elements: readonly Elements[]
  /** Stateful objects. */
  readonly objects: readonly NftObject[]
  /** All of them. */
  readonly flowtables: readonly Flowtable[]
}

/** A batch of 100,000 elements takes 5 MB, and goes in one send. */
const sendBufferBytes = 64 * 1024 * 1024
const receiveBufferBytes = 16 * 1024 * 1024
const readAttempts = 8

/**
 * nf_tables of one network namespace: reads it, and changes it in transactions. Closing it closes the descriptor; what
 * was made stays in the kernel, but for tables that it owns.
 */
export class Nftables {
  readonly #connection: Connection
  readonly #netfilter: Netfilter
  readonly #netns: Netns | undefined

  private constructor(options: NftablesOptions) {
    this.#netns = options.netns
    const transport =
      options.transport ??
      openSocket({
        protocol: NETLINK_NETFILTER,
        netns: options.netns,
        sendBufferBytes,
        receiveBufferBytes,
      })
    this.#connection = new Connection(transport, options)
    this.#netfilter = new Netfilter(this.#connection, subsystem.nftables)
  }

  /** @throws UnsupportedError if this platform has no addon; KernelError if the kernel has no nf_tables. */
  static async open(options: NftablesOptions = {}): Promise<Nftables> {
    const nftables = new Nftables(options)
    try {
      await nftables.generation(options)
    } catch (error) {
      nftables.close()
      throw error
    }
    return nftables
  }

  /** Closes its descriptor. */
  close(): void {
    this.#connection.close()
  }

  /** The same, for `await using`. */
  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** The number of the ruleset's state: it goes up with every change, whoever makes it. */
  async generation(options?: CallOptions): Promise<number> {
    const found = await this.#netfilter.query(
      {
        operation: 'nftables.generation',
        message: message.getGeneration,
        family: 'unspecified',
        table: generationTable,
        record: {},
      },
      (bytes, view, offset, end) =>
        (generationTable.decode(bytes, view, offset + NFGENMSG_BYTES, end) as Generation).id,
      options,
    )
    return found[0] ?? 0
  }

  /** Changes that are made together. */
  transaction(): Transaction {
    return new Transaction(this.#netfilter, {
      exists: (operation) => this.#exists(operation),
      elements: (set) => this.#elementsIfAny(set),
      generation: () => this.generation(),
      owner: (table) => this.#owner(table),
    })
  }

  /**
   * Decides on what it is now, and does it only if nobody was faster; decides anew otherwise.
   * @throws what `decide` throws, and what a commit throws; KernelError ERESTART after so many attempts.
   */
  async retrying<T>(
    decide: (transaction: Transaction) => Promise<T>,
    { attempts = 10, ...options }: CallOptions & { readonly attempts?: number } = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const ifGeneration = await this.generation(options)
      const transaction = this.transaction()
      const result = await decide(transaction)
      try {
        await transaction.commit({ ...options, ifGeneration })
        return result
      } catch (error) {
        if (!isKernelError(error, 'ERESTART') || attempt >= attempts) throw error
      }
    }
  }

  /** Tables. */
  tables(selection?: Selection, options?: CallOptions): Promise<Table[]> {
    return this.#list('table', selection, {}, options)
  }

  /** Chains. */
  chains(selection?: Selection, options?: CallOptions): Promise<Chain[]> {
    return this.#list('chain', selection, {}, options)
  }

  /** In their order, chain by chain. */
  rules(selection?: Selection & { readonly chain?: string }, options?: CallOptions): Promise<Rule[]> {
    const { table, chain } = selection ?? {}
    // The kernel takes a chain with its table only (nf_tables_dump_rules).
    return this.#list('rule', selection, table === undefined ? {} : { table, chain }, options)
  }

  /** Sets and maps, without their elements. */
  sets(selection?: Selection, options?: CallOptions): Promise<NftSet[]> {
    return this.#list('set', selection, { table: selection?.table }, options)
  }

  /**
   * All of a set, each once, or those of `elements`: each by its key, as it was added (with `keyEnd` where it has one).
   * Of a set that packets change meanwhile, those that come and go may or may not be among them.
   * @throws KernelError ENOENT if the set or one of the elements is not there.
   */
  async elements(
    { elements, ...set }: SetName & { readonly elements?: readonly ElementInput[] | undefined },
    options?: CallOptions,
  ): Promise<Elements> {
    const { family, table, name } = set
    if (elements === undefined) return (await this.#elements([set], options))[0]!
    const found: Element[] = []
    for (const element of elements) {
      found.push(...(await this.#one('elements', elementOf(set, element), options)).elements)
    }
    return { family, table, set: name, elements: found }
  }

  /** Stateful objects. */
  objects(selection?: Selection, options?: CallOptions): Promise<NftObject[]> {
    return this.#list('object', selection, { table: selection?.table }, options)
  }

  /** Flowtables. */
  flowtables(selection?: Selection, options?: CallOptions): Promise<Flowtable[]> {
    return this.#list('flowtable', selection, {}, options)
  }

  /**
   * Objects as they were, and from then on at zero: what counters have counted and quotas consumed. Each is read and
   * reset in one request, so nothing is lost that is counted meanwhile; what is deleted meanwhile is left out.
   */
  async resetObjects(
    selection?: Selection & {
      readonly type?: NftObject['type'] | undefined
      readonly name?: string | undefined
    },
    options?: CallOptions,
  ): Promise<NftObject[]> {
    const { type, name } = selection ?? {}
    const all = await this.objects(selection, options)
    const chosen = all.filter((one) => (type ?? one.type) === one.type && (name ?? one.name) === one.name)
    const named = chosen.map(({ family, table, name, type }) => ({ family, table, name, type }))
    return asTold(() => this.#reset('object', message.resetObject, 'Linux ≥ 4.10', named, options))
  }

  /**
   * Rules as they were, and from then on with what is in them (counters, quotas) at zero; one after the other, as
   * `resetObjects` does.
   * @throws UnsupportedError before Linux 6.2.
   */
  async resetRules(
    selection?: Selection & { readonly chain?: string | undefined; readonly handle?: number | undefined },
    options?: CallOptions,
  ): Promise<Rule[]> {
    const { handle, chain, ...where } = selection ?? {}
    const all = await this.rules(chain === undefined ? where : { ...where, chain }, options)
    const named = all
      .filter((rule) => (handle ?? rule.handle) === rule.handle && (chain ?? rule.chain) === rule.chain)
      .map(({ family, table, chain, handle }) => ({ family, table, chain, handle }))
    return asTold(() => this.#reset('rule', message.resetRule, 'Linux ≥ 6.2', named, options))
  }

  /**
   * Elements as they were, all of a set or some, and from then on with what is in them at zero; one after the other, as
   * `resetObjects` does.
   * @throws UnsupportedError before Linux 6.5.
   */
  async resetElements(
    { elements, ...set }: SetName & { readonly elements?: readonly ElementInput[] | undefined },
    options?: CallOptions,
  ): Promise<Elements> {
    const { family, table, name } = set
    const chosen = elements ?? (await this.elements(set, options)).elements
    const named = chosen.map((element) => elementOf(set, element))
    const reset = (): Promise<Elements[]> =>
      this.#reset('elements', message.resetElements, 'Linux ≥ 6.5', named, options)
    const found = await (elements === undefined ? asTold(reset) : reset())
    return { family, table, set: name, elements: found.flatMap((part) => part.elements) }
  }

  /** Everything, as it was at one moment: read again if it was changed meanwhile. */
  async ruleset(selection?: Selection, options?: CallOptions): Promise<Ruleset> {
    for (let attempt = 1; ; attempt++) {
      const generation = await this.generation(options)
      try {
        const tables = await this.tables(selection, options)
        const chains = await this.chains(selection, options)
        const rules = await this.rules(selection, options)
        const sets = await this.sets(selection, options)
        const objects = await this.objects(selection, options)
        const flowtables = await this.flowtables(selection, options)
        const elements = await asTold(() => this.#elements(sets, options))
        if ((await this.generation(options)) === generation) {
          return { generation, tables, chains, rules, sets, elements, objects, flowtables }
        }
      } catch (error) {
        // A set that went between two readings.
        if (!isKernelError(error, 'ENOENT') || (await this.generation(options)) === generation) throw error
      }
      if (attempt === readAttempts) {
        throw new KernelError({
          errno: -4,
          operation: 'nftables.ruleset',
          kernelMessage: `it was changed while it was read, ${readAttempts} times`,
        })
      }
    }
  }

  /**
   * What is made and deleted from now on, by whomever. Ends when the loop is left, when the signal is aborted (it then
   * throws its reason) or the client is closed. What was lost is told: read the ruleset anew then.
   */
  monitor(options: MonitorOptions = {}): AsyncIterableIterator<NftablesEvent> {
    return monitor(this.#connection.transport, options)
  }

  /** What packets go through that a rule marks for it (`meta nftrace set 1`), place by place. */
  trace(options: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<NftablesTrace> {
    return trace(this.#connection.transport, options.signal)
  }

  /** Whether the kernel has it. */
  async #exists({ kind, object }: Operation): Promise<boolean> {
    try {
      const found = await this.#netfilter.query(this.#get(kind, object), readObject)
      return found.length > 0
    } catch (error) {
      if (isKernelError(error, 'ENOENT')) return false
      throw error
    }
  }

  async #elementsIfAny({ set: name, ...place }: SetPlace): Promise<readonly Element[]> {
    try {
      return (await this.elements({ ...place, name })).elements
    } catch (error) {
      if (isKernelError(error, 'ENOENT')) return []
      throw error
    }
  }

  async #owner(table: { readonly family: Family; readonly name: string }): Promise<string | undefined> {
    try {
      const { owner } = await this.#one('table', table)
      return owner === undefined ? undefined : await describeOwner(owner, this.#netns)
    } catch (error) {
      if (isKernelError(error)) return undefined
      throw error
    }
  }

  /** What the kernel has of an object. */
  async #one<K extends KindName>(
    kind: K,
    object: Inputs[K],
    options?: CallOptions,
    reset?: number,
  ): Promise<Outputs[K]> {
    const told = await this.#netfilter.query(this.#get(kind, object, reset), readObject, options)
    const found = told.find((one) => one.kind === kind)
    if (found === undefined) throw new MalformedMessageError(`an answer without the ${kind} asked for`, 0)
    return found.object as Outputs[K]
  }

  async #reset<K extends 'object' | 'rule' | 'elements'>(
    kind: K,
    number: number,
    needs: string,
    named: readonly Inputs[K][],
    options: CallOptions | undefined,
  ): Promise<Outputs[K][]> {
    const results: Outputs[K][] = []
    for (const object of named) {
      try {
        results.push(await this.#one(kind, object, options, number))
      } catch (error) {
        if (isKernelError(error, 'ENOENT')) continue
        if (!isKernelError(error, 'EINVAL')) throw error
        // An older kernel has no such message (nfnetlink_rcv_msg), and says of a wrong key the same.
        await this.#one(kind, object, options)
        throw new UnsupportedError(`resetting ${kind}`, needs, { cause: error })
      }
    }
    return results
  }

  #get<K extends KindName>(name: K, object: Inputs[K], reset?: number): NetfilterMessage {
    const kind = kinds[name] as unknown as Kind<K>
    return {
      operation: `nftables.${reset === undefined ? 'get' : 'reset'}${name[0]!.toUpperCase()}${name.slice(1)}`,
      object,
      message: reset ?? kind.messages.get,
      family: object.family,
      table: kind.table,
      record: kind.record(object),
      pathOf: (path) => kind.path(path),
    }
  }

  async #list<K extends KindName>(
    kind: K,
    { family, table }: Selection = {},
    record: object,
    options: CallOptions | undefined,
  ): Promise<Outputs[K][]> {
    const { messages, table: attributes } = kinds[kind] as unknown as Kind<K>
    const found = await this.#netfilter.dump(
      {
        operation: `nftables.${kind}s`,
        object: { family, table },
        message: messages.get,
        family: family ?? 'unspecified',
        table: attributes,
        record,
      },
      (bytes, view, offset, end, type) => {
        const read = readObject(bytes, view, offset, end, type)
        return read?.kind === kind ? (read.object as Outputs[K]) : undefined
      },
      options,
    )
    if (table === undefined) return found
    // What the kernel does not choose by.
    const name = (object: Outputs[K]): unknown =>
      kind === 'table' ? (object as Table).name : (object as { readonly table?: string }).table
    return found.filter((object) => name(object) === table)
  }

  /** Read again where elements came twice, for then others were left out. At last what there is, each once. */
  async #elements(sets: readonly SetName[], options: CallOptions | undefined): Promise<Elements[]> {
    const results: Elements[] = []
    let unsettled = [...sets.keys()]
    for (let attempt = 1; unsettled.length > 0; attempt++) {
      const read = await this.#readElements(
        unsettled.map((position) => sets[position]!),
        options,
      )
      const again: number[] = []
      for (const [index, position] of unsettled.entries()) {
        const { hashes, ...rest } = read[index]!
        const elements = await distinct(rest.elements, hashes)
        results[position] = { ...rest, elements }
        if (elements !== rest.elements && attempt < readAttempts) again.push(position)
      }
      unsettled = again
    }
    return results
  }

  #readElements(
    sets: readonly SetName[],
    options: CallOptions | undefined,
  ): Promise<(Elements & { readonly hashes: readonly Int32Array[] })[]> {
    return this.#netfilter.dumps(
      sets,
      ({ family, table, name }) => ({
        operation: 'nftables.elements',
        object: { family, table, name },
        message: message.getElements,
        family,
        table: kinds.elements.table,
        record: { table, set: name },
      }),
      (bytes, view, offset, end, type) => {
        const read = readObject(bytes, view, offset, end, type)
        if (read?.kind !== 'elements') return undefined
        const { elements } = read.object as Elements
        return { elements, hashes: hashesOf(elements) }
      },
      ({ family, table, name }, found) => ({
        family,
        table,
        set: name,
        elements: ([] as Element[]).concat(...found.map(({ elements }) => elements)),
        hashes: found.map(({ hashes }) => hashes),
      }),
      options,
    )
  }
}

/** Asks for what was told: what cannot be asked for is no fault of the caller's. @throws MalformedMessageError */
async function asTold<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isValidationError(error)) throw error
    throw new MalformedMessageError(`what cannot be asked for: ${error.message}`, 0)
  }
}

/** An element as it is asked for: what else it has is no part of its key. */
function elementOf(
  { family, table, name }: SetName,
  { key, keyEnd, flags }: ElementInput,
): Inputs['elements'] {
  return { family, table, set: name, elements: [{ key, keyEnd, flags }] }
}

/** Virtual services on nf_tables. */
import { Conntrack } from '../../conntrack/index.js'
import { isBatchError, isKernelError, ValidationError } from '../../errors/index.js'
import type { Condition, ServiceChange, VirtualService } from '../../model/index.js'
import {
  type Inputs,
  type Nftables,
  type NftablesEvent,
  type NftSet,
  printScript,
  type SetInput,
  type Transaction,
} from '../../nftables/index.js'
import type { Transport } from '../../netlink/index.js'
import { Rtnetlink } from '../../rtnetlink/index.js'
import type {
  Applied,
  ApplyOptions,
  Capabilities,
  Dataplane,
  DataplaneOptions,
  DataplanePlan,
  ProgrammedService,
  ServiceStatistics,
  SynchronizeOptions,
} from '../dataplane.js'
import { keyOf } from '../ruleset/changes.js'
import { openNftables } from '../ruleset/opening.js'
import { nodePortAddressesOf, type RulesetSettings, settingsOf } from '../ruleset/settings.js'
import { setNames, setsOf, type TableName } from '../ruleset/sets.js'
import { wordsOf } from '../ruleset/words.js'
import { Challenges } from '../challenges.js'
import { StaleFlows } from '../stale-flows.js'
import { addEnded } from './ended-flows.js'
import { filled, type Found, type KernelTable, type ReadOptions, readTable, tableComment } from './kernel.js'
import { missingIn } from './missing.js'
import { conditionsOf, emitters, schedulers } from './programmed.js'
import { servicesIn } from './read.js'
import { addMarks, clearMarks, marksIn } from './stale-marks.js'
import { State, type Step } from './state.js'
import { statisticsOf } from './statistics.js'

/**
 * `transport` opens what stands in for the addon's sockets of NETLINK_NETFILTER.
 * @throws UnsupportedError if the kernel has no nf_tables, or no tables of family inet; ValidationError for settings that are
 * none
 */
export async function openNftablesDataplane(
  options: DataplaneOptions = {},
  transport?: () => Transport,
): Promise<NftablesDataplane> {
  const addresses = options.node?.addresses ?? (await ownAddresses(options))
  const settings = settingsOf(options, addresses)
  const nftables = await openNftables({ netns: options.netns, transport: transport?.() }, settings.name)
  return new NftablesDataplane(nftables, settings, options, transport)
}

/** Those of interfaces that others reach, in the kernel's order. */
async function ownAddresses({ netns }: DataplaneOptions): Promise<string[]> {
  await using route = await Rtnetlink.open({ netns })
  const all = await route.addresses.list()
  return all.filter(({ scope }) => scope === 'universe').map(({ address }) => address.split('/')[0]!)
}

/** So often a change is decided on anew when somebody else was faster. */
const attempts = 10

export class NftablesDataplane implements Dataplane {
  readonly kind = 'nftables'
  readonly #nftables: Nftables
  readonly #settings: RulesetSettings
  readonly #options: DataplaneOptions
  readonly #transport: (() => Transport) | undefined
  readonly #table: TableName
  /** What is programmed, as far as is known. */
  #state: State | undefined
  /** What of the kernel's may not be what it was left as: nothing; chains and these sets; everything. */
  #doubt: ReadonlySet<string> | 'everything' | undefined
  #last: Promise<unknown> = Promise.resolve()
  #conntrack: Promise<Conntrack> | undefined
  readonly #challenges: Challenges
  readonly #closing = new AbortController()

  /** @internal */
  constructor(
    nftables: Nftables,
    settings: RulesetSettings,
    options: DataplaneOptions,
    transport?: () => Transport,
  ) {
    this.#nftables = nftables
    this.#settings = settings
    this.#options = options
    this.#transport = transport
    this.#challenges = new Challenges(options.netns)
    this.#table = { family: 'inet', table: settings.name }
  }

  get capabilities(): Capabilities {
    return {
      kind: this.kind,
      schedulers,
      statistics: { connections: this.#settings.statistics, packets: false },
      missing: this.#challenges.missing,
    }
  }

  async plan(change: ServiceChange): Promise<DataplanePlan> {
    await this.#last
    const transaction = this.#nftables.transaction()
    const { step } =
      this.#state === undefined
        ? this.#whole(await this.#readAll({}), [...change.upserted], false, transaction)
        : this.#stepOf(this.#state, change, transaction)
    step.abandon()
    return { writes: transaction.operations.length, toString: () => this.#print(transaction) }
  }

  apply(change: ServiceChange, options?: ApplyOptions): Promise<Applied> {
    return this.#inTurn(async () => {
      const state = this.#known()
      if (this.#doubt !== undefined) await this.#repair(state, options)
      if (this.#state !== state)
        return await this.#synchronize(changed(state, change), change.upserted, keeping(options))
      const transaction = this.#nftables.transaction()
      const { step, stale, isMarked } = this.#stepOf(state, change, transaction)
      const wanted = changed(state, change)
      let writes: number
      try {
        writes = await this.#commit(transaction, options)
      } catch (error) {
        // Also the state has profiles by now that the kernel was not given.
        this.#doubt = 'everything'
        if (!isBatchError(error)) throw error
        // Something is not as it was left. What is there is read, and the change is a part of what differs from it.
        return await this.#synchronize(wanted, change.upserted, keeping(options))
      }
      step.accept()
      await this.#tidy(state)
      await this.#deleteFlows(stale, isMarked)
      return { writes, failures: step.failures, conditions: conditionsFor(change.upserted) }
    })
  }

  synchronize(services: Iterable<VirtualService>, options?: SynchronizeOptions): Promise<Applied> {
    const wanted = [...services]
    return this.#inTurn(() => this.#synchronize(() => wanted, wanted, options))
  }

  async #synchronize(
    services: () => Iterable<VirtualService>,
    told: Iterable<VirtualService>,
    { keepUnknown = false, ...options }: SynchronizeOptions = {},
  ): Promise<Applied> {
    const wanted = [...services()]
    const refused = new Map<string, Error>()
    const gone = new Set<string>()
    for (let attempt = 1; ; attempt++) {
      const transaction = this.#nftables.transaction()
      // What somebody else does from now on is told anew.
      this.#doubt = undefined
      const found = await this.#readAll(options)
      // Who is refused stays as it was, unless that is refused, too.
      const accepted = wanted.flatMap((service) => {
        const { key } = service
        if (!refused.has(key)) return service
        return gone.has(key) ? [] : (this.#state?.services.get(key)?.service ?? [])
      })
      const { state, step } = this.#whole(found, accepted, keepUnknown, transaction)
      const stale = this.#staleOf(state, accepted, found)
      addEnded(transaction, this.#table, stale)
      const isMarked = addMarks(transaction, this.#table, stale, kernelOf(found))
      try {
        const writes = await this.#commit(transaction, { ...options, ifGeneration: found.generation })
        step.accept()
        this.#state = state
        await this.#tidy(state)
        await this.#deleteFlows(stale, isMarked)
        const failures = new Map([...step.failures, ...refused])
        return { writes, failures, conditions: conditionsFor(told) }
      } catch (error) {
        this.#doubt = 'everything'
        if (attempt === attempts) throw error
        if (isKernelError(error, 'ERESTART')) continue
        const owners = ownersOf(error, state)
        if (owners.size === 0) throw missingIn(error).values().next().value ?? error
        for (const [key, reason] of owners) {
          if (refused.has(key)) gone.add(key)
          refused.set(key, reason)
        }
      }
    }
  }

  repair(options?: ApplyOptions): Promise<Applied> {
    return this.#inTurn(async () => {
      const writes = await this.#repair(this.#known(), options)
      return { writes, failures: new Map(), conditions: new Map() }
    })
  }

  /** @returns how many writes it took */
  async #repair(state: State, options: ApplyOptions | undefined): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const doubt = this.#doubt
      if (doubt === undefined) return 0
      const whole = (): Promise<Applied> => this.#synchronize(changed(state, nothing), [], keeping(options))
      if (doubt === 'everything') return (await whole()).writes
      const found = await this.#read({ ...options, sets: doubt })
      if (typeof found.table !== 'object') return (await whole()).writes
      const transaction = this.#nftables.transaction()
      const step = state.against(found.table)
      step.fill(transaction)
      try {
        const writes = await this.#commit(transaction, { ...options, ifGeneration: found.generation })
        step.accept()
        if (this.#doubt === doubt) this.#doubt = undefined
        await this.#tidy(state)
        return writes
      } catch (error) {
        if (!isBatchError(error) && !isKernelError(error, 'ERESTART')) throw error
        if (attempt === attempts || isBatchError(error)) this.#doubt = 'everything'
      }
    }
  }

  /** A change, worked out, with what has to be seen to after it. */
  #stepOf(state: State, change: ServiceChange, transaction: Transaction) {
    const step = state.change(change)
    step.fill(transaction)
    const stale = new StaleFlows(nodePortAddressesOf(this.#settings))
    for (const service of change.upserted) stale.changed(state.services.get(service.key)?.service, service)
    for (const key of change.deleted) {
      const before = state.services.get(key)
      if (before !== undefined) stale.changed(before.service, undefined)
    }
    for (const service of step.ended ?? []) stale.left(service)
    addEnded(transaction, this.#table, stale)
    return { step, stale, isMarked: addMarks(transaction, this.#table, stale) }
  }

  /** The same of a whole state: what was programmed before of an earlier process the kernel alone knows. */
  #staleOf(state: State, accepted: Iterable<VirtualService>, found: Found): StaleFlows {
    const stale = new StaleFlows(nodePortAddressesOf(this.#settings))
    for (const service of accepted) stale.changed(undefined, service)
    const kernel = kernelOf(found)
    for (const service of this.#state?.all() ?? (kernel === undefined ? [] : servicesIn(kernel))) {
      if (service.protocol !== 'udp') continue
      const frontends = service.frontends.filter((frontend) => !state.holds(service, frontend))
      stale.left({ ...service, frontends })
    }
    for (const { family, endpoint } of kernel === undefined ? [] : marksIn(kernel)) {
      const isHeld = state.holds({ family, protocol: 'udp' }, { kind: 'external', ...endpoint })
      if (!isHeld) stale.leftAt(family, [endpoint])
    }
    return stale
  }

  /** The state with these services, and what takes the kernel there. */
  #whole(
    found: Found,
    services: Iterable<VirtualService>,
    keepsUnknown: boolean,
    transaction: Transaction,
  ): { readonly state: State; readonly step: Step } {
    const kernel = kernelOf(found)
    if (kernel === undefined) {
      const { family, table: name } = this.#table
      if (found.table === 'other') transaction.delete('table', { family, name })
      transaction.add('table', { family, name, comment: tableComment })
      for (const set of setsOf(this.#table, this.#settings.statistics)) transaction.add('set', set)
    }
    const whole = State.whole(this.#table, this.#settings, kernel, this.#state, services, keepsUnknown)
    whole.step.fill(transaction)
    return whole
  }

  #known(): State {
    if (this.#state !== undefined) return this.#state
    throw new ValidationError('dataplane', undefined, 'a call of synchronize() before the first change')
  }

  async #commit(
    transaction: Transaction,
    options: (ApplyOptions & { readonly ifGeneration?: number }) | undefined,
  ): Promise<number> {
    const writes = transaction.operations.length
    if (writes > 0) await transaction.commit(options ?? {})
    return writes
  }

  async #tidy(state: State): Promise<void> {
    for (let isOver = false; !isOver;) {
      const transaction = this.#nftables.transaction()
      state.tidy(transaction)
      isOver = transaction.operations.length === 0 || !(await this.#commitAside(transaction))
    }
  }

  /** Nothing is lost if it fails: the next pass finds what is left over. @returns whether it was done */
  async #commitAside(transaction: Transaction): Promise<boolean> {
    try {
      await transaction.commit()
      return true
    } catch (error) {
      if (!isBatchError(error) && !isKernelError(error)) throw error
      this.#doubt = 'everything'
      return false
    }
  }

  async #deleteFlows(stale: StaleFlows, isMarked: boolean): Promise<void> {
    if (!stale.isEmpty) {
      this.#conntrack ??= Conntrack.open({ netns: this.#options.netns, transport: this.#transport?.() })
      await this.#challenges.send(await stale.delete(await this.#conntrack))
    }
    if (!isMarked) return
    const transaction = this.#nftables.transaction()
    clearMarks(transaction, this.#table)
    await this.#commitAside(transaction)
  }

  #read(options?: ReadOptions): Promise<Found> {
    return readTable(this.#nftables, this.#table, this.#settings, options)
  }

  #print(transaction: Transaction): string {
    const sets = setsOf(this.#table, this.#settings.statistics) as readonly SetInput[] as readonly NftSet[]
    return printScript(transaction, { known: { sets, elements: [] } })
  }

  async #readAll(options: ReadOptions | undefined): Promise<Found> {
    try {
      return await this.#read(options)
    } catch (error) {
      this.#doubt = 'everything'
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async read(): Promise<ProgrammedService[]> {
    await this.#last
    const { table } = await this.#read()
    return typeof table === 'object' ? servicesIn(table) : []
  }

  async stats(key?: string): Promise<ServiceStatistics[]> {
    await this.#last
    const state = this.#known()
    const programmed = key === undefined ? [...state.services.values()] : [state.services.get(key)!]
    if (programmed[0] === undefined) return []
    const { table } = this.#settings.statistics ? await this.#read() : { table: 'none' as const }
    return statisticsOf(programmed, typeof table === 'object' ? table : undefined)
  }

  watch(changed: () => void): () => void {
    const ending = new AbortController()
    const signal = AbortSignal.any([ending.signal, this.#closing.signal])
    void this.#follow(this.#nftables.monitor({ signal, others: true }), changed)
    return () => ending.abort()
  }

  async #follow(events: AsyncIterable<NftablesEvent>, changed: () => void): Promise<void> {
    try {
      for await (const event of events) {
        const doubt = this.#doubtOf(event)
        if (doubt === undefined) continue
        const known = this.#doubt
        this.#doubt =
          doubt === 'everything' || known === 'everything'
            ? 'everything'
            : new Set([...(known ?? []), ...doubt])
        changed()
      }
    } catch {
      // It was called off, or the client is closed.
    }
  }

  /** What an event of somebody else's puts in doubt. */
  #doubtOf(event: NftablesEvent): readonly string[] | 'everything' | undefined {
    if (event.event === 'resynchronise') return 'everything'
    if (event.event === 'generation') return undefined
    const { family, table, name, set } = event.object as Partial<
      Inputs['table'] & Inputs['rule'] & Inputs['elements']
    >
    const isOurs = family === 'inet' && (event.kind === 'table' ? name : table) === this.#table.table
    if (!isOurs) return undefined
    if (event.kind === 'elements') return filled.has(set!) ? undefined : [set!]
    return event.kind === 'rule' || event.kind === 'chain' ? [] : 'everything'
  }

  close(): void {
    this.#closing.abort()
    this.#nftables.close()
    this.#challenges.close()
    void this.#conntrack?.then(
      (conntrack) => conntrack.close(),
      () => undefined,
    )
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  teardown(): Promise<boolean> {
    return this.#inTurn(async () => {
      let wasThere = false
      const { family, table: name } = this.#table
      for (let attempt = 1; ; attempt++) {
        const found = await this.#read()
        if (found.table === 'none') break
        wasThere = true
        try {
          const { generation: ifGeneration } = found
          await this.#nftables.transaction().delete('table', { family, name }).commit({ ifGeneration })
          break
        } catch (error) {
          if (!isKernelError(error, 'ERESTART') || attempt === attempts) throw error
        }
      }
      this.#state = undefined
      return wasThere
    })
  }
}

/** The table, where it is one to go on with. */
function kernelOf({ table }: Found): KernelTable | undefined {
  return typeof table === 'object' ? table : undefined
}

/** What was spared stays so: it is for `synchronize` to say otherwise. */
function keeping(options: ApplyOptions | undefined): SynchronizeOptions {
  return { ...options, keepUnknown: true }
}

const nothing: ServiceChange = { upserted: [], deleted: [] }

/** The services of a state after a change. */
function changed(state: State, { upserted, deleted }: ServiceChange): () => Iterable<VirtualService> {
  return () => {
    const services = new Map<string, VirtualService>()
    for (const [key, { service }] of state.services) services.set(key, service)
    for (const key of deleted) services.delete(key)
    for (const service of upserted) services.set(service.key, service)
    return services.values()
  }
}

function conditionsFor(services: Iterable<VirtualService>): Map<string, readonly Condition[]> {
  const conditions = new Map<string, readonly Condition[]>()
  for (const service of services) {
    const found = conditionsOf(service)
    if (found.length > 0) conditions.set(service.key, found)
  }
  return conditions
}

/** Whose elements or chains the kernel did not take. None where that is not what was wrong. */
function ownersOf(error: unknown, state: State): Map<string, Error> {
  const owners = new Map<string, Error>()
  if (!isBatchError(error)) return owners
  const refused = new Map<string, Error>()
  for (const { object, error: reason } of error.failures) {
    const at = isKernelError(reason) ? /elements\[(\d+)\]/.exec(reason.attribute?.path ?? '')?.[1] : undefined
    const { set, elements = [] } = object as Partial<Inputs['elements']>
    const element = at === undefined ? undefined : nth(elements, Number(at))
    if (element !== undefined) refused.set(`${set} ${keyOf(element)}`, reason)
  }
  const missing = missingIn(error)
  if (refused.size === 0 && missing.size === 0) return owners
  for (const [key, programmed] of state.services) {
    for (const name of state.profiles.chainNames(programmed.profiles)) {
      const reason = missing.get(name)
      if (reason !== undefined) owners.set(key, reason)
    }
    const names = setNames(wordsOf(programmed.service.family))
    for (const { set, emit } of emitters) {
      emit(programmed, (element) => {
        const reason = refused.get(`${names[set]} ${keyOf(element)}`)
        if (reason !== undefined) owners.set(key, reason)
      })
    }
  }
  return owners
}

/** They may be made as they are asked for. */
function nth<T>(items: Iterable<T>, index: number): T | undefined {
  let left = index
  for (const item of items) if (left-- === 0) return item
  return undefined
}

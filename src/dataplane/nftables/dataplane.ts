/** Virtual services on nf_tables. */
import { Nftables, printScript, type Transaction } from '../../nftables/index.js'
import { Rtnetlink } from '../../rtnetlink/index.js'
import type { Condition, ServiceChange, VirtualService } from '../../model/index.js'
import type {
  Applied,
  ApplyOptions,
  Capabilities,
  Dataplane,
  DataplaneOptions,
  DataplanePlan,
  ProgrammedService,
  ServiceStatistics,
} from '../dataplane.js'
import { type RulesetSettings, settingsOf } from '../ruleset/settings.js'
import { setsOf, type TableName } from '../ruleset/sets.js'
import { type Found, readTable, tableComment } from './kernel.js'
import { conditionsOf, schedulers } from './programmed.js'
import { State, type Step } from './state.js'

/** @throws KernelError if the kernel has no nf_tables; ValidationError for settings that are none */
export async function openNftablesDataplane(options: DataplaneOptions = {}): Promise<NftablesDataplane> {
  const addresses = options.node?.addresses ?? (await ownAddresses(options))
  const settings = settingsOf(options, addresses)
  return new NftablesDataplane(await Nftables.open({ netns: options.netns }), settings)
}

/** Those of interfaces that others reach, in the kernel's order. */
async function ownAddresses({ netns }: DataplaneOptions): Promise<string[]> {
  await using route = await Rtnetlink.open({ netns })
  const all = await route.addresses.list()
  return all.filter(({ scope }) => scope === 'universe').map(({ address }) => address.split('/')[0]!)
}

export class NftablesDataplane implements Dataplane {
  readonly kind = 'nftables'
  readonly #nftables: Nftables
  readonly #settings: RulesetSettings
  readonly #table: TableName
  #state: State | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(nftables: Nftables, settings: RulesetSettings) {
    this.#nftables = nftables
    this.#settings = settings
    this.#table = { family: 'inet', table: settings.name }
  }

  get capabilities(): Capabilities {
    return {
      kind: this.kind,
      schedulers,
      statistics: { connections: false, packets: false },
      missing: [],
    }
  }

  async plan(change: ServiceChange): Promise<DataplanePlan> {
    await this.#last
    const transaction = this.#nftables.transaction()
    if (this.#state === undefined) await this.#prepare(change.upserted, transaction)
    else this.#state.change(change).fill(transaction)
    return { writes: transaction.operations.length, toString: () => printScript(transaction) }
  }

  apply(change: ServiceChange, options?: ApplyOptions): Promise<Applied> {
    return this.#inTurn(async () => {
      const state = this.#state
      if (state === undefined) throw new Error('synchronize before the first apply')
      const transaction = this.#nftables.transaction()
      const step = state.change(change)
      step.fill(transaction)
      const writes = await this.#commit(transaction, options)
      step.accept()
      await this.#tidy(state)
      return { writes, failures: step.failures, conditions: conditionsFor(change.upserted) }
    })
  }

  synchronize(services: Iterable<VirtualService>, options?: ApplyOptions): Promise<Applied> {
    const wanted = [...services]
    return this.#inTurn(async () => {
      const transaction = this.#nftables.transaction()
      const { found, state, step } = await this.#prepare(wanted, transaction, options)
      const writes = await this.#commit(transaction, { ...options, ifGeneration: found.generation })
      step.accept()
      this.#state = state
      await this.#tidy(state)
      return { writes, failures: step.failures, conditions: conditionsFor(wanted) }
    })
  }

  async #prepare(
    services: Iterable<VirtualService>,
    transaction: Transaction,
    options?: ApplyOptions,
  ): Promise<{ readonly found: Found; readonly state: State; readonly step: Step }> {
    const found = await readTable(this.#nftables, this.#table, options?.signal)
    const kernel = typeof found.table === 'object' ? found.table : undefined
    if (kernel === undefined) {
      const { family, table: name } = this.#table
      if (found.table === 'other') transaction.delete('table', { family, name })
      transaction.add('table', { family, name, comment: tableComment })
      for (const set of setsOf(this.#table)) transaction.add('set', set)
    }
    const { state, step } = State.whole(this.#table, this.#settings, kernel, this.#state, services)
    step.fill(transaction)
    return { found, state, step }
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
    const transaction = this.#nftables.transaction()
    state.tidy(transaction)
    if (transaction.operations.length > 0) await transaction.commit()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async read(): Promise<ProgrammedService[]> {
    await this.#last
    return []
  }

  async stats(): Promise<ServiceStatistics[]> {
    await this.#last
    return []
  }

  watch(): () => void {
    return () => undefined
  }

  close(): void {
    this.#nftables.close()
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  async teardown(): Promise<void> {
    await this.#inTurn(async () => {
      const { family, table: name } = this.#table
      await this.#nftables.transaction().destroy('table', { family, name }).commit()
      this.#state = undefined
    })
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

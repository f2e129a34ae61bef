/**
 * Everything that is programmed, and how it gets from one state to the next: changes are worked out here, and are taken into
 * the state when the kernel has them. Pure but for the transaction that is filled.
 */
import { ValidationError } from '../../errors/index.js'
import { type RealServer, type ServiceChange, type VirtualService } from '../../model/index.js'
import type { Element, ElementInput, Transaction } from '../../nftables/index.js'
import { ElementChanges, keyOf } from '../ruleset/changes.js'
import type { RulesetSettings } from '../ruleset/settings.js'
import {
  ElementBytes,
  prefixElements,
  profilesMap,
  readFrontend,
  readHostNumber,
  setNames,
  type TableName,
} from '../ruleset/sets.js'
import { families, type FamilyWords, hostNumber, wordsOf } from '../ruleset/words.js'
import { formatAddress } from '../../address/index.js'
import { type BaseChain, baseChains } from './base.js'
import { inputOf, isChain, type KernelTable } from './kernel.js'
import { ProfileNumbers } from './profile-numbers.js'
import { type ChainRules, localSlots } from './profiles.js'
import { emit, type Kept, program, type Programmed } from './programmed.js'

/** So many that no frontend has are kept for those to come. */
const mostIdleProfiles = 64

/** A change worked out; `accept` takes it into the state. */
export interface Step {
  readonly failures: ReadonlyMap<string, Error>
  fill(transaction: Transaction): void
  accept(): void
}

export class State {
  readonly #table: TableName
  readonly #settings: RulesetSettings
  readonly services = new Map<string, Programmed>()
  readonly profiles: ProfileNumbers
  /** Names of chains in the kernel. */
  readonly #chains: Set<string>
  /** Elements that several services have, by set and key: how many. */
  readonly #shares = new Map<string, Map<string, number>>()
  #nextId: number

  private constructor(
    table: TableName,
    settings: RulesetSettings,
    profiles: ProfileNumbers,
    chains: Iterable<string>,
    nextId: number,
  ) {
    this.#table = table
    this.#settings = settings
    this.profiles = profiles
    this.#chains = new Set(chains)
    this.#nextId = nextId
  }

  /**
   * The state with these services, and how the kernel gets there from what it has. What services had before they keep, as far
   * as it is known from `before` or from the kernel.
   */
  static whole(
    table: TableName,
    settings: RulesetSettings,
    kernel: KernelTable | undefined,
    before: State | undefined,
    services: Iterable<VirtualService>,
  ): { readonly state: State; readonly step: Step } {
    const known = new KnownServices(kernel)
    const state = new State(
      table,
      settings,
      new ProfileNumbers(settings, numbersIn(kernel)),
      [],
      Math.max(known.nextId, before === undefined ? 1 : before.#nextId),
    )
    const failures = new Map<string, Error>()
    const changes = new ElementChanges()
    for (const [set, elements] of kernel?.elements ?? []) {
      for (const element of elements) changes.before(set, inputOf(element))
    }
    const fill = (set: string): ((element: ElementInput) => boolean) =>
      changes.isEmpty(set)
        ? (element) => (changes.afterNothing(set, element), true)
        : (element) => changes.after(set, element)
    const adders = new Map<string, (element: ElementInput) => boolean>()
    const add = (set: string, element: ElementInput): boolean => {
      let adder = adders.get(set)
      if (adder === undefined) adders.set(set, (adder = fill(set)))
      return adder(element)
    }
    const put = (service: VirtualService, kept: Kept): void => {
      const made = program(service, kept, (profile) => state.profiles.numberOf(profile))
      state.#take(made, 1)
      emit(made, add, (set, element) => {
        if (state.#share(set, element, 1) === 1) add(set, element)
      })
    }
    for (const service of services) {
      const old = before?.services.get(service.key)
      try {
        put(service, old ?? known.of(service) ?? state.#newService())
      } catch (error) {
        failures.set(service.key, error as Error)
        if (old !== undefined) put(old.service, old)
      }
    }
    for (const { number, name } of state.profiles.takeFresh()) {
      add(profilesMap, profileElement(number, name))
    }
    for (const words of families) {
      const names = setNames(words)
      for (const [set, prefixes] of [
        [names.clusterRanges, settings.clusterRanges],
        [names.serviceRanges, settings.serviceRanges],
        [names.nodePortAddresses, settings.nodePortAddresses],
      ] as const) {
        for (const element of prefixElements(words, prefixes)) add(set, element)
      }
    }
    const chains = new Map<string, ChainRules>(baseChains(settings).map((chain) => [chain.name, chain]))
    for (const { chains: own } of state.profiles.all()) {
      for (const chain of own.toReversed()) chains.set(chain.name, chain)
    }
    for (const name of chains.keys()) state.#chains.add(name)
    const step: Step = {
      failures,
      fill(transaction) {
        const wrong = [...chains.values()].filter((chain) => {
          const there = kernel?.chains.get(chain.name)
          return there === undefined || !isChain(there, chain)
        })
        for (const chain of wrong)
          putChain(transaction, table, chain, kernel?.chains.has(chain.name) === true)
        for (const { name, rules } of wrong) putRules(transaction, table, name, rules)
        changes.addTo(transaction, table)
        for (const name of kernel?.chains.keys() ?? []) {
          if (chains.has(name)) continue
          transaction.flush('chain', { ...table, name })
          unused.push(name)
        }
      },
      accept() {
        state.#unused.push(...unused)
      },
    }
    const unused: string[] = []
    return { state, step }
  }

  /** Chains that nothing refers to any more: they go in a transaction of their own, as kernels before 6.2 need it. */
  readonly #unused: string[] = []

  /** What can be tidied up, if it is worth a transaction. */
  tidy(transaction: Transaction): void {
    const idle = this.profiles.idle()
    if (idle.length > mostIdleProfiles) {
      transaction.delete('elements', {
        ...this.#table,
        set: profilesMap,
        elements: idle.map(({ number }) => ({ key: hostNumber(number) })),
      })
      for (const profile of idle) this.profiles.forget(profile)
      const needed = new Set<string>(baseChains(this.#settings).map(({ name }) => name))
      for (const { chains } of this.profiles.all()) for (const { name } of chains) needed.add(name)
      for (const name of this.#chains) {
        if (needed.has(name)) continue
        transaction.flush('chain', { ...this.#table, name })
        this.#chains.delete(name)
        this.#unused.push(name)
      }
      return
    }
    for (const name of this.#unused.splice(0)) transaction.delete('chain', { ...this.#table, name })
  }

  /** How the kernel gets from here to there. */
  change({ upserted, deleted }: ServiceChange): Step {
    const failures = new Map<string, Error>()
    const changes = new ElementChanges()
    const next = new Map<string, Programmed | undefined>()
    const shared = new Map<string, Map<string, { readonly element: ElementInput; by: number }>>()
    const share =
      (by: 1 | -1) =>
      (set: string, element: ElementInput): void => {
        const ofSet = entryOf(shared, set)
        const key = keyOf(element)
        const known = ofSet.get(key)
        if (known === undefined) ofSet.set(key, { element, by })
        else known.by += by
      }
    for (const key of deleted) {
      if (this.services.has(key)) next.set(key, undefined)
    }
    for (const service of upserted) {
      const before = this.services.get(service.key)
      try {
        const kept = before ?? this.#newService()
        next.set(
          service.key,
          program(service, kept, (profile) => this.profiles.numberOf(profile)),
        )
      } catch (error) {
        failures.set(service.key, error as Error)
      }
    }
    for (const key of next.keys()) {
      const before = this.services.get(key)
      if (before !== undefined) emit(before, (set, element) => changes.before(set, element), share(-1))
    }
    for (const [key, after] of next) {
      if (after === undefined) continue
      emit(
        after,
        (set, element) => {
          if (!changes.after(set, element)) throw duplicate(key)
        },
        share(1),
      )
    }
    const fresh = this.profiles.takeFresh()
    return {
      failures,
      fill: (transaction) => {
        const made = new Map<string, ChainRules>()
        for (const { chains } of fresh) {
          for (const chain of chains.toReversed())
            if (!this.#chains.has(chain.name)) made.set(chain.name, chain)
        }
        for (const chain of made.values()) putChain(transaction, this.#table, chain, false)
        for (const { name, rules } of made.values()) putRules(transaction, this.#table, name, rules)
        for (const { number, name } of fresh) changes.after(profilesMap, profileElement(number, name))
        for (const [set, elements] of shared) {
          for (const [key, { element, by }] of elements) {
            const count = this.#shares.get(set)?.get(key) ?? 0
            if (count > 0 && count + by === 0) changes.before(set, element)
            else if (count === 0 && by > 0) changes.after(set, element)
          }
        }
        changes.addTo(transaction, this.#table)
      },
      accept: () => {
        for (const { chains } of fresh) for (const { name } of chains) this.#chains.add(name)
        for (const [set, elements] of shared) {
          for (const { element, by } of elements.values()) if (by !== 0) this.#share(set, element, by)
        }
        for (const [key, after] of next) {
          const before = this.services.get(key)
          if (before !== undefined) this.#take(before, -1)
          if (after !== undefined) this.#take(after, 1)
        }
      },
    }
  }

  #newService(): Kept {
    return { id: this.#nextId++, cluster: [], local: [] }
  }

  #take(programmed: Programmed, by: 1 | -1): void {
    for (const number of programmed.profiles) this.profiles.use(number, by)
    if (by === 1) this.services.set(programmed.service.key, programmed)
    else this.services.delete(programmed.service.key)
  }

  /** @returns how many have it now */
  #share(set: string, element: ElementInput, by: number): number {
    const ofSet = entryOf(this.#shares, set)
    const key = keyOf(element)
    const count = (ofSet.get(key) ?? 0) + by
    if (count === 0) ofSet.delete(key)
    else ofSet.set(key, count)
    return count
  }
}

/** The map of a key, made where there is none. */
function entryOf<Value>(maps: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  let found = maps.get(key)
  if (found === undefined) {
    found = new Map<string, Value>()
    maps.set(key, found)
  }
  return found
}

function duplicate(key: string): Error {
  return new ValidationError(key, undefined, 'frontends that no other virtual service has')
}

function profileElement(number: number, chain: string): ElementInput {
  return { key: hostNumber(number), data: { code: 'goto', chain } }
}

function numbersIn(kernel: KernelTable | undefined): Map<string, number> {
  const numbers = new Map<string, number>()
  for (const { key, data } of kernel?.elements.get(profilesMap) ?? []) {
    if (key === undefined || data === undefined || data instanceof Uint8Array) continue
    if (data.chain !== undefined) numbers.set(data.chain, readHostNumber(key, 0))
  }
  return numbers
}

function putChain(transaction: Transaction, table: TableName, chain: BaseChain, isThere: boolean): void {
  const { name, type, hook, priority } = chain
  if (isThere) transaction.flush('chain', { ...table, name: chain.name })
  else transaction.add('chain', { ...table, name, type, hook, priority })
}
function putRules(
  transaction: Transaction,
  table: TableName,
  chain: string,
  rules: ChainRules['rules'],
): void {
  for (const expressions of rules) transaction.add('rule', { ...table, chain, expressions })
}

/** What the kernel has of services, from an earlier process. */
class KnownServices {
  readonly nextId: number
  readonly #idByFrontend = new Map<string, number>()
  readonly #slots = new Map<number, RealServer[]>()
  readonly #localSlots = new Map<number, RealServer[]>()
  readonly #taken = new Set<number>()

  constructor(kernel: KernelTable | undefined) {
    let most = 0
    for (const words of families) {
      const names = setNames(words)
      const of = (set: string): readonly Element[] => kernel?.elements.get(set) ?? []
      for (const set of [names.services, names.nodePorts]) {
        for (const element of of(set)) {
          if (!(element.data instanceof Uint8Array)) continue
          const { id } = readFrontend(element.data)
          most = Math.max(most, id)
          this.#idByFrontend.set(`${set} ${keyOf(element)}`, id)
        }
      }
      for (const { key, data } of of(names.backends)) {
        if (key === undefined || !(data instanceof Uint8Array)) continue
        const id = readHostNumber(key, 0)
        most = Math.max(most, id)
        const slot = readHostNumber(key, 4)
        const [slots, at] = slot < localSlots ? [this.#slots, slot] : [this.#localSlots, slot - localSlots]
        if (at > 1_000_000) continue
        let list = slots.get(id)
        if (list === undefined) slots.set(id, (list = []))
        list[at] = serverOf(words, data)
      }
    }
    this.nextId = most + 1
  }

  /** By any of its frontends. */
  of({ family, protocol, frontends }: VirtualService): Kept | undefined {
    if (this.#idByFrontend.size === 0) return undefined
    const words = wordsOf(family)
    const bytes = new ElementBytes(words)
    const names = setNames(words)
    for (const frontend of frontends) {
      const [set, key] =
        frontend.kind === 'node-port'
          ? [names.nodePorts, bytes.nodePort(protocol, frontend.port)]
          : [names.services, bytes.service(frontend.address, protocol, frontend.port)]
      const id = this.#idByFrontend.get(`${set} ${keyOf({ key })}`)
      if (id === undefined || this.#taken.has(id)) continue
      this.#taken.add(id)
      return { id, cluster: this.#slots.get(id) ?? [], local: this.#localSlots.get(id) ?? [] }
    }
    return undefined
  }
}

function serverOf({ addressBytes }: FamilyWords, data: Uint8Array): RealServer {
  const port = ((data[addressBytes] ?? 0) << 8) | (data[addressBytes + 1] ?? 0)
  return { address: formatAddress(data.subarray(0, addressBytes)), port, weight: 1 }
}

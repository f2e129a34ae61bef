/**
 * Everything that is programmed, and how it gets from one state to the next: changes are worked out here, and are taken into
 * the state when the kernel has them. Pure but for the transaction that is filled.
 */
import { ValidationError } from '../../errors/index.js'
import { type Frontend, type RealServer, type ServiceChange, type VirtualService } from '../../model/index.js'
import type { Element, ElementInput, Transaction } from '../../nftables/index.js'
import { areRules, type WantedChain } from '../ruleset/compare.js'
import { ElementChanges, keyOf } from '../ruleset/changes.js'
import type { RulesetSettings } from '../ruleset/settings.js'
import {
  ElementBytes,
  prefixElements,
  profilesMap,
  readEndpoint,
  readFrontend,
  readHostNumber,
  setNames,
  type TableName,
} from '../ruleset/sets.js'
import { families, hostNumber, wordsOf } from '../ruleset/words.js'
import type { AddressFamily } from '../../address/index.js'
import { baseChains } from './base.js'
import type { KernelTable } from './kernel.js'
import { ProfileNumbers } from './profile-numbers.js'
import { type ChainRules, localSlots, profileOfName } from './profiles.js'
import {
  type Emitter,
  emitters,
  type Kept,
  program,
  type Programmed,
  type SharedSet,
  sharedSets,
} from './programmed.js'
import { sparedIn, without } from './spared.js'

/** So many that no frontend has are kept for those to come. */
const mostIdleProfiles = 64

/** A change worked out. Either it is taken into the state when the kernel has it, or nothing is left of it. */
export interface Step {
  readonly failures: ReadonlyMap<string, Error>
  /** Those that were spared, and are not any more. */
  readonly ended?: readonly VirtualService[]
  fill(transaction: Transaction): void
  accept(): void
  abandon(): void
}

/** A service that stays as it was, and why. */
interface Refused {
  readonly old: Programmed
  readonly reason: Error
}

export class State {
  readonly #table: TableName
  readonly #settings: RulesetSettings
  readonly services = new Map<string, Programmed>()
  /** What an earlier process programmed and nobody of this one has spoken of. */
  readonly #spared = new Map<string, Programmed>()
  readonly profiles: ProfileNumbers
  /** Names of chains in the kernel. */
  readonly #chains = new Set<string>()
  /** Elements that several services have, by set and key: how many. */
  readonly #shares = new Map<string, Map<string, number>>()
  /** Keys of virtual services by their frontends. */
  readonly #holders = new Map<string, string>()
  #nextId: number

  private constructor(table: TableName, settings: RulesetSettings, profiles: ProfileNumbers, nextId: number) {
    this.#table = table
    this.#settings = settings
    this.profiles = profiles
    this.#nextId = nextId
  }

  /**
   * The state with these services, and how the kernel gets there from what it has. What services had before they keep, as far
   * as it is known from `before` or from the kernel.
   * @param keepsUnknown  What is not among them, and is nothing that `before` had them among, stays as it is in the kernel.
   */
  static whole(
    table: TableName,
    settings: RulesetSettings,
    kernel: KernelTable | undefined,
    before: State | undefined,
    services: Iterable<VirtualService>,
    keepsUnknown: boolean,
  ): { readonly state: State; readonly step: Step } {
    const wanted = [...services]
    const refused = new Map<string, Refused>()
    for (;;) {
      const { state, failures } = State.#of(table, settings, kernel, before, wanted, refused)
      if (state === undefined) continue
      if (keepsUnknown) state.#spare(kernel, before)
      state.#keepProfiles(kernel)
      return { state, step: { ...state.against(kernel), failures } }
    }
  }

  /**
   * One try. Those in `refused` stay as they were; who is to stay beside them is put there, which takes another try: it may
   * have what was given to somebody else.
   */
  static #of(
    table: TableName,
    settings: RulesetSettings,
    kernel: KernelTable | undefined,
    before: State | undefined,
    services: readonly VirtualService[],
    refused: Map<string, Refused>,
  ): { readonly state: State | undefined; readonly failures: Map<string, Error> } {
    const known = new KnownServices(kernel, before?.services.values())
    const state = new State(
      table,
      settings,
      new ProfileNumbers(settings, numbersIn(kernel)),
      Math.max(known.nextId, before === undefined ? 1 : before.#nextId),
    )
    const failures = new Map<string, Error>()
    const put = (service: VirtualService, kept: Kept): void => {
      state.#checkFrontends(service)
      state.#take(
        program(service, kept, settings.addresses, (profile) => state.profiles.numberOf(profile)),
        1,
      )
    }
    for (const [key, { old, reason }] of refused) {
      put(old.service, old)
      failures.set(key, reason)
    }
    const count = refused.size
    for (const service of services) {
      if (failures.has(service.key)) continue
      const old = before?.services.get(service.key)
      try {
        put(service, old ?? known.of(service) ?? state.#newService())
      } catch (error) {
        const reason = error as Error
        if (old === undefined) failures.set(service.key, reason)
        else refused.set(service.key, { old, reason })
      }
    }
    return { state: refused.size > count ? undefined : state, failures }
  }

  /** Puts those beside the others that were spared before, or that this process finds. */
  #spare(kernel: KernelTable | undefined, before: State | undefined): void {
    const renumbered = (number: number): number =>
      this.profiles.numberOf(profileOfName(before!.profiles.nameOf(number))!)
    const found =
      before !== undefined
        ? Array.from(before.#spared.values(), (one) => ({ ...one, profiles: one.profiles.map(renumbered) }))
        : kernel === undefined
          ? []
          : sparedIn(kernel, (profile) => this.profiles.numberOf(profile))
    const ids = new Set(Array.from(this.services.values(), ({ id }) => id))
    for (const one of found) {
      const left = without(one, (frontend) => this.holds(one.service, frontend))
      if (left !== undefined && !ids.has(one.id)) this.#take(left, 1)
    }
  }

  /** Those that are kept for frontends to come are kept by who comes next, too. */
  #keepProfiles(kernel: KernelTable | undefined): void {
    for (const name of numbersIn(kernel).keys()) {
      const profile = profileOfName(name)
      if (profile !== undefined) this.profiles.numberOf(profile)
    }
    this.profiles.takeFresh()
  }

  /** Those that are wanted, and those that are spared. */
  *all(): Generator<VirtualService> {
    for (const { service } of this.services.values()) yield service
    for (const { service } of this.#spared.values()) yield service
  }

  /** Whether somebody has it. */
  holds(service: Pick<VirtualService, 'family' | 'protocol'>, frontend: Frontend): boolean {
    return this.#holders.has(frontendName(service, frontend))
  }

  /**
   * How the kernel gets to this state from what it has. Sets that were not read are as they should be; without a table
   * everything is missing.
   */
  against(kernel: KernelTable | undefined): Step {
    const changes = new ElementChanges()
    const set = (name: string, after: Iterable<ElementInput>): void => {
      if (kernel === undefined) return changes.fill(name, after)
      const there = kernel.elements.get(name)
      if (there === undefined) return
      if (there.length === 0) changes.fill(name, after)
      else changes.change(name, there as readonly ElementInput[], after)
    }
    const profiles = [...this.profiles.all()]
    set(
      profilesMap,
      profiles.map(({ number, name }) => profileElement(number, name)),
    )
    for (const words of families) {
      const names = setNames(words)
      set(names.clusterRanges, prefixElements(words, this.#settings.clusterRanges))
      set(names.serviceRanges, prefixElements(words, this.#settings.serviceRanges))
      set(names.nodePortAddresses, prefixElements(words, this.#settings.nodePortAddresses))
      for (const emitter of emitters) set(names[emitter.set], this.#elementsOf(words.family, emitter))
      for (const shared of sharedSets) set(names[shared.set], this.#sharesIn(words.family, shared))
    }
    const chains = new Map<string, WantedChain>(
      baseChains(this.#settings).map((chain) => [chain.name, chain]),
    )
    for (const { chains: own } of profiles) {
      for (const chain of own.toReversed()) chains.set(chain.name, chain)
    }
    const unused = [...(kernel?.chains.keys() ?? [])].filter((name) => !chains.has(name))
    return {
      failures: new Map(),
      fill: (transaction) => {
        const wrong = [...chains.values()].filter((chain) => {
          const there = kernel?.chains.get(chain.name)
          return there === undefined || !areRules(there, chain.rules)
        })
        const isThere = ({ name }: WantedChain): boolean => kernel?.chains.has(name) === true
        for (const chain of wrong) putChain(transaction, this.#table, chain, isThere(chain))
        for (const { name, rules } of wrong) putRules(transaction, this.#table, name, rules)
        changes.addTo(transaction, this.#table)
        for (const name of unused) transaction.flush('chain', { ...this.#table, name })
      },
      accept: () => {
        this.#chains.clear()
        for (const name of chains.keys()) this.#chains.add(name)
        this.#unused.length = 0
        this.#unused.push(...unused)
      },
      abandon: () => undefined,
    }
  }

  /** Chains that nothing refers to any more: they go in a transaction of their own, as kernels before 6.2 need it. */
  readonly #unused: string[] = []

  /** What can be tidied up, if it is worth a transaction. */
  tidy(transaction: Transaction): void {
    if (this.profiles.idle.size > mostIdleProfiles) {
      const idle = [...this.profiles.idle]
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
    const next = new Map<string, Programmed | undefined>()
    const adopted = new Set<Programmed>()
    for (const key of deleted) {
      if (this.services.has(key)) next.set(key, undefined)
    }
    for (const service of upserted) {
      try {
        const kept = this.services.get(service.key) ?? this.#sparedAt(service, adopted) ?? this.#newService()
        next.set(
          service.key,
          program(service, kept, this.#settings.addresses, (profile) => this.profiles.numberOf(profile)),
        )
      } catch (error) {
        failures.set(service.key, error as Error)
      }
    }
    this.#refuseTakenFrontends(next, failures)
    const fresh = this.profiles.takeFresh()
    const before: Programmed[] = []
    const after: Programmed[] = []
    for (const [key, programmed] of next) {
      const known = this.services.get(key)
      if (known !== undefined) before.push(known)
      if (programmed !== undefined) after.push(programmed)
    }
    const ended: VirtualService[] = []
    for (const [spared, left] of this.#giveUp(after)) {
      before.push(spared)
      if (left === undefined) ended.push(spared.service)
      else after.push(left)
    }
    return {
      failures,
      ended,
      fill: (transaction) => {
        const made = new Map<string, ChainRules>()
        for (const { chains } of fresh) {
          for (const chain of chains.toReversed()) {
            if (!this.#chains.has(chain.name)) made.set(chain.name, chain)
          }
        }
        for (const chain of made.values()) putChain(transaction, this.#table, chain, false)
        for (const { name, rules } of made.values()) putRules(transaction, this.#table, name, rules)
        const changes = new ElementChanges()
        changes.fill(
          profilesMap,
          fresh.map(({ number, name }) => profileElement(number, name)),
        )
        for (const words of families) {
          const isTheirs = ({ service }: Programmed): boolean => service.family === words.family
          const [old, now] = [before.filter(isTheirs), after.filter(isTheirs)]
          if (old.length === 0 && now.length === 0) continue
          const names = setNames(words)
          for (const emitter of emitters) {
            changes.change(names[emitter.set], elementsOf(emitter, old), elementsOf(emitter, now))
          }
          for (const shared of sharedSets) this.#changeShares(changes, words.family, shared, old, now)
        }
        changes.addTo(transaction, this.#table)
      },
      accept: () => {
        for (const { chains } of fresh) for (const { name } of chains) this.#chains.add(name)
        for (const known of before) this.#take(known, -1)
        for (const programmed of after) this.#take(programmed, 1)
      },
      abandon: () => {
        for (const profile of fresh) this.profiles.forget(profile)
      },
    }
  }

  /** One that has been spared at one of its frontends: it is the same, after all. */
  #sparedAt(service: VirtualService, adopted: Set<Programmed>): Kept | undefined {
    if (this.#spared.size === 0) return undefined
    for (const frontend of service.frontends) {
      const spared = this.#spared.get(this.#holders.get(frontendName(service, frontend)) ?? '')
      if (spared === undefined || adopted.has(spared)) continue
      adopted.add(spared)
      return spared
    }
    return undefined
  }

  /** What is left of those that were spared: who is spoken of has all that was his, or a frontend of somebody else's. */
  #giveUp(next: readonly Programmed[]): Map<Programmed, Programmed | undefined> {
    const given = new Map<Programmed, Programmed | undefined>()
    if (this.#spared.size === 0) return given
    const ids = new Set(next.map(({ id }) => id))
    const claimed = new Set(
      next.flatMap(({ service }) => service.frontends.map((frontend) => frontendName(service, frontend))),
    )
    for (const spared of this.#spared.values()) {
      const left = without(spared, (frontend) => claimed.has(frontendName(spared.service, frontend)))
      if (ids.has(spared.id)) given.set(spared, undefined)
      else if (left !== spared) given.set(spared, left)
    }
    return given
  }

  /** Of elements that several may have, those whose first or last owner came or went. */
  #changeShares(
    changes: ElementChanges,
    family: AddressFamily,
    { set, addresses, element }: SharedSet,
    old: readonly Programmed[],
    now: readonly Programmed[],
  ): void {
    const name = setNames(wordsOf(family))[set]
    const by = new Map<string, number>()
    const count = (programmed: readonly Programmed[], step: 1 | -1): void => {
      for (const one of programmed) {
        addresses(one, (address) => by.set(address, (by.get(address) ?? 0) + step))
      }
    }
    count(old, -1)
    count(now, 1)
    const gone: ElementInput[] = []
    const made: ElementInput[] = []
    for (const [address, difference] of by) {
      const owners = this.#shares.get(name)?.get(address) ?? 0
      if (owners > 0 && owners + difference === 0) gone.push(element(family, address))
      else if (owners === 0 && difference > 0) made.push(element(family, address))
    }
    changes.change(name, gone, made)
  }

  /** @throws ValidationError if another service has one of them */
  #checkFrontends(service: VirtualService): void {
    for (const frontend of service.frontends) {
      const holder = this.#holders.get(frontendName(service, frontend))
      if (holder !== undefined && holder !== service.key) throw taken(service, frontend, holder)
    }
  }

  /** Who gives one up within the change has it no more, unless that is refused for another one. */
  #refuseTakenFrontends(next: Map<string, Programmed | undefined>, failures: Map<string, Error>): void {
    while (this.#refuseTaken(next, failures));
  }

  /** @returns whether one that stays as it is was refused, so that those that came before have to be looked at again */
  #refuseTaken(next: Map<string, Programmed | undefined>, failures: Map<string, Error>): boolean {
    const claimed = new Map<string, string>()
    let stays = false
    for (const [key, programmed] of next) {
      if (programmed === undefined) continue
      const { service } = programmed
      for (const frontend of service.frontends) {
        const name = frontendName(service, frontend)
        const holder = this.#wantedHolder(name)
        const now = holder === undefined ? undefined : next.get(holder)
        const keeps = now === undefined ? holder !== undefined && !next.has(holder) : has(now, name)
        const other = claimed.get(name) ?? (keeps && holder !== key ? holder : undefined)
        if (other === undefined) claimed.set(name, key)
        else {
          failures.set(key, taken(service, frontend, other))
          next.delete(key)
          stays ||= this.services.has(key)
          break
        }
      }
    }
    return stays
  }

  /** Who is spared gives way. */
  #wantedHolder(name: string): string | undefined {
    const holder = this.#holders.get(name)
    return holder === undefined || this.#spared.has(holder) ? undefined : holder
  }

  *#elementsIn(family: AddressFamily, emitter: Emitter): Generator<ElementInput> {
    const elements: ElementInput[] = []
    const take = (element: ElementInput): void => {
      elements.push(element)
    }
    for (const services of [this.services, this.#spared]) {
      for (const programmed of services.values()) {
        if (programmed.service.family !== family) continue
        emitter.emit(programmed, take)
        yield* elements
        elements.length = 0
      }
    }
  }

  /** They are made when they are asked for: all at once would be most of the memory that a start takes. */
  #elementsOf(family: AddressFamily, emitter: Emitter): Iterable<ElementInput> {
    return { [Symbol.iterator]: () => this.#elementsIn(family, emitter) }
  }

  #sharesIn(family: AddressFamily, { set, element }: SharedSet): Iterable<ElementInput> {
    const counts = entryOf(this.#shares, setNames(wordsOf(family))[set])
    return {
      *[Symbol.iterator]() {
        for (const address of counts.keys()) yield element(family, address)
      },
    }
  }

  #newService(): Kept {
    return { id: this.#nextId++, cluster: [], local: [] }
  }

  #take(programmed: Programmed, by: 1 | -1): void {
    const { service, profiles, isSpared } = programmed
    const services = isSpared === true ? this.#spared : this.services
    for (const number of profiles) this.profiles.use(number, by)
    if (by === 1) services.set(service.key, programmed)
    else if (services.get(service.key) === programmed) services.delete(service.key)
    for (const frontend of service.frontends) {
      const name = frontendName(service, frontend)
      if (by === 1) this.#holders.set(name, service.key)
      else if (this.#holders.get(name) === service.key) this.#holders.delete(name)
    }
    const names = setNames(wordsOf(service.family))
    for (const { set, addresses } of sharedSets) {
      const counts = entryOf(this.#shares, names[set])
      addresses(programmed, (address) => {
        const count = (counts.get(address) ?? 0) + by
        if (count === 0) counts.delete(address)
        else counts.set(address, count)
      })
    }
  }
}

function elementsOf({ emit }: Emitter, programmed: readonly Programmed[]): ElementInput[] {
  const elements: ElementInput[] = []
  for (const one of programmed) emit(one, (element) => elements.push(element))
  return elements
}

function frontendName(
  { family, protocol }: Pick<VirtualService, 'family' | 'protocol'>,
  frontend: Frontend,
): string {
  return frontend.kind === 'node-port'
    ? `${family} ${frontend.port} ${protocol}`
    : `${frontend.address} ${frontend.port} ${protocol}`
}
function has({ service }: Programmed, name: string): boolean {
  return service.frontends.some((frontend) => frontendName(service, frontend) === name)
}
function taken({ key, frontends }: VirtualService, frontend: Frontend, holder: string): Error {
  const path = `${key}.frontends[${frontends.indexOf(frontend)}]`
  return new ValidationError(path, frontend, `a frontend that no other virtual service has: ${holder} has it`)
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

function putChain(transaction: Transaction, table: TableName, chain: WantedChain, isThere: boolean): void {
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
  /** As the kernel has them: what servers they are is read where it is asked for, and need not be kept. */
  readonly #slots = new Map<number, Uint8Array[]>()
  readonly #localSlots = new Map<number, Uint8Array[]>()
  readonly #taken = new Set<number>()

  /** What those have that are known, others do not get. */
  constructor(kernel: KernelTable | undefined, others: Iterable<Programmed> = []) {
    for (const { id } of others) this.#taken.add(id)
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
        list[at] = data
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
      const serversIn = (slots: ReadonlyMap<number, readonly Uint8Array[]>): RealServer[] =>
        slots.get(id)?.map((data) => ({ ...readEndpoint(words, data), weight: 1 })) ?? []
      return { id, cluster: serversIn(this.#slots), local: serversIn(this.#localSlots) }
    }
    return undefined
  }
}

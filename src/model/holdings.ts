/** Who holds which addresses and ports, and what is picked for those that lack some. */
import { type AllocateOptions, type Allocation, Allocator, readAllocation, withPicks } from './allocator.js'
import { Claims } from './claims.js'
import type { Condition } from './condition.js'
import { frontendKeys, type Holders, nodePortKey } from './fronts.js'
import type { ServiceState } from './service-state.js'
import type { ServiceRules } from './services.js'
import type { ServiceProtocol } from './virtual-service.js'

const none: readonly never[] = []

/** Those of `ServiceModelOptions`. */
export interface HoldingsOptions {
  readonly allocate?: AllocateOptions | undefined
  readonly allocations?: Iterable<Allocation> | undefined
  readonly isPortTaken?: ((port: number, protocol: ServiceProtocol) => string | undefined) | undefined
}

/** What services claim, and what of it they have. */
export class Holdings {
  /** For reading services. */
  readonly rules: ServiceRules
  /** Of frontends and node ports; of whole addresses, too, where the model gives any. */
  readonly #claims = new Claims<ServiceState>()
  readonly #allocator: Allocator
  readonly #allocates: boolean
  readonly #recorded = new Map<string, Allocation>()
  /** Those that did not get what they lack: they get it when something becomes free. */
  readonly #waiting = new Set<ServiceState>()
  readonly #isPortTaken: (port: number, protocol: ServiceProtocol) => string | undefined
  /** What a service is reached at has to be computed again. */
  readonly #touch: (state: ServiceState) => void
  /** Somebody gave something back: those that wait look again. */
  #hasReleased = false
  /** The service that is being computed, */
  #asking: ServiceState | undefined
  /** and node ports that it had before. */
  #knownPorts: readonly string[] = none

  /** @throws ValidationError if a range is none, or an allocation */
  constructor(
    { allocate, allocations = none, isPortTaken }: HoldingsOptions,
    touch: (state: ServiceState) => void,
  ) {
    const allocator = new Allocator(allocate ?? {})
    this.#allocator = allocator
    this.#allocates = allocate !== undefined
    this.rules = {
      ownsUnstored: this.#allocates,
      nodePorts: allocator.nodePorts,
      isClusterAddress: (address) => allocator.isClusterAddress(address),
    }
    let index = 0
    for (const value of allocations) {
      const allocation = readAllocation(value, `allocations[${index++}]`)
      this.#recorded.set(allocation.service, allocation)
    }
    this.#isPortTaken = isPortTaken ?? nobody
    this.#touch = touch
  }

  /** A service that was given, changed or taken away: what it claims, and whether something is to be picked for it. */
  renew(state: ServiceState): void {
    const { record } = state
    state.picks = record && this.#allocator.keep(record, state.picks)
    state.unmet = none
    this.#waiting.delete(state)
    this.#claim(state)
    if (record !== undefined && (record.isOwn || record.pool !== undefined)) this.#waiting.add(state)
  }

  /** Says what it claims now, and nothing of what it does not any more. */
  #claim(state: ServiceState): void {
    const { record, picks, effective: before } = state
    const effective = record && withPicks(record, picks)
    state.effective = effective
    const old = before === undefined ? none : frontendKeys(before, this.#allocates)
    const wanted = effective === undefined ? none : frontendKeys(effective, this.#allocates)
    const given = picks === undefined ? undefined : new Set(frontendKeys(record!, this.#allocates))
    const isAged = state.createdAt !== record?.createdAt
    const released = isAged ? old : missing(old, wanted)
    if (released.length > 0) this.#hasReleased = true
    for (const key of released) this.#touchIfAny(this.#claims.remove(key, state))
    const added = isAged ? wanted : missing(wanted, old)
    state.createdAt = record?.createdAt
    for (const key of added)
      this.#touchIfAny(this.#claims.add(key, state, given !== undefined && !given.has(key)))
  }

  #touchIfAny(state: ServiceState | undefined): void {
    if (state !== undefined) this.#touch(state)
  }

  /** In the order of their names, so that the order in which they came does not matter. */
  pick(stale: readonly ServiceState[]): void {
    if (this.#waiting.size === 0) return
    const all = this.#hasReleased
      ? [...this.#waiting]
      : stale.filter((state) => state.stale === 'claims' && this.#waiting.has(state))
    all.sort((a, b) => (a.id < b.id ? -1 : 1))
    for (const state of all) {
      const record = state.record!
      const conditions: Condition[] = []
      const around = {
        holder: (address: string) => this.#claims.holder(address)?.id,
        isFreePort: (port: number, protocol: ServiceProtocol) =>
          !this.#claims.has(nodePortKey(port, protocol)) && this.#isPortTaken(port, protocol) === undefined,
        claims: this.#claims.size,
      }
      const picks = this.#allocator.pick(
        record,
        state.picks,
        this.#recorded.get(state.id),
        around,
        conditions,
      )
      this.#recorded.delete(state.id)
      state.unmet = conditions
      if (conditions.length === 0) this.#waiting.delete(state)
      if (picks === state.picks) continue
      state.picks = picks
      this.#touch(state)
      this.#claim(state)
    }
  }

  /** Everything is computed. */
  settle(): void {
    this.#hasReleased = false
  }

  /** Who has what, as the service asks that is being computed. */
  readonly #holders: Holders = {
    arePeaceful: () => this.#claims.isPeaceful,
    other: (key) => {
      const holder = this.#claims.holder(key)
      return holder === this.#asking ? undefined : holder?.id
    },
    listener: (port, protocol) => {
      const state = this.#asking!
      const key = nodePortKey(port, protocol)
      if (state.freePorts.includes(key)) return undefined
      const process = this.#knownPorts.includes(key) ? undefined : this.#isPortTaken(port, protocol)
      if (process === undefined) state.freePorts = [...state.freePorts, key]
      return process
    },
  }

  /** To be asked about the things of this service, until the next one. */
  holdersFor(state: ServiceState): Holders {
    this.#asking = state
    this.#knownPorts = state.freePorts
    state.freePorts = none
    return this.#holders
  }
}

function nobody(): undefined {
  return undefined
}

/** What is in the first list and not in the second. */
function missing(from: readonly string[], others: readonly string[]): readonly string[] {
  if (others.length === 0 || from.length === 0) return from
  if (from.length * others.length < 64) return from.filter((key) => !others.includes(key))
  const known = new Set(others)
  return from.filter((key) => !known.has(key))
}

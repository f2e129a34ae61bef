/** Profiles that are in the kernel, by their names: each has a number, which frontends carry. */
import type { RulesetSettings } from '../ruleset/settings.js'
import { type ChainRules, chainsOf, type Profile, profileName } from './profiles.js'

export interface NumberedProfile {
  readonly number: number
  readonly name: string
  readonly chains: readonly ChainRules[]
  /** How many frontends have it. */
  uses: number
}

export class ProfileNumbers {
  readonly #settings: RulesetSettings
  readonly #byName = new Map<string, NumberedProfile>()
  readonly #byNumber = new Map<number, NumberedProfile>()
  /** Asked for after every change: there may be as many profiles as services. */
  readonly #idle = new Set<NumberedProfile>()
  /** Numbers that are in the kernel for chains of a name. */
  readonly #adopted: ReadonlyMap<string, number>
  #next = 1
  #fresh: NumberedProfile[] = []

  constructor(settings: RulesetSettings, adopted: ReadonlyMap<string, number> = new Map()) {
    this.#settings = settings
    this.#adopted = adopted
    for (const number of adopted.values()) this.#next = Math.max(this.#next, number + 1)
  }

  /** A new one gets a number and chains. */
  numberOf(profile: Profile): number {
    const name = profileName(profile)
    const known = this.#byName.get(name)
    if (known !== undefined) return known.number
    const number = this.#adopted.get(name) ?? this.#next++
    const made = { number, name, chains: chainsOf(profile, this.#settings), uses: 0 }
    this.#byName.set(name, made)
    this.#byNumber.set(number, made)
    this.#fresh.push(made)
    this.#idle.add(made)
    return number
  }

  /** Those that are new since this was asked last. */
  takeFresh(): readonly NumberedProfile[] {
    const fresh = this.#fresh
    this.#fresh = []
    return fresh
  }

  use(number: number, by: 1 | -1): void {
    const profile = this.#byNumber.get(number)!
    profile.uses += by
    if (profile.uses === 0) this.#idle.add(profile)
    else this.#idle.delete(profile)
  }

  nameOf(number: number): string {
    return this.#byNumber.get(number)!.name
  }

  /** Of all chains that frontends with these profiles go through. */
  *chainNames(numbers: readonly number[]): Generator<string> {
    for (const number of numbers) for (const { name } of this.#byNumber.get(number)!.chains) yield name
  }

  all(): Iterable<NumberedProfile> {
    return this.#byName.values()
  }

  get idle(): ReadonlySet<NumberedProfile> {
    return this.#idle
  }

  forget(profile: NumberedProfile): void {
    this.#byName.delete(profile.name)
    this.#byNumber.delete(profile.number)
    this.#idle.delete(profile)
  }
}

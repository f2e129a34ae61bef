/** A dataplane beside a model of what it is to have, which a fresh programming of the same services is made of. */
import type { Test } from 'tap'
import type { Dataplane } from '../../../src/dataplane/index.js'
import type { VirtualService } from '../../../src/model/index.js'
import { NetworkNamespace } from '../../../src/net/index.js'
import { changedService, randomKey, randomService } from './random-services.js'
import type { Random } from './seeds.js'

/** Which dataplane, and what of the kernel is its. */
export interface Kind {
  readonly open: (netns: NetworkNamespace) => Promise<Dataplane>
  readonly contentOf: (netns: NetworkNamespace) => Promise<string[]>
  /** Lines for what differs; none where nothing does. */
  readonly difference: (found: readonly string[], wanted: readonly string[]) => string[]
}

/** A dataplane, and what it is to have. */
export class Modelled {
  readonly services = new Map<string, VirtualService>()
  dataplane: Dataplane
  readonly #kind: Kind
  readonly #netns: NetworkNamespace
  readonly #fresh: NetworkNamespace

  private constructor(kind: Kind, dataplane: Dataplane, netns: NetworkNamespace, fresh: NetworkNamespace) {
    this.#kind = kind
    this.dataplane = dataplane
    this.#netns = netns
    this.#fresh = fresh
  }

  static async open(t: Test, kind: Kind): Promise<Modelled> {
    const [netns, fresh] = [NetworkNamespace.create(), NetworkNamespace.create()]
    const modelled = new Modelled(kind, await kind.open(netns), netns, fresh)
    t.teardown(() => modelled.close())
    await modelled.dataplane.synchronize([])
    return modelled
  }

  close(): void {
    this.dataplane.close()
    this.#netns.close()
    this.#fresh.close()
  }

  get netns(): NetworkNamespace {
    return this.#netns
  }

  get fresh(): NetworkNamespace {
    return this.#fresh
  }

  /** What is refused stays as it was. */
  async apply(change: { upserted: VirtualService[]; deleted: string[] }): Promise<void> {
    const { failures } = await this.dataplane.apply(change)
    for (const key of change.deleted) this.services.delete(key)
    for (const service of change.upserted) {
      if (!failures.has(service.key)) this.services.set(service.key, service)
    }
  }

  /** Everything anew, after changes of which the dataplane was told nothing. */
  async synchronize(change: { upserted: VirtualService[]; deleted: string[] }): Promise<void> {
    const wanted = new Map(this.services)
    for (const key of change.deleted) wanted.delete(key)
    for (const service of change.upserted) wanted.set(service.key, service)
    const { failures } = await this.dataplane.synchronize(wanted.values())
    for (const key of failures.keys()) {
      const before = this.services.get(key)
      if (before === undefined) wanted.delete(key)
      else wanted.set(key, before)
    }
    this.services.clear()
    for (const [key, service] of wanted) this.services.set(key, service)
  }

  /** The process ends, and another one goes on. */
  async restart(): Promise<number> {
    this.dataplane.close()
    this.dataplane = await this.#kind.open(this.#netns)
    const applied = await this.dataplane.synchronize(this.services.values())
    if (applied.failures.size > 0) throw [...applied.failures.values()][0]!
    return applied.writes
  }

  /** The same, but it has heard of none but these: all others are to stay as they are. */
  async restartKnowing(keys: ReadonlySet<string>): Promise<void> {
    this.dataplane.close()
    this.dataplane = await this.#kind.open(this.#netns)
    const known = [...this.services.values()].filter(({ key }) => keys.has(key))
    const { failures } = await this.dataplane.synchronize(known, { keepUnknown: true })
    if (failures.size > 0) throw [...failures.values()][0]!
    // Whom nobody can reach is not found again.
    for (const [key, { frontends }] of this.services) {
      if (frontends.length === 0 && !keys.has(key)) this.services.delete(key)
    }
  }

  /** What differs from a programming of the same services in a namespace that has nothing. */
  async differences(): Promise<string[]> {
    await using dataplane = await this.#kind.open(this.#fresh)
    const { failures } = await dataplane.synchronize(this.services.values())
    const told = [...failures.values()].map(({ message }) => message)
    const wanted = await this.#kind.contentOf(this.#fresh)
    await dataplane.teardown()
    return [...told, ...this.#kind.difference(await this.#kind.contentOf(this.#netns), wanted)]
  }
}

/** At most so many changes, some of the same service. */
export function burst(random: Random, services: ReadonlyMap<string, VirtualService>, most: number) {
  const upserted = new Map<string, VirtualService>()
  const deleted = new Set<string>()
  for (let left = 1 + random.below(most); left > 0; left--) {
    const known = services.size > 0 ? random.of([...services.keys()]) : randomKey(random)
    if (random.once(4)) {
      deleted.add(known)
      upserted.delete(known)
      continue
    }
    const key = random.once(3) ? randomKey(random) : known
    const before = upserted.get(key) ?? services.get(key)
    upserted.set(key, before === undefined ? randomService(random, key) : changedService(random, before))
    deleted.delete(key)
  }
  return { upserted: [...upserted.values()], deleted: [...deleted] }
}

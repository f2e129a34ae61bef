/**
 * Random sequences of changes: whatever happened, the kernel has what a fresh programming of the same services makes. A run is
 * repeated with `VIADUCT_SEED`.
 */
import t, { type Test } from 'tap'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { DataplaneOptions } from '../../src/dataplane/index.js'
import type { VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { type ElementInput, Nftables } from '../../src/nftables/index.js'
import { contentOf, difference } from './support/content.js'
import { changedService, randomKey, randomService } from './support/random-services.js'
import { type Random, seeded } from './support/seeds.js'

const bursts = 30
const node: DataplaneOptions['node'] = {
  addresses: ['10.9.0.1', 'fd09::1'],
  clusterRanges: ['10.1.0.0/16', 'fd00:1::/32'],
  serviceRanges: ['172.30.0.0/16', 'fd30::/64'],
}
const place = { family: 'inet', table: 'viaduct' } as const

/** A dataplane, and what it is to have. */
class Modelled {
  readonly services = new Map<string, VirtualService>()
  dataplane: NftablesDataplane
  readonly #netns: NetworkNamespace
  readonly #fresh: NetworkNamespace

  private constructor(dataplane: NftablesDataplane, netns: NetworkNamespace, fresh: NetworkNamespace) {
    this.dataplane = dataplane
    this.#netns = netns
    this.#fresh = fresh
  }

  static async open(t: Test): Promise<Modelled> {
    const [netns, fresh] = [NetworkNamespace.create(), NetworkNamespace.create()]
    const modelled = new Modelled(await openNftablesDataplane({ netns, node }), netns, fresh)
    t.teardown(() => {
      modelled.dataplane.close()
      netns.close()
      fresh.close()
    })
    await modelled.dataplane.synchronize([])
    return modelled
  }

  get netns(): NetworkNamespace {
    return this.#netns
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
    this.dataplane = await openNftablesDataplane({ netns: this.#netns, node })
    const applied = await this.dataplane.synchronize(this.services.values())
    if (applied.failures.size > 0) throw [...applied.failures.values()][0]!
    return applied.writes
  }

  /** What differs from a programming of the same services in a namespace that has nothing. */
  async differences(): Promise<string[]> {
    await using dataplane = await openNftablesDataplane({ netns: this.#fresh, node })
    const { failures } = await dataplane.synchronize(this.services.values())
    const told = [...failures.values()].map(({ message }) => message)
    const wanted = await contentOf(this.#fresh)
    await dataplane.teardown()
    return [...told, ...difference(await contentOf(this.#netns), wanted)]
  }
}

function burst(random: Random, services: ReadonlyMap<string, VirtualService>) {
  const upserted = new Map<string, VirtualService>()
  const deleted = new Set<string>()
  for (let left = 1 + random.below(160); left > 0; left--) {
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

void t.test('bursts of changes end in what a fresh start makes', { timeout: 120_000 }, async (t) => {
  const random = seeded(t)
  const modelled = await Modelled.open(t)
  let changes = 0
  for (let round = 0; round < bursts; round++) {
    const change = burst(random, modelled.services)
    changes += change.upserted.length + change.deleted.length
    const way = random.below(8)
    if (way === 0) await modelled.synchronize(change)
    else if (way === 1) {
      const givenUp = modelled.dataplane.apply(change, { signal: AbortSignal.abort() })
      await t.rejects(givenUp, { name: 'AbortError' })
      await modelled.apply(change)
    } else await modelled.apply(change)
    const found = await modelled.differences()
    if (!t.same(found, [], `burst ${round} (${way === 0 ? 'synchronize' : 'apply'})`)) return
    if (random.once(3)) {
      if (!t.equal(await modelled.restart(), 0, `burst ${round}: a restart writes nothing`)) return
    }
  }
  t.comment(`${changes} changes`)
})

/** Something that another program does to our table. */
async function meddle(random: Random, nftables: Nftables): Promise<string> {
  const { chains, sets, elements } = await nftables.ruleset(place)
  const transaction = nftables.transaction()
  const [chain, set] = [random.of(chains), random.of(sets.filter(({ name }) => !name.startsWith('affinity')))]
  const ofSet = elements.find((one) => one.set === set.name)!.elements as readonly ElementInput[]
  const acts: (() => string)[] = [
    () => {
      transaction.delete('table', { family: 'inet', name: 'viaduct' })
      return 'deletes the table'
    },
    () => {
      transaction.flush('chain', { ...place, name: chain.name })
      return `flushes the chain ${chain.name}`
    },
    () => {
      const verdict = { name: 'immediate', destinationRegister: 0, data: { code: 'drop' } } as const
      transaction.insert('rule', { ...place, chain: chain.name, expressions: [verdict] })
      return `puts a rule into ${chain.name}`
    },
    () => {
      transaction.add('chain', { ...place, name: `other-${random.below(100)}` })
      return 'adds a chain'
    },
    () => {
      transaction.flush('chain', { ...place, name: 'prerouting' })
      transaction.delete('chain', { ...place, name: 'prerouting' })
      return 'deletes prerouting'
    },
    () => {
      transaction.flush('set', { ...place, name: set.name })
      return `empties ${set.name}`
    },
    () => {
      const some = random.some(ofSet, 0, 20).map(({ key, keyEnd, flags }) => ({ key, keyEnd, flags }))
      const whole = set.flags?.includes('interval') === true && !set.name.startsWith('source-ranges')
      if (whole || some.length === 0) return 'does nothing'
      transaction.delete('elements', { ...place, set: set.name, elements: some })
      return `deletes ${some.length} elements of ${set.name}`
    },
    () => {
      const maps = elements.filter(
        ({ set, elements }) => /^(backends|services)/.test(set) && elements.length > 1,
      )
      if (maps.length === 0) return 'does nothing'
      const map = random.of(maps)
      const [one, other] = random.some(map.elements, 2, 2) as [ElementInput, ElementInput]
      transaction.delete('elements', { ...place, set: map.set, elements: [{ key: one.key }] })
      transaction.add('elements', {
        ...place,
        set: map.set,
        elements: [{ key: one.key, data: other.data }],
      })
      return `changes an element of ${map.set}`
    },
  ]
  const told = random.of(acts)()
  if (transaction.operations.length > 0) await transaction.commit()
  return transaction.operations.length > 0 ? told : ''
}

void t.test('what somebody else did is put right, and changes go on', { timeout: 120_000 }, async (t) => {
  const random = seeded(t)
  const modelled = await Modelled.open(t)
  await using nftables = await Nftables.open({ netns: modelled.netns })
  await modelled.apply(burst(random, modelled.services))
  for (let round = 0; round < bursts; round++) {
    const told = withResolvers()
    const stop = modelled.dataplane.watch(() => told.resolve())
    const did = await meddle(random, nftables)
    if (did !== '') await told.promise
    const way = random.below(4)
    if (way === 0) await modelled.apply(burst(random, modelled.services))
    else if (way === 1) await modelled.synchronize(burst(random, modelled.services))
    else if (way === 2) await modelled.dataplane.repair()
    else await modelled.restart()
    stop()
    const ways = ['apply', 'synchronize', 'repair', 'restart']
    const found = await modelled.differences()
    if (!t.same(found, [], `round ${round}: ${did}; ${ways[way]}`)) return
  }
})

function withResolvers() {
  let resolve!: () => void
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

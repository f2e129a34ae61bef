/**
 * Random sequences of changes: whatever happened, the kernel has what a fresh programming of the same services makes. A run is
 * repeated with `VIADUCT_SEED`.
 */
import t, { type Test } from 'tap'
import { openNftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { DataplaneOptions } from '../../src/dataplane/index.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { type ElementInput, Nftables } from '../../src/nftables/index.js'
import { contentOf, difference } from './support/content.js'
import { burst, Modelled } from './support/modelled.js'
import { type Random, seeded } from './support/seeds.js'

const bursts = 30
const node: DataplaneOptions['node'] = {
  addresses: ['10.9.0.1', 'fd09::1'],
  clusterRanges: ['10.1.0.0/16', 'fd00:1::/32'],
  serviceRanges: ['172.30.0.0/16', 'fd30::/64'],
}
const place = { family: 'inet', table: 'viaduct' } as const

function modelled(t: Test): Promise<Modelled> {
  return Modelled.open(t, {
    open: (netns) => openNftablesDataplane({ netns, node }),
    contentOf,
    difference,
  })
}

void t.test('bursts of changes end in what a fresh start makes', { timeout: 120_000 }, async (t) => {
  const random = seeded(t)
  const model = await modelled(t)
  let changes = 0
  for (let round = 0; round < bursts; round++) {
    const change = burst(random, model.services, 160)
    changes += change.upserted.length + change.deleted.length
    const way = random.below(8)
    if (way === 0) await model.synchronize(change)
    else if (way === 1) {
      const givenUp = model.dataplane.apply(change, { signal: AbortSignal.abort() })
      await t.rejects(givenUp, { name: 'AbortError' })
      await model.apply(change)
    } else await model.apply(change)
    const found = await model.differences()
    if (!t.same(found, [], `burst ${round} (${way === 0 ? 'synchronize' : 'apply'})`)) return
    if (random.once(3)) {
      if (!t.equal(await model.restart(), 0, `burst ${round}: a restart writes nothing`)) return
    }
  }
  t.comment(`${changes} changes`)
})

void t.test(
  'what an earlier process programmed stays until somebody speaks of it',
  { timeout: 120_000 },
  async (t) => {
    const random = seeded(t)
    const model = await modelled(t)
    const isSame = async (when: string): Promise<boolean> => t.same(await model.differences(), [], when)
    for (let round = 0; round < bursts / 5; round++) {
      const { upserted, deleted } = burst(random, model.services, 160)
      await model.apply({ upserted: upserted.map(withEqualShares), deleted })
      const keys = [...model.services.keys()]
      const heard = new Set(random.some(keys))
      await model.restartKnowing(heard)
      if (!(await isSame(`round ${round}: a restart that has heard of some`))) return
      // The same ones come later: nothing has to be changed for them.
      const late = [...model.services.values()].filter(({ key }) => !heard.has(key) && random.once(2))
      const { writes, failures } = await model.dataplane.apply({ upserted: late, deleted: [] })
      t.same([writes, failures.size], [0, 0], `round ${round}: what was spared is adopted`)
      for (const { key } of late) heard.add(key)
      if (random.once(2)) {
        await using nftables = await Nftables.open({ netns: model.netns })
        await nftables.transaction().delete('table', { family: 'inet', name: 'viaduct' }).commit()
        await model.dataplane.synchronize(
          [...model.services.values()].filter(({ key }) => heard.has(key)),
          { keepUnknown: true },
        )
        if (!(await isSame(`round ${round}: it is there again after somebody has deleted it`))) return
      }
      // Others have come by then, and want what those had that were never spoken of.
      const change = burst(random, model.services, 40)
      if (random.once(2)) {
        await model.dataplane.apply(change)
        await model.restartKnowing(heard)
      }
      for (const key of model.services.keys()) if (!heard.has(key)) model.services.delete(key)
      await model.synchronize(change)
      if (!(await isSame(`round ${round}: what nobody wants is gone`))) return
    }
  },
)

/** Who has no slot of consistent hashing gets nothing, and is not found again. */
function withEqualShares(service: VirtualService): VirtualService {
  if (service.scheduler !== 'mh') return service
  const equal = (servers: readonly RealServer[]): RealServer[] =>
    servers.map((one) => ({ ...one, weight: 1 }))
  const { cluster, local } = service.servers
  return { ...service, servers: { ...service.servers, cluster: equal(cluster), local: equal(local) } }
}

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
      // Of an empty one nothing is told.
      if (ofSet.length === 0) return 'does nothing'
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
  const model = await modelled(t)
  await using nftables = await Nftables.open({ netns: model.netns })
  await model.apply(burst(random, model.services, 160))
  for (let round = 0; round < bursts; round++) {
    const told = withResolvers()
    const stop = model.dataplane.watch(() => told.resolve())
    const did = await meddle(random, nftables)
    if (did !== '') await told.promise
    const way = random.below(4)
    if (way === 0) await model.apply(burst(random, model.services, 160))
    else if (way === 1) await model.synchronize(burst(random, model.services, 160))
    else if (way === 2) await model.dataplane.repair()
    else await model.restart()
    stop()
    const ways = ['apply', 'synchronize', 'repair', 'restart']
    const found = await model.differences()
    if (!t.same(found, [], `round ${round}: ${did}; ${ways[way]}`)) return
  }
})

function withResolvers() {
  let resolve!: () => void
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

/** What is sent to the kernel: no more than has to be, and nothing that is about others. */
import t, { type Test } from 'tap'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { changedService, randomKey, randomService } from './support/random-services.js'
import { seeded } from './support/seeds.js'
import { Recorder, watchedTransport, type Write } from './support/watched-transport.js'
import { virtualService } from './services-network.js'

const node = { addresses: ['10.9.0.1', 'fd09::1'] }

function namespace(t: Test): NetworkNamespace {
  const netns = NetworkNamespace.create()
  t.teardown(() => netns.close())
  return netns
}

async function recorded(t: Test, netns: NetworkNamespace) {
  const recorder = new Recorder()
  const dataplane = await openNftablesDataplane({ netns, node }, () => watchedTransport(netns, recorder))
  t.teardown(() => dataplane.close())
  return { dataplane, recorder }
}

/** So many services, of two servers each. */
function services(count: number, more: Partial<VirtualService> = {}): VirtualService[] {
  return Array.from({ length: count }, (_, index) => service(index, 2, more))
}
function service(index: number, servers: number, more: Partial<VirtualService> = {}): VirtualService {
  const [high, low] = [index >> 8, index & 255]
  const list = Array.from({ length: servers }, (_, number): RealServer => ({
    address: `10.${number}.${high}.${low}`,
    port: 8080,
    weight: 1,
  }))
  const frontends = [{ kind: 'cluster', address: `172.30.${high}.${low}`, port: 80 }] as const
  return virtualService(list, { name: `s${index}`, frontends, ...more })
}

const elementsOf = (writes: readonly Write[]): number =>
  writes.reduce(
    (sum, { object }) => sum + ((object as { elements?: readonly unknown[] }).elements?.length ?? 0),
    0,
  )

void t.test('one server more or less costs the same, whatever else there is', async (t) => {
  const costs = new Map<number, unknown[]>()
  for (const count of [10, 50_000]) {
    const { dataplane, recorder } = await recorded(t, namespace(t))
    await dataplane.synchronize(services(count))
    recorder.take()
    const told: unknown[] = []
    const change = async (what: string, upserted: VirtualService): Promise<void> => {
      await dataplane.apply({ upserted: [upserted], deleted: [] })
      const { sends, writes } = recorder.take()
      told.push({
        what,
        sends,
        writes: writes.length,
        elements: elementsOf(writes),
        bytes: writes.reduce((sum, { bytes }) => sum + bytes, 0),
      })
      t.ok(writes.length <= 12 && elementsOf(writes) <= 8, what)
    }
    await change('a new size', service(3, 3))
    await change('one more', service(4, 3))
    await change('one less', service(4, 2))
    const other = service(5, 2)
    const [first, second] = other.servers.cluster as [RealServer, RealServer]
    const moved = { ...second, address: '10.99.0.1' }
    await change('another one', { ...other, servers: { ...other.servers, cluster: [first, moved] } })
    await change('nothing', { ...other, servers: { ...other.servers, cluster: [first, moved] } })
    // Of many servers the first one leaves: the others stay where they are.
    const many = service(7, 20)
    const others = many.servers.cluster.slice(1)
    await dataplane.apply({ upserted: [many], deleted: [] })
    recorder.take()
    await change('the first of many less', { ...many, servers: { ...many.servers, cluster: others } })
    await dataplane.apply({ upserted: [], deleted: [service(6, 2).key] })
    const { sends, writes } = recorder.take()
    told.push({ what: 'a service less', sends, writes: writes.length, elements: elementsOf(writes) })
    costs.set(count, told)
    await dataplane.teardown()
  }
  t.same(costs.get(50_000), costs.get(10))
  for (const one of costs.get(10)!) t.comment(JSON.stringify(one))
})

void t.test('an unchanged restart writes nothing, whatever there is', async (t) => {
  const random = seeded(t)
  const netns = namespace(t)
  const first = await recorded(t, netns)
  const wanted = new Map<string, VirtualService>()
  for (let count = 0; count < 60; count++) {
    const one = randomService(random)
    wanted.set(one.key, one)
  }
  await first.dataplane.synchronize(wanted.values())
  const known = await accepted(first.dataplane, wanted)
  const { dataplane, recorder } = await recorded(t, netns)
  recorder.take()
  await dataplane.synchronize(known)
  t.same(recorder.take().writes, [])
  await dataplane.synchronize(known)
  t.same(recorder.take().writes, [])
  await dataplane.repair()
  t.equal(recorder.take().sends, 0, 'and nothing is asked where nothing is in doubt')
})

/** Those that no other one has the frontends of. */
async function accepted(
  dataplane: NftablesDataplane,
  wanted: ReadonlyMap<string, VirtualService>,
): Promise<VirtualService[]> {
  const { failures } = await dataplane.synchronize(wanted.values())
  return [...wanted.values()].filter(({ key }) => !failures.has(key))
}

void t.test('nothing is said of what is not ours, whatever is done', async (t) => {
  const random = seeded(t)
  const netns = namespace(t)
  await using nftables = await Nftables.open({ netns })
  const transaction = nftables.transaction()
  for (const [family, name] of [
    ['inet', 'other'],
    ['ip', 'viaduct'],
    ['inet', 'viaduct2'],
  ] as const) {
    transaction.add('table', { family, name })
    transaction.add('chain', { family, table: name, name: 'dispatch' })
  }
  await transaction.commit()
  const others = async () => {
    const { tables, chains } = await nftables.ruleset()
    return [tables, chains].map((list) =>
      (list as readonly { family: string; name: string; table?: string }[]).filter(
        (one) => one.family !== 'inet' || (one.table ?? one.name) !== 'viaduct',
      ),
    )
  }
  const before = await others()
  const { dataplane, recorder } = await recorded(t, netns)
  await dataplane.synchronize([])
  const known = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const upserted = Array.from({ length: 30 }, () => {
      const one = randomService(random, randomKey(random))
      return random.once(2) ? changedService(random, one) : one
    })
    const last = [...new Map(upserted.map((one) => [one.key, one])).values()]
    const deleted = random.some([...known], 0, 30).filter((key) => last.every((one) => one.key !== key))
    await dataplane.apply({ upserted: last, deleted })
    for (const key of deleted) known.delete(key)
    for (const { key } of last) known.add(key)
    if (round === 10)
      await nftables.transaction().delete('table', { family: 'inet', name: 'viaduct' }).commit()
    if (round === 10) await dataplane.synchronize(last)
  }
  await dataplane.teardown()
  const { writes } = recorder.take()
  t.ok(writes.length > 100)
  const stray = writes.filter(
    ({ kind, family, table }) => kind !== 'flow' && (family !== 'inet' || table !== 'viaduct'),
  )
  t.same(stray, [])
  const tables = writes.filter(({ kind, isDelete }) => kind === 'table' && isDelete)
  t.equal(tables.length, 1, 'the table goes at the teardown')
  t.same(await others(), before)
})

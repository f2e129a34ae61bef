/** Objects in, packets through: the reconciler on the nftables dataplane of the running kernel. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { openDataplane } from '../../src/dataplane/index.js'
import type { ModelObject } from '../../src/model/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { Reconciler, type ReconcilerOptions } from '../../src/reconciler/index.js'
import { FileSource, MemorySource } from '../../src/sources/index.js'
import type { Host } from '../../src/testing/index.js'
import { ask, clusterAddress, serverPort, serviceNetwork } from './services-network.js'

async function network(t: Test) {
  const { hosts } = await serviceNetwork(t)
  const begin = async (options: Partial<ReconcilerOptions> = {}): Promise<Reconciler> => {
    const dataplane = await openDataplane({ netns: hosts.node.netns })
    const reconciler = new Reconciler({ dataplane, ...options })
    t.teardown(async () => {
      await reconciler.close()
      dataplane.close()
    })
    return reconciler
  }
  const nftables = await Nftables.open({ netns: hosts.node.netns })
  t.teardown(() => nftables.close())
  return { hosts, begin, nftables }
}

/** The short form. */
function web(...hosts: readonly Host[]): ModelObject {
  return {
    name: 'web',
    address: clusterAddress.ipv4,
    ports: [{ port: 80, targetPort: serverPort }],
    servers: hosts.map(({ address }) => ({ address, port: serverPort })),
  }
}

t.test('an object is programmed, changed and taken away', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const reconciler = await begin()
  reconciler.upsert(web(a))
  t.same(reconciler.status({ name: 'web' }).state, 'pending')
  await reconciler.start()
  t.same(reconciler.status({ name: 'web' }), { state: 'programmed', errors: [], conditions: [] })
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
  reconciler.upsert(web(b))
  await reconciler.settled()
  t.same(await ask(client, clusterAddress.ipv4, 4), ['b', 'b', 'b', 'b'])
  reconciler.delete({ kind: 'Service', namespace: 'default', name: 'web' })
  await reconciler.settled()
  t.equal(reconciler.status({ name: 'web' }).state, 'unknown')
  t.same(await reconciler.dataplane.read(), [])
})

t.test('changes are gathered, and an unchanged restart writes nothing', async (t) => {
  const { hosts, begin } = await network(t)
  const { a, b } = hosts
  const reconciler = await begin({ coalesceMilliseconds: 30 })
  await reconciler.start()
  for (let count = 0; count < 100; count++) reconciler.upsert(web(count % 2 === 0 ? a : b))
  await reconciler.settled()
  t.ok(reconciler.counts.applies <= 1, 'of what comes in one go there is one change')
  const other = await begin()
  other.upsert(web(b))
  await other.start()
  t.same(other.counts, { applies: 0, passes: 1, repairs: 0, writes: 0, failures: 0 })
})

t.test('sources are followed: everything at the start, then what changes', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const source = new MemorySource()
  source.upsert(web(a))
  const reconciler = await begin()
  const listed = reconciler.follow(source)
  await reconciler.start()
  await listed
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
  const changed = until(() => reconciler.counts.applies === 1)
  source.upsert(web(b))
  await changed
  t.same(await ask(client, clusterAddress.ipv4), ['b'])
})

/** Looks again after everything that is due was done. */
async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error('it did not come to that')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test('what somebody else takes away is there again within 200 ms', async (t) => {
  const { hosts, begin, nftables } = await network(t)
  const { client, a } = hosts
  const reconciler = await begin()
  reconciler.upsert(web(a))
  await reconciler.start()
  const place = { family: 'inet', name: 'viaduct' } as const
  const gaps: number[] = []
  for (let round = 1; round <= 5; round++) {
    const started = performance.now()
    await nftables.transaction().delete('table', place).commit()
    await until(() => reconciler.counts.repairs >= round)
    await reconciler.settled()
    gaps.push(performance.now() - started)
    t.same(await ask(client, clusterAddress.ipv4), ['a'])
  }
  // Whatever else this machine does only makes it longer.
  t.ok(Math.min(...gaps) < 200, `gaps of ${gaps.map((gap) => gap.toFixed(0)).join(', ')} ms`)
})

t.test('a bad object holds nobody up, and its last good state stays', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const reconciler = await begin()
  reconciler.upsert(web(a))
  reconciler.upsert({ ...web(b), name: 'bad', address: 'nowhere' })
  await reconciler.start()
  t.equal(reconciler.status({ name: 'web' }).state, 'programmed')
  const { state, errors } = reconciler.status({ name: 'bad' })
  t.equal(state, 'failed')
  t.match(errors[0]?.message, /address: expected/)
  reconciler.upsert({ ...web(b), ports: 'none' } as unknown as ModelObject)
  await reconciler.settled()
  t.equal(reconciler.status({ name: 'web' }).state, 'failed')
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
  reconciler.upsert(web(b))
  await reconciler.settled()
  t.same(reconciler.status({ name: 'web' }), { state: 'programmed', errors: [], conditions: [] })
  t.same(await ask(client, clusterAddress.ipv4), ['b'])
})

t.test('what is wrong in a file is told with its line, and its last good state stays', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a } = hosts
  const folder = t.testdir({
    'web.json': JSON.stringify(web(a)),
  })
  const reconciler = await begin()
  await reconciler.follow(new FileSource(folder))
  await reconciler.start()
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
  const file = path.join(folder, 'web.json')
  await writeFile(file, '{\n"name": "web",\n"ports": [{ "port": "eighty" }]\n}\n')
  await until(() => reconciler.model.problems().length > 0)
  const [problem] = await reconciler.locatedProblems()
  t.match(problem, { at: { place: file, line: 3 }, error: { path: 'ports[0].port' } })
  t.equal(reconciler.status({ name: 'web' }).state, 'failed')
  t.same(await ask(client, clusterAddress.ipv4), ['a'])
})

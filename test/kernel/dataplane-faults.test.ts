/** What goes wrong around a dataplane: others who interfere, answers and events that are lost, kernels that lack something. */
import t, { type Test } from 'tap'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import { isUnsupportedError } from '../../src/errors/index.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { Reconciler } from '../../src/reconciler/index.js'
import { FakeKernel } from '../../src/testing/index.js'
import { until } from '../lab/support/until.js'
import { contentOf, difference } from './support/content.js'
import { seeded } from './support/seeds.js'
import { type Watcher, watchedTransport, writesIn } from './support/watched-transport.js'
import { virtualService } from './services-network.js'

const node = { addresses: ['10.9.0.1'] }
const place = { family: 'inet', table: 'viaduct' } as const
const [one, two, three] = [1, 2, 3].map((host): RealServer => ({
  address: `10.1.0.${host}`,
  port: 80,
  weight: 1,
})) as [RealServer, RealServer, RealServer]

async function opened(t: Test, watcher: Watcher = {}) {
  const [netns, fresh] = [NetworkNamespace.create(), NetworkNamespace.create()]
  const nftables = await Nftables.open({ netns })
  const dataplane = await openNftablesDataplane({ netns, node }, () => watchedTransport(netns, watcher))
  t.teardown(() => {
    dataplane.close()
    nftables.close()
    netns.close()
    fresh.close()
  })
  /** What differs from a programming of these in a namespace that has nothing. */
  const differences = async (services: readonly VirtualService[]): Promise<string[]> => {
    const other = await openNftablesDataplane({ netns: fresh, node })
    await other.synchronize(services)
    const wanted = await contentOf(fresh)
    await other.teardown()
    other.close()
    return difference(await contentOf(netns), wanted)
  }
  return { netns, dataplane, nftables, differences }
}

/** When the dataplane says that somebody else has changed something. */
function told(dataplane: NftablesDataplane): Promise<void> {
  return new Promise((resolve) => {
    const stop = dataplane.watch(() => {
      stop()
      resolve()
    })
  })
}

void t.test('events that were lost put everything in doubt', async (t) => {
  const { dataplane, nftables, differences } = await opened(t, { event: () => ({ overrun: true }) })
  const services = [virtualService([one, two])]
  await dataplane.synchronize(services)
  const lost = told(dataplane)
  await nftables
    .transaction()
    .flush('set', { ...place, name: 'backends4' })
    .commit()
  await lost
  t.ok((await dataplane.repair()).writes > 0)
  t.same(await differences(services), [])
})

void t.test('an answer that was lost: what the kernel did is read before the next change', async (t) => {
  let isLost = false
  const { dataplane, differences } = await opened(t, {
    answered: async (request, replies) => {
      if (!isLost || writesIn(request).length === 0) return await Promise.resolve(replies)
      isLost = false
      return { bytes: new Uint8Array(0), lost: true }
    },
  })
  await dataplane.synchronize([virtualService([one])])
  isLost = true
  const change = { upserted: [virtualService([one, two, three])], deleted: [] }
  await t.rejects(dataplane.apply(change), { code: 'ENOBUFS' })
  await dataplane.apply({
    upserted: [virtualService([one, two, three], { affinitySeconds: 5 })],
    deleted: [],
  })
  t.same(await differences([virtualService([one, two, three], { affinitySeconds: 5 })]), [])
})

void t.test('what somebody else does while a change is made is not forgotten', async (t) => {
  let meddle: (() => Promise<void>) | undefined
  const { dataplane, nftables, differences } = await opened(t, {
    answered: async (request, replies) => {
      const now = meddle
      if (now !== undefined && writesIn(request).length > 0) {
        meddle = undefined
        await now()
      }
      return replies
    },
  })
  const services = [virtualService([one, two])]
  await dataplane.synchronize(services)
  let count = 0
  t.teardown(dataplane.watch(() => count++))
  for (const way of ['synchronize', 'apply', 'repair'] as const) {
    if (way === 'repair') {
      const known = told(dataplane)
      await nftables
        .transaction()
        .flush('chain', { ...place, name: 'dispatch' })
        .commit()
      await known
    }
    meddle = async () => {
      const before = count
      await nftables
        .transaction()
        .flush('set', { ...place, name: 'services4' })
        .commit()
      await until('the event has come', () => count > before)
    }
    const next = [virtualService([one, way === 'apply' ? two : three], { affinitySeconds: 9 })]
    if (way === 'repair') await dataplane.repair()
    else if (way === 'apply') await dataplane.apply({ upserted: next, deleted: [] })
    else await dataplane.synchronize(next)
    t.equal(meddle, undefined, `${way}: somebody came in between`)
    t.ok((await dataplane.repair()).writes > 0)
    t.same((await dataplane.read()).length, 1, way)
  }
  t.same(await differences([virtualService([one, two], { affinitySeconds: 9 })]), [])
})

void t.test('somebody interferes all the time, and changes go on', { timeout: 120_000 }, async (t) => {
  const random = seeded(t)
  const { dataplane, nftables, differences } = await opened(t)
  const reconciler = new Reconciler({ dataplane, coalesceMilliseconds: 1 })
  t.teardown(() => reconciler.close())
  await reconciler.start()
  let isOver = false
  const interfering = (async () => {
    for (let count = 0; count < 150; count++) {
      const transaction = nftables.transaction()
      const set = random.of(['services4', 'backends4', 'cluster-addresses4', 'profiles'])
      const what = random.below(4)
      if (what === 0) transaction.delete('table', { family: 'inet', name: 'viaduct' })
      else if (what === 1) transaction.flush('set', { ...place, name: set })
      else if (what === 2) transaction.flush('chain', { ...place, name: 'dispatch' })
      else transaction.add('chain', { ...place, name: 'other' })
      // It may be gone by what was done before.
      await transaction.commit().catch((error: unknown) => {
        if (!/ENOENT/.test(String(error))) throw error
      })
    }
    isOver = true
  })()
  let changes = 0
  while (!isOver) {
    const servers = random.some([one, two, three], 1).map(({ address, port }) => ({ address, port }))
    reconciler.upsert({
      name: `s${random.below(5)}`,
      address: `172.30.0.${1 + random.below(5)}`,
      ports: [80],
      servers,
    })
    changes++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await interfering
  for (let number = 0; number < 5; number++) {
    reconciler.upsert({
      name: `s${number}`,
      address: `172.30.0.${number + 1}`,
      ports: [80],
      servers: [{ address: one.address, port: 80 }],
    })
  }
  await until('all is programmed', () =>
    [0, 1, 2, 3, 4].every((number) => reconciler.status({ name: `s${number}` }).state === 'programmed'),
  )
  const wanted = [...reconciler.model.virtualServices()]
  t.equal(wanted.length, 5)
  // The last event may still be on its way.
  await until('it is as it should be', async () => (await differences(wanted)).length === 0)
  t.pass(`${changes} changes`)
})

/** A kernel that has no such expression: it refuses rules that have it, and nothing else. */
function without(expression: string): Watcher & { isMissing: boolean } {
  // NFTA_EXPR_NAME, with its header.
  const name = Buffer.from(`\0\0\0\0${expression}\0`)
  name.set(new Uint8Array(new Uint16Array([name.length, 1]).buffer))
  const kernel = new FakeKernel({
    strays: false,
    handle: ({ bytes }) => {
      const at = Buffer.from(bytes).indexOf(name)
      // Told is where the element of the list begins that it stands in.
      return at < 0 ? undefined : { code: 'ENOENT', offset: at - 4 }
    },
  })
  return {
    isMissing: true,
    instead(request, kind) {
      const isRule = writesIn(request).some(({ kind }) => kind === 'rule')
      if (!this.isMissing || !isRule || !Buffer.from(request).includes(name)) return undefined
      return kernel.exchange(request, request.length, kind, 1000)
    },
  }
}

void t.test('a kernel without an expression: who needs it is told, and others go on', async (t) => {
  for (const [expression, needing, needs] of [
    ['hash', { scheduler: 'sh' }, /kernel module nft_hash: load it \(modprobe nft_hash\)/],
    ['numgen', { affinitySeconds: 7 }, /kernel module nft_numgen/],
  ] as const) {
    const watcher = without(expression)
    watcher.isMissing = false
    const { dataplane, differences } = await opened(t, watcher)
    const before = [
      virtualService([one], { scheduler: expression === 'hash' ? 'rr' : 'sh' }),
      virtualService([two], {
        name: 'other',
        scheduler: expression === 'hash' ? 'rr' : 'sh',
        frontends: [{ kind: 'cluster', address: '172.30.0.99', port: 80 }],
      }),
    ]
    await dataplane.synchronize(before)
    watcher.isMissing = true
    const change = virtualService([one, three], needing)
    const added = virtualService([three], {
      ...needing,
      name: 'new',
      frontends: [{ kind: 'node-port', port: 3 }],
    })
    const other = virtualService([two], {
      name: 'other',
      frontends: [{ kind: 'cluster', address: '172.30.0.98', port: 80 }],
      scheduler: before[1]!.scheduler,
    })
    const { failures } = await dataplane.apply({ upserted: [change, added, other], deleted: [] })
    t.same([...failures.keys()].sort(), [added.key, change.key].sort())
    for (const error of failures.values()) {
      t.ok(isUnsupportedError(error))
      t.match(error.message, needs)
    }
    t.same(await differences([before[0]!, other]), [], 'who was refused stays as it was')
  }
})

/** A kernel that refuses each element whose key has these bytes in it, until it is told not to. */
function refusing(key: Buffer): Watcher & { isRefusing: boolean } {
  const kernel = new FakeKernel({
    strays: false,
    handle: ({ bytes }) => {
      const at = Buffer.from(bytes).indexOf(key)
      // Told is where the element begins (nf_tables_newsetelem): before the headers of its key and of the value of that.
      return at < 0 ? undefined : { code: 'ENOSPC', offset: at - 12 }
    },
  })
  return {
    isRefusing: true,
    instead(request, kind) {
      if (!this.isRefusing || !Buffer.from(request).includes(key)) return undefined
      return kernel.exchange(request, request.length, kind, 1000)
    },
  }
}

void t.test('who has an element that is refused is told, at a first programming, too', async (t) => {
  // So many that they stand in several messages.
  const others = Array.from({ length: 2000 }, (_, index) =>
    virtualService([one], {
      name: `s${index}`,
      frontends: [{ kind: 'cluster', address: `172.30.${10 + (index >> 8)}.${index & 255}`, port: 80 }],
    }),
  )
  const refused = virtualService([two], {
    name: 'refused',
    frontends: [{ kind: 'cluster', address: '172.30.0.99', port: 80 }],
  })
  const wanted = [...others.slice(0, 1500), refused, ...others.slice(1500)]
  const { dataplane, differences } = await opened(
    t,
    refusing(Buffer.from([172, 30, 0, 99, 6, 0, 0, 0, 0, 80])),
  )
  const { failures } = await dataplane.synchronize(wanted)
  t.same([...failures.keys()], [refused.key])
  t.match(failures.get(refused.key), { code: 'ENOSPC', attribute: { path: /^elements\[1500\]/ } })
  t.same(await differences(others), [], 'all others are programmed')
})

void t.test('a kernel without what every table needs says so', async (t) => {
  const { dataplane } = await opened(t, without('masq'))
  await t.rejects(dataplane.synchronize([virtualService([one])]), {
    name: 'UnsupportedError',
    message: /kernel module nft_masq: load it/,
  })
  for (const [code, expected] of [
    ['EINVAL', { name: 'UnsupportedError', message: /nf_tables .*CONFIG_NF_TABLES/ }],
    ['EOPNOTSUPP', { name: 'UnsupportedError', message: /nf_tables .*CONFIG_NF_TABLES/ }],
    ['EPERM', { name: 'KernelError', code: 'EPERM', message: /CAP_NET_ADMIN/ }],
  ] as const) {
    const kernel = new FakeKernel({ handle: () => ({ code }) })
    await t.rejects(
      openNftablesDataplane({ node }, () => kernel),
      expected,
      code,
    )
  }
})

/** `servers.set` and `servers.update` when others change the table, when something fails, and when it is aborted. */
import t from 'tap'
import {
  type DestinationInput,
  Ipvs,
  IpvsService,
  isBatchError,
  type Servers,
  ServersAbortedError,
} from '../../src/index.js'
import { FakeIpvs, web } from './support/fake-ipvs.js'

const [a, b, c] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => ({ address, port: 80 })) as [
  DestinationInput,
  DestinationInput,
  DestinationInput,
]
/** More than come in one piece for sure. */
const many = (count: number, from = 0): DestinationInput[] =>
  Array.from({ length: count }, (_, index) => ({
    address: `10.1.${(from + index) >> 8}.${(from + index) & 255}`,
    port: 80,
  }))

async function serversOf(fake: FakeIpvs): Promise<Servers> {
  const ipvs = await Ipvs.open({ transport: fake.kernel })
  const service = await IpvsService.find(web, { ipvs })
  return service!.servers
}

void t.test('weights swapped between two: one takes connections at every moment', async (t) => {
  const fake = new FakeIpvs({ ...a, weight: 1 }, { ...b, weight: 0 })
  const servers = await serversOf(fake)
  const change = await servers.set([
    { ...a, weight: 0 },
    { ...b, weight: 1 },
  ])
  t.same(change, { added: [], updated: [b, a], removed: [], unchanged: [] })
  t.equal(fake.fewestTakers, 1)
})

void t.test('a server that cannot be added keeps the others as they are', async (t) => {
  const fake = new FakeIpvs(a)
  fake.before = (what) => (what === 'newDestination' ? { code: 'EINVAL' } : undefined)
  const servers = await serversOf(fake)
  const error: unknown = await servers.set([{ ...a, weight: 0 }, b]).catch((thrown: unknown) => thrown)
  t.ok(isBatchError(error))
  t.same(fake.log, [], 'nothing was changed')
})

void t.test('aborted in the middle of adding, it removes nothing and tells what it did', async (t) => {
  const fake = new FakeIpvs(a)
  const servers = await serversOf(fake)
  const abort = new AbortController()
  const reason = new Error('enough')
  let added = 0
  fake.before = (what) => {
    if (what === 'newDestination' && ++added === 100) abort.abort(reason)
  }
  const error: unknown = await servers
    .set(many(5000), { signal: abort.signal })
    .catch((thrown: unknown) => thrown)
  t.ok(error instanceof ServersAbortedError)
  t.match(error, { name: 'AbortError', code: 'ABORT_ERR', cause: reason })
  const { change } = error as ServersAbortedError
  t.ok(change.added.length >= 100 && change.added.length < 5000, `${change.added.length} added`)
  t.same(change.added.length, fake.servers!.size - 1)
  t.ok(fake.servers!.has(a.address), 'the old one is still there')

  const again = await servers
    .set([b], { signal: AbortSignal.abort(reason) })
    .catch((thrown: unknown) => thrown)
  t.equal(again, reason, 'with nothing done it is the reason itself')
})

void t.test('a change tells what was done over all attempts', async (t) => {
  const fake = new FakeIpvs()
  const servers = await serversOf(fake)
  let others = 0
  fake.before = (what, { address }) => {
    // Somebody else adds the second just before it is added here.
    if (what === 'newDestination' && address === b.address && others++ === 0) fake.put(b)
  }
  t.same(await servers.set([a, b]), { added: [a], updated: [], removed: [], unchanged: [b] })
})

void t.test('where the answer was lost, another look tells what was done', async (t) => {
  const fake = new FakeIpvs(a)
  const servers = await serversOf(fake)
  // The second exchange from here on carries the additions, after the look and the family's number.
  fake.kernel.disturb(undefined, undefined, { lost: 1 })
  t.same(await servers.set([b]), { added: [b], updated: [], removed: [a], unchanged: [] })
  t.same(fake.log.length, 3, 'nothing was done twice')
})

void t.test('a failing drain tells how much was done before', async (t) => {
  const fake = new FakeIpvs(a)
  const servers = await serversOf(fake)
  fake.before = (what, { weight }) =>
    what === 'setDestination' && weight === 0 ? { code: 'EPERM' } : undefined
  const error: unknown = await servers.set([b], { removed: 'drain' }).catch((thrown: unknown) => thrown)
  t.match(error, { name: 'BatchError', applied: 1, failures: [{ error: { code: 'EPERM' } }] })
})

void t.test('aborted while it drains, it tells what was added', async (t) => {
  const fake = new FakeIpvs({ ...a, activeConnections: 1 })
  const servers = await serversOf(fake)
  const abort = new AbortController()
  fake.before = (what) => {
    if (what === 'getDestination' && fake.servers!.get(a.address)?.weight === 0) abort.abort()
  }
  await t.rejects(servers.set([b], { removed: 'drain', signal: abort.signal }), {
    name: 'AbortError',
    change: { added: [b], removed: [] },
  })
  t.equal(fake.servers!.get(a.address)?.weight, 0)
})

void t.test('a stale server that a torn dump has hidden goes, too', async (t) => {
  const old = many(20)
  const fake = new FakeIpvs(...old, ...many(10, 100))
  const servers = await serversOf(fake)
  let dumps = 0
  // Somebody deleted one of the first piece: the next piece begins one too late.
  fake.torn = (whole) => (dumps++ === 0 ? whole.filter((_, index) => index !== 12) : whole)
  const change = await servers.set(many(10, 100))
  t.equal(change.removed.length, 20)
  t.same(
    [...fake.servers!.keys()],
    many(10, 100).map(({ address }) => address),
  )
  t.equal(dumps, 3)
})

void t.test('a small table is read once', async (t) => {
  const fake = new FakeIpvs(a, b)
  const servers = await serversOf(fake)
  let dumps = 0
  fake.before = (what) => {
    if (what === 'getDestination') dumps++
  }
  await servers.set([b, c])
  t.equal(dumps, 1)
})

void t.test('a server that a torn dump has shown twice is one', async (t) => {
  const fake = new FakeIpvs(a, b)
  const servers = await serversOf(fake)
  fake.torn = (whole) => [...whole, whole[1]!]
  t.equal((await servers.list()).length, 2)
  t.same((await servers.set([a])).removed, [b])
})

void t.test('an update finds a server that a torn dump has hidden', async (t) => {
  const fake = new FakeIpvs(...many(20))
  const servers = await serversOf(fake)
  let dumps = 0
  fake.torn = (whole) => (dumps++ === 0 ? whole.slice(1) : whole)
  await servers.update({ ...many(1)[0]!, weight: 7 })
  t.equal(fake.servers!.get('10.1.0.0')?.weight, 7)
})

void t.test(
  'what others chose is changed, drained and replaced, also where it is refused here',
  async (t) => {
    const foreign = [
      { ...a, port: 8080, forwardingMethod: 'direct-route' },
      { ...b, forwardingMethod: 'bypass' },
      { ...c, forwardingMethod: 'tunnel', tunnelType: '7' },
    ] as const
    const fake = new FakeIpvs(...foreign)
    const servers = await serversOf(fake)
    for (const server of foreign) {
      const { address, port } = server
      await servers.update({ address, port, weight: 3 })
      t.match(fake.servers!.get(address), { ...server, weight: 3 })
      await t.rejects(servers.update({ address, port, weight: -1 }), /destination\.weight/)
    }
    const { address, port } = foreign[0]
    t.match(await servers.drain({ address, port }), { drained: true, deleted: true })
    t.same((await servers.set([])).removed.length, 2)
  },
)

void t.test('another tunnel type starts without the port and flags of the one before', async (t) => {
  const fake = new FakeIpvs({
    ...a,
    forwardingMethod: 'tunnel',
    tunnelType: 'gue',
    tunnelPort: 6080,
    tunnelFlags: ['remote-checksum'],
  })
  const servers = await serversOf(fake)
  await servers.update({ ...a, tunnelType: 'gre' })
  t.match(fake.servers!.get(a.address), { tunnelType: 'gre', tunnelPort: 0, tunnelFlags: [] })
  await t.rejects(servers.update({ ...a, tunnelType: 'gue' }), /destination\.tunnelPort/)
  await servers.update({ ...a, forwardingMethod: 'masquerade' })
  await t.rejects(servers.update({ ...a, tunnelPort: 6080 }), /destination\.tunnelPort.*masquerade/)
})

void t.test('ensure judges what is given by the service that is there', async (t) => {
  const fake = new FakeIpvs()
  fake.service = {
    ...fake.service,
    scheduler: 'mh',
    onePacket: true,
    flags: { flags: 0x4 | 2, mask: 0xffff_ffff },
  }
  const ipvs = await Ipvs.open({ transport: fake.kernel })
  await IpvsService.ensure({ ...web, schedulerFlags: ['mh-port'] }, { ipvs })
  t.match(fake.service, { scheduler: 'mh', flags: { flags: 0x14 } }, 'and what another chose stays')
  const sets = (): number => fake.kernel.requests.filter(({ command }) => command === 2).length
  const before = sets()
  await IpvsService.ensure(
    { ...web, schedulerFlags: ['flag-2'], persistenceNetmask: '255.255.255.255' },
    { ipvs },
  )
  t.equal(sets(), before, 'the same in other words changes nothing')
  await t.rejects(
    IpvsService.ensure({ ...web, schedulerFlags: ['sh-port'] }, { ipvs }),
    /schedulerFlags\[0\]/,
  )
  await t.rejects(
    IpvsService.ensure({ ...web, scheduler: 'rr', schedulerFlags: ['mh-port'] }, { ipvs }),
    /rr/,
  )
})

void t.test('where IPVS itself is gone, no server is taken for gone', async (t) => {
  const fake = new FakeIpvs(a)
  const servers = await serversOf(fake)
  fake.kernel.unload('IPVS')
  await t.rejects(servers.remove(a), {
    code: 'ENOENT',
    message: /no generic netlink family IPVS any more/,
    cause: { operation: 'genetlink.getFamily' },
  })
})

void t.test('null takes the persistence engine off', async (t) => {
  const fake = new FakeIpvs()
  fake.service = {
    ...fake.service,
    protocol: 'tcp',
    flags: { flags: 3, mask: 0xffff_ffff },
    persistenceTimeoutSeconds: 60,
    persistenceEngine: 'other',
  }
  const ipvs = await Ipvs.open({ transport: fake.kernel })
  const service = await IpvsService.ensure({ ...web, persistenceEngine: null }, { ipvs })
  t.equal(fake.lastService?.persistenceEngine, undefined)
  t.equal(fake.lastService?.persistenceTimeoutSeconds, 60)
  await service.update({ persistenceEngine: 'other' })
  t.equal(fake.lastService?.persistenceEngine, 'other')
})

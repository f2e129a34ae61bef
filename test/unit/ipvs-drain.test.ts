/** How a drain ends when others interfere, and what its look at the table may miss. */
import t from 'tap'
import { Ipvs, IpvsService, type ServerKey } from '../../src/index.js'
import { FakeIpvs, web } from './support/fake-ipvs.js'

const a: ServerKey = { address: '10.0.0.1', port: 80 }
const b: ServerKey = { address: '10.0.0.2', port: 80 }
const busy = { activeConnections: 3, persistentConnections: 2 }

async function open(fake: FakeIpvs): Promise<IpvsService> {
  const ipvs = await Ipvs.open({ transport: fake.kernel })
  return (await IpvsService.find(web, { ipvs }))!
}

/** Does it at the look after the server got weight 0. */
function atTheNextLook(fake: FakeIpvs, act: () => void): void {
  fake.before = (what) => {
    if (what !== 'getDestination' || fake.servers?.get(a.address)?.weight !== 0) return
    fake.before = undefined
    act()
  }
}

void t.test('a server that somebody deletes was not seen to be drained', async (t) => {
  const fake = new FakeIpvs({ ...a, ...busy }, b)
  atTheNextLook(fake, () => fake.servers!.delete(a.address))
  t.same(await (await open(fake)).drain(a), {
    drained: false,
    remaining: 3,
    persistent: 2,
    deleted: false,
    overtaken: true,
  })
})

void t.test('the same when the whole service is deleted', async (t) => {
  const fake = new FakeIpvs({ ...a, ...busy })
  atTheNextLook(fake, () => (fake.servers = undefined))
  t.match(await (await open(fake)).drain(a), { drained: false, remaining: 3, overtaken: true })
})

void t.test('a server that got its weight back is left alone', async (t) => {
  const fake = new FakeIpvs({ ...a, ...busy })
  atTheNextLook(fake, () => fake.put({ ...a, weight: 4 }))
  t.match(await (await open(fake)).drain(a), { drained: false, remaining: 3, persistent: 2, overtaken: true })
  t.equal(fake.servers!.get(a.address)?.weight, 4)
})

void t.test('a server that a torn dump hides is not gone', async (t) => {
  const others = Array.from({ length: 20 }, (_, index) => ({ address: `10.1.0.${index}` }))
  const fake = new FakeIpvs(a, ...others)
  let dumps = 0
  // The first look is to find the server; the second one misses it.
  fake.torn = (whole) => (dumps++ === 1 ? whole.slice(1) : whole)
  t.match(await (await open(fake)).drain(a), { drained: true, deleted: true, overtaken: false })
  t.notOk(fake.servers!.has(a.address))
})

void t.test('those that are drained together go in one send', async (t) => {
  const fake = new FakeIpvs(a, b)
  const service = await open(fake)
  const { removed } = await service.servers.set([], { removed: 'drain' })
  t.match(removed, [{ drain: { drained: true } }, { drain: { drained: true } }])
  const log = fake.kernel.requests.map(({ command }) => command)
  const first = log.indexOf(7)
  t.same(log.slice(first, first + 2), [7, 7], 'with no look in between')
})

void t.test('where the answer to the deletion was lost, the next look tells', async (t) => {
  const fake = new FakeIpvs(a)
  const service = await open(fake)
  const { exchangeSync } = fake.kernel
  let deletions = 0
  Object.assign(fake.kernel, {
    exchangeSync: (...args: Parameters<NonNullable<typeof exchangeSync>>) => {
      const replies = exchangeSync!(...args)
      const isDeletion = fake.kernel.requests.at(-1)?.command === 7 && deletions++ === 0
      return isDeletion ? { bytes: replies.bytes.subarray(0, 0), lost: true } : replies
    },
  })
  t.match(await service.drain(a), { drained: true, deleted: true, overtaken: false })
  t.equal(deletions, 1)
})

void t.test('one that is done makes nobody look more often at the rest', async (t) => {
  const fake = new FakeIpvs(a, { ...b, ...busy })
  const service = await open(fake)
  let looks = 0
  fake.before = (what) => {
    if (what === 'getDestination') looks++
  }
  await service.servers.set([], { removed: 'drain', drainTimeoutSeconds: 2.5 })
  // Every eighth of a second it would be twenty.
  t.ok(looks <= 14, `${looks} looks`)
})

void t.test('times that are none are refused before anything is done', async (t) => {
  const fake = new FakeIpvs(a)
  const service = await open(fake)
  await t.rejects(service.drain(a, { timeoutSeconds: NaN }), /options\.timeoutSeconds/)
  await t.rejects(service.drain(a, { timeoutSeconds: -1 }), /options\.timeoutSeconds/)
  await t.rejects(service.servers.set([], { drainTimeoutSeconds: NaN }), /options\.drainTimeoutSeconds/)
  for (const intervalSeconds of [NaN, 0, -1, 2_147_484]) {
    await t.rejects(service.watch({ intervalSeconds }).next(), /options\.intervalSeconds/)
  }
  t.same(fake.log, [])
})

import { Ipvs, IpvsService, isBatchError, type ServiceEvent, type ServiceKey } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'

const key: ServiceKey = { protocol: 'tcp', address: '192.0.2.10', port: 80 }
const a = { address: '10.0.0.1', port: 8080 }
const b = { address: '10.0.0.2', port: 8080 }
const c = { address: '10.0.0.3', port: 8080 }

ipvsTest('ensure makes a service once and changes only what is given', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  t.equal(await IpvsService.find(key, { netns }), undefined)
  const first = await IpvsService.ensure(
    {
      ...key,
      scheduler: 'mh',
      schedulerFlags: ['mh-port'],
      persistenceTimeoutSeconds: 60,
      persistenceNetmask: 24,
    },
    { netns },
  )
  await first.servers.set([a])
  const second = await IpvsService.ensure({ ...key, persistenceTimeoutSeconds: 90 }, { netns })
  t.match(await second.read(), {
    scheduler: 'mh',
    schedulerFlags: ['mh-port'],
    persistenceTimeoutSeconds: 90,
    persistenceNetmask: 24,
  })
  t.equal((await second.servers.list()).length, 1, 'its servers stay')
  await IpvsService.ensure({ ...key, scheduler: 'rr' }, { netns }).then((service) => service.close())
  t.match(await first.read(), { scheduler: 'rr', schedulerFlags: [], persistenceTimeoutSeconds: 90 })
  await second.update({ persistenceTimeoutSeconds: 0 })
  t.match(await first.read(), { scheduler: 'rr', persistenceTimeoutSeconds: 0 })
  await t.rejects(IpvsService.create(key, { netns }), { code: 'EEXIST' })
  await t.rejects(IpvsService.ensure({ ...key, port: 0 }, { netns }), /service\.port/)

  await second.close()
  await second.close()
  t.ok(await IpvsService.find(key, { netns }).then(async (service) => (await service?.close(), service)))
  await first.delete()
  await t.rejects(first.read(), /EBADF|ESRCH/)
  t.equal(await IpvsService.find(key, { netns }), undefined)
})

ipvsTest('many may ensure the same service at once', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  const services = await Promise.all(Array.from({ length: 8 }, () => IpvsService.ensure(key, { netns })))
  const changes = await Promise.all(services.map((service) => service.servers.set([a, b])))
  t.equal(
    changes.reduce((sum, { unchanged }) => sum + unchanged.length, 0) > 0,
    true,
    'those who came later found them there',
  )
  t.equal((await services[0]!.servers.list()).length, 2)
  for (const service of services) await service.close()
})

ipvsTest('servers.set makes the least change', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  await using web = await IpvsService.ensure({ ...key, scheduler: 'wrr' }, { netns })
  t.same(await web.servers.set([a, { ...b, weight: 3 }]), {
    added: [a, b],
    updated: [],
    removed: [],
    unchanged: [],
  })
  t.same(await web.servers.set([a, { ...b, weight: 3 }]), {
    added: [],
    updated: [],
    removed: [],
    unchanged: [a, b],
  })
  t.same(await web.servers.set([c, { ...b, weight: 4 }]), {
    added: [c],
    updated: [b],
    removed: [a],
    unchanged: [],
  })
  t.same(await web.servers.set([c, b], { removed: 'drain' }), {
    added: [],
    updated: [b],
    removed: [],
    unchanged: [c],
  })
  t.match(await web.servers.set([b], { removed: 'drain' }), {
    removed: [{ ...c, drain: { drained: true, deleted: true, remaining: 0 } }],
  })
  await web.servers.add(a)
  await t.rejects(web.servers.add(a), { code: 'EEXIST' })
  await web.servers.update({ ...a, upperThreshold: 7 })
  await web.servers.update({ ...a, weight: 9 })
  t.match(
    (await web.servers.list()).find(({ address }) => address === a.address),
    { weight: 9, upperThreshold: 7, forwardingMethod: 'masquerade' },
    'an update keeps what it does not name',
  )
  await web.servers.update({ ...a, port: 8080, forwardingMethod: 'masquerade' })
  await t.rejects(web.servers.update({ ...c, weight: 1 }), { code: 'ENOENT', hint: /Add it first/ })
  await web.servers.remove(a)
  await web.servers.remove(a)
  t.same(await web.servers.set([]), { added: [], updated: [], removed: [b], unchanged: [] })
})

ipvsTest('an own address keeps the method it was given, and local can be changed', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await director.rtnetlink.addresses.add({ device: 'lo', address: '10.0.0.1/32' })
  await using web = await IpvsService.ensure(key, { netns: director.netns })
  const own = { address: '10.0.0.1', port: 80 }
  const method = async (): Promise<unknown> => (await web.servers.list())[0]?.forwardingMethod
  await web.servers.set([own])
  t.equal(await method(), 'masquerade')
  const local = { ...own, forwardingMethod: 'local' } as const
  t.match(await web.servers.set([local]), { updated: [own] })
  t.equal(await method(), 'local')
  t.match(await web.servers.set([own]), { updated: [own] })
  t.equal(await method(), 'masquerade')
})

ipvsTest('no server goes when another could not be added', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  await using web = await IpvsService.ensure(key, { netns })
  await web.servers.set([a])
  const error: unknown = await web.servers
    .set([b, { address: '224.0.0.1', port: 80 }])
    .catch((thrown: unknown) => thrown)
  t.ok(isBatchError(error))
  t.match(error, {
    applied: 1,
    failures: [{ object: { destination: { address: '224.0.0.1' } }, error: { code: 'EINVAL' } }],
  })
  t.same(
    (await web.servers.list()).map(({ address }) => address).sort(),
    [a.address, b.address],
    'what could be added is there, and nothing was taken away',
  )
  await t.rejects(web.servers.set([a, { ...b, weight: -1 }]), /servers\[1\]\.weight/)
})

ipvsTest('a temporary service is gone when it is disposed of, another is not', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  await using ipvs = await Ipvs.open({ netns })
  {
    await using web = await IpvsService.temporary(key, { ipvs })
    await web.servers.set([a])
    t.equal((await ipvs.services()).length, 1)
  }
  t.equal((await ipvs.services()).length, 0)
  {
    await using _web = await IpvsService.ensure(key, { ipvs })
  }
  t.equal((await ipvs.services()).length, 1, 'and the shared client is still open')
})

ipvsTest('watch tells what others change, and ends when the service is deleted', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  await using ipvs = await Ipvs.open({ netns })
  await using web = await IpvsService.ensure({ ...key, scheduler: 'wrr' }, { netns })
  await web.servers.set([a])
  const steps: [string, () => Promise<unknown>][] = [
    ['serverAdded', () => ipvs.createDestination(key, b)],
    ['serverChanged', () => ipvs.setDestination(key, { ...a, weight: 5 })],
    ['serverRemoved', () => ipvs.deleteDestination(key, b)],
    ['serviceChanged', () => ipvs.setService({ ...key, scheduler: 'rr' })],
    ['deleted', () => ipvs.deleteService(key)],
  ]
  const seen: ServiceEvent[] = []
  let next = 0
  for await (const event of web.watch({ intervalSeconds: 0.02 })) {
    if (event.type === 'statistics') {
      // Only after a look is a change seen as one.
      await steps[next++]?.[1]()
      continue
    }
    seen.push(event)
  }
  t.same(
    seen.map(({ type }) => type),
    steps.map(([type]) => type),
  )
  t.match(seen[1], { server: { weight: 5 }, before: { weight: 1 } })
})

ipvsTest('a watch ends when it is aborted, and when the service object is closed', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  const web = await IpvsService.ensure(key, { netns })
  const abort = new AbortController()
  let looks = 0
  for await (const { type } of web.watch({ intervalSeconds: 60, signal: abort.signal })) {
    t.equal(type, 'statistics')
    looks++
    abort.abort()
  }
  for await (const { type } of web.watch({ intervalSeconds: 60 })) {
    t.equal(type, 'statistics')
    looks++
    await web.close()
  }
  t.equal(looks, 2)
})

ipvsTest('firewall marks and IPv6 are services like others', async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  const mark: ServiceKey = { firewallMark: 7, family: 'ipv6' }
  await using web = await IpvsService.ensure({ ...mark, scheduler: 'rr' }, { netns })
  const change = await web.servers.set([{ address: '2001:db8:0::1', port: 8080 }, { address: '2001:db8::2' }])
  t.equal(change.added.length, 2)
  const again = await web.servers.set([{ address: '2001:DB8::1', port: 8080 }, { address: '2001:db8::2' }])
  t.equal(again.unchanged.length, 2)
  t.match(await web.read(), { firewallMark: 7, family: 'ipv6' })
  t.match((await web.statistics()).service, { connections: 0n })
})

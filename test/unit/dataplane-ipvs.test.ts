/** The pure parts of the dataplane of IPVS: what services become, and what has to change for it. */
import t from 'tap'
import { Drainer } from '../../src/dataplane/ipvs/drainer.js'
import type { Ipvs } from '../../src/ipvs/index.js'
import { changesOf, countOf, linesOf } from '../../src/dataplane/ipvs/changes.js'
import { describe, type Surroundings } from '../../src/dataplane/ipvs/describe.js'
import { destinationsOf, entryItem, type Item, itemsOf } from '../../src/dataplane/ipvs/items.js'
import { Numbers } from '../../src/dataplane/ipvs/numbers.js'
import { sparedIn } from '../../src/dataplane/ipvs/spared.js'
import { formatRecord, parseRecord, sysctlChanges } from '../../src/dataplane/ipvs/sysctls.js'
import { differences, Wanted } from '../../src/dataplane/ipvs/wanted.js'
import { readServiceData, trait } from '../../src/dataplane/ipvs/words.js'
import { formatAddress } from '../../src/address/index.js'
import { isValidationError } from '../../src/errors/index.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { randomService } from '../kernel/support/random-services.js'
import { seeded } from '../kernel/support/seeds.js'

const around: Surroundings = {
  hasTable: true,
  nodeAddresses: new Set(['192.0.2.1', '127.0.0.1']),
  nodePortAddresses: ['192.0.2.1'],
  isForeign: () => false,
}
const marks = { service: 0x7600_0007, ofServer: () => 0x7700_0001 }
const [a, b]: readonly RealServer[] = [
  { address: '10.0.0.1', port: 8080, weight: 1, isLocal: true },
  { address: '10.0.0.2', port: 8080, weight: 2, isLocal: false },
]

function serviceOf(more: Partial<VirtualService> = {}): VirtualService {
  return {
    key: 'test/web:80/tcp/ipv4',
    service: 'test/web',
    family: 'ipv4',
    protocol: 'tcp',
    frontends: [{ kind: 'cluster', address: '10.96.0.1', port: 80 }],
    internalTrafficPolicy: 'cluster',
    externalTrafficPolicy: 'cluster',
    servers: { cluster: [a!, b!], local: [a!], draining: [], any: true },
    ...more,
  }
}

function namesOf(service: VirtualService, surroundings = around): string[] {
  return [...describe(service, marks, surroundings).items.keys()].filter((name) => !name.startsWith('entry'))
}

/** Traits of the one frontend. */
function traitsOf(service: VirtualService): number {
  const entries = [...describe(service, marks, around).items.values()]
  const entry = entries.find((item) => item.kind === 'entry' && item.set === 'services4')
  return entry?.kind === 'entry' ? readServiceData(entry.element.data!).traits : 0
}

t.test('a service becomes an address, a service of IPVS for each place, and servers', (t) => {
  t.same(namesOf(serviceOf()), [
    'address 10.96.0.1',
    'service tcp 10.96.0.1:80',
    'destination tcp 10.96.0.1:80 10.0.0.1:8080',
    'destination tcp 10.96.0.1:80 10.0.0.2:8080',
  ])
  const frontends = [
    { kind: 'node-port', port: 30_000 },
    { kind: 'external', address: '192.0.2.1', port: 80 },
  ] as const
  t.same(
    namesOf(serviceOf({ frontends })).filter((name) => !name.startsWith('destination')),
    ['service tcp 192.0.2.1:30000', 'service tcp 192.0.2.1:80'],
    'addresses that the node has stay where they are',
  )
  t.same(
    namesOf(serviceOf({ frontends }), { ...around, hasTable: false }),
    [],
    'nothing would claim them without a table',
  )
  t.match(describe(serviceOf({ frontends }), marks, { ...around, hasTable: false }).conditions, [
    { reason: 'NodePortNotServed' },
    { reason: 'AddressNotServed' },
  ])
  t.match(describe(serviceOf(), marks, { ...around, isForeign: () => true }).conditions, [
    { reason: 'AddressTaken' },
  ])
  t.end()
})

t.test('policies become traits', (t) => {
  const external = [{ kind: 'external', address: '203.0.113.1', port: 80 }] as const
  t.ok(traitsOf(serviceOf()) & trait.masqueradeOutside)
  t.ok(traitsOf(serviceOf({ frontends: external })) & trait.masquerade)
  const local = serviceOf({ frontends: external, externalTrafficPolicy: 'local' })
  t.ok(traitsOf(local) & trait.split)
  t.notOk(traitsOf(local) & trait.masquerade)
  t.ok(namesOf(local).includes('service mark 1979711495 ipv4'), 'those inside get all servers')
  const onlyHere = { ...local, servers: { cluster: [a!], local: [a!], draining: [], any: true } }
  t.notOk(traitsOf(onlyHere) & trait.split, 'where both are the same nobody is told apart')
  const none = { cluster: [], local: [], draining: [], any: false }
  t.ok(traitsOf(serviceOf({ servers: none })) & trait.reject)
  t.ok(traitsOf(serviceOf({ servers: { ...none, any: true } })) & trait.drop)
  t.end()
})

t.test('affinity is IPVS’s at one address, and the table’s at several', (t) => {
  const one = describe(serviceOf({ affinitySeconds: 60 }), marks, around).items.get(
    'service tcp 10.96.0.1:80',
  )
  t.match(one, { service: { persistenceTimeoutSeconds: 60 } })
  const frontends = [
    { kind: 'cluster', address: '10.96.0.1', port: 80 },
    { kind: 'external', address: '203.0.113.1', port: 80 },
  ] as const
  const several = describe(serviceOf({ affinitySeconds: 60, frontends }), marks, around)
  t.notMatch(several.items.get('service tcp 10.96.0.1:80'), { service: { persistenceTimeoutSeconds: 60 } })
  t.ok(several.items.has('learner 60'))
  t.same(several.conditions, [])
  t.match(
    describe(serviceOf({ affinitySeconds: 60, frontends }), marks, { ...around, hasTable: false }).conditions,
    [{ reason: 'AffinityOfEachAddress' }],
  )
  t.end()
})

t.test('what cannot be meant is refused', (t) => {
  const refused: readonly Partial<VirtualService>[] = [
    { frontends: [{ kind: 'cluster', address: 'fd00::1', port: 80 }] },
    { frontends: [{ kind: 'cluster', address: '10.96.0.1', port: 0 }] },
    { servers: { cluster: [{ ...a!, address: 'x' }], local: [], draining: [], any: true } },
    { servers: { cluster: [{ ...a!, port: 0 }], local: [], draining: [], any: true } },
    { servers: { cluster: [{ ...a!, weight: -1 }], local: [], draining: [], any: true } },
    { scheduler: '../x' },
    { affinitySeconds: Number.NaN },
    { frontends: [{ kind: 'load-balancer', address: '203.0.113.1', port: 80 }], sourceRanges: ['x'] },
  ]
  for (const more of refused) {
    try {
      describe(serviceOf(more), marks, around)
      t.fail(JSON.stringify(more))
    } catch (error) {
      t.ok(isValidationError(error), JSON.stringify(more))
    }
  }
  t.end()
})

t.test('a change touches what it changes, whoever shares it', (t) => {
  const wanted = new Wanted()
  const present = new Map<string, Item>()
  const plan = (step: ReadonlyMap<string, VirtualService | undefined>) => {
    const items = [...step].map(
      ([key, service]) => [key, service && describe(service, marks, around).items] as const,
    )
    const changes = changesOf(differences(wanted.set(new Map(items)), wanted, present))
    return changes
  }
  const keep = (): void => {
    present.clear()
    for (const name of wanted.names) present.set(name, wanted.item(name)!)
  }
  const web = serviceOf()
  const admin = serviceOf({ key: 'admin', frontends: [{ kind: 'cluster', address: '10.96.0.1', port: 81 }] })
  t.equal(
    countOf(
      plan(
        new Map([
          ['web', web],
          ['admin', admin],
        ]),
      ),
    ),
    11,
  )
  keep()
  t.equal(countOf(plan(new Map([['web', web]]))), 0)
  t.same(
    linesOf(
      plan(new Map([['web', { ...web, servers: { ...web.servers, cluster: [a!, { ...b!, weight: 5 }] } }]])),
    ),
    ['ipvs setDestination tcp 10.96.0.1:80 -> 10.0.0.2:8080 weight 5'],
  )
  plan(new Map([['web', web]]))
  t.same(linesOf(plan(new Map([['web', { ...web, servers: { ...web.servers, cluster: [a!] } }]]))), [
    'ipvs setDestination tcp 10.96.0.1:80 -> 10.0.0.2:8080 weight 0',
  ])
  const gone = plan(new Map([['web', undefined]]))
  t.same(gone.removeAddresses, [], 'the other one has the address, too')
  t.match(gone.destinations, [{ operation: 'deleteService' }])
  t.equal(gone.removeClaims.length, 1)
  keep()
  t.same(plan(new Map([['admin', undefined]])).removeAddresses, ['10.96.0.1'])
  t.end()
})

t.test('items are told apart by their names', (t) => {
  const key = Uint8Array.of(1, 2)
  const entry = entryItem('x', { key, keyEnd: Uint8Array.of(1, 3) })
  t.equal(entry.name, 'entry x 0102-0103')
  t.equal(entryItem('x', { key, keyEnd: key }).name, entryItem('x', { key }).name)
  t.equal(itemsOf([entry, entry]).size, 1)
  t.end()
})

t.test('numbers are kept, taken up again, and used again at last', (t) => {
  const numbers = new Numbers(3)
  t.equal(
    numbers.of('a', [2], () => false),
    2,
  )
  t.equal(
    numbers.of('a', [3], () => false),
    2,
  )
  t.equal(
    numbers.of('b', [2], (number) => number === 1),
    3,
    'neither what is used nor what is in the kernel',
  )
  t.throws(() => numbers.of('c', [], (number) => number === 1), { code: 'ERR_VIADUCT_UNSUPPORTED' })
  numbers.release('a')
  t.equal(
    numbers.of('c', [], () => false),
    1,
  )
  t.equal(
    numbers.of('d', [], () => false),
    2,
  )
  t.end()
})

t.test('settings are changed where they are less than needed, and written down', (t) => {
  const values: Readonly<Record<string, string>> = {
    'net.ipv4.vs.conntrack': '0',
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.arp_ignore': '8',
    'net.ipv4.vs.conn_reuse_mode': '1',
  }
  const read = (name: string): string | undefined => values[name]
  t.same(sysctlChanges(read, '6.1.0-1-amd64'), [{ name: 'net.ipv4.vs.conntrack', before: '0', after: '1' }])
  t.match(sysctlChanges(read, '5.8.0').at(-1), {
    name: 'net.ipv4.vs.conn_reuse_mode',
    before: '1',
    after: '0',
  })
  const all = Object.fromEntries(
    sysctlChanges((name) => (name.endsWith('conn_reuse_mode') ? '1' : '0'), '5.4').map(({ name, before }) => [
      name,
      before,
    ]),
  )
  t.same(parseRecord(formatRecord(all)), all)
  t.ok(formatRecord(all).length < 256, 'an alias has room for it')
  t.equal(parseRecord('somebody else’s'), undefined)
  const hostile = `${formatRecord({})} net.ipv4.ip_forward=../../etc net.core.x=1 kernel.panic=1 net.ipv4.vs.conntrack=0`
  t.same(parseRecord(hostile), { 'net.ipv4.vs.conntrack': '0' })
  t.end()
})

t.test('who takes servers out one after the other does not put off that they go', async (t) => {
  let looks = 0
  const ipvs = { destinations: () => Promise.resolve([]) } as unknown as Ipvs
  const drainer = new Drainer(ipvs, async (look) => {
    await look()
    looks++
  })
  t.teardown(() => drainer.close())
  const service = { protocol: 'tcp', address: '10.0.0.1', port: 80 } as const
  const deadline = performance.now() + 5000
  for (let port = 1; looks === 0 && performance.now() < deadline; port++) {
    const destination = { address: '10.0.0.2', port: (port % 1000) + 1, weight: 0 }
    drainer.add([destinationsOf(service, true)(destination)])
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(looks, 1)
})

t.test('what is of nobody who is known is spared, and nothing else', (t) => {
  const random = seeded(t)
  for (let round = 0; round < 200; round++) {
    const hasTable = random.once(2)
    let mark = 0x7700_0000
    const taken = new Set<string>()
    const all = Array.from({ length: 8 }, (_, index) => {
      const service = randomService(random)
      const of = { service: 0x7600_0001 + index, ofServer: () => ++mark }
      const { items } = describe({ ...service, scheduler: undefined }, of, { ...around, hasTable })
      return { mark: of.service, items }
    }).filter(({ items }) => {
      const services = [...items.keys()].filter((name) => name.startsWith('service'))
      if (services.some((name) => taken.has(name))) return false
      for (const name of services) taken.add(name)
      return services.length > 0
    })
    const known = all.filter(() => random.once(2))
    const wanted = new Set(known.flatMap(({ items }) => [...items.keys()]))
    const present = new Map(all.flatMap(({ items }) => [...items]))
    // Of those that are known there is also what they do not want any more.
    const dropped = [...wanted].filter((name) => name.startsWith('destination') && random.once(3))
    for (const name of dropped) wanted.delete(name)
    const spared = sparedIn(present, {
      hasTable,
      isOfSomebody: (number) => known.some((one) => one.mark === number),
      isWanted: (name) => wanted.has(name),
    })
    const expected = all.filter((one) => !known.includes(one)).flatMap(({ items }) => [...items.keys()])
    // A server that is in no service of IPVS needs no hairpin.
    const isNeedless = (name: string): boolean => {
      const item = present.get(name)!
      return item.kind === 'entry' && item.set.startsWith('hairpin') && !isServer(item.element.key!)
    }
    const isServer = (key: Uint8Array): boolean => {
      const address = formatAddress(key.subarray(0, key.length / 2))
      return [...present].some(
        ([name, item]) =>
          item.kind === 'destination' && item.destination.address === address && expected.includes(name),
      )
    }
    t.same(
      [...spared].sort(),
      [...new Set(expected)].filter((name) => !wanted.has(name) && !isNeedless(name)).sort(),
      `round ${round}`,
    )
  }
  t.end()
})

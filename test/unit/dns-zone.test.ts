/** The zone: what it is follows from services alone, and a change changes only what it has to. Cases: test/conformance/dns. */
import fc from 'fast-check'
import t from 'tap'
import { Zone } from '../../src/dns/index.js'
import { anyQuestion, anyStep, step, usualObjects, zoneOf } from './support/dns.js'
import { endpoint, service, slice } from './model-objects.js'

const withoutSerial = (zone: Zone) => zone.records().filter(({ type }) => type !== 'SOA')
const podRecords = fc.constantFrom('disabled' as const, 'insecure' as const, 'verified' as const)

t.test('step by step it becomes what it would be from the beginning', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.array(anyStep, { maxLength: 3 }), { maxLength: 12 }),
      podRecords,
      (steps, pods) => {
        const { model, zone, refresh } = zoneOf([], pods)
        const empty = zone.records().length
        for (const some of steps) {
          const before = { serial: zone.serial, records: JSON.stringify(withoutSerial(zone)) }
          for (const one of some) step(model, one)
          refresh()
          if (JSON.stringify(withoutSerial(zone)) !== before.records && zone.serial !== before.serial + 1) {
            throw new Error(`the serial was ${before.serial} and is ${zone.serial}`)
          }
          const fresh = new Zone({ podRecords: pods, nameservers: ['10.96.0.10'] })
          fresh.apply({
            services: [...model.services()].reverse().map((known) => [known.service.id, known]),
            pods: [
              ...['default', 'shop'].flatMap((namespace) =>
                ['web', 'db', 'mail'].map((name) => ({ namespace, name })),
              ),
            ].map((reference) => [`${reference.namespace}/${reference.name}`, model.pod(reference)]),
          })
          t.same(withoutSerial(zone), withoutSerial(fresh))
          for (const [name, type] of fc.sample(anyQuestion, {
            numRuns: 20,
            seed: steps.length,
          })) {
            const wanted = name.toLowerCase()
            if (zone.apexOf(wanted) === undefined || type === 'SOA' || type === 'ANY') continue
            const { rcode, answers } = zone.lookup(wanted, type)
            const same = fresh.lookup(wanted, type)
            t.same({ rcode, answers }, { rcode: same.rcode, answers: same.answers }, `${name} ${type}`)
          }
        }
        const all = [...model.services()].map(({ service: { name, namespace } }) => ({
          kind: 'Service',
          name,
          namespace,
        }))
        const pairs = ['default', 'shop'].flatMap((namespace) =>
          ['web', 'db', 'mail'].map((name) => ({ namespace, name })),
        )
        for (const reference of [...all, ...pairs.map((pair) => ({ kind: 'Pod', ...pair }))])
          model.delete(reference as never)
        refresh()
        t.equal(zone.records().length, empty, 'nothing is left')
        t.equal(zone.has('default.svc.cluster.local'), false, 'no name is left')
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('it tells every name whose answer is another one', (t) => {
  const types = ['A', 'AAAA', 'SRV', 'PTR', 'TXT', 'NS'] as const
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 1, maxLength: 12 }), (steps) => {
      const { model, zone, refresh } = zoneOf()
      let told: ReadonlySet<string> = new Set()
      zone.watch((names) => (told = names))
      for (const one of steps) {
        const names = new Set(withoutSerial(zone).map(({ name }) => name))
        const before = new Map(
          [...names].flatMap((name) => types.map((type) => [`${name} ${type}`, zone.lookup(name, type)])),
        )
        told = new Set()
        step(model, one)
        refresh()
        for (const [key, { answers, additionals }] of before) {
          const [name, type] = key.split(' ') as [string, string]
          if (answers.length === 0 || answers[0]!.name !== name || answers[0]!.type !== type) continue
          const now = zone.lookup(name, type)
          const isSame =
            JSON.stringify([answers, additionals]) === JSON.stringify([now.answers, now.additionals])
          if (!isSame && !told.has(name)) throw new Error(`${key} has changed and was not told`)
        }
      }
    }),
  )
  t.pass('told')
  t.end()
})

t.test('the serial rises once for a change, and not where nothing changes', (t) => {
  const { model, zone, refresh } = zoneOf(usualObjects)
  const before = zone.serial
  model.upsert(usualObjects[0]!)
  refresh()
  t.equal(zone.serial, before)
  model.upsert(service({ clusterIP: '10.96.0.8', ports: [] }, { name: 'web' }))
  model.upsert(service({ clusterIP: '10.96.0.9', ports: [] }, { name: 'other' }))
  refresh()
  t.equal(zone.serial, before + 1)
  t.match(zone.lookup('nope.cluster.local', 'A').authorities, [
    { type: 'SOA', data: new RegExp(` ${before + 1} `) },
  ])
  const srv = '_http._tcp.late.default.svc.cluster.local'
  const late = (clusterIP: string) => {
    model.upsert(service({ clusterIP, ports: [{ name: 'http', port: 80 }] }, { name: 'late' }))
    let told: ReadonlySet<string> = new Set()
    const end = zone.watch((names) => (told = names))
    refresh()
    end()
    return told
  }
  late('10.96.0.20')
  t.ok(late('10.96.0.21').has(srv), 'its SRV record stays, and the address that comes with it is another one')
  t.equal(new Zone({ serial: 0xffff_ffff }).apply({ namespaces: [['x', true]] }), true)
  const last = new Zone({ serial: 0xffff_ffff })
  last.apply({ namespaces: [['x', true]] })
  t.equal(last.serial, 0, 'after the last number comes the first')
  t.end()
})

t.test('a change costs what the service has, not what there is', (t) => {
  const work = (count: number): number => {
    const { model, refresh } = zoneOf(
      Array.from({ length: count }, (_, index) =>
        service(
          {
            clusterIP: `10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
            ports: [{ name: 'http', port: 80 }],
          },
          { name: `s${index}` },
        ),
      ),
    )
    const change = (round: number): number => {
      const begun = performance.now()
      for (let index = 0; index < 200; index++) {
        model.upsert(
          service(
            { clusterIP: `10.200.${round}.${index}`, ports: [{ name: 'http', port: 80 }] },
            { name: 's3' },
          ),
        )
        refresh()
      }
      return performance.now() - begun
    }
    return Math.min(...Array.from({ length: 12 }, (_, round) => change(round)))
  }
  const few = work(10)
  const many = work(10_000)
  t.ok(many < few * 4 + 2, `200 changes take ${many.toFixed(1)} ms among 10,000, ${few.toFixed(1)} among 10`)
  t.end()
})

t.test('one endpoint more or less among many', (t) => {
  const list = Array.from({ length: 250 }, (_, index) => endpoint(`10.1.0.${index}`))
  const { model, zone, refresh } = zoneOf([service({ clusterIP: 'None', ports: [] }), slice(list)])
  const name = 'web.default.svc.cluster.local'
  t.equal(zone.lookup(name, 'A').answers.length, 250)
  model.upsert(slice(list.slice(1)))
  refresh()
  t.equal(zone.lookup(name, 'A').answers.length, 249)
  t.equal(zone.lookup('0.0.1.10.in-addr.arpa', 'PTR').rcode, 'NXDOMAIN')
  t.same(
    new Set([0, 1, 2].map((turn) => zone.lookup(name, 'A', turn).answers[0]!.data)).size,
    3,
    'they take turns',
  )
  t.end()
})

t.test('names that are too long, or none, have no records', (t) => {
  const long = Array.from({ length: 4 }, () => 'x'.repeat(60)).join('.')
  t.throws(() => new Zone({ name: `${long}.${long}` }), /^name/)
  t.throws(() => new Zone({ name: 'a..b' }), /^name/)
  t.throws(() => new Zone({ ttlSeconds: -1 }), /^ttlSeconds/)
  t.throws(() => new Zone({ podRecords: 'all' as never }), /^podRecords/)
  t.throws(() => new Zone({ nameservers: ['x'] }), /^nameservers\[0\]/)
  const { zone } = zoneOf([
    service({ type: 'ExternalName', externalName: 'not a name' }, { name: 'ext' }),
    service({ clusterIP: 'None' }, { name: 'db' }),
    slice([endpoint('10.1.0.1', undefined, undefined, { hostname: 'a.b' })], { of: 'db' }),
  ])
  const port = { name: 'p'.repeat(63), port: 80 }
  const long63 = 'x'.repeat(63)
  const wide = zoneOf([
    service({ clusterIP: '10.96.0.7', ports: [port] }),
    service({ clusterIP: '10.96.0.8' }, { name: long63, namespace: long63 }),
  ])
  wide.zone.apply({
    namespaces: [
      ['x'.repeat(64), true],
      ['', true],
      ['a..b', true],
    ],
  })
  t.ok(wide.zone.has(`${long63}.${long63}.svc.cluster.local`))
  for (const { name } of wide.zone.records())
    t.ok(
      name.split('.').every(({ length }) => length > 0 && length < 64),
      name,
    )
  t.equal(zone.lookup('ext.default.svc.cluster.local', 'A').rcode, 'NXDOMAIN')
  t.equal(zone.lookup('a.b.db.default.svc.cluster.local', 'A').rcode, 'NXDOMAIN')
  t.equal(zone.lookup('10-1-0-1.db.default.svc.cluster.local', 'A').answers.length, 1)
  t.end()
})

t.test('names that lead to each other in a circle end', (t) => {
  const to = (name: string, other: string) =>
    service({ type: 'ExternalName', externalName: `${other}.default.svc.cluster.local` }, { name })
  const { zone } = zoneOf([to('a', 'b'), to('b', 'a')])
  const { rcode, answers } = zone.lookup('a.default.svc.cluster.local', 'A')
  t.equal(rcode, 'NOERROR')
  t.ok(answers.length > 1 && answers.length < 12)
  t.end()
})

/** What `viaduct status` and the like show, of many services at once. */
import t from 'tap'
import type { Dataplane } from '../../src/dataplane/index.js'
import type { ServiceInput } from '../../src/model/index.js'
import { Reconciler } from '../../src/reconciler/index.js'

t.test('states of services that all fail are told at once', async (t) => {
  const failures = new Map<string, Error>()
  const nothing = { writes: 0, failures, conditions: new Map() }
  const dataplane: Partial<Dataplane> = {
    watch: () => () => undefined,
    synchronize: (services) => {
      for (const { key } of services) failures.set(key, new Error('no'))
      return Promise.resolve(nothing)
    },
    apply: () => Promise.resolve(nothing),
  }
  const reconciler = new Reconciler({
    dataplane: dataplane as Dataplane,
    repairIntervalMilliseconds: 0,
  })
  t.teardown(() => reconciler.close())
  const names = Array.from({ length: 5000 }, (_, index) => `s${index}`)
  for (const [index, name] of names.entries()) {
    const service: ServiceInput = {
      name,
      address: `10.${index >> 8}.${index & 255}.1`,
      ports: [{ port: 80 }],
      servers: [{ address: '10.255.0.1', port: 80 }],
    }
    reconciler.upsert(service)
  }
  await reconciler.start()
  t.match(reconciler.status({ name: 's7' }), { state: 'failed', errors: [{ message: 'no' }] })
  t.equal(reconciler.status({ name: 'none' }).state, 'unknown')
  t.equal(reconciler.problems().failures.length, names.length)
  const start = performance.now()
  const statusOf = reconciler.statuses()
  t.ok(names.every((name) => statusOf({ name }).state === 'failed'))
  const once = performance.now() - start
  const single = performance.now()
  for (const name of names.slice(0, 50)) reconciler.status({ name })
  const each = (performance.now() - single) / 50
  t.ok(once < each * (names.length / 10), 'one look for all, and not one for each')
})

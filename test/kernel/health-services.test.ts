/** Health checks of the services that a reconciler keeps: how soon clients hear nothing of a server that has died. */
import t, { type Test } from 'tap'
import type { ModelObject } from '../../src/model/index.js'
import { clusterAddress } from './services-network.js'
import { until } from '../lab/support/until.js'
import { grace, Healing, Load, port } from './support/healing.js'

const [interval, timeout, fall, jitter] = [200, 250, 2, 0.1]
const names = ['a', 'b', 'c'] as const

async function network(t: Test): Promise<Healing> {
  const healing = await Healing.open(t, {
    names,
    checksOf:
      (netns) =>
      ({ key }) =>
        key.includes('unchecked')
          ? undefined
          : {
              check: { kind: 'tcp', netns, port: key.includes('wrong') ? 0 : undefined },
              rules: {
                intervalMilliseconds: interval,
                timeoutMilliseconds: timeout,
                jitter,
                fall,
                rise: 2,
                damping: false,
                backoff: false,
              },
            },
  })
  await healing.serveAll(names)
  return healing
}

/** `b` dies under a load of new connections, and comes back. The bound is what the rules promise, in milliseconds. */
async function heals(
  t: Test,
  healing: Healing,
  bound: number,
  b: { readonly die: () => unknown; readonly revive: () => unknown },
): Promise<void> {
  const load = new Load(healing, [1, 1])
  await until('all are asked', () => new Set(load.requests.map(({ by }) => by)).size === names.length)
  t.same(load.failed, [], 'nobody failed before')
  await b.die()
  const died = performance.now()
  await healing.isOut('b')
  t.same(await load.heard(died + bound + grace, 20), ['a', 'c'])
  const last = Math.max(...load.failed.map(({ began }) => began - died))
  t.ok(load.failed.length > 0, `it was felt: ${load.failed.length} of ${load.since(died).length} failed`)
  t.ok(
    last <= bound + grace && last < 1000,
    `the last was sent there ${last.toFixed(0)} ms after its death, of ${bound.toFixed(0)}`,
  )
  await b.revive()
  await until('it is asked again', () => load.requests.at(-1)?.by === 'b')
  await load.stop()
}

const slowest = interval * (1 + jitter)

t.test('a process that dies gets no more connections after `fall` checks', async (t) => {
  const healing = await network(t)
  await heals(t, healing, fall * slowest + 50, {
    die: () => healing.kill('b'),
    revive: () => healing.serve('b'),
  })
})

t.test('a host that vanishes gets none after `fall` checks and what they wait for', async (t) => {
  const healing = await network(t)
  await heals(t, healing, fall * (interval + timeout) + 50, {
    die: () => healing.vanish('b'),
    revive: () => healing.comeBack('b'),
  })
})

t.test('services come and go with their checks, and a wrong check is told', async (t) => {
  const healing = await network(t)
  const { reconciler, monitor } = healing
  const key = monitor.keys()[0]!
  const service = (name: string, servicePort: number): ModelObject => ({
    name,
    address: clusterAddress.ipv4,
    ports: [{ port: servicePort, targetPort: port }],
    servers: [healing.server('a')],
  })
  // Of the service that is there already everything was told.
  await reconciler.settled()
  const { applies } = reconciler.counts
  reconciler.upsert(service('unchecked', 81))
  reconciler.upsert(service('wrong', 82))
  reconciler.upsert(service('checked', 83))
  await reconciler.settled()
  t.equal(reconciler.counts.applies, applies + 1, 'what a shaper says once more is no change')
  t.equal(monitor.keys().length, 2)
  t.same(reconciler.status({ name: 'unchecked' }), { state: 'programmed', errors: [], conditions: [] })
  const { state, errors } = reconciler.status({ name: 'wrong' })
  t.equal(state, 'failed')
  t.match(errors, [{ name: 'ValidationError', path: /port/ }])
  t.equal((await reconciler.dataplane.read()).length, 4, 'and each has its servers')
  for (const name of ['unchecked', 'wrong', 'checked']) {
    reconciler.delete({ kind: 'Service', namespace: 'default', name })
  }
  await reconciler.settled()
  t.same(monitor.keys(), [key])
  t.equal(reconciler.status({ name: 'wrong' }).state, 'unknown')
})

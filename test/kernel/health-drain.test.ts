/** A server is taken out on purpose, under load and with health checks: nobody notices. */
import t from 'tap'
import { clusterAddress } from './services-network.js'
import { until } from '../lab/support/until.js'
import { Healing, Load, port } from './support/healing.js'

const readyPort = 9091
/** States in which a request may be under way. */
const isGoingOn: ReadonlySet<string | undefined> = new Set(['syn-sent', 'syn-received', 'established'])

for (const how of ['weight 0', 'a readiness that says no, and weight 0'] as const) {
  t.test(`drained by ${how}, and taken out when its connections have ended: no request fails`, async (t) => {
    const names = ['a', 'b', 'c', 'd']
    const healing = await Healing.open(t, {
      names,
      checksOf: (netns) => () => ({
        check: { kind: 'http', netns, port: readyPort, path: '/ready' },
        rules: {
          intervalMilliseconds: 100,
          timeoutMilliseconds: 250,
          fall: 2,
          damping: false,
          onFailure: 'end-connections',
        },
      }),
    })
    const unready = new Set<string>()
    for (const name of names) {
      await healing.host(name).serve(
        (_, response) => {
          response.statusCode = unready.has(name) ? 503 : 200
          response.end()
        },
        { port: readyPort },
      )
    }
    const upsert = async (servers: readonly { readonly name: string; readonly weight?: number }[]) => {
      healing.reconciler.upsert({
        name: 'web',
        address: clusterAddress.ipv4,
        ports: [{ port: 80, targetPort: port }],
        servers: servers.map(({ name, weight }) => ({ ...healing.server(name), weight })),
      })
      await healing.reconciler.settled()
    }
    await upsert(names.map((name) => ({ name })))
    await healing.allUp()
    const load = new Load(healing, [1, 1, ...Array<number>(10).fill(40)])
    await until('all are asked', () => new Set(load.requests.map(({ by }) => by)).size === names.length)
    await until('b has a kept connection', () =>
      load.requests.some(({ kind, by }) => kind === 'kept' && by === 'b'),
    )

    let drained = performance.now()
    if (how !== 'weight 0') {
      unready.add('b')
      await healing.isOut('b')
      drained = performance.now()
      const { reason } = healing.monitor
        .health(healing.monitor.keys()[0]!)!
        .servers.find(({ server }) => server.address === healing.server('b').address)!
      t.match(reason, /^wrong-answer: .*503/)
    }
    await upsert(names.map((name) => ({ name, ...(name === 'b' ? { weight: 0 } : {}) })))
    if (how === 'weight 0') drained = performance.now()
    await until('its connections have ended', async () => {
      const flows = await healing.flowsTo('b')
      return flows.every(({ original, tcp }) => original.destinationPort !== 80 || !isGoingOn.has(tcp?.state))
    })
    await upsert(names.filter((name) => name !== 'b').map((name) => ({ name })))
    healing.kill('b')
    t.same(await load.heard(performance.now(), 5), ['a', 'c', 'd'])
    await load.stop()
    const byB = load.since(drained).filter(({ by }) => by === 'b')
    t.ok(
      byB.length > 0,
      `${byB.length} of ${load.requests.length} requests were answered while it was drained`,
    )
    t.ok(
      byB.every(({ kind }) => kind === 'kept'),
      'over connections that it had',
    )
    t.same(load.failed, [], 'and none failed')
  })
}

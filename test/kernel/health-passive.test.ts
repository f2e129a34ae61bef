/** Servers that are judged by how clients' connections to them go, as connection tracking sees it. */
import t from 'tap'
import { Conntrack } from '../../src/conntrack/index.js'
import { openDataplane } from '../../src/dataplane/index.js'
import { conntrackPassive, HealthMonitor, ServiceChecks } from '../../src/health/index.js'
import { addRule, drop, Nftables, numgen, tcp } from '../../src/nftables/index.js'
import { Reconciler } from '../../src/reconciler/index.js'
import type { Host } from '../../src/testing/index.js'
import { clusterAddress, serviceNetwork } from './services-network.js'
import { until } from './support/edge.js'

const port = 9090

/** Every other connection to it is not heard. */
async function dropHalf(host: Host): Promise<void> {
  await using nftables = await Nftables.open({ netns: host.netns })
  const place = { family: 'inet', table: 'deaf', chain: 'in' } as const
  const transaction = nftables
    .transaction()
    .add('table', { family: 'inet', name: 'deaf' })
    .add('chain', { ...place, name: 'in', hook: 'input', priority: 'filter' })
  addRule(transaction, place, tcp.flags.is('syn'), numgen('incremental', { modulus: 2 }).is(0), drop)
  await transaction.commit()
}

/** What became of a connection through the balancer that is answered, reset or given up. */
function attempt(client: Host, patienceMilliseconds = 10_000): Promise<string> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(patienceMilliseconds)
    client.connect({ address: clusterAddress.ipv4, port: 80, signal }).then(
      (socket) => {
        socket.on('error', () => undefined)
        socket.once('data', (name) => {
          socket.end()
          resolve(String(name))
        })
        socket.once('close', () => resolve('reset'))
      },
      () => resolve('none'),
    )
  })
}

/** Where nothing stays unanswered, nothing is to be waited for. */
const never = 60_000
for (const [what, answerMilliseconds, make] of [
  ['resets half of its connections', never, (host: Host) => serveHalf(host)],
  [
    'hears half of its connections',
    500,
    async (host: Host) => {
      await serveWell(host)
      await dropHalf(host)
    },
  ],
  ['refuses all of them', never, () => Promise.resolve()],
] as const) {
  t.test(`a server that ${what} is ejected, and no other`, async (t) => {
    const { hosts } = await serviceNetwork(t)
    const { node, client, a, b, c } = hosts
    await serveWell(a)
    await make(b)
    await serveWell(c)
    const monitor = new HealthMonitor()
    const dataplane = await openDataplane({ kind: 'nftables', netns: node.netns })
    const conntrack = await Conntrack.open({ netns: node.netns })
    const passive = conntrackPassive(conntrack, { answerMilliseconds })
    const shaper = new ServiceChecks(monitor, () => ({
      // No check sees it.
      check: { kind: 'own', run: () => true },
      rules: { ejection: { intervalMilliseconds: 500, leastConnections: 5, failureShare: 0.25 } },
      passive,
    }))
    const reconciler = new Reconciler({ dataplane, shaper })
    t.teardown(async () => {
      await reconciler.close()
      monitor.close()
      conntrack.close()
      dataplane.close()
    })
    const servers = [a, b, c].map(({ address }) => ({ address, port }))
    reconciler.upsert({
      name: 'web',
      address: clusterAddress.ipv4,
      ports: [{ port: 80, targetPort: port }],
      servers,
    })
    await reconciler.start()
    const key = monitor.keys()[0]!
    const out = () =>
      monitor
        .health(key)!
        .servers.flatMap(({ place, cause, server }) =>
          place === 'out' ? [`${server.address} ${cause}`] : [],
        )
    const attempts: Promise<string>[] = []
    await until(
      () => {
        // What is not heard is sent again after a second.
        attempts.push(attempt(client, answerMilliseconds === never ? undefined : 600))
        return out().length > 0
      },
      () => `one is ejected: ${JSON.stringify(passive())}`,
    )
    t.same(out(), [`${b.address} ejected`])
    await reconciler.settled()
    const after = await Promise.all(Array.from({ length: 30 }, () => attempt(client)))
    t.same([...new Set(after)].sort(), ['a', 'c'])
    const answers = await Promise.all(attempts)
    t.ok(answers.includes('reset') || answers.includes('none'), 'it was felt before')
    const told = new Map(passive().map((one) => [one.address, one]))
    const failed = (host: Host): number =>
      told.get(host.address)!.failures / told.get(host.address)!.connections
    t.ok(failed(b) > 0.25 && failed(b) <= 1, `b: ${failed(b)}`)
    for (const host of [a, c]) t.ok(failed(host) < 0.05, `${host.name}: ${failed(host)}`)
  })
}

async function serveWell(host: Host): Promise<void> {
  await host.serveTcp((socket) => socket.end(host.name), { port })
}

async function serveHalf(host: Host): Promise<void> {
  let count = 0
  await host.serveTcp(
    (socket) => {
      if (count++ % 2 === 0) socket.resetAndDestroy()
      else socket.end(host.name)
    },
    { port },
  )
}

t.test('without events there are no numbers, and nobody is judged', async (t) => {
  const { hosts } = await serviceNetwork(t)
  const conntrack = await Conntrack.open({ netns: hosts.node.netns })
  const passive = conntrackPassive(conntrack)
  t.same(passive(), [])
  conntrack.close()
  await until(() => {
    try {
      passive()
      return false
    } catch {
      return true
    }
  })
  t.throws(() => conntrackPassive(conntrack, { answerMilliseconds: 0 }), {
    path: 'answerMilliseconds',
  } as never)
})

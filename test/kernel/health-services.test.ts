/** Health checks of the services that a reconciler keeps: how soon clients hear nothing of a server that has died. */
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { openDataplane } from '../../src/dataplane/index.js'
import { HealthMonitor, ServiceChecks } from '../../src/health/index.js'
import type { ModelObject } from '../../src/model/index.js'
import { Reconciler } from '../../src/reconciler/index.js'
import type { Host } from '../../src/testing/index.js'
import { clusterAddress, serviceNetwork } from './services-network.js'
import { until } from '../lab/support/until.js'

const port = 9090
const [interval, timeout, fall, jitter] = [200, 250, 2, 0.1]
/** An attempt that hangs is given up after so long: it was sent to a server that is gone. */
const patience = 400

interface Attempt {
  readonly began: number
  readonly ended: number
  readonly by: string | undefined
}

/** New connections, one after the other, until it is stopped. */
class Load {
  readonly attempts: Attempt[] = []
  readonly #client: Host
  #isStopped = false
  readonly #running: Promise<void>

  constructor(client: Host) {
    this.#client = client
    this.#running = this.#run()
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const began = performance.now()
      const by = await once(this.#client).catch(() => undefined)
      this.attempts.push({ began, ended: performance.now(), by })
    }
  }

  async stop(): Promise<readonly Attempt[]> {
    this.#isStopped = true
    await this.#running
    return this.attempts
  }
}

/** The name of who answers; undefined where nobody does. */
async function once(client: Host): Promise<string> {
  const signal = AbortSignal.timeout(patience)
  const socket: Socket = await client.connect({ address: clusterAddress.ipv4, port: 80, signal })
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once('data', (bytes) => resolve(String(bytes))).once('error', reject)
      socket.once('close', () => reject(new Error('closed without an answer')))
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
  } finally {
    socket.destroy()
  }
}

async function network(t: Test) {
  const { hosts } = await serviceNetwork(t)
  const { node, a, b, c } = hosts
  const served = new Map<Host, Awaited<ReturnType<Host['serveTcp']>>>()
  const serve = async (host: Host): Promise<void> => {
    served.set(host, await host.serveTcp((socket) => socket.end(host.name), { port }))
  }
  for (const host of [a, b, c]) await serve(host)
  const monitor = new HealthMonitor()
  const dataplane = await openDataplane({ kind: 'nftables', netns: node.netns })
  const shaper = new ServiceChecks(monitor, ({ key }) =>
    key.includes('unchecked')
      ? undefined
      : {
          check: { kind: 'tcp', netns: node.netns, port: key.includes('wrong') ? 0 : undefined },
          rules: {
            intervalMilliseconds: interval,
            timeoutMilliseconds: timeout,
            jitter,
            fall,
            rise: 2,
            damping: false,
          },
        },
  )
  const reconciler = new Reconciler({ dataplane, shaper })
  t.teardown(async () => {
    await reconciler.close()
    monitor.close()
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
  return { hosts, served, serve, monitor, reconciler, key: monitor.keys()[0]! }
}

const isOut = (monitor: HealthMonitor, key: string, { address }: Host): boolean =>
  monitor.health(key)!.servers.some((one) => one.server.address === address && one.place === 'out')

type Net = Awaited<ReturnType<typeof network>>

/** `b` dies under a load of new connections, and comes back. The bound is what the rules promise, in milliseconds. */
async function heals(
  t: Test,
  { hosts, monitor, key }: Net,
  bound: number,
  b: { readonly die: () => unknown; readonly revive: () => unknown },
): Promise<void> {
  await until('all are up', () => monitor.health(key)!.servers.every(({ verdict }) => verdict === 'up'))
  const load = new Load(hosts.client)
  await until('all are asked', () => new Set(load.attempts.map(({ by }) => by)).size === 3)
  await b.die()
  const died = performance.now()
  await until('it is out', () => isOut(monitor, key, hosts.b))
  const late = died + bound + grace
  await until('others are asked', () => load.attempts.filter(({ began }) => began > late).length >= 50)
  const after = load.attempts.filter(({ ended }) => ended > died)
  const wrong = after.filter(({ by }) => by === undefined).map(({ began }) => began - died)
  t.ok(wrong.length > 0, `it was felt: ${wrong.length} of ${after.length} failed`)
  const last = Math.max(...wrong)
  t.ok(
    last <= bound + grace && last < 1000,
    `the last was sent there ${last.toFixed(0)} ms after its death, of ${bound}`,
  )
  await b.revive()
  await until('it is asked again', () => load.attempts.at(-1)?.by === 'b')
  const early = (await load.stop()).filter(({ ended }) => ended < died)
  t.ok(early.length > 0 && early.every(({ by }) => by !== undefined), 'nobody failed before')
}

/** Beyond what the rules promise: for a machine that others use, too. */
const grace = 200
const slowest = interval * (1 + jitter)

t.test('a process that dies gets no more connections after `fall` checks', async (t) => {
  const net = await network(t)
  const { served, serve, hosts } = net
  await heals(t, net, fall * slowest + 50, {
    die: () => served.get(hosts.b)!.close(),
    revive: () => serve(hosts.b),
  })
})

t.test('a host that vanishes gets none after `fall` checks and what they wait for', async (t) => {
  const net = await network(t)
  const { node, b } = net.hosts
  const place = { device: node.towards('b').device, address: b.address }
  await heals(t, net, fall * (interval + timeout) + 50, {
    // Nobody has this address.
    die: () => node.rtnetlink.neighbours.replace({ ...place, linkAddress: '02:00:00:ff:ff:ff' }),
    revive: () => node.rtnetlink.neighbours.delete(place),
  })
})

t.test('services come and go with their checks, and a wrong check is told', async (t) => {
  const { reconciler, monitor, key, hosts } = await network(t)
  const service = (name: string, port: number): ModelObject => ({
    name,
    address: clusterAddress.ipv4,
    ports: [{ port, targetPort: 9090 }],
    servers: [{ address: hosts.a.address, port: 9090 }],
  })
  // Of the service that is there already everything was told.
  await until('it is watched', () => monitor.health(key)!.servers.every(({ verdict }) => verdict === 'up'))
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

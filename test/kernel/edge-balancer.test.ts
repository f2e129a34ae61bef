/** A balancer that follows a source: who gets a client's connections, asked with connections. */
import type { Socket } from 'node:net'
import type { Node, Service } from 'kubernetes-types/core/v1.js'
import t, { type Test } from 'tap'
import { openDataplane } from '../../src/dataplane/index.js'
import {
  EdgeBalancer,
  type EdgeBalancerOptions,
  HealthCheckServer,
  PoolProvider,
} from '../../src/edge/index.js'
import { HealthMonitor } from '../../src/health/index.js'
import { Reconciler } from '../../src/reconciler/index.js'
import { MemorySource, type Source, type SourceEvent } from '../../src/sources/index.js'
import type { Host } from '../../src/testing/index.js'
import { ask, clusterAddress, serverPort, serviceNetwork } from './services-network.js'
import { until } from './support/edge.js'

const address = clusterAddress.ipv4
const healthPort = 31000

function node(host: Host, more: { ready?: boolean; labels?: Record<string, string>; spec?: object } = {}) {
  return {
    kind: 'Node',
    metadata: { name: host.name, labels: more.labels ?? {} },
    spec: more.spec ?? {},
    status: {
      conditions: [{ type: 'Ready', status: more.ready === false ? 'Unknown' : 'True' }],
      addresses: [{ type: 'InternalIP', address: host.address }],
    },
  } satisfies Node & { kind: 'Node' }
}

function service(name: string, spec: object = {}): Service & { kind: 'Service' } {
  return {
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, nodePort: serverPort }], ...spec },
  }
}

/** A source that can be broken: it throws, and lists nothing then. */
class Breakable implements Source {
  readonly inner = new MemorySource()
  #broken: Error | undefined
  #break = new AbortController()
  lists = 0

  break(): void {
    this.#broken = new Error('the source is gone')
    this.#break.abort(this.#broken)
  }
  mend(): void {
    this.#broken = undefined
    this.#break = new AbortController()
  }
  async list(options = {}) {
    this.lists++
    if (this.#broken !== undefined) throw this.#broken
    return await this.inner.list(options)
  }
  watch(
    revision: string,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterableIterator<SourceEvent> {
    const ends = [this.#break.signal, ...(signal === undefined ? [] : [signal])]
    return this.inner.watch(revision, { signal: AbortSignal.any(ends) })
  }
}

async function network(t: Test, options: Partial<EdgeBalancerOptions> = {}) {
  const { hosts } = await serviceNetwork(t)
  const director = hosts.node
  const source = new Breakable()
  const monitor = new HealthMonitor()
  const dataplane = await openDataplane({ kind: 'nftables', netns: director.netns })
  const reconciler = new Reconciler({ dataplane })
  const make = (): EdgeBalancer =>
    new EdgeBalancer({
      source,
      reconciler,
      monitor,
      provider: new PoolProvider({ pools: { all: [`${address}/32`] } }),
      status: source.inner,
      nodeChecks: {
        netns: director.netns,
        rules: { intervalMilliseconds: 50, transitionIntervalMilliseconds: 20 },
      },
      ...options,
    })
  const closing: { close(): unknown }[] = []
  t.teardown(async () => {
    for (const one of closing) await one.close()
    await reconciler.close()
    monitor.close()
    dataplane.close()
  })
  /** Names of those that get connections. */
  const served = async (): Promise<string[]> => [...new Set(await ask(hosts.client, address, 12))].sort()
  const untilServedBy = async (...names: string[]): Promise<void> => {
    let last: readonly string[] = []
    await until(
      async () => {
        last = await served().catch((error: unknown) => [String(error)])
        return String(last) === String(names)
      },
      () => `served by ${String(names)}, and not ${String(last)}`,
    )
  }
  return { hosts, source, make, monitor, reconciler, closing, served, untilServedBy }
}

/** Asks over a connection that stays. */
function askAgain(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const more = (part: Buffer): void => {
      text += String(part)
      const name = /\r\n\r\n(\w+)$/.exec(text)?.[1]
      if (name === undefined) return
      socket.off('data', more)
      resolve(name)
    }
    socket.on('data', more).once('error', reject)
    socket.write('GET / HTTP/1.1\r\nhost: web\r\n\r\n')
  })
}

/** A connection through the balancer to this one. */
async function connectTo(client: Host, name: string): Promise<Socket> {
  for (;;) {
    const socket = await client.connect({ address, port: 80, signal: AbortSignal.timeout(5000) })
    if ((await askAgain(socket)) === name) return socket
    socket.destroy()
  }
}

t.test('a client is served by the nodes that are well, from its address to its status', async (t) => {
  const { hosts, source, make, reconciler, closing, served, untilServedBy } = await network(t)
  const { a, b, c, client } = hosts
  source.inner.replaceAll([node(a), node(b), service('web'), service('without', { ports: [{ port: 81 }] })])
  const balancer = make()
  closing.push(balancer)
  await reconciler.start()
  t.same(await served(), ['a', 'b'])
  const status = async () =>
    (await source.inner.list()).objects.find((one) => 'kind' in one && one.metadata?.name === 'web')
  await until(async () => ((await status()) as Service).status !== undefined)
  t.match(await status(), { status: { loadBalancer: { ingress: [{ ip: address }] } } })
  t.same(balancer.addressesOf({ namespace: 'shop', name: 'web' }), [address])
  t.match(balancer.problems(), [{ object: { name: 'without' }, reason: 'ProviderFailed' }])

  source.inner.upsert(node(c))
  await untilServedBy('a', 'b', 'c')
  // A cordoned one keeps what it has.
  const kept = await connectTo(client, 'b')
  source.inner.upsert(node(b, { spec: { unschedulable: true } }))
  await untilServedBy('a', 'c')
  t.equal(await askAgain(kept), 'b')
  source.inner.upsert(node(b))
  await untilServedBy('a', 'b', 'c')
  source.inner.upsert(node(a, { ready: false }))
  await untilServedBy('b', 'c')
  source.inner.upsert(node(c, { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } }))
  await untilServedBy('b')
  source.inner.replaceAll([node(a), node(c), service('web')])
  await untilServedBy('a', 'c')

  // Without its source it stays as it is, and what changed there meanwhile is taken afterwards.
  source.break()
  source.inner.replaceAll([node(b), service('web')])
  const { lists } = source
  await until(() => source.lists > lists)
  t.same(await served(), ['a', 'c'])
  t.match(reconciler.problems().sources, [{ message: 'the source is gone' }])
  source.mend()
  await untilServedBy('b')
  t.same(reconciler.problems().sources, [])

  // So it does without the balancer.
  await balancer.close()
  source.inner.replaceAll([])
  await reconciler.settled()
  t.same(await served(), ['b'])
})

t.test('policy Local: the nodes that say that they have endpoints', async (t) => {
  const { hosts, source, make, reconciler, closing, served, untilServedBy } = await network(t)
  const { a, b, c } = hosts
  const answering = new Map<Host, HealthCheckServer>()
  const endpoints = (host: Host, localEndpoints: number) =>
    answering.get(host)!.set([{ service: 'shop/web', port: healthPort, localEndpoints }])
  for (const host of [a, b, c]) {
    const server = new HealthCheckServer({ netns: host.netns })
    closing.push(server)
    answering.set(host, server)
    t.same(await endpoints(host, host === a ? 3 : 0), [])
  }
  const local = { externalTrafficPolicy: 'Local', healthCheckNodePort: healthPort }
  source.inner.replaceAll([node(a), node(b), node(c), service('web', local)])
  closing.push(make())
  await reconciler.start()
  t.same(await served(), ['a'], 'the nodes were asked before it was programmed')
  const weights = () =>
    Object.fromEntries(
      [...reconciler.model.virtualServices()].flatMap(({ servers: { cluster, draining } }) =>
        [...cluster, ...draining.map((server) => ({ ...server, weight: 0 }))].map(({ address, weight }) => [
          address,
          weight,
        ]),
      ),
    )
  await endpoints(b, 1)
  await untilServedBy('a', 'b')
  t.same(weights(), { [a.address]: 3, [b.address]: 1 }, 'as many parts as endpoints')
  const kept = await connectTo(hosts.client, 'a')
  await endpoints(a, 0)
  await untilServedBy('b')
  t.equal(await askAgain(kept), 'a', 'what it has goes on')
  t.equal(weights()[a.address], 0)
  // A node whose proxy does not answer has none, either.
  await answering.get(b)!.close()
  await endpoints(c, 1)
  await untilServedBy('c')
  t.notOk(b.address in weights())
})

t.test('policy Cluster: nodes that say that they are ill are left out', async (t) => {
  const { hosts, source, make, monitor, reconciler, closing, served, untilServedBy } = await network(t, {
    nodeHealthPort: 10_256,
  })
  const ill = new Set<Host>()
  const { a, b } = hosts
  for (const host of [a, b]) {
    await host.serve(
      (_, response) => {
        response.statusCode = ill.has(host) ? 503 : 200
        response.end()
      },
      { port: 10_256 },
    )
  }
  source.inner.replaceAll([node(a), node(b), service('web')])
  closing.push(make())
  await reconciler.start()
  t.same(await served(), ['a', 'b'])
  ill.add(a)
  await untilServedBy('b')
  // Where all seem ill it is more likely the question that is wrong.
  ill.add(b)
  const [key] = monitor.keys()
  await until(() => monitor.health(key!)!.servers.every(({ verdict }) => verdict === 'down'))
  await reconciler.settled()
  t.same(await served(), ['b'])
  ill.clear()
  await untilServedBy('a', 'b')
})

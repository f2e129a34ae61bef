/**
 * Random Kubernetes objects through the reconciler, its model and the dataplane: the kernel has what a fresh reconciler makes of
 * the same objects. A run is repeated with `VIADUCT_SEED`.
 */
import t, { type Test } from 'tap'
import { openNftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { ModelObject, ObjectReference } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { Reconciler } from '../../src/reconciler/index.js'
import { until } from '../lab/support/until.js'
import { contentOf, difference } from './support/content.js'
import { type Random, seeded } from './support/seeds.js'

const bursts = 30
const node = { addresses: ['10.9.0.1', 'fd09::1'], clusterRanges: ['10.1.0.0/16'] }
const nodeName = 'here'
const names = Array.from({ length: 15 }, (_, index) => `s${index}`)
const portNames = ['http', 'dns', 'other'] as const

/** Each service has addresses and node ports of its own: who has one that two want depends on what came first. */
function service(random: Random, name: string): ModelObject {
  const number = names.indexOf(name) + 1
  const ports = random.some(portNames, 1).map((port) => ({
    name: port,
    port: { http: 80, dns: 53, other: 7000 }[port],
    protocol: port === 'dns' ? 'UDP' : random.of(['TCP', 'SCTP']),
    nodePort: 30_000 + number * 10 + portNames.indexOf(port),
  }))
  const both = random.once(2)
  return {
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: random.of(['ClusterIP', 'NodePort', 'LoadBalancer']),
      clusterIP: random.once(10) ? 'None' : `172.30.0.${number}`,
      clusterIPs: both ? [`172.30.0.${number}`, `fd30::${number}`] : [`172.30.0.${number}`],
      ipFamilies: both ? ['IPv4', 'IPv6'] : ['IPv4'],
      externalIPs: random.once(4) ? [`192.0.2.${number}`] : undefined,
      externalTrafficPolicy: random.of(['Cluster', 'Local']),
      internalTrafficPolicy: random.of(['Cluster', 'Local']),
      sessionAffinity: random.of(['None', 'None', 'ClientIP']),
      loadBalancerSourceRanges: random.once(3) ? ['10.0.0.0/8'] : undefined,
      ports,
    },
    status: { loadBalancer: { ingress: random.once(2) ? [{ ip: `198.51.100.${number}` }] : [] } },
  } as unknown as ModelObject
}

function slice(random: Random, of: string, number: number): ModelObject {
  const isV4 = random.once(2)
  const endpoints = random
    .some(
      Array.from({ length: 8 }, (_, index) => index + 1),
      0,
    )
    .map((host) => ({
      addresses: [isV4 ? `10.1.${number}.${host}` : `fd01:${number}::${host}`],
      nodeName: random.of([nodeName, 'there', undefined]),
      conditions: random.of([
        { ready: true },
        {},
        { ready: false, serving: true, terminating: true },
        { ready: false, serving: false, terminating: true },
        { ready: false },
      ]),
    }))
  return {
    kind: 'EndpointSlice',
    addressType: isV4 ? 'IPv4' : 'IPv6',
    metadata: {
      name: `${of}-${number}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': of },
    },
    endpoints,
    ports: portNames.map((name) => ({ name, port: 8000, protocol: name === 'dns' ? 'UDP' : 'TCP' })),
  } as unknown as ModelObject
}

/** Some that cannot be meant: what was known of them stays, so they are no part of the state that is compared. */
function broken(name: string): ModelObject {
  return {
    kind: 'Service',
    metadata: { name: `bad-${name}`, namespace: 'default' },
    spec: { clusterIP: 'nowhere', ports: [{ port: 80 }] },
  } as unknown as ModelObject
}

interface Known {
  readonly reference: ObjectReference
  readonly object: ModelObject
}

async function started(t: Test, netns: NetworkNamespace, objects: Iterable<ModelObject>) {
  const dataplane = await openNftablesDataplane({ netns, node })
  const reconciler = new Reconciler({ dataplane, nodeName, coalesceMilliseconds: 0 })
  for (const object of objects) reconciler.upsert(object)
  await reconciler.start()
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    await reconciler.close()
    dataplane.close()
  }
  t.teardown(close)
  return { dataplane, reconciler, close }
}

void t.test('objects in any order end in what a fresh start makes', { timeout: 120_000 }, async (t) => {
  const random = seeded(t)
  const [netns, fresh] = [NetworkNamespace.create(), NetworkNamespace.create()]
  t.teardown(() => {
    netns.close()
    fresh.close()
  })
  const nftables = await Nftables.open({ netns })
  t.teardown(() => nftables.close())
  const known = new Map<string, Known>()
  let running = await started(t, netns, [])
  const put = (kind: 'Service' | 'EndpointSlice', name: string, object: ModelObject): void => {
    known.set(`${kind} ${name}`, { reference: { kind, namespace: 'default', name }, object })
    running.reconciler.upsert(object)
  }
  let [changes, lines] = [0, 0]
  for (let burst = 0; burst < bursts; burst++) {
    for (let left = 1 + random.below(100); left > 0; left--) {
      changes++
      const [name, what] = [random.of(names), random.below(6)]
      if (what < 2) put('Service', name, service(random, name))
      else if (what < 5) {
        const number = 1 + random.below(3)
        put('EndpointSlice', `${name}-${number}`, slice(random, name, number))
      } else if (known.size > 0) {
        const key = random.of([...known.keys()])
        running.reconciler.delete(known.get(key)!.reference)
        known.delete(key)
      }
      if (random.once(30)) running.reconciler.upsert(broken(name))
      // Some are taken while others are being made.
      if (random.once(20)) await new Promise((resolve) => setImmediate(resolve))
    }
    if (random.once(4)) {
      await running.reconciler.settled()
      const place = { family: 'inet', table: 'viaduct' } as const
      const name = random.of(['services4', 'backends6', 'hairpin4'])
      // Where there is nothing nobody is told that it was emptied.
      if ((await nftables.elements({ ...place, name })).elements.length > 0) {
        const seen = running.reconciler.counts.repairs
        await nftables
          .transaction()
          .flush('set', { ...place, name })
          .commit()
        await until('it is repaired', () => running.reconciler.counts.repairs > seen)
      }
    }
    await running.reconciler.settled()
    const objects = [...known.values()].map(({ object }) => object)
    const other = await started(t, fresh, [...objects].reverse())
    const wanted = await contentOf(fresh)
    lines += wanted.length
    const { failures } = other.reconciler.counts
    await other.dataplane.teardown()
    await other.close()
    t.equal(failures, 0)
    if (!t.same(difference(await contentOf(netns), wanted), [], `burst ${burst}`)) return
    if (random.once(3)) {
      await running.close()
      running = await started(t, netns, objects)
      if (!t.equal(running.reconciler.counts.writes, 0, 'a restart writes nothing')) return
    }
  }
  t.comment(`${changes} changes`)
  t.ok(lines > 100 * bursts, 'there was something to compare')
})

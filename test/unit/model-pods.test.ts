import t from 'tap'
import { matches, readSelector, type SelectorInput, ServiceModel } from '../../src/model/index.js'
import { endpoint, lines, node, only, pod, service, slice, texts, web } from './model-objects.js'

const selecting = (more: object = {}) => web({ selector: { app: 'web' }, ...more })

function cluster(model: ServiceModel): string[] {
  return texts(only(model).servers.cluster)
}

void t.test('a Pod that comes back with another address is followed', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.upsert(selecting())
  model.upsert(pod('web-0', '10.0.0.1'))
  t.same(model.take().upserted[0]?.servers.cluster, [
    { address: '10.0.0.1', port: 8080, weight: 1, isLocal: true },
  ])
  model.delete({ kind: 'Pod', namespace: 'default', name: 'web-0' })
  model.upsert(pod('web-0', '10.0.0.7'))
  t.same(texts(model.take().upserted[0]!.servers.cluster), ['10.0.0.7:8080'])
  model.upsert(pod('web-0', '10.0.0.8'))
  t.same(texts(model.take().upserted[0]!.servers.cluster), ['10.0.0.8:8080'])
  model.upsert(pod('web-0', '10.0.0.8', { labels: { app: 'other' } }))
  t.same(model.take().upserted[0]!.servers.any, false)
})

void t.test('ready, serving, terminating, ended', async (t) => {
  const model = new ServiceModel()
  const deleted = { metadata: { deletionTimestamp: '2024-01-01T00:00:00Z' } }
  const labels = { app: 'web' }
  model.replaceAll([
    selecting(),
    pod('ready', '10.0.0.1'),
    pod('unready', '10.0.0.2', { ready: false }),
    pod('ends', '10.0.0.3', {
      metadata: { ...deleted.metadata, name: 'ends', namespace: 'default', labels },
    }),
    pod('ended', '10.0.0.4', { phase: 'Succeeded' }),
    pod('failed', '10.0.0.5', { phase: 'Failed' }),
    pod('new', [], {}),
    pod('elsewhere', '10.0.0.6', { namespace: 'other' }),
  ])
  t.same(cluster(model), ['10.0.0.1:8080'])
  t.same(texts(only(model).servers.draining), ['10.0.0.3:8080'])
  const slices = model.service({ name: 'web' })!.slices
  t.same(
    slices[0]!.endpoints.map(({ pod: name, ready, serving, terminating }) => [
      name,
      ready,
      serving,
      terminating,
    ]),
    [
      ['ready', true, true, false],
      ['unready', false, false, false],
      ['ends', false, true, true],
    ],
  )
  model.delete({ kind: 'Pod', name: 'ready' })
  t.same(cluster(model), ['10.0.0.3:8080'], 'who ends serves where nobody else does')
  model.upsert(selecting({ publishNotReadyAddresses: true }))
  t.same(cluster(model), ['10.0.0.2:8080', '10.0.0.3:8080'])
})

void t.test("named target ports are each Pod's own", async (t) => {
  const model = new ServiceModel()
  const ports = (containerPort: number, protocol?: string) => ({
    spec: { containers: [{ ports: [{ name: 'app', containerPort, protocol }] }] },
  })
  model.replaceAll([
    web({ selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'app' }] }),
    pod('one', '10.0.0.1', ports(8080)),
    pod('two', '10.0.0.2', ports(9090)),
    pod('udp', '10.0.0.3', ports(9090, 'UDP')),
    pod('without', '10.0.0.4'),
    pod('beside', '10.0.0.5', {
      spec: {
        initContainers: [
          { ports: [{ name: 'app', containerPort: 1 }] },
          { restartPolicy: 'Always', ports: [{ name: 'app', containerPort: 7070 }] },
        ],
      },
    }),
  ])
  t.same(cluster(model), ['10.0.0.1:8080', '10.0.0.2:9090', '10.0.0.5:7070'])
})

void t.test('both families, host networks, host names, zones', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.replaceAll([
    web({ selector: { app: 'web' }, clusterIPs: ['10.96.0.7', 'fd00::7'] }),
    service(
      { clusterIP: 'None', selector: { app: 'web' }, ports: [{ name: 'p', port: 80 }] },
      { name: 'sub' },
    ),
    node('a', 'x'),
    pod('both', ['10.0.0.1', 'fd00:1::1'], { spec: { hostname: 'h1', subdomain: 'sub' } }),
    pod('four', '10.0.0.2', { spec: { hostname: 'h2', subdomain: 'web-else' } }),
    pod('host', [], { spec: { hostNetwork: true, nodeName: 'b' }, status: { hostIP: '192.0.2.9' } }),
    pod('hidden', [], { spec: { nodeName: 'b' }, status: { hostIP: '192.0.2.10' } }),
  ])
  const [four, six] = [...model.virtualServices()]
  t.same(texts(four!.servers.cluster), ['10.0.0.1:8080', '10.0.0.2:8080', '192.0.2.9:8080'])
  t.same(texts(four!.servers.local), ['10.0.0.1:8080', '10.0.0.2:8080'])
  t.same(texts(six!.servers.cluster), ['fd00:1::1:8080'])
  const single = {
    clusterIP: 'None',
    ipFamilies: ['IPv6'],
    selector: { app: 'web' },
    ports: [{ name: 'p', port: 80 }],
  }
  model.upsert(service(single, { name: 'six' }))
  t.same(
    model.service({ name: 'six' })!.slices.map(({ family }) => family),
    ['ipv6'],
  )
  const slices = model.service({ name: 'sub' })!.slices
  t.same(
    slices.map(({ family, endpoints }) => [
      family,
      ...endpoints.map(({ hostname, zone }) => [hostname, zone]),
    ]),
    [
      ['ipv4', ['h1', 'x'], [undefined, 'x'], [undefined, undefined]],
      ['ipv6', ['h1', 'x']],
    ],
  )
})

void t.test('slices that a source gives come before Pods', async (t) => {
  const model = new ServiceModel()
  model.replaceAll([selecting(), pod('web-0', '10.0.0.1'), slice([endpoint('10.0.0.9')])])
  t.same(cluster(model), ['10.0.0.9:8080'])
  model.take()
  model.upsert(pod('web-0', '10.0.0.2'))
  t.same(model.take().services, [], 'a Pod has nothing to say there')
  model.delete({ kind: 'EndpointSlice', name: 'web-1' })
  t.same(cluster(model), ['10.0.0.2:8080'])
})

void t.test('weights of Pods, also where slices are given', async (t) => {
  const model = new ServiceModel()
  const weighted = (weight: string) =>
    pod('web-0', '10.0.0.1', {
      metadata: {
        name: 'web-0',
        namespace: 'default',
        labels: { app: 'web' },
        annotations: { 'viaduct/weight': weight },
      },
    })
  model.replaceAll([selecting(), weighted('7')])
  t.equal(only(model).servers.cluster[0]?.weight, 7)
  model.upsert(slice([endpoint('10.0.0.1', 'a', {}, { targetRef: { kind: 'Pod', name: 'web-0' } })]))
  t.equal(only(model).servers.cluster[0]?.weight, 7)
  model.upsert(weighted('9'))
  t.equal(only(model).servers.cluster[0]?.weight, 9)
  model.upsert(weighted('0'))
  t.same(texts(only(model).servers.draining), ['10.0.0.1:8080'])
  model.upsert(weighted('many'))
  t.equal(only(model).servers.cluster[0]?.weight, 1)
  t.match(lines(model.take().problems)[0], /^Pod web-0: AnnotationIgnored/)
})

void t.test('where traffic is to stay near, computed slices have hints', async (t) => {
  const servers = (trafficDistribution: string, nodeName: string) => {
    const model = new ServiceModel({ nodeName })
    model.replaceAll([
      selecting({ trafficDistribution }),
      node('a', 'x'),
      node('b', 'y'),
      node('c', 'y'),
      pod('one', '10.0.0.1', { spec: { nodeName: 'a' } }),
      pod('two', '10.0.0.2', { spec: { nodeName: 'b' } }),
      pod('three', '10.0.0.3', { spec: { nodeName: 'c' } }),
    ])
    return cluster(model)
  }
  t.same(servers('PreferClose', 'b'), ['10.0.0.2:8080', '10.0.0.3:8080'])
  t.same(servers('PreferSameZone', 'a'), ['10.0.0.1:8080'])
  t.same(servers('PreferSameNode', 'c'), ['10.0.0.3:8080'])
  t.equal(servers('', 'c').length, 3)
  const model = new ServiceModel({ nodeName: 'a' })
  model.replaceAll([
    selecting({ trafficDistribution: 'PreferClose' }),
    node('a', 'x'),
    pod('one', '10.0.0.1'),
    node('b', 'y'),
  ])
  model.upsert(pod('two', '10.0.0.2', { spec: { nodeName: 'b' } }))
  t.same(cluster(model), ['10.0.0.1:8080'])
  model.upsert(node('b', 'x'))
  t.equal(cluster(model).length, 2, 'a node that moves takes its Pods along')
})

void t.test('the short form selects Pods, too', async (t) => {
  const model = new ServiceModel()
  model.upsert(pod('one', '10.0.0.1', { labels: { tier: 'front' } }))
  model.upsert(pod('two', '10.0.0.2', { labels: { tier: 'back' } }))
  model.upsert({
    name: 'web',
    address: '192.0.2.1',
    ports: [80],
    selector: 'tier notin (back)',
    servers: ['10.0.0.9'],
  })
  t.same(cluster(model), ['10.0.0.1:80', '10.0.0.9:80'])
  const selector = { matchExpressions: [{ key: 'tier', operator: 'In', values: ['front', 'back'] }] }
  model.upsert({ name: 'web', address: '192.0.2.1', ports: [80], selector })
  t.same(cluster(model), ['10.0.0.1:80', '10.0.0.2:80'])
  model.upsert(pod('three', '10.0.0.3', { labels: { tier: 'back' } }))
  t.equal(cluster(model).length, 3)
})

void t.test('a Pod asks only services that may select it', async (t) => {
  const model = new ServiceModel()
  for (let index = 0; index < 100; index++) {
    const spec = { clusterIP: `10.96.0.${index}`, selector: { app: `app-${index}` } }
    model.upsert(web(spec, { name: `s-${index}` }))
  }
  model.upsert(pod('one', '10.0.0.1', { labels: { app: 'app-5', other: 'label' } }))
  model.take()
  model.upsert(pod('one', '10.0.0.2', { labels: { app: 'app-5', other: 'label' } }))
  t.same(model.take().services, ['default/s-5'])
  model.upsert(pod('one', '10.0.0.2', { labels: { app: 'app-6' } }))
  t.same([...model.take().services].sort(), ['default/s-5', 'default/s-6'])
  model.upsert(web({ clusterIP: '10.96.1.1', selector: { app: 'app-6', tier: 'front' } }, { name: 'narrow' }))
  model.take()
  model.upsert(pod('one', '10.0.0.3', { labels: { app: 'app-6' } }))
  t.same(model.take().services, ['default/s-6'], 'every label counts')
})

void t.test('selectors: by equality and by sets, as maps and as text', async (t) => {
  const labels = { app: 'web', tier: 'front', empty: '' }
  const holds = (input: SelectorInput) => matches(readSelector(input, 'selector'), labels)
  const right: SelectorInput[] = [
    {},
    { app: 'web' },
    {
      matchLabels: { app: 'web' },
      matchExpressions: [{ key: 'tier', operator: 'In', values: ['back', 'front'] }],
    },
    { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['back'] }] },
    { matchExpressions: [{ key: 'absent', operator: 'NotIn', values: ['back'] }] },
    { matchExpressions: [{ key: 'tier', operator: 'Exists' }] },
    { matchExpressions: [{ key: 'toString', operator: 'DoesNotExist' }] },
    '',
    'app=web',
    'app == web , tier in (back, front)',
    'absent!=x,app',
    '!absent,tier notin (back)',
    'empty=',
  ]
  const wrong: SelectorInput[] = [
    { app: 'other' },
    { app: 'web', absent: 'x' },
    { matchLabels: { app: 'other' } },
    { matchExpressions: [{ key: 'tier', operator: 'In', values: ['back'] }] },
    { matchExpressions: [{ key: 'absent', operator: 'In', values: ['back'] }] },
    { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['front'] }] },
    { matchExpressions: [{ key: 'absent', operator: 'Exists' }] },
    { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] },
    'app!=web',
    'tier in (back)',
    'tier notin (front)',
    '!app',
    'absent',
  ]
  for (const input of right) t.equal(holds(input), true, JSON.stringify(input))
  for (const input of wrong) t.equal(holds(input), false, JSON.stringify(input))
  const refused: readonly (readonly [input: unknown, path: string])[] = [
    [7, 'selector'],
    [{ app: 7 }, 'selector.app'],
    [{ matchLabels: { app: 7 } }, 'selector.matchLabels.app'],
    [{ matchLabels: {}, other: {} }, 'selector.other'],
    [{ matchExpressions: [{ key: 'a', operator: 'Near' }] }, 'selector.matchExpressions[0].operator'],
    [{ matchExpressions: [{ key: 'a', operator: 'In' }] }, 'selector.matchExpressions[0].values'],
    [
      { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] },
      'selector.matchExpressions[0].values',
    ],
    [{ matchExpressions: [{ operator: 'Exists' }] }, 'selector.matchExpressions[0].key'],
    [{ matchExpressions: ['a'] }, 'selector.matchExpressions[0]'],
    ['app=(', 'selector'],
    ['a b', 'selector'],
    ['in (a', 'selector'],
  ]
  for (const [input, path] of refused) {
    t.throws(
      () => readSelector(input, 'selector'),
      { code: 'ERR_VIADUCT_VALIDATION', path },
      JSON.stringify(input),
    )
  }
})

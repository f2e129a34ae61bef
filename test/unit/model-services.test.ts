import t from 'tap'
import { type ModelObject, type ServiceInput, ServiceModel } from '../../src/model/index.js'
import {
  ended,
  ending,
  endpoint,
  frontends,
  lines,
  node,
  only,
  service,
  slice,
  texts,
  unready,
  web,
} from './model-objects.js'

void t.test('a service and its slice make a virtual service', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.upsert(
    slice([
      { addresses: ['10.0.0.2'], nodeName: 'b' },
      { addresses: ['10.0.0.1'], nodeName: 'a' },
    ]),
  )
  t.same([...model.virtualServices()], [])
  model.upsert(web({ ports: [{ name: 'http', port: 80, targetPort: 0 }] }))
  const change = model.take()
  t.same(change.deleted, [])
  t.same(change.problems, [])
  t.strictSame(change.upserted, [
    {
      key: 'default/web:http/tcp/ipv4',
      service: 'default/web',
      family: 'ipv4',
      protocol: 'tcp',
      frontends: [{ kind: 'cluster', address: '10.96.0.7', port: 80 }],
      servers: {
        cluster: [
          { address: '10.0.0.1', port: 8080, weight: 1, isLocal: true },
          { address: '10.0.0.2', port: 8080, weight: 1, isLocal: false },
        ],
        local: [{ address: '10.0.0.1', port: 8080, weight: 1, isLocal: true }],
        draining: [],
        any: true,
      },
      internalTrafficPolicy: 'cluster',
      externalTrafficPolicy: 'cluster',
      affinitySeconds: undefined,
      scheduler: undefined,
      sourceRanges: undefined,
    },
  ])
  t.same(model.take().upserted, [], 'told once')
  model.delete({ kind: 'EndpointSlice', namespace: 'default', name: 'web-1' })
  t.same(model.take().upserted[0]?.servers, { cluster: [], local: [], draining: [], any: false })
  model.delete({ kind: 'Service', namespace: 'default', name: 'web' })
  t.same(model.take().deleted, ['default/web:http/tcp/ipv4'])
  t.same([...model.virtualServices()], [])
})

/** Servers of the only service of a model on node `a` with these endpoints. */
function servers(endpoints: readonly object[], spec: object = {}, more: { zone?: string } = {}) {
  const model = new ServiceModel({ nodeName: 'a', ...more })
  model.replaceAll([web(spec), slice(endpoints)])
  const { cluster, local, draining, any } = only(model).servers
  return { cluster: texts(cluster), local: texts(local), draining: texts(draining), any }
}

void t.test('ready ones are chosen, and where none is, those that serve to the end', async (t) => {
  const mixed = [
    endpoint('10.0.0.1', 'a', ending),
    endpoint('10.0.0.2', 'b'),
    endpoint('10.0.0.3', 'b', unready),
    endpoint('10.0.0.4', 'b', ended),
  ]
  t.same(servers(mixed), {
    cluster: ['10.0.0.2:8080'],
    local: ['10.0.0.1:8080'],
    draining: ['10.0.0.1:8080', '10.0.0.4:8080'],
    any: true,
  })
  t.same(
    servers(mixed, { internalTrafficPolicy: 'Local' }).draining,
    ['10.0.0.4:8080'],
    'what local traffic is given to does not drain',
  )
  t.same(
    servers([
      endpoint('10.0.0.1', 'a', ending),
      endpoint('10.0.0.2', 'b', ended),
      endpoint('10.0.0.3', 'b', unready),
    ]),
    { cluster: ['10.0.0.1:8080'], local: ['10.0.0.1:8080'], draining: ['10.0.0.2:8080'], any: true },
  )
  t.same(servers([endpoint('10.0.0.3', 'a', unready)]), { cluster: [], local: [], draining: [], any: false })
  t.same(
    servers([endpoint('10.0.0.3', 'b', {})], { internalTrafficPolicy: 'Local' }),
    { cluster: ['10.0.0.3:8080'], local: [], draining: [], any: true },
    'there is one, but not here',
  )
  t.same(
    servers([endpoint('10.0.0.1', 'a', ending)], { externalTrafficPolicy: 'Local', type: 'NodePort' }).local,
    ['10.0.0.1:8080'],
  )
})

void t.test(
  'a policy for traffic from outside means nothing to a service that has no such address',
  async (t) => {
    const endpoints = [endpoint('10.0.0.1', 'a', ending), endpoint('10.0.0.2', 'b')]
    t.same(servers(endpoints, { externalTrafficPolicy: 'Local' }).draining, ['10.0.0.1:8080'])
    const outside = { externalTrafficPolicy: 'Local', externalIPs: ['192.0.2.1'] }
    t.same(servers(endpoints, outside).draining, [])
  },
)

void t.test('an endpoint that stands twice in a slice is one server', async (t) => {
  const twice = [endpoint('10.0.0.2', 'a'), endpoint('10.0.0.1', 'a', unready), endpoint('10.0.0.1', 'a')]
  t.same(servers(twice).cluster, ['10.0.0.1:8080', '10.0.0.2:8080'])
  t.same(servers([endpoint('10.0.0.1', 'a'), endpoint('10.0.0.1', 'a')]).cluster, ['10.0.0.1:8080'])
})

void t.test('an endpoint whose node nobody names is not known to be local', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.replaceAll([web(), slice([endpoint('10.0.0.1')])])
  t.same(only(model).servers.cluster[0]?.isLocal, undefined)
  t.same(only(model).servers.local, [])
})

void t.test('hints hold where every ready endpoint has one that fits, those for nodes first', async (t) => {
  const zones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } })
  const one = endpoint('10.0.0.1', 'b', {}, zones('x'))
  const two = endpoint('10.0.0.2', 'b', {}, zones('y', 'z'))
  t.same(servers([one, two], {}, { zone: 'x' }).cluster, ['10.0.0.1:8080'])
  t.same(servers([one, two], {}, { zone: 'z' }).cluster, ['10.0.0.2:8080'])
  const both = ['10.0.0.1:8080', '10.0.0.2:8080']
  t.same(servers([one, two], {}, { zone: 'w' }).cluster, both, 'none is for this zone')
  t.same(servers([one, two]).cluster, both, 'nobody knows where this node is')
  t.same(servers([one, endpoint('10.0.0.2', 'b')], {}, { zone: 'x' }).cluster, both, 'one has no hint')
  t.same(
    servers([one, endpoint('10.0.0.2', 'b', unready)], {}, { zone: 'x' }).cluster,
    ['10.0.0.1:8080'],
    'ready ones alone count',
  )
  const nodes = (address: string, name: string, zone: string) =>
    endpoint(address, name, {}, { hints: { forNodes: [{ name }], forZones: [{ name: zone }] } })
  const near = [nodes('10.0.0.1', 'a', 'y'), nodes('10.0.0.2', 'b', 'x')]
  t.same(servers(near, {}, { zone: 'x' }).cluster, ['10.0.0.1:8080'], 'node before zone')
  const far = [nodes('10.0.0.1', 'c', 'y'), nodes('10.0.0.2', 'b', 'x')]
  t.same(servers(far, {}, { zone: 'x' }).cluster, ['10.0.0.2:8080'], 'zone where no node fits')
  const halfHinted = [near[0]!, endpoint('10.0.0.2', 'b', {}, zones('x'))]
  t.same(servers(halfHinted, {}, { zone: 'x' }).cluster, ['10.0.0.2:8080'], 'nodes count where all name some')
  t.same(servers(near, {}, { zone: 'x' }).any, true)
  t.same(servers(far, { internalTrafficPolicy: 'Local' }).local, [])
  const ends = [endpoint('10.0.0.1', 'b', ending, zones('y')), endpoint('10.0.0.2', 'b', ending, zones('x'))]
  t.same(servers(ends, {}, { zone: 'x' }).cluster.length, 2, 'those that end are not chosen by hints')
})

void t.test(
  'the zone of this node is that of its object, and a change of it moves what follows from it',
  async (t) => {
    const model = new ServiceModel({ nodeName: 'a' })
    const hint = (name: string) => ({ hints: { forZones: [{ name }] } })
    model.replaceAll([
      web(),
      slice([endpoint('10.0.0.1', 'b', {}, hint('x')), endpoint('10.0.0.2', 'b', {}, hint('y'))]),
    ])
    model.take()
    model.upsert(node('b', 'x'))
    t.same(model.take().upserted, [])
    model.upsert(node('a', 'x'))
    t.same(texts(model.take().upserted[0]!.servers.cluster), ['10.0.0.1:8080'])
    model.delete({ kind: 'Node', name: 'a' })
    t.same(model.take().upserted[0]!.servers.cluster.length, 2)
  },
)

void t.test('an endpoint in two slices is one server, as good as the better of them', async (t) => {
  for (const order of [0, 1]) {
    const slices = [
      slice([endpoint('10.0.0.1', 'a', ended), endpoint('10.0.0.2', 'b')], { name: 'web-1' }),
      slice([endpoint('10.0.0.1', 'a'), endpoint('10.0.0.1', 'a')], { name: 'web-2' }),
      slice([endpoint('10.0.0.1', 'a')], { name: 'web-3', ports: [{ name: 'http', port: 9090 }] }),
    ]
    const model = new ServiceModel({ nodeName: 'a' })
    model.replaceAll([web(), ...(order === 0 ? slices : slices.reverse())])
    t.same(texts(only(model).servers.cluster), ['10.0.0.1:8080', '10.0.0.1:9090', '10.0.0.2:8080'])
    t.same(only(model).servers.draining, [])
  }
})

void t.test('slices serve ports of their name and protocol only', async (t) => {
  const model = new ServiceModel()
  model.upsert(
    service({
      clusterIP: '10.96.0.7',
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        { name: 'other', port: 54 },
      ],
    }),
  )
  const ports = [
    { name: 'dns', port: 5353, protocol: 'UDP' },
    { name: 'dns-tcp', port: 5354, protocol: 'TCP' },
    { name: 'other', protocol: 'TCP' },
    { name: 'dns', port: 1, protocol: 'TCP' },
  ]
  model.upsert(slice([endpoint('10.0.0.1')], { ports }))
  t.same(
    [...model.virtualServices()].map(({ key, servers: { cluster } }) => [key, ...texts(cluster)]),
    [
      ['default/web:dns/udp/ipv4', '10.0.0.1:5353'],
      ['default/web:dns-tcp/tcp/ipv4', '10.0.0.1:5354'],
      ['default/web:other/tcp/ipv4'],
    ],
  )
})

void t.test(
  'where it is reached: cluster, external and load balancer addresses, node ports; in each family',
  async (t) => {
    const model = new ServiceModel()
    model.upsert(
      service(
        {
          type: 'LoadBalancer',
          clusterIPs: ['10.96.0.7', 'FD00::7'],
          clusterIP: '10.96.0.7',
          externalIPs: ['192.0.2.1', '2001:db8::1', '192.0.2.1'],
          sessionAffinity: 'ClientIP',
          loadBalancerSourceRanges: [' 198.51.100.7/24', '2001:db8::/32 '],
          ports: [{ port: 80, nodePort: 2001 }],
        },
        {
          status: {
            loadBalancer: {
              ingress: [
                { ip: '203.0.113.1' },
                { ip: '203.0.113.2', ipMode: 'VIP' },
                { ip: '203.0.113.3', ipMode: 'Proxy' },
                { hostname: 'lb.example' },
              ],
            },
          },
        },
      ),
    )
    t.same(frontends(model), {
      'default/web:80/tcp/ipv4': [
        'cluster:10.96.0.7:80',
        'external:192.0.2.1:80',
        'load-balancer:203.0.113.1:80',
        'load-balancer:203.0.113.2:80',
        'node-port:2001',
      ],
      'default/web:80/tcp/ipv6': ['cluster:fd00::7:80', 'external:2001:db8::1:80', 'node-port:2001'],
    })
    const [four, six] = [...model.virtualServices()]
    t.equal(four!.affinitySeconds, 10_800)
    t.same([four!.sourceRanges, six!.sourceRanges], [['198.51.100.0/24'], ['2001:db8::/32']])
    t.same(lines(model.take().problems), [])
  },
)

void t.test('a service is of the families of its cluster addresses', async (t) => {
  const model = new ServiceModel()
  model.upsert(web({ externalIPs: ['2001:db8::1'] }))
  t.same(Object.keys(frontends(model)), ['default/web:http/tcp/ipv4'])
})

void t.test('source ranges that hold everybody hold nobody back', async (t) => {
  const model = new ServiceModel()
  const ranges = ['198.51.100.0/24', ' 0.0.0.0/0', '2001:db8::/32']
  model.upsert(web({ type: 'LoadBalancer', loadBalancerSourceRanges: ranges }))
  t.equal(only(model).sourceRanges, undefined)
  model.upsert(web({ type: 'ClusterIP', loadBalancerSourceRanges: ['198.51.100.0/24'] }))
  t.equal(only(model).sourceRanges, undefined, 'there is no load balancer')
})

void t.test('headless services and names of elsewhere are known, but are no virtual services', async (t) => {
  const model = new ServiceModel()
  model.upsert(service({ clusterIP: 'None', ports: [{ port: 80 }] }))
  model.upsert(service({ type: 'ExternalName', externalName: 'example.org' }, { name: 'away' }))
  model.upsert(slice([endpoint('10.0.0.1', 'a', {}, { hostname: 'one' })]))
  const change = model.take()
  t.same([change.upserted, change.problems], [[], []])
  t.same([...change.services].sort(), ['default/away', 'default/web'])
  t.equal(model.service({ name: 'away' })?.service.externalName, 'example.org')
  t.equal(model.service({ namespace: 'default', name: 'web' })?.slices[0]?.endpoints[0]?.hostname, 'one')
  t.equal(model.service({ name: 'nobody' }), undefined)
  t.same([...model.services()].length, 2)
})

void t.test('Endpoints count where there is no slice', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.upsert(web())
  model.upsert({
    kind: 'Endpoints',
    metadata: { name: 'web', namespace: 'default' },
    subsets: [
      {
        addresses: [{ ip: '10.0.0.1', nodeName: 'a' }, { ip: 'fd00::1' }],
        notReadyAddresses: [{ ip: '10.0.0.2' }],
        ports: [{ name: 'http', port: 8080 }],
      },
    ],
  })
  t.same(texts(only(model).servers.cluster), ['10.0.0.1:8080'])
  t.same(only(model).servers.draining, [], 'who is not ready is not about to end')
  model.upsert(slice([endpoint('10.0.0.9')]))
  t.same(texts(only(model).servers.cluster), ['10.0.0.9:8080'])
  model.delete({ kind: 'EndpointSlice', name: 'web-1' })
  t.same(texts(only(model).servers.cluster), ['10.0.0.1:8080'])
  model.delete({ kind: 'Endpoints', name: 'web' })
  t.equal(only(model).servers.any, false)
})

void t.test("a slice that is another service's now leaves the first one", async (t) => {
  const model = new ServiceModel()
  model.replaceAll([web(), web({ clusterIP: '10.96.0.8' }, { name: 'api' }), slice([endpoint('10.0.0.1')])])
  model.take()
  model.upsert(slice([endpoint('10.0.0.1')], { of: 'api' }))
  const { upserted } = model.take()
  t.same(upserted.map(({ service: id, servers: { cluster } }) => [id, cluster.length]).sort(), [
    ['default/api', 1],
    ['default/web', 0],
  ])
})

void t.test('annotations: scheduler and weights; wrong ones are told and have no effect', async (t) => {
  const model = new ServiceModel()
  model.upsert(web({}, { metadata: { annotations: { 'viaduct/scheduler': 'wrr' } } }))
  model.upsert(
    slice([endpoint('10.0.0.1')], {
      metadata: { annotations: { 'viaduct/weight': '5' }, labels: { 'kubernetes.io/service-name': 'web' } },
    }),
  )
  model.upsert(
    slice([endpoint('10.0.0.2')], {
      name: 'web-2',
      metadata: { annotations: { 'viaduct/weight': '0' }, labels: { 'kubernetes.io/service-name': 'web' } },
    }),
  )
  t.equal(only(model).scheduler, 'wrr')
  t.same(
    only(model).servers.cluster.map(({ weight }) => weight),
    [5],
  )
  t.same(texts(only(model).servers.draining), ['10.0.0.2:8080'])
  t.same(model.take().problems, [])
  model.upsert(web({}, { metadata: { annotations: { 'viaduct/scheduler': 'no such\n' } } }))
  model.upsert(
    slice([endpoint('10.0.0.1')], {
      metadata: { annotations: { 'viaduct/weight': '-1' }, labels: { 'kubernetes.io/service-name': 'web' } },
    }),
  )
  const change = model.take()
  t.equal(change.upserted[0]?.scheduler, undefined)
  t.equal(change.upserted[0]?.servers.cluster[0]?.weight, 1)
  t.same(lines(change.problems).sort(), [
    'EndpointSlice web-1: AnnotationIgnored: the annotation viaduct/weight has no effect: expected an integer from 0 to 65535, got "-1"',
    'Service web: AnnotationIgnored: the annotation viaduct/scheduler has no effect: expected the name of a scheduler, such as "wrr", got "no such\\n"',
  ])
  model.delete({ kind: 'EndpointSlice', name: 'web-1' })
  model.upsert(web())
  t.same(
    model
      .take()
      .solved.map(({ kind }) => kind)
      .sort(),
    ['EndpointSlice', 'Service'],
  )
  t.same(model.problems(), [])
})

void t.test(
  'of two services at one frontend the older one has it, and the other one when that is gone',
  async (t) => {
    const at = (name: string, created?: string, more: object = {}) =>
      web({ externalIPs: ['192.0.2.1'], ...more }, { name, metadata: { creationTimestamp: created } })
    const young = at('young', '2024-02-02T00:00:00Z', { clusterIP: '10.96.0.2' })
    const old = at('old', '2023-02-02T00:00:00Z', { clusterIP: '10.96.0.1' })
    const model = new ServiceModel()
    model.upsert(young)
    model.take()
    model.upsert(old)
    t.same(lines(model.take().problems), [
      'Service young: AddressTaken: 192.0.2.1:80/tcp is held by the service default/old',
    ])
    t.same(frontends(model), {
      'default/young:http/tcp/ipv4': ['cluster:10.96.0.2:80'],
      'default/old:http/tcp/ipv4': ['cluster:10.96.0.1:80', 'external:192.0.2.1:80'],
    })
    model.upsert(at('third', undefined, { clusterIP: '10.96.0.3' }))
    model.upsert(at('fourth', undefined, { clusterIP: '10.96.0.4' }))
    model.delete({ kind: 'Service', name: 'old' })
    const change = model.take()
    t.same(change.deleted, ['default/old:http/tcp/ipv4'])
    t.same(change.solved, [{ kind: 'Service', namespace: 'default', name: 'young' }])
    t.same(lines(change.problems).sort(), [
      'Service fourth: AddressTaken: 192.0.2.1:80/tcp is held by the service default/young',
      'Service third: AddressTaken: 192.0.2.1:80/tcp is held by the service default/young',
    ])
    model.delete({ kind: 'Service', name: 'young' })
    model.take()
    t.same(
      frontends(model)['default/third:http/tcp/ipv4'],
      ['cluster:10.96.0.3:80', 'external:192.0.2.1:80'],
      'first come',
    )
    model.upsert(at('fourth', '2020-01-01T00:00:00Z', { clusterIP: '10.96.0.4' }))
    t.same(frontends(model)['default/fourth:http/tcp/ipv4']?.length, 2, 'it turns out to be older')
  },
)

void t.test("another port or another protocol of an address is nobody else's", async (t) => {
  const model = new ServiceModel()
  const at = (name: string, port: object) => service({ clusterIP: '10.96.0.7', ports: [port] }, { name })
  model.replaceAll([at('a', { port: 80 }), at('b', { port: 81 }), at('c', { port: 80, protocol: 'UDP' })])
  t.same(model.take().problems, [])
  t.equal([...model.virtualServices()].length, 3)
})

void t.test('health checks count the ready endpoints of this node', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 }
  model.upsert(web(spec))
  model.upsert(
    slice([endpoint('10.0.0.1', 'a'), endpoint('10.0.0.2', 'b'), endpoint('10.0.0.3', 'a', ending)]),
  )
  t.same(model.healthChecks(), [{ service: 'default/web', port: 31000, localEndpoints: 1 }])
  model.upsert(slice([]))
  t.same(model.healthChecks(), [{ service: 'default/web', port: 31000, localEndpoints: 0 }])
  model.upsert(web({ ...spec, externalTrafficPolicy: 'Cluster' }))
  t.same(model.healthChecks(), [])
})

void t.test('the short form', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  const input: ServiceInput = {
    name: 'web',
    address: ['192.0.2.1', '2001:DB8::1'],
    externalAddresses: ['198.51.100.1'],
    ports: [80, { port: 443, name: 'https', targetPort: 8443, protocol: 'tcp', nodePort: 30443 }],
    servers: [
      '10.0.0.2',
      '10.0.0.1:9000',
      '[fd00::1]:8080',
      { address: '10.0.0.3', weight: 3, node: 'a' },
      { address: '10.0.0.4', weight: 0 },
    ],
    scheduler: 'wrr',
    affinitySeconds: 60,
    sourceRanges: ['203.0.113.0/24'],
    externalTrafficPolicy: 'local',
  }
  model.upsert(input)
  t.same(model.take().problems, [])
  t.same(frontends(model), {
    'default/web:80/tcp/ipv4': ['cluster:192.0.2.1:80', 'load-balancer:198.51.100.1:80'],
    'default/web:https/tcp/ipv4': [
      'cluster:192.0.2.1:443',
      'load-balancer:198.51.100.1:443',
      'node-port:30443',
    ],
    'default/web:80/tcp/ipv6': ['cluster:2001:db8::1:80'],
    'default/web:https/tcp/ipv6': ['cluster:2001:db8::1:443', 'node-port:30443'],
  })
  const [plain, tls, six] = [...model.virtualServices()]
  t.same(texts(plain!.servers.cluster), ['10.0.0.1:9000', '10.0.0.2:80', '10.0.0.3:80'])
  t.same(texts(tls!.servers.cluster), ['10.0.0.1:9000', '10.0.0.2:8443', '10.0.0.3:8443'])
  t.same(texts(tls!.servers.local), ['10.0.0.3:8443'])
  t.same(texts(plain!.servers.draining), ['10.0.0.4:80'])
  t.same(texts(six!.servers.cluster), ['fd00::1:8080'])
  t.same(
    plain!.servers.cluster.map(({ weight }) => weight),
    [1, 1, 3],
  )
  t.same([tls!.scheduler, tls!.affinitySeconds, tls!.externalTrafficPolicy], ['wrr', 60, 'local'])
})

void t.test('in the short form services may share an address', async (t) => {
  const model = new ServiceModel({ allocate: { clusterRanges: ['10.96.0.0/16'] } })
  const one = (name: string, port: number): ServiceInput => ({
    name,
    address: '192.0.2.1',
    ports: [port],
    servers: [],
  })
  model.replaceAll([one('a', 80), one('b', 443), one('c', 80)])
  t.same(lines(model.take().problems), [
    'Service c: AddressTaken: 192.0.2.1:80/tcp is held by the service default/a',
  ])
})

void t.test('a change of one endpoint asks nothing of other services', async (t) => {
  const model = new ServiceModel()
  const objects: ModelObject[] = []
  for (let index = 0; index < 500; index++) {
    const name = `s-${index}`
    objects.push(web({ clusterIP: `10.96.${index >> 8}.${index & 255}` }, { name }))
    objects.push(slice([endpoint('10.0.0.1')], { name: `${name}-1`, of: name }))
  }
  model.replaceAll(objects)
  t.equal(model.take().upserted.length, 500)
  const before = new Map([...model.virtualServices()].map((service) => [service.key, service]))
  model.upsert(slice([endpoint('10.0.0.2')], { name: 's-7-1', of: 's-7' }))
  const change = model.take()
  t.same([change.services, change.upserted.length], [['default/s-7'], 1])
  const same = [...model.virtualServices()].filter((service) => before.get(service.key) === service)
  t.equal(same.length, 499, 'the others are the very same objects')
  model.replaceAll(objects)
  t.equal(model.take().upserted.length, 1, 'taking all of them anew changes what differs')
  t.equal(model.take().upserted.length, 0)
})

void t.test('whatever a dataplane can see is a change, and nothing else', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  const balanced = { type: 'LoadBalancer', externalIPs: ['192.0.2.1', '10.96.0.7'] }
  model.replaceAll([web(balanced), slice([endpoint('10.0.0.1', 'a')])])
  model.take()
  t.same(frontends(model)['default/web:http/tcp/ipv4'], ['cluster:10.96.0.7:80', 'external:192.0.2.1:80'])
  const changes: readonly object[] = [
    { loadBalancerSourceRanges: ['198.51.100.0/24'] },
    { loadBalancerSourceRanges: ['198.51.100.0/25'] },
    { sessionAffinity: 'ClientIP' },
    { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } },
    { internalTrafficPolicy: 'Local' },
    { externalTrafficPolicy: 'Local' },
    { externalIPs: ['192.0.2.2'] },
    { ports: [{ name: 'http', port: 81 }] },
  ]
  for (const more of changes) {
    model.upsert(web({ ...balanced, ...more }))
    t.equal(model.take().upserted.length, 1, JSON.stringify(more))
    model.upsert(web({ ...balanced, ...more, selector: { some: 'thing' } }))
    t.equal(model.take().upserted.length, 0)
  }
  model.upsert(web(balanced))
  model.take()
  model.upsert(web(balanced, { metadata: { annotations: { 'viaduct/scheduler': 'sh' } } }))
  t.equal(model.take().upserted.length, 1)
  // Nothing of this node's, but it is told where its server is.
  const elsewhere = new ServiceModel({ nodeName: 'c' })
  elsewhere.replaceAll([web(), slice([endpoint('10.0.0.1')])])
  elsewhere.take()
  elsewhere.upsert(slice([endpoint('10.0.0.1', 'b')]))
  t.equal(elsewhere.take().upserted[0]?.servers.cluster[0]?.isLocal, false)
})

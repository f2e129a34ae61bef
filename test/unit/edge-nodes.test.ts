/** Nodes as backends: what a balancer in front of a cluster is to have. */
import type { Node, Service } from 'kubernetes-types/core/v1.js'
import fc from 'fast-check'
import t from 'tap'
import { nodeBackends, type NodeBackendsInput, PoolProvider } from '../../src/edge/index.js'
import { ServiceModel } from '../../src/model/index.js'

function node(
  name: string,
  number: number,
  more: { ready?: boolean; spec?: Node['spec']; labels?: Record<string, string> } = {},
): Node {
  return {
    metadata: { name, ...(more.labels === undefined ? {} : { labels: more.labels }) },
    ...(more.spec === undefined ? {} : { spec: more.spec }),
    status: {
      conditions: [
        { type: 'MemoryPressure', status: 'False' },
        { type: 'Ready', status: more.ready === false ? 'Unknown' : 'True' },
      ],
      addresses: [
        { type: 'Hostname', address: name },
        { type: 'InternalIP', address: `10.0.0.${number}` },
        { type: 'InternalIP', address: `fd00::${number}` },
        { type: 'ExternalIP', address: `192.0.2.${number}` },
      ],
    },
  }
}

function service(
  more: object = {},
  status: object | undefined = { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } },
): Service {
  return {
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      type: 'LoadBalancer',
      ports: [
        { name: 'http', port: 80, nodePort: 30080 },
        { name: 'quic', port: 443, protocol: 'UDP', nodePort: 30443 },
      ],
      ...more,
    },
    ...(status === undefined ? {} : { status }),
  }
}
const nodes = [node('b', 2), node('a', 1)]
const names = (input: NodeBackendsInput) =>
  nodeBackends(input).services[0]!.servers!.map((server) =>
    typeof server === 'string'
      ? server
      : `${server.node}${server.weight === undefined ? '' : `*${server.weight}`}`,
  )

t.test('a service is served by the nodes at its node ports', (t) => {
  const { services, checks, problems } = nodeBackends({
    services: [service(), service({ type: 'ClusterIP' })],
    nodes,
  })
  t.strictSame(services, [
    {
      namespace: 'shop',
      name: 'web',
      externalAddresses: ['198.51.100.1'],
      ports: [
        { port: 80, protocol: 'tcp', name: 'http', targetPort: 30080 },
        { port: 443, protocol: 'udp', name: 'quic', targetPort: 30443 },
      ],
      servers: [
        { address: '10.0.0.1', node: 'a' },
        { address: '10.0.0.2', node: 'b' },
      ],
      scheduler: undefined,
      affinitySeconds: undefined,
      sourceRanges: undefined,
    },
  ])
  t.same([checks, problems], [[], []])
  const model = new ServiceModel()
  for (const made of services) t.equal(model.upsert(made), undefined)
  const virtual = [...model.virtualServices()]
  t.match(virtual, [
    {
      key: 'shop/web:http/tcp/ipv4',
      frontends: [{ kind: 'load-balancer', address: '198.51.100.1', port: 80 }],
      servers: {
        cluster: [
          { address: '10.0.0.1', port: 30080 },
          { address: '10.0.0.2', port: 30080 },
        ],
      },
    },
    { key: 'shop/web:quic/udp/ipv4', servers: { cluster: [{ port: 30443 }, { port: 30443 }] } },
  ])
  t.end()
})

t.test('nodes come and go', (t) => {
  const of = (...list: Node[]) => names({ services: [service()], nodes: list })
  t.same(of(node('a', 1), node('b', 2, { ready: false })), ['a'], 'not ready')
  const excluded = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }
  t.same(of(node('a', 1), node('b', 2, { labels: excluded })), ['a'], 'labelled out')
  t.same(of(node('a', 1), node('b', 2, { spec: { unschedulable: true } })), ['a', 'b*0'], 'cordoned: drained')
  const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }]
  t.same(of(node('a', 1), node('b', 2, { spec: { taints } })), ['a', 'b*0'])
  const cordoned = [node('a', 1, { spec: { unschedulable: true } })]
  t.same(names({ services: [service()], nodes: cordoned, cordoned: 'keep' }), ['a'])
  t.same(names({ services: [service()], nodes: cordoned, cordoned: 'remove' }), [])
  t.match(
    nodeBackends({
      services: [service()],
      nodes: [{ ...node('a', 1), status: { conditions: [{ type: 'Ready', status: 'True' }] } }],
    }).problems,
    [{ object: { kind: 'Node', name: 'a' }, reason: 'NoNodeAddress' }],
  )
  t.end()
})

t.test('each family has its addresses of nodes', (t) => {
  const dual = {
    loadBalancer: {
      ingress: [
        { ip: '198.51.100.1' },
        { ip: '2001:DB8::1' },
        { ip: '203.0.113.9', ipMode: 'Proxy' },
        { hostname: 'lb' },
      ],
    },
  }
  const [made] = nodeBackends({ services: [service({}, dual)], nodes: [node('a', 1)] }).services
  t.same(made!.externalAddresses, ['198.51.100.1', '2001:db8::1'], 'a proxy’s address is not ours')
  t.same(made!.servers, [
    { address: '10.0.0.1', node: 'a' },
    { address: 'fd00::1', node: 'a' },
  ])
  const outside = nodeBackends({ services: [service()], nodes: [node('a', 1)], nodeAddress: 'ExternalIP' })
  t.match(outside.services[0]!.servers, [{ address: '192.0.2.1' }])
  const given = nodeBackends({
    services: [service({}, undefined)],
    nodes,
    addressesOf: () => ['203.0.113.1'],
  })
  t.same(given.services[0]!.externalAddresses, ['203.0.113.1'])
  t.end()
})

t.test('policy Local: the nodes that say that they have endpoints', (t) => {
  const local = service({ externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 })
  const asked = nodeBackends({ services: [local], nodes })
  t.same(asked.services[0]!.servers, [], 'none before they have said so')
  t.same(asked.checks, [
    { kind: 'service', service: 'shop/web', node: 'a', address: '10.0.0.1', port: 31000, path: '/healthz' },
    { kind: 'service', service: 'shop/web', node: 'b', address: '10.0.0.2', port: 31000, path: '/healthz' },
  ])
  t.same(names({ services: [local], nodes, verdict: ({ node }) => node === 'b' }), ['b'])
  t.same(names({ services: [local], nodes, verdict: ({ node }) => (node === 'b' ? 3 : undefined) }), ['b*3'])
  t.match(nodeBackends({ services: [service({ externalTrafficPolicy: 'Local' })], nodes }), {
    services: [],
    problems: [{ reason: 'NoHealthCheckNodePort' }],
  })
  t.end()
})

t.test('policy Cluster: the nodes that nothing speaks against', (t) => {
  const input = { services: [service()], nodes, nodeHealthPort: 10256 }
  t.match(nodeBackends(input).checks, [
    { kind: 'node', node: 'a', port: 10256 },
    { kind: 'node', node: 'b', port: 10256 },
  ])
  t.same(names(input), ['a', 'b'], 'as long as nothing is known')
  t.same(names({ ...input, verdict: ({ node }) => node !== 'a' }), ['b'])
  t.end()
})

t.test('what a service says is kept, and what cannot be is told', (t) => {
  const more = {
    sessionAffinity: 'ClientIP',
    loadBalancerSourceRanges: [' 203.0.113.0/24 '],
    ports: [{ port: 80, nodePort: 30080 }, { port: 81 }],
  }
  const { services, problems } = nodeBackends({ services: [service(more), service({}, {})], nodes })
  t.match(services, [{ affinitySeconds: 10_800, sourceRanges: ['203.0.113.0/24'], ports: [{ port: 80 }] }])
  t.match(problems, [
    { object: { kind: 'Service', namespace: 'shop', name: 'web' }, reason: 'NoNodePort', message: /81/ },
    { reason: 'NoAddress' },
  ])
  t.end()
})

t.test('whatever is written in the objects, it does not throw', (t) => {
  const mangled = fc.anything({ maxDepth: 3 })
  const object = fc.record({
    metadata: fc.oneof(mangled, fc.constant({ name: 'x' })),
    spec: fc.oneof(
      mangled,
      fc.record({ type: fc.constant('LoadBalancer'), ports: mangled, loadBalancerSourceRanges: mangled }),
    ),
    status: fc.oneof(mangled, fc.record({ addresses: mangled, conditions: mangled, loadBalancer: mangled })),
  })
  const property = fc.property(fc.array(object), fc.array(object), (services, nodes) => {
    nodeBackends({ services: services as never, nodes: nodes as never })
    nodeBackends({ services: [service()], nodes: nodes as never })
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 400 }))
  t.end()
})

t.test('addresses out of pools', async (t) => {
  const pools = { web: ['192.0.2.10-192.0.2.11'], six: ['2001:db8::/120'] }
  const provider = new PoolProvider({ pools })
  const asking = (
    name: string,
    annotations: Record<string, string> = { 'viaduct/pool': 'web' },
    spec: object = {},
  ): Service => ({
    // As an API server has stored it, with an address that somebody gave it before.
    metadata: { name, namespace: 'shop', uid: 'b0a7', annotations },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.7', ports: [{ port: 80, nodePort: 30001 }], ...spec },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } },
  })
  const first = await provider.ensure(asking('a'))
  t.equal(first.length, 1)
  t.match(first[0], /^192\.0\.2\.1[01]$/)
  t.same(await provider.ensure(asking('a')), first, 'the same ones again')
  const second = await provider.ensure(asking('b'))
  t.notSame(second, first)
  await t.rejects(provider.ensure(asking('c')), /no load balancer's address/)
  await provider.remove({ namespace: 'shop', name: 'a' })
  t.same(await provider.ensure(asking('c')), first, 'what is free is given again')
  await t.rejects(
    provider.ensure(asking('d', { 'viaduct/pool': 'elsewhere' })),
    /there is no pool of the name elsewhere/,
  )
  await t.rejects(
    provider.ensure(asking('e', {}, { loadBalancerClass: 'example.com/other' })),
    /it is of no pool here/,
  )
  await t.rejects(provider.ensure(asking('e', {}, { type: 'NodePort' })), { path: 'spec.type' } as never)
  const again = new PoolProvider({ pools, allocations: provider.allocations() })
  t.same(await again.ensure(asking('b')), second, 'kept over a restart')
})

import t from 'tap'
import { type ModelObject, ServiceModel } from '../../src/model/index.js'
import { endpoint, lines, only, pod, service, slice, texts, web } from './model-objects.js'

const port = { port: 80 }

/** A short form with these fields changed. */
function short(more: object): unknown {
  return { name: 'web', address: '192.0.2.1', ports: [80], servers: ['10.0.0.1'], ...more }
}

/** Objects that are refused, and where. */
const refused: readonly (readonly [path: string, object: unknown])[] = [
  ['object', null],
  ['object', 'Service'],
  ['object', []],
  ['kind', { kind: 'Deployment', metadata: { name: 'web' } }],
  ['kind', { metadata: { name: 'web' }, spec: {} }],
  ['metadata', { kind: 'Service', spec: {} }],
  ['metadata.name', { kind: 'Service', metadata: {}, spec: {} }],
  ['metadata.name', service({}, { name: 'no/slash' })],
  ['metadata.name', service({}, { name: 'no:colon' })],
  ['metadata.name', service({}, { name: 'Upper' })],
  ['metadata.name', service({}, { name: 'x'.repeat(64) })],
  ['metadata.namespace', service({}, { namespace: 'a/b' })],
  ['metadata.labels', service({}, { metadata: { labels: [] } })],
  ['spec', { kind: 'Service', metadata: { name: 'web' } }],
  ['spec.type', service({ type: 'clusterip' })],
  ['spec.ports', service({ ports: {} })],
  ['spec.ports[1]', service({ ports: [port, 80] })],
  ['spec.ports[0].port', service({ ports: [{ port: '80' }] })],
  ['spec.ports[0].port', service({ ports: [{ port: 0 }] })],
  ['spec.ports[0].port', service({ ports: [{ port: 65_536 }] })],
  ['spec.ports[0].port', service({ ports: [{ port: 80.5 }] })],
  ['spec.ports[0].port', service({ ports: [{ port: Number.NaN }] })],
  ['spec.ports[0].protocol', service({ ports: [{ port: 80, protocol: 'ICMP' }] })],
  ['spec.ports[0].name', service({ ports: [{ port: 80, name: 'a:b' }] })],
  ['spec.ports[0].targetPort', service({ ports: [{ port: 80, targetPort: -1 }] })],
  ['spec.ports[0].nodePort', service({ ports: [{ port: 80, nodePort: 70_000 }] })],
  ['spec.ports[1].name', service({ ports: [port, { port: 81 }] })],
  [
    'spec.ports[1].port',
    service({
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80 },
      ],
    }),
  ],
  [
    'spec.ports[1].nodePort',
    service({
      ports: [
        { name: 'a', port: 80, nodePort: 9 },
        { name: 'b', port: 81, nodePort: 9 },
      ],
    }),
  ],
  ['spec.clusterIP', service({ clusterIP: '10.0.0' })],
  ['spec.clusterIPs[1]', service({ clusterIPs: ['10.0.0.1', 'x'] })],
  ['spec.clusterIPs', service({ clusterIPs: ['10.0.0.1', '10.0.0.2'] })],
  ['spec.externalIPs', service({ externalIPs: ['10.0.0.300'] })],
  ['spec.ipFamilies[0]', service({ ipFamilies: ['IPv5'] })],
  ['spec.ipFamilyPolicy', service({ ipFamilyPolicy: 'Dual' })],
  ['spec.internalTrafficPolicy', service({ internalTrafficPolicy: 'local' })],
  ['spec.externalTrafficPolicy', service({ externalTrafficPolicy: 'Node' })],
  ['spec.sessionAffinity', service({ sessionAffinity: 'Cookie' })],
  [
    'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
    service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } }),
  ],
  [
    'spec.loadBalancerSourceRanges[0]',
    service({ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/33'] }),
  ],
  ['spec.selector.app', service({ selector: { app: 1 } })],
  [
    'status.loadBalancer.ingress',
    service({ type: 'LoadBalancer' }, { status: { loadBalancer: { ingress: [{ ip: 'x' }] } } }),
  ],
  ['addressType', slice([], { type: 'IPX' })],
  ['endpoints', { ...slice([]), endpoints: {} }],
  ['endpoints[0]', slice([7 as never])],
  ['endpoints[0].addresses[0]', slice([{ addresses: [] }])],
  ['endpoints[1].addresses[0]', slice([endpoint('10.0.0.1'), endpoint('fd00::1')])],
  ['endpoints[0].conditions', slice([endpoint('10.0.0.1', 'a', [])])],
  ['endpoints[0].conditions.ready', slice([endpoint('10.0.0.1', 'a', { ready: 'yes' })])],
  ['endpoints[0].nodeName', slice([{ addresses: ['10.0.0.1'], nodeName: 7 }])],
  ['endpoints[0].hints.forZones[0]', slice([endpoint('10.0.0.1', 'a', {}, { hints: { forZones: ['x'] } })])],
  ['ports[0].port', slice([], { ports: [{ port: 70_000 }] })],
  ['ports[0].protocol', slice([], { ports: [{ port: 80, protocol: 'tcp' }] })],
  [
    'subsets[0].addresses[0].ip',
    { kind: 'Endpoints', metadata: { name: 'web' }, subsets: [{ addresses: [{ ip: 'x' }] }] },
  ],
  ['status.podIP', pod('one', [], { status: { podIP: 'x' } })],
  ['status.podIPs[0].ip', pod('one', 'x')],
  [
    'spec.containers[0].ports[0].containerPort',
    pod('one', '10.0.0.1', { spec: { containers: [{ ports: [{ name: 'a' }] }] } }),
  ],
  ['metadata.name', { kind: 'Node', metadata: { name: '' } }],
  ['name', { ports: [80], servers: [] }],
  ['name', short({ name: 'no/slash' })],
  ['namespace', short({ namespace: '' })],
  ['serverz', short({ serverz: [] })],
  ['address', short({ address: '192.0.2' })],
  ['address', short({ address: ['192.0.2.1', '192.0.2.2'] })],
  ['externalAddresses', short({ externalAddresses: ['x'] })],
  ['ports', short({ ports: [] })],
  ['ports', short({ ports: undefined })],
  ['ports[0]', short({ ports: ['80'] })],
  ['ports[0].port', short({ ports: [0] })],
  ['ports[0].prot', short({ ports: [{ port: 80, prot: 'udp' }] })],
  ['ports[0].protocol', short({ ports: [{ port: 80, protocol: 'TCP' }] })],
  ['ports[0].targetPort', short({ ports: [{ port: 80, targetPort: 0 }] })],
  ['ports[0].nodePort', short({ ports: [{ port: 80, nodePort: 80 }] })],
  ['ports[1].name', short({ ports: [80, 81] })],
  ['servers', short({ servers: undefined })],
  ['servers', short({ servers: '10.0.0.1' })],
  ['servers[0]', short({ servers: ['10.0.0.1:0'] })],
  ['servers[0]', short({ servers: ['fd00::1:'] })],
  ['servers[0]', short({ servers: [7] })],
  ['servers[0].address', short({ servers: [{ port: 80 }] })],
  ['servers[0].port', short({ servers: [{ address: '10.0.0.1', port: 65_536 }] })],
  ['servers[0].port', short({ ports: [{ port: 80, targetPort: 'http' }] })],
  ['servers[0].weight', short({ servers: [{ address: '10.0.0.1', weight: -1 }] })],
  ['servers[0].weigth', short({ servers: [{ address: '10.0.0.1', weigth: 1 }] })],
  ['scheduler', short({ scheduler: 'Round Robin' })],
  ['affinitySeconds', short({ affinitySeconds: 0 })],
  ['internalTrafficPolicy', short({ internalTrafficPolicy: 'Local' })],
  ['sourceRanges[0]', short({ sourceRanges: ['everybody'] })],
  ['selector', short({ selector: 'a=(' })],
]

void t.test('what cannot be meant is refused, and it is said where', async (t) => {
  for (const [path, object] of refused) {
    const model = new ServiceModel()
    const problem = model.upsert(object as ModelObject)
    const text = JSON.stringify(object)
    t.match(problem?.error, { code: 'ERR_VIADUCT_VALIDATION', path }, `${path}: ${text}`)
    t.equal(problem?.reason, 'Invalid')
    t.same(model.take().problems, [problem], 'and told once')
    t.same([...model.virtualServices()], [])
    t.same(model.take().problems, [])
  }
})

void t.test('what comes from a cluster is taken as it stands, with fields that nobody knows', async (t) => {
  const model = new ServiceModel()
  const strange = [
    service({
      clusterIP: '10.96.0.7',
      ports: [{ port: 80, targetPort: 0, nodePort: 3001, appProtocol: 'x', new: {} }],
      somethingNew: [1],
      selector: null,
      externalIPs: null,
      sessionAffinityConfig: null,
    }),
    slice(
      [
        endpoint(
          '10.0.0.1',
          undefined,
          { ready: null, more: 1 },
          { hints: null, targetRef: null, zone: null },
        ),
      ],
      {
        ports: [{ name: '', port: 8080, protocol: null }],
        metadata: { managedFields: [{}], labels: { 'kubernetes.io/service-name': 'web' } },
      },
    ),
  ]
  model.replaceAll(strange)
  t.same(lines(model.take().problems), [])
  t.same(texts(only(model).servers.cluster), ['10.0.0.1:8080'])
})

void t.test('a bad version keeps the last good one, and others are not held up', async (t) => {
  const model = new ServiceModel()
  const bad = web({ ports: [{ port: 'x' }] })
  model.replaceAll([web(), web({ clusterIP: '10.96.0.8' }, { name: 'other' }), slice([endpoint('10.0.0.1')])])
  model.take()
  model.replaceAll([
    bad,
    web({ clusterIP: '10.96.0.9' }, { name: 'other' }),
    slice([endpoint('10.0.0.x')]),
    null as never,
  ])
  const change = model.take()
  t.same(
    change.upserted.map(({ key }) => key),
    ['default/other:http/tcp/ipv4'],
  )
  t.same(change.deleted, [])
  t.same(
    change.problems.map(({ object, error }) => [object.kind, object.name, error?.path]),
    [
      ['Service', 'web', 'spec.ports[0].port'],
      ['EndpointSlice', 'web-1', 'endpoints[0].addresses[0]'],
      ['Service', '', 'object'],
    ],
  )
  const services = [...model.virtualServices()]
  t.same(texts(services.find(({ service: id }) => id === 'default/web')!.servers.cluster), ['10.0.0.1:8080'])
  model.upsert(web())
  t.same(model.take().solved, [{ kind: 'Service', namespace: 'default', name: 'web' }])
  model.replaceAll([web()])
  const last = model.take()
  t.same(last.deleted, ['default/other:http/tcp/ipv4'])
  t.same(last.upserted[0]?.servers.any, false)
  t.same(last.solved.map(({ kind, name }) => [kind, name]).sort(), [
    ['EndpointSlice', 'web-1'],
    ['Service', ''],
  ])
  t.same(model.problems(), [])
})

void t.test('a problem that comes and goes between two looks is none', async (t) => {
  const model = new ServiceModel()
  model.upsert(web({ ports: 7 }))
  model.upsert(web())
  const change = model.take()
  t.same([change.problems, change.solved], [[], []])
})

void t.test('the short form and the long one of a name are one service', async (t) => {
  const model = new ServiceModel()
  model.upsert(web())
  model.take()
  model.upsert({
    name: 'web',
    address: '192.0.2.1',
    ports: [{ port: 80, name: 'http' }],
    servers: ['10.0.0.1'],
  })
  const change = model.take()
  t.same(change.upserted[0]?.frontends, [{ kind: 'cluster', address: '192.0.2.1', port: 80 }])
  model.delete({ kind: 'Service', name: 'web' })
  t.same(model.take().deleted, ['default/web:http/tcp/ipv4'])
})

void t.test('a service that nobody could reach says so', async (t) => {
  const model = new ServiceModel()
  model.upsert(service({ ports: [port] }))
  t.match(lines(model.take().problems)[0], /^Service web: NoAddress/)
})

void t.test('a service that goes and comes between two looks has changed, not gone', async (t) => {
  const model = new ServiceModel()
  model.upsert(web())
  model.take()
  model.delete({ kind: 'Service', name: 'web' })
  t.same([...model.virtualServices()], [])
  model.upsert(web({ clusterIP: '10.96.0.8' }))
  const change = model.take()
  t.same(change.deleted, [])
  t.same(
    change.upserted.map(({ key }) => key),
    ['default/web:http/tcp/ipv4'],
  )
  model.delete({ kind: 'Service', name: 'web' })
  t.same([...model.virtualServices()], [])
  model.upsert(web({ clusterIP: '10.96.0.8' }))
  const same = model.take()
  t.same([same.upserted, same.deleted], [[], []], 'nor has it, if it is as it was')
  model.delete({ kind: 'Service', name: 'nobody' })
  model.delete({ kind: 'EndpointSlice', name: 'nobody' })
  model.delete({ kind: 'Pod', name: 'nobody' })
  t.same(model.take().services, [])
})

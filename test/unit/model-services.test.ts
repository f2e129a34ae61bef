import t from 'tap'
import { type ModelObject, ServiceModel, type VirtualService } from '../../src/model/index.js'

/** A Service as an API server has it. */
function service(
  spec: object,
  more: { name?: string; status?: object; metadata?: object } = {},
): ModelObject {
  const { name = 'web', status, metadata } = more
  return {
    kind: 'Service',
    metadata: { name, namespace: 'default', ...metadata },
    spec,
    status,
  } as ModelObject
}

function slice(
  endpoints: object[],
  more: { name?: string; ports?: object[]; type?: string; of?: string } = {},
) {
  const {
    name = 'web-1',
    ports = [{ name: 'http', port: 8080, protocol: 'TCP' }],
    type = 'IPv4',
    of = 'web',
  } = more
  return {
    kind: 'EndpointSlice',
    addressType: type,
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    endpoints,
    ports,
  } as unknown as ModelObject
}

const web = service({ clusterIP: '10.96.0.7', ports: [{ name: 'http', port: 80, targetPort: 0 }] })

function all(model: ServiceModel): VirtualService[] {
  return [...model.virtualServices()]
}

void t.test('a service and its slice make a virtual service', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  model.upsert(
    slice([
      { addresses: ['10.0.0.2'], nodeName: 'b' },
      { addresses: ['10.0.0.1'], nodeName: 'a' },
    ]),
  )
  t.same(all(model), [])
  model.upsert(web)
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
  t.same(all(model), [])
})

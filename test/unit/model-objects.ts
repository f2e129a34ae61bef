/** Objects for the model's tests, as an API server has them. */
import type { ModelObject, ModelProblem, ServiceModel, VirtualService } from '../../src/model/index.js'

export interface Named {
  readonly name?: string
  readonly namespace?: string
  readonly metadata?: object
}

export function service(spec: object, more: Named & { readonly status?: object } = {}): ModelObject {
  const { name = 'web', namespace = 'default', status, metadata } = more
  return { kind: 'Service', metadata: { name, namespace, ...metadata }, spec, status } as ModelObject
}

/** Port 80 named `http` at 10.96.0.7, to 8080. */
export function web(spec: object = {}, more: Named & { readonly status?: object } = {}): ModelObject {
  return service(
    { clusterIP: '10.96.0.7', ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
    more,
  )
}

export function slice(
  endpoints: readonly object[],
  more: Named & { readonly ports?: readonly object[]; readonly type?: string; readonly of?: string } = {},
): ModelObject {
  const { name = 'web-1', namespace = 'default', type = 'IPv4', of = 'web', metadata } = more
  const { ports = [{ name: 'http', port: 8080, protocol: 'TCP' }] } = more
  return {
    kind: 'EndpointSlice',
    addressType: type,
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': of }, ...metadata },
    endpoints,
    ports,
  } as unknown as ModelObject
}

export function endpoint(address: string, nodeName?: string, conditions?: object, more: object = {}): object {
  return { addresses: [address], nodeName, conditions, ...more }
}
export const ending = { ready: false, serving: true, terminating: true }
export const ended = { ready: false, serving: false, terminating: true }
export const unready = { ready: false, serving: false, terminating: false }

export function pod(
  name: string,
  ips: string | readonly string[],
  more: Named & {
    readonly labels?: object
    readonly ready?: boolean
    readonly phase?: string
    readonly spec?: object
    readonly status?: object
  } = {},
): ModelObject {
  const { namespace = 'default', labels = { app: 'web' }, ready = true, phase = 'Running', metadata } = more
  const list = typeof ips === 'string' ? [ips] : ips
  return {
    kind: 'Pod',
    metadata: { name, namespace, labels, ...metadata },
    spec: { nodeName: 'a', containers: [{ name: 'main' }], ...more.spec },
    status: {
      phase,
      podIP: list[0],
      podIPs: list.map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      ...more.status,
    },
  } as unknown as ModelObject
}

export function node(name: string, zone?: string): ModelObject {
  const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone }
  return { kind: 'Node', metadata: { name, labels } }
}

/** `10.0.0.1:8080` of each server. */
export function texts(servers: readonly { address: string; port: number }[]): string[] {
  return servers.map(({ address, port }) => `${address}:${port}`)
}

/** The only virtual service. */
export function only(model: ServiceModel): VirtualService {
  const services = [...model.virtualServices()]
  if (services.length !== 1) throw new Error(`${services.length} virtual services`)
  return services[0]!
}

/** `kind:address:port` of every frontend of each virtual service, by its key. */
export function frontends(model: ServiceModel): Record<string, string[]> {
  return Object.fromEntries(
    [...model.virtualServices()].map(({ key, frontends: list }) => [
      key,
      list.map((one) =>
        one.kind === 'node-port' ? `node-port:${one.port}` : `${one.kind}:${one.address}:${one.port}`,
      ),
    ]),
  )
}

/** `Service web: reason: message`. */
export function lines(problems: readonly ModelProblem[]): string[] {
  return problems.map(({ object, reason, message }) => `${object.kind} ${object.name}: ${reason}: ${message}`)
}

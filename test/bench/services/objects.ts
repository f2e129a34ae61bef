/** The cluster that is programmed: Services and their EndpointSlices, as Kubernetes writes them. */
import type { DataplaneOptions } from '../../../src/dataplane/index.js'
import type { KubernetesObject } from '../../../src/model/index.js'

export interface Size {
  readonly services: number
  readonly endpointsEach: number
}

/** Of every service. */
export const endpointsEach = 3

/** A third of all endpoints are on this node: they get hairpin entries. */
export const nodeName = 'node-0'

/** A node in a cluster whose ranges are known. */
export const node: DataplaneOptions['node'] = {
  addresses: ['192.0.2.1', '2001:db8::1'],
  clusterRanges: ['10.128.0.0/9', 'fd20::/64'],
  serviceRanges: ['10.96.0.0/12', 'fd10::/108'],
}

/** Every fourth service is of IPv6. */
export const isIPv6 = (service: number): boolean => service % 4 === 3

export const clusterAddress = (service: number): string =>
  isIPv6(service)
    ? `fd10::${(service >> 16).toString(16)}:${(service & 0xffff).toString(16)}`
    : `10.${96 + (service >> 16)}.${(service >> 8) & 255}.${service & 255}`

/** Any of 2^23. */
export const podAddress = (service: number, pod: number): string =>
  isIPv6(service)
    ? `fd20::${(pod >> 16).toString(16)}:${(pod & 0xffff).toString(16)}`
    : `10.${128 + (pod >> 16)}.${(pod >> 8) & 255}.${pod & 255}`

const nameOf = (service: number): string => `service-${service}`
const namespace = 'bench'

/** A tenth of all services have a node port, as long as there are any. */
const mostNodePorts = 2768

export function serviceObject(service: number): KubernetesObject {
  const hasNodePort = service % 10 === 0 && service < mostNodePorts * 10
  const clusterIP = clusterAddress(service)
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name: nameOf(service), namespace },
    spec: {
      type: hasNodePort ? 'NodePort' : 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [isIPv6(service) ? 'IPv6' : 'IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: [
        {
          name: 'http',
          protocol: 'TCP',
          port: 80,
          targetPort: 8080,
          ...(hasNodePort ? { nodePort: 30000 + service / 10 } : {}),
        },
      ],
      selector: { app: nameOf(service) },
    },
  }
}

/** With other endpoints where `pods` says so. */
export function sliceObject(
  service: number,
  size: Size,
  pods: readonly number[] = podsOf(service, size),
): KubernetesObject {
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: {
      name: `${nameOf(service)}-slice`,
      namespace,
      labels: { 'kubernetes.io/service-name': nameOf(service) },
    },
    addressType: isIPv6(service) ? 'IPv6' : 'IPv4',
    endpoints: pods.map((pod) => ({
      addresses: [podAddress(service, pod)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${pod % 3}`,
    })),
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  }
}

/** The endpoints that a service has at the beginning. */
export function podsOf(service: number, { endpointsEach }: Size): number[] {
  return Array.from({ length: endpointsEach }, (_, index) => service * endpointsEach + index)
}

/** One that no service has at the beginning. */
export const freshPod = (step: number): number => 0x700000 + (step & 0xffff)

/** What names the objects of a service. */
export const referencesOf = (service: number) =>
  [
    { kind: 'Service', namespace, name: nameOf(service) },
    { kind: 'EndpointSlice', namespace, name: `${nameOf(service)}-slice` },
  ] as const

/** All of them, made as they are asked for. */
export function* objectsOf(size: Size): Generator<KubernetesObject> {
  for (let service = 0; service < size.services; service++) {
    yield serviceObject(service)
    yield sliceObject(service, size)
  }
}

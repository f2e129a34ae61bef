// What users write, compiled against the published declarations: with and without exactOptionalPropertyTypes, as Node
// and as bundlers resolve. Nothing here runs.
import {
  type BatchError,
  type Destination,
  Ipvs,
  IpvsService,
  isBatchError,
  isKernelError,
  isUnsupportedError,
  isValidationError,
  type ServiceKey,
} from 'viaduct'
import type { Equal, Expect } from './assert.js'

/** Values that may be undefined are passed on as they are. */
export async function balance(
  servers: string[],
  weight?: number,
  netns?: string,
  signal?: AbortSignal,
): Promise<void> {
  const web = await IpvsService.ensure(
    {
      protocol: 'tcp',
      address: '192.0.2.10',
      port: 443,
      scheduler: 'mh',
      persistenceTimeoutSeconds: undefined,
    },
    { netns, signal },
  )
  const change = await web.servers.set(
    servers.map((address) => ({ address, port: 443, weight, forwardingMethod: 'tunnel' as const })),
    { removed: 'drain', drainTimeoutSeconds: 30, signal },
  )
  for (const { address, port, drain } of change.removed) console.log(address, port, drain?.remaining)
  const { drained, remaining } = await web.drain(
    { address: '10.0.0.7', port: 443 },
    { timeoutSeconds: 30, onTimeout: 'keep' },
  )
  if (!drained) console.log(remaining.toFixed())
  await web.close()
}

export async function list(): Promise<bigint> {
  const ipvs = await Ipvs.open({ netns: { pid: 1 } })
  let bytes = 0n
  for (const { service, destinations } of await ipvs.list()) {
    bytes += service.statistics.incomingBytes
    // A service is known by its address or by its firewall mark.
    if (service.firewallMark === undefined)
      console.log(service.protocol, service.address.length, service.port.toFixed())
    else console.log(service.firewallMark.toFixed(), service.family)
    for (const destination of destinations)
      console.log(destination.weight.toFixed(), destination.tunnelType?.length)
  }
  ipvs.close()
  return bytes
}

export async function watch(service: IpvsService): Promise<void> {
  for await (const event of service.watch({ intervalSeconds: 1 })) {
    switch (event.type) {
      case 'serverChanged':
        console.log(event.before.weight - event.server.weight)
        break
      case 'deleted':
        return
      default:
        console.log(event.type)
    }
  }
}

export function explain(error: unknown): string {
  if (isKernelError(error, 'EEXIST'))
    return `${error.operation} ${error.errno.toFixed()} ${error.attribute?.path ?? ''}`
  if (isUnsupportedError(error)) return error.needs
  if (isValidationError(error)) return error.path
  if (isBatchError(error)) return error.failures.map((failure) => failure.error.message).join()
  return String(error)
}

/** What must not compile. */
export async function refused(ipvs: Ipvs, service: IpvsService): Promise<void> {
  // @ts-expect-error an address key needs a port
  await ipvs.createService({ protocol: 'tcp', address: '192.0.2.1' })
  // @ts-expect-error a service has an address or a firewall mark, not both
  await ipvs.createService({
    protocol: 'tcp',
    address: '192.0.2.1',
    port: 1,
    firewallMark: 1,
    family: 'ipv4',
  })
  // @ts-expect-error no such forwarding method
  await service.servers.add({ address: '10.0.0.1', port: 80, forwardingMethod: 'nat' })
  // @ts-expect-error counters are read only
  await service.servers.add({ address: '10.0.0.1', port: 80, activeConnections: 1 })
  // @ts-expect-error a timeout is a number of seconds
  await service.drain({ address: '10.0.0.1', port: 80 }, { timeoutSeconds: '30' })
}

export type Assertions = [
  Expect<Equal<Destination['weight'], number>>,
  Expect<Equal<Destination['statistics']['incomingBytes'], bigint>>,
  Expect<
    Equal<Destination['forwardingMethod'], 'masquerade' | 'local' | 'tunnel' | 'direct-route' | 'bypass'>
  >,
  Expect<Equal<Extract<ServiceKey, { firewallMark: number }>['family'], 'ipv4' | 'ipv6'>>,
  Expect<Equal<BatchError['failures'][number]['error'], Error>>,
]

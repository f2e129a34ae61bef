// The other subpaths: a transport and a table of one's own, links, namespaces.
import { isMalformedMessageError } from 'viaduct'
import { Conntrack, type Flow, type FlowFilter } from 'viaduct/conntrack'
import { DnsServer, Zone, type ZoneAnswer } from 'viaduct/dns'
import { type Check, HealthMonitor, type HealthRules } from 'viaduct/health'
import { Ipvs } from 'viaduct/ipvs'
import { NetworkNamespace, type Netns } from 'viaduct/net'
import {
  attribute,
  attributeTable,
  type Decoded,
  type Encodable,
  readOnly,
  type Transport,
  u32,
} from 'viaduct/netlink'
import { Rtnetlink } from 'viaduct/rtnetlink'
import { Sockdiag } from 'viaduct/sockdiag'
import { FileSource, MemorySource, type Source, type SourceEvent } from 'viaduct/sources'
import type { Equal, Expect } from './assert.js'

const table = attributeTable('EXAMPLE', {
  weight: attribute(4, 'EXAMPLE_WEIGHT', u32),
  active: readOnly(7, 'EXAMPLE_ACTIVE', u32),
})
export type Assertions = [
  Expect<Equal<NonNullable<Decoded<typeof table>['active']>, number>>,
  Expect<Equal<NonNullable<Encodable<typeof table>['weight']>, number>>,
]
export const input: Encodable<typeof table> = { weight: 1 }
// @ts-expect-error what the kernel only tells cannot be set
export const counter: Encodable<typeof table> = { active: 1 }

/** Another package's socket needs only this much. */
export const transport: Transport = {
  exchange: (request, length, kind, deadlineMilliseconds) =>
    Promise.resolve({ bytes: request.subarray(0, length + deadlineMilliseconds), lost: kind === 'batch' }),
  close: () => undefined,
}

export async function open(netns: Netns | undefined): Promise<void> {
  const ipvs = await Ipvs.open({ transport, netns })
  ipvs.close()
  const namespace = NetworkNamespace.create()
  const rtnetlink = await Rtnetlink.open({ netns: namespace })
  rtnetlink.close()
  namespace.close()
}

export const malformed = (error: unknown) => isMalformedMessageError(error) && error.message

/** What a read flow has goes back as the key of one; filters are made of values that may be undefined. */
export async function end(server: string, port?: number): Promise<number> {
  const conntrack = await Conntrack.open()
  const filter: FlowFilter = { protocol: 'tcp', reply: { source: server, sourcePort: port } }
  const flows: Flow[] = await conntrack.list(filter)
  for (const flow of flows) {
    await conntrack.update(flow, { mark: 1 })
    await conntrack.delete(flow.original)
  }
  const ended = await conntrack.deleteMatching(filter)
  conntrack.close()
  const sockdiag = await Sockdiag.open()
  for (const { processes, localAddress } of await sockdiag.listeners(80)) {
    console.log(localAddress, processes.map(({ pid, name }) => `${name} ${pid.toFixed()}`).join())
  }
  await sockdiag.destroyMatching({ protocol: 'tcp', remoteAddress: server, remotePort: port })
  sockdiag.close()
  return ended
}

export const sources: readonly Source[] = [
  new FileSource('services', { recursive: true, namespace: undefined }),
  new MemorySource([{ name: 'web', ports: [{ port: 80 }], servers: [{ address: '192.0.2.1' }] }]),
]
/** Each event has what it tells, and nothing else. */
export function lineOf(event: SourceEvent): string {
  if (event.event === 'upserted') return 'kind' in event.object ? event.object.kind : event.object.name
  if (event.event === 'deleted') return event.reference.name
  return event.event === 'problems' ? event.problems.map(({ message }) => message).join() : event.event
}

/** Health: what is left out may also be undefined. */
export function watchHealth(tls: boolean): HealthMonitor {
  const check: Check = { kind: 'http', path: '/ready', tls: tls ? true : undefined }
  const rules: HealthRules = { fall: undefined, damping: false }
  const monitor = new HealthMonitor()
  monitor.set('web', { servers: [{ address: '10.0.0.7', port: 80, weight: 1 }], check, rules })
  return monitor
}

export const answer: ZoneAnswer = new Zone({ podRecords: 'insecure' }).lookup('svc.cluster.local', 'A')
export const named: Promise<DnsServer> = DnsServer.start({ listen: [{ address: '127.0.0.1', port: 5300 }] })

/** What IPVS has counted of a virtual service: the sum over all of its addresses. Pure. */
import type { ServiceEntry } from '../../ipvs/index.js'
import { destinationId } from '../../ipvs/input.js'
import type { ServerStatistics, ServiceStatistics } from '../dataplane.js'

type Counters = Required<
  Pick<ServiceStatistics, 'connections' | 'inPackets' | 'outPackets' | 'inBytes' | 'outBytes'>
>
type Sum = { -readonly [K in keyof Counters]: bigint }
interface Read {
  readonly statistics: ServiceEntry['service']['statistics']
}

export function statisticsOf(key: string, entries: readonly ServiceEntry[]): ServiceStatistics {
  const total = nothing()
  const servers = new Map<string, Sum & { address: string; port: number; activeConnections: number }>()
  for (const { service, destinations } of entries) {
    add(total, service)
    for (const destination of destinations) {
      const { address, port, activeConnections } = destination
      const id = destinationId(service, destination)
      const server = servers.get(id) ?? { address, port, activeConnections: 0, ...nothing() }
      servers.set(id, server)
      add(server, destination)
      server.activeConnections += activeConnections
    }
  }
  return { key, ...total, servers: [...servers.values()] satisfies ServerStatistics[] }
}

function nothing(): Sum {
  return { connections: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n }
}

function add(sum: Sum, { statistics }: Read): void {
  sum.connections += statistics.connections
  sum.inPackets += statistics.incomingPackets
  sum.outPackets += statistics.outgoingPackets
  sum.inBytes += statistics.incomingBytes
  sum.outBytes += statistics.outgoingBytes
}

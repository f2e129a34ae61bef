/** What a server still has: it may go when that is nothing. */
import { Conntrack, type TcpState } from '../conntrack/index.js'
import type { Dataplane } from '../dataplane/index.js'
import type { Netns } from '../net/index.js'
import type { DrainedServer } from './drains.js'

/** Connections in these are over: conntrack keeps them for a while. */
const over: ReadonlySet<TcpState> = new Set(['last-ack', 'time-wait', 'close'])

/** Of IPVS as it counts active ones, else flows that conntrack knows. */
export async function connectionsOf(
  server: DrainedServer,
  dataplane: Dataplane,
  netns: Netns | undefined,
): Promise<number> {
  const { address, port } = server
  if (dataplane.kind === 'ipvs') {
    let active = 0
    for (const { servers } of await dataplane.stats()) {
      for (const one of servers) {
        if (one.address === address && (port === undefined || one.port === port))
          active += one.activeConnections ?? 0
      }
    }
    return active
  }
  const conntrack = await Conntrack.open({ netns })
  try {
    return await conntrack.count({
      reply: { source: address, sourcePort: port },
      nat: 'destination',
      where: ({ tcp }) => tcp?.state === undefined || !over.has(tcp.state),
    })
  } finally {
    conntrack.close()
  }
}

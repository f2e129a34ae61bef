/** How clients' TCP connections go, as IPVS sees them: numbers for `rules.ejection`. */
import type { Ipvs, IpvsConnection, ServiceKey } from '../ipvs/index.js'
import type { PassiveSample } from './ejection.js'

/** What was seen of the table of connections. */
interface Seen {
  readonly server: string
  /** In its handshake, twice in a row or more; or ended by a reset. */
  isCounted: boolean
}

/**
 * Reads the counters of a service's destinations (connections scheduled) and the table of connections: failed ones are those that
 * were reset or refused (`CLOSE`, which the kernel shows for ten seconds), and those that were in their handshake (`SYN_RECV`) at the
 * last reading already. So read it at least every ten seconds (`ejection.intervalMilliseconds`), and not more often than
 * connections may take to come about; the kernel's counters move every two seconds.
 *
 * With direct routing and tunnels IPVS sees no answers: refused connections are those that do not come about, and one that the
 * server resets is seen as established until it expires. By firewall mark connections cannot be told from those of others: all that
 * go to the service's destinations count. A reading takes the whole table.
 * @returns what to give as `passive`: make it once for a service
 */
export function ipvsPassive(ipvs: Ipvs, service: ServiceKey): () => Promise<PassiveSample[]> {
  let seen = new Map<string, Seen>()
  /** Since it was made, by server. */
  const failures = new Map<string, number>()
  const filter = 'firewallMark' in service ? {} : { service }
  return async () => {
    const now = new Map<string, Seen>()
    for await (const connection of ipvs.connections({ ...filter, template: false })) {
      const { state, destination } = connection
      if (state !== 'SYN_RECV' && state !== 'CLOSE') continue
      const key = keyOf(connection)
      // An entry that moves while the table is read may come twice.
      if (now.has(key)) continue
      const server = `${destination.address} ${destination.port}`
      const before = seen.get(key)
      const isFailed = state === 'CLOSE' || before !== undefined
      if (isFailed && before?.isCounted !== true) failures.set(server, (failures.get(server) ?? 0) + 1)
      now.set(key, { server, isCounted: isFailed })
    }
    seen = now
    const destinations = await ipvs.destinations(service)
    return destinations.map(({ address, port, statistics }) => ({
      address,
      port,
      connections: Number(statistics.connections),
      failures: failures.get(`${address} ${port}`) ?? 0,
    }))
  }
}

/** Client, service and server. */
function keyOf({ protocol, client, virtual, destination }: IpvsConnection): string {
  return [protocol, client, virtual, destination]
    .map((part) => (typeof part === 'object' ? `${part.address} ${part.port}` : part))
    .join(' ')
}

/** What the counters of the table say: which server was given how many connections. */
import { formatEndpoint } from '../../model/index.js'
import type { Element } from '../../nftables/index.js'
import type { ServerStatistics, ServiceStatistics } from '../dataplane.js'
import { ElementBytes, setNames } from '../ruleset/sets.js'
import { keyOf } from '../ruleset/changes.js'
import { families, wordsOf } from '../ruleset/words.js'
import type { KernelTable } from './kernel.js'
import type { Programmed } from './programmed.js'

/** Without a table nothing is counted, and that is what is said. */
export function statisticsOf(
  services: readonly Programmed[],
  kernel: KernelTable | undefined,
): ServiceStatistics[] {
  const counted = kernel === undefined ? undefined : countsIn(kernel)
  return services.map(({ service, id }) => {
    const { key, family, servers } = service
    const bytes = new ElementBytes(wordsOf(family))
    const all = new Map(
      [...servers.cluster, ...servers.local].map((one) => [formatEndpoint(one.address, one.port), one]),
    )
    const ofServers = [...all.values()].map(({ address, port }): ServerStatistics => {
      if (counted === undefined) return { address, port }
      const connections = counted.get(keyOf({ key: bytes.liveEndpoint(id, address, port) })) ?? 0n
      return { address, port, connections }
    })
    if (counted === undefined) return { key, servers: ofServers }
    const connections = ofServers.reduce((sum, one) => sum + (one.connections ?? 0n), 0n)
    return { key, connections, servers: ofServers }
  })
}

/** By `id . address . port`: those that were chosen, and those that clients came back to. */
function countsIn(kernel: KernelTable): Map<string, bigint> {
  const counts = new Map<string, bigint>()
  const add = (key: Uint8Array, element: Element): void => {
    const name = keyOf({ key })
    counts.set(name, (counts.get(name) ?? 0n) + packetsOf(element))
  }
  for (const words of families) {
    const names = setNames(words)
    for (const element of kernel.elements.get(names.backends) ?? []) {
      const { key, data } = element
      if (key === undefined || !(data instanceof Uint8Array)) continue
      const live = new Uint8Array(4 + data.length)
      live.set(key.subarray(0, 4))
      live.set(data, 4)
      add(live, element)
    }
    for (const set of [names.endpoints, names.localEndpoints]) {
      for (const element of kernel.elements.get(set) ?? [])
        if (element.key !== undefined) add(element.key, element)
    }
  }
  return counts
}

function packetsOf({ expression, expressions }: Element): bigint {
  const counter = [expression, ...(expressions ?? [])].find((one) => one?.name === 'counter') as
    { readonly packets?: bigint | number | undefined } | undefined
  return BigInt(counter?.packets ?? 0)
}

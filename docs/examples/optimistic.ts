/**
 * Several programs share out ports of one map, each by what is free. None holds a lock: who was slower than somebody else is
 * told so by the kernel, and decides anew on what is there then.
 */
import { NamedMap, Nftables, types } from 'viaduct/nftables'
import type { NftablesOptions } from 'viaduct/nftables'

const table = { family: 'inet', table: 'leases' } as const
const leases = new NamedMap({ ...table, name: 'leases' }, types.inetService, types.ipv4Addr)

/** The first port from `first` to `last` that nobody has; it is the address's from then on. */
export async function lease(
  address: string,
  {
    first = 30_000,
    last = 30_999,
    ...options
  }: NftablesOptions & { readonly first?: number; readonly last?: number } = {},
): Promise<number> {
  const nftables = await Nftables.open(options)
  try {
    await nftables
      .transaction()
      .add('table', { family: 'inet', name: 'leases' })
      .add('set', leases.input)
      .commit()
    const decide = { attempts: 1000 }
    return await nftables.retrying(async (change) => {
      const { elements } = await nftables.elements({ ...table, name: 'leases' })
      const taken = new Set(elements.map(({ key }) => (key![0]! << 8) | key![1]!))
      let port = first
      while (taken.has(port)) port++
      if (port > last) throw new Error(`no port from ${first} to ${last} is free`)
      change.add('elements', leases.entriesOf([[port, address]]))
      return port
    }, decide)
  } finally {
    nftables.close()
  }
}

/**
 * Who knocks at a port where nobody has any business is not let in at all for a while: packets themselves put their source
 * into a set, where it stays for its time. No program has to run for it.
 */
import { addRule, counter, drop, ip, NamedSet, Nftables, put, tcp, types } from 'viaduct/nftables'
import type { NftablesOptions } from 'viaduct/nftables'

const table = { family: 'inet', table: 'bans' } as const
const banned = new NamedSet({ ...table, name: 'banned' }, types.ipv4Addr, {
  flags: ['timeout', 'dynamic'],
  size: 65_536,
})

export interface Ban extends NftablesOptions {
  /** Where nobody has any business. */
  readonly ports: readonly number[]
  readonly seconds: number
}

export async function banWhoKnocks({ ports, seconds, ...options }: Ban): Promise<void> {
  const nftables = await Nftables.open(options)
  const change = nftables
    .transaction()
    .add('table', { family: 'inet', name: 'bans' })
    .add('chain', { ...table, name: 'input', hook: 'input', priority: 'filter' })
    .flush('chain', { ...table, name: 'input' })
    .add('set', banned.input)
  const input = { ...table, chain: 'input' }
  const ban = put('update', banned, ip.saddr, { timeoutMilliseconds: seconds * 1000 })
  addRule(change, input, ip.saddr.in(banned), counter, drop)
  addRule(change, input, tcp.dport.in(ports), ban, counter, drop)
  await change.commit()
  nftables.close()
}

/** Who is banned, and for how much longer. */
export async function listBans(options: NftablesOptions = {}): Promise<ReadonlyMap<string, number>> {
  const nftables = await Nftables.open(options)
  const { elements } = await nftables.elements({ ...table, name: 'banned' })
  nftables.close()
  const seconds = (milliseconds = 0): number => milliseconds / 1000
  return new Map(
    elements.map(({ key, expirationMilliseconds }) => [key!.join('.'), seconds(expirationMilliseconds)]),
  )
}

/** Lets somebody in again; nothing, if nobody is banned by that address. */
export async function pardon(address: string, options: NftablesOptions = {}): Promise<void> {
  const nftables = await Nftables.open(options)
  await nftables
    .transaction()
    .destroy('elements', banned.elementsOf([address]))
    .commit()
  nftables.close()
}

// Rules, sets and maps: what does not fit together does not compile.
import { Nftables } from 'viaduct/nftables'
import {
  accept,
  addRule,
  concat,
  dnat,
  endpoint4,
  type Expression,
  ip,
  ip6,
  lookup,
  meta,
  NamedMap,
  NamedSet,
  tcp,
  types,
  VerdictMap,
  vmap,
} from 'viaduct/nftables'
import type { Equal, Expect } from './assert.js'

const place = { family: 'inet', table: 't', name: 's' } as const
const addresses = new NamedSet(place, types.ipv4Addr)
const ports = new NamedSet(place, types.inetService)
const pairs = new NamedSet(place, types.concatenated([types.ipv4Addr, types.inetService]))
const verdicts = new VerdictMap(place, types.inetService)
const backends = new NamedMap(place, types.ipv4Addr, endpoint4)

export async function gateway(): Promise<void> {
  await using nftables = await Nftables.open()
  const transaction = nftables.transaction()
  const chain = { family: 'inet', table: 't', chain: 'c' } as const
  addRule(transaction, chain, ip.saddr.in(addresses), tcp.dport.in(ports), accept)
  addRule(transaction, chain, concat(ip.saddr, tcp.dport).in(pairs), vmap(tcp.dport, verdicts))
  addRule(transaction, chain, concat(ip.saddr, tcp.dport).is(['192.0.2.1', 80]))
  addRule(transaction, chain, dnat({ endpoint: lookup(ip.daddr, backends), family: 'ip' }))
  pairs.elementsOf([['192.0.2.1', 80]])
  backends.entriesOf([['192.0.2.1', ['10.0.0.1', 8080]]])
  // @ts-expect-error -- a set of addresses is not asked for a port
  tcp.dport.in(addresses)
  // @ts-expect-error -- a number is no address
  ip.saddr.is(80)
  // @ts-expect-error -- the parts are the other way round
  concat(tcp.dport, ip.saddr).in(pairs)
  // @ts-expect-error -- nor is this a key of the map
  vmap(ip.saddr, verdicts)
  // @ts-expect-error -- an endpoint is an address and a port
  dnat({ endpoint: lookup(ip.daddr, new NamedMap(place, types.ipv4Addr, types.mark)) })
  // @ts-expect-error -- no such protocol
  meta.l4proto.is('tpc')
  // @ts-expect-error -- an address alone is no pair
  pairs.elementsOf(['192.0.2.1'])
  ip6.saddr.is('::1')
  await transaction.commit({ ifGeneration: await nftables.generation() })
}

type Meta = Extract<Expression, { readonly name: 'meta' }>
export type Assertions = [
  Expect<Equal<Meta['name'], 'meta'>>,
  Expect<Equal<Meta['destinationRegister'], number | undefined>>,
]

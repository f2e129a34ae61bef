// Rules, sets and maps: what does not fit together does not compile.
import { Nftables } from 'viaduct/nftables'
import {
  accept,
  addRule,
  concat,
  counter,
  dnat,
  endpoint4,
  type Expression,
  ip,
  ip6,
  jump,
  lookup,
  meta,
  NamedMap,
  NamedSet,
  otherwise,
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
  // Values, ranges and prefixes in a rule.
  addRule(transaction, chain, tcp.dport.in([80, { from: 90, to: 99 }]), ip.saddr.in(['10.0.0.0/8']))
  addRule(transaction, chain, concat(ip.saddr, tcp.dport).notIn([['10.0.0.0/8', { from: 1, to: 9 }]]))
  addRule(transaction, chain, meta.l4proto.in(['tcp', 17]))
  const verdict = vmap(tcp.dport, [
    [80, accept],
    [{ from: 1, to: 9 }, jump('c')],
    [otherwise, { code: 'drop' }],
  ])
  addRule(transaction, chain, verdict)
  addRule(transaction, chain, meta.mark.set(lookup(tcp.dport, [[80, 1]], types.mark)))
  addRule(
    transaction,
    chain,
    dnat({ address: lookup(tcp.dport, [[80, '10.0.0.1']], types.ipv4Addr), family: 'ip' }),
  )
  const networks = new NamedSet(place, types.ipv4Addr, { autoMerge: true })
  networks.elementsOf(['10.0.0.0/8', { from: '10.0.0.1', to: '10.0.0.9' }])
  // @ts-expect-error -- a number is no address, in a set neither
  ip.saddr.in([80])
  // @ts-expect-error -- nor is it the end of a range of them
  networks.elementsOf([{ from: '10.0.0.1', to: 7 }])
  // @ts-expect-error -- a range has both ends
  tcp.dport.in([{ from: 1 }])
  // @ts-expect-error -- the parts are the other way round
  concat(ip.saddr, tcp.dport).in([[80, '10.0.0.1']])
  // @ts-expect-error -- a port has no name
  vmap(tcp.dport, [['http', accept]])
  // @ts-expect-error -- a statement is no verdict
  vmap(tcp.dport, [[80, counter]])
  // @ts-expect-error -- a mark is a number
  lookup(tcp.dport, [[80, 'one']], types.mark)
  // @ts-expect-error -- and a map's key is of the field's type
  lookup(tcp.dport, [['10.0.0.1', 1]], types.mark)
  await transaction.commit({ ifGeneration: await nftables.generation() })
}

type Meta = Extract<Expression, { readonly name: 'meta' }>
export type Assertions = [
  Expect<Equal<Meta['name'], 'meta'>>,
  Expect<Equal<Meta['destinationRegister'], number | undefined>>,
]

/**
 * The rules that a cluster's node has without us, in the shape that kube-proxy gives them: a map from frontends to a chain for
 * each service, and in that chain a rule that draws an endpoint from a map of its own.
 */
import {
  addRule,
  concat,
  dnat,
  endpoint4,
  goto,
  ip,
  jump,
  lookup,
  masquerade,
  meta,
  Nftables,
  numgen,
  raw,
  th,
  types,
  VerdictMap,
  vmap,
} from '../../../src/nftables/index.js'
import type { Netns } from '../../../src/net/index.js'
import { clusterAddress, isIPv6, podAddress, podsOf, type Size } from './objects.js'

/** A service of IPv4. */
export interface RuleService {
  readonly chain: string
  readonly address: string
  readonly protocol: number
  readonly port: number
  readonly servers: readonly (readonly [address: string, port: number])[]
}

const [tcp, udp] = [6, 17]
const place = { family: 'ip', table: 'services' } as const
/** As nft compares a prefix of whole bytes: `ip saddr != 10.0.0.0/8`. */
const fromOutside = [
  raw(
    { name: 'payload', destinationRegister: 1, base: 'network', offset: 12, length: 1 },
    { name: 'cmp', sourceRegister: 1, operation: '!=', data: Uint8Array.of(10) },
  ),
]

export interface Probe {
  readonly address: string
  readonly port: number
  readonly server: readonly [address: string, port: number]
}

/** Those of objects.ts that are of IPv4, and the one that is asked. It stands last, where a list is gone through. */
export function ruleServices(size: Size, probe: Probe): RuleService[] {
  const services: RuleService[] = []
  for (let service = 0; service < size.services; service++) {
    if (isIPv6(service)) continue
    const servers = podsOf(service, size).map((pod) => [podAddress(service, pod), 8080] as const)
    const address = clusterAddress(service)
    services.push({ chain: `service-${service}`, address, protocol: tcp, port: 80, servers })
  }
  const { address, port, server } = probe
  services.push({ chain: 'service-probe', address, protocol: udp, port, servers: [server] })
  return services
}

export async function addRules(netns: Netns, size: Size, probe: Probe): Promise<void> {
  const services = ruleServices(size, probe)
  const { ipv4Addr, inetProto, inetService } = types
  const frontends = new VerdictMap(
    { ...place, name: 'service-ips' },
    types.concatenated([ipv4Addr, inetProto, inetService]),
  )
  await using nftables = await Nftables.open({ netns })
  const transaction = nftables
    .transaction()
    .add('table', { family: place.family, name: place.table })
    .add('chain', { ...place, name: 'services' })
    .add('chain', { ...place, name: 'mark-for-masquerade' })
    .add('chain', { ...place, name: 'prerouting', type: 'nat', hook: 'prerouting', priority: -100 })
    .add('chain', { ...place, name: 'output', type: 'nat', hook: 'output', priority: -100 })
    .add('chain', { ...place, name: 'postrouting', type: 'nat', hook: 'postrouting', priority: 100 })
    .add('set', frontends.input)
  const chain = (name: string) => ({ ...place, chain: name })
  addRule(transaction, chain('mark-for-masquerade'), meta.mark.set(0x4000))
  addRule(transaction, chain('services'), vmap(concat(ip.daddr, meta.l4proto, th.dport), frontends))
  addRule(transaction, chain('prerouting'), jump('services'))
  addRule(transaction, chain('output'), jump('services'))
  addRule(transaction, chain('postrouting'), meta.mark.is(0x4000), masquerade({ flags: ['fully-random'] }))
  for (const { chain: name } of services) transaction.add('chain', { ...place, name })
  for (const { chain: name, servers } of services) {
    addRule(transaction, chain(name), ...fromOutside, jump('mark-for-masquerade'))
    const drawn = lookup(
      numgen('random', { modulus: servers.length }),
      servers.map((server, index) => [index, server] as const),
      endpoint4,
    )
    addRule(transaction, chain(name), dnat({ endpoint: drawn, family: 'ip' }))
  }
  transaction.add(
    'elements',
    frontends.entriesOf(
      services.map(({ chain, address, protocol, port }) => [[address, protocol, port], goto(chain)] as const),
    ),
  )
  await transaction.commit()
}

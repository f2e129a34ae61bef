/**
 * A NAT gateway: hosts inside reach the world by the gateway's own address, and one port of it leads to a server inside.
 * The table is taken away and made again in one step, so that no packet meets half of it; who runs it twice changes nothing.
 * Forwarding itself is a setting of the kernel: net.ipv4.ip_forward.
 */
import {
  accept,
  addRule,
  counter,
  ct,
  dnat,
  drop,
  ip,
  masquerade,
  meta,
  Nftables,
  tcp,
} from 'viaduct/nftables'
import type { NftablesOptions } from 'viaduct/nftables'

export interface Gateway extends NftablesOptions {
  /** Interface and network of the hosts inside. */
  readonly inside: { readonly device: string; readonly network: string }
  /** What comes to this port of the gateway goes to a server inside. */
  readonly published: { readonly port: number; readonly address: string; readonly serverPort: number }
}

export async function natGateway({ inside, published, ...options }: Gateway): Promise<void> {
  const nftables = await Nftables.open(options)
  const table = { family: 'inet', table: 'gateway' } as const
  const change = nftables
    .transaction()
    .destroy('table', { family: 'inet', name: 'gateway' })
    .add('table', { family: 'inet', name: 'gateway', comment: 'NAT gateway' })
    .add('chain', { ...table, name: 'forward', hook: 'forward', priority: 'filter', policy: 'drop' })
    .add('chain', { ...table, name: 'in', type: 'nat', hook: 'prerouting', priority: 'dstnat' })
    .add('chain', { ...table, name: 'out', type: 'nat', hook: 'postrouting', priority: 'srcnat' })
  const [forward, incoming, out] = ['forward', 'in', 'out'].map((chain) => ({ ...table, chain }))
  addRule(change, forward!, ct.state.has('established', 'related'), accept)
  addRule(change, forward!, ct.state.has('invalid'), drop)
  addRule(change, forward!, meta.iifname.is(inside.device), counter, accept)
  addRule(change, forward!, ct.status.has('dnat'), counter, accept)
  const server = { address: published.address, port: published.serverPort }
  addRule(change, incoming!, meta.iifname.isNot(inside.device), tcp.dport.is(published.port), dnat(server))
  addRule(change, out!, ip.saddr.within(inside.network), meta.oifname.isNot(inside.device), masquerade())
  await change.commit()
  nftables.close()
}

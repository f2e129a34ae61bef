/** Where base chains hang in: names of hooks and priorities, which mean something else in each family. */
import { netfilterFamilies, type NetfilterFamily } from '../nfnetlink/index.js'

/** Families that have tables. */
export type Family = Exclude<NetfilterFamily, 'unspecified'>

/** `enum nf_inet_hooks`, and `NF_BR_*` with the same numbers. */
const fiveHooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const
/** `NF_INET_INGRESS` is of family inet alone (nft_chain_filter_inet). */
const inetHooks = { ...fiveHooks, ingress: 5 } as const
/** `NF_ARP_*`. */
const arpHooks = { input: 0, output: 1, forward: 2 } as const
/** `enum nf_dev_hooks`. */
const netdevHooks = { ingress: 0, egress: 1 } as const
/** A hook by its name; of those that have none in a family, the number as text. */
export type Hook = keyof typeof inetHooks | keyof typeof netdevHooks | `${number}`

export const hooks: Readonly<Record<Family, Readonly<Partial<Record<string, number>>>>> = {
  ip: fiveHooks,
  ip6: fiveHooks,
  inet: inetHooks,
  bridge: fiveHooks,
  arp: arpHooks,
  netdev: netdevHooks,
}

/** `enum nf_ip_hook_priorities`, by the names of nft. */
const inetPriorities = {
  raw: -300,
  mangle: -150,
  dstnat: -100,
  filter: 0,
  security: 50,
  srcnat: 100,
} as const
/** `enum nf_br_hook_priorities`. */
const bridgePriorities = { dstnat: -300, filter: -200, out: 100, srcnat: 300 } as const
const filterOnly = { filter: 0 } as const
/** What nft calls priorities. */
export type PriorityName = keyof typeof inetPriorities | keyof typeof bridgePriorities

export const priorities: Readonly<Record<Family, Readonly<Partial<Record<PriorityName, number>>>>> = {
  ip: inetPriorities,
  ip6: inetPriorities,
  inet: inetPriorities,
  bridge: bridgePriorities,
  arp: filterOnly,
  netdev: filterOnly,
}

/** The hook's name, or its number as text where it has none. */
export function hookName(family: Family, number: number): Hook {
  for (const [name, value] of Object.entries(hooks[family])) if (value === number) return name as Hook
  return `${number}`
}

const familyNames: ReadonlyMap<number, Family> = new Map(
  Object.entries(netfilterFamilies).map(([name, number]) => [number, name as Family]),
)

/** Of a reply's header. The kernel sends no other. */
export function familyOfNumber(number: number): Family {
  return familyNames.get(number) ?? 'inet'
}

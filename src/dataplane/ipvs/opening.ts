/** What there is to work with, and what there is not. */
import { release } from 'node:os'
import { Conntrack } from '../../conntrack/index.js'
import { isKernelError, isUnsupportedError } from '../../errors/index.js'
import type { Condition } from '../../model/index.js'
import type { Transport } from '../../netlink/index.js'
import { type Netns, netnsPath, readSysctl } from '../../net/index.js'
import type { Nftables } from '../../nftables/index.js'
import { processesNamed } from '../../processes.js'
import type { Rtnetlink } from '../../rtnetlink/index.js'
import { moduleState, readModuleFacts } from '../../ipvs/modules.js'
import { schedulers } from '../../ipvs/index.js'
import { openNftables } from '../ruleset/opening.js'
import type { Settings } from './settings.js'

/** Undefined where the kernel has no nf_tables, or none with tables of family inet: services are served without them. */
export async function openTables(
  { netns, name: table }: Settings,
  missing: Condition[],
  transport?: Transport,
): Promise<Nftables | undefined> {
  try {
    return await openNftables({ netns, transport }, table)
  } catch (error) {
    if (isKernelError(error, 'EPERM')) throw error
    missing.push({
      reason: 'NoNftables',
      message: `Without nf_tables (${(error as Error).message}) nobody is masqueraded, no clients are refused or kept out, and node ports and addresses of the node are not served: load the module nf_tables and nft's of family inet`,
    })
    return undefined
  }
}

export async function openConntrack(
  { netns }: Settings,
  missing: Condition[],
): Promise<Conntrack | undefined> {
  try {
    return await Conntrack.open({ netns })
  } catch (error) {
    if (!isUnsupportedError(error)) throw error
    missing.push({
      reason: 'NoConntrack',
      message: `UDP flows go on to servers that are gone until they pause: ${error.message}`,
    })
    return undefined
  }
}

/** Schedulers that this kernel may have: those of which it is known that it has not are left out. */
export function availableSchedulers(): string[] {
  const facts = readModuleFacts(release())
  return Object.keys(schedulers).filter((name) => {
    return moduleState(`ip_vs_${name}`, `CONFIG_IP_VS_${name.toUpperCase()}`, facts) !== 'absent'
  })
}

/** IPv6 is not switched on here: a host that forwards takes no router's word any more (accept_ra), and may lose its route. */
export function forwardingOf({ netns }: Settings): Condition[] {
  if (readSysctl('net.ipv6.conf.all.forwarding', { netns }) !== '0') return []
  return [
    {
      reason: 'NoForwarding',
      message:
        'IPv6 is not forwarded here, so answers of servers do not come back: set net.ipv6.conf.all.forwarding to 1 (and accept_ra of interfaces that need a router to 2)',
    },
  ]
}

/** Interfaces that others have for addresses of IPVS. */
const interfaces: Readonly<Record<string, string>> = {
  'kube-ipvs0': 'kube-proxy in its IPVS mode',
  'kube-dummy-if': 'kube-router',
}

/** Processes that may write into IPVS, by their names; `when` they do. */
const processes: Readonly<Record<string, string>> = {
  keepalived: 'if its configuration has a virtual_server',
  'kube-proxy': 'in its IPVS mode',
  'kube-router': 'with its service proxy',
}

/** Others that write into the same IPVS tables. Their services are left as they are; that they leave ours is theirs to say. */
export async function otherOwners({ links }: Rtnetlink, netns: Netns | undefined): Promise<Condition[]> {
  const names = new Set((await links.list()).map(({ name }) => name))
  const conditions = Object.entries(interfaces)
    .filter(([name]) => names.has(name))
    .map(([name, owner]) => ({
      reason: 'OtherOwner',
      message: `${owner} works here, too (its interface ${name} is there), and deletes services of IPVS that are not its own: stop it and remove what it has left, or use the nftables dataplane`,
    }))
  for (const { pid, name } of processesNamed(new Set(Object.keys(processes)), netnsPath(netns))) {
    conditions.push({
      reason: 'OtherOwner',
      message: `${name} runs here, too (process ${pid}), and writes into IPVS ${processes[name]}: stop it, or let none of its virtual services have an address and port of one of these`,
    })
  }
  return conditions
}

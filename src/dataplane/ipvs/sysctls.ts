/**
 * The settings of the namespace that forwarding through IPVS needs. What they were is written down where it outlives
 * this process: as the alias of our interface, which goes with the namespace and is deleted at the teardown.
 */
import { release } from 'node:os'
import { formatSettingsRecord, parseSettingsRecord } from '../../net/index.js'

/** By their names below /proc/sys: what each has to be at least. */
const needed: Readonly<Record<string, number>> = {
  // Masquerading at postrouting is conntrack's: without this it sees nothing of what IPVS forwards.
  'net.ipv4.vs.conntrack': 1,
  // What goes to a server that was taken out is ended or scheduled anew instead of swallowed.
  'net.ipv4.vs.expire_nodest_conn': 1,
  // Clients that stay with their server do not stay with one of weight 0.
  'net.ipv4.vs.expire_quiescent_template': 1,
  // Answers of servers go back through here.
  'net.ipv4.ip_forward': 1,
  // Every node has the virtual addresses: none may say on its networks that they are its own, neither when it is asked nor
  // when it asks with one as its source (arp_solicit). IPv6 does so by itself (ndisc_recv_ns).
  'net.ipv4.conf.all.arp_ignore': 1,
  'net.ipv4.conf.all.arp_announce': 2,
}

/**
 * 1, the default, loses a second for a client that uses a port again on kernels of before 5.9 (commit f0a5e4d7a594); on
 * those of before 4.1 it is not there.
 */
const reuse = { name: 'net.ipv4.vs.conn_reuse_mode', value: 0, before: [5, 9] } as const

function isOld(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10))
  return major < reuse.before[0] || (major === reuse.before[0] && minor < reuse.before[1])
}

/** A setting that is to be changed. */
export interface SysctlChange {
  readonly name: string
  readonly before: string
  readonly after: string
}

/** Those that are not yet as they are needed; what this kernel has not is left out. */
export function sysctlChanges(
  read: (name: string) => string | undefined,
  kernel = release(),
): SysctlChange[] {
  const changes: SysctlChange[] = []
  for (const [name, least] of Object.entries(needed)) {
    const before = read(name)
    if (before !== undefined && Number(before) < least) changes.push({ name, before, after: String(least) })
  }
  const before = isOld(kernel) ? read(reuse.name) : undefined
  if (before !== undefined && before !== String(reuse.value)) {
    changes.push({ name: reuse.name, before, after: String(reuse.value) })
  }
  return changes
}

const mark = 'viaduct ipvs, settings before:'
const known = new Set([...Object.keys(needed), reuse.name])

/** The alias. */
export function formatRecord(before: Readonly<Record<string, string>>): string {
  return formatSettingsRecord(mark, before)
}

/** Undefined for an alias that is not ours. */
export function parseRecord(alias: string | undefined): Record<string, string> | undefined {
  return parseSettingsRecord(mark, alias, (name) => known.has(name))
}

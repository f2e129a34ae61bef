/**
 * Whether the running kernel can stand in for the lab: a privileged container on an ordinary host.
 */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { findProgram } from '../packages.mjs'

const run = promisify(execFile)

/** Made by ip_vs for each network namespace (ip_vs_app_net_init and others in net/netfilter/ipvs). */
const table = '/proc/net/ip_vs'

/** Each makes the kernel load ip_vs where it is a module and may be loaded from here. */
const askers = [
  ['genl', 'ctrl', 'get', 'name', 'IPVS'],
  ['modprobe', '-q', 'ip_vs'],
  ['ipvsadm', '-Ln'],
]

/**
 * True when IPVS answers here and this process may program it in network namespaces that it makes.
 *
 * @returns {Promise<boolean>}
 */
export async function kernelHasIpvs() {
  if (process.platform !== 'linux' || !mayProgram()) return false
  for (const [program = '', ...args] of askers) {
    if (existsSync(table)) return true
    const path = findProgram(program)
    if (path !== undefined) await run(path, args, { timeout: 10_000 }).catch(() => {})
  }
  return existsSync(table)
}

/** CAP_NET_ADMIN and CAP_SYS_ADMIN (for new namespaces) in the initial user namespace, as IPVS asks for. */
function mayProgram() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`)
  const [netAdmin, sysAdmin] = [12n, 21n] // include/uapi/linux/capability.h
  const has = (/** @type {bigint} */ capability) => ((effective >> capability) & 1n) === 1n
  // The initial user namespace maps every number onto itself.
  const initial = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'))
  return initial && has(netAdmin) && has(sysAdmin)
}

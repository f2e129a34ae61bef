/** Settings of a namespace below /proc/sys. */
import { isKernelError } from '../errors/index.js'
import { type FileOptions, readFile, writeFile } from './files.js'

/**
 * `net.ipv4.ip_forward`; or its parts, where one of them may hold a dot itself, as names of interfaces do:
 * `['net', 'ipv4', 'conf', 'eth0.100', 'arp_ignore']`.
 */
export type SysctlName = string | readonly string[]

/** Without the line's end. Undefined for one that this kernel has not, or an interface that is not there. @throws KernelError */
export function readSysctl(name: SysctlName, options: FileOptions = {}): string | undefined {
  try {
    return readFile(pathOf(name), options).trim()
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** @throws KernelError */
export function writeSysctl(name: SysctlName, value: string, options: FileOptions = {}): void {
  writeFile(pathOf(name), value, options)
}

function pathOf(name: SysctlName): string {
  const parts = typeof name === 'string' ? name.split('.') : name
  return `/proc/sys/${parts.join('/')}`
}

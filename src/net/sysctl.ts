/** Settings of a namespace below /proc/sys, and what they were, written down. */
import { isKernelError } from '../errors/index.js'
import { type FileOptions, readFile, writeFile } from './files.js'

/**
 * A setting by its name: `net.ipv4.ip_forward`, or `net/ipv4/conf/eth0.100/arp_ignore` with slashes where a part of it holds a dot,
 * as names of interfaces may. Without the line's end. Undefined for one that this kernel has not, or an interface that is not there.
 * @throws KernelError
 */
export function readSysctl(name: string, options: FileOptions = {}): string | undefined {
  try {
    return readFile(pathOf(name), options).trim()
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** @throws KernelError */
export function writeSysctl(name: string, value: string, options: FileOptions = {}): void {
  writeFile(pathOf(name), value, options)
}

function pathOf(name: string): string {
  return `/proc/sys/${name.includes('/') ? name : name.replaceAll('.', '/')}`
}

/**
 * What settings were before they were changed, as the alias of an interface: it outlives the process and goes with the namespace. At
 * most 255 bytes fit (IFALIASZ).
 */
export function formatSettingsRecord(mark: string, before: Readonly<Record<string, string>>): string {
  return [mark, ...Object.entries(before).map(([name, value]) => `${name}=${value}`)].join(' ')
}

/** Undefined for an alias without this mark. Only settings that are known, and numbers: it is written by whoever may. */
export function parseSettingsRecord(
  mark: string,
  alias: string | undefined,
  isKnown: (name: string) => boolean,
): Record<string, string> | undefined {
  if (alias?.startsWith(mark) !== true) return undefined
  const before: Record<string, string> = {}
  for (const word of alias.slice(mark.length).trim().split(/\s+/)) {
    const [name = '', value = ''] = word.split('=')
    if (isKnown(name) && /^\d{1,9}$/.test(value)) before[name] = value
  }
  return before
}

/** What can be told of a kernel module from here: from files alone, without loading anything. */
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/**
 * - `built-in`, `loaded`: it is there
 * - `loadable`: its file is in sight
 * - `host`: not seen from here, as in most containers; the kernel looks for it in the host's files
 * - `locked`: the kernel loads no modules any more (kernel.modules_disabled)
 * - `absent`: this kernel was built without it, or its package is not installed
 * - `unknown`: nothing in sight tells
 */
export type ModuleState = 'built-in' | 'loaded' | 'loadable' | 'host' | 'locked' | 'absent' | 'unknown'

/** Undefined is: not in sight. */
export interface ModuleFacts {
  /** /proc/modules. A kernel without modules has no such file. */
  readonly loaded: ReadonlySet<string> | undefined
  /** /sys/module: what is loaded, and what is built in and has parameters. */
  readonly present: ReadonlySet<string> | undefined
  /** modules.builtin of the running kernel. */
  readonly builtIn: ReadonlySet<string> | undefined
  /** modules.dep of the running kernel. */
  readonly files: ReadonlySet<string> | undefined
  /** The kernel's configuration: CONFIG_IP_VS → y or m; what is not set is not in it. */
  readonly config: ReadonlyMap<string, string> | undefined
  /** kernel.modules_disabled. */
  readonly locked: boolean
  /** The kernel loads one at its first use: kernel.modprobe, what it starts for that, is not empty (or not in sight). */
  readonly autoload: boolean
}

/** @param option  Of the kernel's configuration: `CONFIG_IP_VS`. */
export function moduleState(name: string, option: string, facts: ModuleFacts): ModuleState {
  const { loaded, present, builtIn, files, config } = facts
  if (loaded?.has(name) === true) return 'loaded'
  if (builtIn?.has(name) === true || config?.get(option) === 'y' || present?.has(name) === true)
    return 'built-in'
  if (config !== undefined && !config.has(option)) return 'absent'
  if (loaded === undefined) return 'unknown'
  if (files !== undefined && !files.has(name)) return 'absent'
  if (facts.locked) return 'locked'
  return files !== undefined ? 'loadable' : 'host'
}

/** @param root  Where /proc, /sys, /lib and /boot are. */
export function readModuleFacts(release: string, root = ''): ModuleFacts {
  const folder = `${root}/lib/modules/${release}`
  const setting = (name: string): string | undefined => readText(`${root}/proc/sys/kernel/${name}`)?.trim()
  return {
    loaded: namesIn(readText(`${root}/proc/modules`), /^\S+/gm),
    present: listed(`${root}/sys/module`),
    builtIn: namesIn(readText(`${folder}/modules.builtin`), /[^/\n]+(?=\.ko$)/gm),
    files: namesIn(readText(`${folder}/modules.dep`), /[^/\n:]+(?=\.ko[.\w]*:)/gm),
    config: readConfig(root, release),
    locked: setting('modules_disabled') === '1',
    autoload: setting('modprobe') !== '',
  }
}

function readConfig(root: string, release: string): ReadonlyMap<string, string> | undefined {
  const text =
    unzipped(readBytes(`${root}/proc/config.gz`)) ??
    readText(`${root}/boot/config-${release}`) ??
    readText(`${root}/lib/modules/${release}/config`)
  if (text === undefined) return undefined
  return new Map([...text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map((match) => [match[1]!, match[2]!]))
}

function unzipped(bytes: Buffer | undefined): string | undefined {
  try {
    return bytes === undefined ? undefined : gunzipSync(bytes).toString('latin1')
  } catch {
    return undefined
  }
}

/** Files say ip-vs or ip_vs for the same module. */
function namesIn(text: string | undefined, pattern: RegExp): ReadonlySet<string> | undefined {
  return text === undefined ? undefined : new Set((text.match(pattern) ?? []).map(normal))
}

function listed(folder: string): ReadonlySet<string> | undefined {
  try {
    return new Set(readdirSync(folder).map(normal))
  } catch {
    return undefined
  }
}

const normal = (name: string): string => name.replaceAll('-', '_')

function readText(path: string): string | undefined {
  return readBytes(path)?.toString('latin1')
}

function readBytes(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}

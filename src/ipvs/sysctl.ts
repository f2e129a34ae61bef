/** The settings of IPVS in one network namespace: `net.ipv4.vs.*`, typed. */
import { constants, promises, readdirSync, readFileSync } from 'node:fs'
import {
  BatchError,
  type BatchFailure,
  KernelError,
  UnsupportedError,
  ValidationError,
} from '../errors/index.js'
import { borrowFile, closeDescriptor } from '../net/files.js'
import type { Netns } from '../net/index.js'
import { absent } from './absent.js'
import {
  type Setting,
  type SettingKey,
  ipvsSettings as table,
  type SettingsInput,
  type SettingValues,
} from './settings.js'

export { ipvsSettings, type Setting, type SettingKey } from './settings.js'
export type { SettingsInput, SettingType, SettingValues, SyncThreshold } from './settings.js'

/**
 * Reads and writes `net.ipv4.vs.*`. Each network namespace has its own. They are there once the kernel has loaded
 * IPVS, which opening an Ipvs does.
 */
export class IpvsSettings {
  /** The namespace; the current one if undefined. */
  readonly netns: Netns | undefined

  constructor(netns?: Netns) {
    this.netns = netns
  }

  /**
   * All of them. Those that this kernel lacks are undefined; those that it has and this library does not know are in
   * `unknown`, as text.
   *
   * @throws UnsupportedError if the kernel has no IPVS (or it is not loaded).
   */
  async read(): Promise<SettingValues> {
    return Promise.resolve(this.#withFolder(readAll))
  }

  /**
   * Sets those that are given, one after the other. Checked before the first is written.
   *
   * @throws ValidationError for what cannot be meant. KernelError if it may not be written, UnsupportedError if this
   *   kernel has no such setting; a BatchError of these if several were given, the others being set.
   */
  async set(values: SettingsInput): Promise<void> {
    const changes = changesOf(values)
    const failures: BatchFailure[] = []
    const folder = this.#open()
    try {
      for (const [index, { setting, text }] of changes.entries()) {
        try {
          await promises.writeFile(`/proc/self/fd/${folder}/${setting.name}`, `${text}\n`, { flag: 'r+' })
        } catch (cause) {
          const object = { setting: `net.ipv4.vs.${setting.name}`, value: text }
          const error = writeError(cause, setting, object)
          failures.push({ index, operation: 'ipvs.settings.set', object, error })
        }
      }
    } finally {
      closeDescriptor(folder)
    }
    const [first] = failures
    if (first === undefined) return
    if (changes.length === 1) throw first.error
    throw new BatchError('ipvs.settings.set', changes.length - failures.length, failures)
  }

  #withFolder<T>(work: (folder: string) => T): T {
    const folder = this.#open()
    try {
      return work(`/proc/self/fd/${folder}`)
    } finally {
      closeDescriptor(folder)
    }
  }

  /**
   * The folder as the namespace has it (which one it is was decided when it was opened, fs/proc/proc_sysctl.c): one
   * visit there for all files.
   */
  #open(): number {
    try {
      return borrowFile('/proc/sys/net/ipv4/vs', {
        netns: this.netns,
        flags: constants.O_RDONLY | constants.O_DIRECTORY,
      })
    } catch (error) {
      throw absent('net.ipv4.vs', error)
    }
  }
}

const keyOfName = new Map<string, SettingKey>(
  Object.entries(table).map(([key, { name }]) => [name, key as SettingKey]),
)

function readAll(folder: string): SettingValues {
  const values: Record<string, unknown> = Object.fromEntries(
    Object.keys(table).map((key) => [key, undefined]),
  )
  const unknown: Record<string, string> = {}
  for (const name of readdirSync(folder).sort()) {
    const text = readText(`${folder}/${name}`)
    if (text === undefined) continue
    const key = keyOfName.get(name)
    const value = key === undefined ? undefined : (table[key].type as Setting['type']).read(text)
    // A kernel that writes it another way: better the text than nothing.
    if (key === undefined || value === undefined) unknown[name] = text
    else values[key] = value
  }
  return { ...values, unknown } as SettingValues
}

/** Undefined for what may not be read, or is gone since the folder was listed. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return undefined
  }
}

interface Change {
  readonly setting: { readonly name: string; readonly since?: string; readonly needs?: string }
  readonly text: string
}

function changesOf({ unknown, ...known }: SettingsInput): Change[] {
  const changes: Change[] = []
  for (const [key, value] of Object.entries(known)) {
    if (value === undefined) continue
    if (!Object.hasOwn(table, key)) {
      throw new ValidationError(
        `settings.${key}`,
        value,
        'a known setting (one that is not goes into `unknown`)',
      )
    }
    const setting = table[key as SettingKey] as Setting
    if (!setting.type.accepts(value)) {
      throw new ValidationError(`settings.${key}`, value, setting.type.expected)
    }
    changes.push({ setting, text: setting.type.write(value) })
  }
  for (const [name, text] of Object.entries(unknown ?? {})) {
    // It becomes a path.
    if (!/^\w+$/.test(name)) {
      throw new ValidationError('settings.unknown', name, 'a name of letters, digits and _')
    }
    if (typeof text !== 'string' || !/^[\x20-\x7e\t]*$/.test(text)) {
      throw new ValidationError(`settings.unknown.${name}`, text, 'one line of text')
    }
    changes.push({ setting: { name }, text })
  }
  return changes
}

function writeError(cause: unknown, setting: Change['setting'], object: object): Error {
  const { errno, code } = cause as { errno?: unknown; code?: unknown }
  if (code === 'ENOENT') {
    const { name, since, needs } = setting
    return new UnsupportedError(
      `net.ipv4.vs.${name}`,
      needs ?? (since === undefined ? 'a kernel that has it' : `Linux ≥ ${since}`),
      { cause },
    )
  }
  if (typeof errno !== 'number') return cause as Error
  return new KernelError({
    errno,
    operation: 'ipvs.settings.set',
    object,
    hint: typeof code === 'string' ? hints[code] : undefined,
    cause,
  })
}

const notPermitted =
  'Only root of the host may write it, and some settings are of the first network namespace alone'
const hints: Readonly<Record<string, string>> = {
  EACCES: notPermitted,
  EPERM: notPermitted,
  EROFS:
    '/proc/sys is mounted read-only, as in a container: set it on the host (`sysctl --write`), as a sysctl of the container or pod when it is made, or run the container privileged',
  EINVAL: 'The kernel does not take this value',
}

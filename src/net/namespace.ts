import { closeSync, constants, mkdirSync, openSync, readdirSync, statfsSync, unlinkSync } from 'node:fs'
import { ValidationError } from '../errors/index.js'
import { loadNative } from '../native.js'
import { attempt } from './failure.js'

/**
 * A network namespace: its name (as `ip netns` has it, a file in /run/netns), a file that stands for it, a process that
 * is in it, or a descriptor of it. A NetworkNamespace is one too.
 */
export type Netns = string | { readonly path: string } | { readonly pid: number } | { readonly fd: number }

/** As people write it: a name, or what has a slash in it, a file. Not for users of the package. */
export function netnsOfText(text: string): Netns {
  return text.includes('/') ? { path: text } : text
}

/** Where `ip netns` keeps names. */
const folder = '/run/netns'
/** statfs(2) of a file that stands for a namespace: linux/magic.h, NSFS_MAGIC. */
const namespaceMagic = 0x6e736673

const hints = {
  EPERM: 'Namespaces take CAP_SYS_ADMIN',
  EACCES: 'Namespaces take CAP_SYS_ADMIN',
  EINVAL: 'This is no network namespace (the file is left over from one that is gone?)',
}

/**
 * A descriptor of a network namespace, which exists at least as long as that. Closing it removes neither the namespace's
 * name nor what is in it; a namespace with neither name, process nor descriptor is removed by the kernel.
 */
export class NetworkNamespace {
  #fd: number
  /** Under which `ip netns` knows it, if it was made or opened by name. */
  readonly name: string | undefined

  private constructor(fd: number, name?: string) {
    this.#fd = fd
    this.name = name
  }

  /** A new one without a name. Only `lo` is in it, and is down. Takes CAP_SYS_ADMIN. */
  static create(): NetworkNamespace {
    return attempt(
      'netns.create',
      undefined,
      hints,
      () => new NetworkNamespace(loadNative().createNamespace()),
    )
  }

  /** A new one with a name, as `ip netns add` makes it; an existing one is EEXIST. */
  static createNamed(name: string): NetworkNamespace {
    const path = pathOf(name)
    return attempt('netns.create', { name }, hints, () => {
      const addon = loadNative()
      mkdirSync(folder, { recursive: true, mode: 0o755 })
      // Names then appear in every mount namespace that shares it, and a deleted one is freed there too.
      addon.shareMount(folder)
      closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_EXCL, 0o444))
      let fd: number | undefined
      try {
        fd = addon.createNamespace()
        addon.bindMount(fd, path)
        return new NetworkNamespace(fd, name)
      } catch (error) {
        if (fd !== undefined) addon.closeDescriptor(fd)
        try {
          unlinkSync(path)
        } catch {
          // What went wrong first is what there is to tell.
        }
        throw error
      }
    })
  }

  /** Opens an existing one; left out, the one that this thread is in. */
  static open(netns?: Netns): NetworkNamespace {
    return new NetworkNamespace(openNetns(netns), typeof netns === 'string' ? netns : undefined)
  }

  /** The one of this name, or undefined. */
  static find(name: string): NetworkNamespace | undefined {
    return isNamespace(pathOf(name)) ? NetworkNamespace.open(name) : undefined
  }

  /** Names that there are, sorted. */
  static list(): string[] {
    let names: string[]
    try {
      names = readdirSync(folder)
    } catch {
      // No folder, no names.
      return []
    }
    return names.filter((name) => isNamespace(`${folder}/${name}`)).sort()
  }

  /** Takes a name away, as `ip netns delete` does. ENOENT if there is none. */
  static delete(name: string): void {
    const path = pathOf(name)
    attempt('netns.delete', { name }, hints, () => {
      if (isNamespace(path)) loadNative().unmount(path)
      unlinkSync(path)
    })
  }

  /** -1 once it is closed. */
  get fd(): number {
    return this.#fd
  }

  /** Closes the descriptor. */
  close(): void {
    if (this.#fd < 0) return
    const fd = this.#fd
    this.#fd = -1
    loadNative().closeDescriptor(fd)
  }

  /** As `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

/**
 * Calls `work` with a descriptor of the namespace, or with -1 for the one that this thread is in. The descriptor is
 * closed afterwards, unless it was given.
 */
export function withNamespaceFd<T>(netns: Netns | undefined, work: (fd: number) => T): T {
  if (netns === undefined) return work(-1)
  if (typeof netns === 'object' && 'fd' in netns) return work(checkedFd(netns.fd))
  const fd = openNetns(netns)
  try {
    return work(fd)
  } finally {
    loadNative().closeDescriptor(fd)
  }
}

/** A new descriptor, the caller's to close. */
function openNetns(netns: Netns | undefined): number {
  const path = netnsPath(netns)
  return attempt('netns.open', netns === undefined ? undefined : describeNetns(netns), hints, () =>
    // What is no namespace is found out later; a pipe must not be waited for.
    loadNative().openFile(-1, path, constants.O_RDONLY | constants.O_NONBLOCK),
  )
}

/** A file that stands for the namespace while it exists. */
export function netnsPath(netns: Netns | undefined): string {
  if (netns === undefined) return '/proc/thread-self/ns/net'
  if (typeof netns === 'string') return pathOf(netns)
  if ('fd' in netns) return `/proc/self/fd/${checkedFd(netns.fd)}`
  if ('pid' in netns) {
    if (!Number.isSafeInteger(netns.pid) || netns.pid < 1) {
      throw new ValidationError('netns.pid', netns.pid, 'the number of a process')
    }
    return `/proc/${netns.pid}/ns/net`
  }
  return netns.path
}

/** As an error names it. */
export function describeNetns(netns: Netns): { readonly netns: string } {
  if (typeof netns === 'string') return { netns }
  if (netns instanceof NetworkNamespace && netns.name !== undefined) return { netns: netns.name }
  return {
    netns: 'fd' in netns ? `descriptor ${netns.fd}` : 'pid' in netns ? `process ${netns.pid}` : netns.path,
  }
}

function checkedFd(fd: number): number {
  if (Number.isSafeInteger(fd) && fd >= 0) return fd
  throw new ValidationError('netns.fd', fd, 'an open descriptor')
}

function pathOf(name: string): string {
  if (/^[^/\0]+$/.test(name) && name !== '.' && name !== '..' && Buffer.byteLength(name) <= 255)
    return `${folder}/${name}`
  throw new ValidationError('netns', name, 'a name without a slash (a file is given as { path })')
}

function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === namespaceMagic
  } catch {
    return false
  }
}

/** Who holds a socket (/proc/<pid>/fd has the inode of each), and who is there at all. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { Slices } from './slices.js'

/** A process that holds a socket. */
export interface SocketProcess {
  /** As this process sees it. */
  readonly pid: number
  /** The first 15 bytes of its command's name (/proc/<pid>/comm). */
  readonly name: string
  /** By which descriptors. */
  readonly descriptors: readonly number[]
}

/**
 * The processes that hold sockets of these inodes, by inode. Those whose descriptors this process may not see (other
 * users', without CAP_SYS_PTRACE) and those of another PID namespace are not among them.
 */
export async function processesOf(inodes: ReadonlySet<number>): Promise<Map<number, SocketProcess[]>> {
  const found = new Map<number, SocketProcess[]>()
  if (inodes.size === 0) return found
  const slices = new Slices()
  for (const pid of entries('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const held = new Map<number, number[]>()
    for (const descriptor of entries(`/proc/${pid}/fd`)) {
      const inode = socketOf(`/proc/${pid}/fd/${descriptor}`)
      if (inode !== undefined && inodes.has(inode)) {
        held.set(inode, [...(held.get(inode) ?? []), Number(descriptor)])
      }
      if (slices.isOver) await slices.next()
    }
    for (const [inode, descriptors] of held) {
      const processes = found.get(inode) ?? []
      processes.push({ pid: Number(pid), name: nameOf(pid), descriptors })
      found.set(inode, processes)
    }
  }
  return found
}

/**
 * Processes of these names, as /proc/<pid>/comm has them (15 bytes at most), whose network namespace is the one at
 * `netnsPath`. Those whose namespace this process may not see (other users', without CAP_SYS_PTRACE) and those of another
 * PID namespace are not among them.
 */
export function processesNamed(
  names: ReadonlySet<string>,
  netnsPath: string,
): { readonly pid: number; readonly name: string }[] {
  const here = inodeOf(netnsPath)
  if (here === undefined) return []
  return entries('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    const name = nameOf(pid)
    return names.has(name) && inodeOf(`/proc/${pid}/ns/net`) === here ? [{ pid: Number(pid), name }] : []
  })
}

/** Device and inode: what tells one namespace from another. */
function inodeOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true })
    return `${dev} ${ino}`
  } catch {
    return undefined
  }
}

/** Nothing, where it is gone or not ours to see. */
function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function socketOf(path: string): number | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1]
    return inode === undefined ? undefined : Number(inode)
  } catch {
    return undefined
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return ''
  }
}

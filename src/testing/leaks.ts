import { readdirSync, readlinkSync } from 'node:fs'
import { NetworkNamespace } from '../net/index.js'

/** What this process holds open and what has a name, at one moment. */
export interface OpenResources {
  /** What each descriptor is: `socket:[1234]`, `net:[4026532000]`, `/proc/net/ip_vs`. */
  readonly descriptors: ReadonlyMap<number, string>
  /** Named network namespaces, of the whole system. */
  readonly namespaces: readonly string[]
}

/**
 * Node's own, made when they are needed first: its event loops, the pipes between its threads, and the descriptor that
 * libuv keeps to close when there are no more (src/unix/stream.c, `emfile_fd`).
 */
const own = /^(anon_inode:\[(eventpoll|eventfd|io_uring|signalfd)\]|pipe:|\/dev\/null$)/

/** What is open and named now. */
export function openResources(): OpenResources {
  const descriptors = new Map<number, string>()
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`)
      if (!own.test(target)) descriptors.set(Number(name), target)
    } catch {
      // The folder's own descriptor, closed again.
    }
  }
  return { descriptors, namespaces: NetworkNamespace.list() }
}

/**
 * What is open or named now and was not before, one line each; none if nothing has leaked. What was closed is let go of
 * in the next turns of the event loop, so it looks again for some turns.
 */
export async function leaksSince(before: OpenResources): Promise<string[]> {
  for (let turn = 0; ; turn++) {
    const found = difference(before, openResources())
    if (found.length === 0 || turn === 100) return found
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function difference(before: OpenResources, after: OpenResources): string[] {
  const leaks: string[] = []
  for (const [fd, target] of after.descriptors) {
    // A number is used again once it is free, so what it stands for counts.
    if (before.descriptors.get(fd) !== target) leaks.push(`descriptor ${fd}: ${target}`)
  }
  for (const name of after.namespaces) {
    if (!before.namespaces.includes(name)) leaks.push(`namespace ${name}`)
  }
  return leaks
}

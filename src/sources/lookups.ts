/** What a path leads to, and every folder in which a name is looked up on the way: what changes there may lead elsewhere. */
import { lstat, readlink, stat } from 'node:fs/promises'
import path from 'node:path'
import { errorCode } from './errno.js'

/** As many symbolic links as the kernel follows (MAXSYMLINKS). */
const mostLinks = 40

/** Looks paths up as the kernel does. To be made anew for each look: what it found, it does not look at again. */
export class Lookups {
  /** Folders, and the names that count in them. */
  readonly names = new Map<string, Set<string>>()
  readonly #found = new Map<string, string | undefined>()

  /**
   * Where an absolute path leads.
   *
   * @param from  A folder without symbolic links in its path, from which a relative path goes.
   * @returns a path without symbolic links; undefined if nothing is there
   */
  async resolve(name: string, from = '/'): Promise<string | undefined> {
    const left = name.split('/')
    let at = name.startsWith('/') ? '/' : from
    for (let links = 0; left.length > 0;) {
      const step = left.shift()
      if (step === undefined || step === '' || step === '.') continue
      if (step === '..') {
        at = path.dirname(at)
        continue
      }
      const target = await this.#look(at, step)
      if (target === undefined) return undefined
      if (target === '') {
        at = path.join(at, step)
        continue
      }
      if (++links > mostLinks) return undefined
      left.unshift(...target.split('/'))
      if (target.startsWith('/')) at = '/'
    }
    return at
  }

  /** @returns where a symbolic link leads, '' for anything else, undefined for nothing */
  async #look(folder: string, name: string): Promise<string | undefined> {
    const names = this.names.get(folder) ?? new Set()
    this.names.set(folder, names.add(name))
    const file = path.join(folder, name)
    if (this.#found.has(file)) return this.#found.get(file)
    const target = await lstat(file)
      .then((found) => (found.isSymbolicLink() ? readlink(file) : ''))
      .catch(() => undefined)
    this.#found.set(file, target)
    return target
  }
}

/** Which file or folder a path leads to now; undefined if nothing is there. */
export async function identityOf(file: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(file, { bigint: true })
    return `${dev}:${ino}`
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return undefined
  }
}

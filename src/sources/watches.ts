/** Which folders are watched (inotify(7), by fs.watch), for as long as somebody wants to know. */
import { type FSWatcher, watch } from 'node:fs'
import { errorCode } from './errno.js'
import { identityOf } from './lookups.js'

/** Names that count in a folder; `all` of them. */
export type Names = ReadonlySet<string> | 'all'

/** Watches a set of folders that changes. */
export class Watches {
  readonly #changed: () => void
  #isClosed = false
  readonly #open = new Map<string, { readonly watcher: FSWatcher; readonly identity: string; names: Names }>()

  /** @param changed  Called whenever something may have changed; often more than once. */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  /**
   * These folders and no others.
   *
   * @returns whether one was not watched before: what changed in it until now went unseen. `failed` are those that cannot
   *   be watched, with the error's code
   */
  async set(folders: ReadonlyMap<string, Names>): Promise<{ isNew: boolean; failed: Map<string, string> }> {
    const failed = new Map<string, string>()
    for (const folder of this.#open.keys()) if (!folders.has(folder)) this.#close(folder)
    let isNew = false
    for (const [folder, names] of folders) {
      const identity = await identityOf(folder)
      const known = this.#open.get(folder)
      if (known !== undefined && known.identity === identity) {
        known.names = names
        continue
      }
      this.#close(folder)
      // It may have been closed while this one was looked for.
      if (identity === undefined || this.#isClosed) continue
      const code = this.#watch(folder, identity, names)
      if (code === undefined) isNew = true
      else failed.set(folder, code)
    }
    return { isNew, failed }
  }

  /** Ends every watch; `set` opens none afterwards. */
  close(): void {
    this.#isClosed = true
    for (const folder of [...this.#open.keys()]) this.#close(folder)
  }

  #watch(folder: string, identity: string, names: Names): string | undefined {
    try {
      const watcher = watch(folder, (type, name) => {
        const wanted = this.#open.get(folder)?.names
        // A folder that is moved or deleted is told by its own name, and its watch ends: one that is made anew may even have
        // the same inode number.
        const isItself = name === null || folder.endsWith(`/${name}`)
        if (isItself && type === 'rename') this.#close(folder)
        if (wanted === 'all' || isItself || wanted?.has(name)) this.#changed()
      })
      watcher.on('error', () => {
        this.#close(folder)
        this.#changed()
      })
      this.#open.set(folder, { watcher, identity, names })
      return undefined
    } catch (error) {
      const code = errorCode(error)
      if (code === undefined) throw error
      return code
    }
  }

  #close(folder: string): void {
    this.#open.get(folder)?.watcher.close()
    this.#open.delete(folder)
  }
}

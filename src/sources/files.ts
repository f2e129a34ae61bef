/** Objects that stand in files, as kubectl takes them. */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { ValidationError } from '../errors/index.js'
import type { ObjectReference } from '../model/index.js'
import type { Held } from './file.js'
import { type FolderOptions, type FolderState, readFolder } from './folder.js'
import { Journal, leavable, usualHistory } from './journal.js'
import { parsePath, positionIn } from './manifest.js'
import { formatReference, keyOf } from './reference.js'
import type { Source, SourceEvent, SourceList, SourceOptions, SourcePlace, SourceProblem } from './source.js'
import { Watches } from './watches.js'

/** How a FileSource reads. */
export interface FileSourceOptions {
  /** Folders in the folder, too; no unless said. Those that symbolic links lead to are left out. */
  readonly recursive?: boolean | undefined
  /** Of objects that name none; `default` unless said. */
  readonly namespace?: string | undefined
  /**
   * A change is read when nothing has changed for so long, or after ten times that: who writes a file writes it in pieces.
   * 50 unless said.
   */
  readonly quietMilliseconds?: number | undefined
  /** Longer files are not read; 4 MiB unless said. A megabyte takes about a second. */
  readonly fileBytes?: number | undefined
  /** More documents in a file are not read; 10,000 unless said. */
  readonly documents?: number | undefined
  /** How many events are kept for watchers; who falls back further is told to resynchronise. 4,096 unless said. */
  readonly history?: number | undefined
}

/**
 * Objects in a file, or in those files of a folder that end in `.yaml`, `.yml` or `.json` and do not begin with a dot:
 * several documents in a file, lists, and the short form. What is of other kinds is skipped with a note.
 *
 * While something is wrong in a file, what it held before and does not hold now stays. Where two files have the same object,
 * that of the first by name counts. Folders are watched while somebody watches the source, and at no other time.
 */
export class FileSource implements Source {
  readonly #root: string
  readonly #place: string
  readonly #options: FolderOptions
  readonly #quietMilliseconds: number
  readonly #journal: Journal
  #folder: FolderState = { files: new Map(), problems: [], watched: new Map() }
  #objects: ReadonlyMap<string, Held> = new Map()
  #problems: ReadonlyMap<string, readonly SourceProblem[]> = new Map()
  #watchers = 0
  #watches: Watches | undefined
  #quiet: NodeJS.Timeout | undefined
  #changedSince: number | undefined
  #reading: Promise<void> | undefined
  #next: Promise<void> | undefined

  /**
   * @param file  A file or folder, from the working directory; it may come later, and go.
   * @throws ValidationError if an option is not as described
   */
  constructor(file: string, options: FileSourceOptions = {}) {
    const {
      recursive = false,
      namespace = 'default',
      quietMilliseconds = 50,
      history = usualHistory,
    } = options
    const { fileBytes = 4 * 1024 * 1024, documents = 10_000 } = options
    for (const [name, value] of Object.entries({ quietMilliseconds, fileBytes, documents })) {
      if (Number.isSafeInteger(value) && value >= 0 && value <= 1e9) continue
      throw new ValidationError(`options.${name}`, value, 'an integer from 0 to 1000000000')
    }
    this.#root = path.resolve(file)
    this.#place = path.normalize(file)
    this.#options = { recursive, namespace, fileBytes, documents }
    this.#quietMilliseconds = quietMilliseconds
    this.#journal = new Journal(history)
  }

  /** Reads what has changed; all objects then. @throws the reason of the signal */
  async list({ signal }: SourceOptions = {}): Promise<SourceList> {
    signal?.throwIfAborted()
    await this.#read()
    signal?.throwIfAborted()
    return {
      revision: this.#journal.revision,
      objects: [...this.#objects.values()].map(({ object }) => object),
      problems: [...this.#problems.values()].flat(),
    }
  }

  /** What changed since the revision: see Source. */
  watch(revision: string, { signal }: SourceOptions = {}): AsyncIterableIterator<SourceEvent> {
    return leavable((left) => this.#follow(revision, signal, left))
  }

  /** Where an object, or what stands at a path in it, is written: as it was when it was read last. */
  async locate(reference: ObjectReference, at = ''): Promise<SourcePlace | undefined> {
    const held = this.#objects.get(keyOf(reference))
    if (held === undefined) return undefined
    const position = await positionIn(held.text, held, parsePath(at), this.#options)
    return { place: held.place, ...position }
  }

  async *#follow(
    revision: string,
    signal: AbortSignal | undefined,
    left: AbortSignal,
  ): AsyncGenerator<SourceEvent, void, undefined> {
    signal?.throwIfAborted()
    if (this.#watchers++ === 0) this.#watches = new Watches(() => this.#changed())
    let isHere = true
    const leave = (): void => {
      if (isHere && --this.#watchers === 0) this.#stop()
      isHere = false
      signal?.removeEventListener('abort', leave)
    }
    // Who aborts may not ask for another event, and nothing may stay open for that.
    signal?.addEventListener('abort', leave)
    try {
      // What changed while nobody watched, too.
      void this.#read()
      yield* this.#journal.after(revision, signal, left)
    } finally {
      leave()
    }
  }

  #stop(): void {
    this.#watches?.close()
    this.#watches = undefined
    clearTimeout(this.#quiet)
    this.#changedSince = undefined
  }

  #changed(): void {
    const now = performance.now()
    this.#changedSince ??= now
    const longest = this.#changedSince + 10 * this.#quietMilliseconds - now
    clearTimeout(this.#quiet)
    this.#quiet = setTimeout(
      () => {
        this.#changedSince = undefined
        void this.#read()
      },
      Math.max(0, Math.min(this.#quietMilliseconds, longest)),
    )
  }

  /** A reading that begins now or later, and one for all who ask meanwhile. Never rejects. */
  #read(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#readNow().finally(() => {
        this.#reading = undefined
      })
      return this.#reading
    }
    this.#next ??= this.#reading.then(() => {
      this.#next = undefined
      return this.#read()
    })
    return this.#next
  }

  async #readNow(): Promise<void> {
    const problems: SourceProblem[] = []
    try {
      // What is watched from now on may have changed before it was.
      for (let isNew = true, round = 0; isNew && round < 8; round++) {
        this.#folder = await readFolder(this.#root, this.#place, this.#folder, this.#options)
        const watches = await this.#watches?.set(this.#folder.watched)
        problems.length = 0
        for (const [folder, code] of watches?.failed ?? []) {
          // Of those on the way there, some may be nobody's business.
          if (this.#folder.watched.get(folder) !== 'all') continue
          const message = `cannot be watched (${code}): changes are seen when it is read next`
          problems.push({ severity: 'error', place: folder, message })
        }
        isNew = watches?.isNew ?? false
      }
    } catch (error) {
      problems.push({ severity: 'error', place: this.#place, message: `cannot be read: ${String(error)}` })
    }
    this.#tell([...this.#folder.problems, ...problems])
  }

  /** Makes one of all files, and tells what is different. */
  #tell(ofFolders: readonly SourceProblem[]): void {
    const objects = new Map<string, Held>()
    const problems = new Map<string, SourceProblem[]>()
    const add = (problem: SourceProblem): void => {
      problems.set(problem.place, [...(problems.get(problem.place) ?? []), problem])
    }
    ofFolders.forEach(add)
    const files = [...this.#folder.files].sort(([one], [other]) => (one < other ? -1 : 1))
    for (const [, file] of files) {
      file.problems.forEach(add)
      for (const held of file.held) {
        const key = keyOf(held.reference)
        const first = objects.get(key)
        if (first === undefined) objects.set(key, held)
        else add(twice(held, first))
      }
    }
    const [objectsBefore, problemsBefore] = [this.#objects, this.#problems]
    this.#objects = objects
    this.#problems = problems
    for (const [key, { reference }] of objectsBefore) {
      if (!objects.has(key)) this.#journal.append({ event: 'deleted', reference })
    }
    for (const [key, { object }] of objects) {
      const before = objectsBefore.get(key)?.object
      if (before !== object && !isDeepStrictEqual(before, object)) {
        this.#journal.append({ event: 'upserted', object })
      }
    }
    for (const place of new Set([...problemsBefore.keys(), ...problems.keys()])) {
      const now = problems.get(place) ?? []
      if (isDeepStrictEqual(problemsBefore.get(place) ?? [], now)) continue
      this.#journal.append({ event: 'problems', place, problems: now })
    }
  }
}

function twice({ reference, place, position }: Held, first: Held): SourceProblem {
  const where = `${first.place}, line ${first.position.line}`
  const message = `${formatReference(reference)} is there already: ${where}`
  return { severity: 'error', place, ...position, message }
}

/** A file or folder of manifests as it is at a moment, and where to watch for it to change. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { errorCode } from './errno.js'
import { type FileOptions, type FileState, readFileState } from './file.js'
import { Lookups } from './lookups.js'
import type { SourceProblem } from './source.js'
import type { Names } from './watches.js'

/** How a folder is read. */
export interface FolderOptions extends FileOptions {
  readonly recursive: boolean
}

/** What was found. */
export interface FolderState {
  /** By their places. */
  readonly files: ReadonlyMap<string, FileState>
  /** Of folders. */
  readonly problems: readonly SourceProblem[]
  /** Where changes count, and of which names. */
  readonly watched: ReadonlyMap<string, Names>
}

/** Files that are read at the same time. */
const atOnce = 16

/** As kubectl has it. Where a file is named outright, anything goes. */
const isManifest = (name: string): boolean => /\.(ya?ml|json)$/.test(name)
/** Of editors, of ConfigMaps' folders, and of those who want it so. */
const isHidden = (name: string): boolean => name.startsWith('.')

/**
 * @param root  An absolute path.
 * @param place  What it is called in problems.
 * @param before  What was found the last time: files that are the same are not read again.
 */
export async function readFolder(
  root: string,
  place: string,
  before: FolderState,
  options: FolderOptions,
): Promise<FolderState> {
  const lookups = new Lookups()
  const look: Look = { before, options, lookups, found: [], kept: [], problems: [], folders: [] }
  const real = await lookups.resolve(root)
  const isFolder =
    real === undefined
      ? undefined
      : await stat(real).then(
          (found) => found.isDirectory(),
          () => undefined,
        )
  if (real === undefined || isFolder === undefined) {
    look.problems.push({ severity: 'error', place, message: 'there is no such file or folder' })
  } else if (isFolder) await walk(look, real, place)
  else look.found.push({ file: real, place, isLink: false })

  const files = new Map<string, FileState>()
  for (const folder of look.kept) {
    for (const [name, state] of before.files) if (name.startsWith(`${folder}/`)) files.set(name, state)
  }
  for (let at = 0; at < look.found.length; at += atOnce) {
    await Promise.all(
      look.found.slice(at, at + atOnce).map(async (found) => {
        const state = await readEntry(found, before.files.get(found.place), options)
        if (state !== undefined) files.set(found.place, state)
      }),
    )
  }
  const watched = new Map<string, Names>(lookups.names)
  for (const folder of look.folders) watched.set(folder, 'all')
  return { files, problems: look.problems, watched }
}

interface Entry {
  readonly file: string
  readonly place: string
  readonly isLink: boolean
}
interface Look {
  readonly before: FolderState
  readonly options: FolderOptions
  readonly lookups: Lookups
  readonly found: Entry[]
  /** Folders that could not be read: their files are as they were. */
  readonly kept: string[]
  readonly problems: SourceProblem[]
  readonly folders: string[]
}

/** Folders that symbolic links lead to are left out, as by kubectl: they may lead in a circle. */
async function walk(look: Look, folder: string, place: string): Promise<void> {
  look.folders.push(folder)
  let entries: Dirent[]
  try {
    entries = await readdir(folder, { withFileTypes: true })
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT') return
    look.kept.push(place)
    look.problems.push({ severity: 'error', place, message: `cannot be read: ${code ?? String(error)}` })
    return
  }
  for (const entry of entries) {
    if (isHidden(entry.name)) continue
    const [file, name] = [path.join(folder, entry.name), path.join(place, entry.name)]
    if (entry.isDirectory()) {
      if (look.options.recursive) await walk(look, file, name)
    } else if (isManifest(entry.name)) {
      const isLink = entry.isSymbolicLink()
      if (isLink) await look.lookups.resolve(entry.name, folder)
      look.found.push({ file, place: name, isLink })
    }
  }
}

async function readEntry(
  { file, place, isLink }: Entry,
  before: FileState | undefined,
  options: FileOptions,
): Promise<FileState | undefined> {
  const state = await readFileState(file, place, before, options)
  if (state !== undefined || !isLink) return state
  const message = 'is a symbolic link that leads to nothing'
  return { held: before?.held ?? [], problems: [{ severity: 'error', place, message }] }
}

/** One file of manifests: what it holds, and what it held when it was last in order. */
import { constants, type BigIntStats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { errorCode } from './errno.js'
import { type Manifest, readManifests, type ReadingOptions } from './manifest.js'
import { keyOf } from './reference.js'
import type { SourceProblem } from './source.js'

/** An object, and the text that it was read from. */
export interface Held extends Manifest {
  readonly place: string
  readonly text: string
}

/** A file as it was read. */
export interface FileState {
  /** Of the same file with the same content it is the same; undefined where that cannot be told yet. */
  readonly stamp?: string | undefined
  /** Undefined where it could not be read. */
  readonly text?: string | undefined
  readonly held: readonly Held[]
  readonly problems: readonly SourceProblem[]
}

/** How files are read. */
export interface FileOptions extends ReadingOptions {
  /** Longer files are not read. */
  readonly fileBytes: number
}

/**
 * Times of files go by ticks of the kernel, of 10 ms at most: a file that was changed just now may be changed again
 * without looking different.
 */
const tickMilliseconds = 100

/**
 * Reads a file, if it is another one than before. While something is wrong in it, the objects that it held and that this
 * reading does not have stay as they were.
 *
 * @returns undefined if there is none
 */
export async function readFileState(
  file: string,
  place: string,
  before: FileState | undefined,
  options: FileOptions,
): Promise<FileState | undefined> {
  const broken = (message: string, stamp?: string): FileState => ({
    stamp,
    held: before?.held ?? [],
    problems: [{ severity: 'error', place, message }],
  })
  let handle: FileHandle | undefined
  try {
    if (before?.stamp !== undefined && before.stamp === stampOf(await stat(file, { bigint: true })))
      return before
    // A pipe is not waited for.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    const found = await handle.stat({ bigint: true })
    const stamp = stampOf(found)
    if (!found.isFile()) return broken('is no regular file', stamp)
    const bytes = await readAtMost(handle, options.fileBytes)
    if (bytes === undefined) return broken(`is longer than ${options.fileBytes} bytes`, stamp)
    const text = decode(bytes)
    if (text === undefined) return broken('is not in UTF-8', stamp)
    if (before !== undefined && text === before.text) return { ...before, stamp }
    const reading = await readManifests(text, options)
    const read = reading.manifests.map((manifest) => ({ ...manifest, place, text }))
    const problems = reading.problems.map((problem) => ({ ...problem, place }))
    const isBroken = problems.some(({ severity }) => severity === 'error')
    return { stamp, text, held: isBroken ? withThose(read, before?.held ?? []) : read, problems }
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    return broken(`cannot be read: ${code ?? String(error)}`)
  } finally {
    await handle?.close()
  }
}

function stampOf({ dev, ino, size, mtimeNs, ctimeNs, ctimeMs }: BigIntStats): string | undefined {
  if (Date.now() - Number(ctimeMs) < tickMilliseconds) return undefined
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

/** @returns undefined if there is more; what the file's size says is no promise */
async function readAtMost(handle: FileHandle, most: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  for (let length = 0; ;) {
    const { bytesRead, buffer } = await handle.read(new Uint8Array(64 * 1024))
    if (bytesRead === 0) return Buffer.concat(chunks)
    length += bytesRead
    if (length > most) return undefined
    chunks.push(buffer.subarray(0, bytesRead))
  }
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function withThose(read: readonly Held[], before: readonly Held[]): Held[] {
  const keys = new Set(read.map(({ reference }) => keyOf(reference)))
  return [...read, ...before.filter(({ reference }) => !keys.has(keyOf(reference)))]
}

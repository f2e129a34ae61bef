/**
 * What has to be known again after a restart, in a file: objects as they were read last, so that a start without their folder
 * forwards at once; what was picked for services; servers that are drained; settings as they were before.
 *
 * A line for each thing, and last a line with the checksum of all before. The file is another one each time, and takes the name
 * when it is whole and on the disk.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { isValidationError } from '../errors/index.js'
import { isObject } from '../model/reading.js'
import { readAllocation } from '../model/allocator.js'
import type { Allocation, ModelObject } from '../model/index.js'
import { Slices } from '../slices.js'
import { readServer } from './drains.js'

export interface SavedState {
  /** By the path that their source was given. */
  readonly objects: ReadonlyMap<string, readonly ModelObject[]>
  readonly allocations: readonly Allocation[]
  /** `10.0.0.7`, `10.0.0.7:80`. */
  readonly drained: readonly string[]
  /** Settings of the kernel as they were before they were changed, by name. */
  readonly settings: Readonly<Record<string, string>>
}

export const nothingSaved: SavedState = { objects: new Map(), allocations: [], drained: [], settings: {} }

/** A file that is not as it was written. */
export class StateError extends Error {
  override readonly name = 'StateError'
}

const header = { viaduct: 'state', version: 1 }
const pieceBytes = 1 << 16
/** A string has at most 2^29 - 24 letters (V8). */
const mostBytes = 1 << 28

export class StateFile {
  readonly file: string
  #turn: Promise<unknown> = Promise.resolve()

  constructor(file: string) {
    this.file = path.resolve(file)
  }

  /**
   * Undefined if there is none.
   * @throws StateError if it is none of ours, or not whole; what the file system says
   */
  async read(): Promise<SavedState | undefined> {
    let text: string
    try {
      // A pipe is not waited for.
      const handle = await open(this.file, constants.O_RDONLY | constants.O_NONBLOCK)
      try {
        const found = await handle.stat()
        if (!found.isFile()) throw new StateError(`${this.file}: it is no regular file`)
        if (found.size > mostBytes) throw new StateError(`${this.file}: it is longer than ${mostBytes} bytes`)
        text = await handle.readFile('utf8')
      } finally {
        await handle.close()
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return await parse(text, this.file)
  }

  /** One after the other. @throws what the file system says; the file is as it was then */
  write(state: SavedState): Promise<void> {
    const written = this.#turn.then(() => this.#write(state))
    this.#turn = written.catch(() => undefined)
    return written
  }

  /** Takes it away. */
  async remove(): Promise<void> {
    await this.#turn
    for (const file of [this.file, this.#unfinished]) await rm(file, { force: true })
  }

  /** One name: what a process that was killed has left is overwritten. */
  get #unfinished(): string {
    return `${this.file}.unfinished`
  }

  async #write(state: SavedState): Promise<void> {
    const folder = path.dirname(this.file)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const unfinished = this.#unfinished
    try {
      // Manifests may hold what is nobody else's business.
      const handle = await open(unfinished, 'w', 0o600)
      try {
        const checksum = createHash('sha256')
        const slices = new Slices()
        let piece = ''
        const flush = async (): Promise<void> => {
          checksum.update(piece)
          await handle.writeFile(piece)
          piece = ''
        }
        for (const line of linesOf(state)) {
          piece += `${JSON.stringify(line)}\n`
          if (piece.length >= pieceBytes) await flush()
          if (slices.isOver) await slices.next()
        }
        await flush()
        await handle.writeFile(`${JSON.stringify({ checksum: checksum.digest('hex') })}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(unfinished, this.file)
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => undefined)
      throw error
    }
    // The name, too, is to outlive a power cut.
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

function* linesOf({ objects, allocations, drained, settings }: SavedState): Generator<object> {
  yield header
  for (const [source, list] of objects) for (const object of list) yield { source, object }
  for (const allocation of allocations) yield { allocation }
  for (const drain of drained) yield { drain }
  for (const [setting, before] of Object.entries(settings)) yield { setting, before }
}

async function parse(text: string, file: string): Promise<SavedState> {
  const end = text.lastIndexOf('\n', text.length - 2) + 1
  const last = parseLine(text.slice(end), file)
  const checksum = createHash('sha256').update(text.slice(0, end)).digest('hex')
  if (!text.endsWith('\n') || last['checksum'] !== checksum)
    throw new StateError(`${file}: it is not whole: its checksum is another one`)
  const objects = new Map<string, ModelObject[]>()
  const allocations: Allocation[] = []
  const drained: string[] = []
  const settings: Record<string, string> = {}
  const slices = new Slices()
  let isFirst = true
  for (const line of text.slice(0, end).split('\n')) {
    if (line === '') continue
    const held = parseLine(line, file)
    if (isFirst && (held['viaduct'] !== header.viaduct || held['version'] !== header.version))
      throw new StateError(`${file}: it is of another version`)
    isFirst = false
    const { source, object, allocation, drain, setting, before } = held
    if (typeof source === 'string') {
      const list = objects.get(source)
      // Whoever takes them looks at what they are.
      if (list === undefined) objects.set(source, [object as ModelObject])
      else list.push(object as ModelObject)
    } else if (allocation !== undefined) {
      judged(() => readAllocation(allocation, 'allocation'), file)
      allocations.push(allocation as Allocation)
    } else if (typeof drain === 'string') {
      judged(() => readServer(drain), file)
      drained.push(drain)
    } else if (typeof setting === 'string' && typeof before === 'string') settings[setting] = before
    if (slices.isOver) await slices.next()
  }
  return { objects, allocations, drained, settings }
}

function parseLine(line: string, file: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    // Told below.
  }
  if (!isObject(value)) throw new StateError(`${file}: it is not whole, or none of ours`)
  return value
}

/** Whoever takes it throws at what is none. */
function judged<T>(read: () => T, file: string): T {
  try {
    return read()
  } catch (error) {
    if (!isValidationError(error)) throw error
    throw new StateError(`${file}: it is none of ours: ${error.message}`)
  }
}

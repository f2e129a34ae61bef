import { constants, fstatSync, readSync, writeSync } from 'node:fs'
import { KernelError } from '../errors/index.js'
import { loadNative } from '../native.js'
import { attempt, netError } from './failure.js'
import { describeNetns, type Netns, withNamespaceFd } from './namespace.js'

/** Where a file is opened. */
export interface FileOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
}

/** How a file is read. */
export interface ReadOptions extends FileOptions {
  /** Aborting makes the next step reject. */
  readonly signal?: AbortSignal | undefined
  /** Of a piece, at the most; 262,144 unless said. */
  readonly chunkBytes?: number | undefined
}

/**
 * Opens a file as the namespace sees it and returns a descriptor that is the caller's to close: what stands below
 * /proc/net and /proc/sys/net depends on the namespace of the thread that opens it. It also outlives a worker thread
 * that opened it. `flags` as in open(2); read-only unless said.
 *
 * @throws KernelError
 */
export function openFile(
  path: string,
  { netns, flags = constants.O_RDONLY }: FileOptions & { readonly flags?: number | undefined } = {},
): number {
  const fd = open(path, netns, flags)
  loadNative().releaseDescriptor(fd)
  return fd
}

/**
 * The same for the house itself: a descriptor that goes with the thread, and by `closeDescriptor()` before. Neither
 * opening nor using it waits for another process, as a pipe would: the event loop, or the thread's end, would wait too.
 */
export function borrowFile(
  path: string,
  { netns, flags = constants.O_RDONLY }: FileOptions & { readonly flags?: number | undefined } = {},
): number {
  return open(path, netns, flags | constants.O_NONBLOCK)
}

function open(path: string, netns: Netns | undefined, flags: number): number {
  return attempt('file.open', objectOf(path, netns), hints, () =>
    withNamespaceFd(netns, (fd) => loadNative().openFile(fd, pathOfThread(path), flags)),
  )
}

/** Closes a descriptor; one that is closed already throws EBADF. */
export function closeDescriptor(fd: number): void {
  loadNative().closeDescriptor(fd)
}

/** The whole of a small file (a setting below /proc/sys) as text, at once. Regular files alone (EINVAL). */
export function readFile(path: string, options: FileOptions = {}): string {
  const fd = borrowFile(path, options)
  const object = objectOf(path, options.netns)
  return attempt('file.read', object, readHints, () => {
    try {
      // A pipe that nobody writes seems empty, a device may have no end.
      if (!fstatSync(fd).isFile()) {
        throw new KernelError({ errno: -22, operation: 'file.read', object, hint: readHints.EINVAL })
      }
      // Sizes below /proc are 0, so it is read until it ends.
      const decoder = new TextDecoder()
      const piece = new Uint8Array(4096)
      let text = ''
      for (let count = readSync(fd, piece); count > 0; count = readSync(fd, piece)) {
        text += decoder.decode(piece.subarray(0, count), { stream: true })
      }
      return text + decoder.decode()
    } finally {
      closeDescriptor(fd)
    }
  })
}

/** Writes a file with one write(2), which is how a setting below /proc/sys takes its value. */
export function writeFile(path: string, content: string | Uint8Array, options: FileOptions = {}): void {
  const fd = borrowFile(path, { netns: options.netns, flags: constants.O_WRONLY })
  attempt('file.write', objectOf(path, options.netns), hints, () => {
    try {
      writeSync(fd, typeof content === 'string' ? new TextEncoder().encode(content) : content)
    } finally {
      closeDescriptor(fd)
    }
  })
}

/**
 * A file of any size in pieces, read on a thread: the event loop stays free, and memory small. Stopping early (`break`)
 * closes the file. Regular files alone (EINVAL).
 */
export async function* readChunks(
  path: string,
  { netns, signal, chunkBytes = 262_144 }: ReadOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted()
  const addon = loadNative()
  const fd = borrowFile(path, { netns })
  try {
    for (;;) {
      const piece = await addon.readSome(fd, chunkBytes)
      signal?.throwIfAborted()
      if (piece.length > 0) yield piece
      // Less than asked for: it ended there.
      if (piece.length < chunkBytes) return
      signal?.throwIfAborted()
    }
  } catch (error) {
    throw netError(error, 'file.read', objectOf(path, netns), readHints)
  } finally {
    closeDescriptor(fd)
  }
}

/** The same by lines, without their ends. */
export async function* readLines(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of readChunks(path, options)) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
}

/**
 * /proc/net is a link to /proc/self/net, and that shows the namespace of the process' first thread (fs/proc/proc_net.c).
 * A namespace is entered on another one.
 */
function pathOfThread(path: string): string {
  return path.replace(/^\/proc\/(self\/)?net(?=\/|$)/, '/proc/thread-self/net')
}

function objectOf(path: string, netns: Netns | undefined): object {
  return netns === undefined ? { path } : { path, ...describeNetns(netns) }
}

const hints = {
  EROFS: '/proc/sys is mounted read-only, as in containers without --privileged',
  ENXIO: 'Nobody reads this pipe',
}

const readHints = {
  ...hints,
  EAGAIN: 'There is nothing to read before the kernel writes more, and that is not waited for',
  EINVAL: 'Regular files alone are read',
}

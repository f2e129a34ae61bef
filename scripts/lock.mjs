/**
 * Locks between processes: two runs of these scripts in one checkout, two that install packages on one machine. The
 * kernel holds them (flock(2)) and gives them back when a process dies, so none is ever stale. Node has no flock: the
 * small program of util-linux (or busybox) takes the lock on a descriptor that it shares with us, and the lock stays
 * with the descriptor when the program ends.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'

/**
 * Does `work` while no other process holds the lock of this file.
 *
 * @template T
 * @param {string} file  Made if absent and never removed: another may hold it.
 * @param {() => Promise<T> | T} work
 * @param {{ waiting?: () => void }} [options]  `waiting` is called if another holds it.
 * @returns {Promise<T>}
 */
export async function withLock(file, work, options) {
  const lock = openLock(file, options)
  try {
    await lock.exclusive()
    return await work()
  } finally {
    lock.release()
  }
}

/**
 * A lock that is not held yet. `shared()` and `exclusive()` wait for it, also from one to the other (which may let
 * somebody else in between: look again at what it guards). `release()` gives it back, as does the end of the process.
 *
 * @param {string} file
 * @param {{ waiting?: () => void }} [options]
 */
export function openLock(file, { waiting = () => {} } = {}) {
  mkdirSync(path.dirname(file), { recursive: true })
  // Closed on exec by Node: only the program that is given it on purpose shares it.
  const fd = openSync(file, 'a')

  async function take(kind) {
    if (await flock(fd, [kind, '-n'])) return
    waiting()
    if (!(await flock(fd, [kind]))) throw new Error(`flock could not lock ${file}`)
  }
  return { shared: () => take('-s'), exclusive: () => take('-x'), release: () => closeSync(fd) }
}

function flock(fd, options) {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', [...options, '3'], { stdio: ['ignore', 'ignore', 'inherit', fd] })
    child.on('error', (error) => {
      reject(error.code === 'ENOENT' ? new Error('flock is missing: install util-linux (or busybox)') : error)
    })
    child.on('close', (status) => resolve(status === 0))
  })
}

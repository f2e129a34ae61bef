/**
 * The folder outside the repository in which the lab keeps kernels, headers and small things it compiled.
 *
 * Everything in it can be deleted at any time that no guest runs: it is fetched anew.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { withLock } from '../lock.mjs'

/**
 * A path below the lab's cache folder: `$XDG_CACHE_HOME/viaduct`, or `~/.cache/viaduct`.
 *
 * @param {...string} parts
 * @returns {string}
 */
export function cachePath(...parts) {
  const base = process.env['XDG_CACHE_HOME']
  // The XDG specification asks for relative values to be ignored.
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'viaduct', ...parts)
}

/**
 * Runs `work` while no other process changes the part of the cache called `name`.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T> | T} work
 * @returns {Promise<T>}
 */
export function withCacheLock(name, work) {
  return withLock(cachePath('locks', name), work)
}

/**
 * What a JSON file of the cache holds, or undefined when it is not there or not readable as JSON.
 *
 * @param {string} path
 * @returns {any}
 */
export function readRecord(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * Writes a file so that readers see the old content or the new, never a part.
 *
 * @param {string} path
 * @param {string | Uint8Array} content
 */
export function writeWhole(path, content) {
  mkdirSync(dirname(path), { recursive: true })
  const partial = `${path}.${process.pid}.partial`
  try {
    writeFileSync(partial, content)
    renameSync(partial, path)
  } finally {
    rmSync(partial, { force: true })
  }
}

/**
 * Debian's kernels by role, fetched once and kept in the cache: an image to boot and a folder of modules.
 *
 * A Debian suite holds only its newest version, so kernels are called by their role here and the version is
 * read from what came.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ensurePackages } from '../packages.mjs'
import { cachePath, readRecord, withCacheLock, writeWhole } from './cache.mjs'
import { cleanUpOnSignals } from './guest.mjs'
import { openSuite } from './suite.mjs'

const run = promisify(execFile)

/** @typedef {'6.1' | '6.12' | 'newest'} KernelRole */

/** Which suite's `linux-image-amd64` plays which role. The cloud flavour would have no 9p. */
const suites = /** @type {const} */ ({ 6.1: 'bookworm', 6.12: 'trixie', newest: 'sid' })

/** @type {readonly KernelRole[]} */
export const kernelRoles = ['6.1', '6.12', 'newest']

/** After so long a newer version is looked for; the old one stays when there is none to be had. */
const renewAfterDays = 14

/**
 * @typedef {object} Kernel
 * @property {string} release as `uname -r` tells it
 * @property {string} image path of the vmlinuz
 * @property {string} modules path of the modules folder, with modules.dep made
 * @property {string} fetched ISO date
 */

/** A kernel could not be fetched (no mirror, no network, a broken suite): another role may take its place. */
export class KernelUnavailableError extends Error {
  /**
   * @param {string} what
   * @param {unknown} cause
   */
  constructor(what, cause) {
    super(`${what} cannot be had: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'KernelUnavailableError'
  }
}

/**
 * The kernel of a role, fetched if the cache has none.
 *
 * @param {KernelRole} role
 * @param {(line: string) => void} say told before each download
 * @returns {Promise<Kernel>}
 */
export async function prepareKernel(role, say) {
  return cached(
    `kernel-${role}`,
    `the lab's kernel ${role}`,
    say,
    async (target, suite) => {
      const names = await suite.closure(['linux-image-amd64'], /^linux-(image|binary|modules|base)-\d/)
      const parts = names.filter((name) => name !== 'linux-image-amd64')
      await suite.unpack(parts, target, `a kernel with IPVS for the lab, kept in ${cachePath()}`)
      // Older packages unpack into /lib/modules, newer into /usr/lib/modules; depmod knows the first only.
      if (!existsSync(join(target, 'lib'))) symlinkSync('usr/lib', join(target, 'lib'))
      const release = readdirSync(join(target, 'lib/modules'))[0]
      if (release === undefined) throw new Error(`${parts.join(', ')} brought no modules`)
      const images = [`boot/vmlinuz-${release}`, `lib/modules/${release}/vmlinuz`]
      const image = images.find((path) => existsSync(join(target, path)))
      if (image === undefined) throw new Error(`${parts.join(', ')} brought no kernel image`)
      if (!existsSync(join(target, `lib/modules/${release}/modules.builtin`))) {
        throw new Error(`${parts.join(', ')} brought no modules.builtin`)
      }
      await run(findDepmod(), ['-b', target, release], { timeout: 120_000 })
      return { release, image, modules: `lib/modules/${release}` }
    },
    suites[role],
  )
}

/**
 * The include folder of the newest suite's kernel headers (`linux-libc-dev`), for checks of numbers and
 * names: Debian stable's own headers lack newer attributes.
 *
 * @param {(line: string) => void} [say]
 * @returns {Promise<string>}
 */
export async function newestHeaders(say = (line) => process.stderr.write(`${line}\n`)) {
  const found = await cached(
    'headers-newest',
    'the newest kernel headers',
    say,
    async (target, suite) => {
      await suite.unpack(['linux-libc-dev'], target, 'kernel headers that tables are checked against')
      return { include: 'usr/include' }
    },
    suites.newest,
  )
  return found.include
}

/** depmod of kmod; sbin is not in everybody's PATH. */
function findDepmod() {
  return existsSync('/sbin/depmod') ? '/sbin/depmod' : 'depmod'
}

/**
 * One entry of the cache: `<name>.json` points to the folder in use, so that a new version can be unpacked
 * while guests run on the old one.
 *
 * @template {Record<string, string>} T
 * @param {string} name
 * @param {string} what for error messages
 * @param {(line: string) => void} say
 * @param {(target: string, suite: Awaited<ReturnType<typeof openSuite>>) => Promise<T>} fetch
 *   unpacks below `target`; the paths that it returns are below it too (`release` is no path)
 * @param {string} suite
 * @returns {Promise<T & { fetched: string }>}
 */
async function cached(name, what, say, fetch, suite) {
  const recordPath = cachePath(`${name}.json`)
  const known = usable(recordPath)
  if (known && !isOld(known.fetched)) return known
  return withCacheLock(name, async () => {
    const present = usable(recordPath) // another process may have fetched it meanwhile
    if (present && !isOld(present.fetched)) return present
    try {
      await ensurePackages(['kmod', 'xz-utils'], { why: 'unpack kernels for the lab', say })
      return await renew()
    } catch (error) {
      if (!present) throw new KernelUnavailableError(what, error)
      say(`${what} stays as it is: ${error instanceof Error ? error.message : String(error)}`)
      return present
    }
  })

  async function renew() {
    mkdirSync(cachePath(), { recursive: true })
    // Nobody else works on it while the lock is held: these are of processes that were killed.
    for (const entry of readdirSync(cachePath())) {
      if (entry.startsWith(`${name}.partial-`)) rmSync(cachePath(entry), { recursive: true, force: true })
    }
    const scratch = mkdtempSync(cachePath(`${name}.partial-`))
    const forget = cleanUpOnSignals(() => rmSync(scratch, { recursive: true, force: true }))
    try {
      const unpacked = join(scratch, 'unpacked')
      const content = await fetch(unpacked, await openSuite({ suite, folder: join(scratch, 'apt'), say }))
      const fetched = new Date().toISOString()
      const folder = cachePath(`${name}-${fetched.replace(/\D/g, '')}`)
      renameSync(unpacked, folder)
      const record = { ...content, folder, fetched }
      writeWhole(recordPath, JSON.stringify(record, null, 2))
      removeOlder(name, folder)
      return resolvePaths(record)
    } finally {
      forget()
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}

/** @param {string} recordPath */
function usable(recordPath) {
  const record = readRecord(recordPath)
  return record !== undefined && existsSync(record.folder) ? resolvePaths(record) : undefined
}

/** @param {any} record */
function resolvePaths({ folder, ...content }) {
  const plain = new Set(['release', 'fetched'])
  return Object.fromEntries(
    Object.entries(content).map(([key, value]) => [key, plain.has(key) ? value : join(folder, value)]),
  )
}

/** @param {string} fetched */
function isOld(fetched) {
  return Date.now() - Date.parse(fetched) > renewAfterDays * 86_400_000
}

/**
 * Removes the versions before the last one: the last may still be in use by a guest.
 *
 * @param {string} name
 * @param {string} current
 */
function removeOlder(name, current) {
  const versions = readdirSync(cachePath())
    .filter((entry) => new RegExp(`^${name.replaceAll('.', '\\.')}-\\d+$`).test(entry))
    .map((entry) => cachePath(entry))
    .sort()
  for (const folder of versions.filter((path) => path !== current).slice(0, -1)) {
    rmSync(folder, { recursive: true, force: true })
  }
}

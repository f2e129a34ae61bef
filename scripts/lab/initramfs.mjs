/**
 * The initramfs of a lab guest: busybox, the two stages of its init, the modules with which the host's file
 * system is mounted, and what this one guest is to run.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram } from '../packages.mjs'

const guestScripts = join(dirname(fileURLToPath(import.meta.url)), 'guest')

/**
 * The bytes of an initramfs.
 *
 * @param {object} options
 * @param {string} options.modules the kernel's modules folder
 * @param {readonly string[]} options.load modules to insert, by name; those they need are found
 * @param {Readonly<Record<string, string>>} options.settings variables for main.sh
 * @param {string} options.command the shell script that the guest runs
 * @returns {Buffer}
 */
export function makeInitramfs({ modules, load, settings, command }) {
  const busybox = findProgram('busybox')
  if (busybox === undefined) throw new Error('busybox is missing: install busybox-static')
  const files = modulesInOrder(modules, load)
  return newcArchive([
    directory('bin'),
    directory('lab'),
    directory('modules'),
    file('bin/busybox', readFileSync(busybox), 0o755),
    file('init', readFileSync(join(guestScripts, 'init.sh')), 0o755),
    file('lab/main.sh', readFileSync(join(guestScripts, 'main.sh'))),
    file(
      'lab/settings.sh',
      Object.entries(settings)
        .map(([name, value]) => `${name}=${quote(value)}\n`)
        .join(''),
    ),
    file('lab/command.sh', command),
    file('modules/order', files.map((path) => `${plainName(path)}\n`).join('')),
    ...files.map((path) => file(`modules/${plainName(path)}`, readModule(join(modules, path)))),
  ])
}

/**
 * A word that the shell takes as it is.
 *
 * @param {string} text
 */
export function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * Paths below the modules folder, each after those that it needs (modules.dep lists direct and indirect ones).
 * A module that is built into this kernel is left out.
 *
 * @param {string} modules
 * @param {readonly string[]} names
 */
function modulesInOrder(modules, names) {
  /** @type {Map<string, { path: string, needs: string[] }>} */
  const known = new Map()
  for (const line of readFileSync(join(modules, 'modules.dep'), 'utf8').split('\n')) {
    const [path, needs] = line.split(':')
    if (path) known.set(moduleName(path), { path, needs: needs?.trim().split(' ').filter(Boolean) ?? [] })
  }
  const builtIn = new Set(
    readFileSync(join(modules, 'modules.builtin'), 'utf8').split('\n').filter(Boolean).map(moduleName),
  )
  /** @type {Set<string>} */
  const order = new Set()
  /** @param {string} name */
  const visit = (name) => {
    const module = known.get(name)
    if (module === undefined) {
      if (builtIn.has(name)) return
      throw new Error(`the kernel of ${modules} has no module ${name}`)
    }
    for (const needed of module.needs) visit(moduleName(needed))
    order.add(module.path)
  }
  for (const name of names) visit(name)
  return [...order]
}

/** @param {string} path */
function moduleName(path) {
  return basename(path)
    .replace(/\.ko(\.xz|\.zst)?$/, '')
    .replaceAll('-', '_')
}

/** @param {string} path */
function plainName(path) {
  return `${moduleName(path)}.ko`
}

/** @param {string} path */
function readModule(path) {
  // busybox' insmod takes them plain only
  if (path.endsWith('.xz')) return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 26 })
  if (path.endsWith('.zst')) return execFileSync('zstd', ['-dcq', path], { maxBuffer: 1 << 26 })
  return readFileSync(path)
}

/** @typedef {{ name: string, mode: number, content: Uint8Array }} Entry */

/**
 * @param {string} name
 * @returns {Entry}
 */
function directory(name) {
  return { name, mode: 0o040755, content: new Uint8Array() }
}

/**
 * @param {string} name
 * @param {string | Uint8Array} content
 * @param {number} [permissions]
 * @returns {Entry}
 */
function file(name, content, permissions = 0o644) {
  return { name, mode: 0o100000 | permissions, content: Buffer.from(content) }
}

/**
 * cpio's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst): a header of hexadecimal
 * fields, the name, the content, the last two padded to four bytes; the archive ends with TRAILER!!!.
 *
 * @param {readonly Entry[]} entries
 */
function newcArchive(entries) {
  const parts = []
  for (const [index, { name, mode, content }] of [...entries, file('TRAILER!!!', '', 0)].entries()) {
    const nameSize = Buffer.byteLength(name) + 1
    // inode, mode, uid, gid, links, mtime, size, device, device of a node (two each), name size, checksum
    const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameSize, 0]
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`
    parts.push(padded(Buffer.from(header)), padded(content))
  }
  return Buffer.concat(parts)
}

/** @param {Uint8Array} bytes */
function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}

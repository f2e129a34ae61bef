#!/usr/bin/env node
/**
 * Builds the addon by calling the C compiler directly: no node-gyp, no python, no download, Node's built-ins only.
 * It travels with the package, for platforms that no built addon is packed for:
 *
 *     node node_modules/viaduct/scripts/build-addon.mjs [linux-x64-glibc|linux-x64-musl|linux-arm64-glibc|…]
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, openSync, readSync, closeSync, realpathSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const sourceFolder = path.join(root, 'native')

const flags = [
  '-std=gnu11',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fPIC',
  '-fvisibility=hidden',
  '-pthread',
  '-shared',
  '-D_GNU_SOURCE',
  '-DNAPI_VERSION=8',
]

const compileMilliseconds = 300_000

/** Compilers of targets other than this machine's own, by Debian's names, and the package that brings each. */
const crossCompilers = {
  'linux-x64-glibc': { command: 'x86_64-linux-gnu-gcc', packages: 'gcc-x86-64-linux-gnu' },
  'linux-arm64-glibc': { command: 'aarch64-linux-gnu-gcc', packages: 'gcc-aarch64-linux-gnu' },
  'linux-x64-musl': { command: 'musl-gcc', packages: 'musl-tools', kernelHeaders: 'x86_64-linux-gnu' },
}

/** `linux-x64-glibc`: what this Node runs on. */
export function hostTarget() {
  return `${process.platform}-${process.arch}-${cLibrary()}`
}

/** Where the addon of a target stands. */
export function addonFile(target = hostTarget(), folder = path.join(root, 'prebuilt')) {
  return path.join(folder, target, 'viaduct.node')
}

/**
 * Builds the addon if its sources, the flags or the compiler changed since; two runs at once do not disturb each other.
 *
 * @param {{ target?: string, folder?: string, extraFlags?: readonly string[] }} [options] `folder` takes the place of
 *   `prebuilt`; `extraFlags` come after the others (`-fsanitize=address`).
 * @returns {Promise<{ file: string, built: boolean }>} rejects with an Error that names the package that lacks
 */
export async function buildAddon({ target = hostTarget(), folder, extraFlags = [] } = {}) {
  if (!target.startsWith('linux-')) {
    throw new Error(`the addon speaks to the Linux kernel: it cannot be built for ${target}`)
  }
  const file = addonFile(target, folder)
  const compiler = compilerOf(target)
  const sources = await readSources()
  const settings = [target, compiler.command, ...(compiler.args ?? []), ...flags, ...extraFlags]
  const version = await versionOf(compiler)
  const identity = `viaduct-build:${identify(sources, settings)}:`
  // Where there is no compiler, what another has built does.
  if (await holds(file, identity + version)) return { file, built: false }

  await mkdir(path.dirname(file), { recursive: true })
  await sweep(file)
  const unfinished = `${file}.${process.pid}.${Date.now().toString(36)}`
  try {
    await compile(compiler, [
      ...flags,
      ...extraFlags,
      `-DVIADUCT_BUILD="${identity}${version}"`,
      ...includeFlags(compiler),
      '-o',
      unfinished,
      ...sources.map(({ name }) => name).filter((name) => name.endsWith('.c')),
    ])
    // A process that has loaded the old one keeps it: rename gives the name to another file.
    await rename(unfinished, file)
  } finally {
    await rm(unfinished, { force: true })
  }
  return { file, built: true }
}

/** What killed builds left behind: no compiler that runs is as old. */
async function sweep(file) {
  for (const name of await readdir(path.dirname(file))) {
    const leftover = path.join(path.dirname(file), name)
    if (!name.startsWith(`${path.basename(file)}.`)) continue
    const { mtimeMs } = await stat(leftover).catch(() => ({ mtimeMs: Infinity }))
    if (mtimeMs < Date.now() - 2 * compileMilliseconds) await rm(leftover, { force: true })
  }
}

async function readSources() {
  const names = (await readdir(sourceFolder)).filter((name) => /\.[ch]$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => ({ name, text: await readFile(path.join(sourceFolder, name)) })),
  )
}

function identify(sources, settings) {
  const hash = createHash('sha256').update(JSON.stringify(settings))
  for (const { name, text } of sources) hash.update(`\0${name}\0${text.length}\0`).update(text)
  return hash.digest('hex')
}

/** The addon carries its identity in itself, so file and stamp cannot be of different builds. */
async function holds(file, identity) {
  const bytes = await readFile(file).catch(() => undefined)
  return bytes?.includes(identity) === true
}

/** A hash of what the compiler says of itself; empty if it says nothing. */
async function versionOf({ command, args = [] }) {
  try {
    const { stdout } = await run(command, [...args, '--version'], { env: { ...process.env, LC_ALL: 'C' } })
    return createHash('sha256').update(stdout).digest('hex')
  } catch {
    return ''
  }
}

function compilerOf(target) {
  if (target === hostTarget()) {
    // As make takes it: `ccache gcc`.
    const [command = 'cc', ...args] = (process.env.CC ?? '').split(/\s+/).filter((word) => word !== '')
    return { command, args, target }
  }
  const cross = crossCompilers[target]
  if (cross === undefined) {
    const known = [hostTarget(), ...Object.keys(crossCompilers)]
    throw new Error(`no compiler is known for ${target}; known are ${[...new Set(known)].join(', ')}`)
  }
  return { ...cross, target }
}

function includeFlags(compiler) {
  const found = [`-I${nodeHeaders()}`]
  // musl-gcc sees musl's headers alone; the kernel's are those of the other C library's folder.
  if (compiler.kernelHeaders !== undefined) {
    found.push('-idirafter', '/usr/include', '-idirafter', `/usr/include/${compiler.kernelHeaders}`)
  }
  return found
}

/** The folder of node_api.h: it is the same for every Node (the ABI is stable), so any will do. */
function nodeHeaders() {
  const candidates = [path.join(path.dirname(realpathSync(process.execPath)), '../include/node')]
  try {
    const inPackage = createRequire(path.join(root, 'package.json')).resolve('node-api-headers/package.json')
    candidates.push(path.join(path.dirname(inPackage), 'include'))
  } catch {
    // The package is not there; most do without it.
  }
  candidates.push('/usr/include/node', '/usr/local/include/node')
  const found = candidates.find((folder) => existsSync(path.join(folder, 'node_api.h')))
  if (found !== undefined) return found
  throw new Error(
    `the header node_api.h is missing (looked in ${candidates.join(', ')}): ` +
      'run `npm install node-api-headers`, or `apt-get install libnode-dev` where Node is of the distribution',
  )
}

async function compile(compiler, args) {
  try {
    await run(compiler.command, [...(compiler.args ?? []), ...args], {
      cwd: sourceFolder,
      env: { ...process.env, LC_ALL: 'C' },
      timeout: compileMilliseconds,
      maxBuffer: 1 << 24,
    })
  } catch (error) {
    throw new Error(await explain(compiler, error), { cause: error })
  }
}

/** What went wrong, with what to install where something is missing. */
async function explain(compiler, error) {
  const alpine = existsSync('/etc/alpine-release')
  const install = (debian, apk) => (alpine ? `apk add ${apk}` : `apt-get install ${debian}`)
  if (error.code === 'ENOENT') {
    const packages = compiler.packages ?? (alpine ? 'gcc musl-dev' : 'gcc libc6-dev')
    return (
      `the C compiler ${compiler.command} is missing, needed to build the addon: ` +
      `run \`${install(packages, packages)}\``
    )
  }
  const told = String(error.stderr || error.message)
  // gcc's words, and clang's.
  const header = /fatal error: (?:([^:\n]+): No such file|'([^'\n]+)' file not found)/
    .exec(told)
    ?.slice(1)
    .find(Boolean)
  if (header !== undefined) {
    const isKernels = /^(linux|asm|asm-generic)\//.test(header)
    const remedy = isKernels ? install('linux-libc-dev', 'linux-headers') : install('libc6-dev', 'musl-dev')
    return `the header ${header} is missing, needed to build the addon: run \`${remedy}\`\n${told}`
  }
  const tool =
    /(?:cannot execute|error trying to exec|cannot find|Executable) ['"](as|ld|cc1|collect2)['"]/.exec(
      told,
    )?.[1]
  if (tool !== undefined) {
    const brings = tool === 'as' || tool === 'ld' ? 'binutils' : 'gcc'
    return `the compiler's ${tool} is missing, needed to build the addon: run \`${install(brings, brings)}\`\n${told}`
  }
  if (/cannot find (crt\w*\.o|-l(c|m|pthread|gcc_s))\b/.test(told)) {
    return `the C library's files for linking are missing: run \`${install('libc6-dev', 'musl-dev')}\`\n${told}`
  }
  return `the addon does not compile with ${compiler.command}:\n${told}`
}

/** From the loader that the Node binary names (PT_INTERP stands in its first page). */
function cLibrary() {
  if (process.platform !== 'linux') return 'none'
  const start = Buffer.alloc(4096)
  const fd = openSync(process.execPath, 'r')
  try {
    readSync(fd, start, 0, start.length, 0)
  } finally {
    closeSync(fd)
  }
  return start.includes('/ld-musl-') ? 'musl' : 'glibc'
}

async function main(args) {
  const targets = args.length > 0 ? args : [hostTarget()]
  for (const target of targets) {
    const { file, built } = await buildAddon({ target })
    console.log(`${path.relative(process.cwd(), file)}: ${built ? 'built' : 'up to date'}`)
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}

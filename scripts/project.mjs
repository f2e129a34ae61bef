/** Where the project stands, and running its tools. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanUpOnSignals } from './lab/guest.mjs'

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

export const inProject = (...parts) => path.join(root, ...parts)

/** Of this checkout. Not in node_modules or dist, which are deleted while a lock is held. */
export const lockFile = (name) => inProject('.cache/locks', name)

export const readJson = async (file) => JSON.parse(await readFile(file, 'utf8'))

/** The script behind a tool of node_modules, run as `node <script>`: works without links in node_modules/.bin. */
export const tool = (...parts) => inProject('node_modules', ...parts)

/**
 * Runs a program to its end. A signal to this process ends it too.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{
 *   cwd?: string,
 *   env?: NodeJS.ProcessEnv,
 *   echo?: boolean,
 *   timeoutSeconds?: number,
 *   onOutput?: (text: string, stream: 'stdout' | 'stderr') => void,
 * }} [options]  `echo` passes its output through; otherwise it is collected.
 * @returns {Promise<{ ok: boolean, status: number, output: string, stdout: string, stderr: string }>} `output` is both as
 *   they came; a program that could not be started has status 127, one ended by a signal 128 and more
 */
export function run(command, args, options = {}) {
  const { cwd = root, env = plainEnvironment(), echo = false, timeoutSeconds, onOutput } = options
  return new Promise((resolve) => {
    const stdio = ['ignore', echo ? 'inherit' : 'pipe', echo ? 'inherit' : 'pipe']
    // A group of its own: what it started in turn ends with it, and holds no pipe open for ever.
    const child = spawn(command, args, { cwd, env, stdio, detached: true })
    const kill = (signal) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal)
      } catch {
        // it has ended
      }
    }
    const collected = { output: '', stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr']) {
      child[stream]?.setEncoding('utf8').on('data', (text) => {
        collected.output += text
        collected[stream] += text
        onOutput?.(text, stream)
      })
    }
    const forget = cleanUpOnSignals(() => kill('SIGTERM'))
    const end = () => {
      const note = `\nended after ${timeoutSeconds} s\n`
      collected.output += note
      collected.stderr += note
      if (echo) process.stderr.write(note)
      kill('SIGKILL')
    }
    const timer = timeoutSeconds === undefined ? undefined : setTimeout(end, timeoutSeconds * 1000)
    const conclude = (status) => {
      clearTimeout(timer)
      forget()
      resolve({ ok: status === 0, status, ...collected })
    }
    child.on('error', (error) => {
      collected.output += `${error.message}\n`
      collected.stderr += `${error.message}\n`
      conclude(127)
    })
    child.on('close', (status, signal) => conclude(status ?? 128 + constants.signals[signal]))
  })
}

/** Tools that are read by people later, in a log, do not colour. */
export function plainEnvironment() {
  const env = { ...process.env, NO_COLOR: '1' }
  delete env.FORCE_COLOR
  return env
}

export const runNode = (args, options) => run(process.execPath, args, options)

/** npm as it was called, or the one in PATH. */
export function npm(args, options) {
  const cli = process.env.npm_execpath
  return cli?.endsWith('npm-cli.js') === true ? runNode([cli, ...args], options) : run('npm', args, options)
}

/** Every file below a folder (relative to the project) that `wanted` takes, sorted; no folder, no files. */
export async function filesBelow(folder, wanted = () => true) {
  const entries = await readdir(inProject(folder), { recursive: true, withFileTypes: true }).catch(
    (error) => {
      if (error.code === 'ENOENT') return []
      throw error
    },
  )
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(path.relative(root, entry.parentPath), entry.name))
    .filter((file) => !/(^|\/)(node_modules|\.git)\//.test(file) && wanted(file))
    .sort()
}

/** One hash over names and contents: what a stamp holds to tell whether anything changed. */
export async function hashFiles(files, ...more) {
  const hash = createHash('sha256')
  for (const text of more) hash.update(`${text}\0`)
  for (const file of files) {
    const bytes = await readFile(inProject(file)).catch(() => undefined)
    hash.update(`${file}\0${bytes === undefined ? 'absent' : bytes.length}\0`)
    if (bytes !== undefined) hash.update(bytes)
  }
  return hash.digest('hex')
}

/** A folder of its own for `work`, gone afterwards; `below` another one than the system's where a guest is to see it. */
export async function withTemporaryFolder(name, work, below = tmpdir()) {
  await mkdir(below, { recursive: true })
  const folder = await mkdtemp(path.join(below, `viaduct-${name}-`))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  const forget = cleanUpOnSignals(remove)
  try {
    return await work(folder)
  } finally {
    forget()
    remove()
  }
}

/** Two at a time, as on the smallest machine that CI gives; in their order. */
export async function twoAtATime(items, work) {
  const queue = [...items]
  const worker = async () => {
    while (queue.length > 0) await work(queue.shift())
  }
  await Promise.all([worker(), worker()])
}

export const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

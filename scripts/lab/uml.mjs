/**
 * User-mode Linux' side of the lab: a kernel that runs as a process, so that code runs natively.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, renameSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ensurePackages, findProgram } from '../packages.mjs'
import { cachePath, withCacheLock } from './cache.mjs'
import { channels } from './guest.mjs'

const run = promisify(execFile)
const modulesFolder = '/usr/lib/uml/modules'
const ptraceSource = join(dirname(fileURLToPath(import.meta.url)), 'uml-ptrace.c')

export const umlPackages = ['user-mode-linux', 'busybox-static', 'kmod']

/** What the initramfs inserts; hostfs is built in. */
export const umlModules = ['overlay']

/**
 * The installed user-mode kernel.
 *
 * @param {(line: string) => void} say
 * @returns {Promise<{ release: string, modules: string, preload: string | undefined }>} `preload` is a library
 *   that the kernel must be started with on this processor
 */
export async function prepareUml(say) {
  await ensurePackages(umlPackages, { why: 'run user-mode Linux, which has IPVS', say })
  const { stdout } = await run('linux.uml', ['--version'])
  const release = stdout.trim()
  const modules = join(modulesFolder, release)
  if (!existsSync(join(modules, 'modules.dep'))) {
    const found = existsSync(modulesFolder) ? readdirSync(modulesFolder).join(', ') : 'nothing'
    throw new Error(`linux.uml is ${release}, and ${modulesFolder} holds ${found || 'nothing'}`)
  }
  return { release, modules, preload: await ptracePreload(say) }
}

/**
 * The program and arguments of a user-mode Linux guest.
 *
 * @param {{ initrd: string, memoryMegabytes: number, folder: string }} options `folder` for its pid file
 * @returns {[string, ...string[]]}
 */
export function umlProgram({ initrd, memoryMegabytes, folder }) {
  return [
    // Its many processes end together as those of a process namespace: one that was left without its tracer
    // would run on by itself. The shell is process 1 there, because user-mode Linux ends a panic by a signal
    // to itself, which process 1 does not get.
    ...['unshare', '--pid', '--fork', '--kill-child=KILL', '--', 'sh', '-c', '"$@"; exit $?', 'sh'],
    ...['linux.uml', `mem=${memoryMegabytes}M`, `initrd=${initrd}`, `uml_dir=${folder}`],
    ...['noreboot', 'panic=-1', 'oops=panic', 'quiet', 'lab_root=hostfs'],
    ...['ssl=null', 'con=null', `con0=null,fd:${channels.console}`],
    // The terminals that main.sh takes for its channels.
    ...[
      `con1=null,fd:${channels.control}`,
      `con2=null,fd:${channels.stdout}`,
      `con3=null,fd:${channels.stderr}`,
    ],
  ]
}

/**
 * The environment of the user-mode kernel. Its memory is a file below /dev/shm unless TMPDIR says otherwise
 * (arch/um/os-Linux/mem.c), and a container's /dev/shm holds 64 MB: a guest that touches more dies of SIGBUS.
 *
 * @param {string | undefined} preload
 * @param {number} memoryMegabytes
 */
export function umlEnvironment(preload, memoryMegabytes) {
  const env = preload === undefined ? { ...process.env } : { ...process.env, LD_PRELOAD: preload }
  delete env.TMPDIR
  if (freeMegabytes('/dev/shm') < memoryMegabytes) env.TMPDIR = tmpdir()
  return env
}

/** @param {string} folder */
function freeMegabytes(folder) {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return (bavail * bsize) / 2 ** 20
  } catch {
    return 0
  }
}

/**
 * Compiles uml-ptrace.c where the processor calls for it (that file says why).
 *
 * @param {(line: string) => void} say
 */
async function ptracePreload(say) {
  if (!/^flags\s*:.*\b(amx_tile|apx\w*)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) return undefined
  const version = createHash('sha256').update(readFileSync(ptraceSource)).digest('hex').slice(0, 12)
  const library = cachePath(`uml-ptrace-${version}.so`)
  if (existsSync(library)) return library
  if (!findProgram('cc')) await ensurePackages(['gcc', 'libc6-dev'], { why: 'mend user-mode Linux', say })
  return withCacheLock('uml-ptrace', async () => {
    const partial = `${library}.partial`
    await run('cc', [
      '-std=c11',
      '-O2',
      '-Wall',
      '-Wextra',
      '-shared',
      '-fPIC',
      '-o',
      partial,
      ptraceSource,
      '-ldl',
    ])
    renameSync(partial, library)
    return library
  })
}

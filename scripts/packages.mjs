/**
 * Debian packages that the project's commands need beside Node: compilers, QEMU, ipvsadm.
 *
 * `ensurePackages` installs what is missing where it may (Debian or a relative, as root) and otherwise says
 * what to install. It is quiet and quick (one dpkg-query) when all of it is there.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { withLock } from './lock.mjs'

const run = promisify(execFile)

/** Where there is no dpkg, a package counts as installed when the program that it brings can be run. */
const programOf = new Map([
  ['bind9-dnsutils', 'dig'],
  ['busybox-static', 'busybox'],
  ['gcc', 'cc'],
  ['golang-go', 'go'],
  ['iproute2', 'ip'],
  ['iptables', 'iptables'],
  ['ipvsadm', 'ipvsadm'],
  ['keepalived', 'keepalived'],
  ['kmod', 'depmod'],
  ['make', 'make'],
  ['nftables', 'nft'],
  ['qemu-system-x86', 'qemu-system-x86_64'],
  ['unbound', 'unbound'],
  ['user-mode-linux', 'linux.uml'],
  ['util-linux', 'setpriv'],
  ['valgrind', 'valgrind'],
  ['xz-utils', 'xz'],
])

/** Other apt or dpkg runs (unattended upgrades, a second `npm test`) are waited for instead of failed on. */
const aptOptions = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'APT::Get::Assume-Yes=true', '-q']
const aptEnvironment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' }

/**
 * Makes sure that Debian packages are installed.
 *
 * @param {readonly string[]} names Debian's package names
 * @param {{
 *   why: string,
 *   say?: ((line: string) => void) | undefined,
 * }} options `why` completes "needed to …" (`'boot kernels that have IPVS'`); `say` gets a line before each
 *   download (standard error unless given)
 * @returns {Promise<void>} rejects with an Error that names the packages when they cannot be installed here
 */
export async function ensurePackages(names, { why, say = (line) => process.stderr.write(`${line}\n`) }) {
  const lacking = await missingOf(names)
  if (lacking.length === 0) return
  if (!findProgram('apt-get') || !findProgram('dpkg-query') || process.getuid?.() !== 0) {
    throw new Error(
      `${lacking.join(', ')} missing, needed to ${why}: run \`apt-get install --no-install-recommends ` +
        `${lacking.join(' ')}\` as root, or install what has these names on this system`,
    )
  }
  await withLock('/run/lock/viaduct-packages.lock', async () => {
    const missing = await missingOf(names) // another process may have installed them meanwhile
    if (missing.length > 0) await install(missing, why, say)
  })
}

/**
 * The path of a program, or undefined.
 *
 * @param {string} program
 * @returns {string | undefined}
 */
export function findProgram(program) {
  // sbin is left out of many users' PATH, and of root's under su
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  for (const folder of folders) {
    if (folder === '') continue
    const path = join(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not in this folder
    }
  }
  return undefined
}

/**
 * @param {readonly string[]} names
 * @returns {Promise<string[]>}
 */
async function missingOf(names) {
  if (!findProgram('dpkg-query')) {
    return names.filter((name) => !findProgram(programOf.get(name) ?? name))
  }
  // dpkg-query fails when it knows nothing of one of them, and still lists the others
  const listed = await run('dpkg-query', [
    '-W',
    '-f',
    '${db:Status-Status} ${Package}\n',
    '--',
    ...names,
  ]).catch((error) => /** @type {{ stdout: string }} */ (error))
  const installed = new Set(
    String(listed.stdout)
      .split('\n')
      .filter((line) => line.startsWith('installed '))
      .map((line) => line.slice('installed '.length)),
  )
  return names.filter((name) => !installed.has(name))
}

/**
 * @param {readonly string[]} missing
 * @param {string} why
 * @param {(line: string) => void} say
 */
async function install(missing, why, say) {
  let plan = await plannedDownload(missing)
  if (plan === undefined) {
    await update(say)
    plan = await plannedDownload(missing)
  }
  for (let attempt = 1; ; attempt++) {
    say(
      `installing ${missing.join(' ')} (${plan === undefined ? 'size unknown' : describe(plan)}), to ${why}`,
    )
    try {
      await apt(['install', '--no-install-recommends', ...missing])
      return
    } catch (error) {
      // Lists older than the mirror name versions that are gone there.
      if (attempt === 2) throw error
      await update(say)
      plan = await plannedDownload(missing)
    }
  }
}

/**
 * What an installation would fetch, or undefined when the package lists do not know the packages.
 *
 * @param {readonly string[]} names
 * @returns {Promise<{ files: number, bytes: number } | undefined>}
 */
async function plannedDownload(names) {
  try {
    const { stdout } = await run(
      'apt-get',
      [...aptOptions, 'install', '--print-uris', '-qq', '--no-install-recommends', ...names],
      { env: aptEnvironment, maxBuffer: 1 << 24 },
    )
    return sumOfUris(stdout)
  } catch {
    return undefined
  }
}

/**
 * Adds up `apt-get --print-uris`' lines: 'uri' file size hash.
 *
 * @param {string} listing
 */
export function sumOfUris(listing) {
  const sizes = [...listing.matchAll(/^'[^']*' \S+ (\d+)/gm)].map((match) => Number(match[1]))
  return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}

/** @param {{ files: number, bytes: number }} plan */
export function describe({ files, bytes }) {
  if (files === 0) return 'nothing to download'
  const megabytes = (bytes / 1e6).toFixed(bytes < 1e5 ? 2 : 1)
  return `${files} package${files === 1 ? '' : 's'}, ${megabytes} MB to download`
}

/** @param {(line: string) => void} say */
async function update(say) {
  say("reading Debian's package lists (some 10 MB to download)")
  await apt(['update'])
}

/** @param {readonly string[]} args */
async function apt(args) {
  try {
    await run('apt-get', [...aptOptions, ...args], {
      env: aptEnvironment,
      maxBuffer: 1 << 26,
      timeout: 900_000,
    })
  } catch (error) {
    const {
      stdout = '',
      stderr = '',
      message,
    } = /** @type {{ stdout?: string, stderr?: string, message: string }} */ (error)
    const told = `${stdout}\n${stderr}`.trim().split('\n').slice(-15).join('\n')
    throw new Error(`apt-get ${args.join(' ')} failed:\n${told || message}`, { cause: error })
  }
}

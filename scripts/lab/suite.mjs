/**
 * Packages of one Debian suite, unpacked into a folder without being installed and without a change to the
 * machine's own apt: apt-get runs with a state, a cache and a source list of its own, so signatures are
 * checked against Debian's keys as always.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, findProgram, sumOfUris } from '../packages.mjs'

const run = promisify(execFile)
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * An apt of its own for one suite.
 *
 * @param {{ suite: string, folder: string, say: (line: string) => void }} options `folder` holds apt's state
 *   and may be deleted when done
 */
export async function openSuite({ suite, folder, say }) {
  if (!findProgram('apt-get') || !findProgram('dpkg')) {
    throw new Error(
      `the kernels of the lab are fetched by apt-get from a Debian mirror, and this system has none: run the ` +
        `lab on Debian, in a container of it for example`,
    )
  }
  const apt = await privateApt(suite, folder)
  say(`reading the package list of Debian ${suite} (some 10 MB to download)`)
  await apt('apt-get', ['update', '-qq', '--error-on=any'])

  return {
    /**
     * The named packages and those they depend on whose names match `follow`.
     *
     * @param {readonly string[]} names
     * @param {RegExp} follow
     * @returns {Promise<string[]>}
     */
    async closure(names, follow) {
      const found = new Set(names)
      for (const name of found) {
        const shown = await apt('apt-cache', ['show', '--no-all-versions', name])
        const depends = /^Depends: (.*)$/m.exec(shown)?.[1] ?? ''
        for (const item of depends.split(',')) {
          const dependency = item.trim().split(/[\s:|]/)[0] ?? ''
          if (follow.test(dependency)) found.add(dependency)
        }
      }
      return [...found]
    },

    /**
     * Downloads packages and unpacks them one over the other below `target`.
     *
     * @param {readonly string[]} names
     * @param {string} target
     * @param {string} purpose completes the line with the size
     */
    async unpack(names, target, purpose) {
      const size = sumOfUris(await apt('apt-get', ['download', '--print-uris', '-qq', ...names]))
      say(`fetching ${names.join(' ')} of Debian ${suite} (${describe(size)}): ${purpose}`)
      const downloads = mkdtempSync(join(folder, 'download-'))
      await apt('apt-get', ['download', '-qq', ...names], downloads)
      mkdirSync(target, { recursive: true })
      for (const file of readdirSync(downloads).filter((name) => name.endsWith('.deb'))) {
        await run('dpkg', ['-x', join(downloads, file), target], { timeout: 300_000 })
      }
      rmSync(downloads, { recursive: true })
    },
  }
}

/**
 * @param {string} suite
 * @param {string} folder
 * @returns {Promise<(program: string, args: readonly string[], cwd?: string) => Promise<string>>}
 */
async function privateApt(suite, folder) {
  for (const part of ['state/lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(folder, part), { recursive: true })
  }
  const sources = join(folder, 'sources.list')
  const status = join(folder, 'status')
  const signedBy = existsSync(keyring) ? ` signed-by=${keyring}` : ''
  writeFileSync(sources, `deb [arch=amd64${signedBy}] ${await mirror()} ${suite} main\n`)
  writeFileSync(status, '')
  const options = Object.entries({
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': status,
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Architectures::': 'amd64',
    // The folder is root's own; apt's download user could not write there.
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
  }).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  return async (program, args, cwd = folder) => {
    try {
      const env = { ...process.env, LC_ALL: 'C.UTF-8' }
      const { stdout } = await run(program, [...options, ...args], {
        cwd,
        env,
        maxBuffer: 1 << 26,
        timeout: 600_000,
      })
      return stdout
    } catch (error) {
      const { stderr, message } = /** @type {{ stderr?: string, message: string }} */ (error)
      throw new Error(`${program} ${args.join(' ')} (Debian ${suite}) failed: ${stderr?.trim() || message}`, {
        cause: error,
      })
    }
  }
}

/** The Debian mirror that this machine's own apt uses; security and backports archives are elsewhere. */
async function mirror() {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--no-release-info',
    '--format',
    '$(REPO_URI) $(RELEASE)',
    'Created-By: Packages',
  ])
  const repositories = stdout
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([uri, release]) => uri && release && /^[a-z]+$/.test(release) && /\/debian\/?$/.test(uri))
  const uri = repositories[0]?.[0]
  if (uri === undefined) {
    throw new Error(
      "apt's sources name no Debian mirror (`apt-get indextargets` lists none whose address ends in /debian)",
    )
  }
  return uri
}

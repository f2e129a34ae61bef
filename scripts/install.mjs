/** What is needed to build and test: npm packages as the lock file says, and a C compiler. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { openLock } from './lock.mjs'
import { hashFiles, inProject, lockFile, npm, seconds } from './project.mjs'

const stamp = inProject('node_modules/.viaduct-installed')

/**
 * Installs if the lock file changed since the last installation, and keeps others from replacing the packages until
 * this process ends.
 */
export async function install() {
  const lock = openLock(lockFile('install'), {
    waiting: () => console.log('Waiting for another run that uses the packages …'),
  })
  await lock.shared()
  while (!(await isInstalled())) {
    await lock.exclusive()
    if (!(await isInstalled())) await installPackages()
    await lock.shared()
  }
}

async function wanted() {
  // The platform too: a checkout may be seen from a container of another C library through a mount.
  return hashFiles(['package-lock.json', '.npmrc'], process.platform, process.arch, cLibrary())
}

async function isInstalled() {
  return (await readFile(stamp, 'utf8').catch(() => '')) === (await wanted())
}

async function installPackages() {
  const start = performance.now()
  console.log('Installing the npm packages of package-lock.json …')
  const done = await wanted()
  // No package here needs its install script.
  const result = await npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  if (!result.ok) throw new Error(`npm ci failed:\n${result.output}`)
  // A project without packages gets no folder from npm.
  await mkdir(inProject('node_modules'), { recursive: true })
  await writeFile(stamp, done)
  console.log(`Installed in ${seconds(start)}.`)
}

export function cLibrary() {
  return process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'
}

/** Compiles the TypeScript (source, tests, examples: one `tsc`) and the addon, each only if something changed. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { bundle } from './bundle.mjs'
import { buildAddon } from './build-addon.mjs'
import { install } from './install.mjs'
import { withLock } from './lock.mjs'
import { ensurePackages } from './packages.mjs'
import { filesBelow, hashFiles, inProject, lockFile, root, runNode, seconds, tool } from './project.mjs'

const sourceFolders = ['src', 'test', 'docs/examples']
const isSource = (file) => /\.[cm]?tsx?$/.test(file)
const stamp = inProject('dist/.built')

/**
 * Installs what is needed and builds.
 *
 * @returns {Promise<{ ok: boolean, output: string }>} what `tsc` found. Code with wrong types is written all the same, so
 *   that the tests of the rest can run; who calls this counts it as a failure. An addon that does not compile throws.
 */
export async function build() {
  await install()
  return withLock(
    lockFile('build'),
    async () => {
      await compileAddon()
      return compileTypeScript()
    },
    { waiting: () => console.log('Waiting for another run that builds …') },
  )
}

/** Elsewhere the pure parts still build and are tested. */
async function compileAddon() {
  if (process.platform !== 'linux') return
  const start = performance.now()
  const { built } = await buildAddon().catch(async (error) => {
    if (!error.message.includes('missing')) throw error
    await ensurePackages(['gcc', 'libc6-dev'], { why: 'compile the addon' }).catch((refusal) => {
      throw new Error(`${error.message}\n${refusal.message}`, { cause: refusal })
    })
    return buildAddon()
  })
  if (built) console.log(`Compiled the addon in ${seconds(start)}.`)
}

async function compileTypeScript() {
  const sources = (await Promise.all(sourceFolders.map((folder) => filesBelow(folder, isSource)))).flat()
  const settings = ['tsconfig.json', 'package.json', 'package-lock.json', 'scripts/bundle.mjs']
  const state = await hashFiles([...sources, ...settings])
  const isThere = existsSync(inProject('dist/bundle/index.js')) && existsSync(inProject('dist/src/index.js'))
  if (isThere && (await readFile(stamp, 'utf8').catch(() => '')) === state) return { ok: true, output: '' }

  const start = performance.now()
  await rm(stamp, { force: true })
  await removeStale(sources)
  const result = await runNode([tool('typescript/bin/tsc'), '-p', root, '--pretty', 'false'])
  await bundle()
  if (result.ok) {
    await mkdir(inProject('dist'), { recursive: true })
    await writeFile(stamp, state)
    console.log(`Compiled ${sources.length} files in ${seconds(start)}.`)
  }
  return { ok: result.ok, output: result.output }
}

/** What was compiled from files that are gone: tests would still run, and the package would still carry them. */
async function removeStale(sources) {
  const expected = new Set(sources.map((file) => file.replace(/\.([cm]?)tsx?$/, '.$1js')))
  const isCompiled = (name) => /\.[cm]?js$/.test(name) && !name.startsWith('dist/bundle/')
  for (const file of await filesBelow('dist', isCompiled)) {
    if (expected.has(file.slice('dist/'.length))) continue
    const stem = inProject(file).replace(/js$/, '')
    for (const ending of ['js', 'js.map', 'd.ts']) {
      const output = ending === 'd.ts' ? stem.replace(/\.([cm]?)$/, '.d.$1ts') : `${stem}${ending}`
      if (existsSync(output)) await rm(output)
    }
  }
}

/** `npm run check`: everything that can be told without running the library's work. Each check counts as a test. */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { build } from './build.mjs'
import { inProject, runNode, tool, twoAtATime, withTemporaryFolder } from './project.mjs'
import { tell } from './test/stage.mjs'

const importLimitMilliseconds = 30
/** Where Node itself takes long to start, the machine is slow: then it is this part of that. Elsewhere that is less than the limit. */
const importShareOfStart = 0.5

/**
 * @param {{ update?: boolean, compiled?: { ok: boolean, output: string } }} [options]  `update` writes docs/api.md;
 *   `compiled` is what a build of this run said
 * @returns {Promise<{ passed: number, failed: number }>}
 */
export async function check({ update = false, compiled } = {}) {
  const types = compiled ?? (await build())
  // Loaded now: these need the packages that build() installs.
  const [{ findBadEdges, packagesOf }, { subpaths }, { walkImports }, packaged, { undocumented }, documents] =
    await Promise.all([
      import('./check/edges.mjs'),
      import('./subpaths.mjs'),
      import('./check/imports.mjs'),
      import('./check/package.mjs'),
      import('./docs.mjs'),
      import('./check/pages.mjs'),
    ])

  return withTemporaryFolder('check', async (folder) => {
    const installed = packaged.packAndInstall(folder)
    installed.catch(() => {}) // told by each check that needs it
    const inPackage = (name) => async () => (await packaged.runInConsumer(await installed, name)).problems
    const published = (resolution) => [
      `package: types under ${resolution}, exactOptionalPropertyTypes on and off`,
      async () => packaged.checkTypes(await installed, resolution),
    ]
    return runChecks([
      ['types', () => (types.ok ? [] : [types.output])],
      ['lint', () => nodeTool('eslint/bin/eslint.js', '.', '--max-warnings', '0')],
      ['formatting', () => nodeTool('prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.')],
      ['import edges', () => findBadEdges(inProject('src'))],
      [
        'no run-time package in the library',
        async () => runTimePackages(await subpaths(), walkImports, packagesOf),
      ],
      ['public API as in docs/api.md', () => compareApi(update)],
      ['every public name documented', () => undocumented()],
      ['links in documents', async () => documents.brokenLinks(await documents.pages())],
      ['samples in documents compile', async () => documents.brokenSamples(await documents.pages())],
      ['package: contents', async () => packaged.checkContents(await installed)],
      ['package: publint', async () => packaged.publint(await installed)],
      ['package: attw', async () => packaged.attw(await installed)],
      ['package: imports without loading the addon', inPackage('import.js')],
      ['package: opens a netlink socket', inPackage('open.js')],
      ['package: the command runs', inPackage('command.js')],
      ['package: another platform is told how to build', inPackage('other-platform.js')],
      [
        `package: import within ${importLimitMilliseconds} ms`,
        async () => importTime(packaged, await installed),
      ],
      published('nodenext'),
      published('bundler'),
    ])
  })
}

/**
 * A check returns its problems, none if all is well; what it throws is one.
 *
 * @param {readonly [string, () => Promise<string[] | { note: string, problems: string[] }> | string[]][]} checks
 */
async function runChecks(checks) {
  const total = { passed: 0, failed: 0 }
  await twoAtATime(checks, async ([name, perform]) => {
    const start = performance.now()
    const result = await Promise.resolve()
      .then(perform)
      .catch((error) => [error.message])
    const { note, problems } = Array.isArray(result) ? { problems: result } : result
    const ok = problems.length === 0
    const lines = problems.join('\n').split('\n')
    tell(
      ok,
      note === undefined ? name : `${name}: ${note}`,
      start,
      lines.filter((line) => line.trim() !== ''),
    )
    total[ok ? 'passed' : 'failed']++
  })
  return total
}

async function nodeTool(script, ...args) {
  const { ok, output } = await runNode([tool(script), ...args])
  return ok ? [] : [output]
}

/** A subpath may hold packages of its own; from everywhere else, `viaduct` itself foremost, they cannot be reached. */
async function runTimePackages(entries, walkImports, packagesOf) {
  const problems = new Set()
  for (const { compiled } of entries) {
    const own = packagesOf[path.basename(path.dirname(compiled))] ?? []
    const { packages } = await walkImports([inProject(compiled)])
    for (const [name, file] of packages) {
      if (own.includes(name)) continue
      problems.add(
        `${file} imports '${name}': the library has no run-time package; write it here or do it in cli/.`,
      )
    }
  }
  return [...problems]
}

async function compareApi(update) {
  const { ok, output, stdout } = await runNode([inProject('scripts/check/api.mjs')])
  if (!ok) return [output]
  const file = inProject('docs/api.md')
  const written = await readFile(file, 'utf8').catch(() => '')
  if (written === stdout) return []
  if (update) {
    await writeFile(file, stdout)
    return { note: 'docs/api.md written', problems: [] }
  }
  return [
    'The public API is not what docs/api.md says. If that is meant, run `node scripts/run.mjs check --update` and commit it:',
    ...difference(written.split('\n'), stdout.split('\n')),
  ]
}

/** Lines that one has and the other has not: enough to see what changed. */
function difference(before, after) {
  const lost = before.filter((line) => !after.includes(line)).map((line) => `- ${line}`)
  const gained = after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`)
  return [...lost, ...gained].slice(0, 60)
}

/** The best of many processes: what the import costs, not what else the machine does meanwhile. */
async function importTime(packaged, installed) {
  let [best, start] = [Infinity, Infinity]
  const limit = () => Math.max(importLimitMilliseconds, start * importShareOfStart)
  for (let round = 0; round < 30 && (round < 5 || best > limit()); round++) {
    const { problems, output } = await packaged.runInConsumer(installed, 'import-time.js')
    if (problems.length > 0) return problems
    const [taken, began] = output.trim().split(' ').map(Number)
    best = Math.min(best, taken)
    start = Math.min(start, began)
  }
  const note = `${best.toFixed(1)} ms, Node's start ${start.toFixed(1)} ms`
  return { note, problems: best <= limit() ? [] : [`import 'viaduct' takes ${note}`] }
}

import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

interface Lock {
  shared(): Promise<void>
  release(): void
}
const root = fileURLToPath(new URL('../../..', import.meta.url))
const { openLock } = (await import(path.join(root, 'scripts/lock.mjs'))) as {
  openLock: (file: string, options?: { readonly waiting: () => void }) => Lock
}

/** A project with these scripts and this addon, two source files and two packages. Only the addon may be built already. */
function project(folder: string, parts = ['scripts', 'native', 'prebuilt']): string {
  for (const part of parts) cpSync(path.join(root, part), path.join(folder, part), { recursive: true })
  const write = (file: string, content: unknown) => {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    writeFileSync(path.join(folder, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
  // The packages that a build runs, each standing in front of the real one.
  const real = (file: string) => JSON.stringify(path.join(root, 'node_modules', file))
  write('typescript/package.json', { name: 'typescript', version: '1.0.0' })
  write('typescript/bin/tsc', `require(${real('typescript/bin/tsc')})\n`)
  write('esbuild/package.json', { name: 'esbuild', version: '1.0.0' })
  write('esbuild/index.js', `module.exports = require(${real('esbuild')})\n`)
  const dependencies = { typescript: 'file:typescript', esbuild: 'file:esbuild' }
  const own = { name: 'fixture', version: '1.0.0', bin: {}, dependencies }
  const exports = { '.': { types: './dist/src/index.d.ts', default: './dist/bundle/index.js' } }
  write('package.json', { ...own, type: 'module', exports })
  const packages = {
    '': own,
    'node_modules/typescript': { resolved: 'typescript', link: true },
    'node_modules/esbuild': { resolved: 'esbuild', link: true },
    typescript: { version: '1.0.0' },
    esbuild: { version: '1.0.0' },
  }
  write('package-lock.json', {
    name: 'fixture',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages,
  })
  const compilerOptions = {
    module: 'NodeNext',
    rootDir: '.',
    outDir: 'dist',
    types: [],
    lib: ['ES2022'],
    declaration: true,
    sourceMap: true,
  }
  write('tsconfig.json', { compilerOptions, include: ['src'] })
  write('src/index.ts', 'export const one: number = 1\n')
  write('src/other.ts', 'export const two = 2\n')
  return folder
}

interface Result {
  status: number | null
  output: string
}
const script = (folder: string, ...args: string[]) => [path.join(folder, 'scripts/run.mjs'), ...args]

function run(folder: string, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      script(folder, ...args),
      { cwd: folder },
      (_, stdout, stderr) => {
        resolve({ status: child.exitCode, output: stdout + stderr })
      },
    )
  })
}

const times = (text: string, pattern: RegExp) => [...text.matchAll(new RegExp(pattern, 'g'))].length

t.test('two builds at once, with nothing installed: each step is done once and both succeed', async (t) => {
  const folder = project(t.testdir(), ['scripts', 'native'])
  const results = await Promise.all([run(folder, 'build'), run(folder, 'build')])
  const output = results.map((result) => result.output).join('')
  t.strictSame(
    results.map((result) => result.status),
    [0, 0],
    output,
  )
  t.equal(times(output, /Installed in/), 1, output)
  t.equal(times(output, /Compiled \d+ files/), 1, output)
  t.equal(times(output, /Compiled the addon/), 1, output)
  for (const file of ['dist/src/index.js', 'dist/bundle/index.js']) {
    t.match(readFileSync(path.join(folder, file), 'utf8'), /one = 1/)
  }
})

t.test('what did not change is not built again, what changed is, and what is gone goes', async (t) => {
  const folder = project(t.testdir())
  t.equal((await run(folder, 'build')).status, 0)
  t.strictSame(await run(folder, 'build'), { status: 0, output: '' })

  writeFileSync(path.join(folder, 'src/index.ts'), 'export const one: number = 11\n')
  rmSync(path.join(folder, 'src/other.ts'))
  const { status, output } = await run(folder, 'build')
  t.equal(status, 0)
  t.match(output, /^Compiled 1 files in [\d.]+ s\.\n$/)
  t.match(readFileSync(path.join(folder, 'dist/bundle/index.js'), 'utf8'), /one = 11/)
  for (const ending of ['js', 'js.map', 'd.ts'])
    t.notOk(existsSync(path.join(folder, `dist/src/other.${ending}`)), ending)
})

t.test('wrong types fail the build each time, and the rest is written', async (t) => {
  const folder = project(t.testdir())
  writeFileSync(path.join(folder, 'src/other.ts'), 'export const two: string = 2\n')
  for (const attempt of ['first', 'second']) {
    const { status, output } = await run(folder, 'build')
    t.equal(status, 1, attempt)
    t.match(output, /src\/other\.ts\(1,14\): error TS2322/, attempt)
  }
  t.ok(existsSync(path.join(folder, 'dist/src/index.js')))
})

t.test('packages are not replaced while another run uses them', async (t) => {
  const folder = project(t.testdir())
  const lock = openLock(path.join(folder, '.cache/locks/install'))
  await lock.shared()
  const child = spawn(process.execPath, script(folder, 'install'), {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8')
  let output = ''
  const ended = new Promise((resolve) => child.on('close', resolve))
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (text: string) => {
      output += text
      if (output.includes('Waiting for another run that uses the packages')) resolve()
    })
    void ended.then(() => resolve())
  })
  t.notOk(existsSync(path.join(folder, 'node_modules/.viaduct-installed')))
  t.equal(child.exitCode, null, output)
  lock.release()
  t.equal(await ended, 0)
  t.match(output, /Waiting .*\n.*Installing .*\nInstalled in/)
})

t.test('a lock goes with the process that held it', async (t) => {
  const folder = t.testdir()
  const hold = `
    const { openLock } = await import(${JSON.stringify(path.join(root, 'scripts/lock.mjs'))})
    await openLock('lock').exclusive()
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', hold], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  let isTaken = false
  const { promise: waits, resolve: tell } = promiseOf()
  const lock = openLock(path.join(folder, 'lock'), { waiting: tell })
  const taken = lock.shared().then(() => (isTaken = true))
  await waits
  t.notOk(isTaken, 'while it lives')
  child.kill('SIGKILL')
  await taken
  t.equal(isTaken, true)
  lock.release()
})

t.test('a command that is not known, or that fails, ends with a status', async (t) => {
  const folder = project(t.testdir())
  const unknown = await run(folder, 'toString')
  t.equal(unknown.status, 2)
  t.match(unknown.output, /^Usage: node scripts\/run\.mjs .*build\|check\|test/)

  writeFileSync(path.join(folder, 'package-lock.json'), '{ "lockfileVersion": 3, "packages": {} }')
  const failed = await run(folder, 'build')
  t.equal(failed.status, 1)
  t.match(failed.output, /npm ci failed/)
  t.notOk(existsSync(path.join(folder, 'dist')))
})

function promiseOf(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

/** The package as users get it: packed once, installed without a network in an empty folder, imported, run, compiled. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { inProject, npm, readJson, runNode, tool } from '../project.mjs'
import { subpaths } from '../subpaths.mjs'

/**
 * Packs and installs.
 *
 * @param {string} folder  An empty one.
 * @returns {Promise<{ tarball: string, files: string[], consumer: string }>} `consumer` is a project with the package
 */
export async function packAndInstall(folder) {
  const packed = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder])
  if (!packed.ok) throw new Error(`npm pack failed:\n${packed.output}`)
  const [{ filename, files }] = JSON.parse(packed.stdout)
  const tarball = path.join(folder, filename)
  const dependencies = await packDependencies(folder)

  const consumer = path.join(folder, 'consumer')
  await mkdir(consumer)
  await writeFile(
    path.join(consumer, 'package.json'),
    '{ "name": "consumer", "private": true, "type": "module" }\n',
  )
  const quiet = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  const installed = await npm(
    ['install', ...quiet, '--cache', path.join(folder, 'cache'), tarball, ...dependencies],
    { cwd: consumer },
  )
  if (!installed.ok) throw new Error(`installing the tarball without a network failed:\n${installed.output}`)
  return { tarball, files: files.map((file) => file.path), consumer }
}

/** The packages that users get with ours (of types alone), packed from where they are installed: no network is asked. */
async function packDependencies(folder) {
  const { dependencies = {} } = await readJson('package.json')
  const tarballs = []
  for (const name of Object.keys(dependencies)) {
    const options = ['--json', '--ignore-scripts', '--pack-destination', folder]
    const packed = await npm(['pack', inProject('node_modules', name), ...options])
    if (!packed.ok) throw new Error(`npm pack of ${name} failed:\n${packed.output}`)
    tarballs.push(path.join(folder, JSON.parse(packed.stdout)[0].filename))
  }
  return tarballs
}

/** What a tarball must and must not hold. */
export async function checkContents({ files }) {
  const { bin } = await readJson(inProject('package.json'))
  const compiled = (await subpaths()).flatMap(({ file, types }) => [file, types])
  const needed = [
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'scripts/build-addon.mjs',
    'dist/bundle/NOTICE.txt',
    ...Object.values(bin),
    ...compiled,
  ]
  const problems = needed.filter((file) => !files.includes(file)).map((file) => `${file} is missing`)
  if (!files.some((file) => /^prebuilt\/linux-x64-glibc\b.*\.node$/.test(file))) {
    problems.push('the addon for linux x64 glibc is missing (prebuilt/linux-x64-glibc…)')
  }
  for (const file of files) {
    if (/\.test\.|^dist\/(test|docs)\/|^test\/|tsbuildinfo|^prebuilt\/.*(?<!\/viaduct\.node)$/.test(file))
      problems.push(`${file} does not belong to a package`)
  }
  return problems
}

export async function publint({ tarball }) {
  const { publint: lint } = await import('publint')
  const { formatMessage } = await import('publint/utils')
  const bytes = await readFile(tarball)
  const pkg = await readJson(inProject('package.json'))
  const { messages } = await lint({
    strict: true,
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) },
  })
  return messages.map((message) => formatMessage(message, pkg, { color: false }) ?? message.code)
}

export async function attw({ tarball }) {
  const cli = tool('@arethetypeswrong/cli/dist/index.js')
  const options = ['--profile', 'esm-only', '--format', 'ascii', '--no-color', '--no-emoji']
  const { ok, output } = await runNode([cli, tarball, ...options, '--exclude-entrypoints', './package.json'])
  return ok ? [] : [output]
}

/**
 * Runs a script in the project that has the package installed.
 *
 * @param {{ consumer: string }} installed
 * @param {string} name  Of a file beside this one, below `consumer/`.
 * @param {readonly string[]} [nodeOptions]
 */
export async function runInConsumer({ consumer }, name, nodeOptions = []) {
  await cp(inProject('scripts/check/consumer', name), path.join(consumer, name))
  const names = (await subpaths()).map((subpath) => subpath.name)
  const { ok, output } = await runNode([...nodeOptions, name, ...names], {
    cwd: consumer,
    timeoutSeconds: 60,
  })
  return { problems: ok ? [] : [output], output }
}

/**
 * The published types, compiled as users compile them (test/types/consumer).
 *
 * @param {{ consumer: string }} installed
 * @param {'nodenext' | 'bundler'} moduleResolution
 */
export async function checkTypes({ consumer }, moduleResolution) {
  const folder = path.join(consumer, `types-${moduleResolution}`)
  await cp(inProject('test/types/consumer'), folder, { recursive: true })
  // What every user of the package in TypeScript has beside it.
  await mkdir(path.join(folder, 'node_modules/@types'), { recursive: true })
  await symlink(inProject('node_modules/@types/node'), path.join(folder, 'node_modules/@types/node'))
  const { ok, output } = await runNode([
    inProject('scripts/check/consumer-types.mjs'),
    folder,
    moduleResolution,
  ])
  return ok ? [] : [output]
}

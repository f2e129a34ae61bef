/**
 * The JavaScript that is published: a file for each subpath and for the command, and a few for what they share.
 * Importing each source file by itself would cost some 0.5 ms a file, more than the library may take. What the command
 * takes from node_modules ends up in its files, so that installing the package installs nothing else.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { subpaths } from './subpaths.mjs'
import { filesBelow, inProject, readJson, root } from './project.mjs'

/** Its folders are those of dist/src, so that what is named relative to a file is found from both. */
const folder = 'dist/bundle'

/** Bundles what `tsc` wrote, and follows its source maps. */
export async function bundle() {
  const { bin } = await readJson(inProject('package.json'))
  const library = (await subpaths()).map(({ file }) => file)
  const bundles = [
    await bundleTogether(library, 'shared-[hash]'),
    // Apart: the parts that the command loads one by one would split the library into as many pieces.
    await bundleTogether(Object.values(bin), 'command-[hash]', requireForPackages),
  ]
  const written = bundles.flatMap(({ outputs }) => outputs)
  written.push(await writeNotices(bundles.flatMap(({ inputs }) => inputs)))
  for (const file of await filesBelow(folder)) if (!written.includes(file)) await rm(inProject(file))
}

/** What the command logs with is CommonJS, and asks for Node's modules with a `require` that a module does not have. */
const requireForPackages =
  "import { createRequire as createRequireOfPackages } from 'node:module'; const require = createRequireOfPackages(import.meta.url);"

async function bundleTogether(files, chunkNames, banner = '') {
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: files.map((file) => file.replace(folder, 'dist/src')),
    outdir: folder,
    outbase: 'dist/src',
    chunkNames,
    banner: { js: banner },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    legalComments: 'linked',
    // Its other half is CommonJS, which asks for Node's modules with a `require` that a module does not have.
    alias: { yaml: './node_modules/yaml/browser/index.js' },
    plugins: [buffers],
    metafile: true,
    logLevel: 'warning',
  })
  const outputs = Object.keys(metafile.outputs).map((file) => path.normalize(file))
  for (const file of outputs.filter((each) => each.endsWith('.js'))) await nameClasses(inProject(file))
  return { inputs: Object.keys(metafile.inputs), outputs }
}

/** dns-packet, which is CommonJS, asks for Node's `buffer` with a `require` that a module does not have: it gets an import. */
const buffers = {
  name: 'buffers',
  setup(build) {
    build.onResolve({ filter: /^buffer$/ }, () => ({ path: 'buffer', namespace: 'buffers' }))
    build.onLoad({ filter: /.*/, namespace: 'buffers' }, () => ({
      contents: "export * from 'node:buffer'",
    }))
  },
}

/**
 * A class that speaks of itself becomes `var Ipvs = class _Ipvs`, and its name is seen in messages. esbuild's own answer,
 * `keepNames`, is a call for each function that is made while the program runs: a fifth of what 10,000 services take.
 */
async function nameClasses(file) {
  const text = await readFile(file, 'utf8')
  const named = text.replaceAll(
    /^var (\w+) = class _\1 (extends \w+ )?\{$/gm,
    (line, name) => `${line} static name = '${name}';`,
  )
  if (named !== text) await writeFile(file, named)
}

/** The licences of the packages whose code is in the bundle: they ask for their text wherever the code goes. */
async function writeNotices(inputs) {
  const packages = new Set(inputs.map((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]))
  packages.delete(undefined)
  const notices = ['The JavaScript in this folder holds code of the packages below, under their licences.\n']
  for (const name of [...packages].sort()) {
    const home = inProject('node_modules', name)
    const { version, license } = await readJson(path.join(home, 'package.json'))
    const file = (await readdir(home)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry))
    if (file === undefined) throw new Error(`${name} is bundled, and has no licence to put beside it`)
    const text = await readFile(path.join(home, file), 'utf8')
    notices.push(`${'='.repeat(72)}\n${name} ${version} (${license})\n\n${text.trim()}\n`)
  }
  const notice = path.join(folder, 'NOTICE.txt')
  await writeFile(inProject(notice), notices.join('\n'))
  return notice
}

/**
 * The JavaScript that is published: a file for each subpath and for the command, and a few for what they share.
 * Importing each source file by itself would cost some 0.5 ms a file, more than the library may take. What the command
 * takes from node_modules ends up in its files, so that installing the package installs nothing else.
 */
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { subpaths } from './subpaths.mjs'
import { filesBelow, inProject, readJson, root } from './project.mjs'

/** Its folders are those of dist/src, so that what is named relative to a file is found from both. */
const folder = 'dist/bundle'

/** Bundles what `tsc` wrote, and follows its source maps. */
export async function bundle() {
  const { bin } = await readJson(inProject('package.json'))
  const library = (await subpaths()).map(({ file }) => file)
  const written = [
    ...(await bundleTogether(library, 'shared-[hash]')),
    // Apart: the parts that the command loads one by one would split the library into as many pieces.
    ...(await bundleTogether(Object.values(bin), 'command-[hash]')),
  ]
  for (const file of await filesBelow(folder)) if (!written.includes(file)) await rm(inProject(file))
}

async function bundleTogether(files, chunkNames) {
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: files.map((file) => file.replace(folder, 'dist/src')),
    outdir: folder,
    outbase: 'dist/src',
    chunkNames,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    // Names of classes are seen in messages.
    keepNames: true,
    legalComments: 'linked',
    metafile: true,
    logLevel: 'warning',
  })
  return Object.keys(metafile.outputs).map((file) => path.normalize(file))
}

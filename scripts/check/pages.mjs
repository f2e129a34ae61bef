/** What the documents promise: links that lead somewhere, and samples that compile. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { filesBelow, inProject, root, runNode, tool, withTemporaryFolder } from '../project.mjs'

/** Those that people write: not the API listing, the reference and what was built. */
export async function pages() {
  const files = await filesBelow('', (file) => file.endsWith('.md'))
  return files.filter((file) => !/^(dist|\.|docs\/(reference\/|api\.md))/.test(file))
}

/**
 * Relative links that lead to no file, and anchors that are no heading of theirs.
 *
 * @param {readonly string[]} files  Relative to `folder`.
 */
export async function brokenLinks(files, folder = root) {
  const anchors = new Map()
  const anchorsOf = async (file) => {
    if (!anchors.has(file)) anchors.set(file, headingsOf(await readFile(path.join(folder, file), 'utf8')))
    return anchors.get(file)
  }
  const problems = []
  for (const page of files) {
    const text = withoutCode(await readFile(path.join(folder, page), 'utf8'))
    for (const [, inline, defined] of text.matchAll(/\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s+(\S+)/gm)) {
      const link = inline ?? defined
      if (/^[a-z]+:/.test(link)) continue
      const [target, anchor] = link.split('#')
      const file = target === '' ? page : path.join(path.dirname(page), target)
      if (!existsSync(path.join(folder, file))) {
        problems.push(`${page} links to ${link}, which is not there`)
      } else if (anchor !== undefined && file.endsWith('.md') && !(await anchorsOf(file)).has(anchor)) {
        problems.push(`${page} links to ${link}: ${file} has no such heading`)
      }
    }
  }
  return problems
}

/** As GitHub makes anchors of headings: a second of the same name has `-1`. */
function headingsOf(text) {
  const found = new Set()
  for (const [, heading] of withoutBlocks(text).matchAll(/^#{1,6} +(.*?)(?: +#+)? *$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = words.replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '').replaceAll(' ', '-')
    let anchor = slug
    for (let count = 1; found.has(anchor); count++) anchor = `${slug}-${count}`
    found.add(anchor)
  }
  return found
}

const withoutBlocks = (text) => text.replaceAll(/^ *(```|~~~)[^]*?^ *\1/gm, '')
const withoutCode = (text) => withoutBlocks(text).replaceAll(/(`+)[^`]+\1/g, '')

/**
 * The `ts` blocks of pages, compiled as they are by users: `viaduct` is what package.json exports.
 *
 * @param {readonly string[]} files  Relative to `folder`.
 */
export async function brokenSamples(files, folder = root) {
  return withTemporaryFolder('samples', async (place) => {
    for (const page of files) {
      for (const { line, code } of programsOf(await readFile(path.join(folder, page), 'utf8'))) {
        const file = path.join(place, `${page}.${line}.ts`)
        await mkdir(path.dirname(file), { recursive: true })
        await writeFile(file, code)
      }
    }
    await mkdir(path.join(place, 'node_modules/@types'), { recursive: true })
    await symlink(root, path.join(place, 'node_modules/viaduct'))
    await symlink(inProject('node_modules/@types/node'), path.join(place, 'node_modules/@types/node'))
    await writeFile(path.join(place, 'package.json'), JSON.stringify({ type: 'module' }))
    await writeFile(path.join(place, 'tsconfig.json'), JSON.stringify(sampleSettings))
    const { ok, output } = await runNode([tool('typescript/bin/tsc'), '-p', place, '--pretty', 'false'], {
      cwd: place,
    })
    return ok ? [] : [output.replaceAll(/^(\S+\.md)\.\d+\.ts\((\d+),\d+\)/gm, '$1:$2')]
  })
}

/** As the project's own, but for names that a sample declares to show them. */
const sampleSettings = {
  extends: inProject('tsconfig.json'),
  compilerOptions: {
    rootDir: '.',
    outDir: null,
    noEmit: true,
    declaration: false,
    sourceMap: false,
    inlineSources: false,
    incremental: false,
    tsBuildInfoFile: null,
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
  include: ['**/*.ts'],
  exclude: ['node_modules'],
}

/**
 * A block with an import begins a program, any other continues the one before. What a page does not show stands in a
 * comment `<!-- ts … -->` above the block, and belongs to it. Lines keep their numbers.
 */
function programsOf(page) {
  const programs = []
  for (const { index, groups } of page.matchAll(block)) {
    const line = page.slice(0, index).split('\n').length
    const hidden =
      groups.hidden === undefined ? '' : `\n${groups.hidden}${groups.between.replaceAll('-->', '')}`
    const code = `${hidden}\n${groups.shown}`
    if (programs.length === 0 || /^\s*import\b/m.test(code)) programs.push({ line, code: 'export {};' })
    const program = programs.at(-1)
    program.code += '\n'.repeat(line - program.code.split('\n').length) + code
  }
  return programs
}

const block = /(?:^<!-- ts\n(?<hidden>[^]*?)(?<between>^-->\s*))?^ *```ts\b.*\n(?<shown>[^]*?)^ *```/gm

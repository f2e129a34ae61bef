/** The reference by typedoc, from the doc comments of what users can import. */
import { subpaths } from './subpaths.mjs'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { filesBelow, inProject, runNode, tool } from './project.mjs'

const typedoc = async (...options) => {
  const sources = (await subpaths()).map(({ source }) => source)
  return runNode([tool('typedoc/bin/typedoc'), ...options, ...sources])
}

/** Writes docs/reference. */
export async function docs() {
  const { ok, output } = await typedoc('--out', inProject('docs/reference'))
  process.stdout.write(output)
  return ok ? 0 : 1
}

/** Public names without a doc comment, and names in signatures that are not exported. */
export async function undocumented() {
  // The README's links are brokenLinks'; a warning about them would end typedoc before it looks at the names.
  const { ok, output } = await typedoc(
    '--emit',
    'none',
    '--treatWarningsAsErrors',

    '--readme',
    'none',
  )
  return ok ? [] : [output]
}

/** Relative links in the documents that lead nowhere. */
export async function brokenLinks() {
  const pages = (await filesBelow('', (file) => file.endsWith('.md'))).filter(
    (file) => !/^(dist|\.|docs\/(reference\/|api\.md))/.test(file),
  )
  const problems = []
  for (const page of pages) {
    const text = await readFile(inProject(page), 'utf8')
    for (const [, target] of text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      if (!existsSync(inProject(path.dirname(page), target)))
        problems.push(`${page} links to ${target}, which is not there`)
    }
  }
  return problems
}

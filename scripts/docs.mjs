/** The reference by typedoc, from the doc comments of what users can import. */
import { subpaths } from './subpaths.mjs'
import { inProject, runNode, tool } from './project.mjs'

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
  // The README's links are check/pages.mjs'; a warning about them would end typedoc before it looks at the names.
  const { ok, output } = await typedoc(
    '--emit',
    'none',
    '--treatWarningsAsErrors',

    '--readme',
    'none',
  )
  return ok ? [] : [output]
}

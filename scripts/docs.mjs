/** The reference by typedoc, from the doc comments of what users can import. */
import { subpaths } from './subpaths.mjs'
import { inProject, readJson, runNode, tool } from './project.mjs'

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

/** Public names and properties without a doc comment, and names in signatures that are not exported. */
export async function undocumented() {
  const { requiredToBeDocumented } = await readJson(inProject('typedoc.json'))
  const kinds = [...requiredToBeDocumented, 'Property'].flatMap((kind) => ['--requiredToBeDocumented', kind])
  // The README's links are check/pages.mjs'.
  const { ok, output } = await typedoc('--emit', 'none', '--readme', 'none', ...kinds)
  if (!ok) return [output]
  return output
    .split('\n')
    .filter((line) => /^\[(warning|error)\] (?!Found )/.test(line) && !isToldElsewhere(line))
}

/**
 * Properties that come of a table's rows: the rows have the comments, and TypeScript does not carry them over. And those
 * of shapes without a name, which are told where the shape stands.
 */
function isToldElsewhere(line) {
  return (
    line.includes(' (Property)') && (line.includes('.__type.') || line.includes(', defined in viaduct/,'))
  )
}

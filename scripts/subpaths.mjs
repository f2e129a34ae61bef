/** The subpaths of package.json: what users can import, and the files behind it. */
import { inProject, readJson } from './project.mjs'

/**
 * @returns {Promise<{ name: string, file: string, types: string, compiled: string, source: string }[]>} `viaduct`, `viaduct/ipvs`, …
 *   with the published file, its declarations, what `tsc` wrote and the source, all relative to the
 *   project
 */
export async function subpaths() {
  const { name, exports } = await readJson(inProject('package.json'))
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([key, target]) => ({
      name: key === '.' ? name : `${name}${key.slice(1)}`,
      file: target.default.slice('./'.length),
      types: target.types.slice('./'.length),
      compiled: target.types.slice('./'.length).replace(/\.d\.ts$/, '.js'),
      source: target.types.slice('./dist/'.length).replace(/\.d\.ts$/, '.ts'),
    }))
}

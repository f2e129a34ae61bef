/**
 * `npm run bench -- NAME …`: runs test/bench/NAME.ts (compiled) or test/bench/NAME/run.mjs with the rest of the arguments.
 * Each has a folder; what stands beside the folders is what they share.
 */
import { existsSync, readdirSync } from 'node:fs'
import { inProject, runNode } from './project.mjs'

/** @param {readonly string[]} args */
export async function bench([name, ...args]) {
  const file = names().includes(name)
    ? [`test/bench/${name}/run.mjs`, `dist/test/bench/${name}.js`].find((place) =>
        existsSync(inProject(place)),
      )
    : undefined
  if (file === undefined) {
    console.error(`Usage: npm run bench -- NAME …, one of: ${names().join(', ')}`)
    return 2
  }
  return (await runNode([file, ...args], { echo: true })).status
}

function names() {
  const entries = readdirSync(inProject('test/bench'), { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

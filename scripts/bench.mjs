/** `npm run bench -- NAME …`: runs test/bench/NAME.ts (compiled) or test/bench/NAME.mjs with the rest of the arguments. */
import { existsSync } from 'node:fs'
import { filesBelow, inProject, runNode } from './project.mjs'

/** @param {readonly string[]} args */
export async function bench([name, ...args]) {
  const places = [`dist/test/bench/${name}.js`, `test/bench/${name}.mjs`, `test/bench/${name}/run.mjs`]
  const file = /^[\w-]+$/.test(name ?? '') ? places.find((place) => existsSync(inProject(place))) : undefined
  if (file === undefined) {
    console.error(`Usage: npm run bench -- NAME …, one of: ${(await names()).join(', ')}`)
    return 2
  }
  return (await runNode([file, ...args], { echo: true })).status
}

async function names() {
  const files = [...(await filesBelow('dist/test/bench')), ...(await filesBelow('test/bench'))]
  const found = files.map((file) =>
    /^(?:dist\/test\/bench\/([\w-]+)\.js|test\/bench\/([\w-]+)(?:\/run)?\.mjs)$/.exec(file),
  )
  return [...new Set(found.filter((match) => match !== null).map((match) => match[1] ?? match[2]))].sort()
}

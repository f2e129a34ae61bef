/**
 * `npm run bench -- nftables [--json | --markdown] [--runs N] [--elements N] [--rules N] [--flows N]`: how fast rulesets
 * are loaded, read and changed, and flows listed and ended, beside C programs, nft, conntrack, a Go and a Python library
 * in the same run. As root, on the running kernel, in namespaces.
 *
 * Exit status: 0, 1 if a run was void (an error, a ruleset that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { requires } from '../../src/testing/index.js'
import { buildGo, packages } from './nftables/peer.js'
import { markdown, type Results, text } from './nftables/report.js'
import { measureAll } from './nftables/runs.js'
import { targetsOf } from './nftables/targets.js'
import type { Asked } from './options.js'
import { compile } from './processes.js'
import { ensurePackages, inFolder, machine, runProgram } from './program.js'

const options = {
  // As many addresses as ruleset.ts has.
  elements: { usual: 100_000, most: 1 << 24 },
  rules: { usual: 10_000, most: 1 << 24 },
  flows: { usual: 100_000, most: 1 << 24 },
} as const

async function measure({ runs, elements, rules, flows }: Asked<typeof options>): Promise<Results> {
  const lacking = requires({ sandbox: true })
  if (lacking !== undefined) throw new Error(lacking)
  await ensurePackages(packages, 'compare with them')
  return inFolder('nftables', async (folder) => {
    const [peer, go] = [`${folder}/peer`, `${folder}/peer-go`]
    await compile('nftables/peer.c', peer)
    await buildGo(go)
    const size = { elements, rules, flows }
    const about = machine()
    return { machine: about, runs, ...size, figures: await measureAll({ ...size, runs, peer, go, folder }) }
  })
}

process.exitCode = await runProgram({
  name: 'nftables',
  options,
  measure,
  targets: targetsOf,
  text,
  markdown,
})

/**
 * `npm run bench -- nftables [--json | --markdown] [--runs N] [--elements N] [--rules N] [--flows N]`: how fast rulesets
 * are loaded, read and changed, and flows listed and ended, beside C programs, nft, conntrack, a Go and a Python library
 * in the same run. As root, on the running kernel, in namespaces.
 *
 * Exit status: 0, 1 if a run was void (an error, a ruleset that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { parseArgs } from 'node:util'
import { requires } from '../../src/testing/index.js'
import { buildGo, packages } from './nftables/peer.js'
import { markdown, type Results, text } from './nftables/report.js'
import { measureAll } from './nftables/runs.js'
import type { Size } from './nftables/ruleset.js'
import { targetsOf } from './nftables/targets.js'
import { compile } from './processes.js'
import {
  ensurePackages,
  inFolder,
  machine,
  numberOf,
  type Print,
  printOf,
  printOptions,
  runProgram,
} from './program.js'

const usage =
  'Usage: npm run bench -- nftables [--json | --markdown] [--runs N] [--elements N] [--rules N] [--flows N]'

interface Options extends Size {
  readonly print: Print
  readonly runs: number
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...printOptions,
      elements: { type: 'string', default: '100000' },
      rules: { type: 'string', default: '10000' },
      flows: { type: 'string', default: '100000' },
    },
  })
  return {
    print: printOf(values),
    runs: numberOf(values, 'runs', 100),
    // As many addresses as ruleset.ts has.
    elements: numberOf(values, 'elements', 1 << 24),
    rules: numberOf(values, 'rules', 1 << 24),
    flows: numberOf(values, 'flows', 1 << 24),
  }
}

async function measure({ runs, elements, rules, flows }: Options): Promise<Results> {
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
  usage,
  options: optionsOf,
  measure,
  targets: targetsOf,
  text,
  markdown,
})

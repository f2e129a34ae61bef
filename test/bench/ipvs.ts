/**
 * `npm run bench -- ipvs [--json | --markdown] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]`: how fast
 * a table is loaded, listed and changed, beside C programs and ipvsadm in the same run.
 *
 * What needs IPVS runs on this kernel if it has it and in user-mode Linux if not (or with --uml); the rest on the host.
 * Exit status: 0, 1 if a run was void (an error, a table that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { parseArgs } from 'node:util'
import { runWhereIpvsIs, type Where, whereIpvsIs } from './guest.js'
import type { GuestResults, GuestSettings } from './ipvs/guest.js'
import { measureHost } from './ipvs/host.js'
import { markdown, type Results, text } from './ipvs/report.js'
import type { Size } from './ipvs/table.js'
import { targetsOf } from './ipvs/targets.js'
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
  'Usage: npm run bench -- ipvs [--json | --markdown] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]'

interface Options extends Size {
  readonly print: Print
  readonly runs: number
  readonly withoutRestore: boolean
  readonly uml: boolean
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...printOptions,
      services: { type: 'string', default: '10000' },
      destinations: { type: 'string', default: '10' },
      'without-restore': { type: 'boolean', default: false },
      uml: { type: 'boolean', default: false },
    },
  })
  return {
    print: printOf(values),
    runs: numberOf(values, 'runs', 100),
    // As many addresses as table.ts has.
    services: numberOf(values, 'services', 65_536),
    destinationsEach: numberOf(values, 'destinations', 250),
    withoutRestore: values['without-restore'],
    uml: values.uml,
  }
}

function measure(options: Options): Promise<Results> {
  const { services, destinationsEach, runs, withoutRestore } = options
  const size: Size = { services, destinationsEach }
  return inFolder('ipvs', async (folder) => {
    const peer = `${folder}/peer`
    await compile('ipvs/peer.c', peer)
    const about = machine()
    process.stderr.write('on the host\n')
    const host = await measureHost(size, runs, peer, folder)
    const where = options.uml ? 'user-mode Linux' : whereIpvsIs()
    process.stderr.write(`in ${where}\n`)
    const guest = await inGuest(where, { ...size, runs, peer, folder, withoutRestore })
    return { where, machine: about, ...size, runs, withoutRestore, host, guest }
  })
}

async function inGuest(where: Where, settings: GuestSettings): Promise<GuestResults> {
  await ensurePackages(['ipvsadm', 'util-linux'], 'compare with ipvsadm')
  return await runWhereIpvsIs<GuestResults>(where, new URL('ipvs/guest.js', import.meta.url), settings)
}

process.exitCode = await runProgram({
  usage,
  options: optionsOf,
  measure,
  targets: targetsOf,
  text,
  markdown,
})

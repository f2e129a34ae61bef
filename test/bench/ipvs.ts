/**
 * `npm run bench -- ipvs [--json | --markdown] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]`: how fast
 * a table is loaded, listed and changed, beside C programs and ipvsadm in the same run.
 *
 * What needs IPVS runs on this kernel if it has it and in user-mode Linux if not (or with --uml); the rest on the host.
 * Exit status: 0, 1 if a run was void (an error, a table that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { runWhereIpvsIs, type Where, whereIpvsIs } from './guest.js'
import type { GuestResults, GuestSettings } from './ipvs/guest.js'
import { measureHost } from './ipvs/host.js'
import { markdown, type Results, text } from './ipvs/report.js'
import type { Size } from './ipvs/table.js'
import { targetsOf } from './ipvs/targets.js'
import type { Asked } from './options.js'
import { compile } from './processes.js'
import { ensurePackages, inFolder, machine, runProgram } from './program.js'

const options = {
  // As many addresses as table.ts has.
  services: { usual: 10_000, most: 65_536 },
  destinations: { usual: 10, most: 250 },
  'without-restore': 'flag',
  uml: 'flag',
} as const

function measure(asked: Asked<typeof options>): Promise<Results> {
  const { services, destinations: destinationsEach, runs, 'without-restore': withoutRestore } = asked
  const size: Size = { services, destinationsEach }
  return inFolder('ipvs', async (folder) => {
    const peer = `${folder}/peer`
    await compile('ipvs/peer.c', peer)
    const about = machine()
    process.stderr.write('on the host\n')
    const host = await measureHost(size, runs, peer, folder)
    const where = asked.uml ? 'user-mode Linux' : whereIpvsIs()
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
  name: 'ipvs',
  options,
  measure,
  targets: targetsOf,
  text,
  markdown,
})

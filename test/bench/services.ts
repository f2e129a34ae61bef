/**
 * `npm run bench -- services [--json | --markdown] [--runs N] [--services N] [--changes N] [--ipvs]`: how fast Kubernetes' objects
 * become services in the kernel, from nothing, after a restart and one change at a time; what memory that takes; and what
 * packets need through them. On nftables, as root, on the running kernel, in namespaces; with --ipvs on IPVS, too: on this
 * kernel if it has it and in user-mode Linux if not.
 *
 * Exit status: 0, 1 if a run was void (an error, services that are not whole, packets that do not arrive), 2 for wrong usage.
 * Targets that are not reached are marked.
 */
import { requires } from '../../src/testing/index.js'
import { runWhereIpvsIs, whereIpvsIs } from './guest.js'
import type { Asked } from './options.js'
import { compile } from './processes.js'
import { ensurePackages, inFolder, machine, runProgram } from './program.js'
import type { GuestFigures, GuestSettings } from './services/ipvs-figures.js'
import { markdown, type Results, text } from './services/report.js'
import { measureAll } from './services/runs.js'
import { targetsOf } from './services/targets.js'

const options = {
  services: { usual: 10_000, most: 500_000 },
  changes: { usual: 100, most: 10_000 },
  ipvs: 'flag',
} as const

async function measure({ runs, services, changes, ipvs: withIpvs }: Asked<typeof options>): Promise<Results> {
  const lacking = requires({ sandbox: true })
  if (lacking !== undefined) throw new Error(lacking)
  await ensurePackages(['gcc', 'util-linux', 'iptables'], 'compare with C programs')
  return inFolder('services', async (folder) => {
    const [peer, packets] = [`${folder}/peer`, `${folder}/packets`]
    await compile('nftables/peer.c', peer)
    await compile('services/packets.c', packets)
    const about = machine()
    const figures = await measureAll({ runs, services, changes, peer, packets, folder })
    const settings: GuestSettings = { runs, services, changes, packets, folder }
    const program = new URL('services/guest.js', import.meta.url)
    const ipvs = withIpvs ? await runWhereIpvsIs<GuestFigures>(whereIpvsIs(), program, settings) : undefined
    return { machine: about, loadAverage: machine().loadAverage, runs, services, figures, ipvs }
  })
}

process.exitCode = await runProgram({
  name: 'services',
  options,
  measure,
  targets: targetsOf,
  text,
  markdown,
})

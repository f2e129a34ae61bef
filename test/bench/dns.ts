/**
 * `npm run bench -- dns [--json | --markdown] [--runs N] [--services N] [--queries N] [--window N]`: what a query for the address of a
 * service takes of a processor, beside Debian's unbound, which is given the same names; both on one processor, asked by
 * the same C program on another one, with so many queries under way. As root.
 *
 * Exit status: 0, 1 if a run was void (wrong or lost answers), 2 for wrong usage. Targets that are not reached are marked.
 */
import { type Figure, type Figures, measureAll } from './dns/runs.js'
import { median } from './measure.js'
import type { Asked } from './options.js'
import { compile } from './processes.js'
import { busy, ensurePackages, inFolder, type Machine, machine, runProgram } from './program.js'
import * as tables from './tables.js'
import { grouped, ratio, type Table, tenths, toReach } from './tables.js'
import { atMost, type Target } from './target.js'

const options = {
  services: { usual: 10_000, most: 60_000 },
  queries: { usual: 200_000, most: 10_000_000 },
  window: { usual: 64, most: 1024 },
} as const

interface Results extends Omit<Asked<typeof options>, 'print'> {
  readonly machine: Machine
  readonly figures: Figures
}

async function measure({ runs, services, queries, window }: Asked<typeof options>): Promise<Results> {
  await ensurePackages(['gcc', 'unbound', 'util-linux'], 'compare with unbound')
  return inFolder('dns', async (folder) => {
    const client = `${folder}/client`
    await compile('dns/client.c', client)
    const about = machine()
    const figures = await measureAll({ runs, services, queries, window, client, folder })
    return { machine: about, runs, services, queries, window, figures }
  })
}

const time = (figures: readonly Figure[]): number => median(figures.map(({ microseconds }) => microseconds))

function targetsOf({ figures, services }: Results): Target[] {
  const { unbound, ours, few, change, changeAmongFew } = figures
  const bad = Object.values(figures)
    .flat()
    .reduce(
      (sum: number, figure: Figure | number) =>
        sum + (typeof figure === 'number' ? 0 : figure.wrong + figure.lost),
      0,
    )
  return [
    atMost('processor time of a query, to that of unbound', 2, '×')(time(ours) / time(unbound)),
    atMost(`the same with ${grouped(services)} services, to that with 10`, 1.1, '×')(time(ours) / time(few)),
    atMost('a change of one service, to the same among 10', 2, '×')(median(change) / median(changeAmongFew)),
    { ...atMost('wrong or lost answers', 0, '')(bad), ...(bad > 0 ? { verdict: 'void' as const } : {}) },
  ]
}

function tablesOf(results: Results): Table[] {
  const { figures, services, window } = results
  const row = (what: string, of: readonly Figure[], base: readonly Figure[]): string[] => [
    what,
    tenths(time(of)),
    ratio(time(of) / time(base)),
    grouped(Math.round(median(of.map(({ perSecond }) => perSecond)))),
  ]
  const { unbound, unboundMissing, unboundOneByOne, ours, few, missing, oneByOne } = figures
  const all = `${grouped(services)} names`
  return [
    toReach(targetsOf(results)),
    {
      head: ['', 'µs a query', 'to unbound', 'queries a second'],
      rows: [
        row(`unbound, ${all}, ${window} at once`, unbound, unbound),
        row(`viaduct/dns, ${all}, ${window} at once`, ours, unbound),
        row(`viaduct/dns, 10 names, ${window} at once`, few, unbound),
        row(`unbound, names that are not there, ${window} at once`, unboundMissing, unboundMissing),
        row(`viaduct/dns, names that are not there, ${window} at once`, missing, unboundMissing),
        row(`unbound, ${all}, one after the other`, unboundOneByOne, unboundOneByOne),
        row(`viaduct/dns, ${all}, one after the other`, oneByOne, unboundOneByOne),
      ],
    },
    {
      head: ['a change of one service', 'µs'],
      rows: [
        [`among ${grouped(services)}`, tenths(median(figures.change))],
        ['among 10', tenths(median(figures.changeAmongFew))],
      ],
    },
  ]
}

function about({ machine, runs, services, queries }: Results): string[] {
  const { kernel, processor, processors, node, loadAverage } = machine
  return [
    `Processor time (user and system) of ${grouped(queries)} queries over UDP at the loopback for ${grouped(services)} names, on`,
    `Linux ${kernel}, ${processors} × ${processor}, Node ${node}. Medians of ${runs}. Load when it began ${loadAverage.toFixed(1)}.`,
    ...busy(machine),
  ]
}

process.exitCode = await runProgram({
  name: 'dns',
  options,
  measure,
  targets: targetsOf,
  text: (results: Results) => tables.text(about(results), tablesOf(results)),
  markdown: (results: Results) => tables.markdown(about(results), tablesOf(results)),
})

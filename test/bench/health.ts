/**
 * `npm run bench -- health [--json | --markdown] [--runs N] [--servers N] [--seconds N]`: so many TCP checks a second, one for
 * each server, while a twentieth of the servers hangs: what they take of a processor, how late they are begun, and whether
 * the verdicts are right; beside a C program that makes the same connections and decides nothing. As root, in namespaces of
 * the running kernel; the kernel's work for the servers' side is in the figures of both.
 *
 * Exit status: 0, 1 if a run was void (wrong verdicts), 2 for wrong usage. Targets that are not reached are marked.
 */
import { requires } from '../../src/testing/index.js'
import { type Figures, measureAll } from './health/runs.js'
import { median } from './measure.js'
import type { Asked } from './options.js'
import { compile } from './processes.js'
import { busy, ensurePackages, inFolder, type Machine, machine, runProgram } from './program.js'
import * as tables from './tables.js'
import { grouped, ratio, type Table, tenths, toReach } from './tables.js'
import { atMost, type Target } from './target.js'

const options = {
  servers: { usual: 10_000, most: 60_000 },
  seconds: { usual: 10, most: 600 },
} as const

interface Results extends Omit<Asked<typeof options>, 'print'> {
  readonly machine: Machine
  readonly figures: Figures
}

async function measure({ runs, servers, seconds }: Asked<typeof options>): Promise<Results> {
  const lacking = requires({ sandbox: true })
  if (lacking !== undefined) throw new Error(lacking)
  await ensurePackages(['gcc', 'util-linux'], 'compare with a C program')
  return inFolder('health', async (folder) => {
    const floor = `${folder}/floor`
    await compile('health/floor.c', floor)
    const about = machine()
    return {
      machine: about,
      runs,
      servers,
      seconds,
      figures: await measureAll({ runs, servers, seconds, floor }),
    }
  })
}

function targetsOf({ figures: { checks } }: Results): Target[] {
  const of = (value: (run: (typeof checks)[number]) => number): number => median(checks.map(value))
  return [
    atMost('part of one processor, user and system', 60, '%')(of((run) => run.processorShare * 100)),
    atMost('lateness of checks, p99', 50, 'ms')(of((run) => run.latenessP99)),
    {
      ...atMost('wrong verdicts', 0, '')(Math.max(...checks.map((run) => run.wrongVerdicts))),
      ...(checks.some((run) => run.wrongVerdicts > 0) ? { verdict: 'void' as const } : {}),
    },
  ]
}

function tablesOf(results: Results): Table[] {
  const { checks, floor } = results.figures
  const base = median(floor.map((run) => run.userMicroseconds + run.systemMicroseconds))
  const row = (
    what: string,
    runs: readonly { userMicroseconds: number; systemMicroseconds: number }[],
    rest: string[],
  ) => {
    const user = median(runs.map((run) => run.userMicroseconds))
    const system = median(runs.map((run) => run.systemMicroseconds))
    return [what, tenths(user), tenths(system), ratio((user + system) / base), ...rest]
  }
  const of = (value: (run: (typeof checks)[number]) => number): number => median(checks.map(value))
  return [
    toReach(targetsOf(results)),
    {
      head: [
        '',
        'user µs a check',
        'system µs a check',
        'to C',
        'checks a second',
        'late p50, ms',
        'late p99, ms',
        'latest, ms',
      ],
      rows: [
        row('C: connect, wait, reset', floor, ['–', '–', '–', '–']),
        row('HealthMonitor', checks, [
          grouped(Math.round(of((run) => run.perSecond))),
          tenths(of((run) => run.latenessP50)),
          tenths(of((run) => run.latenessP99)),
          tenths(of((run) => run.latenessMost)),
        ]),
      ],
    },
  ]
}

function about({ machine, runs, servers, seconds }: Results): string[] {
  const { kernel, processor, processors, node, loadAverage } = machine
  return [
    `TCP checks of ${grouped(servers)} servers, of which a twentieth hangs, once a second for ${seconds} s, in namespaces of`,
    `Linux ${kernel}, ${processors} × ${processor}, Node ${node}. Medians of ${runs}. Load when it began ${loadAverage.toFixed(1)}.`,
    ...busy(machine),
  ]
}

process.exitCode = await runProgram({
  name: 'health',
  options,
  measure,
  targets: targetsOf,
  text: (results: Results) => tables.text(about(results), tablesOf(results)),
  markdown: (results: Results) => tables.markdown(about(results), tablesOf(results)),
})

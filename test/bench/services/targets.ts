/** What the benchmark is to reach, and whether it does. */
import { median, percentile } from '../measure.js'
import { atMost, type Target } from '../target.js'
import { type Change, changeNames, paces } from './changes.js'
import type { GuestFigures } from './ipvs-figures.js'
import { type LatencyFigures, latencySizes } from './latency.js'
import type { Cold } from './processes.js'
import type { Figures } from './runs.js'

export const medianOf = (runs: readonly Cold[], of: (run: Cold) => number): number => median(runs.map(of))

export function targetsOf({
  services,
  figures,
  ipvs,
}: {
  readonly services: number
  readonly figures: Figures
  readonly ipvs: GuestFigures | undefined
}): Target[] {
  const { load, loadShare, restart, memory, changes } = figures
  const seconds = ({ seconds }: Cold): number => seconds
  return [
    atMost(
      "programmed from nothing, a fresh process, to the kernel's share",
      3,
      '×',
    )(medianOf(load, seconds) / median(loadShare)),
    atMost('programmed from nothing, a fresh process', 0.6, 's')(medianOf(load, seconds)),
    ...paces.flatMap((pace) =>
      changeNames.flatMap((name) => {
        const of = (part: number): number => percentile(changes[pace][services]![name], part) / 1000
        const what = `${name}, ${pace}`
        return [atMost(`${what}, p50`, 0.5, 'ms')(of(0.5)), atMost(`${what}, p99`, 3, 'ms')(of(0.99))]
      }),
    ),
    ...changeNames.map((name) =>
      atMost(`${name}, p50: the slowest size to the fastest`, 1.2, '×')(acrossSizes(figures, name)),
    ),
    atMost('restarted with nothing changed', 1, 's')(medianOf(restart, seconds)),
    atMost(
      'messages written by that',
      0,
      '',
    )(restart.length === 0 ? NaN : Math.max(...restart.map(({ writes }) => writes))),
    atMost(
      'memory of a process with 5,000 services of 2 endpoints, the most',
      110,
      'MB',
    )(medianOf(memory, ({ peakMegabytes }) => peakMegabytes)),
    ...flat(figures.latency, 'nftables'),
    ...(ipvs === undefined ? [] : ipvsTargets(ipvs)),
  ]
}

function ipvsTargets({ alone, load, restart, changes, latency }: GuestFigures): Target[] {
  return [
    atMost(
      'IPVS, programmed from nothing, to `Ipvs` alone',
      2,
      '×',
    )(medianOf(load, ({ seconds }) => seconds) / median(alone)),
    atMost('IPVS, messages written by a restart', 0, '')(Math.max(...restart.map(({ writes }) => writes))),
    ...changeNames.map((name) => atMost(`IPVS, ${name}, p50`, 2, 'ms')(median(changes[name]) / 1000)),
    ...flat(latency, 'IPVS'),
  ]
}

/** Packets of the most services against those of the fewest. */
function flat({ viaduct }: LatencyFigures, dataplane: string): Target[] {
  return (['first', 'later'] as const).map((which) =>
    atMost(
      `${dataplane}: ${packets[which]}, with most services to with fewest`,
      1.1,
      '×',
    )(median(viaduct[latencySizes.at(-1)!]![which]) / median(viaduct[latencySizes[0]]![which])),
  )
}

export const packets = {
  first: "a flow's first packet there and back",
  later: 'the next packets there and back',
} as const

function acrossSizes({ changes }: Figures, name: Change): number {
  const all = Object.values(changes['in a row']).map((times) => median(times[name]))
  return Math.max(...all) / Math.min(...all)
}

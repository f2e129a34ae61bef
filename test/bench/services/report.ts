/** The figures as tables with ratios and what was to be reached. */
import { median, percentile } from '../measure.js'
import { busy, type Machine } from '../program.js'
import * as tables from '../tables.js'
import { grouped, ratio, seconds, spread, type Table, tenths, toReach } from '../tables.js'
import { changeNames, type Pace, paces } from './changes.js'
import { type GuestFigures, ipvsEndpointsEach } from './ipvs-figures.js'
import { type LatencyFigures, latencySizes } from './latency.js'
import { endpointsEach } from './objects.js'
import type { Cold } from './processes.js'
import type { Figures } from './runs.js'
import { medianOf, packets, targetsOf } from './targets.js'

export interface Results {
  readonly machine: Machine
  /** When it was over. */
  readonly loadAverage: number
  readonly runs: number
  readonly services: number
  readonly figures: Figures
  /** Undefined where it was not asked for. */
  readonly ipvs: GuestFigures | undefined
}

/** For a terminal. */
export const text = (results: Results): string => tables.text(about(results), tablesOf(results))

/** For docs/performance.md. */
export const markdown = (results: Results): string => tables.markdown(about(results), tablesOf(results))

function about({ machine, loadAverage, runs, services }: Results): string[] {
  const { kernel, processor, processors, node } = machine
  return [
    `${grouped(services)} services of ${endpointsEach} endpoints on nftables, in namespaces of`,
    `Linux ${kernel}, ${processors} × ${processor}, Node ${node}. Medians of ${runs}.`,
    `Load when it began ${machine.loadAverage.toFixed(1)}, when it was over ${loadAverage.toFixed(1)}.`,
    ...busy(machine),
  ]
}

function tablesOf(results: Results): Table[] {
  const { figures } = results
  return [
    toReach(targetsOf(results)),
    programming(figures),
    ...paces.map((pace) => changing(results, pace)),
    ...(['first', 'later'] as const).map((which) => latency(figures.latency, which, onNftables)),
    ...(results.ipvs === undefined ? [] : ipvsTables(results.ipvs, results.services)),
  ]
}

function programming({ load, loadShare, restart, restartShare, memory }: Figures): Table {
  const share = (what: string, times: readonly number[]): string[] => [
    `${what}: C, the same bytes`,
    seconds(median(times)),
    ratio(1),
    spread(times),
    '–',
    '–',
    '–',
  ]
  const ours = (what: string, runs: readonly Cold[], base: readonly number[]): string[] => {
    const times = runs.map((run) => run.seconds)
    return [
      `${what}: a fresh process`,
      seconds(median(times)),
      base.length === 0 ? '–' : ratio(median(times) / median(base)),
      spread(times),
      seconds(medianOf(runs, (run) => run.userSeconds)),
      `${medianOf(runs, (run) => run.peakMegabytes).toFixed(0)} MB`,
      `${medianOf(runs, (run) => run.residentMegabytes).toFixed(0)} MB`,
    ]
  }
  return {
    head: ['', 'time', 'to C', 'from – to', 'user time', 'most memory', 'memory at the end'],
    rows: [
      share('from nothing', loadShare),
      ours('from nothing', load, loadShare),
      share('restart', restartShare),
      ours('restart', restart, restartShare),
      ours('5,000 services of 2', memory, []),
    ],
  }
}

function changing({ figures, services }: Results, pace: Pace): Table {
  const times = figures.changes[pace]
  const sizes = Object.keys(times).map(Number)
  const p = (values: readonly number[], part: number): string => `${tenths(percentile(values, part))} µs`
  return {
    head: [
      `one change ${pace}, from upsert to settled`,
      `C at ${grouped(services)}: p50`,
      ...sizes.flatMap((size) => [`${grouped(size)}: p50`, 'p99']),
    ],
    rows: changeNames.map((name) => [
      name,
      p(figures.changesShare[name], 0.5),
      ...sizes.flatMap((size) => {
        const values = times[size]![name]
        return [p(values, 0.5), p(values, 0.99)]
      }),
    ]),
  }
}

/** How packets go, and what beside. */
interface Path {
  readonly head: string
  readonly rules: string
}
const onNftables: Path = { head: 'nftables', rules: "rules as kube-proxy's" }
const onIpvs: Path = { head: 'IPVS', rules: "iptables' rules as kube-proxy's" }

function latency(latency: LatencyFigures, which: 'first' | 'later', { head, rules }: Path): Table {
  const base = median(latency.direct[which])
  const row = (name: string, values: readonly number[]): string[] => {
    const time = median(values)
    return [name, `${tenths(time)} µs`, ratio(time / base), `${tenths(percentile(values, 0.99))} µs`]
  }
  return {
    head: [`${head}: ${packets[which]}`, 'p50', 'to direct', 'p99'],
    rows: [
      row('direct, without a table', latency.direct[which]),
      ...latencySizes.flatMap((size) => [
        row(`viaduct, ${grouped(size)} services`, latency.viaduct[size]![which]),
        row(`${rules}, ${grouped(size)}`, latency.rules[size]![which]),
      ]),
    ],
  }
}

function ipvsTables(
  { alone, load, restart, changes, latency: packetTimes }: GuestFigures,
  services: number,
): Table[] {
  const row = (what: string, times: readonly number[]): string[] => [
    what,
    seconds(median(times)),
    ratio(median(times) / median(alone)),
    spread(times),
  ]
  const times = (runs: readonly Cold[]): number[] => runs.map((run) => run.seconds)
  return [
    {
      head: [
        `IPVS: ${grouped(services)} services of ${ipvsEndpointsEach}, fresh processes`,
        'time',
        'to `Ipvs`',
        'from – to',
      ],
      rows: [
        row('`Ipvs.apply` alone', alone),
        row('from nothing', times(load)),
        row('restart', times(restart)),
      ],
    },
    {
      head: ['IPVS: one change, from upsert to settled', 'p50', 'p99'],
      rows: changeNames.map((name) => [
        name,
        `${tenths(median(changes[name]))} µs`,
        `${tenths(percentile(changes[name], 0.99))} µs`,
      ]),
    },
    ...(['first', 'later'] as const).map((which) => latency(packetTimes, which, onIpvs)),
  ]
}

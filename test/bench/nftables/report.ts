/** The figures as tables with ratios and what was to be reached. */
import { median } from '../measure.js'
import { busy, type Machine } from '../program.js'
import * as tables from '../tables.js'
import { grouped, holds, ratio, seconds, spread, type Table, tenths, toReach } from '../tables.js'
import type { Size } from './ruleset.js'
import { type Figures, type Replacement, replacements, type What, whats, type Who, who } from './runs.js'
import { single, targetsOf } from './targets.js'

export interface Results extends Size {
  readonly machine: Machine
  readonly runs: number
  readonly figures: Figures
}

/** For a terminal. */
export const text = (results: Results): string => tables.text(about(results), tablesOf(results))

/** For docs/performance.md. */
export const markdown = (results: Results): string => tables.markdown(about(results), tablesOf(results))

function about({ elements, rules, flows, runs, machine }: Results): string[] {
  const { kernel, processor, processors, node } = machine
  return [
    `Maps of ${grouped(elements)} elements, ${grouped(rules)} rules, ${grouped(flows)} flows, in namespaces of`,
    `Linux ${kernel}, ${processors} × ${processor}, Node ${node}. Medians of ${runs}.`,
    ...busy(machine),
  ]
}

const names: Readonly<Record<Who, string>> = {
  C: 'C, the same bytes',
  warm: 'viaduct, warm',
  cold: 'viaduct, a process from its start to its end',
  nft: 'nft',
  conntrack: 'conntrack',
  go: 'google/nftables (Go)',
  python: 'pyroute2',
}

const titles: Readonly<Record<What, (results: Results) => string>> = {
  'load verdicts': ({ elements }) => `load a verdict map of ${grouped(elements)} elements`,
  'load rules': ({ rules }) => `load ${grouped(rules)} rules of 8 expressions`,
  'read verdicts': () => 'read the map',
  'read rules': () => 'read the rules',
  'list flows': ({ flows }) => `list ${grouped(flows)} flows`,
  'delete flows': () => 'delete a tenth of the flows by a filter',
}

function tablesOf(results: Results): Table[] {
  const { figures } = results
  return [
    toReach(targetsOf(results)),
    ...whats.map((what) => timesOf(results, what)),
    ...replacements.map((what) => replacementOf(figures, what)),
    holds(figures.loop),
  ]
}

function timesOf(results: Results, what: What): Table {
  const { times, memory } = results.figures
  const base = median(times[what].C ?? [])
  const rows = who.flatMap((by) => {
    const values = times[what][by]
    if (values === undefined) return []
    const time = median(values)
    const most = memory[what][by]
    const resident = most === undefined ? '–' : `${median(most).toFixed(0)} MB`
    return [[names[by], seconds(time), ratio(time / base), spread(values), resident]]
  })
  return { head: [titles[what](results), 'time', 'to C', 'from – to', 'memory'], rows }
}

const replacementTitles: Readonly<Record<Replacement, string>> = {
  'replace data': 'one element of a bound map replaced: data',
  'replace verdicts': 'the same with goto',
}

function replacementOf(figures: Figures, what: Replacement): Table {
  const base = single(figures, what, 'C', 0.5)
  const rows = who
    .filter((by) => figures.singles[what][by] !== undefined)
    .map((by) => {
      const [p50, p99] = [0.5, 0.99].map((part) => single(figures, what, by, part)) as [number, number]
      return [names[by], `${tenths(p50)} µs`, ratio(p50 / base), `${tenths(p99)} µs`]
    })
  return { head: [replacementTitles[what], 'p50', 'to C', 'p99'], rows }
}

/** What the benchmark is to reach, and whether it does. */
import { median, percentile, worst } from '../measure.js'
import { atLeast, atMost, longestHoldMilliseconds, type Target } from '../target.js'
import type { Figures, Replacement, What, Who } from './runs.js'

/** The most that a process needs that loads the map. */
const mostMegabytes = 150

export function targetsOf({ figures }: { readonly figures: Figures }): Target[] {
  const of = (what: What, by: Who): number => median(figures.times[what][by] ?? [])
  const { idle: _, ...ours } = figures.loop
  const holds = Object.values(ours).flat()
  const data = (part: number): number =>
    single(figures, 'replace data', 'warm', part) / single(figures, 'replace data', 'C', part)
  return [
    atMost(
      "a map of verdicts, to the kernel's share",
      2,
      '×',
    )(of('load verdicts', 'warm') / of('load verdicts', 'C')),
    atLeast(
      'a map of verdicts, faster than nft -f',
      3,
      '×',
    )(of('load verdicts', 'nft') / of('load verdicts', 'warm')),
    atMost(
      'the most memory of a process that loads it',
      mostMegabytes,
      'MB',
    )(median(figures.memory['load verdicts'].cold ?? [])),
    atMost("rules, to the kernel's share", 2, '×')(of('load rules', 'warm') / of('load rules', 'C')),
    atLeast(
      'the map read, faster than nft -j list ruleset',
      3,
      '×',
    )(of('read verdicts', 'nft') / of('read verdicts', 'warm')),
    atLeast(
      'the rules read, faster than nft -j list ruleset',
      3,
      '×',
    )(of('read rules', 'nft') / of('read rules', 'warm')),
    atMost('one element replaced, p50, to the C program', 3, '×')(data(0.5)),
    atMost('one element replaced, p99, to the C program', 10, '×')(data(0.99)),
    atLeast(
      'flows listed, faster than conntrack -L',
      2,
      '×',
    )(of('list flows', 'conntrack') / of('list flows', 'warm')),
    atMost(
      'flows deleted by a filter, to the C program',
      1.5,
      '×',
    )(of('delete flows', 'warm') / of('delete flows', 'C')),
    atMost(
      'event loop held, the longest',
      longestHoldMilliseconds,
      'ms',
    )(holds.length === 0 ? NaN : worst(holds).timerMilliseconds),
  ]
}

/** A percentile of each run; of those the median. */
export function single({ singles }: Figures, what: Replacement, by: Who, part: number): number {
  return median((singles[what][by] ?? []).map((run) => percentile(run, part)))
}

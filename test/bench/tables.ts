/** Figures as tables, for a terminal or for docs/performance.md. */
import { type LoopDelay, median, worst } from './measure.js'
import type { Target } from './target.js'

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** For a terminal. */
export function text(about: readonly string[], tables: readonly Table[]): string {
  return document(about, tables, plain)
}

/** For docs/performance.md. */
export function markdown(about: readonly string[], tables: readonly Table[]): string {
  return document(about, tables, piped)
}

function document(
  about: readonly string[],
  tables: readonly Table[],
  lines: (table: Table) => string[],
): string {
  return `${about.join('\n')}\n\n${tables.map((table) => lines(table).join('\n')).join('\n\n')}\n`
}

const verdicts = { reached: 'yes', missed: 'NO', 'left out': 'left out', void: 'VOID' } as const

export function toReach(targets: readonly Target[]): Table {
  return {
    head: ['to reach', 'is', 'wanted', 'reached'],
    rows: targets.map(({ what, value, unit, limit, atLeast, verdict }) => [
      what,
      Number.isFinite(value) ? `${value.toFixed(2)} ${unit}` : '–',
      `${atLeast ? '≥' : '≤'} ${limit} ${unit}`,
      verdicts[verdict],
    ]),
  }
}

/** By what was done meanwhile. */
export function holds(loop: Readonly<Record<string, readonly LoopDelay[]>>): Table {
  return {
    head: ['event loop held, ms', 'longest', 'median of runs', 'perf_hooks', 'longest collection'],
    rows: Object.entries(loop).map(([name, delays]) => {
      const { timerMilliseconds, histogramMilliseconds, collectionMilliseconds } = worst(delays)
      const middle = median(delays.map((delay) => delay.timerMilliseconds))
      return [name, ...[timerMilliseconds, middle, histogramMilliseconds, collectionMilliseconds].map(tenths)]
    }),
  }
}

export const tenths = (value: number): string => value.toFixed(1)
export const ratio = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ×`
export const grouped = (value: number): string => value.toLocaleString('en-US')

export function seconds(value: number): string {
  return value < 1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(2)} s`
}

export function spread(values: readonly number[]): string {
  return `${seconds(Math.min(...values))} – ${seconds(Math.max(...values))}`
}

/** The first column to the left, the others to the right. */
function aligned({ head, rows }: Table): { readonly widths: number[]; readonly lines: string[][] } {
  const widths = head.map((title, column) =>
    Math.max(title.length, 3, ...rows.map((row) => row[column]!.length)),
  )
  const lines = [head, ...rows].map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))),
  )
  return { widths, lines }
}

function plain(table: Table): string[] {
  const { widths, lines } = aligned(table)
  const [head, ...rows] = lines.map((cells) => cells.join('   ').trimEnd())
  return [head!, widths.map((width) => '─'.repeat(width)).join('───'), ...rows]
}

function piped(table: Table): string[] {
  const { widths, lines } = aligned(table)
  const [head, ...rows] = lines.map((cells) => `| ${cells.join(' | ')} |`)
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [head!, `| ${rule.join(' | ')} |`, ...rows]
}

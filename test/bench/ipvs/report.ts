/** The figures as a table with ratios and what was to be reached, and where the time goes. */
import type { Figure, GuestResults, Watched } from './guest.js'
import type { HostResults } from './host.js'
import { type LoopDelay, median, worst } from './measure.js'

export interface Results {
  readonly where: string
  readonly kernel: string
  readonly node: string
  readonly loadAverage: number
  readonly services: number
  readonly destinationsEach: number
  readonly runs: number
  readonly host: HostResults
  readonly guest: GuestResults
}

/** One thing to reach. */
export interface Target {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly limit: number
  readonly atLeast: boolean
  readonly reached: boolean
}

/** The event loop must never be held longer by any of it. */
const longestHoldMilliseconds = 25

export function targetsOf({ guest, host }: Results): Target[] {
  const of = (name: Figure): number => median(guest.figures[name])
  const floor = floorOf(guest)
  const targets: Target[] = []
  const atMost = (what: string, value: number, unit: string, limit: number): void => {
    if (Number.isNaN(value)) return
    targets.push({ what, value, unit, limit, atLeast: false, reached: value <= limit })
  }
  const atLeast = (what: string, value: number, unit: string, limit: number): void => {
    if (Number.isNaN(value)) return
    targets.push({ what, value, unit, limit, atLeast: true, reached: value >= limit })
  }
  atMost('load, warm, to the floor', of('load warm') / floor, '×', 2)
  atMost('load, cold process, to the floor', of('load cold') / floor, '×', 6)
  atLeast('load, warm, faster than ipvsadm -R', of('load ipvsadm -R') / of('load warm'), '×', 60)
  atMost('encoder on the host, a command', median(host.encodeMicroseconds), 'µs', 1)
  atMost('resident memory after the load', of('resident MB'), 'MB', 200)
  atLeast('-Ln, faster than ipvsadm -Ln', of('-Ln ipvsadm') / of('print'), '×', 8)
  atMost('full list, to the C program', of('list') / of('list C'), '×', 1.8)
  atMost('one change, to the C program', of('change µs') / of('change C µs'), '×', 1.3)
  atMost(
    'exchange on the host, to C',
    median(host.exchangeMicroseconds) / median(host.exchangeCMicroseconds),
    '×',
    2,
  )
  const { idle: _, ...ours } = guest.loop
  const holds = Object.values(ours).flat()
  atMost('event loop held, the longest', worst(holds).timerMilliseconds, 'ms', longestHoldMilliseconds)
  atMost("import 'viaduct'", median(host.importMilliseconds), 'ms', 30)
  return targets
}

function floorOf({ figures }: GuestResults): number {
  return Math.min(median(figures['load C 256']), median(figures['load C 2048']))
}

export function format(results: Results): string {
  const { guest, host, services, destinationsEach, runs, where, kernel, node, loadAverage } = results
  const of = (name: Figure): number => median(guest.figures[name])
  const { commands } = guest
  const floor = floorOf(guest)
  const lines = [
    `IPVS: ${grouped(services)} services of ${destinationsEach} destinations, ${grouped(commands)} commands.`,
    `${where}, Linux ${kernel}, Node ${node}; each case in a fresh namespace; medians of ${runs}.`,
  ]
  if (loadAverage > 1) lines.push(`The machine was busy with other things (load ${loadAverage.toFixed(1)}).`)

  const load = (name: string, figure: Figure): string[] => [
    name,
    seconds(of(figure)),
    `${grouped(Math.round(commands / of(figure)))}/s`,
    ratio(of(figure) / floor),
    spread(guest.figures[figure]),
  ]
  lines.push(
    '',
    ...table(
      ['load', 'time', 'commands', 'to the floor', 'from to'],
      [
        load('C, prebuilt bytes, 256 a send', 'load C 256'),
        load('C, prebuilt bytes, 2,048 a send', 'load C 2048'),
        load('viaduct, warm', 'load warm'),
        load('viaduct, cold process', 'load cold'),
        load('the same with the process itself', 'load cold process'),
        ...(guest.figures['load ipvsadm -R'].length > 0 ? [load('ipvsadm -R', 'load ipvsadm -R')] : []),
      ],
    ),
  )

  const against = (name: string, figure: Figure, base: Figure): string[] => [
    name,
    seconds(of(figure)),
    ratio(of(figure) / of(base)),
    spread(guest.figures[figure]),
  ]
  lines.push(
    '',
    ...table(
      ['full list with 64-bit statistics', 'time', 'to C', 'from to'],
      [against('C, all dumps', 'list C', 'list C'), against('viaduct, ipvs.list()', 'list', 'list C')],
    ),
    '',
    ...table(
      ['what -Ln prints', 'time', 'to ipvsadm', 'from to'],
      [
        against('ipvsadm -Ln', '-Ln ipvsadm', '-Ln ipvsadm'),
        against('viaduct, in the process', 'print', '-Ln ipvsadm'),
      ],
    ),
    '',
    ...table(
      ['one request', 'time', 'to C', 'from to'],
      [
        request(
          'one change on the full table, C',
          guest.figures['change C µs'],
          guest.figures['change C µs'],
        ),
        request('  viaduct, setDestination()', guest.figures['change µs'], guest.figures['change C µs']),
        request('GETFAMILY on the host, C', host.exchangeCMicroseconds, host.exchangeCMicroseconds),
        request('  viaduct, exchange', host.exchangeMicroseconds, host.exchangeCMicroseconds),
        request('  viaduct, encoded, awaited, decoded', host.requestMicroseconds, host.exchangeCMicroseconds),
      ],
    ),
    '',
    ...table(
      ['event loop held (ms)', 'longest by run', 'perf_hooks'],
      Object.entries(guest.loop).map(([name, delays]) => hold(name as Watched, delays)),
    ),
    '',
    ...table(
      ['to reach', 'is', 'wanted', ''],
      targetsOf(results).map(({ what, value, unit, limit, atLeast, reached }) => [
        what,
        `${value.toFixed(2)} ${unit}`,
        `${atLeast ? '≥' : '≤'} ${limit} ${unit}`,
        reached ? 'yes' : 'NO',
      ]),
    ),
    '',
    ...whereTheTimeGoes(results),
  )
  return `${lines.join('\n')}\n`
}

/**
 * What each of ours consists of: what any program has, and what is ours. Memory that is touched for the first time is
 * part of the other lines; in user-mode Linux a page of it costs as much as many system calls.
 */
function whereTheTimeGoes({ guest }: Results): string[] {
  const of = (name: Figure): number => median(guest.figures[name])
  const floor = floorOf(guest)
  const share = (name: string, part: number, whole: number): string[] => [
    name,
    seconds(part),
    `${((part / whole) * 100).toFixed(0)} %`,
  ]
  const touched = (name: Figure): string[] => {
    const pages = median(guest.faults[name] ?? [])
    const cost = of('touch µs')
    return share(
      `  (memory touched first: ${grouped(Math.round(pages))} pages of ${cost.toFixed(1)} µs)`,
      (pages * cost) / 1e6,
      of(name),
    )
  }
  return table(
    ['where the time goes', 'time', 'share'],
    [
      share('load, warm', of('load warm'), of('load warm')),
      share('  kernel (the floor)', floor, of('load warm')),
      share('  from objects to bytes', of('encode'), of('load warm')),
      share('  the rest: sends and replies', of('load warm') - floor - of('encode'), of('load warm')),
      touched('load warm'),
      share('load, cold process', of('load cold'), of('load cold')),
      share('  more than warm: compiling', of('load cold') - of('load warm'), of('load cold')),
      touched('load cold'),
      share('full list', of('list'), of('list')),
      share('  kernel and copying, replies left as bytes', of('bytes'), of('list')),
      share('  the rest: from bytes to objects', of('list') - of('bytes'), of('list')),
      touched('list'),
      share('-Ln', of('print'), of('print')),
      share('  reading /proc/net/ip_vs', of('proc'), of('print')),
      share('  the rest: parsing, sorting, printing', of('print') - of('proc'), of('print')),
      touched('print'),
    ],
  )
}

function request(name: string, values: readonly number[], base: readonly number[]): string[] {
  return [
    name,
    `${median(values).toFixed(1)} µs`,
    ratio(median(values) / median(base)),
    `${Math.min(...values).toFixed(1)} – ${Math.max(...values).toFixed(1)}`,
  ]
}

function hold(name: Watched, delays: readonly LoopDelay[]): string[] {
  return [
    name,
    delays.map(({ timerMilliseconds }) => timerMilliseconds.toFixed(1)).join('  '),
    worst(delays).histogramMilliseconds.toFixed(1),
  ]
}

const ratio = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ×`
const grouped = (value: number): string => value.toLocaleString('en-US')

function seconds(value: number): string {
  return value < 1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(2)} s`
}

function spread(values: readonly number[]): string {
  return `${seconds(Math.min(...values))} – ${seconds(Math.max(...values))}`
}

/** The first column to the left, the others to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('   ')
      .trimEnd()
  return [line(head), widths.map((width) => '─'.repeat(width)).join('───'), ...rows.map(line)]
}

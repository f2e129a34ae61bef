/** The figures as tables with ratios and what was to be reached, and where the time goes. */
import { median } from '../measure.js'
import { busy, type Machine } from '../program.js'
import * as tables from '../tables.js'
import { grouped, holds, ratio, seconds, spread, type Table, toReach } from '../tables.js'
import type { Figure, GuestResults } from './guest.js'
import type { HostResults } from './host.js'
import { floorOf, targetsOf } from './targets.js'

export interface Results {
  readonly where: string
  /** The host. */
  readonly machine: Machine
  readonly services: number
  readonly destinationsEach: number
  readonly runs: number
  readonly withoutRestore: boolean
  readonly host: HostResults
  readonly guest: GuestResults
}

/** For a terminal. */
export const text = (results: Results): string => tables.text(about(results), tablesOf(results))

/** For docs/performance.md. */
export const markdown = (results: Results): string => tables.markdown(about(results), tablesOf(results))

function about({ guest, services, destinationsEach, runs, where, machine }: Results): string[] {
  const { kernel, processor, processors, node } = machine
  return [
    `${grouped(services)} services of ${destinationsEach} destinations, ${grouped(guest.commands)} commands, in ${where}`,
    `(Linux ${guest.kernel}) on Linux ${kernel}, ${processors} × ${processor}, Node ${node}.`,
    `Each case in a fresh namespace; medians of ${runs}.`,
    ...busy(machine),
  ]
}

function tablesOf(results: Results): Table[] {
  const { guest, host } = results
  return [
    toReach(targetsOf(results)),
    loads(results),
    {
      head: ['full list with 64-bit statistics', 'time', 'to C', 'from – to'],
      rows: [
        against(guest, 'C, all dumps', 'list C', 'list C'),
        against(guest, 'viaduct, ipvs.list()', 'list', 'list C'),
      ],
    },
    {
      head: ['what -Ln prints', 'time', 'to ipvsadm', 'from – to'],
      rows: [
        against(guest, 'ipvsadm -Ln', '-Ln ipvsadm', '-Ln ipvsadm'),
        against(guest, 'viaduct, in the process', 'print', '-Ln ipvsadm'),
      ],
    },
    {
      head: ['one request', 'time', 'to C', 'from – to'],
      rows: [
        ...oneChange(guest),
        request('GETFAMILY on the host, C', host.exchangeCMicroseconds, host.exchangeCMicroseconds),
        request('viaduct, exchange', host.exchangeMicroseconds, host.exchangeCMicroseconds),
        request('viaduct, encoded, awaited, decoded', host.requestMicroseconds, host.exchangeCMicroseconds),
      ],
    },
    holds({ ...guest.loop, ...host.loop }),
    whereTheTimeGoes(results),
  ]
}

function loads({ guest }: Results): Table {
  const { commands } = guest
  const floor = floorOf(guest)
  const load = (name: string, figure: Figure): string[] => {
    const time = median(guest.figures[figure])
    return [
      name,
      seconds(time),
      `${grouped(Math.round(commands / time))}/s`,
      ratio(time / floor),
      spread(guest.figures[figure]),
    ]
  }
  return {
    head: ['load', 'time', 'commands', 'to the floor', 'from – to'],
    rows: [
      load('C, prebuilt bytes, 256 a send', 'load C 256'),
      load('C, prebuilt bytes, 2,048 a send', 'load C 2048'),
      load('viaduct, warm', 'load warm'),
      load('viaduct, cold process, from its start to its end', 'load cold process'),
      load('of that, ipvs.apply()', 'cold apply'),
      ...(guest.figures['load ipvsadm -R'].length > 0 ? [load('ipvsadm -R', 'load ipvsadm -R')] : []),
    ],
  }
}

function oneChange({ figures }: GuestResults): string[][] {
  const base = figures['change C µs']
  return [
    request('one change on the full table, C', base, base),
    request('viaduct, setDestination(), in turns', figures['change µs'], base),
    request('viaduct, 5,000 in a row', figures['changes in a row µs'], base),
  ]
}

/**
 * What each of ours consists of: what any program has, and what is ours. Memory that is touched for the first time is
 * part of the other lines; in user-mode Linux a page of it costs as much as many system calls.
 */
function whereTheTimeGoes({ guest }: Results): Table {
  const of = (name: Figure): number => median(guest.figures[name])
  const floor = floorOf(guest)
  const share = (name: string, part: number, whole: Figure): string[] => [
    name,
    seconds(part),
    `${((part / of(whole)) * 100).toFixed(0)} %`,
  ]
  const touched = (name: Figure, whole = name): string[] => {
    const pages = median(guest.faults[name] ?? [])
    const cost = of('touch µs')
    return share(
      `– memory touched first: ${grouped(Math.round(pages))} pages of ${cost.toFixed(1)} µs`,
      (pages * cost) / 1e6,
      whole,
    )
  }
  const inside =
    of('cold start') + of('cold import') + of('cold objects') + of('cold open') + of('cold apply')
  return {
    head: ['where the time goes', 'time', 'share'],
    rows: [
      share('load, warm', of('load warm'), 'load warm'),
      share('– kernel (the floor)', floor, 'load warm'),
      share('– from objects to bytes', of('encode'), 'load warm'),
      share('– the rest: sends and replies', of('load warm') - floor - of('encode'), 'load warm'),
      touched('load warm'),
      share('load, cold process', of('load cold process'), 'load cold process'),
      share('– Node starts', of('cold start'), 'load cold process'),
      share("– import 'viaduct'", of('cold import'), 'load cold process'),
      share('– the program makes its objects', of('cold objects'), 'load cold process'),
      share('– Ipvs.open(), with the addon', of('cold open'), 'load cold process'),
      share('– ipvs.apply(), as warm', of('load warm'), 'load cold process'),
      share('– ipvs.apply(), compiling', of('cold apply') - of('load warm'), 'load cold process'),
      share('– exec, and the end', of('load cold process') - inside, 'load cold process'),
      touched('cold apply', 'load cold process'),
      share('full list', of('list'), 'list'),
      share('– kernel and copying, replies left as bytes', of('bytes'), 'list'),
      share('– the rest: from bytes to objects', of('list') - of('bytes'), 'list'),
      touched('list'),
      share('-Ln', of('print'), 'print'),
      share('– reading /proc/net/ip_vs', of('proc'), 'print'),
      share('– the rest: parsing, sorting, printing', of('print') - of('proc'), 'print'),
      touched('print'),
    ],
  }
}

function against({ figures }: GuestResults, name: string, figure: Figure, base: Figure): string[] {
  const time = median(figures[figure])
  return [name, seconds(time), ratio(time / median(figures[base])), spread(figures[figure])]
}

function request(name: string, values: readonly number[], base: readonly number[]): string[] {
  return [
    name,
    `${median(values).toFixed(1)} µs`,
    ratio(median(values) / median(base)),
    `${Math.min(...values).toFixed(1)} – ${Math.max(...values).toFixed(1)}`,
  ]
}

/** What the benchmark is to reach, and whether it does. */
import { median, worst } from '../measure.js'
import { atLeast, atMost, longestHoldMilliseconds, type Target } from '../target.js'
import type { Figure, GuestResults } from './guest.js'
import type { Results } from './report.js'

export function targetsOf({ guest, host, withoutRestore }: Results): Target[] {
  const of = (name: Figure): number => median(guest.figures[name])
  const floor = floorOf(guest)
  const { idle: _, ...ours } = guest.loop
  const holds = [...Object.values(ours), ...Object.values(host.loop)].flat()
  const restore = atLeast('load, warm, faster than ipvsadm -R', 60, '×')
  return [
    atMost('load, warm, to the floor', 2, '×')(of('load warm') / floor),
    atMost('load, cold process, to the floor', 6, '×')(of('load cold process') / floor),
    withoutRestore
      ? { ...restore(NaN), verdict: 'left out' }
      : restore(of('load ipvsadm -R') / of('load warm')),
    atMost('encoder on the host, a command', 1, 'µs')(median(host.encodeMicroseconds)),
    atMost('resident memory after the load', 200, 'MB')(of('resident MB')),
    atLeast('-Ln, faster than ipvsadm -Ln', 8, '×')(of('-Ln ipvsadm') / of('print')),
    atMost('full list, to the C program', 1.8, '×')(of('list') / of('list C')),
    atMost('one change, to the C program', 1.3, '×')(of('change µs') / of('change C µs')),
    atMost(
      'exchange on the host, to C',
      2,
      '×',
    )(median(host.exchangeMicroseconds) / median(host.exchangeCMicroseconds)),
    atMost(
      'event loop held, the longest',
      longestHoldMilliseconds,
      'ms',
    )(holds.length === 0 ? NaN : worst(holds).timerMilliseconds),
    atMost("import 'viaduct'", 30, 'ms')(median(host.importMilliseconds)),
  ]
}

/** What the kernel takes for the whole table: the better of two sizes of sends. */
export function floorOf({ figures }: GuestResults): number {
  return Math.min(median(figures['load C 256']), median(figures['load C 2048']))
}

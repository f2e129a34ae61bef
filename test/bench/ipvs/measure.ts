/** Clocks, medians, and how long the event loop was held. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The longest times that the event loop was not turning, in milliseconds. */
export interface LoopDelay {
  /** perf_hooks.monitorEventLoopDelay: its timer, sampled each millisecond. */
  readonly histogramMilliseconds: number
  /** The longest time between two ticks of a timer of one millisecond, less that millisecond. */
  readonly timerMilliseconds: number
}

export interface Timed<T> {
  readonly seconds: number
  readonly loop: LoopDelay
  readonly result: T
}

/** Runs it once, with both watches on. */
export async function timed<T>(work: () => Promise<T>): Promise<Timed<T>> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  // The watches start with a turn of their own, so that they do not measure what came before.
  await new Promise((resolve) => setTimeout(resolve, 5))
  histogram.enable()
  let last = performance.now()
  let longest = 0
  const tick = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last - 1)
    last = now
  }
  const timer = setInterval(tick, 1)
  await new Promise((resolve) => setTimeout(resolve, 2))
  const start = performance.now()
  const result = await work()
  const seconds = (performance.now() - start) / 1000
  tick()
  clearInterval(timer)
  histogram.disable()
  // Its `max` counts the interval too.
  const histogramMilliseconds = Math.max(0, histogram.max / 1e6 - 1)
  return { seconds, loop: { histogramMilliseconds, timerMilliseconds: longest }, result }
}

/** How many pages the case `touch` touches for the first time. */
export const touchedPages = 2048

export function worst(delays: readonly LoopDelay[]): LoopDelay {
  return {
    histogramMilliseconds: Math.max(...delays.map((delay) => delay.histogramMilliseconds)),
    timerMilliseconds: Math.max(...delays.map((delay) => delay.timerMilliseconds)),
  }
}

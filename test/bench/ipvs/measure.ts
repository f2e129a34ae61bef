/** Clocks, medians, and how long the event loop was held. */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'

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
  /** The longest time that the engine stopped to collect garbage: part of the others. */
  readonly collectionMilliseconds: number
}

export interface Timed<T> {
  readonly seconds: number
  readonly loop: LoopDelay
  readonly result: T
}

/** Two watches on the event loop, until they are stopped. What holds it up to that moment is in. */
export function watchLoop(): { readonly stop: () => LoopDelay } {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  let last = performance.now()
  let longest = 0
  const tick = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last - 1)
    last = now
  }
  const timer = setInterval(tick, 1)
  let collectionMilliseconds = 0
  const look = (entries: readonly { readonly duration: number }[]): void => {
    for (const { duration } of entries) collectionMilliseconds = Math.max(collectionMilliseconds, duration)
  }
  const observer = new PerformanceObserver((list) => look(list.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  return {
    stop() {
      tick()
      clearInterval(timer)
      histogram.disable()
      look(observer.takeRecords())
      observer.disconnect()
      // Its `max` counts the interval too.
      const histogramMilliseconds = Math.max(0, histogram.max / 1e6 - 1)
      return { histogramMilliseconds, timerMilliseconds: longest, collectionMilliseconds }
    },
  }
}

/** Runs it once, with both watches on. */
export async function timed<T>(work: () => Promise<T>): Promise<Timed<T>> {
  // The watches start with a turn of their own, so that they do not measure what came before.
  await new Promise((resolve) => setTimeout(resolve, 5))
  const watch = watchLoop()
  await new Promise((resolve) => setTimeout(resolve, 2))
  const start = performance.now()
  const result = await work()
  const seconds = (performance.now() - start) / 1000
  return { seconds, loop: watch.stop(), result }
}

/** How many pages the case `touch` touches for the first time. */
export const touchedPages = 2048

/** The worst of each. */
export function worst(delays: readonly LoopDelay[]): LoopDelay {
  const most = (of: (delay: LoopDelay) => number): number => Math.max(...delays.map(of))
  return {
    histogramMilliseconds: most((delay) => delay.histogramMilliseconds),
    timerMilliseconds: most((delay) => delay.timerMilliseconds),
    collectionMilliseconds: most((delay) => delay.collectionMilliseconds),
  }
}

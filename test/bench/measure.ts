/** Clocks, medians, and how long the event loop was held. */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value that so great a part of them does not exceed. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
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

/**
 * How long it takes; or, with the watches on, how long it holds the event loop. Not both at once: the watches wake it a
 * thousand times a second, which in user-mode Linux costs a fifth of what is done meanwhile on a thread.
 */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  // With a turn of its own, so that what came before is not in it.
  await new Promise((resolve) => setTimeout(resolve, 5))
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

export async function watched(work: () => Promise<unknown>): Promise<LoopDelay> {
  await new Promise((resolve) => setTimeout(resolve, 5))
  const watch = watchLoop()
  await new Promise((resolve) => setTimeout(resolve, 2))
  await work()
  return watch.stop()
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

/** Events of a monitor as a test waits for them. */
import type { HealthEvent, HealthMonitor } from '../../../src/health/index.js'

/** Collects events from when it is made. */
export class HealthLog {
  readonly events: HealthEvent[] = []
  readonly #waiting = new Set<() => void>()

  constructor(monitor: HealthMonitor) {
    void this.#read(monitor.events())
  }

  /** Resolves at the event that fits, be it there already or still to come. */
  async until(event: HealthEvent['event'], address?: string, from = 0): Promise<HealthEvent> {
    for (;;) {
      const found = this.events
        .slice(from)
        .find((one) => one.event === event && (address === undefined || one.server?.address === address))
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  async #read(events: AsyncIterable<HealthEvent | { readonly event: 'resynchronise' }>): Promise<void> {
    for await (const event of events) {
      if (event.event !== 'resynchronise') this.events.push(event)
      const waiting = [...this.#waiting]
      this.#waiting.clear()
      for (const resolve of waiting) resolve()
    }
  }
}

/** Who has a say in which of a service's servers get connections: health checks, or whatever a program knows of them. */
import type { ServiceChange, VirtualService } from '../model/index.js'

/** Asked for each virtual service before it is programmed. Where `shape` throws, that is told as the service's error, and it is
 * programmed as the model has it. */
export interface ServiceShaper {
  /** What the model has changed, before `shape` is asked for it. Not to throw. */
  change?(change: ServiceChange): void
  /** The service as it is to be programmed: with other servers, weights or those that are drained. Its key stays. */
  shape(service: VirtualService): VirtualService
  /**
   * Tells keys of services for which `shape` would say something else now.
   * @returns what calls it off
   */
  watch(changed: (keys: readonly string[]) => void): () => void
}

/** Several in one: each shapes what the one before made of it. */
export function joinShapers(...shapers: readonly ServiceShaper[]): ServiceShaper {
  return {
    change: (change) => {
      for (const shaper of shapers) shaper.change?.(change)
    },
    shape: (service) => shapers.reduce((shaped, shaper) => shaper.shape(shaped), service),
    watch: (changed) => {
      const stops = shapers.map((shaper) => shaper.watch(changed))
      return () => {
        for (const stop of stops) stop()
      }
    },
  }
}

/**
 * Many requests may wait with one signal, the one that ends a whole program. Each with a listener of its own, Node would
 * warn of a leak from the eleventh on: here all that wait share one, which stays as long as the signal does.
 */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `act` when the signal is aborted, unless the returned function was called before. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  let acts = waiting.get(signal)
  if (acts === undefined) {
    const all = new Set<() => void>()
    signal.addEventListener('abort', () => all.forEach((one) => one()), { once: true })
    waiting.set(signal, all)
    acts = all
  }
  acts.add(act)
  return () => void acts.delete(act)
}

/** What comes from a source: all objects at the start, then changes; after a break, all again. */
import type { ModelObject, ObjectReference } from '../model/index.js'
import { keyOf, referenceOf } from '../sources/reference.js'
import type { Source, SourceProblem } from '../sources/source.js'
import { Backoff } from './backoff.js'

/** Who takes it. */
export interface Taker {
  upsert(object: ModelObject): void
  delete(reference: ObjectReference): void
  /** Everything that is wrong at a place now. */
  problems(place: string, problems: readonly SourceProblem[]): void
  /** It does not answer, and is asked again. */
  failed(error: Error): void
  /** All that it has was given, and this is all that is wrong there. */
  listed(problems: readonly SourceProblem[]): void
}

/** Until the signal is aborted. */
export async function follow(source: Source, taker: Taker, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff()
  let known = new Map<string, ObjectReference>()
  for (;;) {
    try {
      const { revision, objects, problems } = await source.list({ signal })
      const now = new Map<string, ObjectReference>()
      for (const object of objects) {
        taker.upsert(object)
        const reference = nameOf(object)
        if (reference !== undefined) now.set(keyOf(reference), reference)
      }
      for (const [key, reference] of known) if (!now.has(key)) taker.delete(reference)
      known = now
      backoff.succeed()
      taker.listed(problems)
      for await (const event of source.watch(revision, { signal })) {
        if (event.event === 'resynchronise') break
        if (event.event === 'problems') taker.problems(event.place, event.problems)
        else if (event.event === 'deleted') {
          known.delete(keyOf(event.reference))
          taker.delete(event.reference)
        } else {
          const reference = nameOf(event.object)
          if (reference !== undefined) known.set(keyOf(reference), reference)
          taker.upsert(event.object)
        }
      }
    } catch (error) {
      if (signal.aborted) return
      taker.failed(error as Error)
      await pause(backoff.fail(), signal)
    }
    if (signal.aborted) return
  }
}

/** The model says what is wrong with one that has no name. */
function nameOf(object: ModelObject): ObjectReference | undefined {
  try {
    return referenceOf(object)
  } catch {
    return undefined
  }
}

/** Over when the time is, or the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal.addEventListener('abort', done)
  })
}

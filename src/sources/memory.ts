/** Objects that a program puts in. */
import { isDeepStrictEqual } from 'node:util'
import type { LoadBalancerStatus } from 'kubernetes-types/core/v1.js'
import { ValidationError } from '../errors/index.js'
import type { ModelObject, ObjectReference } from '../model/index.js'
import { Journal, leavable, usualHistory } from './journal.js'
import { formatReference, keyOf, referenceOf } from './reference.js'
import type { Source, SourceEvent, SourceList, SourceOptions, SourceProblem, StatusWriter } from './source.js'

/** How a MemorySource is made. */
export interface MemorySourceOptions {
  /** How many events are kept for watchers; who falls back further is told to resynchronise. 4,096 unless said. */
  readonly history?: number | undefined
}

/**
 * Objects that a program puts in. They are kept as they are given: give another one instead of changing one. Nothing is
 * copied for a watcher, so a slow one costs no memory beyond `history`.
 */
export class MemorySource implements Source, StatusWriter {
  readonly #objects = new Map<string, ModelObject>()
  readonly #problems = new Map<string, readonly SourceProblem[]>()
  readonly #journal: Journal

  /** @throws ValidationError as `replaceAll` does */
  constructor(objects: Iterable<ModelObject> = [], { history = usualHistory }: MemorySourceOptions = {}) {
    this.#journal = new Journal(history)
    this.replaceAll(objects)
  }

  /**
   * Puts an object in, in place of the one of the same name. One that is no different is no event.
   *
   * @throws ValidationError if it has no name, or a kind that is none of ours
   */
  upsert(object: ModelObject): void {
    this.#upsert(keyOf(referenceOf(object)), object)
  }

  /** Takes an object out. @returns whether it was there */
  delete(reference: ObjectReference): boolean {
    const key = keyOf(reference)
    const object = this.#objects.get(key)
    if (object === undefined) return false
    this.#objects.delete(key)
    this.#journal.append({ event: 'deleted', reference: referenceOf(object) })
    return true
  }

  /**
   * These objects and no others: what is not among them is deleted, and then what differs is put in.
   *
   * @throws ValidationError if one has no name or is there twice; nothing is changed then
   */
  replaceAll(objects: Iterable<ModelObject>): void {
    const next = new Map<string, ModelObject>()
    for (const object of objects) {
      const reference = referenceOf(object)
      const key = keyOf(reference)
      if (next.has(key))
        throw new ValidationError(`objects[${next.size}]`, formatReference(reference), 'each object once')
      next.set(key, object)
    }
    for (const [key, object] of this.#objects) if (!next.has(key)) this.delete(referenceOf(object))
    for (const [key, object] of next) this.#upsert(key, object)
  }

  /** All that is wrong at a place, instead of what was said of it before: what the program could not read, say. */
  setProblems(place: string, problems: readonly SourceProblem[]): void {
    if (isDeepStrictEqual(this.#problems.get(place) ?? [], problems)) return
    if (problems.length === 0) this.#problems.delete(place)
    else this.#problems.set(place, problems)
    this.#journal.append({ event: 'problems', place, problems })
  }

  /** Puts another object in the place of the Service, with this status. */
  // eslint-disable-next-line @typescript-eslint/require-await -- other sources ask somebody
  async writeLoadBalancer(reference: ObjectReference, status: LoadBalancerStatus): Promise<void> {
    const key = keyOf(reference)
    const object = this.#objects.get(key)
    if (object === undefined || !('kind' in object) || object.kind !== 'Service') return
    this.#upsert(key, { ...object, status: { ...object.status, loadBalancer: status } })
  }

  /** All objects, and the revision that `watch` goes on from. @throws the reason of the signal */
  async list({ signal }: SourceOptions = {}): Promise<SourceList> {
    signal?.throwIfAborted()
    return await Promise.resolve({
      revision: this.#journal.revision,
      objects: [...this.#objects.values()],
      problems: [...this.#problems.values()].flat(),
    })
  }

  /** What changed since the revision: see Source. */
  watch(revision: string, { signal }: SourceOptions = {}): AsyncIterableIterator<SourceEvent> {
    return leavable((left) => this.#journal.after(revision, signal, left))
  }

  #upsert(key: string, object: ModelObject): void {
    const before = this.#objects.get(key)
    if (before === object || isDeepStrictEqual(before, object)) return
    this.#objects.set(key, object)
    this.#journal.append({ event: 'upserted', object })
  }
}

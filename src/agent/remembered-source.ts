/**
 * A source whose objects are known from before. As long as something cannot be read at a start, what was there the last time
 * stands for it; once all is sound, what is not there any more goes.
 */
import type { ModelObject } from '../model/index.js'
import { keyOf, referenceOf } from '../sources/reference.js'
import type {
  Source,
  SourceEvent,
  SourceList,
  SourceOptions,
  SourcePlace,
  SourceProblem,
} from '../sources/source.js'

export class RememberedSource implements Source {
  readonly #source: Source
  /** As they are passed on; before the first list those of before. */
  readonly #objects = new Map<string, ModelObject>()
  /** Of before, that nobody has seen since. */
  readonly #remembered = new Map<string, ModelObject>()
  /** Where something cannot be read. */
  #broken = new Set<string>()
  readonly #changed: () => void
  readonly #prepare: (object: ModelObject) => Promise<void>

  /**
   * @param changed  Called when `objects` are others.
   * @param prepare  Waited for before an object is passed on.
   */
  constructor(
    source: Source,
    remembered: Iterable<ModelObject>,
    changed: () => void = () => undefined,
    prepare: (object: ModelObject) => Promise<void> = () => Promise.resolve(),
  ) {
    this.#source = source
    this.#changed = changed
    this.#prepare = prepare
    for (const object of remembered) {
      try {
        const key = keyOf(referenceOf(object))
        this.#remembered.set(key, object)
        this.#objects.set(key, object)
      } catch {
        // It has no name: it was never one of ours.
      }
    }
  }

  /** All there are, those of before, too. */
  get objects(): readonly ModelObject[] {
    return [...this.#objects.values()]
  }

  async list(options?: SourceOptions): Promise<SourceList> {
    const { revision, objects, problems } = await this.#source.list(options)
    this.#broken = new Set(problems.filter(isError).map(({ place }) => place))
    this.#objects.clear()
    for (const object of objects) {
      const key = keyOf(referenceOf(object))
      this.#objects.set(key, object)
      this.#remembered.delete(key)
    }
    if (this.#broken.size === 0) this.#remembered.clear()
    for (const [key, object] of this.#remembered) this.#objects.set(key, object)
    this.#changed()
    return { revision, objects: this.objects, problems }
  }

  async *watch(revision: string, options?: SourceOptions): AsyncIterableIterator<SourceEvent> {
    for await (const event of this.#source.watch(revision, options)) {
      if (event.event === 'upserted') await this.#prepare(event.object)
      yield event
      if (event.event === 'upserted') {
        const key = keyOf(referenceOf(event.object))
        this.#objects.set(key, event.object)
        this.#remembered.delete(key)
        this.#changed()
      } else if (event.event === 'deleted') {
        const key = keyOf(event.reference)
        this.#objects.delete(key)
        this.#remembered.delete(key)
        this.#changed()
      } else if (event.event === 'problems') {
        if (event.problems.some(isError)) this.#broken.add(event.place)
        else this.#broken.delete(event.place)
        if (this.#broken.size > 0 || this.#remembered.size === 0) continue
        const gone = [...this.#remembered]
        this.#remembered.clear()
        for (const [key] of gone) this.#objects.delete(key)
        this.#changed()
        for (const [, object] of gone)
          yield { event: 'deleted', reference: referenceOf(object), revision: event.revision }
      }
    }
  }

  async locate(
    reference: Parameters<NonNullable<Source['locate']>>[0],
    path?: string,
  ): Promise<SourcePlace | undefined> {
    return this.#source.locate?.(reference, path)
  }
}

function isError({ severity }: SourceProblem): boolean {
  return severity === 'error'
}

/** Several sources as one, for who takes one alone. */
import type { ModelObject, ObjectReference } from '../model/index.js'
import type {
  Source,
  SourceEvent,
  SourceList,
  SourceOptions,
  SourcePlace,
  SourceProblem,
} from '../sources/source.js'

/** Objects of two of them must have different names, as for a Reconciler that follows both. */
export class JoinedSource implements Source {
  readonly #sources: readonly Source[]

  constructor(sources: readonly Source[]) {
    this.#sources = sources
  }

  async list(options?: SourceOptions): Promise<SourceList> {
    const revisions: string[] = []
    const objects: ModelObject[] = []
    const problems: SourceProblem[] = []
    for (const list of await Promise.all(this.#sources.map((source) => source.list(options)))) {
      revisions.push(list.revision)
      for (const object of list.objects) objects.push(object)
      problems.push(...list.problems)
    }
    return { revision: JSON.stringify(revisions), objects, problems }
  }

  /** Ends with the first that ends. */
  async *watch(revision: string, { signal }: SourceOptions = {}): AsyncIterableIterator<SourceEvent> {
    const revisions = JSON.parse(revision) as string[]
    const ending = new AbortController()
    const until = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal])
    const queue: SourceEvent[] = []
    let isOver = false
    let failure: { readonly error: unknown } | undefined
    let wake = (): void => undefined
    const read = async (source: Source, at: number): Promise<void> => {
      try {
        for await (const event of source.watch(revisions[at]!, { signal: until })) {
          if (event.event === 'resynchronise') queue.push(event)
          else {
            revisions[at] = event.revision
            queue.push({ ...event, revision: JSON.stringify(revisions) })
          }
          wake()
        }
      } catch (error) {
        failure ??= { error }
      }
      isOver = true
      wake()
    }
    const reading = this.#sources.map(read)
    try {
      for (;;) {
        for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
          yield event
          if (event.event === 'resynchronise') return
        }
        if (isOver) break
        await new Promise<void>((resolve) => (wake = resolve))
      }
      // One that ended of itself has no more to say of what it holds.
      if (failure === undefined) yield { event: 'resynchronise' }
      else throw failure.error
    } finally {
      ending.abort()
      await Promise.all(reading)
    }
  }

  async locate(reference: ObjectReference, path?: string): Promise<SourcePlace | undefined> {
    for (const source of this.#sources) {
      const at = await source.locate?.(reference, path)
      if (at !== undefined) return at
    }
    return undefined
  }
}

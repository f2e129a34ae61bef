/** Where desired objects come from. */
import type { ModelObject, ObjectReference } from '../model/index.js'

/** Tells which objects there are: all at one moment, and from then on what changes. */
export interface Source {
  /** All objects, and the revision that `watch` goes on from. */
  list(options?: { readonly signal?: AbortSignal | undefined }): Promise<SourceList>
  /**
   * What changed since the revision. Ends when the signal is aborted (it then throws its reason); where it cannot go on from
   * there it says `resynchronise`: list again then.
   */
  watch(
    revision: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncIterableIterator<SourceEvent>
}

export interface SourceList {
  readonly revision: string
  readonly objects: readonly ModelObject[]
  /** What could not be read; its objects are as they were before. */
  readonly problems: readonly SourceProblem[]
}

export type SourceEvent =
  | { readonly event: 'upserted'; readonly object: ModelObject; readonly revision: string }
  | { readonly event: 'deleted'; readonly reference: ObjectReference; readonly revision: string }
  | { readonly event: 'problem'; readonly problem: SourceProblem; readonly revision: string }
  | { readonly event: 'resynchronise' }

/** Something that is not as it should be, and where. */
export interface SourceProblem {
  /** `error`: it was not taken. `note`: it is none of ours, and was skipped. */
  readonly severity: 'error' | 'note'
  /** Names the place: a file, an address. */
  readonly place: string
  readonly line?: number | undefined
  /** Where in the object: `spec.ports[0].port`. */
  readonly path?: string | undefined
  readonly message: string
}

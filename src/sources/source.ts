/** Where desired objects come from. */
import type { LoadBalancerStatus } from 'kubernetes-types/core/v1.js'
import type { ModelObject, ObjectReference } from '../model/index.js'

/** Tells which objects there are: all at one moment, and from then on what changes. */
export interface Source {
  /** All objects, and the revision that `watch` goes on from. */
  list(options?: SourceOptions): Promise<SourceList>
  /**
   * What changed since the revision. Ends when the signal is aborted (it then throws its reason); where it cannot go on from
   * there it says `resynchronise`, and that is its last event: list again then.
   */
  watch(revision: string, options?: SourceOptions): AsyncIterableIterator<SourceEvent>
  /**
   * Where an object, or what stands in it at a path (`spec.ports[0].port`, as errors have it), was written; what is not there
   * is where it should be. Undefined where the source does not know: the object is gone, or never stood in a text.
   */
  locate?(reference: ObjectReference, path?: string): Promise<SourcePlace | undefined>
}

/** Takes what has become of objects back to where they came from: a source that can write, or a function of yours. */
export interface StatusWriter {
  /**
   * Puts it in the place of a Service's `status.loadBalancer`; the watchers of the source hear of it as of any change. Resolves when
   * it stands there, or the service is gone; when it rejects, it is tried again later.
   */
  writeLoadBalancer(
    service: ObjectReference,
    status: LoadBalancerStatus,
    options?: SourceOptions,
  ): Promise<void>
}

/** Of a call. */
export interface SourceOptions {
  /** Aborting it ends the call. */
  readonly signal?: AbortSignal | undefined
}

/** What there is at a moment. */
export interface SourceList {
  /** Opaque; goes to `watch` of the same source. */
  readonly revision: string
  /** In no order that means anything. */
  readonly objects: readonly ModelObject[]
  /** What could not be read; its objects are as they were before. */
  readonly problems: readonly SourceProblem[]
}

/** What changed. */
export type SourceEvent =
  | { readonly event: 'upserted'; readonly object: ModelObject; readonly revision: string }
  | { readonly event: 'deleted'; readonly reference: ObjectReference; readonly revision: string }
  /** All that is wrong at a place now, instead of what was said of it before: nothing, once it is mended. */
  | {
      readonly event: 'problems'
      readonly place: string
      readonly problems: readonly SourceProblem[]
      readonly revision: string
    }
  | { readonly event: 'resynchronise' }

/** A place in a text. */
export interface SourcePlace {
  /** Names it: a file, an address. */
  readonly place: string
  /** Counted from 1. */
  readonly line?: number | undefined
  /** Counted from 1. */
  readonly column?: number | undefined
}

/** Something that is not as it should be, and where. */
export interface SourceProblem extends SourcePlace {
  /** `error`: it was not taken. `note`: it is none of ours, and was skipped. */
  readonly severity: 'error' | 'note'
  /** Where in the object: `spec.ports[0].port`. */
  readonly path?: string | undefined
  /** What is wrong, in words. */
  readonly message: string
}

/** What is known of sources that are followed: what is wrong there, and whether all that they have was heard once. */
import type { Source, SourceProblem } from '../sources/source.js'

interface State {
  /** By their places. */
  readonly problems: Map<string, readonly SourceProblem[]>
  error: Error | undefined
  /** Its objects were given. */
  isListed: boolean
  /** They were, and all of them could be read. */
  isSound: boolean
}

export class SourceStates {
  readonly #states = new Map<Source, State>()

  add(source: Source): void {
    this.#states.set(source, { problems: new Map(), error: undefined, isListed: false, isSound: false })
  }

  get sources(): Iterable<Source> {
    return this.#states.keys()
  }

  /** It does not answer, which is asked again. */
  setError(source: Source, error: Error): void {
    this.#states.get(source)!.error = error
  }

  /** Those that have not answered in time have an error from then on. */
  setSilent(error: Error): void {
    for (const state of this.#states.values()) if (!state.isListed) state.error ??= error
  }

  /** All that it has was given, and this is all that is wrong there. */
  setListed(source: Source, problems: readonly SourceProblem[]): void {
    const state = this.#states.get(source)!
    state.isListed = true
    state.error = undefined
    state.problems.clear()
    for (const problem of problems) {
      state.problems.set(problem.place, [...(state.problems.get(problem.place) ?? []), problem])
    }
  }

  /** Instead of what was wrong at a place. */
  setProblems(source: Source, place: string, problems: readonly SourceProblem[]): void {
    const state = this.#states.get(source)!
    if (problems.length === 0) state.problems.delete(place)
    else state.problems.set(place, problems)
  }

  problems(): SourceProblem[] {
    return [...this.#states.values()].flatMap((state) => problemsOf(state))
  }

  errors(): Error[] {
    return [...this.#states.values()].flatMap(({ error }) => error ?? [])
  }

  /**
   * Whether each source was found in order once: of those that were it is known what they want, also when something is wrong
   * there later. To be asked when what comes together has come: of several problems one may be told to be solved before the next.
   */
  areSound(): boolean {
    for (const state of this.#states.values()) {
      state.isSound ||= state.isListed && problemsOf(state).every(({ severity }) => severity !== 'error')
    }
    return [...this.#states.values()].every(({ isSound }) => isSound)
  }
}

function problemsOf({ problems }: State): SourceProblem[] {
  return [...problems.values()].flat()
}

/** Keeps what is wrong with which object, and what of it was told. */
import type { Condition } from './condition.js'
import type { ObjectKind, ObjectReference } from './objects.js'
import type { ModelProblem } from './problem.js'

interface Entry {
  readonly object: ObjectReference
  invalid: ModelProblem | undefined
  conditions: readonly Condition[]
  /** Whether somebody was told that there is a problem. */
  isTold: boolean
}

const none: readonly never[] = []

export class Problems {
  readonly #entries = new Map<string, Entry>()
  readonly #changed = new Set<string>()

  get isEmpty(): boolean {
    return this.#entries.size === 0
  }

  /** The object was refused. */
  refuse(problem: ModelProblem): void {
    this.#entry(problem.object).invalid = problem
  }

  /** The object was taken, or is gone. */
  accept(kind: ObjectKind, key: string): void {
    const entry = this.#entries.size === 0 ? undefined : this.#entries.get(`${kind} ${key}`)
    if (entry?.invalid !== undefined) this.#entry(entry.object).invalid = undefined
  }

  /** What of the object is not honoured. */
  set(kind: ObjectKind, key: string, conditions: readonly Condition[]): void {
    if (conditions.length === 0) {
      const entry = this.#entries.size === 0 ? undefined : this.#entries.get(`${kind} ${key}`)
      if (entry === undefined || entry.conditions.length === 0) return
    }
    this.#entry(referenceTo(kind, key)).conditions = distinct(conditions)
  }

  all(): ModelProblem[] {
    return [...this.#entries.values()].flatMap(problemsOf)
  }

  objects(): ObjectReference[] {
    return [...this.#entries.values()].map(({ object }) => object)
  }

  /** All of each object that has others than the last time, and objects that have none any more. */
  take(): { readonly problems: ModelProblem[]; readonly solved: ObjectReference[] } {
    const problems: ModelProblem[] = []
    const solved: ObjectReference[] = []
    for (const key of this.#changed) {
      const entry = this.#entries.get(key)!
      problems.push(...problemsOf(entry))
      if (entry.invalid === undefined && entry.conditions.length === 0) {
        if (entry.isTold) solved.push(entry.object)
        this.#entries.delete(key)
      } else entry.isTold = true
    }
    this.#changed.clear()
    return { problems, solved }
  }

  /** The entry of an object, which is about to change. */
  #entry(object: ObjectReference): Entry {
    const key = `${object.kind} ${keyOf(object)}`
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { object, invalid: undefined, conditions: none, isTold: false }
      this.#entries.set(key, entry)
    }
    this.#changed.add(key)
    return entry
  }
}

function problemsOf({ object, invalid, conditions }: Entry): ModelProblem[] {
  const problems: ModelProblem[] = conditions.map((condition) => ({ object, ...condition }))
  return invalid === undefined ? problems : [invalid, ...problems]
}

function distinct(conditions: readonly Condition[]): readonly Condition[] {
  const seen = new Set<string>()
  return conditions.filter(({ message }) => !seen.has(message) && seen.add(message))
}

/** `namespace/name`, or the name of a node. */
export function keyOf({ kind, namespace, name }: ObjectReference): string {
  return kind === 'Node' ? name : `${namespace || 'default'}/${name}`
}

export function referenceTo(kind: ObjectKind, key: string): ObjectReference {
  if (kind === 'Node') return { kind, name: key }
  const slash = key.indexOf('/')
  return { kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** Objects as a text has them: which there are, what names them, and where they stand. Their insides are the model's. */
import type { ModelObject, ObjectReference } from '../model/index.js'
import { ValidationError, isValidationError } from '../errors/index.js'
import { apiVersions, isObjectKind, referenceOf } from './reference.js'
import type { SourceProblem } from './source.js'
import { type Path, type Position, readYaml, type YamlDocument, type YamlLimits } from './yaml.js'

/** An object, and where it stands. */
export interface Manifest {
  readonly object: ModelObject
  readonly reference: ObjectReference
  readonly position: Position
  /** Which document of the text, counted from 0, and where in it. */
  readonly document: number
  readonly path: Path
}

/** What a text holds. */
export interface Reading {
  readonly manifests: readonly Manifest[]
  readonly problems: readonly Omit<SourceProblem, 'place'>[]
}

/** How a text is read. */
export interface ReadingOptions extends YamlLimits {
  /** Of objects that name none. */
  readonly namespace: string
}

/** Lists of lists are as deep as this, at most. */
const deepestList = 10
/** Of a text; what is more is counted. */
const mostProblems = 100

/** Reads a text. Nothing that stands in it throws. */
export async function readManifests(text: string, options: ReadingOptions): Promise<Reading> {
  const manifests: Manifest[] = []
  const problems: Omit<SourceProblem, 'place'>[] = []
  let index = 0
  for await (const document of readYaml(text, options)) {
    for (const { path, ...problem } of document.problems) {
      problems.push({ severity: 'error', ...problem, path: path && formatPath(path) })
    }
    if (document.problems.length === 0) collect(document, index, options.namespace, manifests, problems)
    index++
  }
  const more = problems.length - mostProblems
  if (more > 0) {
    const hidden = problems.splice(mostProblems)
    const severity = hidden.some((problem) => problem.severity === 'error') ? 'error' : 'note'
    problems.push({ severity, message: `${more} more like these` })
  }
  return { manifests, problems }
}

/** Where something stands in a text that was read before. */
export async function positionIn(
  text: string,
  { document, path }: Manifest,
  within: Path,
  limits: YamlLimits,
): Promise<Position | undefined> {
  let index = 0
  for await (const found of readYaml(text, limits)) {
    if (index++ === document) return found.positionOf([...path, ...within])
  }
  return undefined
}

function collect(
  document: YamlDocument,
  index: number,
  namespace: string,
  manifests: Manifest[],
  problems: Omit<SourceProblem, 'place'>[],
): void {
  const visit = (value: unknown, path: Path, listed: Listed | undefined): void => {
    const outcome = interpret(value, namespace, listed)
    if ('items' in outcome && path.length < deepestList * 2) {
      outcome.items.forEach((item, at) => {
        visit(item, [...path, 'items', at], outcome)
      })
    } else if ('object' in outcome) {
      manifests.push({ ...outcome, document: index, path, position: document.positionOf(path) })
    } else {
      const { severity, at, message } =
        'items' in outcome
          ? { severity: 'error' as const, at: [], message: 'too many lists in lists' }
          : outcome
      const place = [...path, ...at]
      problems.push({ severity, ...document.positionOf(place), path: formatPath(place), message })
    }
  }
  // Between two lines of hyphens, and after the last, there is often nothing.
  if (document.value !== null) visit(document.value, [], undefined)
}

/** What objects in a list may leave out, because its kind says it. */
interface Listed {
  readonly kind?: string
  readonly apiVersion?: string
}
type Outcome =
  | { readonly object: ModelObject; readonly reference: ObjectReference }
  | (Listed & { readonly items: readonly unknown[] })
  | { readonly severity: 'error' | 'note'; readonly at: Path; readonly message: string }

function interpret(value: unknown, namespace: string, listed: Listed | undefined): Outcome {
  try {
    if (!isMap(value)) throw new ValidationError('', value, 'an object')
    const kind = textAt(value, 'kind') ?? listed?.kind
    const apiVersion = textAt(value, 'apiVersion') ?? listed?.apiVersion
    if (kind === undefined && apiVersion === undefined)
      return named({ ...value, namespace: value['namespace'] ?? namespace })
    if (kind === undefined) throw new ValidationError('kind', undefined, 'the name of a kind')
    if (apiVersion === undefined) {
      const expected = isObjectKind(kind) ? apiVersions[kind] : 'the version of an API'
      throw new ValidationError('apiVersion', undefined, expected)
    }
    const items = itemKind(kind, apiVersion)
    if (items !== undefined) {
      if (value['items'] === undefined || value['items'] === null) return { items: [] }
      if (!Array.isArray(value['items'])) throw new ValidationError('items', value['items'], 'a list')
      return { ...items, items: value['items'] }
    }
    if (!isObjectKind(kind) || apiVersions[kind] !== apiVersion) {
      return { severity: 'note', at: ['kind'], message: `${kind} of ${apiVersion} is none of ours: skipped` }
    }
    const { metadata } = value
    if (!isMap(metadata)) throw new ValidationError('metadata', metadata, 'an object with a name')
    if (kind === 'Node') return named({ ...value, kind, apiVersion })
    return named({
      ...value,
      kind,
      apiVersion,
      metadata: { ...metadata, namespace: metadata['namespace'] ?? namespace },
    })
  } catch (error) {
    if (!isValidationError(error)) throw error
    const at = error.path === '' ? [] : error.path.split('.')
    return { severity: 'error', at, message: `expected ${error.expected}, ${whatIs(error.value)}` }
  }
}

/** The model looks at all but the name. */
function named(value: object): Outcome {
  const object = value as ModelObject
  return { object, reference: referenceOf(object) }
}

/** What a list's items are, if it is one: of its own kind, or of any. */
function itemKind(kind: string, apiVersion: string): Listed | undefined {
  if (kind === 'List') return apiVersion === 'v1' ? {} : undefined
  const item = kind.replace(/List$/, '')
  return kind !== item && isObjectKind(item) && apiVersions[item] === apiVersion
    ? { kind: item, apiVersion }
    : undefined
}

function textAt(value: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const text = value[key]
  if (text === undefined) return undefined
  if (typeof text !== 'string' || text === '') throw new ValidationError(key, text, 'a string')
  return text
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function whatIs(value: unknown): string {
  if (value === undefined) return 'and it is not there'
  if (typeof value === 'object')
    return value === null ? 'got null' : Array.isArray(value) ? 'got a list' : 'got an object'
  const text = JSON.stringify(value)
  return `got ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`
}

/** `spec.ports[0].port`; keys that hold more than letters stand in brackets: `metadata.labels["a.b/c"]`. */
export function formatPath(path: Path): string {
  const text = path.map((step) =>
    typeof step === 'number' ? `[${step}]` : /^[\w-]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`,
  )
  return text.join('').replace(/^\./, '')
}

/** The reverse; what is in no such form ends it. */
export function parsePath(text: string): Path {
  const path: (string | number)[] = []
  const step = /\.?([\w-]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y
  for (let match = step.exec(text); match !== null; match = step.exec(text)) {
    const [, name, index, quoted] = match
    if (name !== undefined) path.push(name)
    else if (index !== undefined) path.push(Number(index))
    else if (quoted !== undefined) path.push(unquoted(quoted))
  }
  return path
}

function unquoted(quoted: string): string {
  try {
    return String(JSON.parse(quoted))
  } catch {
    return quoted
  }
}

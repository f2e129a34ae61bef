/**
 * YAML (and so JSON) as values, with the place of everything in them. What is read is hostile: depth, documents, and what
 * aliases make of a text are bounded, and the event loop turns meanwhile.
 *
 * Values are as kubectl reads them: YAML 1.1 without sexagesimal numbers and timestamps, keys as strings, merge keys in
 * their turn (what stands below one overrides it). A key that stands twice is an error.
 */
import {
  type Alias,
  Composer,
  CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type YAMLMap,
} from 'yaml'
import { Slices } from '../slices.js'

/** Steps from a value to one in it: keys and indices. */
export type Path = readonly (string | number)[]

/** A place in the text, counted from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** What is wrong with a text. */
export interface TextProblem extends Position {
  /** In the document. */
  readonly path?: Path | undefined
  readonly message: string
}

/** One of the documents of a text. */
export interface YamlDocument {
  /** Undefined where there are problems; null where nothing stands in it. */
  readonly value: unknown
  readonly problems: readonly TextProblem[]
  /** Of what stands at a path, or of the last step towards it that is there. */
  positionOf(path: Path): Position
}

/** How much is read. */
export interface YamlLimits {
  /** Documents of a text. */
  readonly documents: number
}

/**
 * Collections within each other. The composer calls itself for each: at some thousands not only the stack ends, but V8 ends
 * the process where it is about to compile a regular expression.
 */
const deepest = 100
/** Values of a document, those that aliases repeat counted each time. */
const mostValues = 1_000_000
/** Of a document: one mistake can make thousands. */
const mostProblems = 10

const options = {
  version: '1.1',
  schema: 'yaml-1.1',
  resolveKnownTags: false,
  // Each key would be compared with each other one; `entriesOf` looks it up.
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: 'silent',
  customTags: (tags: unknown[]) =>
    (tags as { tag: string; format?: string }[]).filter(
      ({ tag, format }) => format !== 'TIME' && !/:(timestamp|binary|omap|pairs|set|merge)$/.test(tag),
    ),
} as ConstructorParameters<typeof Composer>[0]

/** The documents of a text, one after the other. Nothing that stands in it throws. */
export async function* readYaml(
  text: string,
  limits: YamlLimits,
): AsyncGenerator<YamlDocument, void, undefined> {
  const lines = new LineCounter()
  lines.addNewLine(0)
  const composer = new Composer(options)
  const parser = new Parser(lines.addNewLine)
  const slices = new Slices()
  let count = 0
  const refused = (offset: number, message: string): YamlDocument => {
    const position = positionAt(lines, offset)
    return { value: undefined, problems: [{ ...position, message }], positionOf: () => position }
  }
  const bounded = function* (found: Iterable<Document>): Generator<YamlDocument, void, undefined> {
    for (const document of found) {
      if (++count <= limits.documents) yield read(document, lines)
      else if (count === limits.documents + 1)
        yield refused(offset, `more than ${limits.documents} documents`)
    }
  }
  let offset = 0
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) yield* bounded(composer.next(token))
    if (count > limits.documents) return
    offset += isMark(lexeme) ? 0 : lexeme.length
    if (parser.stack.length > deepest) {
      yield refused(offset, `more than ${deepest} collections within each other`)
      return
    }
    if (slices.isOver) await slices.next()
  }
  for (const token of parser.end()) yield* bounded(composer.next(token))
  yield* bounded(composer.end(true, text.length))
}

/** What the lexer says beside pieces of the text: where a document, flow or scalar begins. */
const isMark = (lexeme: string): boolean =>
  lexeme === CST.DOCUMENT || lexeme === CST.FLOW_END || lexeme === CST.SCALAR

function positionAt(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

function read(document: Document, lines: LineCounter): YamlDocument {
  let anchors: ReadonlyMap<string, unknown> | undefined
  const positionOf = (path: Path): Position => {
    anchors ??= anchorsOf(document.contents)
    return positionAt(lines, find(document.contents, path, anchors))
  }
  const problems: TextProblem[] = [...document.errors, ...document.warnings]
    .slice(0, mostProblems)
    .map(({ pos, message }) => ({ ...positionAt(lines, pos[0]), message }))
  if (problems.length > 0) return { value: undefined, problems, positionOf }
  try {
    return { value: new Reader().read(document.contents), problems, positionOf }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { message, path, offset } = error
    return {
      value: undefined,
      problems: [{ ...positionAt(lines, offset), path, message }],
      positionOf,
    }
  }
}

/** What a document cannot have. */
class Refusal extends Error {
  readonly path: Path
  readonly offset: number

  constructor(message: string, path: Path, offset: number) {
    super(message)
    this.path = path
    this.offset = offset
  }
}

/** Makes values of nodes: trees, in which nothing stands twice, whatever aliases say. */
class Reader {
  /** By their names; the last one so far counts. */
  readonly #anchors = new Map<string, unknown>()
  /** What aliases stood for when they were met: later anchors of the same name change nothing. */
  readonly #targets = new Map<Alias, unknown>()
  readonly #open = new Set<unknown>()
  readonly #path: (string | number)[] = []
  #aliases = 0
  #left = mostValues

  read(node: unknown): unknown {
    if (--this.#left < 0)
      this.#refuse(node, `more than ${mostValues} values, those of aliases counted each time`)
    if (isAlias(node)) return this.#through(node, (target) => this.read(target))
    this.#remember(node)
    if (isMap(node)) return Object.fromEntries(this.#within(node, () => this.#entriesOf(node)))
    if (isSeq(node)) {
      return this.#within(node, () => node.items.map((item, index) => this.#at(index, () => this.read(item))))
    }
    if (node === null || node === undefined) return null
    const value = isScalar(node) ? node.value : undefined
    if (value === null || /^(string|number|boolean)$/.test(typeof value)) return value
    return this.#refuse(node, 'a value of an unknown type')
  }

  #entriesOf(map: YAMLMap): Map<string, unknown> {
    const entries = new Map<string, unknown>()
    const own = new Set<string>()
    for (const { key, value } of map.items) {
      if (isMergeKey(key)) {
        for (const [name, merged] of this.#at('<<', () => this.#merged(value))) entries.set(name, merged)
        continue
      }
      const name = this.#keyOf(key)
      if (own.has(name)) this.#at(name, () => this.#refuse(key, 'this key is there twice'))
      own.add(name)
      entries.set(
        name,
        this.#at(name, () => this.read(value)),
      )
    }
    return entries
  }

  /** Of several maps the first ones win. */
  #merged(node: unknown): Map<string, unknown> {
    if (--this.#left < 0)
      this.#refuse(node, `more than ${mostValues} values, those of aliases counted each time`)
    if (isAlias(node)) return this.#through(node, (target) => this.#merged(target))
    this.#remember(node)
    if (isMap(node)) return this.#within(node, () => this.#entriesOf(node))
    if (!isSeq(node)) return this.#refuse(node, 'a merge key takes a map, or a list of maps')
    return this.#within(node, () => {
      const maps = node.items.map((item) => this.#merged(item))
      return new Map(maps.reverse().flatMap((entries) => [...entries]))
    })
  }

  #keyOf(key: unknown): string {
    const value = this.read(key)
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    return this.#refuse(key, 'a key is a string')
  }

  #remember(node: unknown): void {
    // In what an alias repeats, anchors have had their turn.
    if (this.#aliases > 0 || !(isMap(node) || isSeq(node) || isScalar(node))) return
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
  }

  #through<T>(alias: Alias, read: (target: unknown) => T): T {
    const target = this.#targets.get(alias) ?? this.#anchors.get(alias.source)
    if (target === undefined) return this.#refuse(alias, `there is no anchor &${alias.source} above`)
    if (this.#open.has(target)) return this.#refuse(alias, `&${alias.source} stands in itself`)
    this.#targets.set(alias, target)
    this.#aliases++
    try {
      return read(target)
    } finally {
      this.#aliases--
    }
  }

  #within<T>(node: unknown, read: () => T): T {
    if (this.#open.size >= deepest) this.#refuse(node, `more than ${deepest} collections within each other`)
    this.#open.add(node)
    try {
      return read()
    } finally {
      this.#open.delete(node)
    }
  }

  #at<T>(step: string | number, read: () => T): T {
    this.#path.push(step)
    const value = read()
    this.#path.pop()
    return value
  }

  #refuse(node: unknown, message: string): never {
    throw new Refusal(message, [...this.#path], startOf(node))
  }
}

/** As Go's YAML takes it: in quotes it is a key like any other. */
const isMergeKey = (key: unknown): boolean => isScalar(key) && key.value === '<<' && key.type === 'PLAIN'

function startOf(node: unknown): number {
  return (isAlias(node) || isMap(node) || isSeq(node) || isScalar(node) ? node.range?.[0] : undefined) ?? 0
}

/** The collections that aliases can stand for. */
function anchorsOf(root: unknown): ReadonlyMap<string, unknown> {
  const anchors = new Map<string, unknown>()
  const visit = (node: unknown): void => {
    if ((isMap(node) || isSeq(node)) && node.anchor !== undefined) anchors.set(node.anchor, node)
    if (isMap(node)) for (const { value } of node.items) visit(value)
    if (isSeq(node)) for (const item of node.items) visit(item)
  }
  visit(root)
  return anchors
}

/** The offset of what stands at a path: of an entry, that of its key. */
function find(root: unknown, path: Path, anchors: ReadonlyMap<string, unknown>): number {
  const follow = (node: unknown): unknown => (isAlias(node) ? anchors.get(node.source) : node)
  let offset = startOf(root)
  let node = root
  for (const step of path) {
    const from = follow(node)
    if (isSeq(from) && typeof step === 'number' && step < from.items.length) {
      node = from.items[step]
      offset = startOf(node)
      continue
    }
    const pair = isMap(from) ? pairOf(from, String(step), follow, new Set()) : undefined
    if (pair === undefined) return offset
    node = pair.value
    offset = startOf(pair.key)
  }
  return offset
}

/** The entry of a map, or of what is merged into it. */
function pairOf(
  map: YAMLMap,
  name: string,
  follow: (node: unknown) => unknown,
  seen: Set<unknown>,
): { key: unknown; value: unknown } | undefined {
  if (seen.has(map)) return undefined
  seen.add(map)
  const own = map.items.find(({ key }) => isScalar(key) && String(key.value) === name && !isMergeKey(key))
  if (own !== undefined) return own
  for (const { key, value } of map.items) {
    if (!isMergeKey(key)) continue
    const merged = follow(value)
    for (const item of isSeq(merged) ? merged.items : [merged]) {
      const source = follow(item)
      const found = isMap(source) ? pairOf(source, name, follow, seen) : undefined
      if (found !== undefined) return found
    }
  }
  return undefined
}

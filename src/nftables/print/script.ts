/** A transaction as a script that `nft -f` takes: a line for each operation, sets without a name inside their rules. */
import type { Family } from '../hooks.js'
import type { ElementsInput, Inputs, KindName, NftSet, SetInput } from '../kinds.js'
import type { Operation } from '../transaction.js'
import { type Commented, commentOf } from '../userdata.js'
import {
  flowtableLines,
  hookText,
  objectWord,
  type PrintOptions,
  ruleText,
  setLines,
  setWord,
  withoutControls,
} from './listing.js'
import { objectLines } from './objects.js'
import type { FindSet, KnownSet } from './phrases.js'
import { dataOf, elementTexts, keyOf, type PrintedElement } from './sets.js'

/**
 * What a transaction is going to do, as a script for `nft -f`. What nft's syntax has no words for is written as a comment,
 * with the reason.
 */
export function printScript(
  { operations }: { readonly operations: readonly Operation[] },
  options: PrintOptions = {},
): string {
  const known = new KnownSets(operations, options.known ?? { sets: [], elements: [] })
  return operations
    .map((operation) => line(operation, known, options))
    .filter((text) => text !== undefined)
    .map((text) => `${text.split('\n').map(withoutControls).join('\n')}\n`)
    .join('')
}

/** Those of flowtables and of lists of elements have none. */
const commentedAs: Readonly<Record<KindName, Commented>> = {
  table: 'table',
  chain: 'chain',
  rule: 'rule',
  set: 'set',
  object: 'object',
  elements: 'element',
  flowtable: 'object',
}

interface Known extends KnownSet {
  readonly set: NftSet | SetInput
  readonly elements: PrintedElement[]
}

/** Sets by their names or numbers: those of the transaction, and those that it finds. */
class KnownSets {
  readonly #byName = new Map<string, Known>()
  readonly #byId = new Map<number, Known>()

  constructor(operations: readonly Operation[], { sets, elements }: NonNullable<PrintOptions['known']>) {
    for (const set of sets) this.#byName.set(nameOf(set, set.name), { set, elements: [] })
    for (const part of elements) this.#byName.get(nameOf(part, part.set))?.elements.push(...part.elements)
    for (const { verb, kind, object } of operations) {
      if (verb !== 'add' && verb !== 'create') continue
      if (kind === 'set') {
        const set = object as SetInput
        const known: Known = { set, elements: [] }
        this.#byName.set(nameOf(set, set.name), known)
        if (set.id !== undefined) this.#byId.set(set.id, known)
      } else if (kind === 'elements') {
        const { elements, ...part } = object as ElementsInput
        const known = this.of(part)
        // Elements of one without a name are written where it is used.
        if (known !== undefined && isAnonymous(known.set))
          known.elements.push(...Array.from(elements ?? [], (one) => quotable('element', one)))
      }
    }
  }

  of({
    family,
    table,
    set,
    setId,
  }: Pick<ElementsInput, 'family' | 'table' | 'set' | 'setId'>): Known | undefined {
    return (
      (setId === undefined ? undefined : this.#byId.get(setId)) ??
      this.#byName.get(nameOf({ family, table }, set))
    )
  }

  finding(family: Family, table: string): FindSet {
    return (set, setId) => this.of({ family, table, set, setId })
  }
}

const nameOf = (
  { family, table }: { readonly family: Family; readonly table: string },
  name: string,
): string => `${family} ${table} ${name}`

function isAnonymous({ flags = [] }: NftSet | SetInput): boolean {
  return flags.includes('anonymous')
}

/** Its comment, wherever it stands. nft's strings have no way to hold a quotation mark. */
function quotable<T extends MayHaveComment>(kind: Commented, object: T): T {
  const comment = object.comment ?? commentOf(kind, object.userData)
  return comment === undefined ? object : { ...object, comment: comment.replaceAll('"', "'") }
}
interface MayHaveComment {
  readonly comment?: string | undefined
  readonly userData?: Uint8Array | undefined
}

/** Undefined of what is written elsewhere. */
function line(operation: Operation, known: KnownSets, options: PrintOptions): string | undefined {
  const { verb, kind } = operation
  const object = quotable(commentedAs[kind], operation.object as MayHaveComment) as Operation['object']
  if (verb === 'flush') return flushLine(kind, object)
  switch (kind) {
    case 'table': {
      const {
        family,
        name,
        flags = [],
        comment,
        ...rest
      } = object as Inputs['table'] & { readonly handle?: number }
      const where = name === undefined ? `handle ${rest.handle ?? 0}` : name
      const said = [...(flags.length === 0 ? [] : [`flags ${flags.join(',')}`]), ...commentLine(comment)]
      return `${verb} table ${family} ${where}${makes(verb) ? braces(said) : ''}`
    }
    case 'chain': {
      const chain = object as Inputs['chain'] & { readonly handle?: number }
      if (verb === 'rename')
        return `# rename chain ${place(chain)} handle ${chain.handle ?? 0} to ${chain.name}: nft takes no handle`
      const hook = hookText(chain)
      const said = [...(hook === undefined ? [] : [hook.replace(/;$/, '')]), ...commentLine(chain.comment)]
      return `${verb} chain ${place(chain)} ${nameOrHandle(chain)}${makes(verb) ? braces(said) : ''}`
    }
    case 'rule':
      return ruleLine(verb, object as Inputs['rule'], known, options)
    case 'set': {
      const set = object as Inputs['set'] & { readonly handle?: number }
      if (isAnonymous(set)) return undefined
      return `${verb} ${setWord(set)} ${place(set)} ${nameOrHandle(set)}${makes(verb) ? braces(setLines(set)) : ''}`
    }
    case 'elements':
      return elementsLine(verb, object as Inputs['elements'], known, options)
    case 'object': {
      const one = object as Inputs['object']
      return `${verb} ${objectWord(one.type)} ${place(one)} ${nameOrHandle(one)}${makes(verb) ? braces([...objectLines(one), ...commentLine(one.comment)]) : ''}`
    }
    case 'flowtable': {
      const one = object as Inputs['flowtable']
      return `${verb} flowtable ${place(one)} ${nameOrHandle(one)}${makes(verb) ? braces(flowtableLines(one)) : ''}`
    }
  }
}

function makes(verb: Operation['verb']): boolean {
  return verb === 'add' || verb === 'create'
}

function place({ family, table }: { readonly family: Family; readonly table: string }): string {
  return `${family} ${table}`
}

function nameOrHandle({
  name,
  handle,
}: {
  readonly name?: string | undefined
  readonly handle?: number | undefined
}): string {
  return name ?? `handle ${handle ?? 0}`
}

function commentLine(comment: string | undefined): string[] {
  return comment === undefined ? [] : [`comment "${comment}"`]
}

function braces(lines: readonly string[]): string {
  return lines.length === 0 ? '' : ` { ${lines.map((text) => `${text};`).join(' ')} }`
}

function flushLine(kind: KindName, object: Inputs[KindName]): string {
  if (kind === 'rule') {
    const { family, table, chain } = object as Inputs['rule']
    return chain === undefined ? `flush table ${family} ${table}` : `flush chain ${family} ${table} ${chain}`
  }
  if (kind === 'elements') {
    const part = object as Inputs['elements']
    return `flush set ${place(part)} ${part.set}`
  }
  const { family } = object as { readonly family: string }
  return family === 'unspecified' ? 'flush ruleset' : `flush ruleset ${family}`
}

function ruleLine(
  verb: Operation['verb'],
  rule: Inputs['rule'],
  known: KnownSets,
  options: PrintOptions,
): string {
  const { chain = '', handle, position, positionId } = rule
  const where = `${place(rule)} ${chain}`
  if (verb === 'delete' || verb === 'destroy') {
    return handle === undefined ? `flush chain ${where}` : `${verb} rule ${where} handle ${handle}`
  }
  const text = ruleText(rule, known.finding(rule.family, rule.table), options)
  if (verb === 'replace') return `replace rule ${where} handle ${handle ?? 0} ${text}`
  const said = `${verb} rule ${where}${position === undefined ? '' : ` handle ${position}`} ${text}`
  if (positionId === undefined) return said
  return `# beside the rule of id ${positionId}, for which nft has no word: ${said}`
}

/** So many are written in a line. */
const elementsInALine = 64

function elementsLine(
  verb: Operation['verb'],
  part: Inputs['elements'],
  known: KnownSets,
  options: PrintOptions,
): string | undefined {
  const found = known.of(part)
  const { elements } = part
  if (elements === undefined) return `flush set ${place(part)} ${part.set}`
  if (found !== undefined && isAnonymous(found.set)) return undefined
  const list = Array.from(elements, (one) => quotable('element', one))
  if (found === undefined) {
    return `# ${verb} element ${place(part)} ${part.set}: ${list.length} of a set whose types are not known here`
  }
  const texts = elementTexts(found.set, list, keyOf(found.set).parts, dataOf(found.set)?.parts, options)
  const lines: string[] = []
  for (let from = 0; from < texts.length; from += elementsInALine) {
    lines.push(
      `${verb} element ${place(part)} ${part.set} { ${texts.slice(from, from + elementsInALine).join(', ')} }`,
    )
  }
  return lines.join('\n')
}

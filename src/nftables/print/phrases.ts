/** What registers hold, in words: fields by their names, maps with their elements, constants as the type of what is beside them. */
import { formatExpression } from '../bytecode.js'
import type { Expression, UnknownExpression } from '../expressions/index.js'
import type { AnyExpression } from '../expression.js'
import type { Context } from './context.js'
import { type Names, type PrintedType, types } from './datatypes.js'
import { numberOf } from '../numbers.js'
import { registerBytes } from '../values.js'
import { exthdrNamed, hashText, loadNamed, named, type Named } from './fields.js'
import { dataOf, elementTexts, keyOf, type KeyPart, type PrintedElement, type PrintedSet } from './sets.js'
import { Registers, type Term } from './terms.js'

/** A set that rules refer to. */
export interface KnownSet {
  readonly set: PrintedSet
  readonly elements: readonly PrintedElement[]
}
/** Sets of one table, by their names, or by their numbers within a transaction. */
export type FindSet = (name: string, id: number | undefined) => KnownSet | undefined

/** A key in words, and what it is looked up in. */
interface LookedUp {
  readonly left: readonly Named[]
  readonly key: string
  /** The name of the set, or the elements of one without. */
  readonly what: string
  readonly known: KnownSet | undefined
}

export class Phrases {
  readonly context: Context
  readonly registers = new Registers()
  readonly find: FindSet
  readonly names: Names

  constructor(context: Context, find: FindSet, names: Names) {
    this.context = context
    this.find = find
    this.names = names
  }

  /** What is looked up: `ip saddr . tcp dport`, its parts, and the set or its elements. */
  lookedUp(register: number | undefined, name: string, id: number | undefined): LookedUp {
    const known = this.find(name, id)
    return this.#lookedUp(this.registers.get(register ?? 0, known?.set.keyLength), name, known)
  }

  #lookedUp(term: Term, name: string, known: KnownSet | undefined): LookedUp {
    const isOne = term.kind !== 'concatenation' && known !== undefined && keyOf(known.set).parts.length === 1
    const left = isOne ? [this.named(term)] : this.#fields(term, registerBytes(1))
    for (const part of left) this.context.use(part)
    return { left, key: textsOf(left), what: this.#setText(name, known, left), known }
  }

  /** A constant beside something. */
  value({ type, bits }: Named, value: bigint, data?: Uint8Array): string {
    if (type.isText === true && data !== undefined)
      return type.text(numberOf(data), data.length * 8, this.names)
    return type.text(value, bits, this.names)
  }

  /** The elements of one without a name, or the name. */
  #setText(name: string, known: KnownSet | undefined, left: readonly Named[]): string {
    if (known?.set.flags?.includes('anonymous') !== true) return `@${name}`
    const { set, elements } = known
    // A number that was computed has no form of its own there.
    const key: readonly KeyPart[] = left.map((part) =>
      part.isCompound === true && part.type === types.raw ? { ...part, type: types.integer } : part,
    )
    const data = dataOf(set)?.parts
    return `{ ${elementTexts(set, elements, key, data, this.names).join(', ')} }`
  }

  /** Each field by itself, if those that are loaded at once begin at so many bytes. */
  #fields(term: Term, alignment: number): Named[] {
    if (term.kind === 'concatenation') return term.parts.map((part) => this.named(part))
    const split =
      term.kind === 'load' && term.expression.name === 'payload'
        ? this.context.split(term.expression)
        : undefined
    if (split === undefined || split.some(({ bytes }) => bytes % alignment !== 0)) return [this.named(term)]
    return split.map(({ field }) => field)
  }

  subfield(term: Term): Named | undefined {
    if (term.kind !== 'masked' || term.of.kind !== 'load' || !term.xor.every((byte) => byte === 0))
      return undefined
    const { expression } = term.of
    const mask = numberOf(term.mask)
    if (expression.name === 'exthdr') return exthdrNamed(expression, mask)
    if (expression.name !== 'payload') return undefined
    return this.context.field(expression, mask)
  }

  named(term: Term): Named {
    switch (term.kind) {
      case 'load': {
        const { expression } = term
        const found =
          expression.name === 'payload' ? this.context.field(expression, undefined) : loadNamed(expression)
        return found ?? named(unsaid(expression), types.raw)
      }
      case 'constant':
        return named(
          types.raw.text(numberOf(term.data), term.data.length * 8, this.names),
          types.raw,
          term.data.length * 8,
        )
      case 'swapped': {
        const of = this.named(term.of)
        return { ...of, order: of.order === 'host' ? 'network' : 'host' }
      }
      case 'masked':
        return this.#masked(term)
      case 'shifted': {
        const of = this.named(term.of)
        // What stands higher in its bytes is moved down before it is compared or used.
        if (term.operation === '>>' && of.shift > 0 && of.shift === term.by) return { ...of, shift: 0 }
        return { ...of, text: `${parenthesized(of)} ${term.operation} ${term.by}`, isCompound: true }
      }
      case 'both': {
        const [left, right] = [this.named(term.left), this.named(term.right)]
        return { ...left, text: `${left.text} ${term.operation} ${parenthesized(right)}`, isCompound: true }
      }
      case 'concatenation':
        return named(textsOf(term.parts.map((part) => this.named(part))), types.raw)
      case 'mapped': {
        const known = this.find(term.set, term.setId)
        const { key, what } = this.#lookedUp(term.key, term.set, known)
        const data = known === undefined ? undefined : dataOf(known.set)?.parts
        const value = data?.length === 1 ? data[0]! : named('', types.raw)
        return { ...value, text: `${key} map ${what}` }
      }
      case 'hash': {
        const of = this.#fields(term.of, 1)
        for (const part of of) this.context.use(part)
        return named(hashText(term.expression, textsOf(of)), types.hostInteger)
      }
      case 'rest':
        return this.named(term.of)
      case 'unknown':
        return named(`(register ${term.register})`, types.raw)
    }
  }

  #masked(term: Extract<Term, { kind: 'masked' }>): Named {
    const field = this.subfield(term)
    if (field !== undefined) return field
    const of = this.named(term.of)
    const length = term.mask.length
    const all = (1n << BigInt(length * 8)) - 1n
    const mask = numberOf(term.mask, of.order)
    const xor = numberOf(term.xor, of.order)
    const constant = (value: bigint): string => of.type.text(value >> BigInt(of.shift), of.bits, this.names)
    // Bits that are taken away and then flipped are set.
    const or = ~mask & xor & all
    const flip = mask & xor
    const and = mask | or
    let text = of.text
    if (and !== all) text += ` & ${constant(and)}`
    if (or !== 0n) text += ` | ${constant(or)}`
    if (flip !== 0n) text += ` ^ ${constant(flip)}`
    return { ...of, text, isCompound: true }
  }

  /** What a register holds, as the value of something of that type. */
  given(register: number | undefined, type: PrintedType, bytes: number = type.bytes ?? 4): string {
    const term = this.registers.get(register ?? 0, bytes)
    return this.termAs(term, named('', type, bytes * 8))
  }

  termAs(term: Term, as: Named): string {
    if (term.kind === 'constant') {
      return this.value(as, numberOf(term.data, as.order) >> BigInt(as.shift), term.data)
    }
    const found = this.named(term)
    this.context.use(found)
    return found.text
  }
}

function textsOf(parts: readonly Named[]): string {
  return parts.map(({ text }) => text).join(' . ')
}

function parenthesized({ text, isCompound }: Named): string {
  return isCompound === true ? `(${text})` : text
}

/** In libnftnl's form, for what nft's syntax has no words. */
export function unsaid(expression: AnyExpression | Expression | UnknownExpression): string {
  return formatExpression(expression)
}

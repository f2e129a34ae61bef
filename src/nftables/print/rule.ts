/** A rule in nft's syntax: what it matches and what it does, word for word as `nft list ruleset` has it. */
import type { Expression, ExpressionInput, UnknownExpression } from '../expressions/index.js'
import type { Family } from '../hooks.js'
import { Context } from './context.js'
import { type Names } from './datatypes.js'
import { numberOf } from '../numbers.js'
import { loadNamed, type Named } from './fields.js'
import { type FindSet, Phrases, unsaid } from './phrases.js'
import { pieceText } from './sets.js'
import { Statements } from './statements.js'
import { compute, type Term } from './terms.js'

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

/** What a statement says, until it is known whether it is written. */
interface Statement {
  text: string
  isWritten: boolean
  /** It was a comparison with one side of a range. */
  bound?: { readonly term: Term; readonly text: string; readonly value: bigint }
}

const signs: Readonly<Record<string, string>> = { '==': '', '!=': '!= ' }

/** Equality goes without saying, unless something was computed. */
function signOf(operation: string, { isCompound }: Pick<Named, 'isCompound'>): string {
  return operation !== '==' || isCompound === true ? `${operation} ` : ''
}

export class RulePrinter {
  readonly #context: Context
  readonly #phrases: Phrases
  readonly #said: Statement[] = []

  constructor(family: Family, find: FindSet, names: Names) {
    this.#context = new Context(family)
    this.#phrases = new Phrases(this.#context, find, names)
  }

  /** What has no words in nft's syntax stands in libnftnl's form. */
  print(expressions: readonly (Expression | ExpressionInput | UnknownExpression)[]): string {
    const { registers, find } = this.#phrases
    const statements = new Statements(this.#phrases)
    for (const expression of expressions as readonly Expression[]) {
      if (compute(expression, registers, find)) continue
      if (!this.#match(expression)) this.#push(statements.say(expression) ?? unsaid(expression))
      registers.settle()
    }
    return this.#said
      .filter(({ isWritten }) => isWritten)
      .map(({ text }) => text)
      .join(' ')
  }

  #push(text: string): Statement {
    const statement = { text, isWritten: true }
    this.#said.push(statement)
    return statement
  }

  /** False of what is no match, or none that the kernel has. */
  #match(expression: Expression): boolean {
    switch (expression.name) {
      case 'cmp':
        return this.#compare(expression)
      case 'range':
        return this.#range(expression)
      case 'lookup':
        return this.#lookup(expression)
      default:
        return false
    }
  }

  #compare({ sourceRegister = 0, operation = '==', data }: Of<'cmp'>): boolean {
    if (!(data instanceof Uint8Array)) return false
    const term = this.#phrases.registers.get(sourceRegister, data.length)
    if (operation === '==' && term.kind === 'load' && term.expression.name === 'payload') {
      let at = 0
      for (const { field, bytes } of this.#context.split(term.expression) ?? []) {
        this.#equal(term, field, operation, data.subarray(at, at + bytes))
        at += bytes
      }
      if (at > 0) return true
    }
    if (!this.#beginning(term, data, operation) && !this.#whole(term, data, operation)) {
      this.#equal(term, this.#phrases.named(term), operation, data)
    }
    return true
  }

  /** Of a prefix of whole bytes these alone are loaded or compared. */
  #beginning(term: Term, data: Uint8Array, operation: string): boolean {
    const sign = signs[operation]
    if (term.kind !== 'load' || sign === undefined) return false
    const { expression } = term
    const of = expression.name === 'payload' ? this.#context.longer(expression) : loadNamed(expression)
    if (of === undefined || of.order !== 'network' || of.type.isText === true || data.length * 8 >= of.bits)
      return false
    this.#context.use(of, true)
    const whole = new Uint8Array(of.bits / 8)
    whole.set(data)
    this.#push(
      `${of.text} ${sign}${of.type.text(numberOf(whole), of.bits, this.#phrases.names)}/${data.length * 8}`,
    )
    return true
  }

  /** Masks that nft writes otherwise: prefixes and flags. */
  #whole(term: Term, data: Uint8Array, operation: string): boolean {
    if (term.kind !== 'masked' || !term.xor.every((byte) => byte === 0)) return false
    const field = this.#phrases.subfield(term)
    if (field !== undefined) return false
    const of = this.#phrases.named(term.of)
    const mask = numberOf(term.mask, of.order)
    const value = numberOf(data, of.order)
    const sign = signs[operation]
    if (of.type.flags !== undefined) {
      const flags = (number: bigint): string => of.type.text(number, of.bits, this.#phrases.names)
      this.#context.use(of)
      if (operation === '!=' && value === 0n) this.#push(`${of.text} ${flags(mask)}`)
      else if (operation === '==' && value === 0n) this.#push(`${of.text} ! ${flags(mask)}`)
      else if (operation === '==' && mask !== value) this.#push(`${of.text} ${flags(value)} / ${flags(mask)}`)
      else if (operation === '!=' && mask !== value)
        this.#push(`${of.text} != ${flags(value)} / ${flags(mask)}`)
      else return false
      return true
    }
    if (sign === undefined || of.type.hasPrefixes !== true) return false
    const ones = ((1n << BigInt(of.bits)) - 1n) ^ mask
    if ((ones & (ones + 1n)) !== 0n || (value & ones) !== 0n) return false
    this.#context.use(of)
    const length = of.bits - (ones === 0n ? 0 : ones.toString(2).length)
    this.#push(`${of.text} ${sign}${of.type.text(value, of.bits, this.#phrases.names)}/${length}`)
    return true
  }

  #equal(term: Term, left: Named, operation: string, data: Uint8Array): void {
    this.#context.use(left, true)
    const value = numberOf(data, left.order) >> BigInt(left.shift)
    const last = this.#said.at(-1)
    if (operation === '<=' && last?.bound?.term === term && last.bound.text === left.text) {
      last.text = this.#rangeText(left, '==', last.bound.value, value)
      return
    }
    const sign = operation === '==' && left.type.flags !== undefined ? '== ' : signOf(operation, left)
    const statement = this.#push(`${left.text} ${sign}${this.#phrases.value(left, value, data)}`)
    if (operation === '>=') statement.bound = { term, text: left.text, value }
    if (operation === '==') this.#context.learn(left, value, () => (statement.isWritten = false))
  }

  #range({ sourceRegister = 0, operation, from, to }: Of<'range'>): boolean {
    if (!(from instanceof Uint8Array) || !(to instanceof Uint8Array)) return false
    const left = this.#phrases.named(this.#phrases.registers.get(sourceRegister, from.length))
    this.#context.use(left)
    const bound = (data: Uint8Array): bigint => numberOf(data, left.order) >> BigInt(left.shift)
    this.#push(this.#rangeText(left, operation ?? '==', bound(from), bound(to)))
    return true
  }

  /** Of a comparison: a prefix is not written as such. */
  #rangeText(left: Named, operation: string, from: bigint, to: bigint): string {
    const plain = { ...left, type: { ...left.type, hasPrefixes: false } }
    return `${left.text} ${signOf(operation, left)}${pieceText(plain, { from, to }, this.#phrases.names)}`
  }

  #lookup({ set = '', setId, sourceRegister, destinationRegister, flags }: Of<'lookup'>): boolean {
    const { left, key, what } = this.#phrases.lookedUp(sourceRegister, set, setId)
    const isCompound = left.some((part) => part.isCompound === true)
    const sign = signOf(flags?.includes('inverted') === true ? '!=' : '==', { isCompound })
    this.#push(destinationRegister === 0 ? `${key} vmap ${what}` : `${key} ${sign}${what}`)
    return true
  }
}

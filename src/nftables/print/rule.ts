/** A rule in nft's syntax: what it matches and what it does, word for word as `nft list ruleset` has it. */
import type { AnyExpression } from '../expression.js'
import { formatExpression } from '../bytecode.js'
import type { Expression, ExpressionInput, UnknownExpression } from '../expressions/index.js'
import type { Family } from '../hooks.js'
import { Context } from './context.js'
import {
  durationText,
  icmpCodes,
  icmpv6Codes,
  icmpxCodes,
  type Names,
  numberOf,
  type PrintedType,
  types,
} from './datatypes.js'
import { exthdrNamed, hashText, loadNamed, named, type Named } from './fields.js'
import {
  dataOf,
  elementTexts,
  keyOf,
  type KeyPart,
  pieceText,
  type PrintedElement,
  type PrintedSet,
} from './sets.js'
import { stateText } from './state.js'
import { compute, Registers, type Term } from './terms.js'
import { verdictText } from './verdict.js'

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

/** A set that rules refer to. */
export interface KnownSet {
  readonly set: PrintedSet
  readonly elements: readonly PrintedElement[]
}
/** Sets of one table, by their names, or by their numbers within a transaction. */
export type FindSet = (name: string, id: number | undefined) => KnownSet | undefined

/** What a statement says, until it is known whether it is written. */
interface Statement {
  text: string
  isWritten: boolean
  /** It was a comparison with one side of a range. */
  bound?: { readonly term: Term; readonly named: Named; readonly value: bigint }
}

const signs: Readonly<Record<string, string>> = { '==': '', '!=': '!= ' }

export class RulePrinter {
  readonly #context: Context
  readonly #registers = new Registers()
  readonly #statements: Statement[] = []
  readonly #find: FindSet
  readonly #names: Names

  constructor(family: Family, find: FindSet, names: Names) {
    this.#context = new Context(family)
    this.#find = find
    this.#names = names
  }

  /** Undefined if something of it has no words in nft's syntax. */
  print(expressions: readonly (Expression | ExpressionInput | UnknownExpression)[]): string {
    for (const expression of expressions as readonly Expression[]) {
      if (compute(expression, this.#registers, this.#find)) continue
      this.#statement(expression)
      this.#registers.settle()
    }
    return this.#statements
      .filter(({ isWritten }) => isWritten)
      .map(({ text }) => text)
      .join(' ')
  }

  #push(text: string): Statement {
    const statement = { text, isWritten: true }
    this.#statements.push(statement)
    return statement
  }

  #statement(expression: Expression): void {
    switch (expression.name) {
      case 'cmp':
        return this.#compare(expression)
      case 'range':
        return this.#range(expression)
      case 'lookup':
        return this.#lookup(expression)
      default:
        this.#push(this.#said(expression) ?? unsaid(expression))
    }
  }

  // Matches

  #compare({ sourceRegister = 0, operation = '==', data }: Of<'cmp'>): void {
    if (!(data instanceof Uint8Array)) return
    const term = this.#registers.get(sourceRegister, data.length)
    if (operation === '==' && term.kind === 'load' && term.expression.name === 'payload') {
      const { field } = { field: this.#context.field(term.expression, undefined) }
      if (field === undefined || field.header === undefined) {
        const split = this.#context.split(term.expression)
        if (split !== undefined && split.length > 1) {
          let at = 0
          for (const { field, bytes } of split) {
            this.#match(term, field, operation, data.subarray(at, at + bytes))
            at += bytes
          }
          return
        }
      }
    }
    if (this.#beginning(term, data, operation) || this.#whole(term, data, operation)) return
    this.#match(term, this.#named(term), operation, data)
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
    this.#push(`${of.text} ${sign}${of.type.text(numberOf(whole), of.bits, this.#names)}/${data.length * 8}`)
    return true
  }

  /** Masks that nft writes otherwise: prefixes and flags. */
  #whole(term: Term, data: Uint8Array, operation: string): boolean {
    if (term.kind !== 'masked' || !term.xor.every((byte) => byte === 0)) return false
    const field = this.#subfield(term)
    if (field !== undefined) return false
    const of = this.#named(term.of)
    const mask = numberOf(term.mask, of.order)
    const value = numberOf(data, of.order)
    const sign = signs[operation]
    if (of.type.flags !== undefined) {
      const flags = (number: bigint): string => of.type.text(number, of.bits, this.#names)
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
    this.#push(`${of.text} ${sign}${of.type.text(value, of.bits, this.#names)}/${length}`)
    return true
  }

  #match(term: Term, left: Named, operation: string, data: Uint8Array): void {
    this.#context.use(left, true)
    const value = numberOf(data, left.order) >> BigInt(left.shift)
    const last = this.#statements.at(-1)
    if (
      operation === '<=' &&
      last?.bound?.term === term &&
      last.text === `${left.text} >= ${this.#value(left, last.bound.value)}`
    ) {
      const range = pieceText(
        { ...left, type: { ...left.type, hasPrefixes: false } },
        { from: last.bound.value, to: value },
        this.#names,
      )
      last.text = `${left.text} ${left.isCompound === true ? '== ' : ''}${range}`
      return
    }
    const sign =
      operation === '=='
        ? left.isCompound === true || left.type.flags !== undefined
          ? '== '
          : ''
        : `${operation} `
    const statement = this.#push(`${left.text} ${sign}${this.#value(left, value, data)}`)
    if (operation === '>=') statement.bound = { term, named: left, value }
    if (operation === '==') this.#context.learn(left, value, () => (statement.isWritten = false))
  }

  /** A constant beside something. */
  #value({ type, bits }: Named, value: bigint, data?: Uint8Array): string {
    if (type.isText === true && data !== undefined)
      return type.text(numberOf(data), data.length * 8, this.#names)
    return type.text(value, bits, this.#names)
  }

  #range({ sourceRegister = 0, operation, from, to }: Of<'range'>): void {
    if (!(from instanceof Uint8Array) || !(to instanceof Uint8Array)) return
    const left = this.#named(this.#registers.get(sourceRegister, from.length))
    this.#context.use(left)
    const bound = (data: Uint8Array): bigint => numberOf(data, left.order) >> BigInt(left.shift)
    const piece = pieceText(
      { ...left, type: { ...left.type, hasPrefixes: false } },
      { from: bound(from), to: bound(to) },
      this.#names,
    )
    this.#push(`${left.text} ${operation === '!=' ? '!= ' : left.isCompound === true ? '== ' : ''}${piece}`)
  }

  #lookup({ set = '', setId, sourceRegister = 0, destinationRegister, flags }: Of<'lookup'>): void {
    const known = this.#find(set, setId)
    const left = this.#parts(this.#registers.get(sourceRegister, known?.set.keyLength), known)
    const text = left.map((part) => part.text).join(' . ')
    for (const part of left) this.#context.use(part)
    const what = this.#setText(set, known, left)
    const isCompound = left.some((part) => part.isCompound === true)
    const inverted = flags?.includes('inverted') === true ? '!= ' : isCompound ? '== ' : ''
    this.#push(destinationRegister === 0 ? `${text} vmap ${what}` : `${text} ${inverted}${what}`)
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
    return `{ ${elementTexts(set, elements, key, data, this.#names).join(', ')} }`
  }

  // Expressions

  /** The parts of a key: each field by itself. */
  #parts(term: Term, known: KnownSet | undefined): Named[] {
    if (term.kind === 'concatenation') return term.parts.map((part) => this.#named(part))
    if (term.kind === 'load' && term.expression.name === 'payload') {
      const field = this.#context.field(term.expression, undefined)
      const isOne = known !== undefined && keyOf(known.set).parts.length === 1
      if ((field === undefined || field.header === undefined) && !isOne) {
        const split = this.#context.split(term.expression)
        if (split !== undefined && split.every(({ bytes }) => bytes % 4 === 0))
          return split.map(({ field }) => field)
      }
    }
    return [this.#named(term)]
  }

  #subfield(term: Term): Named | undefined {
    if (term.kind !== 'masked' || term.of.kind !== 'load' || !term.xor.every((byte) => byte === 0))
      return undefined
    const { expression } = term.of
    const mask = numberOf(term.mask)
    if (expression.name === 'exthdr') return exthdrNamed(expression, mask)
    if (expression.name !== 'payload') return undefined
    return this.#context.field(expression, mask)
  }

  #named(term: Term): Named {
    switch (term.kind) {
      case 'load': {
        const { expression } = term
        const found =
          expression.name === 'payload' ? this.#context.field(expression, undefined) : loadNamed(expression)
        return found ?? named(unsaid(expression), types.raw)
      }
      case 'constant':
        return named(
          types.raw.text(numberOf(term.data), term.data.length * 8, this.#names),
          types.raw,
          term.data.length * 8,
        )
      case 'swapped': {
        const of = this.#named(term.of)
        return { ...of, order: of.order === 'host' ? 'network' : 'host' }
      }
      case 'masked':
        return this.#masked(term)
      case 'shifted': {
        const of = this.#named(term.of)
        // What stands higher in its bytes is moved down before it is compared or used.
        if (term.operation === '>>' && of.shift > 0 && of.shift === term.by) return { ...of, shift: 0 }
        return { ...of, text: `${parenthesized(of)} ${term.operation} ${term.by}`, isCompound: true }
      }
      case 'both': {
        const [left, right] = [this.#named(term.left), this.#named(term.right)]
        return { ...left, text: `${left.text} ${term.operation} ${parenthesized(right)}`, isCompound: true }
      }
      case 'concatenation': {
        const parts = term.parts.map((part) => this.#named(part))
        return { ...named(parts.map(({ text }) => text).join(' . '), types.raw) }
      }
      case 'mapped': {
        const known = this.#find(term.set, term.setId)
        const left = this.#parts(term.key, known)
        for (const part of left) this.#context.use(part)
        const data = known === undefined ? undefined : dataOf(known.set)?.parts
        const type =
          data?.length === 1 ? data[0]! : { type: types.raw, order: 'network' as const, bits: 32, shift: 0 }
        return {
          ...type,
          text: `${left.map(({ text }) => text).join(' . ')} map ${this.#setText(term.set, known, left)}`,
        }
      }
      case 'hash': {
        const of =
          term.of.kind === 'concatenation'
            ? term.of.parts.map((part) => this.#named(part))
            : this.#hashed(term.of)
        for (const part of of) this.#context.use(part)
        return named(hashText(term.expression, of.map(({ text }) => text).join(' . ')), types.hostInteger)
      }
      case 'rest':
        return this.#named(term.of)
      case 'unknown':
        return named(`(register ${term.register})`, types.raw)
    }
  }

  #hashed(term: Term): Named[] {
    if (term.kind === 'load' && term.expression.name === 'payload') {
      const field = this.#context.field(term.expression, undefined)
      if (field?.header === undefined) {
        const split = this.#context.split(term.expression)
        if (split !== undefined) return split.map(({ field }) => field)
      }
    }
    return [this.#named(term)]
  }

  #masked(term: Extract<Term, { kind: 'masked' }>): Named {
    const field = this.#subfield(term)
    if (field !== undefined) return field
    const of = this.#named(term.of)
    const length = term.mask.length
    const all = (1n << BigInt(length * 8)) - 1n
    const mask = numberOf(term.mask, of.order)
    const xor = numberOf(term.xor, of.order)
    const constant = (value: bigint): string => of.type.text(value >> BigInt(of.shift), of.bits, this.#names)
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
  #given(register: number | undefined, type: PrintedType, bytes: number = type.bytes ?? 4): string {
    const term = this.#registers.get(register ?? 0, bytes)
    return this.#termAs(term, { ...named('', type, bytes * 8) })
  }

  #termAs(term: Term, as: Named): string {
    if (term.kind === 'constant') {
      if (as.type.isText === true) return as.type.text(numberOf(term.data), term.data.length * 8, this.#names)
      return as.type.text(numberOf(term.data, as.order) >> BigInt(as.shift), as.bits, this.#names)
    }
    const found = this.#named(term)
    this.#context.use(found)
    return found.text
  }

  // Statements

  #said(expression: Expression): string | undefined {
    const state = stateText(expression)
    if (state !== undefined) return state
    switch (expression.name) {
      case 'immediate':
        return expression.data === undefined || expression.data instanceof Uint8Array
          ? undefined
          : verdictText(expression.data)
      case 'notrack':
        return 'notrack'
      case 'meta':
        return this.#set(loadNamed(expression), expression.sourceRegister)
      case 'ct':
        return this.#ctSet(expression)
      case 'payload':
        return this.#payloadSet(expression)
      case 'exthdr':
        return this.#exthdrSet(expression)
      case 'log':
        return logText(expression)
      case 'reject':
        return this.#reject(expression)
      case 'nat':
        return this.#nat(expression)
      case 'masq':
        return this.#ports('masquerade', expression)
      case 'redir':
        return this.#ports('redirect', expression)
      case 'tproxy':
        return this.#tproxy(expression)
      case 'queue':
        return this.#queue(expression)
      case 'dup':
        return this.#dup(expression)
      case 'fwd':
        return this.#fwd(expression)
      case 'objref':
        return this.#objref(expression)
      case 'dynset':
        return this.#dynset(expression)
      case 'synproxy':
        return synproxyText(expression)
      case 'flow_offload':
        return `flow add @${expression.flowtable ?? ''}`
      default:
        return undefined
    }
  }

  #set(target: Named | undefined, register: number | undefined): string | undefined {
    if (target === undefined || register === undefined) return undefined
    const term = this.#registers.get(register, Math.ceil((target.bits + target.shift) / 8))
    return `${target.text} set ${this.#termAs(term, target)}`
  }

  #ctSet(expression: Of<'ct'>): string | undefined {
    return this.#set(loadNamed(expression), expression.sourceRegister)
  }

  /** Of bits within bytes, what stands beside them was loaded before, and is written back. */
  #payloadSet(expression: Of<'payload'>): string | undefined {
    const { sourceRegister, length = 0 } = expression
    if (sourceRegister === undefined) return undefined
    const term = this.#registers.get(sourceRegister, length)
    if (term.kind === 'masked' && term.of.kind === 'load' && isSamePlace(term.of.expression, expression)) {
      const all = (1n << BigInt(length * 8)) - 1n
      const changed = all ^ numberOf(term.mask)
      const target = this.#context.field(expression, changed)
      if (target !== undefined) {
        this.#context.use(target)
        const value = numberOf(term.xor) >> BigInt(target.shift)
        return `${target.text} set ${this.#value(target, value)}`
      }
    }
    const target = this.#context.field(expression, undefined)
    if (target === undefined) return undefined
    this.#context.use(target)
    return `${target.text} set ${this.#termAs(term, target)}`
  }

  #exthdrSet(expression: Of<'exthdr'>): string | undefined {
    if (expression.sourceRegister === undefined) {
      const option = exthdrNamed({ ...expression, flags: ['present'] }, undefined)
      return option === undefined ? undefined : `reset ${option.text}`
    }
    return this.#set(exthdrNamed(expression, undefined), expression.sourceRegister)
  }

  #reject({ type, icmpCode = 0 }: Of<'reject'>): string {
    const { family } = this.#context
    if (type === 'tcp-reset') return 'reject with tcp reset'
    const of = (codes: Readonly<Record<string, number>>): string =>
      Object.keys(codes).find((name) => codes[name] === icmpCode) ?? String(icmpCode)
    if (type === 'icmpx') {
      return icmpCode === icmpxCodes['port-unreachable'] ? 'reject' : `reject with icmpx ${of(icmpxCodes)}`
    }
    const isSix = family === 'ip6' || (family !== 'ip' && this.#context.network === 'ip6')
    this.#context.useNetwork()
    const codes: Readonly<Record<string, number>> = isSix ? icmpv6Codes : icmpCodes
    if (icmpCode === codes['port-unreachable'] && (family === 'ip' || family === 'ip6')) return 'reject'
    return `reject with ${isSix ? 'icmpv6' : 'icmp'} ${of(codes)}`
  }

  #nat(expression: Of<'nat'>): string {
    const { type, family, flags = [] } = expression
    const words = [String(type)]
    const isSix = family === 'ip6'
    const address = isSix ? types.ipv6 : types.ipv4
    const {
      addressMinimumRegister: from,
      addressMaximumRegister: to,
      portMinimumRegister,
      portMaximumRegister,
    } = expression
    // Address and port, or first and last address, come from one map.
    const isOne = this.#isRest(to, address) || this.#isRest(portMinimumRegister, types.port)
    if ((this.#context.isBoth || isOne) && from !== undefined) words.push(String(family))
    if (flags.includes('netmap')) words.push('prefix')
    words.push(
      'to',
      isOne
        ? this.#given(from, address)
        : this.#endpoint(address, from, to, portMinimumRegister, portMaximumRegister),
    )
    return [...words, ...natWords(flags)].join(' ')
  }

  #isRest(register: number | undefined, { bytes = 4 }: PrintedType): boolean {
    return register !== undefined && this.#registers.get(register, bytes).kind === 'rest'
  }

  #endpoint(
    type: PrintedType,
    from: number | undefined,
    to: number | undefined,
    portFrom: number | undefined,
    portTo: number | undefined,
  ): string {
    const first = from === undefined ? '' : this.#given(from, type)
    const last = to === undefined || to === from ? '' : this.#given(to, type)
    const hasPorts = portFrom !== undefined
    const bracket = (text: string): string =>
      hasPorts && text.includes(':') && type === types.ipv6 ? `[${text}]` : text
    const addresses = last === '' || last === first ? bracket(first) : `${bracket(first)}-${bracket(last)}`
    return `${addresses}${this.#portText(portFrom, portTo)}`
  }

  #portText(from: number | undefined, to: number | undefined): string {
    if (from === undefined) return ''
    const first = this.#given(from, types.port)
    const last = to === undefined || to === from ? first : this.#given(to, types.port)
    return `:${first}${last === first ? '' : `-${last}`}`
  }

  #ports(
    verb: string,
    { portMinimumRegister, portMaximumRegister, flags = [] }: Of<'masq'> | Of<'redir'>,
  ): string {
    const ports = this.#portText(portMinimumRegister, portMaximumRegister)
    return [verb, ...(ports === '' ? [] : ['to', ports]), ...natWords(flags)].join(' ')
  }

  #tproxy({ family, addressRegister, portRegister }: Of<'tproxy'>): string {
    const of = this.#context.isBoth && family !== 'unspecified' && family !== undefined ? ` ${family}` : ''
    const type = family === 'ip6' ? types.ipv6 : types.ipv4
    return `tproxy${of} to ${this.#endpoint(type, addressRegister, undefined, portRegister, undefined)}`
  }

  #queue({ number = 0, total = 1, flags = [], numberRegister }: Of<'queue'>): string {
    const said = flags.length === 0 ? '' : ` flags ${flags.join(',')}`
    const to =
      numberRegister === undefined
        ? `${number}${total > 1 ? `-${number + total - 1}` : ''}`
        : this.#given(numberRegister, types.hostInteger)
    return `queue${said} to ${to}`
  }

  #dup({ addressRegister, deviceRegister }: Of<'dup'>): string {
    const { family } = this.#context
    const device =
      deviceRegister === undefined ? undefined : this.#given(deviceRegister, types.interfaceIndex)
    if (addressRegister === undefined) return `dup to ${device ?? ''}`
    const address = this.#given(addressRegister, family === 'ip6' ? types.ipv6 : types.ipv4)
    return `dup to ${address}${device === undefined ? '' : ` device ${device}`}`
  }

  #fwd({ deviceRegister, addressRegister, family }: Of<'fwd'>): string {
    const device = this.#given(deviceRegister, types.interfaceIndex)
    if (addressRegister === undefined) return `fwd to ${device}`
    const address = this.#given(addressRegister, family === 'ip6' ? types.ipv6 : types.ipv4)
    return `fwd ${String(family)} to ${address} device ${device}`
  }

  #objref({ type, object, sourceRegister, set = '', setId }: Of<'objref'>): string {
    const known = this.#find(set, setId)
    const what = objectWords[type ?? known?.set.objectType ?? ''] ?? String(type)
    if (object !== undefined) return `${what} "${object}"`
    const left = this.#parts(this.#registers.get(sourceRegister ?? 0, known?.set.keyLength), known)
    for (const part of left) this.#context.use(part)
    return `${what} ${left.map(({ text }) => text).join(' . ')} map ${this.#setText(set, known, left)}`
  }

  #dynset(expression: Of<'dynset'>): string {
    const {
      set = '',
      setId,
      operation = 'add',
      keyRegister = 0,
      dataRegister,
      timeoutMilliseconds,
    } = expression
    const known = this.#find(set, setId)
    const key = this.#parts(this.#registers.get(keyRegister, known?.set.keyLength), known)
    for (const part of key) this.#context.use(part)
    const words = [key.map(({ text }) => text).join(' . ')]
    if (timeoutMilliseconds) words.push(`timeout ${durationText(BigInt(timeoutMilliseconds))}`)
    const states =
      expression.expressions ?? (expression.expression === undefined ? [] : [expression.expression])
    for (const one of states) words.push(stateText(one, false) ?? unsaid(one))
    if (dataRegister !== undefined) {
      const term = this.#registers.get(dataRegister, known?.set.dataLength)
      const part = known === undefined ? undefined : dataOf(known.set)?.parts[0]
      words.push(':', this.#termAs(term, part === undefined ? named('', types.raw) : { ...part, text: '' }))
    }
    return `${operation} @${set} { ${words.join(' ')} }`
  }
}

const objectWords: Readonly<Record<string, string>> = {
  counter: 'counter name',
  quota: 'quota name',
  limit: 'limit name',
  'ct-helper': 'ct helper set',
  'ct-timeout': 'ct timeout set',
  'ct-expectation': 'ct expectation set',
  secmark: 'meta secmark set',
  synproxy: 'synproxy name',
  connlimit: 'ct count name',
  tunnel: 'tunnel name',
}

function parenthesized({ text, isCompound }: Named): string {
  return isCompound === true ? `(${text})` : text
}

function isSamePlace(one: Expression, other: Of<'payload'>): boolean {
  return (
    one.name === 'payload' &&
    one.base === other.base &&
    one.offset === other.offset &&
    one.length === other.length
  )
}

const natFlagWords = ['random', 'fully-random', 'persistent'] as const
function natWords(flags: readonly string[]): string[] {
  const words = natFlagWords.filter((flag) => flags.includes(flag))
  return words.length === 0 ? [] : [words.join(',')]
}

function synproxyText({ maximumSegmentSize, windowScale, flags = [] }: Of<'synproxy'>): string {
  const words = ['synproxy']
  if (flags.includes('mss') || flags.includes('wscale')) {
    words.push(`mss ${maximumSegmentSize ?? 0} wscale ${windowScale ?? 0}`)
  }
  if (flags.includes('timestamp')) words.push('timestamp')
  if (flags.includes('sack-permitted')) words.push('sack-perm')
  return words.join(' ')
}

function logText({ group, prefix, length, queueThreshold, level, flags = [] }: Of<'log'>): string {
  const words = ['log']
  if (prefix !== undefined) words.push(`prefix "${prefix}"`)
  if (group !== undefined) words.push(`group ${group}`)
  if (length !== undefined && length !== 0) words.push(`snaplen ${length}`)
  if (queueThreshold !== undefined && queueThreshold !== 0) words.push(`queue-threshold ${queueThreshold}`)
  if (level !== undefined && level !== 'warn') words.push(`level ${level}`)
  const tcp = [
    ...(flags.includes('tcp-sequence') ? ['sequence'] : []),
    ...(flags.includes('tcp-options') ? ['options'] : []),
  ]
  const others = [
    ...(tcp.length > 0 ? [`tcp ${tcp.join(',')}`] : []),
    ...(flags.includes('ip-options') ? ['ip options'] : []),
    ...(flags.includes('uid') ? ['skuid'] : []),
    ...(flags.includes('mac-decode') ? ['ether'] : []),
  ]
  if (flags.length >= 5) words.push('flags all')
  else for (const one of others) words.push(`flags ${one}`)
  return words.join(' ')
}

/** In libnftnl's form, for what nft's syntax has no words. */
function unsaid(expression: AnyExpression | Expression | UnknownExpression): string {
  return formatExpression(expression as Parameters<typeof formatExpression>[0])
}

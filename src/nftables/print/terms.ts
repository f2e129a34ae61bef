/**
 * What registers hold while a rule runs, as a tree: loads, constants, and what was made of them. The kernel has a rule as
 * a program for registers; nft's syntax has it as matches and statements with expressions in them.
 */
import type { Expression } from '../expressions/index.js'
import { numberOf } from '../numbers.js'
import { loadNamed } from './fields.js'

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

/** What is in a register. */
export type Term =
  | { readonly kind: 'load'; readonly expression: Expression }
  | { readonly kind: 'constant'; readonly data: Uint8Array }
  /** `(of & mask) ^ xor`. */
  | { readonly kind: 'masked'; readonly of: Term; readonly mask: Uint8Array; readonly xor: Uint8Array }
  | { readonly kind: 'shifted'; readonly of: Term; readonly operation: '<<' | '>>'; readonly by: number }
  | { readonly kind: 'both'; readonly operation: '&' | '|' | '^'; readonly left: Term; readonly right: Term }
  /** In the other byte order. */
  | { readonly kind: 'swapped'; readonly of: Term }
  | { readonly kind: 'concatenation'; readonly parts: readonly Term[] }
  /** What a map has for it. */
  | { readonly kind: 'mapped'; readonly key: Term; readonly set: string; readonly setId: number | undefined }
  | { readonly kind: 'hash'; readonly of: Term; readonly expression: Of<'hash'> }
  /** Not the first bytes of it. */
  | { readonly kind: 'rest'; readonly of: Term }
  /** That of a register which nothing was written to: the rule reads what another one left. */
  | { readonly kind: 'unknown'; readonly register: number }

const slotBytes = 4
const slots = 16

/** `enum nft_registers`: 1 to 4 hold 16 bytes each, 8 to 23 the same bytes in fours. */
function slotOf(register: number): number {
  return register >= 8 ? register - 8 : (register - 1) * 4
}

/** The registers of data. */
export class Registers {
  readonly #held: ({ readonly term: Term; readonly slots: number } | undefined)[] = []
  /** Written since the last match or statement. */
  readonly #fresh = new Set<number>()

  put(register: number, term: Term, bytes: number): void {
    const first = slotOf(register)
    if (!(first >= 0 && first < slots)) return
    const count = Math.min(slots, Math.max(1, Math.ceil(bytes / slotBytes)))
    for (const [slot, held] of this.#held.entries()) {
      if (held !== undefined && slot < first + count && slot + held.slots > first)
        this.#held[slot] = undefined
    }
    this.#held[first] = { term, slots: count }
    this.#fresh.add(first)
  }

  /** A match or statement has taken what it needs. */
  settle(): void {
    this.#fresh.clear()
  }

  /** So many bytes from there on; what was written side by side for it where it is not known how many. */
  get(register: number, bytes?: number): Term {
    const parts: Term[] = []
    let slot = slotOf(register)
    const end = slot + Math.ceil((bytes ?? 1) / slotBytes)
    while ((slot < end || (bytes === undefined && this.#fresh.has(slot))) && slot < slots) {
      const held = this.#held[slot]
      if (held === undefined) {
        parts.push(this.#within(slot) ?? { kind: 'unknown', register: slot + 8 })
        slot++
      } else {
        parts.push(held.term)
        slot += held.slots
      }
    }
    if (parts.length > 1 && parts[0]!.kind === 'rest') return parts[0]
    return parts.length === 1 ? parts[0]! : { kind: 'concatenation', parts }
  }

  /** What begins before it and reaches over it. */
  #within(slot: number): Term | undefined {
    for (let before = slot - 1; before >= 0; before--) {
      const held = this.#held[before]
      if (held !== undefined) return before + held.slots > slot ? { kind: 'rest', of: held.term } : undefined
    }
    return undefined
  }
}

/** How long a set's keys and data are decides how much of the registers is read and written. */
export type FindSizes = (
  name: string,
  id: number | undefined,
) =>
  | { readonly set: { readonly keyLength?: number | undefined; readonly dataLength?: number | undefined } }
  | undefined

/** Of either family: 16 bytes, whatever the packet has. */
const ofEitherFamily: ReadonlySet<string | undefined> = new Set(['src', 'dst'])

function bytesOfLoad(expression: Expression): number {
  if (expression.name === 'payload') return expression.length ?? 0
  if (expression.name === 'ct' && ofEitherFamily.has(expression.key)) return 16
  const named = loadNamed(expression)
  if (named !== undefined) return named.bits / 8
  return expression.name === 'exthdr' ? (expression.length ?? 0) : 4
}

/**
 * Runs an expression that does nothing but compute. False for what does something with the packet or decides on it: a
 * match, a statement.
 */
export function compute(expression: Expression, registers: Registers, find: FindSizes): boolean {
  switch (expression.name) {
    case 'immediate': {
      const { data, destinationRegister = 0 } = expression
      if (!(data instanceof Uint8Array)) return false
      registers.put(destinationRegister, { kind: 'constant', data }, data.length)
      return true
    }
    case 'bitwise': {
      const {
        sourceRegister = 0,
        destinationRegister = 0,
        length = 0,
        mask,
        xor,
        operation,
        data,
      } = expression
      const of = registers.get(sourceRegister, length)
      const term = ((): Term | undefined => {
        if (operation === undefined || operation === 'mask-xor') {
          if (!(mask instanceof Uint8Array) || !(xor instanceof Uint8Array)) return undefined
          return { kind: 'masked', of, mask, xor }
        }
        if (operation === 'left-shift' || operation === 'right-shift') {
          if (!(data instanceof Uint8Array)) return undefined
          const by = Number(numberOf(data, 'host'))
          return { kind: 'shifted', of, operation: operation === 'left-shift' ? '<<' : '>>', by }
        }
        const right = registers.get(expression.secondSourceRegister ?? 0, length)
        const sign = ({ and: '&', or: '|', xor: '^' } as const)[operation]
        return { kind: 'both', operation: sign, left: of, right }
      })()
      if (term === undefined) return false
      registers.put(destinationRegister, term, length)
      return true
    }
    case 'byteorder': {
      const { sourceRegister = 0, destinationRegister = 0, length = 0 } = expression
      registers.put(
        destinationRegister,
        { kind: 'swapped', of: registers.get(sourceRegister, length) },
        length,
      )
      return true
    }
    case 'lookup': {
      const { set = '', setId, sourceRegister = 0, destinationRegister } = expression
      if (destinationRegister === undefined || destinationRegister === 0) return false
      const known = find(set, setId)?.set
      const key = registers.get(sourceRegister, known?.keyLength)
      registers.put(destinationRegister, { kind: 'mapped', key, set, setId }, known?.dataLength ?? 4)
      return true
    }
    case 'hash': {
      const { sourceRegister, destinationRegister = 0, length = 0, type } = expression
      const term: Term =
        type === 'symmetric'
          ? { kind: 'load', expression }
          : { kind: 'hash', of: registers.get(sourceRegister ?? 0, length), expression }
      registers.put(destinationRegister, term, 4)
      return true
    }
    default: {
      const { destinationRegister } = expression as { readonly destinationRegister?: number }
      if (destinationRegister === undefined || destinationRegister === 0) return false
      registers.put(destinationRegister, { kind: 'load', expression }, bytesOfLoad(expression))
      return true
    }
  }
}

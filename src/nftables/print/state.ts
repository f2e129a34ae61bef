/** What keeps count: as statements, in elements of sets, and as objects. */
import type { AnyExpression } from '../expression.js'
import type { Expression } from '../expressions/index.js'
import { nft } from '../datatypes.js'
import { durationText } from './datatypes.js'

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

const units = new Map<number, string>(
  Object.entries(nft.names.unit).map(([name, seconds]) => [seconds, name]),
)
const sizes = ['bytes', 'kbytes', 'mbytes'] as const

/** In the largest unit that it is a multiple of. */
function bytesText(bytes: bigint): string {
  let index = 0
  let count = bytes
  while (count !== 0n && count % 1024n === 0n && index < sizes.length - 1) {
    count /= 1024n
    index++
  }
  return `${count} ${sizes[index]!}`
}

type Limit = Pick<Of<'limit'>, 'rate' | 'unitSeconds' | 'burst' | 'type' | 'flags'>
/** Behind `limit`. */
export function limitText({ rate = 0n, unitSeconds = 1, burst = 0, type, flags = [] }: Limit): string {
  const over = flags.includes('inverted') ? 'over ' : ''
  const unit = units.get(unitSeconds) ?? `${unitSeconds} seconds`
  if (type === 'bytes') {
    const more = burst === 0 ? '' : ` burst ${bytesText(BigInt(burst))}`
    return `rate ${over}${bytesText(rate)}/${unit}${more}`
  }
  const more = burst === 0 || burst === 5 ? '' : ` burst ${burst} packets`
  return `rate ${over}${rate}/${unit}${more}`
}

type Quota = Pick<Of<'quota'>, 'bytes' | 'consumed' | 'flags'>
/** Behind `quota`. */
export function quotaText({ bytes = 0n, consumed = 0n, flags = [] }: Quota): string {
  const over = flags.includes('inverted') ? 'over ' : ''
  return `${over}${bytesText(bytes)}${consumed === 0n ? '' : ` used ${bytesText(consumed)}`}`
}

type Connlimit = Pick<Of<'connlimit'>, 'count' | 'flags'>
/** Behind `ct count`. */
export function connlimitText({ count = 0, flags = [] }: Connlimit): string {
  return `${flags.includes('inverted') ? 'over ' : ''}${count}`
}

/** What an element, or each element of a set, carries: the kernel has another attribute where it is one. */
export function statesOf<State>({
  expression,
  expressions,
}: {
  readonly expression?: State | undefined
  readonly expressions?: readonly State[] | undefined
}): readonly State[] {
  return expressions ?? (expression === undefined ? [] : [expression])
}

/** Undefined of what keeps no count. `isCounted`: with what it has counted. */
export function stateText(expression: AnyExpression | Expression, isCounted = true): string | undefined {
  const one = expression as Expression
  switch (one.name) {
    case 'counter':
      return isCounted ? `counter packets ${one.packets ?? 0n} bytes ${one.bytes ?? 0n}` : 'counter'
    case 'limit':
      return `limit ${limitText(one)}`
    case 'quota':
      return `quota ${quotaText(one)}`
    case 'connlimit':
      return `ct count ${connlimitText(one)}`
    case 'last':
      return `last used ${one.isSet ? durationText(BigInt(one.milliseconds ?? 0)) : 'never'}`
    default:
      return undefined
  }
}

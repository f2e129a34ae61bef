/**
 * Of which protocol a rule of iptables is. Its matches and targets ask for it when they are made (nft_parse_compat), the
 * kernel does not tell it, and so what was read would be refused: the rule itself says it, by what it compares.
 */
import type { ExpressionInput, UnknownExpression } from './expressions/index.js'
import type { RuleInput } from './kinds.js'

type Compatibility = NonNullable<RuleInput['compatibility']>

/** Undefined if none of the expressions asks for it, or nothing says it. */
export function compatibilityOf(
  expressions: readonly (ExpressionInput | UnknownExpression)[],
): Compatibility | undefined {
  if (!expressions.some(({ name }) => name === 'match' || name === 'target')) return undefined
  for (const [index, expression] of expressions.entries()) {
    const next = expressions[index + 1]
    if (!isProtocol(expression) || !isNamed('cmp', next)) continue
    const { operation, data } = next
    if (!(data instanceof Uint8Array) || data.length !== 1) continue
    // Both attributes have to be there.
    const flags = operation === '!=' ? (['inverted'] as const) : []
    if (operation === '==' || operation === '!=') return { protocol: data[0]!, flags }
  }
  return undefined
}

function isProtocol(expression: ExpressionInput | UnknownExpression): boolean {
  return isNamed('meta', expression) && expression.key === 'l4proto'
}

function isNamed<N extends ExpressionInput['name']>(
  name: N,
  expression: ExpressionInput | UnknownExpression | undefined,
): expression is Extract<ExpressionInput, { readonly name: N }> {
  return expression?.name === name
}

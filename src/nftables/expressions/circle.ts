/**
 * Expressions inside of expressions. Whoever has one is itself one of those that may stand there, so the tables are
 * asked for when they are needed.
 */
import type { AttributeTable, AttributeType } from '../../netlink/index.js'
import { type AnyExpression, expressionOf, expressionsOf } from '../expression.js'

let tables: Readonly<Record<string, AttributeTable>> | undefined

/** Called once, by the file that has them all. */
export function setExpressionTables(all: Readonly<Record<string, AttributeTable>>): void {
  tables = all
}

export const expression: AttributeType<AnyExpression> = expressionOf(() => tables ?? {})
export const expressions: AttributeType<readonly AnyExpression[]> = expressionsOf(expression)

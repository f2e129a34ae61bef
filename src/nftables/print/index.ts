/**
 * nft's syntax: rulesets as `nft list ruleset` has them, transactions as scripts for `nft -f`. For people who know nft, and
 * for what they have built on it; nothing here goes to the kernel.
 */
import type { Rule, RuleInput } from '../kinds.js'
import { findIn, type PrintOptions, ruleText, withoutControls } from './listing.js'

export { type PrintOptions, printRuleset } from './listing.js'
export { printScript } from './script.js'

/**
 * A rule's matches and statements with its comment: `tcp dport { 80, 443 } accept`. What has no words in nft's syntax
 * stands in libnftnl's form.
 */
export function printRule(rule: Rule | RuleInput, options: PrintOptions = {}): string {
  const known = options.known ?? { sets: [], elements: [] }
  return withoutControls(ruleText(rule, findIn(known, rule.family, rule.table), options))
}

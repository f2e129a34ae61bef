/** nf_tables: tables, chains, rules, sets and objects of the kernel's packet filter. `viaduct/nftables`. */
export { formatExpression, formatRule } from './bytecode.js'
export { Nftables, type NftablesOptions, type Ruleset, type Selection, type SetName } from './client.js'
export type { NetfilterFamily } from '../nfnetlink/index.js'
export type { AnyExpression } from './expression.js'
export type { Expression, ExpressionInput, UnknownExpression } from './expressions/index.js'
export type { Family, Hook, PriorityName } from './hooks.js'
export type {
  Chain,
  ChainInput,
  Data,
  Element,
  ElementInput,
  Elements,
  ElementsInput,
  Flowtable,
  FlowtableInput,
  Inputs,
  KindName,
  NftObject,
  NftSet,
  ObjectInput,
  Outputs,
  Rule,
  RuleInput,
  SetInput,
  Table,
  TableInput,
  Verdict,
} from './kinds.js'
export type { ReadObject } from './reading.js'
export {
  type Committed,
  type Existing,
  type Operation,
  Transaction,
  type TransactionOptions,
  type Verb,
} from './transaction.js'
export type { MonitorOptions, NftablesEvent, NftablesTrace, TraceEvent } from './monitor.js'
export { type PrintOptions, printRule, printRuleset, printScript } from './print/index.js'
export * from './builder/index.js'

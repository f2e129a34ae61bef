/**
 * Rules of matches and statements: `addRule(transaction, place, tcp.dport.in([80, 443]), ct.state.has('new'), accept)`.
 * Registers, byte order and what a field needs beside it are found here; what has no name here is given by `raw`.
 */
export * as types from './datatypes.js'
export {
  concat,
  ct,
  Field,
  fib,
  FlagField,
  icmp,
  icmpv6,
  ip,
  ip6,
  jhash,
  meta,
  numgen,
  sctp,
  SettableField,
  tcp,
  th,
  udp,
} from './fields.js'
export type { IntervalOf, Range } from './intervals.js'
export { type Entries, otherwise, type VerdictPart, type VerdictValue } from './literals.js'
export { addRule, type Dependency, insertRule, type Part, type Place, RuleBuilder } from './rule.js'
export { NamedMap, NamedSet, type NamedSetOptions, type SetPlace, VerdictMap } from './sets.js'
export {
  accept,
  counter,
  dnat,
  drop,
  endpoint4,
  endpoint6,
  goOn,
  goto,
  jump,
  limit,
  log,
  lookup,
  masquerade,
  type NatTarget,
  notrack,
  put,
  putEntry,
  quota,
  raw,
  redirect,
  reject,
  returnVerdict,
  snat,
  tproxy,
  vmap,
} from './statements.js'

/** Every expression of nf_tables, by the kernel's name for it. */
import { attributeTable, type Decoded, type Encodable } from '../../netlink/index.js'
import { bitwise } from './bitwise.js'
import { byteorder } from './byteorder.js'
import { setExpressionTables } from './circle.js'
import { cmp } from './cmp.js'
import { connlimit } from './connlimit.js'
import { counter } from './counter.js'
import { ct } from './ct.js'
import { dup } from './dup.js'
import { dynset } from './dynset.js'
import { exthdr } from './exthdr.js'
import { fib } from './fib.js'
import { flowOffload } from './flow-offload.js'
import { fwd } from './fwd.js'
import { hash } from './hash.js'
import { immediate } from './immediate.js'
import { inner } from './inner.js'
import { last } from './last.js'
import { limit } from './limit.js'
import { log } from './log.js'
import { lookup } from './lookup.js'
import { masq } from './masq.js'
import { match } from './match.js'
import { meta } from './meta.js'
import { nat } from './nat.js'
import { numgen } from './numgen.js'
import { objref } from './objref.js'
import { osf } from './osf.js'
import { payload } from './payload.js'
import { queue } from './queue.js'
import { quota } from './quota.js'
import { range } from './range.js'
import { redir } from './redir.js'
import { reject } from './reject.js'
import { rt } from './rt.js'
import { socket } from './socket.js'
import { synproxy } from './synproxy.js'
import { target } from './target.js'
import { tproxy } from './tproxy.js'
import { tunnel } from './tunnel.js'
import { xfrm } from './xfrm.js'

/** Without attributes: the flow is not tracked. */
const notrack = attributeTable('NFTA_NOTRACK', {})

export const expressionTables = {
  bitwise,
  byteorder,
  cmp,
  connlimit,
  counter,
  ct,
  dup,
  dynset,
  exthdr,
  fib,
  flow_offload: flowOffload,
  fwd,
  hash,
  immediate,
  inner,
  last,
  limit,
  log,
  lookup,
  masq,
  match,
  meta,
  nat,
  notrack,
  numgen,
  objref,
  osf,
  payload,
  queue,
  quota,
  range,
  redir,
  reject,
  rt,
  socket,
  synproxy,
  target,
  tproxy,
  tunnel,
  xfrm,
} as const
setExpressionTables(expressionTables)

export { expression, expressions } from './circle.js'

/** What the kernel sends, by its name. */
type Named<Tables, Shape extends 'in' | 'out'> = {
  [N in keyof Tables & string]: { readonly name: N } & (Shape extends 'in'
    ? Encodable<Tables[N]>
    : Decoded<Tables[N]>)
}[keyof Tables & string]

/** An expression that this version does not know, as it came. */
export interface UnknownExpression {
  /** Its name in its table. */
  readonly name: string
  /** Of maps: the value as bytes, or a verdict. */
  readonly data?: Uint8Array | undefined
}
/** An expression with its own attributes, told apart by `name`. */
export type Expression = Named<typeof expressionTables, 'out'>
/** An expression to send: attributes may be left out as far as the kernel permits. */
export type ExpressionInput = Named<typeof expressionTables, 'in'>

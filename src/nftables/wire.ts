/**
 * nf_tables over nfnetlink: every object's attributes, once. Source: include/uapi/linux/netfilter/nf_tables.h; policies
 * in net/netfilter/nf_tables_api.c. Numbers are in network order.
 */
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  be32,
  be64AsNumber,
  bits,
  bytesOf,
  type Decoded,
  named,
  nested,
  nulString,
  pad,
  readOnly,
  sbe32,
  u8,
} from '../netlink/index.js'
import { counter } from './expressions/counter.js'
import { expression, expressions } from './expressions/index.js'
import { objectData } from './objects.js'
import {
  data,
  deviceName,
  devices,
  key,
  listElements,
  name,
  objectType,
  userData,
  verdict,
} from './values.js'

/** `NFT_MSG_*`. */
export const message = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
  newGeneration: 15,
  getGeneration: 16,
  trace: 17,
  newObject: 18,
  getObject: 19,
  deleteObject: 20,
  resetObject: 21,
  newFlowtable: 22,
  getFlowtable: 23,
  deleteFlowtable: 24,
  resetRule: 25,
  destroyTable: 26,
  destroyChain: 27,
  destroyRule: 28,
  destroySet: 29,
  destroyElements: 30,
  destroyObject: 31,
  destroyFlowtable: 32,
  resetElements: 33,
} as const

export const table = attributeTable('NFTA_TABLE', {
  name: attribute(1, 'NFTA_TABLE_NAME', name, { always: true }),
  /** dormant: its chains see no packets. owner: only this socket may change it, and it goes with it; persist: it does not. */
  flags: attribute(
    2,
    'NFTA_TABLE_FLAGS',
    bits(be32, { dormant: 1, owner: 2, persist: 4 }, { owner: '5.12', persist: '6.9' }),
  ),
  /** How many objects it has. */
  use: readOnly(3, 'NFTA_TABLE_USE', be32),
  handle: attribute(4, 'NFTA_TABLE_HANDLE', be64AsNumber),
  padding: readOnly(5, 'NFTA_TABLE_PAD', pad),
  userData: attribute(6, 'NFTA_TABLE_USERDATA', userData, { since: '5.11' }),
  /** Netlink's port of the socket that owns it. */
  owner: readOnly(7, 'NFTA_TABLE_OWNER', be32, { since: '5.12' }),
})

export const hook = attributeTable('NFTA_HOOK', {
  /** Its number in the family: see `hooks`. */
  number: attribute(1, 'NFTA_HOOK_HOOKNUM', be32),
  priority: attribute(2, 'NFTA_HOOK_PRIORITY', sbe32),
  device: attribute(3, 'NFTA_HOOK_DEV', deviceName),
  devices: attribute(4, 'NFTA_HOOK_DEVS', devices, { since: '5.5' }),
})

export const chain = attributeTable('NFTA_CHAIN', {
  table: attribute(1, 'NFTA_CHAIN_TABLE', name, { always: true }),
  handle: attribute(2, 'NFTA_CHAIN_HANDLE', be64AsNumber),
  name: attribute(3, 'NFTA_CHAIN_NAME', name),
  /** Of base chains: where packets come into it. */
  hook: attribute(4, 'NFTA_CHAIN_HOOK', nested(hook)),
  policy: attribute(5, 'NFTA_CHAIN_POLICY', named(be32, { drop: 0, accept: 1 })),
  /** How many rules, and verdicts that go to it. */
  use: readOnly(6, 'NFTA_CHAIN_USE', be32),
  /** Of base chains. */
  type: attribute(7, 'NFTA_CHAIN_TYPE', nulString(15) as AttributeType<'filter' | 'nat' | 'route'>),
  counters: attribute(8, 'NFTA_CHAIN_COUNTERS', nested(counter)),
  padding: readOnly(9, 'NFTA_CHAIN_PAD', pad),
  flags: attribute(10, 'NFTA_CHAIN_FLAGS', bits(be32, { base: 1, offload: 2, binding: 4 }), { since: '5.4' }),
  /** Names it within a transaction. */
  id: attribute(11, 'NFTA_CHAIN_ID', be32, { since: '5.8' }),
  userData: attribute(12, 'NFTA_CHAIN_USERDATA', userData, { since: '5.11' }),
})

const compatibility = attributeTable('NFTA_RULE_COMPAT', {
  protocol: attribute(1, 'NFTA_RULE_COMPAT_PROTO', be32),
  flags: attribute(2, 'NFTA_RULE_COMPAT_FLAGS', bits(be32, { unused: 1, inverted: 2 })),
})

export const rule = attributeTable('NFTA_RULE', {
  table: attribute(1, 'NFTA_RULE_TABLE', name, { always: true }),
  chain: attribute(2, 'NFTA_RULE_CHAIN', name),
  handle: attribute(3, 'NFTA_RULE_HANDLE', be64AsNumber),
  expressions: attribute(4, 'NFTA_RULE_EXPRESSIONS', expressions),
  /** Of rules that xtables' tools made. */
  compatibility: attribute(5, 'NFTA_RULE_COMPAT', nested(compatibility)),
  /** The handle of the rule before it. */
  position: attribute(6, 'NFTA_RULE_POSITION', be64AsNumber),
  userData: attribute(7, 'NFTA_RULE_USERDATA', userData),
  padding: readOnly(8, 'NFTA_RULE_PAD', pad),
  /** Names it within a transaction. */
  id: attribute(9, 'NFTA_RULE_ID', be32),
  positionId: attribute(10, 'NFTA_RULE_POSITION_ID', be32, { since: '5.1' }),
  chainId: attribute(11, 'NFTA_RULE_CHAIN_ID', be32, { since: '5.9' }),
})

const field = attributeTable('NFTA_SET_FIELD', {
  /** Bytes. */
  length: attribute(1, 'NFTA_SET_FIELD_LEN', be32),
})

const description = attributeTable('NFTA_SET_DESC', {
  /** The most elements that it may have. */
  size: attribute(1, 'NFTA_SET_DESC_SIZE', be32),
  /** Of concatenations: each field. */
  fields: attribute(2, 'NFTA_SET_DESC_CONCAT', listElements(nested(field)), { since: '5.6' }),
})

/** `enum nft_set_flags`. */
export const setFlags = bits(
  be32,
  {
    anonymous: 1,
    constant: 2,
    interval: 4,
    map: 8,
    timeout: 0x10,
    dynamic: 0x20,
    object: 0x40,
    concatenation: 0x80,
    expressions: 0x100,
  },
  { concatenation: '5.6', expressions: '5.11' },
)

export const set = attributeTable('NFTA_SET', {
  table: attribute(1, 'NFTA_SET_TABLE', name, { always: true }),
  name: attribute(2, 'NFTA_SET_NAME', name),
  flags: attribute(3, 'NFTA_SET_FLAGS', setFlags),
  /** What nft calls the type of its keys; the kernel does not look at it. */
  keyType: attribute(4, 'NFTA_SET_KEY_TYPE', be32),
  /** Bytes. */
  keyLength: attribute(5, 'NFTA_SET_KEY_LEN', be32),
  /** 0xffffff00 for verdicts. */
  dataType: attribute(6, 'NFTA_SET_DATA_TYPE', be32),
  dataLength: attribute(7, 'NFTA_SET_DATA_LEN', be32),
  policy: attribute(8, 'NFTA_SET_POLICY', named(be32, { performance: 0, memory: 1 })),
  description: attribute(9, 'NFTA_SET_DESC', nested(description)),
  /** Names it within a transaction. */
  id: attribute(10, 'NFTA_SET_ID', be32),
  timeoutMilliseconds: attribute(11, 'NFTA_SET_TIMEOUT', be64AsNumber),
  gcIntervalMilliseconds: attribute(12, 'NFTA_SET_GC_INTERVAL', be32),
  userData: attribute(13, 'NFTA_SET_USERDATA', userData),
  padding: readOnly(14, 'NFTA_SET_PAD', pad),
  objectType: attribute(15, 'NFTA_SET_OBJ_TYPE', objectType),
  handle: attribute(16, 'NFTA_SET_HANDLE', be64AsNumber),
  /** What each element carries; where it is one. */
  expression: attribute(17, 'NFTA_SET_EXPR', expression, { since: '5.7' }),
  expressions: attribute(18, 'NFTA_SET_EXPRESSIONS', expressions, { since: '5.11' }),
  /** What the kernel keeps it in. */
  backend: readOnly(19, 'NFTA_SET_TYPE', nulString(255), { since: '6.16' }),
  count: readOnly(20, 'NFTA_SET_COUNT', be32, { since: '6.16' }),
})

export const element = attributeTable('NFTA_SET_ELEM', {
  key: attribute(1, 'NFTA_SET_ELEM_KEY', key),
  data: attribute(2, 'NFTA_SET_ELEM_DATA', data),
  flags: attribute(
    3,
    'NFTA_SET_ELEM_FLAGS',
    bits(be32, { 'interval-end': 1, 'catch-all': 2 }, { 'catch-all': '5.13' }),
  ),
  timeoutMilliseconds: attribute(4, 'NFTA_SET_ELEM_TIMEOUT', be64AsNumber),
  /** How long it has left. */
  expirationMilliseconds: attribute(5, 'NFTA_SET_ELEM_EXPIRATION', be64AsNumber),
  userData: attribute(6, 'NFTA_SET_ELEM_USERDATA', userData),
  expression: attribute(7, 'NFTA_SET_ELEM_EXPR', expression),
  padding: readOnly(8, 'NFTA_SET_ELEM_PAD', pad),
  object: attribute(9, 'NFTA_SET_ELEM_OBJREF', name),
  /** Of concatenated ranges. */
  keyEnd: attribute(10, 'NFTA_SET_ELEM_KEY_END', key, { since: '5.6' }),
  expressions: attribute(11, 'NFTA_SET_ELEM_EXPRESSIONS', expressions, { since: '5.11' }),
})

export const elements = attributeTable('NFTA_SET_ELEM_LIST', {
  table: attribute(1, 'NFTA_SET_ELEM_LIST_TABLE', name, { always: true }),
  set: attribute(2, 'NFTA_SET_ELEM_LIST_SET', name, { always: true }),
  elements: attribute(3, 'NFTA_SET_ELEM_LIST_ELEMENTS', listElements(nested(element))),
  setId: attribute(4, 'NFTA_SET_ELEM_LIST_SET_ID', be32),
})

export const object = attributeTable('NFTA_OBJ', {
  table: attribute(1, 'NFTA_OBJ_TABLE', name, { always: true }),
  name: attribute(2, 'NFTA_OBJ_NAME', name),
  type: attribute(3, 'NFTA_OBJ_TYPE', objectType),
  data: attribute(4, 'NFTA_OBJ_DATA', objectData),
  use: readOnly(5, 'NFTA_OBJ_USE', be32),
  handle: attribute(6, 'NFTA_OBJ_HANDLE', be64AsNumber),
  padding: readOnly(7, 'NFTA_OBJ_PAD', pad),
  userData: attribute(8, 'NFTA_OBJ_USERDATA', userData),
})

const flowtableHook = attributeTable('NFTA_FLOWTABLE_HOOK', {
  number: attribute(1, 'NFTA_FLOWTABLE_HOOK_NUM', be32),
  priority: attribute(2, 'NFTA_FLOWTABLE_HOOK_PRIORITY', sbe32),
  devices: attribute(3, 'NFTA_FLOWTABLE_HOOK_DEVS', devices),
})

export const flowtable = attributeTable('NFTA_FLOWTABLE', {
  table: attribute(1, 'NFTA_FLOWTABLE_TABLE', name, { always: true }),
  name: attribute(2, 'NFTA_FLOWTABLE_NAME', name),
  hook: attribute(3, 'NFTA_FLOWTABLE_HOOK', nested(flowtableHook)),
  use: readOnly(4, 'NFTA_FLOWTABLE_USE', be32),
  handle: attribute(5, 'NFTA_FLOWTABLE_HANDLE', be64AsNumber),
  padding: readOnly(6, 'NFTA_FLOWTABLE_PAD', pad),
  flags: attribute(7, 'NFTA_FLOWTABLE_FLAGS', bits(be32, { offload: 1, counter: 2 }), { since: '5.7' }),
})

export const generation = attributeTable('NFTA_GEN', {
  /** Goes up with every change. */
  id: readOnly(1, 'NFTA_GEN_ID', be32, { always: true }),
  /** Who made it. */
  processId: readOnly(2, 'NFTA_GEN_PROC_PID', be32),
  processName: readOnly(3, 'NFTA_GEN_PROC_NAME', nulString(255)),
})
export interface Generation extends Decoded<typeof generation> {}

export const trace = attributeTable('NFTA_TRACE', {
  table: readOnly(1, 'NFTA_TRACE_TABLE', name),
  chain: readOnly(2, 'NFTA_TRACE_CHAIN', name),
  ruleHandle: readOnly(3, 'NFTA_TRACE_RULE_HANDLE', be64AsNumber),
  type: readOnly(4, 'NFTA_TRACE_TYPE', named(be32, { policy: 1, return: 2, rule: 3 })),
  verdict: readOnly(5, 'NFTA_TRACE_VERDICT', nested(verdict)),
  /** The same for all that is told of one packet. */
  id: readOnly(6, 'NFTA_TRACE_ID', be32),
  linkHeader: readOnly(7, 'NFTA_TRACE_LL_HEADER', bytesOf()),
  networkHeader: readOnly(8, 'NFTA_TRACE_NETWORK_HEADER', bytesOf()),
  transportHeader: readOnly(9, 'NFTA_TRACE_TRANSPORT_HEADER', bytesOf()),
  incomingInterface: readOnly(10, 'NFTA_TRACE_IIF', be32),
  incomingType: readOnly(11, 'NFTA_TRACE_IIFTYPE', be16),
  outgoingInterface: readOnly(12, 'NFTA_TRACE_OIF', be32),
  outgoingType: readOnly(13, 'NFTA_TRACE_OIFTYPE', be16),
  mark: readOnly(14, 'NFTA_TRACE_MARK', be32),
  protocolFamily: readOnly(15, 'NFTA_TRACE_NFPROTO', be32),
  policy: readOnly(16, 'NFTA_TRACE_POLICY', be32),
  padding: readOnly(17, 'NFTA_TRACE_PAD', pad),
  conntrackId: readOnly(18, 'NFTA_TRACE_CT_ID', be32, { since: '6.16' }),
  conntrackDirection: readOnly(19, 'NFTA_TRACE_CT_DIRECTION', named(u8, { original: 0, reply: 1 })),
  conntrackStatus: readOnly(20, 'NFTA_TRACE_CT_STATUS', be32),
  conntrackState: readOnly(21, 'NFTA_TRACE_CT_STATE', be32),
})
/** What is told of a traced packet at one place. */
export interface TraceRecord extends Decoded<typeof trace> {}

export { verdict }

/** For the tests that hold every table against the kernel's headers and both codecs against each other. */
export const tables = {
  table,
  hook,
  chain,
  compatibility,
  rule,
  field,
  description,
  set,
  element,
  elements,
  object,
  flowtableHook,
  flowtable,
  generation,
  trace,
} as const

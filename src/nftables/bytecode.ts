/**
 * Rules as the kernel has them, register by register, in the words of libnftnl: what `nft --debug=netlink` prints. It is
 * for people who compare the two; what a rule means says its nft syntax.
 */
import { hostIsLittleEndian } from '../netlink/index.js'
import { netfilterFamilies } from '../nfnetlink/index.js'
import { type Expression, expressionTables, type UnknownExpression } from './expressions/index.js'
import type { Rule } from './kinds.js'
import { type Data, natFlags, objectType } from './values.js'

/** A rule with its expressions, a line each: `inet filter input 7 6`, `  [ meta load mark => reg 1 ]`. */
export function formatRule(rule: Rule): string {
  const { family, table, chain, handle, previous, expressions = [], userData } = rule
  const lines = expressions.map((expression) => formatExpression(expression))
  if (userData !== undefined) lines.push(`userdata = { ${printable(userData)} }`)
  return [textOf([family, table, chain, handle, previous]), ...lines.map((line) => `  ${line}`)].join('\n')
}

/** An expression: `[ payload load 4b @ network header + 16 => reg 1 ]`. One that has no words of its own: its name. */
export function formatExpression(expression: Expression | UnknownExpression): string {
  const { name } = expression
  const format = Object.hasOwn(formats, name) ? formats[name as Expression['name']] : undefined
  return `[ ${textOf([name, format?.(expression as never)])} ]`
}

function printable(bytes: Uint8Array): string {
  const each = (byte: number): string =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  return Array.from(bytes, each).join('')
}

/** What stands behind the name of each, in libnftnl's order. */
type Formats = {
  readonly [N in Expression['name']]: (expression: Extract<Expression, { readonly name: N }>) => Part
}

const formats: Formats = {
  bitwise: ({ destinationRegister, sourceRegister, operation = 'mask-xor', mask, xor, data, ...rest }) => {
    const source = ['=', '(', register(sourceRegister)]
    if (operation === 'mask-xor') {
      return [register(destinationRegister), ...source, '&', words(mask), ')', '^', words(xor)]
    }
    const other = rest.secondSourceRegister === undefined ? words(data) : register(rest.secondSourceRegister)
    return [register(destinationRegister), ...source, bitOperations[operation] ?? operation, other, ')']
  },
  byteorder: ({ destinationRegister, sourceRegister, operation, size, length }) => [
    register(destinationRegister),
    '=',
    `${operation === 'network-to-host' ? 'ntoh' : 'hton'}(${register(sourceRegister)}, ${size}, ${length})`,
  ],
  cmp: ({ operation = '', sourceRegister, data }) => [
    comparisons[operation] ?? operation,
    register(sourceRegister),
    words(data),
  ],
  connlimit: ({ count, flags }) => ['count', count, 'flags', flagsOf(names.connlimit, flags)],
  counter: ({ packets = 0n, bytes = 0n }) => ['pkts', packets, 'bytes', bytes],
  ct: ({ key, destinationRegister, sourceRegister, direction }) => [
    sourceRegister === undefined
      ? loads(destinationRegister, key && ctWord(key))
      : ['set', key && ctWord(key), 'with', register(sourceRegister)],
    direction === undefined ? undefined : [', dir', direction],
  ],
  dup: ({ addressRegister, deviceRegister }) => [
    said('sreg_addr', addressRegister),
    said('sreg_dev', deviceRegister),
  ],
  dynset: ({ operation, keyRegister, set, dataRegister, timeoutMilliseconds, expression, expressions }) => [
    operation,
    'reg_key',
    keyRegister,
    'set',
    set,
    said('sreg_data', dataRegister),
    timeoutMilliseconds === undefined ? undefined : `timeout ${timeoutMilliseconds}ms`,
    (expressions ?? [expression]).map((one) => one && ['expr', formatExpression(one)]),
  ],
  exthdr: ({ destinationRegister, sourceRegister, operation = 'ipv6', type, offset, length, flags }) => {
    const word = headerWords[operation]
    const place = [`${length}b`, '@', type, '+', offset]
    if (sourceRegister !== undefined) return ['write', word, register(sourceRegister), '=>', ...place]
    if (destinationRegister === undefined) return ['reset', word, type]
    const present = flags?.includes('present') === true ? 'present' : undefined
    return ['load', word, ...place, present, into(destinationRegister)]
  },
  fib: ({ destinationRegister, result, flags = [] }) => [
    flags.filter((flag) => flag !== 'present').join(' . '),
    result,
    flags.includes('present') ? 'present' : undefined,
    into(destinationRegister),
  ],
  flow_offload: ({ flowtable }) => ['flowtable', flowtable],
  fwd: ({ deviceRegister, addressRegister, family }) => [
    said('sreg_dev', deviceRegister),
    said('sreg_addr', addressRegister),
    family === undefined ? undefined : ['nfproto', numberOf(netfilterFamilies, family)],
  ],
  hash: ({ sourceRegister, destinationRegister, length, modulus, seed = 0, offset = 0, type }) => [
    register(destinationRegister),
    '=',
    type === 'symmetric' ? 'symhash()' : `jhash(${register(sourceRegister)}, ${length}, ${hex(seed)})`,
    '% mod',
    modulus,
    offset === 0 ? undefined : ['offset', offset],
  ],
  immediate: ({ destinationRegister, data }) => [register(destinationRegister), words(data)],
  inner: ({ type, headerSize, flags, expression }) => [
    'type',
    type,
    'hdrsize',
    headerSize,
    'flags',
    flagsOf(names.inner, flags).toString(16),
    expression === undefined ? undefined : formatExpression(expression),
  ],
  last: ({ isSet, milliseconds }) => (isSet === 1 ? milliseconds : 'never'),
  limit: ({ rate, unitSeconds = 0, burst, type, flags }) => [
    'rate',
    `${rate}/${units[unitSeconds] ?? `${unitSeconds} seconds`}`,
    'burst',
    burst,
    'type',
    type,
    'flags',
    hex(flagsOf(names.limit, flags)),
  ],
  log: ({ prefix, group, length, queueThreshold, level, flags = [] }) => [
    said('prefix', prefix),
    group === undefined
      ? ['level', level === undefined ? undefined : numberOf(names.level, level)]
      : ['group', group, 'snaplen', length ?? 0, 'qthreshold', queueThreshold ?? 0],
    flags.map((flag) => logWords[flag]),
  ],
  lookup: ({ set, sourceRegister, destinationRegister, flags }) => [
    register(sourceRegister),
    'set',
    set,
    said('dreg', destinationRegister),
    hex(flagsOf(names.lookup, flags)),
  ],
  masq: ({ portMinimumRegister, portMaximumRegister, flags }) => [
    inRegister('proto_min', portMinimumRegister),
    inRegister('proto_max', portMaximumRegister),
    natFlagsOf(flags),
  ],
  match: ({ extension, revision }) => ['name', extension, 'rev', revision],
  meta: ({ key, destinationRegister, sourceRegister }) => {
    const word = key && (metaWords[key] ?? key)
    return sourceRegister === undefined
      ? loads(destinationRegister, word)
      : ['set', word, 'with', register(sourceRegister)]
  },
  nat: ({ type, family, flags, ...registers }) => [
    type,
    family,
    inRegister('addr_min', registers.addressMinimumRegister),
    inRegister('addr_max', registers.addressMaximumRegister),
    inRegister('proto_min', registers.portMinimumRegister),
    inRegister('proto_max', registers.portMaximumRegister),
    natFlagsOf(flags),
  ],
  notrack: () => undefined,
  numgen: ({ destinationRegister, modulus, type, offset = 0 }) => [
    register(destinationRegister),
    '=',
    type === 'incremental' ? 'inc' : type,
    'mod',
    modulus,
    offset === 0 ? undefined : ['offset', offset],
  ],
  objref: ({ type, object, sourceRegister, set }) =>
    sourceRegister === undefined
      ? ['type', numberOf(objectType.names, type), 'name', object]
      : ['sreg', sourceRegister, 'set', set],
  osf: ({ destinationRegister }) => ['dreg', destinationRegister],
  payload: ({ destinationRegister, sourceRegister, base, offset, length, ...checksum }) => {
    const place = [`${length}b`, '@', base, 'header', '+', offset]
    if (sourceRegister === undefined) return ['load', ...place, into(destinationRegister)]
    return [
      ['write', register(sourceRegister), '=>', ...place],
      ['csum_type', numberOf(names.checksumType, checksum.checksumType)],
      ['csum_off', checksum.checksumOffset ?? 0],
      ['csum_flags', hex(flagsOf(names.checksumFlags, checksum.checksumFlags))],
    ]
  },
  queue: ({ number = 0, total = 1, numberRegister, flags = [] }) => [
    numberRegister === undefined
      ? ['num', total > 1 ? `${number}-${number + total - 1}` : number]
      : ['sreg_qnum', numberRegister],
    flags,
  ],
  quota: ({ bytes, consumed = 0n, flags }) => [
    ['bytes', bytes],
    ['consumed', consumed],
    ['flags', flagsOf(names.quota, flags)],
  ],
  range: ({ operation = '', sourceRegister, from, to }) => [
    comparisons[operation] ?? operation,
    register(sourceRegister),
    words(from),
    words(to),
  ],
  redir: ({ portMinimumRegister, portMaximumRegister, flags }) => [
    inRegister('proto_min', portMinimumRegister),
    inRegister('proto_max', portMaximumRegister),
    natFlagsOf(flags),
  ],
  reject: ({ type, icmpCode = 0 }) => ['type', numberOf(names.reject, type), 'code', icmpCode],
  rt: ({ key, destinationRegister }) => loads(destinationRegister, key),
  socket: ({ key, destinationRegister }) => loads(destinationRegister, key),
  synproxy: ({ maximumSegmentSize = 0, windowScale = 0 }) => [
    'mss',
    maximumSegmentSize,
    'wscale',
    windowScale,
  ],
  target: ({ extension, revision }) => ['name', extension, 'rev', revision],
  tproxy: ({ family, addressRegister, portRegister }) => [
    family === 'unspecified' ? undefined : family,
    inRegister('addr', addressRegister),
    inRegister('port', portRegister),
  ],
  tunnel: ({ key, destinationRegister }) => loads(destinationRegister, key),
  xfrm: ({ destinationRegister, key = '', direction, depth = 0 }) => [
    'load',
    direction,
    depth,
    xfrmWords[key] ?? key,
    into(destinationRegister),
  ],
}

/** What is put together with spaces; what is undefined is left out. */
type Part = string | number | bigint | undefined | readonly Part[]

function textOf(parts: Part): string {
  if (!Array.isArray(parts)) return parts === undefined ? '' : String(parts)
  return (parts as readonly Part[])
    .map(textOf)
    .filter((text) => text !== '')
    .join(' ')
}

/** A word and its value, if it has one. */
function said(word: string, value: string | number | bigint | undefined): Part {
  return value === undefined ? undefined : [word, value]
}
const register = (number: number | undefined): string => `reg ${number ?? 0}`
const inRegister = (word: string, number: number | undefined): Part =>
  number === undefined ? undefined : [word, register(number)]
const into = (number: number | undefined): Part => ['=>', register(number)]
const hex = (value: number): string => `0x${value.toString(16)}`

/** Flags as their number. */
function flagsOf(of: Readonly<Record<string, number>>, flags: readonly string[] = []): number {
  const bit = (flag: string): number => of[flag] ?? 1 << Number(flag.slice('bit-'.length))
  return flags.reduce((number, flag) => number | bit(flag), 0) >>> 0
}

/** Words of 4 bytes as the host has its numbers; the last one is filled up with zeros. */
function words(data: Data | undefined): string {
  if (data === undefined) return ''
  if (!(data instanceof Uint8Array)) {
    const { code = 'unknown', chain, chainId } = data
    return textOf([code, said('->', chain ?? (chainId === undefined ? undefined : `id ${chainId}`))])
  }
  const view = new DataView(new ArrayBuffer((data.length + 3) & ~3))
  for (const [index, byte] of data.entries()) view.setUint8(index, byte)
  return Array.from({ length: view.byteLength / 4 }, (_, index) => {
    const word = view.getUint32(index * 4, hostIsLittleEndian)
    return `0x${word.toString(16).padStart(8, '0')}`
  }).join(' ')
}

const loads = (destination: number | undefined, key: string | undefined): Part => [
  'load',
  key,
  into(destination),
]

const ctWord = (key: string): string => key.replaceAll('-', '_').replace('l3proto', 'l3protocol')
const natFlagsOf = (flags: readonly string[] | undefined): Part =>
  flags === undefined ? undefined : ['flags', hex(flagsOf(natFlags.names, flags))]

const comparisons: Readonly<Record<string, string>> = {
  '==': 'eq',
  '!=': 'neq',
  '<': 'lt',
  '<=': 'lte',
  '>': 'gt',
  '>=': 'gte',
}
const bitOperations: Readonly<Record<string, string>> = {
  'left-shift': '<<',
  'right-shift': '>>',
  and: '&',
  or: '|',
  xor: '^',
}
const units: Readonly<Record<number, string>> = {
  1: 'second',
  60: 'minute',
  3600: 'hour',
  86_400: 'day',
  604_800: 'week',
}
/** Where libnftnl has another name than nft. */
const metaWords: Readonly<Record<string, string>> = {
  ibrname: 'bri_iifname',
  obrname: 'bri_oifname',
  ibrpvid: 'bri_iifpvid',
  ibrvproto: 'bri_iifvproto',
  ibrhwaddr: 'bri_iifhwaddr',
  broute: 'bri_broute',
  random: 'prandom',
  ipsec: 'secpath',
}
const xfrmWords: Readonly<Record<string, string>> = {
  'daddr-ip4': 'daddr4',
  'daddr-ip6': 'daddr6',
  'saddr-ip4': 'saddr4',
  'saddr-ip6': 'saddr6',
}
const headerWords: Readonly<Record<string, string>> = {
  ipv6: 'ipv6',
  'tcp-option': 'tcpopt',
  'ipv4-option': 'ipv4',
}
const logWords: Readonly<Record<string, string>> = {
  'tcp-sequence': 'tcpseq',
  'tcp-options': 'tcpopt',
  'ip-options': 'ipopt',
  uid: 'uid',
  'mac-decode': 'macdecode',
}

/** Names and numbers of rows, as the tables have them. */
const namesOf = (row: { readonly type: object }): Readonly<Record<string, number>> =>
  (row.type as { readonly names: Readonly<Record<string, number>> }).names
const names = {
  checksumFlags: namesOf(expressionTables.payload.rows.checksumFlags),
  checksumType: namesOf(expressionTables.payload.rows.checksumType),
  connlimit: namesOf(expressionTables.connlimit.rows.flags),
  inner: namesOf(expressionTables.inner.rows.flags),
  level: namesOf(expressionTables.log.rows.level),
  limit: namesOf(expressionTables.limit.rows.flags),
  lookup: namesOf(expressionTables.lookup.rows.flags),
  quota: namesOf(expressionTables.quota.rows.flags),
  reject: namesOf(expressionTables.reject.rows.type),
}
/** A name's number; what has no name is a number as text. */
const numberOf = (of: Readonly<Record<string, number>>, name: string | undefined): number =>
  name === undefined ? 0 : (of[name] ?? Number(name))

/** How nft names what is loaded from elsewhere than the packet's headers. */
import type { Expression } from '../expressions/index.js'
import { type PrintedType, types } from './datatypes.js'
import {
  type Extension,
  type Header,
  headers,
  ipv4Options,
  ipv6Extensions,
  sackBlocks,
  sctpChunks,
  segmentRouting,
  tcpOptions,
} from './headers.js'

/** Something that has a name and values. */
export interface Named {
  /** As nft writes it. */
  readonly text: string
  /** What its values are. */
  readonly type: PrintedType
  /** In which order the register holds them. */
  readonly order: PrintedType['order']
  /** Bits that count. */
  readonly bits: number
  /** Values stand in the register so many bits higher. */
  readonly shift: number
  /** The header that it is an option or extension of. */
  readonly extends?: Header | undefined
  /** It is made of several: `==` is written. */
  readonly isCompound?: boolean
}

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

export function named(text: string, type: PrintedType, bits = (type.bytes ?? 4) * 8): Named {
  return { text, type, order: type.order, bits, shift: 0 }
}

/** By the names of the table; `meta` is written before those that are not here. */
const bareMeta: ReadonlySet<string> = new Set(['iif', 'oif', 'iifname', 'oifname', 'iifgroup', 'oifgroup'])
const metaTypes: Readonly<Partial<Record<string, PrintedType>>> = {
  protocol: types.etherType,
  priority: types.classid,
  mark: types.mark,
  iif: types.interfaceIndex,
  oif: types.interfaceIndex,
  iifname: types.interfaceName,
  oifname: types.interfaceName,
  iiftype: types.interfaceType,
  oiftype: types.interfaceType,
  skuid: types.uid,
  skgid: types.gid,
  rtclassid: types.realm,
  nfproto: types.nfProto,
  l4proto: { ...types.protocol, order: 'host' },
  ibrname: types.interfaceName,
  obrname: types.interfaceName,
  pkttype: types.packetType,
  iifgroup: types.deviceGroup,
  oifgroup: types.deviceGroup,
  ipsec: types.boolean,
  iifkind: types.interfaceName,
  oifkind: types.interfaceName,
  ibrvproto: types.etherType,
  random: types.integer,
  time: types.date,
  day: types.day,
  hour: types.hour,
  sdif: types.interfaceIndex,
  sdifname: types.interfaceName,
  broute: types.boolean,
  ibrhwaddr: types.ether,
}

const metaBits: Readonly<Partial<Record<string, number>>> = { nftrace: 8, ibrpvid: 16 }

export function metaNamed(key: string): Named {
  const name = key === 'len' ? 'length' : key
  const type = metaTypes[key] ?? types.hostInteger
  return named(bareMeta.has(key) ? name : `meta ${name}`, type, metaBits[key])
}

const ctTypes: Readonly<Partial<Record<string, PrintedType>>> = {
  state: types.ctState,
  direction: types.ctDirection,
  status: types.ctStatus,
  mark: types.mark,
  expiration: types.time,
  helper: types.string,
  l3proto: types.nfProto,
  src: types.ipv4,
  dst: types.ipv4,
  protocol: types.protocol,
  'proto-src': types.port,
  'proto-dst': types.port,
  label: types.ctLabel,
  id: types.integer,
  event: types.ctEvent,
  'src-ip': types.ipv4,
  'dst-ip': types.ipv4,
  'src-ip6': types.ipv6,
  'dst-ip6': types.ipv6,
}
const ctBits: Readonly<Partial<Record<string, number>>> = {
  zone: 16,
  packets: 64,
  bytes: 64,
  avgpkt: 64,
  helper: 128,
}
const ctNames: Readonly<Partial<Record<string, string>>> = {
  src: 'saddr',
  dst: 'daddr',
  'src-ip': 'ip saddr',
  'dst-ip': 'ip daddr',
  'src-ip6': 'ip6 saddr',
  'dst-ip6': 'ip6 daddr',
}

export function ctNamed({ key = 'state', direction }: Pick<Of<'ct'>, 'key' | 'direction'>): Named {
  const type = ctTypes[key] ?? types.hostInteger
  const of = direction === undefined ? '' : `${direction} `
  return named(`ct ${of}${ctNames[key] ?? key}`, type, ctBits[key])
}

function fibNamed({ result, flags = [] }: Of<'fib'>): Named {
  const by = flags.filter((flag) => flag !== 'present').join(' . ')
  const text = `fib ${by} ${result ?? ''}`
  if (flags.includes('present')) return named(text, types.boolean)
  const type =
    result === 'oifname' ? types.interfaceName : result === 'type' ? types.addressType : types.interfaceIndex
  return named(text, type)
}

function rtNamed(key: Of<'rt'>['key']): Named {
  switch (key) {
    case 'classid':
      return named('rt classid', types.realm)
    case 'nexthop4':
      return named('rt ip nexthop', types.ipv4)
    case 'nexthop6':
      return named('rt ip6 nexthop', types.ipv6)
    case 'tcpmss':
      return named('rt mtu', types.hostInteger, 16)
    case 'ipsec':
      return named('rt ipsec', types.boolean)
    default:
      return named(`rt ${key ?? ''}`, types.hostInteger)
  }
}

function socketNamed({ key, level }: Of<'socket'>): Named {
  if (key === 'mark') return named('socket mark', types.mark)
  if (key === 'cgroupv2') return named(`socket cgroupv2 level ${level ?? 0}`, types.cgroupv2)
  return named(`socket ${key ?? ''}`, types.hostInteger, 8)
}

function xfrmNamed({ key, direction, depth = 0 }: Of<'xfrm'>): Named {
  const where = `ipsec ${direction ?? ''}${depth === 0 ? '' : ` spnum ${depth}`}`
  switch (key) {
    case 'reqid':
      return named(`${where} reqid`, types.hostInteger)
    case 'spi':
      return named(`${where} spi`, types.integer, 32)
    case 'saddr-ip4':
    case 'daddr-ip4':
      return named(`${where} ip ${key.slice(0, 5)}`, types.ipv4)
    default:
      return named(`${where} ip6 ${(key ?? '').slice(0, 5)}`, types.ipv6)
  }
}

const osfTtl = ['', 'loose ', 'skip '] as const
function osfNamed({ ttl = 0, flags }: Of<'osf'>): Named {
  const check = osfTtl[ttl] ?? ''
  const part = flags?.includes('version') === true ? 'version' : 'name'
  return named(`osf ${check === '' ? '' : `ttl ${check}`}${part}`, types.string, 128)
}

/** ` offset 7`, unless it is none. */
const offsetText = (offset: number | undefined): string => (offset ? ` offset ${offset}` : '')

export function hashText({ type, modulus = 0, seed, offset }: Of<'hash'>, of: string): string {
  const start = type === 'symmetric' ? 'symhash' : `jhash ${of}`
  const seeded = type === 'symmetric' || !seed ? '' : ` seed 0x${seed.toString(16)}`
  return `${start} mod ${modulus}${seeded}${offsetText(offset)}`
}

/** What is loaded; undefined for bytes of the packet and what has no name. */
export function loadNamed(expression: Expression): Named | undefined {
  switch (expression.name) {
    case 'meta':
      return expression.key === undefined ? undefined : metaNamed(expression.key)
    case 'ct':
      return ctNamed(expression)
    case 'fib':
      return fibNamed(expression)
    case 'rt':
      return rtNamed(expression.key)
    case 'socket':
      return socketNamed(expression)
    case 'xfrm':
      return xfrmNamed(expression)
    case 'osf':
      return osfNamed(expression)
    case 'numgen': {
      const { type, modulus = 0, offset } = expression
      const kind = type === 'random' ? 'random' : 'inc'
      return named(`numgen ${kind} mod ${modulus}${offsetText(offset)}`, types.hostInteger)
    }
    case 'hash':
      return named(hashText(expression, ''), types.hostInteger)
    case 'exthdr':
      return exthdrNamed(expression, undefined)
    case 'tunnel':
      return named(`tunnel ${expression.key ?? ''}`, types.hostInteger)
    default:
      return undefined
  }
}

type Exthdr = Of<'exthdr'>

const prefixes: Readonly<Partial<Record<string, string>>> = {
  ipv6: '',
  'tcp-option': 'tcp option ',
  'ipv4-option': 'ip option ',
  sctp: 'sctp chunk ',
  dccp: 'dccp option ',
}
const extensions: Readonly<Partial<Record<string, ReadonlyMap<number, Extension>>>> = {
  ipv6: ipv6Extensions,
  'tcp-option': tcpOptions,
  'ipv4-option': ipv4Options,
  sctp: sctpChunks,
}

/** One that has no name has its number. */
function extensionOf({ operation = 'ipv6', type = 0 }: Exthdr): Extension {
  const known = extensions[operation]?.get(type)
  return known ?? { name: operation === 'ipv6' ? `exthdr ${type}` : String(type), fields: [] }
}

/** Named by offset and length, or those bits of it that the mask leaves. */
export function exthdrNamed(expression: Exthdr, mask: bigint | undefined): Named | undefined {
  const { operation = 'ipv6' } = expression
  const found = extensionNamed(expression, mask)
  if (found === undefined || (operation !== 'ipv6' && operation !== 'ipv4-option')) return found
  return { ...found, extends: operation === 'ipv6' ? headers.ip6 : headers.ip }
}

function extensionNamed(expression: Exthdr, mask: bigint | undefined): Named | undefined {
  const { operation = 'ipv6', type = 0, offset = 0, length = 0, flags = [] } = expression
  const prefix = prefixes[operation] ?? `${operation} option `
  const extension = extensionOf(expression)
  if (flags.includes('present')) {
    const start = operation === 'ipv6' ? 'exthdr ' : prefix
    return named(`${start}${extension.name}`, types.boolean, 8)
  }
  const part = partOf(offset * 8, length * 8, mask)
  if (part === undefined) return undefined
  const routing = operation === 'ipv6' && type === 43 ? [segmentRouting] : []
  const blocks = operation === 'tcp-option' && type === 5 ? sackBlocks : []
  for (const candidate of [extension, ...routing, ...blocks]) {
    const field = candidate.fields.find((one) => one.offset === part.offset && one.length === part.length)
    if (field === undefined) continue
    const name = field.name === 'kind' ? '' : ` ${field.name}`
    return { ...named(`${prefix}${candidate.name}${name}`, field.type, field.length), shift: part.shift }
  }
  if (operation === 'ipv6' && type === 43 && part.length === 128 && (part.offset - 64) % 128 === 0) {
    return named(`srh sid[${(part.offset - 64) / 128 + 1}]`, types.ipv6)
  }
  if (mask !== undefined || operation !== 'tcp-option') return undefined
  return named(`tcp option @${type},${offset * 8},${length * 8}`, types.integer, length * 8)
}

/** All registers together: no load is longer. */
const mostBits = 512

/** Which bits a mask leaves of so many: undefined where they are not in one piece. */
export function partOf(
  offset: number,
  length: number,
  mask: bigint | undefined,
): { readonly offset: number; readonly length: number; readonly shift: number } | undefined {
  if (length > mostBits) return undefined
  if (mask === undefined) return { offset, length, shift: 0 }
  if (mask === 0n) return undefined
  let shift = 0
  while (((mask >> BigInt(shift)) & 1n) === 0n) shift++
  const ones = mask >> BigInt(shift)
  if ((ones & (ones + 1n)) !== 0n) return undefined
  const count = ones.toString(2).length
  return { offset: offset + length - shift - count, length: count, shift }
}

/**
 * How nft writes values: names where it has them, hexadecimal for marks, seconds with their units. Names, numbers and
 * sizes are those of nft (include/datatype.h there, `nft describe`); the kernel keeps a set's number and does not look
 * at it.
 */
import { formatAddress } from '../../address/index.js'
import { nft } from '../datatypes.js'
import { bytesOf } from '../numbers.js'
import { ipProtocolNames } from './protocols.js'

/** What prints values of one type. */
export interface PrintedType {
  /** nft's name for it. */
  readonly name: string
  /** nft's number for it. */
  readonly number: number
  /** The order in which the kernel's registers hold it: as packets do, or as the host has its numbers. */
  readonly order: 'network' | 'host'
  /** How many a set has of it, where that is fixed. */
  readonly bytes?: number
  /** Bits are named one by one. */
  readonly flags?: Symbols
  /** Ranges that are prefixes are written as such. */
  readonly hasPrefixes?: boolean
  /** Read from the highest address on, as text; it is never a number. */
  readonly isText?: boolean
  /** A value of so many bits. */
  text(value: bigint, bits: number, wording: Wording): string
}

/** What only the host knows. */
export interface Names {
  /** What an interface is called; numbers are written where it is not known. */
  readonly interfaceName?: ((index: number) => string | undefined) | undefined
}

/** How values are written here. */
export interface Wording extends Names {
  /** Numbers instead of names. */
  readonly isNumeric?: boolean | undefined
}

const { names } = nft
type Symbols = Readonly<Record<string, number>>

const decimal = (value: bigint): string => String(value)
/** Of whole bytes, as nft pads it. */
const hexadecimal = (value: bigint, bits: number): string =>
  `0x${value.toString(16).padStart(bits > 32 || bits % 8 !== 0 ? 1 : bits / 4, '0')}`
const plainHexadecimal = (value: bigint): string => `0x${value.toString(16)}`

type Text = PrintedType['text']
/** What has no name is written as a number. */
function symbols(given: Symbols, otherwise: Text = decimal): Text {
  const byNumber = new Map<number, string>()
  for (const [name, number] of Object.entries(given)) if (!byNumber.has(number)) byNumber.set(number, name)
  return (value, bits, host) =>
    (host.isNumeric === true ? undefined : byNumber.get(Number(value))) ?? otherwise(value, bits, host)
}
function flagsText(given: Symbols): Text {
  const bits = Object.entries(given).sort(([, a], [, b]) => a - b)
  return (value) => {
    let rest = value
    const found: string[] = []
    for (const [name, bit] of bits) {
      if ((rest & BigInt(bit)) === 0n) continue
      rest &= ~BigInt(bit)
      found.push(name)
    }
    if (rest !== 0n || found.length === 0) found.push(plainHexadecimal(rest))
    return found.join(',')
  }
}

type Rest = Partial<Omit<PrintedType, 'name' | 'number' | 'order' | 'text'>>
function type(
  name: keyof typeof nft.numbers,
  order: PrintedType['order'],
  bytes: number,
  text: Text = decimal,
  rest: Rest = {},
): PrintedType {
  return { name, number: nft.numbers[name], order, text, ...(bytes === 0 ? {} : { bytes }), ...rest }
}

const quoted = (text: string): string => `"${text}"`
const decoder = new TextDecoder()
/** A string ends at its NUL; one that fills less than its type stands for all that begin so. */
function stringText(value: bigint, bits: number): string {
  const bytes = bytesOf(value, bits / 8)
  const end = bytes.indexOf(0)
  const text = decoder.decode(end < 0 ? bytes : bytes.subarray(0, end))
  return quoted(end < 0 && bits < 128 ? `${text}*` : text)
}
const addressText: Text = (value, bits) => formatAddress(bytesOf(value, bits / 8))
const hardwareText: Text = (value, bits) =>
  Array.from(bytesOf(value, bits / 8), (byte) => byte.toString(16).padStart(2, '0')).join(':')
const interfaceText: Text = (value, _, { interfaceName }) => {
  const name = interfaceName?.(Number(value))
  return name === undefined ? decimal(value) : quoted(name)
}

const timeUnits = [
  ['w', 604_800_000n],
  ['d', 86_400_000n],
  ['h', 3_600_000n],
  ['m', 60_000n],
  ['s', 1000n],
  ['ms', 1n],
] as const
/** Milliseconds with their units. Weeks are counted as days. */
export function durationText(milliseconds: bigint): string {
  if (milliseconds === 0n) return '0s'
  let rest = milliseconds
  let text = ''
  for (const [unit, size] of timeUnits.slice(1)) {
    const count = rest / size
    rest %= size
    if (count > 0n) text += `${count}${unit}`
  }
  return text
}

const two = (value: number): string => String(value).padStart(2, '0')
/** Nanoseconds since 1970, in the local time. */
const dateText: Text = (value) => {
  const date = new Date(Number(value / 1_000_000n))
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return quoted(`${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`)
}
/** Seconds of a day of UTC, in the local time. */
const hourText: Text = (value) => {
  const offset = new Date().getTimezoneOffset() * 60
  const seconds = (((Number(value) - offset) % 86_400) + 86_400) % 86_400
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return quoted(`${two(hours)}:${two(minutes)}${rest === 0 ? '' : `:${two(rest)}`}`)
}

/** Every type, by the name that this file has for it. */
export const types = {
  nfProto: type('nf_proto', 'host', 1, symbols(names.nf_proto)),
  integer: type('integer', 'network', 0),
  hostInteger: type('integer', 'host', 0),
  /** Of bytes that have no name. */
  raw: type('integer', 'network', 0, plainHexadecimal),
  string: type('string', 'network', 0, stringText, { isText: true }),
  lladdr: type('ll_addr', 'network', 0, hardwareText),
  ipv4: type('ipv4_addr', 'network', 4, addressText, { hasPrefixes: true }),
  ipv6: type('ipv6_addr', 'network', 16, addressText, { hasPrefixes: true }),
  ether: type('ether_addr', 'network', 6, hardwareText),
  etherType: type('ether_type', 'network', 2, symbols(names.ether_type, hexadecimal)),
  arpOperation: type('arp_op', 'network', 2, symbols(names.arp_op)),
  protocol: type('inet_proto', 'network', 1, symbols(Object.fromEntries(ipProtocolNames))),
  port: type('inet_service', 'network', 2),
  icmpType: type('icmp_type', 'network', 1, symbols(names.icmp_type)),
  tcpFlags: type('tcp_flag', 'network', 1, flagsText(names.tcp_flag), { flags: names.tcp_flag }),
  dccpType: type('dccp_pkttype', 'network', 1, symbols(names.dccp_pkttype)),
  mobilityType: type('mh_type', 'network', 1, symbols(names.mh_type)),
  /** Milliseconds. */
  time: type('time', 'host', 4, (value, _, { isNumeric }) =>
    isNumeric === true ? `${value / 1000n}s` : durationText(value),
  ),
  mark: type('mark', 'host', 4, hexadecimal, { hasPrefixes: true }),
  interfaceIndex: type('iface_index', 'host', 4, interfaceText),
  interfaceType: type('iface_type', 'host', 2, symbols(names.iface_type)),
  realm: type('realm', 'host', 4, symbols(names.realm)),
  classid: type('classid', 'host', 4, (value) =>
    value === 0xffff_ffffn
      ? 'root'
      : value === 0n
        ? 'none'
        : `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`,
  ),
  uid: type('uid', 'host', 4),
  gid: type('gid', 'host', 4),
  ctState: type('ct_state', 'host', 4, flagsText(names.ct_state), { flags: names.ct_state }),
  ctDirection: type('ct_dir', 'host', 1, symbols(names.ct_dir)),
  ctStatus: type('ct_status', 'host', 4, flagsText(names.ct_status), { flags: names.ct_status }),
  icmpv6Type: type('icmpv6_type', 'network', 1, symbols(names.icmpv6_type)),
  ctLabel: type(
    'ct_label',
    'host',
    16,
    (value) => {
      const bits: number[] = []
      for (let bit = 0; bit < 128; bit++) if ((value >> BigInt(bit)) & 1n) bits.push(bit)
      return bits.join(',')
    },
    { flags: {} },
  ),
  packetType: type('pkt_type', 'host', 1, symbols(names.pkt_type)),
  icmpCode: type('icmp_code', 'network', 1, symbols(names.icmp_code)),
  icmpv6Code: type('icmpv6_code', 'network', 1, symbols(names.icmpv6_code)),
  icmpxCode: type('icmpx_code', 'network', 1, symbols(names.icmpx_code)),
  deviceGroup: type('devgroup', 'host', 4, symbols(names.devgroup), { hasPrefixes: true }),
  dscp: type(
    'dscp',
    'network',
    1,
    symbols(names.dscp, (value) => hexadecimal(value, 8)),
  ),
  ecn: type(
    'ecn',
    'network',
    1,
    symbols(names.ecn, (value) => hexadecimal(value, 8)),
  ),
  addressType: type('fib_addrtype', 'host', 4, symbols(names.fib_addrtype)),
  boolean: type('boolean', 'host', 1, symbols(names.boolean)),
  ctEvent: type('ct_event', 'host', 4, flagsText(names.ct_event), { flags: names.ct_event }),
  interfaceName: type('ifname', 'network', 16, stringText, { isText: true }),
  igmpType: type('igmp_type', 'network', 1, symbols(names.igmp_type)),
  date: type('date', 'host', 8, dateText),
  hour: type('hour', 'host', 4, hourText),
  day: type('day', 'host', 1, symbols(names.day)),
  cgroupv2: type('cgroupsv2', 'host', 8),
} as const satisfies Readonly<Record<string, PrintedType>>

const byNumber = new Map<number, PrintedType>()
for (const one of Object.values<PrintedType>(types))
  if (!byNumber.has(one.number)) byNumber.set(one.number, one)

/** What a set's number says: one type, or those of a concatenation (six bits each). Undefined where it says nothing. */
export function typesOfNumber(number: number): readonly PrintedType[] | undefined {
  const found: PrintedType[] = []
  for (let rest = number; rest > 0; rest = Math.floor(rest / 64)) {
    const one = byNumber.get(rest % 64)
    if (one === undefined) return undefined
    found.unshift(one)
  }
  return found.length === 0 ? undefined : found
}

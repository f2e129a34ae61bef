/**
 * How nft writes values: names where it has them, hexadecimal for marks, seconds with their units. Names, numbers and
 * sizes are those of nft (include/datatype.h there, `nft describe`); the kernel keeps a set's number and does not look
 * at it.
 */
import { formatAddress } from '../../address/index.js'
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

type Symbols = Readonly<Record<string, number>>

const decimal = (value: bigint): string => String(value)
/** Of whole bytes, as nft pads it. */
const hexadecimal = (value: bigint, bits: number): string =>
  `0x${value.toString(16).padStart(bits > 32 || bits % 8 !== 0 ? 1 : bits / 4, '0')}`
const plainHexadecimal = (value: bigint): string => `0x${value.toString(16)}`

type Text = PrintedType['text']
/** What has no name is written as a number. */
function symbols(names: Symbols, otherwise: Text = decimal): Text {
  const byNumber = new Map<number, string>()
  for (const [name, number] of Object.entries(names)) if (!byNumber.has(number)) byNumber.set(number, name)
  return (value, bits, host) =>
    (host.isNumeric === true ? undefined : byNumber.get(Number(value))) ?? otherwise(value, bits, host)
}
function flagsText(names: Symbols): Text {
  const bits = Object.entries(names).sort(([, a], [, b]) => a - b)
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
  number: number,
  name: string,
  order: PrintedType['order'],
  bytes: number,
  text: Text = decimal,
  rest: Rest = {},
): PrintedType {
  return { name, number, order, text, ...(bytes === 0 ? {} : { bytes }), ...rest }
}

const quoted = (text: string): string => `"${text}"`
/** Bytes of a value as they stand in a packet. */
export function bytesOf(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let rest = value
  for (let index = length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}
/** The number that bytes are. */
export function numberOf(bytes: Uint8Array, order: PrintedType['order'] = 'network'): bigint {
  let value = 0n
  if (order === 'host')
    for (let index = bytes.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index]!)
  else for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return value
}

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

const ctStates = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 }
const ctStatuses = { expected: 1, 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 }
const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 }
const ctEvents = {
  new: 1,
  related: 2,
  destroy: 4,
  reply: 8,
  assured: 0x10,
  protoinfo: 0x20,
  helper: 0x40,
  mark: 0x80,
  seqadj: 0x100,
  secmark: 0x200,
  label: 0x400,
}

/** Codes of ICMP's unreachable messages, which `reject` has too. */
export const icmpCodes = {
  'net-unreachable': 0,
  'host-unreachable': 1,
  'prot-unreachable': 2,
  'port-unreachable': 3,
  'frag-needed': 4,
  'net-prohibited': 9,
  'host-prohibited': 10,
  'admin-prohibited': 13,
}
export const icmpv6Codes = {
  'no-route': 0,
  'admin-prohibited': 1,
  'addr-unreachable': 3,
  'port-unreachable': 4,
  'policy-fail': 5,
  'reject-route': 6,
}
export const icmpxCodes = {
  'no-route': 0,
  'port-unreachable': 1,
  'host-unreachable': 2,
  'admin-prohibited': 3,
}

/** Every type, by the name that this file has for it. */
export const types = {
  nfProto: type(2, 'nf_proto', 'host', 1, symbols({ ipv4: 2, ipv6: 10 })),
  integer: type(4, 'integer', 'network', 0),
  hostInteger: type(4, 'integer', 'host', 0),
  /** Of bytes that have no name. */
  raw: type(4, 'integer', 'network', 0, plainHexadecimal),
  string: type(5, 'string', 'network', 0, stringText, { isText: true }),
  lladdr: type(6, 'll_addr', 'network', 0, hardwareText),
  ipv4: type(7, 'ipv4_addr', 'network', 4, addressText, { hasPrefixes: true }),
  ipv6: type(8, 'ipv6_addr', 'network', 16, addressText, { hasPrefixes: true }),
  ether: type(9, 'ether_addr', 'network', 6, hardwareText),
  etherType: type(
    10,
    'ether_type',
    'network',
    2,
    symbols({ ip: 0x0800, arp: 0x0806, ip6: 0x86dd, '8021q': 0x8100, '8021ad': 0x88a8 }, hexadecimal),
  ),
  arpOperation: type(
    11,
    'arp_op',
    'network',
    2,
    symbols({ request: 1, reply: 2, rrequest: 3, rreply: 4, inrequest: 8, inreply: 9, nak: 10 }),
  ),
  protocol: type(12, 'inet_proto', 'network', 1, symbols(ipProtocolNames)),
  port: type(13, 'inet_service', 'network', 2),
  icmpType: type(
    14,
    'icmp_type',
    'network',
    1,
    symbols({
      'echo-reply': 0,
      'destination-unreachable': 3,
      'source-quench': 4,
      redirect: 5,
      'echo-request': 8,
      'router-advertisement': 9,
      'router-solicitation': 10,
      'time-exceeded': 11,
      'parameter-problem': 12,
      'timestamp-request': 13,
      'timestamp-reply': 14,
      'info-request': 15,
      'info-reply': 16,
      'address-mask-request': 17,
      'address-mask-reply': 18,
    }),
  ),
  tcpFlags: type(15, 'tcp_flag', 'network', 1, flagsText(tcpFlags), { flags: tcpFlags }),
  dccpType: type(
    16,
    'dccp_pkttype',
    'network',
    1,
    symbols({
      request: 0,
      response: 1,
      data: 2,
      ack: 3,
      dataack: 4,
      closereq: 5,
      close: 6,
      reset: 7,
      sync: 8,
      syncack: 9,
    }),
  ),
  mobilityType: type(
    17,
    'mh_type',
    'network',
    1,
    symbols({
      'binding-refresh-request': 0,
      'home-test-init': 1,
      'careof-test-init': 2,
      'home-test': 3,
      'careof-test': 4,
      'binding-update': 5,
      'binding-acknowledgement': 6,
      'binding-error': 7,
      'fast-binding-update': 8,
      'fast-binding-acknowledgement': 9,
      'fast-binding-advertisement': 10,
      'experimental-mobility-header': 11,
      'home-agent-switch-message': 12,
    }),
  ),
  /** Milliseconds. */
  time: type(18, 'time', 'host', 4, (value, _, { isNumeric }) =>
    isNumeric === true ? `${value / 1000n}s` : durationText(value),
  ),
  mark: type(19, 'mark', 'host', 4, hexadecimal, { hasPrefixes: true }),
  interfaceIndex: type(20, 'iface_index', 'host', 4, interfaceText),
  interfaceType: type(
    21,
    'iface_type',
    'host',
    2,
    symbols({ ether: 1, ppp: 0x200, ipip: 0x300, ipip6: 0x301, loopback: 0x304, sit: 0x308, ipgre: 0x30a }),
  ),
  realm: type(22, 'realm', 'host', 4, symbols({ '"cosmos"': 0 })),
  classid: type(23, 'classid', 'host', 4, (value) =>
    value === 0xffff_ffffn
      ? 'root'
      : value === 0n
        ? 'none'
        : `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`,
  ),
  uid: type(24, 'uid', 'host', 4),
  gid: type(25, 'gid', 'host', 4),
  ctState: type(26, 'ct_state', 'host', 4, flagsText(ctStates), { flags: ctStates }),
  ctDirection: type(27, 'ct_dir', 'host', 1, symbols({ original: 0, reply: 1 })),
  ctStatus: type(28, 'ct_status', 'host', 4, flagsText(ctStatuses), { flags: ctStatuses }),
  icmpv6Type: type(
    29,
    'icmpv6_type',
    'network',
    1,
    symbols({
      'destination-unreachable': 1,
      'packet-too-big': 2,
      'time-exceeded': 3,
      'parameter-problem': 4,
      'echo-request': 128,
      'echo-reply': 129,
      'mld-listener-query': 130,
      'mld-listener-report': 131,
      'mld-listener-done': 132,
      'nd-router-solicit': 133,
      'nd-router-advert': 134,
      'nd-neighbor-solicit': 135,
      'nd-neighbor-advert': 136,
      'nd-redirect': 137,
      'router-renumbering': 138,
      'ind-neighbor-solicit': 141,
      'ind-neighbor-advert': 142,
      'mld2-listener-report': 143,
    }),
  ),
  ctLabel: type(
    30,
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
  packetType: type(31, 'pkt_type', 'host', 1, symbols({ host: 0, broadcast: 1, multicast: 2, other: 3 })),
  icmpCode: type(32, 'icmp_code', 'network', 1, symbols(icmpCodes)),
  icmpv6Code: type(33, 'icmpv6_code', 'network', 1, symbols(icmpv6Codes)),
  icmpxCode: type(34, 'icmpx_code', 'network', 1, symbols(icmpxCodes)),
  deviceGroup: type(35, 'devgroup', 'host', 4, symbols({ '"default"': 0 }), { hasPrefixes: true }),
  dscp: type(
    36,
    'dscp',
    'network',
    1,
    symbols(
      {
        cs0: 0,
        lephb: 1,
        cs1: 8,
        af11: 10,
        af12: 12,
        af13: 14,
        cs2: 16,
        af21: 18,
        af22: 20,
        af23: 22,
        cs3: 24,
        af31: 26,
        af32: 28,
        af33: 30,
        cs4: 32,
        af41: 34,
        af42: 36,
        af43: 38,
        cs5: 40,
        va: 44,
        ef: 46,
        cs6: 48,
        cs7: 56,
      },
      (value) => hexadecimal(value, 8),
    ),
  ),
  ecn: type(
    37,
    'ecn',
    'network',
    1,
    symbols({ 'not-ect': 0, ect1: 1, ect0: 2, ce: 3 }, (value) => hexadecimal(value, 8)),
  ),
  addressType: type(
    38,
    'fib_addrtype',
    'host',
    4,
    symbols({
      unspec: 0,
      unicast: 1,
      local: 2,
      broadcast: 3,
      anycast: 4,
      multicast: 5,
      blackhole: 6,
      unreachable: 7,
      prohibit: 8,
    }),
  ),
  boolean: type(39, 'boolean', 'host', 1, symbols({ missing: 0, exists: 1 })),
  ctEvent: type(40, 'ct_event', 'host', 4, flagsText(ctEvents), { flags: ctEvents }),
  interfaceName: type(41, 'ifname', 'network', 16, stringText, { isText: true }),
  igmpType: type(
    42,
    'igmp_type',
    'network',
    1,
    symbols({
      'membership-query': 0x11,
      'membership-report-v1': 0x12,
      'membership-report-v2': 0x16,
      'leave-group': 0x17,
      'membership-report-v3': 0x22,
    }),
  ),
  date: type(43, 'time', 'host', 8, dateText),
  hour: type(44, 'hour', 'host', 4, hourText),
  day: type(
    45,
    'day',
    'host',
    1,
    symbols({
      '"Sunday"': 0,
      '"Monday"': 1,
      '"Tuesday"': 2,
      '"Wednesday"': 3,
      '"Thursday"': 4,
      '"Friday"': 5,
      '"Saturday"': 6,
    }),
  ),
  cgroupv2: type(46, 'cgroupsv2', 'host', 8),
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

/**
 * Headers of packets, field by field, as nft names them. The order is nft's own (enum …hdr_fields in include/headers.h
 * there): sets that say `typeof ip saddr` keep a field's place in it, counted from one.
 */
import { types, type PrintedType } from './datatypes.js'

/** A field of a header. */
export interface HeaderField {
  /** As nft names it. */
  readonly name: string
  /** Bits from the start of the header. */
  readonly offset: number
  /** Bits. */
  readonly length: number
  /** What its values are. */
  readonly type: PrintedType
}
/** Where a header begins. */
export type Layer = 'link' | 'network' | 'transport'
/** A header. */
export interface Header {
  /** As nft names it. */
  readonly name: string
  /** nft's number for it (enum proto_desc_id). */
  readonly number: number
  /** What it is the header of. */
  readonly layer: Layer
  /** Bits that stand before it in its layer. */
  readonly start: number
  /** Its fields. */
  readonly fields: readonly HeaderField[]
}

type Row = readonly [name: string, offset: number, length: number, type?: PrintedType]
const fieldsOf = (rows: readonly Row[]): HeaderField[] =>
  rows.map(([name, offset, length, type = types.integer]) => ({ name, offset, length, type }))
const header = (name: string, number: number, layer: Layer, rows: readonly Row[], start = 0): Header => ({
  name,
  number,
  layer,
  start,
  fields: fieldsOf(rows),
})

const { ether, etherType, protocol, port, ipv4, ipv6, dscp, ecn } = types
const ports: readonly Row[] = [
  ['sport', 0, 16, port],
  ['dport', 16, 16, port],
]

export const headers = {
  ether: header('ether', 0x11, 'link', [
    ['daddr', 0, 48, ether],
    ['saddr', 48, 48, ether],
    ['type', 96, 16, etherType],
  ]),
  /** Behind Ethernet's addresses and type. */
  vlan: header(
    'vlan',
    0x10,
    'link',
    [
      ['pcp', 0, 3],
      ['dei', 3, 1],
      ['cfi', 3, 1],
      ['id', 4, 12],
      ['type', 16, 16, etherType],
    ],
    112,
  ),
  arp: header('arp', 0x0f, 'network', [
    ['htype', 0, 16],
    ['ptype', 16, 16, etherType],
    ['hlen', 32, 8],
    ['plen', 40, 8],
    ['operation', 48, 16, types.arpOperation],
    ['saddr ether', 64, 48, ether],
    ['saddr ip', 112, 32, ipv4],
    ['daddr ether', 144, 48, ether],
    ['daddr ip', 192, 32, ipv4],
  ]),
  ip: header('ip', 0x0c, 'network', [
    ['version', 0, 4],
    ['hdrlength', 4, 4],
    ['dscp', 8, 6, dscp],
    ['ecn', 14, 2, ecn],
    ['length', 16, 16],
    ['id', 32, 16],
    ['frag-off', 48, 16],
    ['ttl', 64, 8],
    ['protocol', 72, 8, protocol],
    ['checksum', 80, 16],
    ['saddr', 96, 32, ipv4],
    ['daddr', 128, 32, ipv4],
  ]),
  ip6: header('ip6', 0x0d, 'network', [
    ['version', 0, 4],
    ['dscp', 4, 6, dscp],
    ['ecn', 10, 2, ecn],
    ['flowlabel', 12, 20],
    ['length', 32, 16],
    ['nexthdr', 48, 8, protocol],
    ['hoplimit', 56, 8],
    ['saddr', 64, 128, ipv6],
    ['daddr', 192, 128, ipv6],
  ]),
  icmp: header('icmp', 4, 'transport', [
    ['type', 0, 8, types.icmpType],
    ['code', 8, 8, types.icmpCode],
    ['checksum', 16, 16],
    ['id', 32, 16],
    ['sequence', 48, 16],
    ['gateway', 32, 32],
    ['mtu', 48, 16],
  ]),
  igmp: header('igmp', 5, 'transport', [
    ['type', 0, 8, types.igmpType],
    ['checksum', 16, 16],
    ['mrt', 8, 8],
    ['group', 32, 32],
  ]),
  icmpv6: header('icmpv6', 0x0e, 'transport', [
    ['type', 0, 8, types.icmpv6Type],
    ['code', 8, 8, types.icmpv6Code],
    ['checksum', 16, 16],
    ['parameter-problem', 32, 32],
    ['mtu', 32, 32],
    ['id', 32, 16],
    ['sequence', 48, 16],
    ['max-delay', 32, 16],
  ]),
  tcp: header('tcp', 8, 'transport', [
    ...ports,
    ['sequence', 32, 32],
    ['ackseq', 64, 32],
    ['doff', 96, 4],
    ['reserved', 100, 4],
    ['flags', 104, 8, types.tcpFlags],
    ['window', 112, 16],
    ['checksum', 128, 16],
    ['urgptr', 144, 16],
  ]),
  udp: header('udp', 6, 'transport', [...ports, ['length', 32, 16], ['checksum', 48, 16]]),
  udplite: header('udplite', 7, 'transport', [...ports, ['csumcov', 32, 16], ['checksum', 48, 16]]),
  dccp: header('dccp', 9, 'transport', [...ports, ['type', 67, 4, types.dccpType]]),
  sctp: header('sctp', 0x0a, 'transport', [...ports, ['vtag', 32, 32], ['checksum', 64, 32]]),
  ah: header('ah', 1, 'transport', [
    ['nexthdr', 0, 8, protocol],
    ['hdrlength', 8, 8],
    ['reserved', 16, 16],
    ['spi', 32, 32],
    ['sequence', 64, 32],
  ]),
  esp: header('esp', 2, 'transport', [
    ['spi', 0, 32],
    ['sequence', 32, 32],
  ]),
  comp: header('comp', 3, 'transport', [
    ['nexthdr', 0, 8, protocol],
    ['flags', 8, 8, types.raw],
    ['cpi', 16, 16],
  ]),
  /** Of whatever has ports. */
  th: header('th', 0x0b, 'transport', ports),
} as const

/** What stands in a layer, by the number that the layer below has for it. */
export const byEtherType = new Map<number, Header>([
  [0x0800, headers.ip],
  [0x86dd, headers.ip6],
  [0x0806, headers.arp],
  [0x8100, headers.vlan],
])
export const byProtocol = new Map<number, Header>([
  [1, headers.icmp],
  [2, headers.igmp],
  [6, headers.tcp],
  [17, headers.udp],
  [33, headers.dccp],
  [50, headers.esp],
  [51, headers.ah],
  [58, headers.icmpv6],
  [108, headers.comp],
  [132, headers.sctp],
  [136, headers.udplite],
])
export const byNumber = new Map<number, Header>(Object.values(headers).map((one) => [one.number, one]))

/** Options and extension headers, by their numbers. */
export interface Extension {
  /** As nft names it. */
  readonly name: string
  /** Its fields. */
  readonly fields: readonly HeaderField[]
}
const extension = (name: string, ...rows: readonly Row[]): Extension => ({ name, fields: fieldsOf(rows) })
type Extensions = ReadonlyMap<number, Extension>

const nextHeader: readonly Row[] = [
  ['nexthdr', 0, 8, protocol],
  ['hdrlength', 8, 8],
]
export const ipv6Extensions: Extensions = new Map([
  [0, extension('hbh', ...nextHeader)],
  [43, extension('rt', ...nextHeader, ['type', 16, 8], ['seg-left', 24, 8])],
  [
    44,
    extension(
      'frag',
      ['nexthdr', 0, 8, protocol],
      ['reserved', 8, 8],
      ['frag-off', 16, 13],
      ['reserved2', 29, 2],
      ['more-fragments', 31, 1],
      ['id', 32, 32],
    ),
  ],
  [60, extension('dst', ...nextHeader)],
  [
    135,
    extension(
      'mh',
      ...nextHeader,
      ['type', 16, 8, types.mobilityType],
      ['reserved', 24, 8],
      ['checksum', 32, 16],
    ),
  ],
])
/** Routing headers that are told apart by their type. */
export const segmentRouting = extension('srh', ['last-entry', 32, 8], ['flags', 40, 8], ['tag', 48, 16])

const kind: Row = ['kind', 0, 8]
const sized: readonly Row[] = [kind, ['length', 8, 8]]
const block = (index: number): readonly Row[] => [
  ['left', 16 + index * 64, 32],
  ['right', 48 + index * 64, 32],
]
export const tcpOptions: Extensions = new Map([
  [0, extension('eol', kind)],
  [1, extension('nop', kind)],
  [2, extension('maxseg', ...sized, ['size', 16, 16])],
  [3, extension('window', ...sized, ['count', 16, 8])],
  [4, extension('sack-perm', ...sized)],
  [5, extension('sack', ...sized, ...block(0))],
  [8, extension('timestamp', ...sized, ['tsval', 16, 32], ['tsecr', 48, 32])],
  [19, extension('md5sig', ...sized)],
  [30, extension('mptcp', ...sized, ['subtype', 16, 4])],
  [34, extension('fastopen', ...sized)],
])
/** Further blocks of selective acknowledgements are named by their number. */
export const sackBlocks: readonly Extension[] = [1, 2, 3].map((index) =>
  extension(`sack${index}`, ...block(index)),
)
const route: readonly Row[] = [
  ['type', 0, 8],
  ['length', 8, 8],
  ['ptr', 16, 8],
  ['addr', 24, 32],
]
export const ipv4Options: Extensions = new Map([
  [7, extension('rr', ...route)],
  [131, extension('lsrr', ...route)],
  [137, extension('ssrr', ...route)],
  [148, extension('ra', ['type', 0, 8], ['length', 8, 8], ['value', 16, 16])],
])

const chunk = (name: string, ...rows: readonly Row[]): Extension =>
  extension(name, ['type', 0, 8], ['flags', 8, 8], ['length', 16, 16], ...rows)
export const sctpChunks: Extensions = new Map([
  [0, chunk('data', ['tsn', 32, 32], ['stream', 64, 16], ['ssn', 80, 16], ['ppid', 96, 32])],
  ...(
    [
      [1, 'init'],
      [2, 'init-ack'],
    ] as const
  ).map(
    ([number, name]) =>
      [
        number,
        chunk(
          name,
          ['init-tag', 32, 32],
          ['a-rwnd', 64, 32],
          ['num-outbound-streams', 96, 16],
          ['num-inbound-streams', 112, 16],
          ['initial-tsn', 128, 32],
        ),
      ] as const,
  ),
  [
    3,
    chunk(
      'sack',
      ['cum-tsn-ack', 32, 32],
      ['a-rwnd', 64, 32],
      ['num-gap-ack-blocks', 96, 16],
      ['num-dup-tsns', 112, 16],
    ),
  ],
  [4, chunk('heartbeat')],
  [5, chunk('heartbeat-ack')],
  [6, chunk('abort')],
  [7, chunk('shutdown', ['cum-tsn-ack', 32, 32])],
  [8, chunk('shutdown-ack')],
  [9, chunk('error')],
  [10, chunk('cookie-echo')],
  [11, chunk('cookie-ack')],
  [12, chunk('ecne', ['lowest-tsn', 32, 32])],
  [13, chunk('cwr', ['lowest-tsn', 32, 32])],
  [14, chunk('shutdown-complete')],
  [128, chunk('asconf-ack', ['seqno', 32, 32])],
  [192, chunk('forward-tsn', ['new-cum-tsn', 32, 32])],
  [193, chunk('asconf', ['seqno', 32, 32])],
])

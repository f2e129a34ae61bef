/**
 * Headers of a traced packet, by nft's names of their fields. The kernel sends the first bytes of each
 * (net/netfilter/nf_tables_trace.c): a header that is not whole is left out.
 */
import { formatAddress, ipProtocols } from '../../address/index.js'
import { nft } from '../../nftables/datatypes.js'
import type { TraceEvent } from '../../nftables/index.js'

/** A header's fields. */
export type Header = Readonly<Record<string, string | number>>
/** `{ ip: { saddr: '10.0.0.1', … }, tcp: { sport: 4711, … } }`, from the outside in. */
export type PacketHeaders = Readonly<Record<string, Header>>

interface Layout {
  readonly bytes: number
  read(bytes: Uint8Array, view: DataView): Header
}

const hardware = (bytes: Uint8Array, at: number): string =>
  Array.from(bytes.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, '0')).join(':')
const address = (bytes: Uint8Array, at: number, length: 4 | 16): string =>
  formatAddress(bytes.subarray(at, at + length))
const named = (names: Readonly<Record<number, string>>, number: number): string | number =>
  names[number] ?? number
const byNumber = (names: Readonly<Record<string, number>>): Readonly<Record<number, string>> =>
  Object.fromEntries(Object.entries(names).map(([name, number]) => [number, name]))

const protocols = byNumber(ipProtocols)
const { icmp_type, icmpv6_type, dscp: dscpNames, ecn: ecnNames, ether_type, tcp_flag } = nft.names
const etherTypes = byNumber(ether_type)
const dscp = byNumber(dscpNames)
const ecn = byNumber(ecnNames)
const tcpFlags = Object.entries(tcp_flag)
const icmpTypes = byNumber(icmp_type)
const icmpv6Types = byNumber(icmpv6_type)

const ports = (view: DataView): { sport: number; dport: number } => ({
  sport: view.getUint16(0),
  dport: view.getUint16(2),
})

const layouts: Readonly<Record<string, Layout>> = {
  ether: {
    bytes: 14,
    read: (bytes, view) => ({
      saddr: hardware(bytes, 6),
      daddr: hardware(bytes, 0),
      type: named(etherTypes, view.getUint16(12)),
    }),
  },
  ip: {
    bytes: 20,
    read: (bytes, view) => ({
      saddr: address(bytes, 12, 4),
      daddr: address(bytes, 16, 4),
      dscp: named(dscp, bytes[1]! >> 2),
      ecn: named(ecn, bytes[1]! & 3),
      ttl: bytes[8]!,
      id: view.getUint16(4),
      protocol: named(protocols, bytes[9]!),
      length: view.getUint16(2),
    }),
  },
  ip6: {
    bytes: 40,
    read(bytes, view) {
      const trafficClass = (view.getUint16(0) >> 4) & 0xff
      return {
        saddr: address(bytes, 8, 16),
        daddr: address(bytes, 24, 16),
        dscp: named(dscp, trafficClass >> 2),
        ecn: named(ecn, trafficClass & 3),
        hoplimit: bytes[7]!,
        flowlabel: view.getUint32(0) & 0xfffff,
        nexthdr: named(protocols, bytes[6]!),
        length: view.getUint16(4),
      }
    },
  },
  tcp: {
    bytes: 20,
    read: (bytes, view) => ({
      ...ports(view),
      flags: tcpFlags.flatMap(([name, bit]) => ((bytes[13]! & bit) === 0 ? [] : [name])).join(' | ') || 0,
      window: view.getUint16(14),
    }),
  },
  udp: { bytes: 8, read: (_, view) => ({ ...ports(view), length: view.getUint16(4) }) },
  udplite: { bytes: 8, read: (_, view) => ports(view) },
  sctp: { bytes: 12, read: (_, view) => ({ ...ports(view), vtag: view.getUint32(4) }) },
  dccp: { bytes: 12, read: (_, view) => ports(view) },
  icmp: { bytes: 8, read: (bytes, view) => icmp(icmpTypes, bytes, view) },
  icmpv6: { bytes: 8, read: (bytes, view) => icmp(icmpv6Types, bytes, view) },
}

function icmp(types: Readonly<Record<number, string>>, bytes: Uint8Array, view: DataView): Header {
  const type = named(types, bytes[0]!)
  const head = { type, code: bytes[1]! }
  return typeof type === 'string' && type.startsWith('echo-')
    ? { ...head, id: view.getUint16(4), sequence: view.getUint16(6) }
    : head
}

/** `ARPHRD_ETHER` (include/uapi/linux/if_arp.h). */
const ethernet = 1
const versions: Readonly<Record<number, string>> = { 4: 'ip', 6: 'ip6' }

/** What an event tells of the packet: mostly the first one of each packet and hook does. */
export function headersOf(event: TraceEvent): PacketHeaders {
  const { family, linkHeader, networkHeader, transportHeader, incomingType } = event
  const found: Record<string, Header> = {}
  const add = (name: string | undefined, bytes: Uint8Array | undefined): void => {
    const layout = name !== undefined && Object.hasOwn(layouts, name) ? layouts[name]! : undefined
    if (layout === undefined || bytes === undefined || bytes.length < layout.bytes) return
    found[name!] = layout.read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length))
  }
  if (incomingType === ethernet) add('ether', linkHeader)
  if (family !== 'arp' && networkHeader !== undefined && networkHeader.length > 0) {
    add(versions[networkHeader[0]! >> 4], networkHeader)
  }
  // Behind extension headers it is not the next one of the IPv6 header.
  add((found['ip']?.['protocol'] ?? found['ip6']?.['nexthdr']) as string | undefined, transportHeader)
  return found
}

/** `ip saddr 10.0.0.1 ip daddr 10.0.0.2 … tcp sport 4711`. */
export function headersText(headers: PacketHeaders): string {
  return Object.entries(headers)
    .flatMap(([name, fields]) => Object.entries(fields).map(([field, value]) => `${name} ${field} ${value}`))
    .join(' ')
}

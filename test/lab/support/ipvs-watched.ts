/** What the dataplane of IPVS sends over its three sockets: told before it is sent, and read back as lines. */
import { formatAddress } from '../../../src/address/index.js'
import type { TransportOf } from '../../../src/dataplane/ipvs/index.js'
import { GENL_HDRLEN } from '../../../src/genetlink/index.js'
import { command } from '../../../src/ipvs/wire.js'
import {
  forEachAttribute,
  forEachMessage,
  hostIsLittleEndian,
  NLA_TYPE_MASK,
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  viewOf,
} from '../../../src/netlink/index.js'
import type { Netns } from '../../../src/net/index.js'
import { message } from '../../../src/rtnetlink/wire.js'
import { watchedTransport, writesIn } from '../../kernel/support/watched-transport.js'

const protocols = { generic: NETLINK_GENERIC, route: NETLINK_ROUTE, netfilter: NETLINK_NETFILTER }
const GENL_ID_CTRL = 0x10
const ifaddrmsg = 8
const IFA_LOCAL = 2
const AF_INET6 = 10
/** include/uapi/linux/ip_vs.h. */
const [IPVS_CMD_ATTR_SERVICE, IPVS_SVC_ATTR_AF, IPVS_SVC_ATTR_ADDR, IPVS_SVC_ATTR_FWMARK] = [1, 1, 3, 5]

/** A message that changes something. */
export interface Write {
  /** `ipvs newDestination`, `route deleteAddress`, `nft elements`, … */
  readonly what: string
  readonly isDelete: boolean
  /** Whom it is about: a service, an address, a table. */
  readonly about: string
  /** How many elements, of those that have any. */
  readonly elements?: number | undefined
}

/** @param sending  Throwing keeps it from being sent. Of reads `writes` is empty. */
export function watchedTransports(netns: Netns, sending: (writes: readonly Write[]) => void): TransportOf {
  return (protocol) =>
    watchedTransport(
      netns,
      { sending: (request) => sending(readers[protocol](request)) },
      protocols[protocol],
    )
}

const readers = { generic: ipvsWrites, route: routeWrites, netfilter: tableWrites }
const nameIn = (table: Readonly<Record<string, number>>, number: number): string | undefined =>
  Object.keys(table).find((name) => table[name] === number)

function ipvsWrites(request: Uint8Array): Write[] {
  const view = viewOf(request)
  const found: Write[] = []
  forEachMessage(request, view, (type, _flags, _sequence, offset, end) => {
    if (type === GENL_ID_CTRL) return
    const name = nameIn(command, request[offset]!)
    if (name === undefined) throw new TypeError(`command ${request[offset]} is not known`)
    if (name.startsWith('get')) return
    const about = serviceIn(request, view, offset + GENL_HDRLEN, end)
    found.push({ what: `ipvs ${name}`, isDelete: name.startsWith('delete') || name === 'flush', about })
  })
  return found
}

function routeWrites(request: Uint8Array): Write[] {
  const view = viewOf(request)
  const found: Write[] = []
  forEachMessage(request, view, (type, _flags, _sequence, offset, end) => {
    const name = nameIn(message, type)
    // RTM_GET* (include/uapi/linux/rtnetlink.h: four for each kind).
    if ((type & 3) === 2) return
    if (name === undefined) throw new TypeError(`message ${type} is not known`)
    const about = name.endsWith('Address') ? localOf(request, view, offset + ifaddrmsg, end) : 'link'
    found.push({ what: `route ${name}`, isDelete: name.startsWith('delete'), about })
  })
  return found
}

/** Of a request, which names a service by its key alone. */
function serviceIn(request: Uint8Array, view: DataView, offset: number, end: number): string {
  let [isIpv6, about] = [false, '']
  forEachAttribute(view, offset, end, (outer, from, size) => {
    if ((outer & NLA_TYPE_MASK) !== IPVS_CMD_ATTR_SERVICE) return
    forEachAttribute(view, from, from + size, (type, at) => {
      if (type === IPVS_SVC_ATTR_AF) isIpv6 = view.getUint16(at, hostIsLittleEndian) === AF_INET6
      else if (type === IPVS_SVC_ATTR_ADDR)
        about = formatAddress(request.subarray(at, at + (isIpv6 ? 16 : 4)))
      else if (type === IPVS_SVC_ATTR_FWMARK) about = `mark ${view.getUint32(at, hostIsLittleEndian)}`
    })
  })
  return about
}

/** Its family stands in the header, so it is read by its length. */
function localOf(request: Uint8Array, view: DataView, offset: number, end: number): string {
  let local = ''
  forEachAttribute(view, offset, end, (type, at, length) => {
    if (type === IFA_LOCAL) local = formatAddress(request.subarray(at, at + length))
  })
  return local
}

function tableWrites(request: Uint8Array): Write[] {
  return writesIn(request).map(({ kind, isDelete, family, table, object }) => ({
    what: `nft ${isDelete ? 'delete' : 'add'} ${kind}`,
    isDelete,
    about: `${family} ${table}`,
    elements: (object as { elements?: readonly unknown[] } | undefined)?.elements?.length,
  }))
}

/** Frames that tell a network where an address is now. Pure. */
import {
  familyOf,
  foldedComplement,
  parseAddress,
  parseMac,
  pseudoHeaderSum,
  sum16,
} from '../address/index.js'

/** A whole Ethernet frame. */
export interface AnnouncementFrame {
  readonly bytes: Uint8Array
  /** The hardware address that it goes to. */
  readonly destination: string
  /** ETH_P_ARP or ETH_P_IPV6 (linux/if_ether.h). */
  readonly etherType: number
}

const ETH_P_ARP = 0x0806
const ETH_P_IPV6 = 0x86dd
const broadcast = 'ff:ff:ff:ff:ff:ff'
/** Of ff02::1, all nodes (RFC 2464, section 7). */
const allNodesHardware = '33:33:00:00:00:01'
const allNodes = parseAddress('ff02::1')!
const ICMPV6 = 58

/**
 * Of IPv4 gratuitous ARP in both forms, of IPv6 an unsolicited neighbour advertisement.
 *
 * @param hardwareAddress of the interface: 6 bytes
 * @param isRouter whether the host forwards IPv6: neighbours drop routes through one that says it does not (RFC 4861, 7.2.5)
 */
export function announcementsOf(
  address: string,
  hardwareAddress: Uint8Array,
  isRouter = true,
): AnnouncementFrame[] {
  const bytes = parseAddress(address)!
  if (familyOf(address) === 'ipv6') {
    return [
      {
        bytes: neighbourAdvertisement(bytes, hardwareAddress, isRouter),
        destination: allNodesHardware,
        etherType: ETH_P_IPV6,
      },
    ]
  }
  // RFC 5227, section 3 announces by a request; there are hosts that take up replies alone, and the other way round.
  return [1, 2].map((operation) => ({
    bytes: gratuitousArp(bytes, hardwareAddress, operation),
    destination: broadcast,
    etherType: ETH_P_ARP,
  }))
}

/** RFC 826: sender and target are the same address. `operation` 1 asks (its target's hardware is not known, so 0), 2 replies. */
function gratuitousArp(address: Uint8Array, hardware: Uint8Array, operation: number): Uint8Array {
  const bytes = new Uint8Array(42)
  const view = ethernet(bytes, broadcast, hardware, ETH_P_ARP)
  view.setUint16(14, 1)
  view.setUint16(16, 0x0800)
  bytes[18] = 6
  bytes[19] = 4
  view.setUint16(20, operation)
  bytes.set(hardware, 22)
  bytes.set(address, 28)
  if (operation === 2) bytes.set(hardware, 32)
  bytes.set(address, 38)
  return bytes
}

/** RFC 4861, 4.4 and 7.2.6: unsolicited, with the override flag, so that it replaces what neighbours know. */
function neighbourAdvertisement(target: Uint8Array, hardware: Uint8Array, isRouter: boolean): Uint8Array {
  const message = new Uint8Array(32)
  const view = new DataView(message.buffer)
  message[0] = 136
  message[4] = (isRouter ? 0x80 : 0) | 0x20
  message.set(target, 8)
  // Target link-layer address, in units of 8 bytes.
  message[24] = 2
  message[25] = 1
  message.set(hardware, 26)
  const sum = sum16(message) + pseudoHeaderSum(target, allNodes, message.length, ICMPV6)
  view.setUint16(2, foldedComplement(sum))
  const bytes = new Uint8Array(14 + 40 + message.length)
  const frame = ethernet(bytes, allNodesHardware, hardware, ETH_P_IPV6)
  frame.setUint32(14, 0x6000_0000)
  frame.setUint16(18, message.length)
  bytes[20] = ICMPV6
  // Else it is taken for one from another network (RFC 4861, 7.1.2).
  bytes[21] = 255
  bytes.set(target, 22)
  bytes.set(allNodes, 38)
  bytes.set(message, 54)
  return bytes
}

function ethernet(bytes: Uint8Array, to: string, from: Uint8Array, etherType: number): DataView {
  bytes.set(parseMac(to)!, 0)
  bytes.set(from, 6)
  const view = new DataView(bytes.buffer)
  view.setUint16(12, etherType)
  return view
}

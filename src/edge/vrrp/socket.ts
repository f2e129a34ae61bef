/** Advertisements on the wire: a raw socket of protocol 112 on one interface. */
import { formatAddress, parseAddress } from '../../address/index.js'
import { isKernelError } from '../../errors/index.js'
import { type Datagram, type DatagramSocket, openRaw } from '../../net/index.js'
import { readIpv4Packet, type ReceivedPacket, writeIpv4Packet, writeIpv6Packet } from './ip-header.js'
import type { VrrpSettings } from './options.js'
import {
  type Advertisement,
  readAdvertisement,
  type VrrpFault,
  vrrpGroup,
  vrrpProtocol,
  writeAdvertisement,
} from './packet.js'

/** An advertisement of this virtual router, and who sent it. */
export interface HeardAdvertisement extends Advertisement {
  readonly source: string
}

/** What the socket tells. */
export interface VrrpSocketListener {
  heard(advertisement: HeardAdvertisement): void
  /** Something else came. */
  dropped(fault: VrrpFault): void
  /** It receives nothing more. */
  failed(error: Error): void
}

/** Sends from `source` through the interface, and listens there. */
export class VrrpSocket {
  readonly #settings: VrrpSettings
  readonly #socket: DatagramSocket
  readonly #source: Uint8Array
  readonly #index: number
  #isClosed = false

  /** @throws KernelError */
  constructor(settings: VrrpSettings, source: string, index: number, listener: VrrpSocketListener) {
    const { netns, device, family, peers } = settings
    this.#settings = settings
    this.#source = parseAddress(source)!
    this.#index = index
    // With the header, for the source is ours to say, and so is the hop limit: sockets that are bound to an address get nothing
    // of a group.
    this.#socket = openRaw({
      netns,
      device,
      family,
      protocol: vrrpProtocol,
      headerIncluded: true,
      receiveArrival: true,
    })
    try {
      if (peers === undefined) this.#socket.joinGroup(vrrpGroup[family], index)
    } catch (error) {
      this.close()
      throw error
    }
    void this.#receive(listener)
  }

  /** One to the group, or to each peer. @throws KernelError of the first that cannot be sent, when all were tried */
  send(advertisement: Advertisement): void {
    const { family, peers, checksum } = this.#settings
    let failure: unknown
    for (const target of peers ?? [vrrpGroup[family]]) {
      const destination = parseAddress(target)!
      const payload = writeAdvertisement(advertisement, this.#source, destination, checksum)
      const write = family === 'ipv4' ? writeIpv4Packet : writeIpv6Packet
      try {
        this.#socket.send(write(this.#source, destination, payload), {
          address: target,
          interfaceIndex: isOfLink(target) ? this.#index : undefined,
        })
      } catch (error) {
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure as Error
  }

  close(): void {
    this.#isClosed = true
    this.#socket.close()
  }

  async #receive(listener: VrrpSocketListener): Promise<void> {
    while (!this.#isClosed) {
      try {
        const datagram = await this.#socket.receive()
        // One that came before it was closed.
        if (this.#isClosed) return
        this.#take(datagram, listener)
      } catch (error) {
        if (this.#isClosed) return
        // The interface went down, a peer is not reachable: that passes, and is told by the interface itself.
        if (isKernelError(error) && error.code !== 'EBADF') continue
        this.close()
        return listener.failed(error as Error)
      }
    }
  }

  #take(datagram: Datagram, listener: VrrpSocketListener): void {
    const read = this.#read(datagram)
    if ('fault' in read) listener.dropped(read.fault)
    else listener.heard(read)
  }

  /** The checks of RFC 5798, 7.1, in an order in which what is nobody's business comes first. */
  #read(datagram: Datagram): HeardAdvertisement | { readonly fault: VrrpFault } {
    const { family, peers, leastHopLimit, virtualRouterId } = this.#settings
    const packet = family === 'ipv4' ? readIpv4Packet(datagram.bytes) : packetOf(datagram)
    if (packet === undefined) return { fault: 'not-ip' }
    const source = formatAddress(packet.source)
    if (compareBytes(packet.source, this.#source) === 0) return { fault: 'own' }
    const destination = formatAddress(packet.destination)
    if (destination !== (peers === undefined ? vrrpGroup[family] : formatAddress(this.#source))) {
      return { fault: 'destination' }
    }
    if (peers?.includes(source) === false) return { fault: 'unknown-sender' }
    if (packet.hopLimit < leastHopLimit) return { fault: 'hop-limit' }
    const read = readAdvertisement(packet.payload, packet.source, packet.destination)
    if ('fault' in read) return read
    if (read.advertisement.virtualRouterId !== virtualRouterId) return { fault: 'other-router' }
    return { ...read.advertisement, source }
  }
}

/** Of IPv6 the kernel keeps the header, and says what stood in it. */
function packetOf({ address, destination, hopLimit, bytes }: Datagram): ReceivedPacket | undefined {
  const source = parseAddress(address)
  const target = destination === undefined ? undefined : parseAddress(destination)
  if (source?.length !== 16 || target?.length !== 16 || hopLimit === undefined) return undefined
  return { source, destination: target, hopLimit, payload: bytes }
}

/** Below 0 if `a` comes before `b`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

/** Link-local unicast and multicast of IPv6: they say nothing without the interface. */
function isOfLink(address: string): boolean {
  return /^(fe[89ab]|ff.2)/i.test(address)
}

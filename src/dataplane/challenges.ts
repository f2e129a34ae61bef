/**
 * Clients of TCP whose flow was deleted learn of it when they send: what goes on without a flow is refused with a reset, here or
 * by whoever gets it as a new one (`net.netfilter.nf_conntrack_tcp_loose`). One that only waits sends nothing. So each is asked
 * with a SYN/ACK from the service: whatever its numbers are, a client that believes in the connection answers with its own (RFC
 * 5961, section 4: the challenge ACK), and the reset that comes of that is one that it takes. A SYN/ACK that answers no SYN is not
 * tracked (nf_conntrack_proto_tcp.c, tcp_new), so that no flow comes of it.
 */
import { foldedComplement, ipProtocols, parseAddress, pseudoHeaderSum, sum16 } from '../address/index.js'
import type { Flow } from '../conntrack/index.js'
import { isKernelError } from '../errors/index.js'
import type { Condition } from '../model/index.js'
import { type DatagramSocket, type Netns, openRaw } from '../net/index.js'
import { Slices } from '../slices.js'

/** Asks clients, in one namespace. */
export class Challenges {
  readonly #netns: Netns | undefined
  #missing: readonly Condition[] = []
  readonly #sockets = new Map<Flow['family'], DatagramSocket>()

  constructor(netns: Netns | undefined) {
    this.#netns = netns
  }

  /** What keeps them from being sent. */
  get missing(): readonly Condition[] {
    return this.#missing
  }

  /** Asks the clients of flows that were deleted. One that cannot be reached is left out. */
  async send(flows: readonly Flow[]): Promise<void> {
    const slices = new Slices()
    for (const flow of flows) {
      // Who still waits for the handshake begins it anew.
      if (flow.tcp?.state === 'syn-sent') continue
      const packet = challengeOf(flow)
      if (packet === undefined) continue
      try {
        this.#socketOf(flow.family).send(packet, { address: flow.original.source })
        this.#missing = []
      } catch (error) {
        if (!isKernelError(error)) throw error
        if (isKernelError(error, 'EPERM')) this.#missing = [notPermitted]
      }
      if (slices.isOver) await slices.next()
    }
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close()
    this.#sockets.clear()
  }

  #socketOf(family: Flow['family']): DatagramSocket {
    const opened =
      this.#sockets.get(family) ??
      openRaw({ netns: this.#netns, family, protocol: onlySends, headerIncluded: true })
    this.#sockets.set(family, opened)
    return opened
  }
}

const notPermitted: Condition = {
  reason: 'ClientsNotTold',
  message:
    'Clients of a server that has failed learn of it when they send, and not while they wait: telling them takes CAP_NET_RAW',
}

/** `IPPROTO_RAW`: nothing is received. */
const onlySends = 255
const hopLimit = 64
const [syn, ack] = [0x02, 0x10]
const tcpBytes = 20

/** From the frontend to the client: an IP header, and one of TCP with any numbers. Undefined where a flow has no such ends. */
export function challengeOf({ original }: Flow): Uint8Array | undefined {
  const { sourcePort, destinationPort } = original
  const [client, service] = [original.source, original.destination].map((text) => parseAddress(text ?? ''))
  if (client === undefined || service === undefined) return undefined
  if (sourcePort === undefined || destinationPort === undefined) return undefined
  const isV4 = client.length === 4
  const headBytes = isV4 ? 20 : 40
  const bytes = new Uint8Array(headBytes + tcpBytes)
  const view = new DataView(bytes.buffer)
  if (isV4) {
    // The kernel fills in the checksum and the identification (raw(7)).
    bytes[0] = 0x45
    view.setUint16(2, bytes.length)
    bytes[8] = hopLimit
    bytes[9] = ipProtocols.tcp
    bytes.set(service, 12)
    bytes.set(client, 16)
  } else {
    bytes[0] = 0x60
    view.setUint16(4, tcpBytes)
    bytes[6] = ipProtocols.tcp
    bytes[7] = hopLimit
    bytes.set(service, 8)
    bytes.set(client, 24)
  }
  view.setUint16(headBytes, destinationPort)
  view.setUint16(headBytes + 2, sourcePort)
  bytes[headBytes + 12] = (tcpBytes / 4) << 4
  bytes[headBytes + 13] = syn | ack
  const sum = pseudoHeaderSum(service, client, tcpBytes, ipProtocols.tcp) + sum16(bytes.subarray(headBytes))
  view.setUint16(headBytes + 16, foldedComplement(sum))
  return bytes
}

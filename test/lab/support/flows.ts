/**
 * UDP from any number of clients: packets written by hand, so that one host speaks for a whole network, and no socket
 * is needed for each of them.
 */
import { formatAddress, parseAddress } from '../../../src/address/index.js'
import { isKernelError } from '../../../src/errors/index.js'
import type { DatagramSocket } from '../../../src/net/index.js'
import type { Host } from '../../../src/testing/index.js'
import { until } from './until.js'

export interface Flow {
  /** IPv4. */
  readonly source: string
  readonly sourcePort: number
  readonly address: string
  readonly port: number
  /** What the datagram says. */
  readonly text?: string | undefined
}

/** For the answer to a flow that no server was found for: an ICMP error of the director's. */
export const refused = 'refused'

const ICMP = 1
const UDP = 17

export class Flows {
  readonly #udp: DatagramSocket
  readonly #icmp: DatagramSocket
  readonly #answers = new Map<string, string>()

  /** The host must have the sources as addresses: a local route for their network does. */
  constructor(client: Host) {
    this.#udp = client.raw({ protocol: UDP, headerIncluded: true })
    this.#icmp = client.raw({ protocol: ICMP })
    void this.#listen()
    void this.#listenForErrors()
  }

  /** One datagram each. Returns who answered it, in the same order: the server's name, or `refused`. */
  async ask(flows: readonly Flow[]): Promise<string[]> {
    for (const flow of flows) this.#answers.delete(keyOf(flow))
    for (const flow of flows) await this.#send(flow)
    const missing = (): Flow | undefined => flows.find((flow) => !this.#answers.has(keyOf(flow)))
    await until(`an answer for each of ${flows.length} flows`, () => missing() === undefined || undefined)
    return flows.map((flow) => this.#answers.get(keyOf(flow))!)
  }

  async #send(flow: Flow): Promise<void> {
    const packet = datagram(flow)
    await until('room in the send buffer', async () => {
      try {
        this.#udp.send(packet, { address: flow.address })
        return true
      } catch (error) {
        if (!isKernelError(error, 'EAGAIN')) throw error
        return undefined
      }
    })
    // So that answers are read while others are still being asked for.
    await new Promise((resolve) => setImmediate(resolve))
  }

  async #listen(): Promise<void> {
    for await (const { bytes } of this.#udp) {
      const { source, sourcePort, address, port, payload } = read(bytes)
      this.#answers.set(
        keyOf({ source: address, sourcePort: port, address: source, port: sourcePort }),
        decoder.decode(payload),
      )
    }
  }

  /** What was refused stands in the error, behind eight bytes. */
  async #listenForErrors(): Promise<void> {
    const unreachable = 3
    for await (const { bytes } of this.#icmp) {
      const message = bytes.subarray((bytes[0]! & 15) * 4)
      if (message[0] === unreachable) this.#answers.set(keyOf(read(message.subarray(8))), refused)
    }
  }
}

function keyOf({ source, sourcePort, address, port }: Flow): string {
  return `${source} ${sourcePort} ${address} ${port}`
}

const decoder = new TextDecoder()
const ipHeader = 20
const udpHeader = 8

/** The kernel fills in the length, the identification and the checksum of the IP header (raw(7)); UDP's may be 0. */
function datagram({ source, sourcePort, address, port, text = 'who?' }: Flow): Uint8Array {
  const payload = new TextEncoder().encode(text)
  const bytes = new Uint8Array(ipHeader + udpHeader + payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = 0x45
  bytes[8] = 64
  bytes[9] = UDP
  bytes.set(parseAddress(source)!, 12)
  bytes.set(parseAddress(address)!, 16)
  view.setUint16(ipHeader, sourcePort)
  view.setUint16(ipHeader + 2, port)
  view.setUint16(ipHeader + 4, udpHeader + payload.length)
  bytes.set(payload, ipHeader + udpHeader)
  return bytes
}

function read(bytes: Uint8Array): Flow & { readonly payload: Uint8Array } {
  const header = (bytes[0]! & 15) * 4
  const number = (offset: number): number => (bytes[header + offset]! << 8) | bytes[header + offset + 1]!
  return {
    source: formatAddress(bytes.subarray(12, 16)),
    address: formatAddress(bytes.subarray(16, 20)),
    sourcePort: number(0),
    port: number(2),
    payload: bytes.subarray(header + udpHeader),
  }
}

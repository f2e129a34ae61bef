/** What comes to a host, as its link sees it: which packets were wrapped, how, and for whom. */
import { familyOf, formatAddress } from '../../../src/address/index.js'
import { openPacket } from '../../../src/net/index.js'
import type { Host } from '../../../src/testing/index.js'

/** `eth0`, the hardware address of the host, and everything that came in since. */
export interface Capture {
  /**
   * How packets to an address came: `plain`, or `ipv4 gue+checksum` for a wrapped one. Of the kind `tcp`, `udp` or
   * `sctp` alone.
   */
  arrivedAs(destination: string, protocol: string): string[]
  close(): void
}

/** Listens to one link of a host, from now on. */
export function capture(host: Host, device: string): Capture {
  const own = host.interfaces.find((one) => one.device === device)!.hardwareAddress
  const socket = openPacket({ netns: host.netns, device })
  const seen = new Map<string, Set<string>>()
  const listen = async (): Promise<void> => {
    for await (const { bytes } of socket) {
      const packet = textOfMac(bytes) === own ? unwrap(bytes.subarray(14)) : undefined
      if (packet === undefined) continue
      const key = `${packet.destination} ${packet.protocol}`
      if (!seen.has(key)) seen.set(key, new Set())
      seen.get(key)!.add(packet.wrapped)
    }
  }
  void listen()
  return {
    arrivedAs: (destination, protocol) => [...(seen.get(`${destination} ${protocol}`) ?? [])].sort(),
    close: () => socket.close(),
  }
}

function textOfMac(frame: Uint8Array): string {
  return Array.from(frame.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

interface Ip {
  readonly destination: string
  readonly protocol: number
  readonly payload: Uint8Array
}

const protocolName: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }
const guePort = 6080

/** The innermost packet, and what it was in. */
function unwrap(
  bytes: Uint8Array,
): { readonly destination: string; readonly protocol: string; readonly wrapped: string } | undefined {
  const outer = readIp(bytes)
  if (outer === undefined) return undefined
  const found = innerOf(outer)
  const { destination, protocol } = found?.inner ?? outer
  return {
    destination,
    protocol: protocolName[protocol] ?? String(protocol),
    wrapped: found === undefined ? 'plain' : `${familyOf(outer.destination)} ${found.tunnel}`,
  }
}

function readIp(bytes: Uint8Array): Ip | undefined {
  const version = (bytes[0] ?? 0) >> 4
  if (version === 4 && bytes.length >= 20) {
    const payload = bytes.subarray((bytes[0]! & 15) * 4)
    return { destination: formatAddress(bytes.subarray(16, 20)), protocol: bytes[9]!, payload }
  }
  if (version !== 6 || bytes.length < 40) return undefined
  const destination = formatAddress(bytes.subarray(24, 40))
  const payload = bytes.subarray(40)
  // Tunnels of the kernel put a destination options header (encapsulation limit) in between, if told to.
  return bytes[6] === 60
    ? { destination, protocol: payload[0]!, payload: payload.subarray((payload[1]! + 1) * 8) }
    : { destination, protocol: bytes[6]!, payload }
}

function innerOf({ protocol, payload }: Ip): { readonly tunnel: string; readonly inner: Ip } | undefined {
  const number = (offset: number): number => (payload[offset]! << 8) | payload[offset + 1]!
  const wrapped = (tunnel: string, offset: number): { tunnel: string; inner: Ip } | undefined => {
    const inner = readIp(payload.subarray(offset))
    return inner && { tunnel, inner }
  }
  if (protocol === 4 || protocol === 41) return wrapped('ipip', 0)
  if (protocol === 47) return (number(0) & 0x8000) === 0 ? wrapped('gre', 4) : wrapped('gre+checksum', 8)
  if (protocol !== 17 || number(2) !== guePort) return undefined
  // Generic UDP Encapsulation: 4 bytes, and as many words as the low bits of the first say. A private flag there is
  // the one for remote checksum offload (include/net/gue.h).
  const length = 4 + (payload[8]! & 31) * 4
  const remote = (number(10) & 1) !== 0 ? '+remote-checksum' : ''
  return wrapped(`gue${number(6) === 0 ? '' : '+checksum'}${remote}`, 8 + length)
}

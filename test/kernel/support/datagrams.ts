/** Datagrams of many clients, as cheap as they can be: frames put onto the link, with whatever sender they are to have. */
import { setImmediate } from 'node:timers/promises'

import { parseAddress } from '../../../src/address/index.js'
import { isKernelError } from '../../../src/errors/index.js'
import { openPacket } from '../../../src/net/index.js'
import type { Host } from '../../../src/testing/index.js'

export interface Datagram {
  readonly from: string
  readonly fromPort: number
  readonly to: string
  readonly toPort: number
}

const [IPv4, IPv6, UDP] = [0x0800, 0x86dd, 17]

const patienceMilliseconds = 10_000

/**
 * From a host's link towards another one, in this order. Where the kernel is behind with those that were sent (its send
 * buffer is full), it is given the processor until it has caught up.
 */
export async function sendDatagrams(host: Host, towards: Host, datagrams: Iterable<Datagram>): Promise<void> {
  const { device, hardwareAddress } = host.towards(towards.name)
  const other = towards.towards(host.name).hardwareAddress
  const socket = openPacket({ netns: host.netns, device })
  const link = Buffer.concat([mac(other), mac(hardwareAddress), Buffer.alloc(2)])
  const deadline = performance.now() + patienceMilliseconds
  const isSent = (bytes: Buffer): boolean => {
    try {
      socket.send(bytes)
      return true
    } catch (error) {
      if (isKernelError(error, 'EAGAIN') && performance.now() < deadline) return false
      throw error
    }
  }
  try {
    for (const datagram of datagrams) {
      const bytes = frame(link, datagram)
      while (!isSent(bytes)) await setImmediate()
    }
  } finally {
    socket.close()
  }
}

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

function frame(link: Buffer, { from, fromPort, to, toPort }: Datagram): Buffer {
  const isV4 = !to.includes(':')
  const header = isV4 ? 20 : 40
  const bytes = Buffer.alloc(link.length + header + 8)
  link.copy(bytes)
  bytes.writeUInt16BE(isV4 ? IPv4 : IPv6, 12)
  const ip = bytes.subarray(14)
  const [source, destination] = [parseAddress(from)!, parseAddress(to)!]
  if (isV4) {
    ip[0] = 0x45
    ip.writeUInt16BE(28, 2)
    ip[8] = 64
    ip[9] = UDP
    ip.set(source, 12)
    ip.set(destination, 16)
    ip.writeUInt16BE(checksum(ip.subarray(0, 20)), 10)
  } else {
    ip[0] = 0x60
    ip.writeUInt16BE(8, 4)
    ip[6] = UDP
    ip[7] = 64
    ip.set(source, 8)
    ip.set(destination, 24)
  }
  // Without a checksum, which connection tracking takes for none to look at.
  ip.writeUInt16BE(fromPort, header)
  ip.writeUInt16BE(toPort, header + 2)
  ip.writeUInt16BE(8, header + 4)
  return bytes
}

function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  sum = (sum & 0xffff) + (sum >> 16)
  return ~(sum + (sum >> 16)) & 0xffff
}

/** Asks a server as clients do: over UDP, over TCP, and what dns-packet makes of the answer. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type Answer, decode, type DecodedPacket, encode } from 'dns-packet'
import type { Expected } from './cases.js'

export interface Server {
  readonly address: string
  readonly port: number
}

/** Types that dns-packet has no name for, or that are asked for by number. */
const numbers: Readonly<Record<string, number>> = { SVCB: 64, HTTPS: 65, ANY: 255 }

export interface QueryOptions {
  readonly id?: number
  /** Bytes over UDP; undefined for no EDNS. */
  readonly udpBytes?: number | undefined
  readonly recursion?: boolean
}

/** A query on the wire. */
export function queryBytes(name: string, type: string, options: QueryOptions = {}): Buffer {
  const { id = Math.floor(Math.random() * 0x1_0000), udpBytes, recursion = true } = options
  const number = numbers[type] ?? (/^TYPE\d+$/.test(type) ? Number(type.slice(4)) : undefined)
  const bytes = encode({
    type: 'query',
    id,
    flags: recursion ? 0x0100 : 0,
    questions: [{ name, type: number === undefined ? (type as 'A') : 'A' }],
    additionals:
      udpBytes === undefined
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: udpBytes,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
  })
  if (number !== undefined) bytes.writeUInt16BE(number, bytes.length - (udpBytes === undefined ? 4 : 15))
  return bytes
}

const patienceMilliseconds = 5000

/** One datagram there and one back. */
export async function overUdp({ address, port }: Server, message: Uint8Array): Promise<Buffer> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  try {
    socket.connect(port, address)
    await once(socket, 'connect')
    socket.send(message)
    const [answer] = (await once(socket, 'message', {
      signal: AbortSignal.timeout(patienceMilliseconds),
    })) as [Buffer]
    return answer
  } finally {
    socket.close()
  }
}

/** All of them on one connection at once. @returns answers in the order in which they came */
export async function overTcp({ address, port }: Server, messages: readonly Uint8Array[]): Promise<Buffer[]> {
  const socket = connect({ host: address, port, signal: AbortSignal.timeout(patienceMilliseconds) } as never)
  try {
    await once(socket, 'connect')
    socket.write(Buffer.concat(messages.flatMap((message) => [lengthOf(message), message])))
    const answers: Buffer[] = []
    let received = Buffer.alloc(0)
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0)
        answers.push(received.subarray(2, end))
        received = received.subarray(end)
      }
      if (answers.length === messages.length) break
    }
    return answers
  } finally {
    socket.destroy()
  }
}

function lengthOf(message: Uint8Array): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return length
}

/** Over TCP where it was cut. */
export async function overUdpOrTcp(server: Server, message: Uint8Array): Promise<DecodedPacket> {
  const answer = decode(await overUdp(server, message))
  return answer.flag_tc ? decode((await overTcp(server, [message]))[0]!) : answer
}

/** As cases have it. */
export function expectedOf(record: Answer): Expected {
  const { name, type } = record
  switch (record.type) {
    case 'SRV':
      return { name, type, data: `${record.data.port} ${record.data.target}` }
    case 'TXT':
      return { name, type, data: [record.data].flat().map(String).join('') }
    case 'A':
    case 'AAAA':
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return { name, type, data: record.data }
    default:
      return { name, type, data: JSON.stringify('data' in record ? record.data : undefined) }
  }
}

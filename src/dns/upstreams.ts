/** Other name servers, for names that are none of ours: one after the other, those first that answered last. */
import { randomInt } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { decode } from 'dns-packet'
import { canonicalAddress } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { connectTcp, connectUdp, type Netns } from '../net/index.js'
import { nameBytes, optBytes, putWord, writeOpt } from './answer.js'
import { canonicalName } from './names.js'
import { flag, headerBytes, type Query, type Rcode, rcodes } from './query.js'
import type { ResourceRecord } from './records.js'
import type { Transport } from './responder.js'

/** Where others are asked. */
export interface UpstreamOptions {
  /** Numeric, with a port if it is not 53: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`. */
  readonly servers: readonly string[]
  /** How long each is waited for; 2,000 unless said. */
  readonly timeoutMilliseconds?: number | undefined
  /** Queries under way at once, beyond which the answer is SERVFAIL; 1,000 unless said. */
  readonly mostQueries?: number | undefined
  readonly netns?: Netns | undefined
}

interface Server {
  readonly address: string
  readonly port: number
  /** Of `performance.now()`: until then others are asked before it. */
  avoidedUntil: number
}

/** How long a server that did not answer comes last. */
const avoidedMilliseconds = 10_000
const queryFlags = 0x0110

export class Upstreams {
  readonly #servers: readonly Server[]
  readonly #timeout: number
  readonly #most: number
  readonly #netns: Netns | undefined
  readonly #closing = new AbortController()
  #underWay = 0

  /** @throws ValidationError */
  constructor(options: UpstreamOptions) {
    const { servers, timeoutMilliseconds = 2000, mostQueries = 1000, netns } = options
    this.#servers = servers.map((text, index) => ({ ...readUpstream(text, index), avoidedUntil: 0 }))
    this.#timeout = timeoutMilliseconds
    this.#most = mostQueries
    this.#netns = netns
    // As many as there are queries under way.
    setMaxListeners(0, this.#closing.signal)
  }

  /** The answer to a query as its client may get it. @returns undefined if nobody has one */
  async ask(message: Uint8Array, query: Query, transport: Transport): Promise<Uint8Array | undefined> {
    const question = message.subarray(headerBytes, query.questionEnd)
    const answer = await this.#ask(question, query, transport)
    if (answer === undefined) return undefined
    putWord(answer, 0, query.id)
    // The question as it was asked: some servers write it in small letters.
    answer.set(question, headerBytes)
    return answer
  }

  /** What a name of others has, of the type that was asked for. @returns undefined if nobody says */
  async addresses(
    name: string,
    query: Query,
  ): Promise<{ readonly rcode: Rcode; readonly answers: readonly ResourceRecord[] } | undefined> {
    const own = nameBytes(name)
    const question = new Uint8Array(own.length + 4)
    question.set(own)
    putWord(question, own.length, query.type)
    putWord(question, own.length + 2, 1)
    let answer = await this.#ask(question, query, 'udp')
    if (answer !== undefined && (answer[2]! & (flag.truncated >> 8)) !== 0) {
      answer = await this.#ask(question, query, 'tcp')
    }
    if (answer === undefined) return undefined
    const code = answer[3]! & 15
    if (code !== rcodes.NOERROR && code !== rcodes.NXDOMAIN) return undefined
    try {
      const answers: ResourceRecord[] = []
      for (const record of decode(Buffer.from(answer)).answers ?? []) {
        if (record.type !== 'A' && record.type !== 'AAAA' && record.type !== 'CNAME') continue
        const owner = canonicalName(record.name)
        const data = record.type === 'CNAME' ? canonicalName(record.data) : record.data
        if (owner === undefined || data === undefined) continue
        answers.push({ name: owner, type: record.type, ttl: record.ttl ?? 0, data })
      }
      return { rcode: code === rcodes.NXDOMAIN ? 'NXDOMAIN' : 'NOERROR', answers }
    } catch {
      return undefined
    }
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort(new Error('the server was closed'))
  }

  async #ask(question: Uint8Array, query: Query, transport: Transport): Promise<Uint8Array | undefined> {
    if (this.#underWay >= this.#most || this.#closing.signal.aborted) return undefined
    this.#underWay++
    try {
      return await this.#askEach(question, query, transport)
    } finally {
      this.#underWay--
    }
  }

  async #askEach(question: Uint8Array, query: Query, transport: Transport): Promise<Uint8Array | undefined> {
    const now = performance.now()
    const isAvoided = (server: Server): number => (server.avoidedUntil > now ? 1 : 0)
    let last: Uint8Array | undefined
    for (const server of [...this.#servers].sort((a, b) => isAvoided(a) - isAvoided(b))) {
      if (this.#closing.signal.aborted) return undefined
      const message = writeQuery(question, query)
      const exchange = transport === 'udp' ? this.#overUdp : this.#overTcp
      try {
        last = await exchange.call(this, server, message)
        server.avoidedUntil = 0
        const code = last[3]! & 15
        if (code !== rcodes.SERVFAIL && code !== rcodes.REFUSED && code !== rcodes.NOTIMP) return last
      } catch {
        server.avoidedUntil = performance.now() + avoidedMilliseconds
      }
    }
    return last
  }

  /** Each from a port of its own: whoever wants to forge the answer has to guess it, and the id. */
  async #overUdp({ address, port }: Server, message: Uint8Array): Promise<Uint8Array> {
    const socket = connectUdp({ address, port, netns: this.#netns })
    try {
      const deadline = performance.now() + this.#timeout
      socket.send(message)
      for (;;) {
        const { bytes } = await socket.receive({
          deadlineMilliseconds: Math.max(1, deadline - performance.now()),
          signal: this.#closing.signal,
        })
        if (isAnswerTo(bytes, message)) return bytes
      }
    } finally {
      socket.close()
    }
  }

  async #overTcp({ address, port }: Server, message: Uint8Array): Promise<Uint8Array> {
    const deadline = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#timeout)])
    const socket = await connectTcp({
      address,
      port,
      netns: this.#netns,
      deadlineMilliseconds: this.#timeout,
      signal: deadline,
    })
    const end = (): void => void socket.destroy(deadline.reason as Error)
    deadline.addEventListener('abort', end, { once: true })
    try {
      const length = new Uint8Array(2)
      putWord(length, 0, message.length)
      socket.write(Buffer.concat([length, message]))
      let received: Buffer = Buffer.alloc(0)
      for await (const chunk of socket) {
        received = Buffer.concat([received, chunk as Buffer])
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break
      }
      const bytes = new Uint8Array(received.subarray(2, 2 + received.readUInt16BE(0)))
      if (received.length < 2 + received.readUInt16BE(0) || !isAnswerTo(bytes, message))
        throw new Error('no answer')
      return bytes
    } finally {
      deadline.removeEventListener('abort', end)
      socket.destroy()
    }
  }
}

function writeQuery(question: Uint8Array, { flags, edns }: Query): Uint8Array {
  const end = headerBytes + question.length
  const message = new Uint8Array(end + (edns === undefined ? 0 : optBytes))
  putWord(message, 0, randomInt(0x1_0000))
  putWord(message, 2, flags & queryFlags)
  message[5] = 1
  message.set(question, headerBytes)
  if (edns === undefined) return message
  message[11] = 1
  writeOpt(message, end, edns, 0)
  return message
}

/** Also the question is the same, but for capital letters. */
function isAnswerTo(bytes: Uint8Array, query: Uint8Array): boolean {
  const end = headerBytes + questionLength(query)
  if (bytes.length < end || bytes[0] !== query[0] || bytes[1] !== query[1] || (bytes[2]! & 0x80) === 0)
    return false
  if (bytes[4] !== 0 || bytes[5] !== 1) return false
  for (let index = headerBytes; index < end; index++) {
    if (lower(bytes[index]!) !== lower(query[index]!)) return false
  }
  return true
}

function questionLength(message: Uint8Array): number {
  let at = headerBytes
  while (message[at] !== 0) at += message[at]! + 1
  return at + 5 - headerBytes
}

const lower = (byte: number): number => (byte >= 65 && byte <= 90 ? byte | 32 : byte)

/** @throws ValidationError */
export function readUpstream(
  text: string,
  index: number,
): { readonly address: string; readonly port: number } {
  const [, bracketed, plain, number] = /^(?:\[([^\]]*)\]|([\d.]+))(?::(\d+))?$/.exec(text) ?? []
  const address = canonicalAddress(bracketed ?? plain ?? text)
  const port = number === undefined ? 53 : Number(number)
  if (address === undefined || port < 1 || port > 65_535) {
    throw new ValidationError(`upstreams[${index}]`, text, 'an IP address, with a port if it is not 53')
  }
  return { address, port }
}

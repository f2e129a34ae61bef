/** Queries over TCP (RFC 7766): several at once on a connection, answered as soon as each can be. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { listenTcp, type TcpListenOptions } from '../net/index.js'
import { putWord } from './answer.js'
import { later, longestMessage, type Responder } from './responder.js'
import type { Tally } from './tally.js'

/** How much clients may take. */
export interface TcpLimits {
  /** Connections at once; 512 unless said. */
  readonly mostConnections?: number | undefined
  /** Of one address; 64 unless said. */
  readonly mostConnectionsPerClient?: number | undefined
  /** How long a connection may be without a whole query; 10,000 unless said. */
  readonly idleMilliseconds?: number | undefined
  /** Queries of a connection that others are asked for at once; the next ones wait. 64 unless said. */
  readonly mostPipelined?: number | undefined
}

export interface TcpListenerOptions extends TcpLimits {
  readonly responder: Responder
  readonly tally: Tally
  /** Called before queries are looked at. */
  readonly refresh: () => void
}

/** Queries are small; what says that it is longer is none of ours. */
const longestQuery = 4096
/** Answers that a client does not take. */
const mostUnsentBytes = 256 * 1024
/** Also bytes that are written before it is seen that there are too many. */
const scratch = new Uint8Array(2 + longestMessage + longestQuery)

export class TcpListener {
  readonly #options: TcpListenerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #perClient = new Map<string, number>()

  constructor(options: TcpListenerOptions) {
    const { mostConnections = 512, tally } = options
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    this.#server.maxConnections = mostConnections
    this.#server.on('drop', () => {
      tally.ended++
    })
  }

  async listen(options: TcpListenOptions): Promise<void> {
    await listenTcp(options, this.#server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await ended
  }

  #accept(socket: Socket): void {
    const { mostConnectionsPerClient = 64, tally } = this.#options
    const client = socket.remoteAddress ?? ''
    const count = this.#perClient.get(client) ?? 0
    if (count >= mostConnectionsPerClient) {
      tally.ended++
      socket.destroy()
      return
    }
    this.#perClient.set(client, count + 1)
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const left = this.#perClient.get(client)! - 1
      if (left === 0) this.#perClient.delete(client)
      else this.#perClient.set(client, left)
    })
    new Connection(socket, this.#options)
  }
}

const nothing: Buffer = Buffer.alloc(0)

class Connection {
  readonly #socket: Socket
  readonly #options: TcpListenerOptions
  readonly #most: number
  readonly #timer: NodeJS.Timeout
  /** What has come and is not answered: less than a query, or more than may wait for others. */
  #partial: Buffer = nothing
  /** Queries that others are asked for. */
  #pending = 0
  /** The client has no more to ask. */
  #isEnded = false

  constructor(socket: Socket, options: TcpListenerOptions) {
    const { idleMilliseconds = 10_000, mostPipelined = 64, tally } = options
    this.#socket = socket
    this.#options = options
    this.#most = mostPipelined
    this.#timer = setTimeout(() => {
      tally.ended++
      socket.destroy()
    }, idleMilliseconds)
    socket.on('data', (bytes) => this.#take(bytes))
    socket.on('drain', () => this.#adjust())
    socket.on('end', () => {
      this.#isEnded = true
      this.#adjust()
    })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => clearTimeout(this.#timer))
  }

  #take(bytes: Buffer): void {
    this.#partial = this.#partial.length === 0 ? bytes : Buffer.concat([this.#partial, bytes])
    this.#work()
    this.#adjust()
  }

  /** Answers what has come as a whole, as long as not too many wait for others. */
  #work(): void {
    const { refresh, tally } = this.#options
    const whole = this.#partial
    let at = 0
    refresh()
    this.#socket.cork()
    while (at + 2 <= whole.length && this.#pending < this.#most) {
      const length = whole.readUInt16BE(at)
      if (length > longestQuery || length < 12) {
        tally.ended++
        this.#socket.destroy()
        return
      }
      if (at + 2 + length > whole.length) break
      this.#timer.refresh()
      this.#answer(whole, at + 2, length)
      at += 2 + length
    }
    this.#partial = at === whole.length ? nothing : Buffer.from(whole.subarray(at))
    this.#socket.uncork()
  }

  #answer(source: Uint8Array, from: number, length: number): void {
    const { responder, tally } = this.#options
    tally.tcp++
    let written = 0
    try {
      written = responder.respond(source, from, length, 'tcp', scratch, 2)
    } catch {
      tally.failed++
    }
    if (written === later) {
      tally.forwarded++
      this.#pending++
      const settle = (answer: Uint8Array | undefined): void => {
        this.#pending--
        if (answer !== undefined) this.#write(Buffer.concat([new Uint8Array(2), answer]))
        if (!this.#socket.destroyed && this.#partial.length > 0) this.#work()
        this.#adjust()
      }
      responder.resolve(source.slice(from, from + length), 'tcp').then(settle, () => {
        tally.failed++
        settle(undefined)
      })
    } else if (written > 0) this.#write(Buffer.from(scratch.subarray(0, 2 + written)))
    else tally.unanswered++
  }

  /** With room for the length in front. */
  #write(message: Buffer): void {
    if (this.#socket.destroyed) return
    putWord(message, 0, message.length - 2)
    this.#socket.write(message)
  }

  /** Reads on only as long as the client takes what it asked for. */
  #adjust(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    if (this.#isEnded && this.#pending === 0) socket.end()
    else if (this.#pending >= this.#most || socket.writableLength > mostUnsentBytes) socket.pause()
    else if (socket.isPaused()) socket.resume()
  }
}

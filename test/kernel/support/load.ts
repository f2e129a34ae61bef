/** Requests without a pause, on connections that stay and on new ones: what became of each, and of which server. */
import type { Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { Host } from '../../../src/testing/index.js'

/** Where servers of the load listen: each byte is answered by one, their name's. */
export const loadPort = 7000
const usualPatience = 10_000

export interface LoadOptions {
  readonly address: string
  readonly port: number
  /** Connections that stay, one request after the other on each. */
  readonly staying: number
  /** So many at a time have a new connection for each request. */
  readonly fresh: number
  /** How long each of them rests after one; not at all unless said. */
  readonly pauseMilliseconds?: number | undefined
  /** What takes longer has failed: to connect, to be answered. */
  readonly patienceMilliseconds?: number | undefined
}

export interface Failure {
  readonly kind: 'staying' | 'new'
  /** Who had answered on that connection before. */
  readonly server: string | undefined
  /** Of `performance.now()`. */
  readonly began: number
  readonly failed: number
  readonly error: Error
}

export async function serveLoad(host: Host) {
  const name = Buffer.from(host.name)
  return await host.serveTcp(
    (socket) => {
      socket.setNoDelay(true)
      socket.on('data', (bytes) => {
        for (let count = 0; count < bytes.length; count++) socket.write(name)
      })
      socket.on('end', () => socket.end())
    },
    { port: loadPort },
  )
}

export class Load {
  requests = 0
  readonly failures: Failure[] = []
  /** Of new connections that were begun since `count()`, by who answered them. */
  readonly answers = new Map<string, number>()
  #countedFrom = 0
  readonly #client: Host
  readonly #options: LoadOptions
  readonly #running: Promise<void>[] = []
  #isOver = false
  /** Connections that stay, with who answers them. */
  readonly staying = new Map<Socket, string>()

  constructor(client: Host, options: LoadOptions) {
    this.#client = client
    this.#options = options
    for (let count = 0; count < options.staying; count++) this.#running.push(this.#stay())
    for (let count = 0; count < options.fresh; count++) this.#running.push(this.#renew(count / options.fresh))
  }

  /** Counts answers anew. What was being asked before is no part of it, however long it takes. */
  count(): void {
    this.answers.clear()
    this.#countedFrom = performance.now()
  }

  /** Every request that was begun is answered, or has failed. */
  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running)
  }

  get #patience(): number {
    return this.#options.patienceMilliseconds ?? usualPatience
  }

  async #connect(): Promise<Socket> {
    const { address, port } = this.#options
    const signal = AbortSignal.timeout(this.#patience)
    const socket = await this.#client.connect({ address, port, signal })
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    return socket
  }

  async #stay(): Promise<void> {
    while (!this.#isOver) {
      let [began, server, socket]: [number, string | undefined, Socket | undefined] = [
        performance.now(),
        undefined,
        undefined,
      ]
      try {
        socket = await this.#connect()
        while (!this.#isOver) {
          began = performance.now()
          const answered = await answer(socket, this.#patience)
          if (server !== undefined && answered !== server) throw new Error(`${server} became ${answered}`)
          server = answered
          this.staying.set(socket, server)
          this.requests++
        }
      } catch (error) {
        const kind = server === undefined ? 'new' : 'staying'
        this.failures.push({ kind, server, began, failed: performance.now(), error: error as Error })
      } finally {
        if (socket !== undefined) this.staying.delete(socket)
        socket?.destroy()
      }
    }
  }

  /** @param part  Of the pause: they are not to ask all at once. */
  async #renew(part: number): Promise<void> {
    const { pauseMilliseconds } = this.#options
    if (pauseMilliseconds !== undefined) await setTimeout(part * pauseMilliseconds)
    while (!this.#isOver) {
      const began = performance.now()
      try {
        const socket = await this.#connect()
        try {
          const server = await answer(socket, this.#patience)
          if (began >= this.#countedFrom) this.answers.set(server, (this.answers.get(server) ?? 0) + 1)
          this.requests++
        } finally {
          socket.destroy()
        }
      } catch (error) {
        const failed = performance.now()
        this.failures.push({ kind: 'new', server: undefined, began, failed, error: error as Error })
      }
      if (pauseMilliseconds !== undefined) await setTimeout(pauseMilliseconds)
    }
  }
}

function answer(socket: Socket, patienceMilliseconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = globalThis.setTimeout(
      () => done(() => reject(new Error('no answer'))),
      patienceMilliseconds,
    )
    const done = (settle: () => void): void => {
      clearTimeout(timer)
      socket.off('data', onData)
      socket.off('close', onClose)
      settle()
    }
    const onData = (bytes: Buffer): void => done(() => resolve(bytes.toString()))
    const onClose = (): void => done(() => reject(new Error('the connection was ended')))
    socket.on('data', onData)
    socket.on('close', onClose)
    socket.write('?')
  })
}

import { type Netns, NetworkNamespace } from '../net/index.js'
import { openSocket, type Replies, type Transport } from '../netlink/index.js'

/**
 * A socket that is opened at its first use, for what most users never need. Until then it holds its namespace: the name
 * may be gone by that time, or be another one's.
 */
export class LateSocket implements Transport {
  readonly #protocol: number
  #namespace: NetworkNamespace | undefined
  #socket: Transport | undefined
  #closed = false

  constructor(protocol: number, netns: Netns | undefined) {
    this.#protocol = protocol
    this.#namespace = netns === undefined ? undefined : NetworkNamespace.open(netns)
  }

  async exchange(...sent: Parameters<Transport['exchange']>): Promise<Replies> {
    return this.#opened().exchange(...sent)
  }

  #opened(): Transport {
    // As a socket says it that was open.
    if (this.#closed) throw Object.assign(new Error('EBADF: closed'), { errno: -9, code: 'EBADF' })
    this.#socket ??= openSocket({ protocol: this.#protocol, netns: this.#namespace })
    this.#release()
    return this.#socket
  }

  #release(): void {
    this.#namespace?.close()
    this.#namespace = undefined
  }

  close(): void {
    this.#closed = true
    this.#socket?.close()
    this.#release()
  }
}

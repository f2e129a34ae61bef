/** Questions over UDP by the batch, where `node:dgram` makes objects and calls the kernel for each. */
import { readIPv4, readIPv6 } from '../address/index.js'
import { errnoCode, KernelError } from '../errors/index.js'
import { loadNative, type NativeUdpServer } from '../native.js'
import { hints } from './endpoints.js'

const slots = 64
const slotBytes = 1536
const peerBytes = 28
const rowWords = 4
/** In a row: what was received, and what is to be sent. */
const word = { received: 0, slot: 1, offset: 2, length: 3 }
/** Room for whole answers to all of a batch. */
const sentBytes = 128 * 1024
/** Also for the last answer of a batch there is so much room. */
const mostBytes = 4096

/** Who answers a batch: it looks at what is in the slots, and says what is to be sent. */
export type UdpAnswerer = (server: UdpServer, count: number) => void

/**
 * A bound UDP socket. What is received lies in slots; answers are written into `sent` and leave together, from the address that the
 * socket is bound to. Datagrams of more than 1,536 bytes are not for it.
 */
export class UdpServer {
  /** What the slots hold; it is overwritten after the answerer has returned. */
  readonly received = new Uint8Array(slots * slotBytes)
  /** Where answers are written. */
  readonly sent = new Uint8Array(sentBytes)
  readonly #peers = new Uint8Array(slots * peerBytes)
  readonly #rows = new Uint32Array(slots * rowWords)
  readonly #native: NativeUdpServer
  #count = 0
  /** Where the next answer begins. */
  #end = 0
  #isClosed = false

  /** Takes the descriptor over. */
  constructor(fd: number) {
    const { UdpServer: Native } = loadNative()
    this.#native = new Native(fd, this.received, this.#peers, new Uint8Array(this.#rows.buffer), this.sent)
  }

  /** That it is bound to; 0 when it is closed. */
  get port(): number {
    return this.#native.port
  }

  /** Receives from here on, and keeps the process alive. @param failed it has stopped for good */
  start(answerer: UdpAnswerer, failed: (error: KernelError) => void): void {
    this.#native.startReceiving((errno, count) => {
      if (errno !== 0) {
        // An answer that could not be delivered, or a link that is down: whoever asks next is answered.
        if (this.#native.receiving || this.#isClosed) return
        this.close()
        failed(new KernelError({ errno, operation: 'udp.receive', hint: hints[errnoCode(errno)] }))
        return
      }
      this.#count = 0
      this.#end = 0
      try {
        answerer(this, count)
      } finally {
        this.#flush()
      }
    })
  }

  /** Where a slot begins in `received`. */
  startOf(slot: number): number {
    return slot * slotBytes
  }

  /** How many bytes were received; 0 for a datagram that was too long, or empty. */
  lengthOf(slot: number): number {
    return this.#rows[slot * rowWords + word.received]!
  }

  /** Where the next answer may be written into `sent`: at least 4,096 bytes. To be asked for each. */
  get room(): number {
    if (this.#end + mostBytes > sentBytes || this.#count === slots) this.#flush()
    return this.#end
  }

  /** So many bytes at `room`, as it was asked last, are the answer to a slot. */
  answer(slot: number, length: number): void {
    const row = this.#count++ * rowWords
    this.#rows[row + word.slot] = slot
    this.#rows[row + word.offset] = this.#end
    this.#rows[row + word.length] = length
    this.#end += length
  }

  /** Who sent what is in a slot, for `send`. */
  peer(slot: number): Uint8Array {
    return this.#peers.slice(slot * peerBytes, (slot + 1) * peerBytes)
  }

  /** Where the address of a slot's sender stands in `peers`, 4 or 16 bytes. */
  addressBytes(slot: number): Uint8Array {
    const at = slot * peerBytes
    return isV6(this.#peers, at)
      ? this.#peers.subarray(at + 8, at + 24)
      : this.#peers.subarray(at + 4, at + 8)
  }

  /** The address of a slot's sender. */
  address(slot: number): string {
    const bytes = this.addressBytes(slot)
    return bytes.length === 4 ? readIPv4(bytes, 0) : readIPv6(bytes, 0)
  }

  /** Sends an answer that took its time. What cannot be sent is lost, as on any other part of its way. */
  send(bytes: Uint8Array, peer: Uint8Array): void {
    if (!this.#isClosed) this.#native.sendTo(bytes, peer)
  }

  /** Closes the descriptor. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#native.close()
  }

  #flush(): void {
    if (this.#count > 0 && !this.#isClosed) this.#native.send(this.#count)
    this.#count = 0
    this.#end = 0
  }
}

/** The family stands first, in the order of this machine. */
const familyWord = new Uint8Array(Uint16Array.of(10).buffer)
function isV6(peers: Uint8Array, at: number): boolean {
  return peers[at] === familyWord[0] && peers[at + 1] === familyWord[1]
}

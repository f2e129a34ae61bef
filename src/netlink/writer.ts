import { hostIsLittleEndian, NLMSG_HDRLEN } from './constants.js'

/** Room that every attribute may count on without asking, so that only those of variable length have to `reserve`. */
const slack = 128

/** A key or an address: the engine's call that copies costs more than it does. */
const mostOneByOne = 32

/** A growing buffer that messages and attributes are written into. `length` is where the next byte goes. */
export class Writer {
  /** What was written stands in `[0, length)`; another array once it has grown. */
  bytes: Uint8Array
  /** Of the same bytes. */
  view: DataView
  /** Bytes that were written. */
  length = 0
  #limit: number

  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity + slack)
    this.view = new DataView(this.bytes.buffer)
    this.#limit = capacity
  }

  /** Starts anew; the bytes are written over. */
  reset(): void {
    this.length = 0
  }

  /** Makes room for `count` bytes at `length`. */
  reserve(count: number): void {
    if (this.length + count > this.#limit) this.#grow(count)
  }

  #grow(count: number): void {
    const capacity = Math.max(this.#limit * 2, this.length + count)
    const bytes = new Uint8Array(capacity + slack)
    bytes.set(this.bytes.subarray(0, this.length))
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
    this.#limit = capacity
  }

  /** Writes a message header; returns where it stands, for `endMessage`. */
  beginMessage(type: number, flags: number, sequence: number): number {
    this.reserve(NLMSG_HDRLEN)
    const start = this.length
    const view = this.view
    view.setUint16(start + 4, type, hostIsLittleEndian)
    view.setUint16(start + 6, flags, hostIsLittleEndian)
    view.setUint32(start + 8, sequence, hostIsLittleEndian)
    view.setUint32(start + 12, 0, hostIsLittleEndian)
    this.length = start + NLMSG_HDRLEN
    return start
  }

  /** Sets the length of the message that starts there. */
  endMessage(start: number): void {
    this.view.setUint32(start, this.length - start, hostIsLittleEndian)
  }

  /** Sets the sequence number of the message that starts there. */
  setSequence(start: number, sequence: number): void {
    this.view.setUint32(start + 8, sequence, hostIsLittleEndian)
  }

  /** Writes an attribute header; the payload follows, then `endAttribute`. */
  beginAttribute(type: number): number {
    const start = this.length
    if (start > this.#limit) this.#grow(slack)
    this.view.setUint16(start + 2, type, hostIsLittleEndian)
    this.length = start + 4
    return start
  }

  /** Sets the length and pads to 4 bytes. An attribute's length is a u16: more throws. */
  endAttribute(start: number): void {
    const length = this.length - start
    if (length > 0xffff) throw new RangeError(`an attribute holds at most 65531 bytes, not ${length - 4}`)
    this.view.setUint16(start, length, hostIsLittleEndian)
    const padding = -length & 3
    for (let index = 0; index < padding; index++) this.bytes[this.length++] = 0
  }

  /** Adds flags to a message that was already written. */
  addMessageFlags(start: number, flags: number): void {
    this.view.setUint16(
      start + 6,
      this.view.getUint16(start + 6, hostIsLittleEndian) | flags,
      hostIsLittleEndian,
    )
  }

  /** Appends 8 bits. */
  u8(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  /** Appends 16 bits in the order of the host. */
  u16(value: number): void {
    this.reserve(2)
    this.view.setUint16(this.length, value, hostIsLittleEndian)
    this.length += 2
  }

  /** Appends 32 bits in the order of the host. */
  u32(value: number): void {
    this.reserve(4)
    this.view.setUint32(this.length, value, hostIsLittleEndian)
    this.length += 4
  }

  /** Appends bytes as they are. */
  append(bytes: Uint8Array): void {
    const count = bytes.length
    this.reserve(count)
    const target = this.bytes
    const start = this.length
    if (count > mostOneByOne) target.set(bytes, start)
    else for (let index = 0; index < count; index++) target[start + index] = bytes[index]!
    this.length = start + count
  }
}

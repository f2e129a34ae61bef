import { forwardingMethods } from '../../ipvs/proc.js'

const firstBytes = 1 << 13
const chunkBytes = 1 << 17
/** Of what is written without asking for its length. */
const longestPart = 64

const encoder = new TextEncoder()

/** 0 to 255 in decimal: their digits in three bytes, and how many of them count. */
const octetDigits = new Uint8Array(256 * 4)
for (let value = 0; value < 256; value++) {
  const text = String(value)
  octetDigits.set(encoder.encode(text), value * 4)
  octetDigits[value * 4 + 3] = text.length
}
const arrow = encoder.encode('  -> ')
const addressColumns = 28
const methodColumns = 7
const weightColumns = 6
const countColumns = 10
const methods = forwardingMethods.map((name) => encoder.encode(name.padEnd(methodColumns)))

/**
 * Makes text as bytes, in pieces, because 100,000 lines as strings would be made twice. A piece that was handed out is
 * filled anew when the next is asked for.
 */
export class TextWriter {
  #bytes = new Uint8Array(firstBytes)
  #length = 0
  readonly #lastForwarding = {
    method: -1,
    weight: 0,
    active: 0,
    inactive: 0,
    length: 0,
    bytes: new Uint8Array(longestPart),
  }
  readonly #full: Uint8Array[] = []
  readonly #spare: Uint8Array<ArrayBuffer>[] = []

  text(text: string): void {
    this.#reserve(text.length * 3)
    const bytes = this.#bytes
    const at = this.#length
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index)
      if (code > 127) {
        this.#length = at + encoder.encodeInto(text, bytes.subarray(at)).written
        return
      }
      bytes[at + index] = code
    }
    this.#length = at + text.length
  }

  /** `  -> 10.0.0.7:8080              `: with `forwarding` the one line of which there are 100,000. */
  arrow(word: number, port: number): void {
    this.#reserve(longestPart)
    const bytes = this.#bytes
    let at = this.#length
    for (let index = 0; index < arrow.length; index++) bytes[at++] = arrow[index]!
    const stop = at + addressColumns
    for (let shift = 24; shift >= 0; shift -= 8) {
      const digits = ((word >>> shift) & 255) * 4
      const count = octetDigits[digits + 3]!
      bytes[at] = octetDigits[digits]!
      bytes[at + 1] = octetDigits[digits + 1]!
      bytes[at + 2] = octetDigits[digits + 2]!
      at += count
      bytes[at++] = 46
    }
    bytes[at - 1] = 58
    this.#length = at
    this.#decimal(port, stop - at)
  }

  /**
   * ` Masq    1      0          0         ` and the end of the line. Most lines have what the one before them had: then
   * it is copied.
   */
  forwarding(method: number, weight: number, active: number, inactive: number): void {
    this.#reserve(longestPart)
    const last = this.#lastForwarding
    if (
      last.method === method &&
      last.weight === weight &&
      last.active === active &&
      last.inactive === inactive
    ) {
      const bytes = this.#bytes
      const at = this.#length
      for (let index = 0; index < last.length; index++) bytes[at + index] = last.bytes[index]!
      this.#length = at + last.length
      return
    }
    const start = this.#length
    this.#formatForwarding(method, weight, active, inactive)
    last.method = method
    last.weight = weight
    last.active = active
    last.inactive = inactive
    last.length = this.#length - start
    last.bytes.set(this.#bytes.subarray(start, this.#length))
  }

  #formatForwarding(method: number, weight: number, active: number, inactive: number): void {
    this.#byte(32)
    const name = methods[method]!
    for (let index = 0; index < methodColumns; index++) this.#byte(name[index]!)
    this.#byte(32)
    this.#decimal(weight, weightColumns)
    this.#byte(32)
    this.#decimal(active, countColumns)
    this.#byte(32)
    this.#decimal(inactive, countColumns)
    this.#byte(10)
  }

  #byte(code: number): void {
    this.#bytes[this.#length++] = code
  }

  /** At the left of so many columns, or of as many as it needs. */
  #decimal(value: number, columns: number): void {
    const bytes = this.#bytes
    let at = this.#length
    const stop = at + columns
    let rest = value
    if (rest < 0) {
      bytes[at++] = 45
      rest = -rest
    }
    let digits = 1
    for (let power = 10; power <= rest; power *= 10) digits++
    for (let index = at + digits - 1; index >= at; index--) {
      const next = Math.floor(rest / 10)
      bytes[index] = 48 + rest - next * 10
      rest = next
    }
    at += digits
    while (at < stop) bytes[at++] = 32
    this.#length = at
  }

  /** Makes room for so many bytes. */
  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    if (this.#length > 0) this.#full.push(this.#bytes.subarray(0, this.#length))
    const spare = count <= chunkBytes ? this.#spare.pop() : undefined
    this.#bytes = spare ?? new Uint8Array(Math.max(chunkBytes, count))
    this.#length = 0
  }

  get hasFull(): boolean {
    return this.#full.length > 0
  }

  /** Pieces that are complete. */
  *full(): Generator<Uint8Array, void, undefined> {
    for (let piece = this.#full.shift(); piece !== undefined; piece = this.#full.shift()) {
      yield piece
      if (piece.buffer.byteLength === chunkBytes)
        this.#spare.push(new Uint8Array(piece.buffer as ArrayBuffer))
    }
  }

  /** Everything. */
  *rest(): Generator<Uint8Array, void, undefined> {
    yield* this.full()
    if (this.#length > 0) yield this.#bytes.subarray(0, this.#length)
    this.#length = 0
  }
}

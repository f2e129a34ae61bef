/**
 * The lines of `/proc/net/ip_vs_conn` and `/proc/net/ip_vs_conn_sync`, read from bytes: a director may hold millions of
 * them. Format: net/netfilter/ipvs/ip_vs_conn.c, `ip_vs_conn_seq_show` and `ip_vs_conn_sync_seq_show`:
 *
 *   Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
 *   TCP C0A80001 C350 C0A80064 0050 0A000007 1F90 ESTABLISHED     899
 *
 * IPv4 in hexadecimal, IPv6 as eight full groups, ports in hexadecimal. The second file has `Origin` before `Expires`
 * and no persistence engine.
 */
import { MalformedMessageError } from '../errors/index.js'

/** Of a line that has no end: far more than the 255 bytes of engine data (IP_VS_PEDATA_MAXLEN) need. */
const longestLine = 1024

const space = 32
const newline = 10
const colon = 58

/** An address and port as they stand in a line. The bytes are used again for the next line. */
export interface LineEnd {
  readonly bytes: Uint8Array
  /** 4 or 16. */
  length: number
  port: number
}

/** What one line says, until the next one is read. */
export class ConnectionLine {
  readonly client = end()
  readonly virtual = end()
  readonly destination = end()
  protocol = ''
  state = ''
  expiresSeconds = 0
  /** `LOCAL` or `SYNC`; of `ip_vs_conn_sync` alone. */
  origin: string | undefined
  engine: string | undefined
  engineData: string | undefined
}

function end(): LineEnd {
  return { bytes: new Uint8Array(16), length: 4, port: 0 }
}

/** Takes the file in pieces of any size and hands out line by line. */
export class ConnectionLines {
  readonly #withOrigin: boolean
  readonly #line = new ConnectionLine()
  #rest = new Uint8Array()
  /** Bytes of the file before `#rest`. */
  #offset = 0
  #first = true

  constructor(options: { readonly withOrigin: boolean }) {
    this.#withOrigin = options.withOrigin
  }

  /**
   * The lines that are whole with this piece. `visit` is called with the same object for each of them.
   * @throws MalformedMessageError for what is no such line.
   */
  push(piece: Uint8Array, visit: (line: ConnectionLine) => void): void {
    const bytes = this.#rest.length === 0 ? piece : joined(this.#rest, piece)
    let start = 0
    for (;;) {
      const stop = bytes.indexOf(newline, start)
      if ((stop < 0 ? bytes.length : stop) - start > longestLine) {
        throw new MalformedMessageError(`a line of more than ${longestLine} bytes`, this.#offset + start)
      }
      if (stop < 0) break
      if (this.#first && startsWithHeading(bytes, start)) {
        this.#first = false
      } else {
        this.#first = false
        new Fields(bytes, start, stop, this.#offset).readInto(this.#line, this.#withOrigin)
        visit(this.#line)
      }
      start = stop + 1
    }
    this.#offset += start
    // A copy: the piece's buffer is filled anew.
    this.#rest = bytes.slice(start)
  }

  /** @throws MalformedMessageError if the file ended within a line. */
  finish(): void {
    if (this.#rest.length > 0) throw new MalformedMessageError('a line without an end', this.#offset)
  }
}

function joined(before: Uint8Array, after: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(before.length + after.length)
  bytes.set(before)
  bytes.set(after, before.length)
  return bytes
}

const heading = new TextEncoder().encode('Pro ')

function startsWithHeading(bytes: Uint8Array, start: number): boolean {
  return heading.every((code, index) => bytes[start + index] === code)
}

/** Walks the fields of one line. */
class Fields {
  #from = 0
  #to: number

  constructor(
    readonly bytes: Uint8Array,
    readonly start: number,
    readonly stop: number,
    readonly offset: number,
  ) {
    this.#to = start
  }

  readInto(line: ConnectionLine, withOrigin: boolean): void {
    line.protocol = this.#word('a protocol')
    this.#end(line.client)
    this.#end(line.virtual)
    this.#end(line.destination)
    if (line.client.length !== line.virtual.length)
      throw this.#malformed('client and service of two families')
    line.state = this.#word('a state')
    line.origin = withOrigin ? this.#word('an origin') : undefined
    line.expiresSeconds = this.#seconds()
    line.engine = undefined
    line.engineData = undefined
    if (this.#to === this.stop) return
    if (withOrigin) throw this.#malformed('more than there is to say')
    line.engine = this.#word('a persistence engine')
    // The rest of the line, spaces and all: a SIP Call-ID is whatever a client chose.
    line.engineData = text.decode(this.bytes.subarray(Math.min(this.#to + 1, this.stop), this.stop))
  }

  #end(target: LineEnd): void {
    this.#next('an address')
    const { bytes } = this
    const length = this.#to - this.#from
    if (length === 8) {
      target.length = 4
      for (let index = 0; index < 4; index++) {
        target.bytes[index] = this.#hexadecimal(this.#from + index * 2, 2)
      }
    } else if (length === 39) {
      target.length = 16
      for (let group = 0, at = this.#from; group < 8; group++, at += 5) {
        if (group < 7 && bytes[at + 4] !== colon) throw this.#malformed('no address')
        target.bytes[group * 2] = this.#hexadecimal(at, 2)
        target.bytes[group * 2 + 1] = this.#hexadecimal(at + 2, 2)
      }
    } else {
      throw this.#malformed('no address')
    }
    this.#next('a port')
    if (this.#to - this.#from !== 4) throw this.#malformed('no port')
    target.port = this.#hexadecimal(this.#from, 4)
  }

  /**
   * Older kernels subtract times without a sign: a connection that is just being removed shows a number near 2^64
   * over HZ. It has 0 seconds left.
   */
  #seconds(): number {
    this.#next('seconds')
    if (this.#to - this.#from > 20) throw this.#malformed('no number of seconds')
    let value = 0
    for (let at = this.#from; at < this.#to; at++) {
      const digit = this.bytes[at]! - 48
      if (digit < 0 || digit > 9) throw this.#malformed('no number of seconds')
      value = value * 10 + digit
    }
    return value > 0xffff_ffff ? 0 : value
  }

  #word(what: string): string {
    this.#next(what)
    let word = ''
    for (let at = this.#from; at < this.#to; at++) {
      const code = this.bytes[at]!
      if (code < 33 || code > 126) throw this.#malformed(`no ${what.replace(/^an? /, '')}`)
      word += String.fromCharCode(code)
    }
    return word
  }

  /** Moves to the next field; they are apart by one space or more. */
  #next(what: string): void {
    let at = this.#to
    while (at < this.stop && this.bytes[at] === space) at++
    this.#from = at
    while (at < this.stop && this.bytes[at] !== space) at++
    this.#to = at
    if (at === this.#from) throw this.#malformed(`${what} is missing`)
  }

  #hexadecimal(at: number, digits: number): number {
    let value = 0
    for (let index = at; index < at + digits; index++) {
      const code = this.bytes[index]!
      const lower = code | 32
      const digit = code >= 48 && code <= 57 ? code - 48 : lower >= 97 && lower <= 102 ? lower - 87 : -1
      if (digit < 0) throw this.#malformed('no hexadecimal number')
      value = (value << 4) | digit
    }
    return value
  }

  #malformed(what: string): MalformedMessageError {
    return new MalformedMessageError(`connection line: ${what}`, this.offset + this.#from)
  }
}

const text = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * `/proc/net/ip_vs` and `/proc/net/ip_vs_stats`: the whole table in one file. The kernel writes it many times faster
 * than it answers a dump of destinations for each service over netlink, but it leaves out thresholds, persistent
 * connections, tunnels, statistics, flags of schedulers, persistence engines and the family of a firewall mark.
 * Source: net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_info_seq_show and ip_vs_stats_show; the same from 3.10 to 6.18.
 */
import { readSync } from 'node:fs'
import { MalformedMessageError } from '../errors/index.js'
import { borrowFile, closeDescriptor } from '../net/files.js'
import { type Netns, readFile } from '../net/index.js'
import { Slices } from '../slices.js'

export interface ProcOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
}

/**
 * The table in columns: entry `n` of every array is service (or destination) number `n`, in the kernel's order. An
 * object for each of 100,000 destinations would cost more than reading them.
 */
export interface ProcTable {
  readonly services: ServiceColumns
  readonly destinations: DestinationColumns
  /** IPv6 addresses, four words (big-endian, as the address is read) for each. */
  readonly longAddresses: Uint32Array
}

export interface ServiceColumns {
  readonly count: number
  /** 6, 17 or 132; 0 for a service by firewall mark. */
  readonly protocol: Uint8Array
  /** 1 for an IPv6 address. What family a firewall mark is of, the file does not say. */
  readonly isIPv6: Uint8Array
  /** The IPv4 address (192.0.2.1 is 0xC0000201), or the number of an IPv6 one in `longAddresses`, or the mark. */
  readonly address: Uint32Array
  readonly port: Uint16Array
  /** One more than there are services: those of service `n` are `[first[n], first[n + 1])`. */
  readonly firstDestination: Uint32Array
}

export interface DestinationColumns {
  readonly count: number
  readonly isIPv6: Uint8Array
  readonly address: Uint32Array
  readonly port: Uint16Array
  /** As `forwardingMethods` names them. */
  readonly forwardingMethod: Uint8Array
  readonly weight: Int32Array
  readonly activeConnections: Uint32Array
  readonly inactiveConnections: Uint32Array
}

/** What the kernel calls forwarding methods in this file, by their number on the wire. */
export const forwardingMethods = ['Masq', 'Local', 'Tunnel', 'Route', 'Bypass', 'Unknown'] as const

/** The sums of a whole network namespace. Counters are bigint, rates numbers. */
export interface IpvsTotals {
  readonly connections: bigint
  readonly incomingPackets: bigint
  readonly outgoingPackets: bigint
  readonly incomingBytes: bigint
  readonly outgoingBytes: bigint
  readonly connectionsPerSecond: number
  readonly incomingPacketsPerSecond: number
  readonly outgoingPacketsPerSecond: number
  readonly incomingBytesPerSecond: number
  readonly outgoingBytesPerSecond: number
}

/** One read(2) gives a page, or one service with its destinations where that is more (fs/seq_file.c). */
const bufferBytes = 1 << 14

/**
 * Reads every service and destination of a namespace. The kernel takes no snapshot: what changes meanwhile is there in
 * its old or its new state.
 *
 * Reading and parsing go page by page through one buffer, in slices, so that the event loop stays free and no memory
 * but the columns is touched for the first time: in user-mode Linux that costs more than all else here.
 *
 * @throws KernelError ENOENT if IPVS is not loaded.
 */
export async function readProcTable({ netns }: ProcOptions = {}): Promise<ProcTable> {
  const fd = borrowFile('/proc/net/ip_vs', { netns })
  try {
    const parser = new TableParser()
    let buffer = new Uint8Array(bufferBytes)
    let length = 0
    const slices = new Slices()
    for (;;) {
      if (length === buffer.length) buffer = enlarged(buffer)
      const count = readSync(fd, buffer, length, buffer.length - length, null)
      length += count
      const taken = parser.push(buffer, length)
      if (count === 0) break
      buffer.copyWithin(0, taken, length)
      length -= taken
      if (slices.isOver) await slices.next()
    }
    return parser.finish(length)
  } finally {
    closeDescriptor(fd)
  }
}

/** A table from the text of such a file. */
export function parseProcTable(bytes: Uint8Array): ProcTable {
  const parser = new TableParser()
  return parser.finish(bytes.length - parser.push(bytes, bytes.length))
}

/**
 * What the namespace has carried since IPVS was loaded or `zero()` was called.
 *
 * @throws KernelError ENOENT if IPVS is not loaded.
 */
export function readTotals({ netns }: ProcOptions = {}): IpvsTotals {
  return parseTotals(readFile('/proc/net/ip_vs_stats', { netns }))
}

/** Totals from the text of such a file. */
export function parseTotals(text: string): IpvsTotals {
  // Two headings and a line of hexadecimal counters; a heading and a line of rates.
  const [counters, rates] = text
    .split('\n')
    .filter((line) => /^(\s*[\dA-F]+){5}\s*$/.test(line))
    .map((line) => line.trim().split(/\s+/))
  if (counters?.length !== 5 || rates?.length !== 5) {
    throw new MalformedMessageError('ip_vs_stats has no two lines of five numbers', 0)
  }
  const counter = (index: number): bigint => BigInt(`0x${counters[index]!}`)
  const rate = (index: number): number => Number(`0x${rates[index]!}`)
  return {
    connections: counter(0),
    incomingPackets: counter(1),
    outgoingPackets: counter(2),
    incomingBytes: counter(3),
    outgoingBytes: counter(4),
    connectionsPerSecond: rate(0),
    incomingPacketsPerSecond: rate(1),
    outgoingPacketsPerSecond: rate(2),
    incomingBytesPerSecond: rate(3),
    outgoingBytesPerSecond: rate(4),
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array

/** Columns begin with room for what the last table held: growing touches memory twice. */
let usualServices = 1 << 8
let usualDestinations = 1 << 10

const newline = 10
const space = 32
const hyphen = 45
const colon = 58
const bracket = 91
const closingBracket = 93
const protocolOfInitial: Readonly<Record<number, number>> = { 0x54: 6, 0x55: 17, 0x53: 132, 0x46: 0 }
/** No two methods begin with the same letter. */
const methodOfInitial = new Uint8Array(256).fill(forwardingMethods.indexOf('Unknown'))
forwardingMethods.forEach((name, index) => (methodOfInitial[name.charCodeAt(0)] = index))

/** What a character counts; more than 15 for those that are no digit. */
const hexadecimalDigit = new Uint8Array(256).fill(255)
for (const digits of ['0123456789abcdef', '0123456789ABCDEF']) {
  for (let value = 0; value < 16; value++) hexadecimalDigit[digits.charCodeAt(value)] = value
}

/** Goes over the text once, byte by byte; makes nothing but the columns. */
class TableParser {
  readonly #services: Mutable<ServiceColumns> = {
    count: 0,
    protocol: new Uint8Array(usualServices),
    isIPv6: new Uint8Array(usualServices),
    address: new Uint32Array(usualServices),
    port: new Uint16Array(usualServices),
    firstDestination: new Uint32Array(usualServices),
  }
  readonly #destinations: Mutable<DestinationColumns> = {
    count: 0,
    isIPv6: new Uint8Array(usualDestinations),
    address: new Uint32Array(usualDestinations),
    port: new Uint16Array(usualDestinations),
    forwardingMethod: new Uint8Array(usualDestinations),
    weight: new Int32Array(usualDestinations),
    activeConnections: new Uint32Array(usualDestinations),
    inactiveConnections: new Uint32Array(usualDestinations),
  }
  #longAddresses = new Uint32Array(256)
  #longAddressCount = 0
  #headingLines = 3
  /** Of the file, what came before the bytes at hand. */
  #offset = 0
  #bytes: Uint8Array = new Uint8Array()
  #at = 0

  /** Takes all lines that are whole in `[0, length)`; returns where the first one begins that is not. */
  push(bytes: Uint8Array, length: number): number {
    let whole = length
    while (whole > 0 && bytes[whole - 1] !== newline) whole--
    this.#bytes = bytes
    this.#at = 0
    while (this.#at < whole) {
      if (this.#headingLines > 0) {
        this.#headingLines--
        this.#endLine()
      } else if (bytes[this.#at] === space) this.#destination()
      else this.#service()
    }
    this.#offset += whole
    return whole
  }

  /** @param rest  Bytes that are left: there must be none. */
  finish(rest: number): ProcTable {
    this.#at = 0
    if (rest > 0) throw this.#malformed('a line without an end')
    const services = this.#services
    const { count } = services
    if (count === services.port.length) this.#grow(services)
    services.firstDestination[count] = this.#destinations.count
    usualServices = services.port.length
    usualDestinations = this.#destinations.port.length
    return { services, destinations: this.#destinations, longAddresses: this.#longAddresses }
  }

  /** `TCP  C0000201:0050 wlc `, `UDP  [2001:0db8:…:0001]:01BB rr `, `FWM  0000002A sh `. */
  #service(): void {
    const services = this.#services
    const index = services.count++
    if (index === services.port.length) this.#grow(services)
    const protocol = protocolOfInitial[this.#bytes[this.#at]!]
    if (protocol === undefined) throw this.#malformed('neither a service nor a destination')
    this.#skipWord()
    this.#skipSpaces()
    services.protocol[index] = protocol
    services.firstDestination[index] = this.#destinations.count
    if (protocol === 0) services.address[index] = this.#hexadecimal(8)
    else this.#endpoint(index, services)
    this.#endLine()
  }

  /** `  -> 0A000007:1F90      Masq    1      0          0         `. */
  #destination(): void {
    const destinations = this.#destinations
    const index = destinations.count++
    if (index === destinations.port.length) this.#grow(destinations)
    if (this.#services.count === 0) throw this.#malformed('a destination before any service')
    this.#skipSpaces()
    this.#skipWord()
    this.#skipSpaces()
    this.#endpoint(index, destinations)
    this.#skipSpaces()
    destinations.forwardingMethod[index] = methodOfInitial[this.#bytes[this.#at]!]!
    this.#skipWord()
    destinations.weight[index] = this.#decimal()
    // Columns begin with zeros, and pages of them that nobody writes cost nothing.
    const active = this.#decimal()
    if (active !== 0) destinations.activeConnections[index] = active
    const inactive = this.#decimal()
    if (inactive !== 0) destinations.inactiveConnections[index] = inactive
    this.#endLine()
  }

  #endpoint(index: number, columns: ServiceColumns | DestinationColumns): void {
    if (this.#bytes[this.#at] === bracket) {
      columns.isIPv6[index] = 1
      columns.address[index] = this.#longAddress()
    } else {
      columns.address[index] = this.#hexadecimal(8)
    }
    this.#expect(colon)
    columns.port[index] = this.#hexadecimal(4)
  }

  /** Eight groups of four digits in brackets; returns the address' number. */
  #longAddress(): number {
    const number = this.#longAddressCount++
    if (number * 4 === this.#longAddresses.length) this.#longAddresses = enlarged(this.#longAddresses)
    for (let word = 0; word < 4; word++) {
      this.#expect(word === 0 ? bracket : colon)
      const high = this.#hexadecimal(4)
      this.#expect(colon)
      this.#longAddresses[number * 4 + word] = high * 0x1_0000 + this.#hexadecimal(4)
    }
    this.#expect(closingBracket)
    return number
  }

  #hexadecimal(digits: number): number {
    const bytes = this.#bytes
    const end = this.#at + digits
    let value = 0
    for (let at = this.#at; at < end; at++) {
      const digit = hexadecimalDigit[bytes[at]!]!
      if (digit > 15) throw this.#malformed('no hexadecimal number')
      value = (value << 4) | digit
    }
    this.#at = end
    return value >>> 0
  }

  /** A number behind spaces; the kernel prints it signed. */
  #decimal(): number {
    const bytes = this.#bytes
    this.#skipSpaces()
    let at = this.#at
    const negative = bytes[at] === hyphen
    if (negative) at++
    const start = at
    let value = 0
    for (let code = bytes[at]!; code >= 48 && code <= 57; code = bytes[at]!) {
      value = value * 10 + code - 48
      at++
    }
    this.#at = at
    if (at === start) throw this.#malformed('no number')
    return negative ? -value : value
  }

  #expect(code: number): void {
    if (this.#bytes[this.#at++] !== code) throw this.#malformed('no address and port')
  }

  #skipWord(): void {
    const bytes = this.#bytes
    let at = this.#at
    while (bytes[at] !== space && bytes[at] !== newline) at++
    this.#at = at
  }

  #skipSpaces(): void {
    const bytes = this.#bytes
    let at = this.#at
    while (bytes[at] === space) at++
    this.#at = at
  }

  /** Nothing above goes past the end of a line, and each line has one. */
  #endLine(): void {
    const bytes = this.#bytes
    let at = this.#at
    while (bytes[at++] !== newline);
    this.#at = at
  }

  #grow(columns: Mutable<ServiceColumns> | Mutable<DestinationColumns>): void {
    const growing = columns as unknown as Record<string, Column | number>
    for (const [name, column] of Object.entries(growing)) {
      if (typeof column !== 'number') growing[name] = enlarged(column)
    }
  }

  #malformed(what: string): MalformedMessageError {
    return new MalformedMessageError(`/proc/net/ip_vs: ${what}`, this.#offset + this.#at)
  }
}

function enlarged<C extends Column>(column: C): C {
  const larger = new (column.constructor as new (length: number) => C)(column.length * 2)
  larger.set(column)
  return larger
}

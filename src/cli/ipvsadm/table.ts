/**
 * The table as text. What `-L` alone shows of destinations stands in /proc/net/ip_vs, which costs a fraction of a dump
 * for each service; everything else is read over netlink. Text comes in pieces, each valid until the next is asked for,
 * and the event loop is let in between.
 */
import type { ProcTable } from '../../ipvs/proc.js'
import { Slices } from '../../slices.js'
import type { Format } from './command.js'
import type { KernelInfo } from './kernel.js'
import { AF_INET6, type ListedDestination, type ListedService, ServiceList } from './listed.js'
import {
  banner,
  destinationLine,
  destinationRule,
  type EndpointText,
  numericEndpoint,
  serviceLine,
  serviceRule,
  title,
} from './print.js'
import { compareAddresses, inOrder, mergeSort, mergeSortPart } from './sort.js'
import { addressText } from './text.js'
import { TextWriter } from './writer.js'

/** Makes names for addresses that are going to be printed; gets every one of them. */
export type NameFinder = (addresses: ReadonlySet<string>) => Promise<EndpointText>

/** What is asked of the kernel for it. */
export interface TableSource {
  readonly info: KernelInfo
  services(withStatistics: boolean): Promise<ServiceList>
  /** Of each of these services. */
  destinations(services: ServiceList, indices: readonly number[]): Promise<ListedDestination[][]>
  /** The same table as /proc has it; undefined where that is not to be had. */
  procTable(): Promise<ProcTable | undefined>
}

type Pieces = AsyncGenerator<Uint8Array, void, undefined>

/** Everything that is programmed, as `ipvsadm -L` shows it. */
export async function* renderTable(kernel: TableSource, format: Format, findNames?: NameFinder): Pieces {
  const writer = new TextWriter()
  writer.text(banner(kernel.info))
  const isPlain =
    !format.stats && !format.rate && !format.thresholds && !format.persistentConn && !format.tunInfo
  if (isPlain) {
    // The kernel answers the dump on another thread meanwhile.
    const [services, table] = await Promise.all([kernel.services(false), kernel.procTable()])
    if (table !== undefined) return yield* renderProc(kernel, services, table, format, findNames, writer)
  }
  const services = await kernel.services(true)
  writer.text(title(format))
  yield* renderListed(kernel, services, format, findNames, writer, asList)
}

/** Everything that is programmed, as lines that `ipvsadm -R` reads. */
export async function* renderRules(kernel: TableSource, format: Format, findNames?: NameFinder): Pieces {
  const services = await kernel.services(false)
  yield* renderListed(kernel, services, format, findNames, new TextWriter(), asRules)
}

/** One service, as `ipvsadm -L -t …` shows it: without the first line. */
export async function* renderService(
  kernel: TableSource,
  service: ListedService,
  format: Format,
  findNames?: NameFinder,
): Pieces {
  const writer = new TextWriter()
  writer.text(title(format))
  const services = new ServiceList()
  services.push(service)
  yield* renderListed(kernel, services, format, findNames, writer, asList)
}

interface Lines {
  service(service: ListedService, format: Format, name: EndpointText): string
  destination(
    destination: ListedDestination,
    service: ListedService,
    format: Format,
    name: EndpointText,
  ): string
}

const asList: Lines = { service: serviceLine, destination: destinationLine }
const asRules: Lines = {
  service: (service, _, name) => serviceRule(service, name),
  destination: (destination, service, _, name) => destinationRule(destination, service, name),
}

/** From netlink, which knows everything. */
async function* renderListed(
  kernel: TableSource,
  services: ServiceList,
  format: Format,
  findNames: NameFinder | undefined,
  writer: TextWriter,
  lines: Lines,
): Pieces {
  const destinations = await kernel.destinations(services, Array.from(inOrder(services.length)))
  const name = await namesFor(format, findNames, (add) => {
    for (let index = 0; index < services.length; index++)
      addListed(services.at(index), destinations[index]!, add)
  })
  const slices = new Slices()
  for (const index of serviceOrder(services, format)) {
    const service = services.at(index)
    writer.text(lines.service(service, format, name))
    for (const destination of sortedDestinations(destinations[index]!, service, format)) {
      writer.text(lines.destination(destination, service, format, name))
    }
    if (writer.hasFull) yield* writer.full()
    if (slices.isOver) await slices.next()
  }
  yield* writer.rest()
}

/** From netlink's list of services and the destinations in /proc. */
async function* renderProc(
  kernel: TableSource,
  services: ServiceList,
  table: ProcTable,
  format: Format,
  findNames: NameFinder | undefined,
  writer: TextWriter,
): Pieces {
  const { destinations } = table
  const slices = new Slices()
  const places = placesIn(table, services)
  // Those that came or went between the two readings.
  const apart = Array.from(inOrder(services.length)).filter((index) => places[index] === absent)
  const answers = await kernel.destinations(services, apart)
  const listed = new Map(apart.map((index, at) => [index, answers[at]!]))
  const name = await namesFor(format, findNames, (add) => {
    for (let index = 0; index < services.length; index++) {
      addListed(services.at(index), listed.get(index) ?? [], add)
    }
    for (let index = 0; index < destinations.count; index++) {
      const [words, at] = wordsOf(table, destinations, index)
      add(addressText(words, at, destinations.isIPv6[index] === 1))
    }
  })
  const first = table.services.firstDestination
  const order = new DestinationOrder(table, format)
  writer.text(title(format))
  await slices.next()
  for (const index of serviceOrder(services, format)) {
    const service = services.at(index)
    writer.text(serviceLine(service, format, name))
    const place = places[index]!
    if (place === absent) {
      for (const destination of sortedDestinations(listed.get(index)!, service, format)) {
        writer.text(destinationLine(destination, service, format, name))
      }
    } else {
      const count = order.sort(first[place]!, first[place + 1]!)
      for (let at = 0; at < count; at++) {
        writeDestination(writer, table, order.at(at), service.protocol ?? 0, name)
      }
    }
    if (writer.hasFull) yield* writer.full()
    if (slices.isOver) await slices.next()
  }
  yield* writer.rest()
}

function writeDestination(
  writer: TextWriter,
  table: ProcTable,
  index: number,
  protocol: number,
  name: EndpointText,
): void {
  const { destinations } = table
  const port = destinations.port[index]!
  const isIPv6 = destinations.isIPv6[index] === 1
  if (!isIPv6 && name === numericEndpoint) {
    writer.arrow(destinations.address[index]!, port)
  } else {
    const [words, at] = wordsOf(table, destinations, index)
    const text = name(words, at, isIPv6, port, protocol)
    writer.text(`  -> ${(isIPv6 ? text : text.slice(0, 28)).padEnd(28)}`)
  }
  writer.forwarding(
    destinations.forwardingMethod[index]!,
    destinations.weight[index]!,
    destinations.activeConnections[index]!,
    destinations.inactiveConnections[index]!,
  )
}

const absent = -1

/**
 * Where each service stands in the file. Both lists are in the order of the kernel's tables, so they go side by side
 * unless something changed between the readings.
 */
function placesIn(table: ProcTable, services: ServiceList): Int32Array {
  const columns = table.services
  const places = inOrder(services.length)
  let same = columns.count === services.length
  for (let index = 0; same && index < services.length; index++) same = isAt(table, index, services.at(index))
  if (same) return places
  const byKey = new Map<string, number>()
  for (let index = 0; index < columns.count; index++) {
    const isIPv6 = columns.isIPv6[index] === 1
    const address = addressText(...wordsOf(table, columns, index), isIPv6)
    // A mark does not tell its family, and may be there for both.
    if (columns.protocol[index] !== 0) {
      byKey.set(`${columns.protocol[index]!} ${address} ${columns.port[index]!}`, index)
    }
  }
  for (let index = 0; index < services.length; index++) {
    const { address, protocol, port, family } = services.at(index)
    const key =
      address === undefined ? '' : `${protocol!} ${addressText(address, 0, family === AF_INET6)} ${port!}`
    places[index] = byKey.get(key) ?? absent
  }
  return places
}

function isAt(table: ProcTable, index: number, service: ListedService): boolean {
  const columns = table.services
  if (service.firewallMark !== undefined) {
    return columns.protocol[index] === 0 && columns.address[index] === service.firewallMark
  }
  const isIPv6 = service.family === AF_INET6
  return (
    columns.protocol[index] === service.protocol &&
    columns.port[index] === service.port &&
    (columns.isIPv6[index] === 1) === isIPv6 &&
    compareAddresses(...wordsOf(table, columns, index), service.address!, 0, isIPv6) === 0
  )
}

/** Which words an address begins at. */
function wordsOf(
  table: ProcTable,
  columns: ProcTable['services'] | ProcTable['destinations'],
  index: number,
): [Uint32Array, number] {
  return columns.isIPv6[index] === 1
    ? [table.longAddresses, columns.address[index]! * 4]
    : [columns.address, index]
}

/** The destinations of one service at a time, in room for one: most have few, and the table may be large. */
class DestinationOrder {
  #order = new Int32Array(64)
  #spare = new Int32Array(64)
  readonly #nosort: boolean
  readonly #compare: (a: number, b: number) => number

  constructor(table: ProcTable, { nosort }: Format) {
    this.#nosort = nosort === true
    this.#compare = (a, b) => compareDestinations(table, a, b)
  }

  /** Those of `[from, to)`; returns how many. */
  sort(from: number, to: number): number {
    const count = to - from
    if (count > this.#order.length) {
      this.#order = new Int32Array(count * 2)
      this.#spare = new Int32Array(count * 2)
    }
    for (let at = 0; at < count; at++) this.#order[at] = from + at
    if (!this.#nosort) mergeSortPart(this.#order, this.#spare, 0, count, this.#compare)
    return count
  }

  at(position: number): number {
    return this.#order[position]!
  }
}

function compareDestinations(table: ProcTable, a: number, b: number): number {
  const { address, port, isIPv6 } = table.destinations
  // IPv4 alone is by far the most common, and the words are at hand.
  const found =
    isIPv6[a] === 0 && isIPv6[b] === 0 ? (address[a]! - address[b]!) | 0 : compareMixed(table, a, b)
  return found !== 0 ? found : port[a]! - port[b]!
}

/** An IPv4 address is four words for ipvsadm, three of them 0. */
function compareMixed(table: ProcTable, a: number, b: number): number {
  const full = (index: number): ArrayLike<number> => {
    const [words, at] = wordsOf(table, table.destinations, index)
    return table.destinations.isIPv6[index] === 1 ? words.subarray(at, at + 4) : [words[at]!, 0, 0, 0]
  }
  return compareAddresses(full(a), 0, full(b), 0, table.destinations.isIPv6[a] === 1)
}

function serviceOrder(services: ServiceList, { nosort }: Format): Int32Array {
  const order = inOrder(services.length)
  return nosort ? order : mergeSort(order, services.compare)
}

function sortedDestinations(
  destinations: readonly ListedDestination[],
  service: ListedService,
  { nosort }: Format,
): readonly ListedDestination[] {
  if (nosort || destinations.length < 2) return destinations
  const order = mergeSort(inOrder(destinations.length), (first, second) => {
    const a = destinations[first]!
    const b = destinations[second]!
    const isIPv6 = (a.family ?? service.family) === AF_INET6
    return compareAddresses(a.address, 0, b.address, 0, isIPv6) || a.port - b.port
  })
  return Array.from(order, (index) => destinations[index]!)
}

async function namesFor(
  { numeric }: Format,
  findNames: NameFinder | undefined,
  collect: (add: (address: string) => void) => void,
): Promise<EndpointText> {
  if (numeric || findNames === undefined) return numericEndpoint
  const addresses = new Set<string>()
  collect((address) => addresses.add(address))
  return findNames(addresses)
}

function addListed(
  service: ListedService,
  destinations: readonly ListedDestination[],
  add: (address: string) => void,
): void {
  if (service.address !== undefined) add(addressText(service.address, 0, service.family === AF_INET6))
  for (const { address, family } of destinations) {
    add(addressText(address, 0, (family ?? service.family) === AF_INET6))
  }
}

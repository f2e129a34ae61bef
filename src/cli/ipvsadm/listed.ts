/**
 * What lists are made of: the tables of the wire with the types that printing wants, which are numbers, and services in
 * columns. A list of 10,000 services is read, sorted and printed; objects for each would be most of the work.
 */
import {
  destination as destinationTable,
  service as serviceTable,
  statistics as statisticsTable,
  statistics32 as statistics32Table,
  top,
} from '../../ipvs/wire.js'
import { GENL_HDRLEN } from '../../genetlink/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  be32,
  type Decoded,
  type Encodable,
  nested,
  nulString,
  pad,
  type ReadReply,
  readOnly,
  s32,
  u16,
  u32,
  u8,
} from '../../netlink/index.js'
import { compareAddresses, difference } from './sort.js'

export const AF_INET6 = 10

/** A service in the kernel, in numbers. The mask is read as IPv4 has it, most significant byte first. */
export interface ListedService extends Decoded<typeof listedService> {}
/** A destination in the kernel, in numbers. */
export interface ListedDestination extends Decoded<typeof listedDestination> {}

type Statistics = ListedService['statistics']

/** How many columns have room for at first. */
const few = 1 << 8

/** Services in the order in which they were read, in columns. */
export class ServiceList {
  #length = 0
  #families = new Uint8Array(few)
  #protocols = new Uint8Array(few)
  #words = new Uint32Array(few * 4)
  #ports = new Uint16Array(few)
  #marks = new Uint32Array(few)
  #flags = new Uint32Array(few)
  #timeouts = new Uint32Array(few)
  #netmasks = new Uint32Array(few)
  readonly #schedulers: string[] = []
  readonly #engines: (string | undefined)[] = []
  readonly #statistics: Statistics[] = []
  readonly #texts = new Map<string, string>()
  readonly #address = new Uint32Array(4)

  get length(): number {
    return this.#length
  }

  push(service: ListedService): void {
    const index = this.#length++
    if (index === this.#ports.length) this.#grow()
    this.#families[index] = service.family
    this.#protocols[index] = service.protocol ?? 0
    if (service.address !== undefined) this.#words.set(service.address, index * 4)
    this.#ports[index] = service.port ?? 0
    this.#marks[index] = service.firewallMark ?? 0
    this.#flags[index] = service.flags.flags
    this.#timeouts[index] = service.timeoutSeconds
    this.#netmasks[index] = service.netmask
    this.#schedulers.push(this.#shared(service.scheduler))
    this.#engines.push(service.engine === undefined ? undefined : this.#shared(service.engine))
    if (service.statistics !== undefined) this.#statistics[index] = service.statistics
  }

  /** Its address is valid until the next call. */
  at(index: number): ListedService {
    for (let word = 0; word < 4; word++) this.#address[word] = this.#words[index * 4 + word]!
    const isMark = this.#marks[index] !== 0
    return {
      family: this.#families[index]!,
      protocol: isMark ? undefined : this.#protocols[index],
      address: isMark ? undefined : this.#address,
      port: isMark ? undefined : this.#ports[index],
      firewallMark: isMark ? this.#marks[index] : undefined,
      scheduler: this.#schedulers[index]!,
      flags: { flags: this.#flags[index]!, mask: 0xffff_ffff },
      timeoutSeconds: this.#timeouts[index]!,
      netmask: this.#netmasks[index]!,
      engine: this.#engines[index],
      statistics: this.#statistics[index],
    }
  }

  /** As ipvsadm sorts them: by mark, family, protocol, address and port. */
  readonly compare = (a: number, b: number): number =>
    difference(this.#marks[a]!, this.#marks[b]!) ||
    this.#families[a]! - this.#families[b]! ||
    this.#protocols[a]! - this.#protocols[b]! ||
    compareAddresses(this.#words, a * 4, this.#words, b * 4, this.#families[a] === AF_INET6) ||
    this.#ports[a]! - this.#ports[b]!

  #shared(text: string): string {
    const known = this.#texts.get(text)
    if (known === undefined) this.#texts.set(text, text)
    return known ?? text
  }

  #grow(): void {
    this.#families = enlarged(this.#families)
    this.#protocols = enlarged(this.#protocols)
    this.#words = enlarged(this.#words)
    this.#ports = enlarged(this.#ports)
    this.#marks = enlarged(this.#marks)
    this.#flags = enlarged(this.#flags)
    this.#timeouts = enlarged(this.#timeouts)
    this.#netmasks = enlarged(this.#netmasks)
  }
}

function enlarged<C extends Uint8Array | Uint16Array | Uint32Array>(column: C): C {
  const larger = new (column.constructor as new (length: number) => C)(column.length * 2)
  larger.set(column)
  return larger
}

/** `union nf_inet_addr`; IPv4 is in the first. */
const fourWords: AttributeType<Uint32Array> = {
  name: 'four words',
  expected: 'four numbers',
  write(writer, value) {
    for (let word = 0; word < 4; word++) be32.write(writer, value[word]!, value)
  },
  read(bytes, view, offset, length, record) {
    const words = new Uint32Array(4)
    for (let word = 0; word < 4 && word * 4 < length; word++) {
      words[word] = be32.read(bytes, view, offset + word * 4, length - word * 4, record)
    }
    return words
  },
}

const { rows } = serviceTable
const bareService = {
  family: readOnly(rows.family.number, rows.family.constant, u16, { always: true }),
  protocol: readOnly(rows.protocol.number, rows.protocol.constant, u16),
  address: readOnly(rows.address.number, rows.address.constant, fourWords),
  port: readOnly(rows.port.number, rows.port.constant, be16),
  firewallMark: readOnly(rows.firewallMark.number, rows.firewallMark.constant, u32),
  scheduler: readOnly(rows.scheduler.number, rows.scheduler.constant, nulString(15), { always: true }),
  flags: readOnly(rows.flags.number, rows.flags.constant, rows.flags.type, { always: true }),
  timeoutSeconds: readOnly(
    rows.persistenceTimeoutSeconds.number,
    rows.persistenceTimeoutSeconds.constant,
    u32,
    { always: true },
  ),
  netmask: readOnly(rows.persistenceNetmask.number, rows.persistenceNetmask.constant, be32, {
    always: true,
  }),
  engine: readOnly(rows.persistenceEngine.number, rows.persistenceEngine.constant, nulString(15)),
}
const listedService = attributeTable(serviceTable.name, {
  ...bareService,
  statistics: readOnly(rows.statistics.number, rows.statistics.constant, nested(statisticsTable), {
    instead: {
      number: rows.statistics.instead!.number,
      constant: rows.statistics.instead!.constant,
      type: nested(statistics32Table),
    },
  }),
})
const bareServiceTable = attributeTable(serviceTable.name, {
  ...bareService,
  statistics: readOnly(rows.statistics.number, rows.statistics.constant, pad),
  statistics32: readOnly(rows.statistics.instead!.number, rows.statistics.instead!.constant, pad),
})
/** What names a service, as it was read. */
const listedKey = attributeTable(serviceTable.name, {
  family: attribute(rows.family.number, rows.family.constant, u16),
  protocol: attribute(rows.protocol.number, rows.protocol.constant, u16),
  address: attribute(rows.address.number, rows.address.constant, fourWords),
  port: attribute(rows.port.number, rows.port.constant, be16),
  firewallMark: attribute(rows.firewallMark.number, rows.firewallMark.constant, u32),
})

const of = destinationTable.rows
const listedDestination = attributeTable(destinationTable.name, {
  address: readOnly(of.address.number, of.address.constant, fourWords, { always: true }),
  port: readOnly(of.port.number, of.port.constant, be16, { always: true }),
  forwardingMethod: readOnly(of.forwardingMethod.number, of.forwardingMethod.constant, u32, { always: true }),
  weight: readOnly(of.weight.number, of.weight.constant, s32, { always: true }),
  upperThreshold: readOnly(of.upperThreshold.number, of.upperThreshold.constant, u32, { always: true }),
  lowerThreshold: readOnly(of.lowerThreshold.number, of.lowerThreshold.constant, u32, { always: true }),
  activeConnections: readOnly(of.activeConnections.number, of.activeConnections.constant, u32, {
    always: true,
  }),
  inactiveConnections: readOnly(of.inactiveConnections.number, of.inactiveConnections.constant, u32, {
    always: true,
  }),
  persistentConnections: readOnly(of.persistentConnections.number, of.persistentConnections.constant, u32, {
    always: true,
  }),
  /** Before 3.18 the service's. */
  family: readOnly(of.family.number, of.family.constant, u16),
  statistics: readOnly(of.statistics.number, of.statistics.constant, nested(statisticsTable), {
    instead: {
      number: of.statistics.instead!.number,
      constant: of.statistics.instead!.constant,
      type: nested(statistics32Table),
    },
  }),
  tunnelType: readOnly(of.tunnelType.number, of.tunnelType.constant, u8),
  tunnelPort: readOnly(of.tunnelPort.number, of.tunnelPort.constant, be16),
  tunnelFlags: readOnly(of.tunnelFlags.number, of.tunnelFlags.constant, u16),
})

/** Messages at whose top stands the one nest that is wanted. */
function inside<T>(
  row: { readonly number: number; readonly constant: string },
  type: AttributeType<never, T>,
): ReadReply<T> {
  const table = attributeTable(top.name, { value: readOnly(row.number, row.constant, type) })
  return (bytes, view, offset, end) =>
    (table.decode(bytes, view, offset + GENL_HDRLEN, end) as { readonly value?: T }).value
}

export const readService = inside<ListedService>(top.rows.service, nested(listedService))
export const readBareService = inside<ListedService>(top.rows.service, nested(bareServiceTable))
export const readDestination = inside<ListedDestination>(top.rows.destination, nested(listedDestination))
export const listedKeyTop = attributeTable(top.name, {
  service: attribute(top.rows.service.number, top.rows.service.constant, nested(listedKey)),
})

export function keyOf(service: ListedService): Encodable<typeof listedKey> {
  const { family, protocol, port, firewallMark } = service
  return firewallMark === undefined
    ? { family, protocol, address: service.address!.slice(), port }
    : { family, firewallMark }
}

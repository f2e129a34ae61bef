/**
 * What a virtual service is made of in the kernel: items, each with a name of its own, so that what is there and what is
 * wanted can be compared one by one. Several virtual services may want the same one: an address with two ports.
 */
import type { DestinationInput, ServiceInput, ServiceKey } from '../../ipvs/index.js'
import { destinationId, serviceId } from '../../ipvs/input.js'
import type { ElementInput } from '../../nftables/index.js'

interface Named {
  /** The same for two that stand at the same place. Asked for all the time, and so made once. */
  readonly name: string
}
/** An element of a set or map of our table. */
export interface EntryItem extends Named {
  readonly kind: 'entry'
  /** The set's name. */
  readonly set: string
  readonly element: Pick<ElementInput, 'key' | 'keyEnd'> & { readonly data?: Uint8Array | undefined }
}
/** An address of our interface. */
export interface AddressItem extends Named {
  readonly kind: 'address'
  readonly address: string
}
/** A virtual service of IPVS. */
export interface ServiceItem extends Named {
  readonly kind: 'service'
  readonly service: ServiceInput
  readonly serviceId: string
}
/** A server of one. */
export interface DestinationItem extends Named {
  readonly kind: 'destination'
  readonly service: ServiceKey
  readonly serviceId: string
  readonly destination: DestinationInput
  /** Whether its connections may end before it is taken out. */
  readonly drains: boolean
}
/** The rules that remember clients for so long. */
export interface LearnerItem extends Named {
  readonly kind: 'learner'
  readonly seconds: number
}
export type Item = EntryItem | AddressItem | ServiceItem | DestinationItem | LearnerItem

/** By their names. */
export type Items = ReadonlyMap<string, Item>

export function entryItem(set: string, element: EntryItem['element']): EntryItem {
  return { kind: 'entry', name: entryName(set, element), set, element }
}

export function entryName(set: string, { key, keyEnd }: EntryItem['element']): string {
  const text = hexOf(key!)
  const end = keyEnd === undefined ? text : hexOf(keyEnd)
  return `entry ${set} ${text}${end === text ? '' : `-${end}`}`
}

export function addressItem(address: string): AddressItem {
  return { kind: 'address', name: `address ${address}`, address }
}

export function learnerItem(seconds: number): LearnerItem {
  return { kind: 'learner', name: `learner ${seconds}`, seconds }
}

export function serviceItem(service: ServiceInput): ServiceItem {
  const id = serviceId(service)
  return { kind: 'service', name: serviceName(id), service, serviceId: id }
}

/** By the service's id. */
export function serviceName(id: string): string {
  return `service ${id}`
}

/** Makes servers of one service. */
export function destinationsOf(
  service: ServiceKey,
  drains: boolean,
): (destination: DestinationInput) => DestinationItem {
  const id = serviceId(service)
  return (destination) => {
    const name = destinationName(id, destinationId(service, destination))
    return { kind: 'destination', name, service, serviceId: id, destination, drains }
  }
}

/** By the ids of both. */
export function destinationName(service: string, destination: string): string {
  return `destination ${service} ${destination}`
}

/** Whether two of one name are the same in all else, too. */
export function isSame(one: Item, other: Item): boolean {
  if (one.kind === 'entry' && other.kind === 'entry') {
    const [some, others] = [one.element.data, other.element.data]
    return some === others || (some !== undefined && others !== undefined && areEqual(some, others))
  }
  if (one.kind === 'destination' && other.kind === 'destination') {
    const [some, others] = [one.destination, other.destination]
    return (
      (some.weight ?? 1) === (others.weight ?? 1) &&
      (some.forwardingMethod ?? 'masquerade') === (others.forwardingMethod ?? 'masquerade') &&
      (some.upperThreshold ?? 0) === (others.upperThreshold ?? 0) &&
      (some.lowerThreshold ?? 0) === (others.lowerThreshold ?? 0)
    )
  }
  if (one.kind === 'service' && other.kind === 'service') return valueOf(one) === valueOf(other)
  // There is no more to the others than their names.
  return true
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index])
}

/** What it is besides its name. */
export function valueOf(item: EntryItem | ServiceItem): string {
  if (item.kind === 'entry') return item.element.data === undefined ? '' : hexOf(item.element.data)
  const { scheduler, schedulerFlags = [], persistenceTimeoutSeconds = 0 } = item.service
  const { onePacket = false, persistenceEngine = '' } = item.service
  const flags = [...schedulerFlags].sort().join(',')
  return `${scheduler} ${flags} ${persistenceTimeoutSeconds} ${onePacket} ${persistenceEngine}`
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** A list as a map. The first of several of one name counts. */
export function itemsOf(list: Iterable<Item>): Map<string, Item> {
  const items = new Map<string, Item>()
  for (const item of list) if (!items.has(item.name)) items.set(item.name, item)
  return items
}

/**
 * What a virtual service is made of in the kernel: items, each with a name of its own, so that what is there and what is
 * wanted can be compared one by one. Several virtual services may want the same one: an address with two ports.
 */
import type { DestinationInput, ServiceInput, ServiceKey } from '../../ipvs/index.js'
import { destinationId, serviceId } from '../../ipvs/input.js'
import type { ElementInput } from '../../nftables/index.js'

/** An element of a set or map of our table. */
export interface EntryItem {
  readonly kind: 'entry'
  /** The set's name. */
  readonly set: string
  readonly element: Pick<ElementInput, 'key' | 'keyEnd'> & { readonly data?: Uint8Array | undefined }
}
/** An address of our interface. */
export interface AddressItem {
  readonly kind: 'address'
  readonly address: string
}
/** A virtual service of IPVS. */
export interface ServiceItem {
  readonly kind: 'service'
  readonly service: ServiceInput
}
/** A server of one. */
export interface DestinationItem {
  readonly kind: 'destination'
  readonly service: ServiceKey
  readonly destination: DestinationInput
  /** Whether its connections may end before it is taken out. */
  readonly drains: boolean
}
/** The rules that remember clients for so long. */
export interface LearnerItem {
  readonly kind: 'learner'
  readonly seconds: number
}
export type Item = EntryItem | AddressItem | ServiceItem | DestinationItem | LearnerItem

/** By their names. */
export type Items = ReadonlyMap<string, Item>

/** The same for two that stand at the same place. */
export function nameOf(item: Item): string {
  switch (item.kind) {
    case 'entry': {
      const { key, keyEnd } = item.element
      const end = keyEnd === undefined || hexOf(keyEnd) === hexOf(key!) ? '' : `-${hexOf(keyEnd)}`
      return `entry ${item.set} ${hexOf(key!)}${end}`
    }
    case 'address':
      return `address ${item.address}`
    case 'learner':
      return `learner ${item.seconds}`
    case 'service':
      return `service ${serviceId(item.service)}`
    case 'destination':
      return `destination ${serviceId(item.service)} ${destinationId(item.service, item.destination)}`
  }
}

/** Everything of it that is not its name. */
export function valueOf(item: Item): string {
  switch (item.kind) {
    case 'entry':
      return item.element.data === undefined ? '' : hexOf(item.element.data)
    case 'address':
    case 'learner':
      return ''
    case 'service': {
      const { scheduler, schedulerFlags = [], persistenceTimeoutSeconds = 0 } = item.service
      const { onePacket = false, persistenceEngine = '' } = item.service
      const flags = [...schedulerFlags].sort().join(',')
      return `${scheduler} ${flags} ${persistenceTimeoutSeconds} ${onePacket} ${persistenceEngine}`
    }
    case 'destination': {
      const {
        weight = 1,
        forwardingMethod = 'masquerade',
        upperThreshold = 0,
        lowerThreshold = 0,
      } = item.destination
      return `${forwardingMethod} ${weight} ${upperThreshold} ${lowerThreshold}`
    }
  }
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** A list as a map. The first of several of one name counts. */
export function itemsOf(list: Iterable<Item>): Map<string, Item> {
  const items = new Map<string, Item>()
  for (const item of list) {
    const name = nameOf(item)
    if (!items.has(name)) items.set(name, item)
  }
  return items
}

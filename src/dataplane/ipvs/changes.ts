/** What has to be done for the kernel to have the items that are wanted. Pure: a list that can be printed and counted. */
import { learnerChain } from './affinity.js'
import { serviceId } from '../../ipvs/input.js'
import type { IpvsOperation } from '../../ipvs/index.js'
import { type DestinationItem, type EntryItem, isSame, type Item, serviceItem, valueOf } from './items.js'

/**
 * In the order in which it is done. Claims and whatever lets packets in come before IPVS's entries, and go after them:
 * so that what IPVS has is claimed at every moment, and is found again whenever this process ends.
 */
export interface Changes {
  readonly addEntries: readonly EntryItem[]
  /** Elements have no replace (nf_tables_api.c: EEXIST): the old one goes in the same transaction. */
  readonly replaceEntries: readonly EntryItem[]
  /** Of those that claim nothing. */
  readonly removeEntries: readonly EntryItem[]
  /** Rules that remember clients, by their seconds: there before what leads to them, and gone after. */
  readonly addLearners: readonly number[]
  readonly removeLearners: readonly number[]
  readonly addAddresses: readonly string[]
  /** Alone, before the servers: where a service is somebody else's nothing is put into it. */
  readonly services: readonly IpvsOperation[]
  readonly destinations: readonly IpvsOperation[]
  /** Take no new connections any more, and go when those that they have ended. */
  readonly draining: readonly DestinationItem[]
  readonly removeAddresses: readonly string[]
  readonly removeClaims: readonly EntryItem[]
}

/** What is wanted of an item, and what there is. */
export interface Difference {
  readonly wanted: Item | undefined
  readonly present: Item | undefined
}

/** @param failed  Names of servers that are not drained. */
export function changesOf(
  differences: Iterable<Difference>,
  failed: ReadonlySet<string> = new Set(),
): Changes {
  const addEntries: EntryItem[] = []
  const replaceEntries: EntryItem[] = []
  const removeEntries: EntryItem[] = []
  const removeClaims: EntryItem[] = []
  const addLearners: number[] = []
  const removeLearners: number[] = []
  const addAddresses: string[] = []
  const removeAddresses: string[] = []
  const services: IpvsOperation[] = []
  const setServices: IpvsOperation[] = []
  const deleteServices: IpvsOperation[] = []
  const opening: IpvsOperation[] = []
  const closing: IpvsOperation[] = []
  const draining: DestinationItem[] = []
  const removed: DestinationItem[] = []
  const deleted = new Set<string>()

  for (const { wanted, present } of differences) {
    const isNew = present === undefined
    if (wanted === undefined) {
      if (isNew) continue
      if (present.kind === 'entry') (isClaim(present) ? removeClaims : removeEntries).push(present)
      else if (present.kind === 'address') removeAddresses.push(present.address)
      else if (present.kind === 'learner') removeLearners.push(present.seconds)
      else if (present.kind === 'destination') removed.push(present)
      else {
        deleted.add(present.serviceId)
        deleteServices.push({ operation: 'deleteService', service: present.service })
      }
    } else if (isNew || !isSame(wanted, present)) {
      if (wanted.kind === 'entry') (isNew ? addEntries : replaceEntries).push(wanted)
      else if (wanted.kind === 'address') addAddresses.push(wanted.address)
      else if (wanted.kind === 'learner') addLearners.push(wanted.seconds)
      else if (wanted.kind === 'service') {
        if (isNew) services.push({ operation: 'createService', service: wanted.service })
        else setServices.push({ operation: 'setService', service: wanted.service })
      } else {
        const { service, destination } = wanted
        const operation = isNew ? 'createDestination' : 'setDestination'
        const takesNone = destination.weight === 0
        ;(takesNone ? closing : opening).push({ operation, service, destination })
      }
    }
  }

  for (const item of removed) {
    const { service, destination, drains } = item
    // They go with their service.
    if (deleted.has(item.serviceId)) continue
    if (!drains || failed.has(item.name))
      closing.push({ operation: 'deleteDestination', service, destination })
    else {
      draining.push(item)
      if (destination.weight === 0) continue
      closing.push({ operation: 'setDestination', service, destination: { ...destination, weight: 0 } })
    }
  }
  return {
    addEntries,
    replaceEntries,
    removeEntries,
    addLearners,
    removeLearners,
    addAddresses,
    // A change of scheduler waits for an RCU grace period: last.
    services: [...services, ...setServices],
    // Who takes connections comes first: a service is never left with fewer than before and after.
    destinations: [...opening, ...closing, ...deleteServices],
    draining,
    removeAddresses,
    removeClaims,
  }
}

/** Entries that go last: what says that a service of IPVS is ours, and what keeps others from an address that is up. */
function isClaim({ set }: EntryItem): boolean {
  return /^(services|addresses|servers|local-servers)[46]$/.test(set)
}

/** How many messages that change something. */
export function countOf(changes: Changes): number {
  const { addEntries, replaceEntries, removeEntries, removeClaims } = changes
  return (
    addEntries.length +
    2 * replaceEntries.length +
    removeEntries.length +
    removeClaims.length +
    changes.addLearners.length +
    changes.removeLearners.length +
    changes.addAddresses.length +
    changes.removeAddresses.length +
    changes.services.length +
    changes.destinations.length
  )
}

/** A line for each. */
export function linesOf(changes: Changes): string[] {
  const entry = (verb: string) => (item: EntryItem) => `nft ${verb} ${item.name} ${valueOf(item)}`.trimEnd()
  const ipvs = (operation: IpvsOperation): string => {
    const { service } = operation
    if (operation.operation === 'deleteService') return `ipvs deleteService ${serviceId(service)}`
    if (!('destination' in operation)) {
      return `ipvs ${operation.operation} ${serviceId(service)} ${valueOf(serviceItem(service))}`
    }
    const { address, port, weight } = operation.destination as {
      address: string
      port?: number
      weight?: number
    }
    const place = address.includes(':') ? `[${address}]` : address
    return `ipvs ${operation.operation} ${serviceId(service)} -> ${place}:${port} weight ${weight ?? 1}`
  }
  return [
    ...changes.addLearners.map((seconds) => `nft add chain ${learnerChain(seconds)}`),
    ...changes.addEntries.map(entry('add')),
    ...changes.replaceEntries.map(entry('replace')),
    ...changes.removeEntries.map(entry('delete')),
    ...changes.addAddresses.map((address) => `address add ${address}`),
    ...changes.services.map(ipvs),
    ...changes.destinations.map(ipvs),
    ...changes.removeAddresses.map((address) => `address delete ${address}`),
    ...changes.removeClaims.map(entry('delete')),
    ...changes.removeLearners.map((seconds) => `nft delete chain ${learnerChain(seconds)}`),
  ]
}

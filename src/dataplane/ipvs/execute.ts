/** Does what was planned, and says what of it could not be done. */
import { isKernelError } from '../../errors/index.js'
import { destinationId, serviceId } from '../../ipvs/input.js'
import type { IpvsOperation } from '../../ipvs/index.js'
import type { Transaction } from '../../nftables/index.js'
import { addLearner, learnerChain, learnerElement, learnersMap } from './affinity.js'
import type { Changes } from './changes.js'
import { addAddress, deleteAddress } from './interface.js'
import { addressItem, destinationName, type EntryItem, serviceName } from './items.js'
import type { Clients } from './reading.js'
import type { Settings } from './settings.js'

export interface Outcome {
  /** By the name of the item. */
  readonly failures: ReadonlyMap<string, Error>
  /** Services that somebody else has, by their ids. */
  readonly taken: readonly string[]
}

/**
 * @param unclaiming  What has to be done when IPVS has a service no more, and before the table forgets that it was ours: who
 *   ends in between finds the claims of it at the next start.
 * @throws what a transaction of nf_tables throws: then nothing of what follows it was done
 */
export async function execute(
  { ipvs, rtnetlink, nftables }: Clients,
  changes: Changes,
  { name: table, device }: Pick<Settings, 'name' | 'device'>,
  unclaiming: (claims: readonly EntryItem[]) => Promise<void>,
): Promise<Outcome> {
  const failures = new Map<string, Error>()
  const taken: string[] = []
  const before = nftables?.transaction()
  if (before !== undefined) {
    for (const seconds of changes.addLearners) addLearner(before, table, seconds)
    deleteEntries(before, table, [...changes.removeEntries, ...changes.replaceEntries])
    addEntries(before, table, [...changes.addEntries, ...changes.replaceEntries])
    if (before.operations.length > 0) await before.commit()
  }
  // By its number where there are several: a name is looked up for each.
  const index = changes.addAddresses.length > 1 ? (await rtnetlink.links.find(device))?.index : undefined
  for (const address of changes.addAddresses) {
    await attempt(failures, addressItem(address).name, () => addAddress(rtnetlink, index ?? device, address))
  }

  const without = new Set<string>()
  if (changes.services.length > 0) {
    for (const { index, error } of (await ipvs.apply(changes.services)).failures) {
      const { operation, service } = changes.services[index]!
      const id = serviceId(service)
      without.add(id)
      if (operation === 'createService' && isKernelError(error, 'EEXIST')) taken.push(id)
      else failures.set(serviceName(id), error)
    }
  }
  const operations = changes.destinations.filter(
    (one) => one.operation === 'deleteService' || !without.has(serviceId(one.service)),
  )
  if (operations.length > 0) {
    for (const { index, error } of (await ipvs.apply(operations)).failures) {
      const operation = operations[index]!
      // What is to go and is gone is as it should be.
      if (
        operation.operation.startsWith('delete') &&
        (isKernelError(error, 'ESRCH') || isKernelError(error, 'ENOENT'))
      )
        continue
      failures.set(targetOf(operation), error)
    }
  }

  for (const address of changes.removeAddresses) {
    await attempt(failures, addressItem(address).name, () => deleteAddress(rtnetlink, device, address))
  }
  if (nftables !== undefined && changes.removeClaims.length + changes.removeLearners.length > 0) {
    await unclaiming(changes.removeClaims)
    const after = nftables.transaction()
    deleteEntries(after, table, changes.removeClaims)
    for (const seconds of changes.removeLearners) {
      const elements = [{ key: learnerElement(seconds).key }]
      after.delete('elements', { family: 'inet', table, set: learnersMap, elements })
    }
    await after.commit()
    // A chain that something led to can go once that is gone (before Linux 6.2 not in the same transaction).
    const chains = nftables.transaction()
    for (const seconds of changes.removeLearners) {
      chains.delete('chain', { family: 'inet', table, name: learnerChain(seconds) })
    }
    if (chains.operations.length > 0) await chains.commit()
  }
  return { failures, taken }
}

function targetOf(operation: IpvsOperation): string {
  const id = serviceId(operation.service)
  return 'destination' in operation
    ? destinationName(id, destinationId(operation.service, operation.destination))
    : serviceName(id)
}

async function attempt(failures: Map<string, Error>, name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    failures.set(name, error as Error)
  }
}

function bySet(entries: readonly EntryItem[]): Map<string, EntryItem[]> {
  const sets = new Map<string, EntryItem[]>()
  for (const entry of entries) {
    const list = sets.get(entry.set)
    if (list === undefined) sets.set(entry.set, [entry])
    else list.push(entry)
  }
  return sets
}

export function addEntries(transaction: Transaction, table: string, entries: readonly EntryItem[]): void {
  for (const [set, list] of bySet(entries)) {
    transaction.add('elements', { family: 'inet', table, set, elements: list.map(({ element }) => element) })
  }
}

function deleteEntries(transaction: Transaction, table: string, entries: readonly EntryItem[]): void {
  for (const [set, list] of bySet(entries)) {
    const elements = list.map(({ element: { key, keyEnd } }) => ({ key, keyEnd }))
    transaction.delete('elements', { family: 'inet', table, set, elements })
  }
}

/**
 * What an earlier process has made and nobody of this one has spoken of. A virtual service is spoken of as soon as somebody
 * has its number: what nobody wants of it is to go then. Pure.
 */
import { canonicalAddress } from '../../address/index.js'
import { serviceId } from '../../ipvs/input.js'
import { readAddress, readHostNumber } from '../ruleset/sets.js'
import type { FamilyWords } from '../ruleset/words.js'
import { secondsOfBits } from './affinity.js'
import type { EntryItem, Item } from './items.js'
import { claimOf } from './reading.js'
import { type EntryKind, kindsOfEntries, readChoiceData, trait } from './words.js'

/** What this process has spoken of. */
export interface Spoken {
  /** Whether there is a table beside IPVS: without one each IPVS service is a virtual service by itself. */
  readonly hasTable: boolean
  /** Whether a virtual service has this mark. */
  readonly isOfSomebody: (mark: number) => boolean
  /** Whether somebody wants the item of this name. */
  readonly isWanted: (name: string) => boolean
}

/** @returns their names */
export function sparedIn(items: ReadonlyMap<string, Item>, spoken: Spoken): ReadonlySet<string> {
  const spared = new Set<string>()
  const marks = new Set<number>()
  const services = new Set<string>()
  const addresses = new Set<string>()
  const servers = new Set<string>()
  const seconds = new Set<number>()
  const spare = (isSpared: (item: Item) => boolean): void => {
    for (const [name, item] of items) if (!spoken.isWanted(name) && isSpared(item)) spared.add(name)
  }
  const ofEntries = (isSpared: (kind: EntryKind, words: FamilyWords, entry: EntryItem) => boolean): void =>
    spare((item) => {
      const found = item.kind === 'entry' ? kindsOfEntries.get(item.set) : undefined
      return found !== undefined && isSpared(found.kind, found.words, item as EntryItem)
    })

  // Claims say which services of IPVS there are, those which servers, and both which of the rest is needed.
  ofEntries((kind, words, { element: { key, data } }) => {
    const claim = kind === 'services' ? claimOf(words, key!, data) : undefined
    if (claim === undefined || spoken.isOfSomebody(claim.mark)) return false
    marks.add(claim.mark)
    addresses.add(claim.key.address)
    seconds.add(secondsOfBits(claim.traits))
    if ((claim.traits & trait.foreign) === 0) services.add(serviceId(claim.key))
    services.add(serviceId({ firewallMark: claim.mark, family: words.family }))
    return true
  })
  ofEntries((kind, words, { element: { key, data } }) => {
    const isChoice = kind === 'choices' || kind === 'localChoices'
    if (!isChoice || data === undefined || !marks.has(readHostNumber(key!, words.addressBytes + 4)))
      return false
    services.add(serviceId({ firewallMark: readChoiceData(data), family: words.family }))
    return true
  })
  spare((item) => {
    if (item.kind !== 'service' || (spoken.hasTable && !services.has(item.serviceId))) return false
    services.add(item.serviceId)
    if (item.service.address !== undefined) addresses.add(plain(item.service.address))
    return true
  })
  spare((item) => {
    if (item.kind !== 'destination' || !services.has(item.serviceId)) return false
    servers.add(plain(item.destination.address))
    return true
  })
  spare((item) => {
    if (item.kind === 'learner') return seconds.has(item.seconds)
    return item.kind === 'address' && addresses.has(plain(item.address))
  })
  ofEntries((kind, words, { element: { key } }) => {
    const address = (): string => readAddress(words, key!)
    if (kind === 'sources') return marks.has(readHostNumber(key!, 0))
    return kind === 'hairpins' ? servers.has(address()) : kind === 'addresses' && addresses.has(address())
  })
  return spared
}

function plain(address: string): string {
  return canonicalAddress(address) ?? address
}

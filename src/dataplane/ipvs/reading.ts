/** What there is in the kernel of ours, as items; and what is somebody else's. */
import type { AddressFamily } from '../../address/index.js'
import { isKernelError, UnsupportedError } from '../../errors/index.js'
import type { Ipvs, ServiceEntry, ServiceKey } from '../../ipvs/index.js'
import { destinationInputOf, keyOf, serviceId, serviceInputOf } from '../../ipvs/input.js'
import type { Element, Nftables } from '../../nftables/index.js'
import type { Settings } from './settings.js'
import type { Rtnetlink } from '../../rtnetlink/index.js'
import { type InterfaceState, readInterface } from './interface.js'
import { readAddress, readHostNumber, readPort, readProtocol } from '../ruleset/sets.js'
import { learnerChain, learnersMap, secondsOfBits } from './affinity.js'
import {
  addressItem,
  destinationsOf,
  entryItem,
  hexOf,
  type Item,
  learnerItem,
  serviceItem,
} from './items.js'
import { families, type FamilyWords } from '../ruleset/words.js'
import { commentStarts, refuseOther } from '../ruleset/settings.js'
import { tableComment } from './layout.js'
import { isTableAsMade } from './table.js'
import {
  entrySets,
  firstMark,
  firstServerMark,
  mostServices,
  readChoiceData,
  readServiceData,
  setNames,
  trait,
} from './words.js'

/** A frontend as the table has it. */
export interface Claim {
  readonly family: AddressFamily
  readonly key: ServiceKey & { readonly address: string }
  readonly traits: number
  /** Of the virtual service. */
  readonly mark: number
}

export interface Found {
  readonly items: Map<string, Item>
  /** Ours, by the id of IPVS's service. */
  readonly claims: ReadonlyMap<string, Claim>
  /** Marks of servers that clients stay with, by the keys of their elements. */
  readonly serverMarks: ReadonlyMap<string, number>
  /** Ids of IPVS's services that are not ours. */
  readonly foreign: ReadonlySet<string>
  /** Those of IPVS that are ours. */
  readonly entries: readonly ServiceEntry[]
  readonly interface: InterfaceState
  /** The table's comment; undefined where there is none of its name. */
  readonly comment: string | undefined
  /** Whether its chains, rules and sets are what these settings make. */
  readonly isAsMade: boolean
}

export interface Clients {
  readonly ipvs: Ipvs
  readonly rtnetlink: Rtnetlink
  readonly nftables: Nftables | undefined
}

/** @param isOwn  Whether this process has made a service of IPVS, by its id: it is ours whatever others did to the table. */
export async function readKernel(
  { ipvs, rtnetlink, nftables }: Clients,
  settings: Settings,
  isOwn: (service: string) => boolean,
): Promise<Found> {
  const { name: table, device } = settings
  const items = new Map<string, Item>()
  const add = (item: Item): void => void items.set(item.name, item)
  const state = await readInterface(rtnetlink, device)
  for (const address of state.addresses) add(addressItem(address))

  const comment = nftables && (await commentOf(nftables, table))
  const claims = new Map<string, Claim>()
  const serverMarks = new Map<string, number>()
  if (nftables !== undefined && comment !== undefined) {
    for (const words of families) {
      const names = setNames(words)
      for (const name of entrySets) {
        const set = names[name]
        for (const element of await elementsOf(nftables, table, set)) {
          const { key, keyEnd, data } = element
          if (key === undefined || (data !== undefined && !(data instanceof Uint8Array))) continue
          add(entryItem(set, { key, keyEnd, data }))
          if (name === 'choices' || name === 'localChoices') {
            if (data?.length === 8) serverMarks.set(hexOf(key), readChoiceData(data))
          }
          if (name !== 'services') continue
          const claim = claimOf(words, key, data)
          if (claim !== undefined && (claim.traits & trait.foreign) === 0)
            claims.set(serviceId(claim.key), claim)
        }
      }
    }
  }

  if (comment !== undefined && nftables !== undefined) {
    for (const { key, data } of await elementsOf(nftables, table, learnersMap)) {
      if (key?.length !== 4 || data === undefined || data instanceof Uint8Array) continue
      const seconds = secondsOfBits(readHostNumber(key, 0))
      if (data.chain === learnerChain(seconds)) add(learnerItem(seconds))
    }
  }

  const seconds = [...items.values()].flatMap((item) => (item.kind === 'learner' ? [item.seconds] : []))
  const isAsMade =
    nftables !== undefined &&
    comment === tableComment(settings) &&
    (await isTableAsMade(nftables, settings, seconds))

  const foreign = new Set<string>()
  const entries: ServiceEntry[] = []
  const own = new Set(state.addresses)
  const marks = new Set(
    [...claims.values()]
      .filter(({ traits }) => (traits & trait.split) !== 0)
      .map(({ mark, family }) => `${mark} ${family}`),
  )
  const ofServers = new Set(serverMarks.values())
  for (const entry of await ipvs.list()) {
    const { service, destinations } = entry
    const id = serviceId(service)
    const isOurs =
      isOwn(id) ||
      (nftables === undefined
        ? service.address !== undefined && own.has(service.address)
        : claims.has(id) ||
          (service.firewallMark !== undefined &&
            (isOurMark(service.firewallMark, service.family, marks) ||
              isServerMark(service.firewallMark, ofServers))))
    if (!isOurs) {
      foreign.add(id)
      continue
    }
    entries.push(entry)
    add(serviceItem(serviceInputOf(service)))
    // A firewall mark carries whatever it is given.
    const itemOf = destinationsOf(keyOf(service), service.protocol !== 'udp')
    for (const destination of destinations) add(itemOf(destinationInputOf(destination)))
  }
  return { items, claims, serverMarks, foreign, entries, interface: state, comment, isAsMade }
}

function isOurMark(mark: number, family: AddressFamily, marks: ReadonlySet<string>): boolean {
  return mark > firstMark && mark <= firstMark + mostServices && marks.has(`${mark} ${family}`)
}

function isServerMark(mark: number, ofServers: ReadonlySet<number>): boolean {
  return mark > firstServerMark && mark <= firstServerMark + mostServices && ofServers.has(mark)
}

async function commentOf(nftables: Nftables, name: string): Promise<string | undefined> {
  const [table] = await nftables.tables({ family: 'inet', table: name })
  if (table === undefined) return undefined
  if (table.comment?.startsWith(commentStarts.ipvs) === true) return table.comment
  refuseOther('ipvs', name, table.comment)
  throw new UnsupportedError(
    `the table inet ${name}`,
    'its name: there is one that is not a dataplane’s (give the dataplane another `name`)',
  )
}

/** None where the table has no such set: another layout. */
async function elementsOf(nftables: Nftables, table: string, name: string): Promise<readonly Element[]> {
  try {
    return (await nftables.elements({ family: 'inet', table, name })).elements
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return []
    throw error
  }
}

/** Undefined for what cannot have been written here. */
export function claimOf(
  words: FamilyWords,
  key: Uint8Array,
  data: Uint8Array | undefined,
): Claim | undefined {
  const { family, addressBytes } = words
  const protocol = readProtocol(key[addressBytes])
  if (key.length !== addressBytes + 8 || data?.length !== 12 || protocol === undefined) return undefined
  const [address, port] = [readAddress(words, key), readPort(key, addressBytes + 4)]
  return { family, key: { protocol, address, port }, ...readServiceData(data) }
}

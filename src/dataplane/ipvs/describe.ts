/** What a virtual service becomes: items of the kernel, and what is to be said about it. Pure. */
import {
  type AddressFamily,
  canonicalAddress,
  familyOf,
  parsePrefix,
  type Prefix,
  prefixContains,
} from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import { checkDestination, checkService, serviceId, wireDestinationKey, wireKey } from '../../ipvs/input.js'
import type { DestinationInput, ServiceInput, ServiceKey } from '../../ipvs/index.js'
import type { Condition, Frontend, RealServer, VirtualService } from '../../model/index.js'
import { mostSeconds, secondsBits } from './affinity.js'
import { ElementBytes, sourceRangeElements, writeHostNumber } from '../ruleset/sets.js'
import { type FamilyWords, wordsOf } from '../ruleset/words.js'
import {
  addressItem,
  destinationsOf,
  entryItem,
  type EntryItem,
  type Item,
  itemsOf,
  type Items,
  learnerItem,
  serviceItem,
} from './items.js'
import { choiceData, kindBits, serviceData, setNames, trait } from './words.js'

/** What of the node and the kernel it depends on. */
export interface Surroundings {
  /** Whether there is a table beside IPVS. */
  readonly hasTable: boolean
  /** Of the node, each in its one spelling. */
  readonly nodeAddresses: ReadonlySet<string>
  /** Those that answer node ports. */
  readonly nodePortAddresses: readonly string[]
  /** Whether somebody else has this service. By its id. */
  readonly isForeign: (service: string) => boolean
}

/** What it is marked by. */
export interface Marks {
  readonly service: number
  /** Of a server that clients stay with, by the key of its element. */
  readonly ofServer: (key: Uint8Array) => number
}

export interface Description {
  readonly items: Items
  /** Names of those of its servers that go with all that they have. */
  readonly failed: readonly string[]
  readonly conditions: readonly Condition[]
}

/** An address and port, and what it is. */
export interface Place {
  readonly kind: Frontend['kind']
  readonly address: string
  readonly port: number
}

/** Shares by weight, in turns: nearest to what every other dataplane does. */
const defaultScheduler = 'wrr'

/** Every address that it is reached at. @throws ValidationError */
export function placesOf(service: VirtualService, { nodePortAddresses }: Surroundings): Place[] {
  const places = new Map<string, Place>()
  for (const [index, frontend] of service.frontends.entries()) {
    const { kind, port } = frontend
    const path = `frontends[${index}]`
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new ValidationError(`${path}.port`, port, 'an integer from 1 to 65535')
    }
    const addresses =
      frontend.kind === 'node-port'
        ? nodePortAddresses.filter((address) => familyOf(address) === service.family)
        : [addressOf(frontend.address, service.family, `${path}.address`)]
    // Where two say the same the first one counts: a node port of an address that is also an external one.
    for (const address of addresses) {
      const id = `${address} ${port}`
      if (!places.has(id)) places.set(id, { kind, address, port })
    }
  }
  return [...places.values()]
}

/**
 * @param marks  None other has them.
 * @throws ValidationError
 */
export function describe(service: VirtualService, marks: Marks, around: Surroundings): Description {
  const maker = new Maker(service, marks, around)
  maker.addAll()
  return {
    items: itemsOf(maker.items),
    failed: maker.failed.map(({ name }) => name),
    conditions: maker.conditions,
  }
}

class Maker {
  readonly items: Item[] = []
  readonly failed: Item[] = []
  readonly conditions: Condition[] = []
  readonly #service: VirtualService
  readonly #marks: Marks
  readonly #around: Surroundings
  readonly #words: FamilyWords
  readonly #names: ReturnType<typeof setNames>
  readonly #bytes: ElementBytes
  /** 0: each connection is by itself. */
  readonly #seconds: number
  /** Where the table remembers clients, and not IPVS. */
  #remembers = false

  constructor(service: VirtualService, marks: Marks, around: Surroundings) {
    this.#service = service
    this.#marks = marks
    this.#around = around
    this.#words = wordsOf(service.family)
    this.#names = setNames(this.#words)
    this.#bytes = new ElementBytes(this.#words)
    this.#seconds = secondsOf(service)
  }

  addAll(): void {
    const { family, servers } = this.#service
    const places = placesOf(this.#service, this.#around)
    this.#remembers = this.#seconds > 0 && this.#around.hasTable && places.length > 1
    for (const place of places) this.#addPlace(place)
    if (places.some((place) => this.#isSplit(place))) {
      this.#addIpvs({ firewallMark: this.#marks.service, family }, servers.cluster)
    }
    if (this.#around.hasTable) this.#addHairpins()
    if (this.#remembers) this.#addChoices()
    this.#tellOfAffinity(places)
  }

  #addPlace(place: Place): void {
    const { protocol } = this.#service
    const { kind, address, port } = place
    const { hasTable, isForeign, nodeAddresses } = this.#around
    const key = { protocol, address, port }
    const isOfNode = nodeAddresses.has(address)
    if (isForeign(serviceId(key))) {
      this.#tell(
        'AddressTaken',
        `Somebody else has the IPVS service ${serviceId(key)}: it is left as it is. Delete it, or use another port`,
      )
      if (hasTable) this.#addClaim(place, trait.foreign)
      return
    }
    // Without a table it is the address on our interface that says that a service is ours.
    if (!hasTable && isOfNode) {
      this.#tell(
        kind === 'node-port' ? 'NodePortNotServed' : 'AddressNotServed',
        `${serviceId(key)} is not served: it is an address of the node, and without nf_tables nothing would tell that it is ours`,
      )
      return
    }
    if (!isOfNode) {
      this.items.push(addressItem(address))
      if (hasTable) this.#addEntry(this.#names.addresses, { key: this.#bytes.address(address) })
    }
    if (hasTable) this.#addClaim(place, this.#traitsOf(place))
    this.#addIpvs(key, this.#poolOf(place))
    if (place.kind === 'load-balancer') this.#addSources(place)
  }

  #policyOf({ kind }: Place): VirtualService['internalTrafficPolicy'] {
    return kind === 'cluster' ? this.#service.internalTrafficPolicy : this.#service.externalTrafficPolicy
  }

  #poolOf(place: Place): readonly RealServer[] {
    return this.#service.servers[this.#policyOf(place)]
  }

  /** Whom it comes from decides which servers there are. Only where all of them are more than those of the node. */
  #isSplit(place: Place): boolean {
    const { cluster, local } = this.#service.servers
    if (place.kind === 'cluster' || this.#policyOf(place) !== 'local') return false
    return this.#around.hasTable && (cluster.length !== local.length || !isSamePool(cluster, local))
  }

  #traitsOf(place: Place): number {
    const { servers } = this.#service
    const isLocal = this.#policyOf(place) === 'local'
    let bits = kindBits(place.kind)
    if (isLocal) bits |= trait.local
    if (this.#poolOf(place).length === 0) bits |= servers.any ? trait.drop : trait.reject
    if (place.kind === 'cluster') bits |= trait.masqueradeOutside
    else if (!isLocal) bits |= trait.masquerade
    if (this.#isSplit(place) && servers.cluster.length > 0) bits |= trait.split
    if (this.#remembers) bits |= secondsBits(this.#seconds)
    if (place.kind === 'load-balancer' && this.#service.sourceRanges !== undefined) bits |= trait.restricted
    return bits >>> 0
  }

  #addClaim({ address, port }: Place, traits: number): void {
    const key = this.#bytes.service(address, this.#service.protocol, port)
    this.#addEntry(this.#names.services, { key, data: serviceData(traits, this.#marks.service) })
  }

  #addIpvs(key: ServiceKey, pool: readonly RealServer[]): void {
    const { scheduler = defaultScheduler, servers, family } = this.#service
    // IP_VS_SCHEDNAME_MAXLEN.
    if (!/^[\w-]{1,15}$/.test(scheduler)) {
      throw new ValidationError('scheduler', scheduler, 'the name of a scheduler, as wrr')
    }
    const service: ServiceInput = {
      ...key,
      scheduler,
      ...(this.#seconds === 0 || this.#remembers || key.firewallMark !== undefined
        ? {}
        : { persistenceTimeoutSeconds: this.#seconds }),
    }
    wireKey(service)
    checkService(service)
    this.items.push(serviceItem(service))
    const itemOf = destinationsOf(key, this.#service.protocol !== 'udp')
    const add = (
      { address, port }: RealServer,
      weight: number,
      path: string,
      list: Item[] = this.items,
    ): void => {
      const destination: DestinationInput = {
        address: addressOf(address, family, `${path}.address`),
        port,
        weight,
      }
      if (!(port >= 1)) throw new ValidationError(`${path}.port`, port, 'an integer from 1 to 65535')
      checkDestination(key, destination, wireDestinationKey(key, destination, path), path)
      list.push(itemOf(destination))
    }
    for (const server of pool) add(server, server.weight, 'servers')
    // Named last: what takes connections, too, has its weight.
    for (const server of servers.draining) add(server, 0, 'servers.draining')
    for (const server of servers.failed ?? []) add(server, 0, 'servers.failed', this.failed)
  }

  /** Clients of a load balancer's address. The node itself comes from that address. */
  #addSources({ address }: Place): void {
    const { sourceRanges } = this.#service
    if (sourceRanges === undefined) return
    if (!this.#around.hasTable) {
      return this.#tell(
        'SourceRangesNotHonoured',
        'Everybody may come: whom sourceRanges keep out takes nf_tables, which this kernel lacks',
      )
    }
    const ranges = sourceRanges.flatMap((text, index) => {
      const prefix = parsePrefix(text.trim())
      if (prefix === undefined)
        throw new ValidationError(`sourceRanges[${index}]`, text, 'a prefix such as 10.0.0.0/8')
      return prefix.family === this.#service.family ? [prefix] : []
    })
    const holds = (text: string): boolean => ranges.some((range) => prefixContains(range, text))
    const nodeMayCome = [...this.#around.nodeAddresses].some(
      (own) => familyOf(own) === this.#service.family && holds(own),
    )
    const prefixes = [...ranges.map(textOf), ...(nodeMayCome ? [address] : [])]
    for (const { key, keyEnd } of sourceRangeElements(this.#words, this.#marks.service, prefixes)) {
      this.#addEntry(this.#names.sources, { key, keyEnd })
    }
  }

  /** A service of its own for each server that takes connections. */
  #addChoices(): void {
    const { servers, family, protocol, scheduler = defaultScheduler } = this.#service
    this.items.push(learnerItem(this.#seconds))
    const pools = [
      [this.#names.choices, servers.cluster],
      [this.#names.localChoices, servers.local],
    ] as const
    for (const [set, pool] of pools) {
      for (const { address, port } of pool) {
        const key = new Uint8Array(this.#words.addressBytes + 8)
        key.set(this.#bytes.endpoint(address, port))
        writeHostNumber(key, key.length - 4, this.#marks.service)
        const firewallMark = this.#marks.ofServer(key)
        const service = { firewallMark, family }
        this.#addEntry(set, { key, data: choiceData(firewallMark) })
        const itemOf = destinationsOf(service, protocol !== 'udp')
        this.items.push(serviceItem({ ...service, scheduler }), itemOf({ address, port, weight: 1 }))
      }
    }
  }

  #addHairpins(): void {
    const { cluster, local, draining } = this.#service.servers
    for (const { address, isLocal } of [...cluster, ...local, ...draining]) {
      if (isLocal === false) continue
      this.#addEntry(this.#names.hairpins, { key: this.#bytes.twice(address) })
    }
  }

  #tellOfAffinity(places: readonly Place[]): void {
    if (this.#seconds === 0 || this.#remembers || places.length < 2) return
    this.#tell(
      'AffinityOfEachAddress',
      'A client stays with its server at each address by itself: IPVS keeps affinity by address and port, and without nf_tables nothing tells that they are one service',
    )
  }

  #addEntry(set: string, element: EntryItem['element']): void {
    this.items.push(entryItem(set, element))
  }

  #tell(reason: string, message: string): void {
    this.conditions.push({ reason, message })
  }
}

/** @throws ValidationError */
function secondsOf({ affinitySeconds }: VirtualService): number {
  if (affinitySeconds === undefined) return 0
  if (!(affinitySeconds > 0))
    throw new ValidationError('affinitySeconds', affinitySeconds, 'a number above 0')
  return Math.min(Math.ceil(affinitySeconds), mostSeconds)
}

/** @throws ValidationError for what is not an address of the family. */
function addressOf(text: string, family: AddressFamily, path: string): string {
  const address = typeof text === 'string' && familyOf(text) === family ? canonicalAddress(text) : undefined
  if (address === undefined)
    throw new ValidationError(path, text, `an ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`)
  return address
}

function isSamePool(some: readonly RealServer[], others: readonly RealServer[]): boolean {
  const ids = new Set(some.map(({ address, port, weight }) => `${address} ${port} ${weight}`))
  return others.every(({ address, port, weight }) => ids.has(`${address} ${port} ${weight}`))
}

function textOf({ address, length }: Prefix): string {
  return `${address}/${length}`
}

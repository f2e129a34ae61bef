/**
 * Services that an earlier process has programmed and that nobody of this one has spoken of: made again from what the kernel
 * has, so that every element of theirs is wanted as it is. Pure.
 */
import { formatAddress } from '../../address/index.js'
import type { Frontend, RealServer } from '../../model/index.js'
import type { Element } from '../../nftables/index.js'
import { bytesOf, numberOf } from '../../nftables/numbers.js'
import {
  profilesMap,
  readAddress,
  readEndpoint,
  readFrontend,
  readHostNumber,
  readPort,
  readProtocol,
  setNames,
} from '../ruleset/sets.js'
import { families, type FamilyWords } from '../ruleset/words.js'
import type { KernelTable } from './kernel.js'
import { localSlots, type Profile, profileOfName } from './profiles.js'
import type { Programmed } from './programmed.js'

/** Whoever has no frontend is reached by nobody, and is none. */
export function sparedIn(kernel: KernelTable, numberOfProfile: (profile: Profile) => number): Programmed[] {
  const profiles = new Map<number, Profile>()
  for (const { key, data } of kernel.elements.get(profilesMap) ?? []) {
    if (key === undefined || data === undefined || data instanceof Uint8Array) continue
    const profile = profileOfName(data.chain ?? '')
    if (profile !== undefined) profiles.set(readHostNumber(key, 0), profile)
  }
  return families.flatMap((words) => {
    const found = new Reader(words, kernel, profiles)
    return [...found.services].map(([id, one]) => found.programmed(id, one, numberOfProfile))
  })
}

/** What is left of it without the frontends that somebody else has; undefined if that is nothing. */
export function without(
  spared: Programmed,
  isTaken: (frontend: Frontend) => boolean,
): Programmed | undefined {
  const { service, profiles } = spared
  const left = [...service.frontends.keys()].filter((index) => !isTaken(service.frontends[index]!))
  if (left.length === service.frontends.length) return spared
  if (left.length === 0) return undefined
  const frontends = left.map((index) => service.frontends[index]!)
  return { ...spared, service: { ...service, frontends }, profiles: left.map((index) => profiles[index]!) }
}

interface Found {
  readonly protocol: number
  readonly frontends: Frontend[]
  readonly profiles: Profile[]
}

class Reader {
  readonly services = new Map<number, Found>()
  readonly #words: FamilyWords
  readonly #slots = new Map<number, { readonly cluster: RealServer[]; readonly local: RealServer[] }>()
  readonly #endpoints: Map<number, RealServer[]>
  readonly #localEndpoints: Map<number, RealServer[]>
  readonly #ranges = new Map<number, string[]>()
  /** Addresses of servers that may reach themselves. */
  readonly #own: Set<string>

  constructor(words: FamilyWords, kernel: KernelTable, profiles: ReadonlyMap<number, Profile>) {
    this.#words = words
    const { addressBytes } = words
    const names = setNames(words)
    const of = (set: string): { readonly key: Uint8Array; readonly element: Element }[] =>
      (kernel.elements.get(set) ?? []).flatMap((element) =>
        element.key === undefined ? [] : [{ key: element.key, element }],
      )
    this.#own = new Set(of(names.hairpin).map(({ key }) => readAddress(words, key)))
    const add = (data: Element['data'], protocol: number, frontend: (profile: Profile) => Frontend): void => {
      if (!(data instanceof Uint8Array)) return
      const { id, profile: number } = readFrontend(data)
      const profile = profiles.get(number)
      if (profile === undefined) return
      const found = this.services.get(id) ?? { protocol, frontends: [], profiles: [] }
      found.frontends.push(frontend(profile))
      found.profiles.push(profile)
      this.services.set(id, found)
    }
    for (const { key, element } of of(names.services)) {
      const [address, port] = [readAddress(words, key), readPort(key, addressBytes + 4)]
      add(element.data, key[addressBytes]!, (profile) => ({ kind: kindOf(profile), address, port }))
    }
    for (const { key, element } of of(names.nodePorts)) {
      add(element.data, key[0]!, () => ({ kind: 'node-port', port: readPort(key, 4) }))
    }
    const inOrder = of(names.backends).sort(
      (one, other) => readHostNumber(one.key, 4) - readHostNumber(other.key, 4),
    )
    for (const { key, element } of inOrder) {
      if (!(element.data instanceof Uint8Array)) continue
      const id = readHostNumber(key, 0)
      const slots = this.#slots.get(id) ?? { cluster: [], local: [] }
      this.#slots.set(id, slots)
      const pool = readHostNumber(key, 4) < localSlots ? slots.cluster : slots.local
      pool.push(this.#server(element.data, 0))
    }
    const endpointsIn = (set: string): Map<number, RealServer[]> => {
      const byId = new Map<number, RealServer[]>()
      for (const { key } of of(set)) addTo(byId, readHostNumber(key, 0), this.#server(key, 4))
      return byId
    }
    this.#endpoints = endpointsIn(names.endpoints)
    this.#localEndpoints = endpointsIn(names.localEndpoints)
    for (const { key, element } of of(names.sourceRanges)) {
      const [first, last] = [key, element.keyEnd ?? key].map((bytes) => numberOf(bytes.subarray(4)))
      for (const prefix of prefixesOf(first!, last!, words))
        addTo(this.#ranges, readHostNumber(key, 0), prefix)
    }
  }

  /** @param id  One of `services`. */
  programmed(
    id: number,
    { protocol, frontends, profiles }: Found,
    numberOfProfile: (profile: Profile) => number,
  ): Programmed {
    const { family } = this.#words
    const { cluster, local } = this.#slots.get(id) ?? { cluster: [], local: [] }
    const name = `spared ${family} ${id}`
    const has = (side: Profile['side']): Profile['policy'] =>
      profiles.find((profile) => profile.side === side)?.policy ?? 'cluster'
    return {
      service: {
        key: name,
        service: name,
        family,
        protocol: readProtocol(protocol) ?? 'tcp',
        frontends,
        servers: {
          cluster: distinct([...cluster, ...(this.#endpoints.get(id) ?? [])]),
          local: distinct([...local, ...(this.#localEndpoints.get(id) ?? [])]),
          draining: [],
          any: true,
        },
        internalTrafficPolicy: has('cluster'),
        externalTrafficPolicy: has('external'),
        affinitySeconds: profiles.find(({ affinitySeconds }) => affinitySeconds !== undefined)
          ?.affinitySeconds,
        sourceRanges: profiles.some(({ isLimited }) => isLimited) ? (this.#ranges.get(id) ?? []) : undefined,
      },
      id,
      cluster,
      local,
      profiles: profiles.map(numberOfProfile),
      isSpared: true,
    }
  }

  /** `address . port` in bytes. */
  #server(bytes: Uint8Array, at: number): RealServer {
    const { address, port } = readEndpoint(this.#words, bytes, at)
    return { address, port, weight: 1, isLocal: this.#own.has(address) }
  }
}

function kindOf({ side, isLimited }: Profile): Exclude<Frontend['kind'], 'node-port'> {
  return side === 'cluster' ? 'cluster' : isLimited ? 'load-balancer' : 'external'
}

function addTo<Value>(lists: Map<number, Value[]>, id: number, value: Value): void {
  const list = lists.get(id)
  if (list === undefined) lists.set(id, [value])
  else list.push(value)
}

function distinct(servers: readonly RealServer[]): readonly RealServer[] {
  return [...new Map(servers.map((one) => [`${one.address} ${one.port}`, one])).values()]
}

/** The fewest prefixes that are these addresses and no others. */
function prefixesOf(first: bigint, last: bigint, { addressBytes }: FamilyWords): string[] {
  const prefixes: string[] = []
  const bits = addressBytes * 8
  for (let from = first; from <= last;) {
    let free = 0
    while (free < bits && (from & (1n << BigInt(free))) === 0n && from + (2n << BigInt(free)) - 1n <= last)
      free++
    prefixes.push(`${formatAddress(bytesOf(from, addressBytes))}/${bits - free}`)
    from += 1n << BigInt(free)
  }
  return prefixes
}

/** What the kernel's table says of services: the reverse of what is programmed. */
import type { Frontend } from '../../model/index.js'
import type { Element } from '../../nftables/index.js'
import type { ProgrammedServer, ProgrammedService } from '../dataplane.js'
import { keyOf } from '../ruleset/changes.js'
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
import { localSlots, profileOfName } from './profiles.js'

/** In the order of their ids. */
export function servicesIn(kernel: KernelTable): ProgrammedService[] {
  const profiles = new Map<number, string>()
  for (const { key, data } of kernel.elements.get(profilesMap) ?? []) {
    if (key === undefined || data === undefined || data instanceof Uint8Array) continue
    if (data.chain !== undefined) profiles.set(readHostNumber(key, 0), data.chain)
  }
  return families.flatMap((words) => servicesOf(words, kernel, profiles))
}

function servicesOf(
  words: FamilyWords,
  kernel: KernelTable,
  profiles: ReadonlyMap<number, string>,
): ProgrammedService[] {
  const names = setNames(words)
  const elementsOf = (set: string): readonly Element[] => kernel.elements.get(set) ?? []
  const slots = slotsById(words, elementsOf(names.backends))
  const clusterAddresses = new Set(elementsOf(names.clusterAddresses).map(keyOf))
  const found = new Map<number, { -readonly [K in keyof ProgrammedService]: ProgrammedService[K] }>()
  const add = (data: Uint8Array, protocolNumber: number, frontend: Frontend): void => {
    const { id, profile } = readFrontend(data)
    const known = found.get(id)
    if (known !== undefined) {
      known.frontends = [...known.frontends, frontend]
      return
    }
    const affinitySeconds = profileOfName(profiles.get(profile) ?? '')?.affinitySeconds
    found.set(id, {
      frontends: [frontend],
      family: words.family,
      protocol: readProtocol(protocolNumber) ?? 'tcp',
      cluster: slots.get(id)?.cluster ?? [],
      local: slots.get(id)?.local ?? [],
      ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
    })
  }
  for (const { key, data } of elementsOf(names.services)) {
    if (key === undefined || !(data instanceof Uint8Array)) continue
    const address = key.subarray(0, words.addressBytes)
    const kind = clusterAddresses.has(keyOf({ key: address })) ? 'cluster' : 'external'
    const at = words.addressBytes
    add(data, key[at]!, { kind, address: readAddress(words, key), port: readPort(key, at + 4) })
  }
  for (const { key, data } of elementsOf(names.nodePorts)) {
    if (key === undefined || !(data instanceof Uint8Array)) continue
    add(data, key[0]!, { kind: 'node-port', port: readPort(key, 4) })
  }
  return [...found].sort(([one], [other]) => one - other).map(([, service]) => service)
}

/** Servers with how many slots each has. */
function slotsById(
  words: FamilyWords,
  elements: readonly Element[],
): Map<
  number,
  { readonly cluster: readonly ProgrammedServer[]; readonly local: readonly ProgrammedServer[] }
> {
  const counts = new Map<number, readonly [cluster: Map<string, Counted>, local: Map<string, Counted>]>()
  for (const { key, data } of elements) {
    if (key === undefined || !(data instanceof Uint8Array)) continue
    const id = readHostNumber(key, 0)
    let pools = counts.get(id)
    if (pools === undefined)
      counts.set(id, (pools = [new Map<string, Counted>(), new Map<string, Counted>()]))
    const pool = pools[readHostNumber(key, 4) < localSlots ? 0 : 1]
    const name = keyOf({ key: data })
    const known = pool.get(name)
    if (known !== undefined) known.weight++
    else {
      pool.set(name, { ...readEndpoint(words, data), weight: 1 })
    }
  }
  return new Map(
    [...counts].map(([id, [cluster, local]]) => [
      id,
      { cluster: [...cluster.values()], local: [...local.values()] },
    ]),
  )
}
interface Counted extends ProgrammedServer {
  weight: number
}

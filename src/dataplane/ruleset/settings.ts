/** The node's settings, checked and complete. */
import { canonicalAddress, parsePrefix, prefixContains } from '../../address/index.js'
import { UnsupportedError, ValidationError } from '../../errors/index.js'
import type { DataplaneKind, DataplaneOptions, NodeSettings } from '../dataplane.js'

/** What the rules are made from, beside services. */
export interface RulesetSettings {
  readonly name: string
  readonly masqueradeBit: number
  readonly masqueradeAll: boolean
  /** Servers have counters. */
  readonly statistics: boolean
  readonly addresses: readonly string[]
  readonly clusterRanges: readonly string[]
  readonly serviceRanges: readonly string[]
  /** Prefixes of the node's addresses that answer node ports. */
  readonly nodePortAddresses: readonly string[]
}

/** How comments of tables begin: which dataplane has made one. */
export const commentStarts: Readonly<Record<DataplaneKind, string>> = {
  nftables: 'viaduct nftables, layout ',
  ipvs: 'viaduct ipvs ',
}

/**
 * Both would take the same table, and what else the other one has is known by that.
 * @throws UnsupportedError if it is the other's
 */
export function refuseOther(kind: DataplaneKind, table: string, comment: string | undefined): void {
  const [other] = Object.entries(commentStarts).find(([, start]) => comment?.startsWith(start)) ?? []
  if (other === undefined || other === kind) return
  throw new UnsupportedError(
    `the table inet ${table}`,
    `its name: the ${other} dataplane has it (tear that one down first, or give this one another \`name\`)`,
  )
}

/** @throws ValidationError */
export function settingsOf(
  { name = 'viaduct', masqueradeBit = 0x4000, statistics = false, node = {} }: DataplaneOptions,
  addresses: readonly string[],
): RulesetSettings {
  // An interface of this name and a digit has at most 15 bytes.
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,13}$/.test(name)) {
    throw new ValidationError('name', name, '1 to 14 small letters, digits and -, beginning with a letter')
  }
  const isBit =
    Number.isInteger(masqueradeBit) &&
    masqueradeBit > 0 &&
    masqueradeBit <= 0x8000_0000 &&
    Math.log2(masqueradeBit) % 1 === 0
  if (!isBit) throw new ValidationError('masqueradeBit', masqueradeBit, 'one bit of 32, as 0x4000')
  const own = addressesOf('node.addresses', node.addresses ?? addresses)
  return {
    name,
    masqueradeBit,
    masqueradeAll: node.masqueradeAll ?? false,
    statistics,
    addresses: own,
    clusterRanges: prefixesOf('clusterRanges', node.clusterRanges),
    serviceRanges: prefixesOf('serviceRanges', node.serviceRanges),
    nodePortAddresses:
      node.nodePortAddresses === undefined
        ? primaryOf(own)
        : prefixesOf('nodePortAddresses', node.nodePortAddresses),
  }
}

/** The node's addresses that answer node ports. */
export function nodePortAddressesOf({ addresses, nodePortAddresses }: RulesetSettings): string[] {
  const ranges = nodePortAddresses.map((range) => parsePrefix(range)!)
  return addresses.filter((address) => ranges.some((range) => prefixContains(range, address)))
}

/** The first of each family. */
function primaryOf(addresses: readonly string[]): string[] {
  const first = (isV6: boolean): string[] =>
    addresses.filter((address) => address.includes(':') === isV6).slice(0, 1)
  return [...first(false), ...first(true)]
}

function addressesOf(path: string, given: readonly string[]): string[] {
  return given.map((address, index) => {
    const canonical = typeof address === 'string' ? canonicalAddress(address) : undefined
    if (canonical === undefined) throw new ValidationError(`${path}[${index}]`, address, 'an address')
    return canonical
  })
}

function prefixesOf(key: keyof NodeSettings, given: readonly string[] = []): readonly string[] {
  for (const [index, prefix] of given.entries()) {
    if (typeof prefix !== 'string' || parsePrefix(prefix) === undefined) {
      throw new ValidationError(`node.${key}[${index}]`, prefix, 'a prefix, as 10.0.0.0/8')
    }
  }
  return given
}

/** Rulesets as bytes. */
import type { NetworkNamespace } from '../../src/net/index.js'
import {
  type AttributeTable,
  Connection,
  forEachAttribute,
  NETLINK_NETFILTER,
  NLA_TYPE_MASK,
  openSocket,
} from '../../src/netlink/index.js'
import { Netfilter, NFGENMSG_BYTES, subsystem } from '../../src/nfnetlink/index.js'
import { type Family, familyOfNumber } from '../../src/nftables/hooks.js'
import { type Kind, type KindName, kinds } from '../../src/nftables/kinds.js'
import type { NftSet } from '../../src/nftables/index.js'
import * as wire from '../../src/nftables/wire.js'

/** What differs from load to load: handles, how often something is used, how long it lasts. */
const changing: { readonly [K in KindName]: readonly string[] } = {
  table: ['use', 'handle'],
  chain: ['use', 'handle'],
  rule: ['handle', 'position'],
  set: ['handle', 'id', 'count'],
  elements: [],
  object: ['use', 'handle'],
  flowtable: ['use', 'handle'],
}

/**
 * The kernel's dumps as they come, without what differs from load to load (unless something else is said); elements in an
 * order of their own.
 */
export async function dumps(
  netns: NetworkNamespace,
  without: Readonly<Partial<Record<KindName, readonly string[]>>> = changing,
): Promise<Record<KindName, string[]>> {
  const connection = new Connection(openSocket({ protocol: NETLINK_NETFILTER, netns }))
  try {
    const netfilter = new Netfilter(connection, subsystem.nftables)
    const dumped: Partial<Record<KindName, string[]>> = {}
    const sets: { readonly family: Family; readonly table: string; readonly name: string }[] = []
    for (const [kind, { messages, table }] of Object.entries(kinds) as [KindName, Kind][]) {
      if (kind === 'elements') continue
      dumped[kind] = await netfilter.dump(
        { operation: kind, object: {}, message: messages.get, family: 'unspecified', table, record: {} },
        (bytes, view, offset, end) => {
          const at = offset + NFGENMSG_BYTES
          const family = familyOfNumber(bytes[offset]!)
          const object = kinds[kind].read(family, table.decode(bytes, view, at, end))
          if (kind === 'set') sets.push(object as NftSet)
          return `${family} ${kept(bytes, view, at, end, table, without[kind] ?? []).join(' ')}`
        },
      )
    }
    dumped.elements = await netfilter.dumps(
      sets,
      ({ family, table, name }) => ({
        operation: 'elements',
        object: {},
        message: wire.message.getElements,
        family,
        table: wire.elements,
        record: { table, set: name },
      }),
      (bytes, view, offset, end) => {
        const elements: string[] = []
        forEachAttribute(view, offset + NFGENMSG_BYTES, end, (type, at, length) => {
          if ((type & NLA_TYPE_MASK) !== wire.elements.rows.elements.number) return
          forEachAttribute(view, at, at + length, (_, start, size) => {
            const parts = kept(bytes, view, start, start + size, wire.element, ['expirationMilliseconds'])
            elements.push(parts.join(' '))
          })
        })
        return elements
      },
      ({ family, table, name }, found) => `${family} ${table} ${name}: ${found.flat().sort().join(', ')}`,
    )
    return dumped as Record<KindName, string[]>
  } finally {
    connection.close()
  }
}

function kept(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
  table: AttributeTable,
  without: readonly string[],
): string[] {
  const dropped = new Set(without.map((key) => table.rows[key]!.number))
  const parts: string[] = []
  forEachAttribute(view, offset, end, (type, at, length) => {
    if (dropped.has(type & NLA_TYPE_MASK)) return
    parts.push(`${type}:${Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('hex')}`)
  })
  return parts
}

/**
 * What the dataplane of IPVS has in the kernel, without what may be one way or the other: numbers of virtual services and of
 * their servers. Two namespaces with the same services have the same text.
 */
import { serviceId, destinationId } from '../../../src/ipvs/input.js'
import { Ipvs } from '../../../src/ipvs/index.js'
import { isKernelError } from '../../../src/errors/index.js'
import type { Netns } from '../../../src/net/index.js'
import { type Element, Nftables, type Ruleset } from '../../../src/nftables/index.js'
import { Rtnetlink } from '../../../src/rtnetlink/index.js'
import { difference } from '../../kernel/support/content.js'

export async function contentOf(netns: Netns, name = 'viaduct'): Promise<string[]> {
  const lines: string[] = []
  await using rtnetlink = await Rtnetlink.open({ netns })
  const link = await rtnetlink.links.find(`${name}0`)
  if (link !== undefined) lines.push(`interface ${link.kind} ${link.up ? 'up' : 'down'}`)
  for (const { device, address, scope } of await rtnetlink.addresses.list()) {
    if (device === link?.index && scope === 'universe') lines.push(`address ${address}`)
  }
  const marks = await tableOf(netns, name, lines)
  await using ipvs = await Ipvs.open({ netns })
  for (const { service, destinations } of await ipvs.list()) {
    const { firewallMark, scheduler, schedulerFlags, persistenceTimeoutSeconds } = service
    const id =
      firewallMark === undefined
        ? serviceId(service)
        : `${service.family} ${marks.get(firewallMark) ?? `mark ${firewallMark}`}`
    lines.push(`service ${id} ${scheduler} ${schedulerFlags?.join()} ${persistenceTimeoutSeconds}`)
    for (const one of destinations) {
      const place = destinationId(service, one)
      lines.push(`destination ${id} ${place} ${one.forwardingMethod} weight ${one.weight}`)
    }
  }
  return lines.sort()
}

/** Servers that have been taken out and wait for their connections to end are no difference. */
export function differenceOf(found: readonly string[], wanted: readonly string[]): string[] {
  const isLeaving = (line: string): boolean => / weight 0$/.test(line) && !wanted.includes(line)
  return difference(
    found.filter((line) => !isLeaving(line)),
    wanted,
  )
}

/** Returns what each mark stands for. */
async function tableOf(netns: Netns, table: string, lines: string[]): Promise<Map<number, string>> {
  await using nftables = await Nftables.open({ netns })
  try {
    return readTable(await nftables.ruleset({ family: 'inet', table }), lines)
  } catch (error) {
    // User-mode Linux has no nf_tables.
    if (
      !isKernelError(error, 'EOPNOTSUPP') &&
      !isKernelError(error, 'EINVAL') &&
      !isKernelError(error, 'ENOENT')
    )
      throw error
    return new Map()
  }
}

function readTable({ tables, chains, rules, sets, elements }: Ruleset, lines: string[]): Map<number, string> {
  const marks = new Map<number, string>()
  const of = new Map<string, readonly Element[]>(elements.map((one) => [one.set, one.elements]))
  for (const { name, comment } of tables) lines.push(`table ${name} ${comment}`)
  for (const { name, keyLength, dataLength, flags } of sets) {
    lines.push(`set ${name} ${keyLength} ${dataLength} ${JSON.stringify(flags)}`)
  }
  for (const { name, type, hook, priority } of chains) lines.push(`chain ${name} ${type} ${hook} ${priority}`)
  const counts = new Map<string, number>()
  for (const { chain, expressions } of rules) {
    const index = counts.get(chain!) ?? 0
    counts.set(chain!, index + 1)
    lines.push(`rule ${chain} ${index} ${plain(expressions)}`)
  }

  // A virtual service is called by the first of its addresses.
  for (const [set, list] of of) {
    if (!set.startsWith('services')) continue
    for (const { key, data } of list) {
      const mark = numberAt(data as Uint8Array, 8)
      const [name, known] = [`${set} ${hex(key)}`, marks.get(mark)]
      if (known === undefined || name < known) marks.set(mark, name)
    }
  }
  const named = (mark: number): string => marks.get(mark) ?? `nobody's ${mark}`
  for (const [set, list] of of) {
    if (!/^(local-)?servers/.test(set)) continue
    for (const { key, data } of list) {
      const mark = numberAt(data as Uint8Array, 4)
      const name = `server ${hex(key?.subarray(0, -4))} of ${named(numberAt(key!, key!.length - 4))}`
      const known = marks.get(mark)
      if (known !== undefined && known !== name) lines.push(`two servers have the mark of ${name}`)
      marks.set(mark, name)
    }
  }

  for (const [set, list] of of) {
    if (set.startsWith('affinity')) continue
    for (const { key, keyEnd, data, flags } of list) {
      if (set.startsWith('services')) {
        const bytes = data as Uint8Array
        lines.push(`${set} ${hex(key)} : ${hex(bytes.subarray(0, 8))} ${named(numberAt(bytes, 8))}`)
      } else if (/^(local-)?servers/.test(set)) {
        lines.push(`${set} ${named(numberAt(data as Uint8Array, 4))}`)
      } else if (set.startsWith('source-ranges')) {
        lines.push(`${set} ${named(numberAt(key!, 0))} ${hex(key?.subarray(4))}-${hex(keyEnd?.subarray(4))}`)
      } else lines.push(`${set} ${hex(key)} ${hex(keyEnd)} ${plain(data ?? null)} ${plain(flags ?? [])}`)
    }
  }
  return marks
}

function numberAt(bytes: Uint8Array, offset: number): number {
  const buffer = Buffer.from(bytes)
  return littleEndian ? buffer.readUInt32LE(offset) : buffer.readUInt32BE(offset)
}
const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex')
}

function plain(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint') return inner.toString()
    return inner instanceof Uint8Array ? hex(inner) : inner
  })
}

/**
 * What the dataplane's table has in it, without what may be one way or the other: numbers of services and profiles, the order
 * of slots where it means nothing, and profiles that are kept though nobody has them now. Two tables of the same services have
 * the same text.
 */
import { localSlots } from '../../../src/dataplane/nftables/profiles.js'
import { readHostNumber } from '../../../src/dataplane/ruleset/sets.js'
import { hostNumber } from '../../../src/dataplane/ruleset/words.js'
import { type Element, Nftables, type Ruleset } from '../../../src/nftables/index.js'
import type { Netns } from '../../../src/net/index.js'

/** What stands where an element is written by packets, not by us. */
const filled = ['affinity4', 'affinity6']
const baseNames = ['reject', 'dispatch', 'prerouting', 'output', 'postrouting']
const mostIdleProfiles = 64

export async function contentOf(netns: Netns, table = 'viaduct'): Promise<string[]> {
  await using nftables = await Nftables.open({ netns })
  return normalised(await nftables.ruleset({ family: 'inet', table }))
}

function normalised({ tables, chains, rules, sets, elements }: Ruleset): string[] {
  const of = new Map<string, readonly Element[]>(elements.map((one) => [one.set, one.elements]))
  const lines: string[] = tables.map(({ name, comment }) => `table ${name} ${comment}`)
  for (const { name, keyLength, dataLength, flags } of sets) {
    lines.push(`set ${name} ${keyLength} ${dataLength} ${JSON.stringify(flags)}`)
  }
  const goes = new Map<string, string>()
  for (const { key, data } of of.get('profiles') ?? []) {
    goes.set(hex(key), (data as { chain: string }).chain)
  }
  if (new Set(goes.values()).size !== goes.size) lines.push('a profile has two numbers')

  const ids = new Map<string, string>()
  for (const suffix of ['4', '6']) {
    for (const set of [`services${suffix}`, `node-ports${suffix}`]) {
      for (const { key, data } of of.get(set) ?? []) {
        const [id, name] = [hex(data as Uint8Array).slice(16), `${set}:${hex(key)}`]
        const known = ids.get(`${suffix} ${id}`)
        if (known === undefined || name < known) ids.set(`${suffix} ${id}`, name)
      }
    }
  }
  /** Families may have the same numbers. */
  const nameOf = (suffix: string, id: string): string => ids.get(`${suffix} ${id}`) ?? 'nobody'
  const withoutIds = (text: string): string =>
    text.replaceAll(
      /(ipv[46])([a-z0-9-]*-round-robin)-(\d+)/g,
      (_all, family: string, rest: string, id: string) =>
        `${family}${rest}-<${nameOf(family.at(-1)!, hostHex(Number(id)))}>`,
    )

  const used = new Set<string>(baseNames)
  for (const [set, elements] of of) {
    const suffix = set.at(-1)!
    const isFrontends = set.startsWith('services') || set.startsWith('node-ports')
    if (set === 'profiles' || filled.includes(set) || set.startsWith('backends')) continue
    for (const { key, keyEnd, data, flags } of elements) {
      if (isFrontends) {
        const text = hex(data as Uint8Array)
        const profile = goes.get(text.slice(8, 16)) ?? 'no profile'
        used.add(profile)
        lines.push(`${set} ${hex(key)} : ${withoutIds(profile)} ${nameOf(suffix, text.slice(16))}`)
      } else if (/^(endpoints|local-endpoints|source-ranges)/.test(set)) {
        const ends = keyEnd === undefined ? '' : `-${hex(keyEnd).slice(8)}`
        lines.push(`${set} ${nameOf(suffix, hex(key).slice(0, 8))} ${hex(key).slice(8)}${ends}`)
      } else lines.push(`${set} ${hex(key)} ${JSON.stringify(flags ?? [])}`)
    }
  }
  for (const suffix of ['4', '6']) lines.push(...slots(suffix, of.get(`backends${suffix}`) ?? [], nameOf))

  const texts = new Map<string, string[]>(chains.map(({ name }) => [name, []]))
  for (const { chain, expressions } of rules) texts.get(chain!)?.push(plain(expressions))
  const reached = reachedFrom(used, texts)
  for (const { name, type, hook, priority } of chains) {
    if (!reached.has(name)) continue
    lines.push(`chain ${withoutIds(name)} ${type} ${hook} ${priority}`)
    for (const [index, text] of texts.get(name)!.entries()) {
      lines.push(`rule ${withoutIds(name)} ${index} ${withoutIds(text)}`)
    }
  }
  // Those that nobody has are few, and nothing else is left over.
  const idle = [...goes.values()].filter((name) => !used.has(name))
  if (idle.length > mostIdleProfiles) lines.push(`${idle.length} idle profiles`)
  for (const name of idle) if (!texts.has(name)) lines.push(`profile ${name} has no chain`)
  const wanted = reachedFrom(new Set([...used, ...idle]), texts)
  for (const { name } of chains) if (!wanted.has(name)) lines.push(`chain ${name} is nobody's`)
  return lines.sort()
}

/** Chains that are gone to from these. */
function reachedFrom(names: ReadonlySet<string>, texts: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const reach = (name: string): void => {
    if (reached.has(name)) return
    reached.add(name)
    for (const text of texts.get(name) ?? []) {
      for (const [, chain] of text.matchAll(/"chain":"([^"]+)"/g)) reach(chain!)
    }
  }
  for (const name of names) reach(name)
  return reached
}

/** Which servers a service has how many slots for. */
function slots(
  suffix: string,
  elements: readonly Element[],
  nameOf: (suffix: string, id: string) => string,
): string[] {
  const pools = new Map<string, Map<number, string>>()
  for (const { key, data } of elements) {
    const slot = readHostNumber(key!, 4)
    const pool = `${hex(key).slice(0, 8)} ${slot < localSlots ? 'cluster' : 'local'}`
    const found = pools.get(pool) ?? new Map<number, string>()
    pools.set(pool, found.set(slot % localSlots, hex(data as Uint8Array)))
  }
  return [...pools].map(([pool, bySlot]) => {
    const [id, name] = pool.split(' ')
    const counts = new Map<string, number>()
    let gaps = ''
    for (let slot = 0; slot < bySlot.size; slot++) {
      const server = bySlot.get(slot)
      if (server === undefined) gaps = ' WITH GAPS'
      else counts.set(server, (counts.get(server) ?? 0) + 1)
    }
    const shown = [...counts].sort().map(([server, count]) => `${server}*${count}`)
    return `backends${suffix} ${nameOf(suffix, id!)} ${name}${gaps}: ${shown.join(' ')}`
  })
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex')
}

function hostHex(value: number): string {
  return hex(hostNumber(value))
}

function plain(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint') return inner.toString()
    return inner instanceof Uint8Array ? hex(inner) : inner
  })
}

/** What one has and the other has not, in few lines. */
export function difference(found: readonly string[], wanted: readonly string[]): string[] {
  const [has, should] = [new Set(found), new Set(wanted)]
  return [
    ...found.filter((line) => !should.has(line)).map((line) => `+ ${line.slice(0, 300)}`),
    ...wanted.filter((line) => !has.has(line)).map((line) => `- ${line.slice(0, 300)}`),
  ].slice(0, 12)
}

/**
 * Every table, structure, flag and number of the project against the newest kernel headers. What there is to check is
 * found by looking at what the modules export, so a new table is held to this without being named here; a set of
 * names (flags, types) must be given its constants in headers-names.ts. The C compiler is the judge.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import {
  attribute,
  type AttributeTable,
  attributeTable,
  type Layout,
  type Structure,
  type TableRow,
  u32,
} from '../../src/netlink/index.js'
import {
  beyondUapi,
  constantsOf,
  headers,
  nameSets,
  ofOthers,
  partOfStructure,
  expressionOf,
} from './headers-names.js'

const run = promisify(execFile)
const source = new URL('../../src/', import.meta.url)

interface Found {
  readonly tables: Map<AttributeTable, string>
  readonly structures: Map<Structure<Layout>, string>
  /** By what they hold: the same set stands in several tables. */
  readonly names: Map<string, { readonly where: string; readonly names: Readonly<Record<string, number>> }>
  readonly constants: Map<string, number | string>
}

/** Everything that the modules export or that is reached from there. */
async function discover(): Promise<Found> {
  const found: Found = { tables: new Map(), structures: new Map(), names: new Map(), constants: new Map() }
  for (const file of (await readdir(source, { recursive: true })).sort()) {
    // What stands in no room is no module of its own, and some rooms have no numbers of the kernel's.
    if (!file.includes('/') || /^(cli|testing)\//.test(file) || !file.endsWith('.js')) continue
    const module = (await import(new URL(file, source).href)) as Record<string, unknown>
    for (const [name, value] of Object.entries(module)) note(found, value, name, `${file} ${name}`)
  }
  return found
}

function note(found: Found, value: unknown, name: string, where: string): void {
  if (typeof value === 'number' || typeof value === 'string') {
    if (/^[A-Z][A-Z\d]*_[A-Z\d_]+$/.test(name)) found.constants.set(name, value)
  } else if (isTable(value)) {
    noteTable(found, value, where)
  } else if (isStructure(value)) {
    noteStructure(found, value, where)
  } else if (isRecord(value)) {
    noteNames(found, (value as { readonly names?: unknown }).names, where)
    noteNames(found, value, where)
    // `tables`, `structures`, `hooks`: what is not exported by itself.
    for (const [key, inner] of Object.entries(value)) {
      if (isTable(inner) || isStructure(inner)) note(found, inner, key, `${where}.${key}`)
      else noteNames(found, inner, `${where}.${key}`)
    }
  }
}

function noteTable(found: Found, table: AttributeTable, where: string): void {
  if (found.tables.has(table)) return
  found.tables.set(table, where)
  for (const row of table.list) {
    for (const type of [row.type, row.instead?.type]) noteType(found, type, `${where}.${row.key}`)
  }
}

function noteType(found: Found, type: TableRow['type'] | undefined, where: string): void {
  if (isStructure(type)) noteStructure(found, type, where)
  noteNames(found, (type as { readonly names?: unknown } | undefined)?.names, where)
  const inner = type?.fields?.({})
  if (isTable(inner)) noteTable(found, inner, where)
  if (type?.entry !== undefined) noteType(found, type.entry, where)
}

function noteStructure(found: Found, structure: Structure<Layout>, where: string): void {
  if (found.structures.has(structure)) return
  found.structures.set(structure, where)
  for (const [key, { type }] of Object.entries(structure.layout)) {
    noteNames(found, (type as { readonly names?: unknown }).names, `${where}.${key}`)
  }
}

function noteNames(found: Found, names: unknown, where: string): void {
  if (!isRecord(names)) return
  const numbers = Object.values(names)
  if (numbers.length === 0 || !numbers.every((number) => typeof number === 'number')) return
  const id = JSON.stringify(names)
  if (!found.names.has(id)) found.names.set(id, { where, names: names as Record<string, number> })
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
const isTable = (value: unknown): value is AttributeTable =>
  isRecord(value) && 'byNumber' in value && 'list' in value
const isStructure = (value: unknown): value is Structure<Layout> => isRecord(value) && 'layout' in value

/** One thing to hold against the headers. */
interface Claim {
  readonly where: string
  /** C. */
  readonly expression: string
  readonly value: number | string
}

function claimsOf(found: Found): Claim[] {
  const claims: Claim[] = []
  for (const [table, where] of found.tables) {
    for (const row of table.list) claims.push(...claimsOfRow(row, `${where}.${row.key}`))
  }
  for (const [{ name, bytes, layout }, where] of found.structures) {
    if (!partOfStructure.has(name)) {
      claims.push({ where, expression: `sizeof(${name})`, value: bytes })
    }
    for (const [key, { member, offset }] of Object.entries(layout)) {
      claims.push({
        where: `${where}.${key}`,
        expression: `__builtin_offsetof(${name}, ${member})`,
        value: offset,
      })
    }
  }
  for (const { where, names } of found.names.values()) {
    for (const constants of constantsOf(names)) {
      for (const [key, expression] of Object.entries(constants)) {
        if (beyondUapi.has(expression)) continue
        claims.push({ where: `${where} ${key}`, expression, value: names[key]! })
      }
    }
  }
  for (const [name, value] of found.constants) {
    claims.push({ where: name, expression: expressionOf.get(name) ?? name, value })
  }
  return claims
}

function claimsOfRow(row: Pick<TableRow, 'number' | 'constant' | 'instead'>, where: string): Claim[] {
  return [row, ...(row.instead === undefined ? [] : [row.instead])].map(({ number, constant }) => ({
    where,
    expression: constant,
    value: number,
  }))
}

/** What the compiler says differently: `where: expression is 5, not 4`, or that there is no such thing. */
async function contradictions(include: string, claims: readonly Claim[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'viaduct-headers-'))
  try {
    const lines = claims.map(({ expression, value }, index) =>
      typeof value === 'string'
        ? `  printf("${index} %s\\n", ${expression});`
        : `  printf("${index} %lld\\n", (long long)(${expression}));`,
    )
    const file = join(folder, 'claims.c')
    // One claim a line, so that the compiler's complaint tells which it is.
    const before = ['#include <stdio.h>', ...headers.map((name) => `#include <${name}>`), 'int main(void) {']
    await writeFile(file, [...before, ...lines, '  return 0;', '}', ''].join('\n'))
    const program = join(folder, 'claims')
    const folders = [include, join(include, 'x86_64-linux-gnu')].flatMap((folder) => ['-isystem', folder])
    // netfilter_bridge.h asks for the C library's net/if_arp.h, which has the structures of linux/if_arp.h once more.
    const flags = [...folders, '-D_NET_IF_ARP_H', '-fmax-errors=0', '-w']
    try {
      await run('cc', [...flags, '-o', program, file], {
        maxBuffer: 1 << 26,
        env: { ...process.env, LC_ALL: 'C' },
      })
    } catch (error) {
      const { stderr } = error as { readonly stderr: string }
      const complaints = [...stderr.matchAll(/^.*claims\.c:(\d+):\d+: error: (.*)$/gm)]
      if (complaints.length === 0) throw error
      return complaints.map(([, line, text]) => {
        const claim = claims[Number(line) - before.length - 1]
        return `${claim?.where ?? file}: ${text}`
      })
    }
    const { stdout } = await run(program)
    return stdout.split('\n').flatMap((line) => {
      const [, index, said] = /^(\d+) (.*)$/.exec(line) ?? []
      const claim = claims[Number(index)]
      if (claim === undefined || said === undefined || said === String(claim.value)) return []
      return [`${claim.where}: ${claim.expression} is ${said}, not ${claim.value}`]
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function newestHeaders(): Promise<string> {
  const lab = new URL('../../../scripts/lab/index.mjs', import.meta.url).href
  return ((await import(lab)) as { newestHeaders(say: () => void): Promise<string> }).newestHeaders(
    () => undefined,
  )
}

void t.test('tables, structures, flags and numbers are those of the newest kernel headers', async (t) => {
  const include = await newestHeaders()
  const found = await discover()
  const claims = claimsOf(found)
  t.strictSame(await contradictions(include, claims), [])

  await t.test('and nothing was overlooked', async (t) => {
    const tables = [...found.tables.keys()].map(({ name }) => name)
    const known = ['IPVS_CMD_ATTR', 'IPVS_SVC_ATTR', 'IPVS_DEST_ATTR', 'IPVS_DAEMON_ATTR', 'IPVS_INFO_ATTR']
    const others = ['IPVS_STATS_ATTR', 'CTRL_ATTR', 'IFLA', 'IFA', 'RTA', 'FOU_ATTR']
    const nftables = ['NFTA_RULE', 'NFTA_SET_FIELD', 'NFTA_BITWISE', 'NFTA_CT_EXPECT', 'NFNL_BATCH']
    for (const name of [...known, ...others, ...nftables]) t.ok(tables.includes(name), name)
    t.ok(claims.length > 1000, `${claims.length} claims`)
    const sets = [...found.names.values()].filter(({ where }) => !ofOthers.has(where))
    for (const { where, names } of sets) {
      t.ok(
        constantsOf(names).length > 0,
        `${where}: give ${Object.keys(names).join(', ')} constants in headers-names.ts`,
      )
    }
    const used = new Set(sets.flatMap(({ names }) => constantsOf(names)))
    for (const [what, constants] of Object.entries(nameSets))
      t.ok(used.has(constants), `${what} is still there`)
  })

  await t.test('what is said not to be in the headers is not', async (t) => {
    for (const expression of beyondUapi.keys()) {
      const complaints = await contradictions(include, [{ where: 'absent', expression, value: 0 }])
      t.match(complaints, [/undeclared/], expression)
    }
  })

  await t.test('a wrong number, a wrong name and a wrong offset are found', async (t) => {
    const wrong = attributeTable('IPVS_DEST_ATTR', {
      right: attribute(4, 'IPVS_DEST_ATTR_WEIGHT', u32),
      number: attribute(5, 'IPVS_DEST_ATTR_WEIGHT', u32),
    })
    const claimsOfWrong = wrong.list.flatMap((row) => claimsOfRow(row, row.key))
    t.strictSame(await contradictions(include, claimsOfWrong), ['number: IPVS_DEST_ATTR_WEIGHT is 4, not 5'])
    t.match(
      await contradictions(include, [{ where: 'name', expression: 'IPVS_DEST_ATTR_WIEGHT', value: 4 }]),
      [/^name: .*IPVS_DEST_ATTR_WIEGHT.* undeclared/],
    )
    const offset = {
      where: 'offset',
      expression: '__builtin_offsetof(struct ifinfomsg, ifi_flags)',
      value: 4,
    }
    t.match(await contradictions(include, [offset]), [/^offset: .* is 8, not 4/])
    t.strictSame(
      await contradictions(include, [{ where: 'text', expression: 'IPVS_GENL_NAME', value: 'ipvs' }]),
      ['text: IPVS_GENL_NAME is IPVS, not ipvs'],
    )
  })
})

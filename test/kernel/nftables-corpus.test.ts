/**
 * What nft writes is read, sent by a transaction into an empty namespace, and is the same there: byte by byte in the
 * kernel's own dumps, and to nft. Over a corpus that has every match and every statement that nft and this kernel have.
 */
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import type { NetworkNamespace } from '../../src/net/index.js'
import type { AttributeTable } from '../../src/netlink/index.js'
import type { AnyExpression } from '../../src/nftables/expression.js'
import { expressionTables } from '../../src/nftables/expressions/index.js'
import { type KindName, kinds } from '../../src/nftables/kinds.js'
import { formatRule } from '../../src/nftables/bytecode.js'
import { type Nftables, printRuleset } from '../../src/nftables/index.js'
import { copy, nftIn, place as plainPlace } from './nft.js'
import { alone, frame, things, together } from './nftables-corpus.js'
import { dumps } from './nftables-dumps.js'

/** What it says, and whether it did it. */
interface Said {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Place {
  readonly netns: NetworkNamespace
  readonly nftables: Nftables
  nft(args: readonly string[], input?: string): Promise<Said>
}

/** Of nft it is told how it ends, too: some lines it refuses, and over some it ends by a signal. */
async function place(t: Test): Promise<Place> {
  const { netns, nftables } = await plainPlace(t)
  const nft: Place['nft'] = (args, input = '') =>
    new Promise((resolve, reject) => {
      const child = spawn(...nftIn(netns, args))
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
      child.stdin.on('error', () => undefined)
      child.on('error', reject).on('close', (code) => resolve({ code, stdout, stderr }))
      child.stdin.end(input)
    })
  return { netns, nftables, nft }
}

/** Which commands nft and the kernel take: tried in an empty ruleset behind others, some at a time. */
class Trial {
  readonly taken = new Set<string>()
  /** With the reason. */
  readonly refused = new Map<string, string>()
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
  }

  async of(commands: readonly string[], behind: readonly string[] = []): Promise<void> {
    const before = ['flush ruleset', ...behind]
    for (let from = 0; from < commands.length; from += commandsAtOnce) {
      await this.#together(before, commands.slice(from, from + commandsAtOnce))
    }
  }

  async #together(before: readonly string[], commands: readonly string[]): Promise<void> {
    let lines = commands
    while (lines.length > 0) {
      const { code, stderr } = await this.#place.nft(['-f', '-'], `${[...before, ...lines].join('\n')}\n`)
      if (code === 0) break
      const bad = refusedLines(stderr, lines, before.length)
      if (bad.size === 0 && lines.length > 1) {
        // Some versions end by a signal over a line.
        const half = lines.length >> 1
        await this.#together(before, lines.slice(0, half))
        return this.#together(before, lines.slice(half))
      }
      if (bad.size === 0) bad.set(0, `nft ended with ${code}: ${stderr}`)
      for (const [index, reason] of bad) this.refused.set(lines[index]!, reason)
      lines = lines.filter((_, index) => !bad.has(index))
    }
    for (const line of lines) this.taken.add(line)
  }
}
const commandsAtOnce = 400

function refusedLines(stderr: string, lines: readonly string[], before: number): Map<number, string> {
  const bad = new Map<number, string>()
  const tables = new Set<string>()
  for (const [, number, reason = ''] of stderr.matchAll(/^\S+:(\d+):\d+(?:-\d+)?: Error: (.*)$/gm)) {
    const index = Number(number) - 1 - before
    if (bad.has(index)) continue
    // A rule that cannot stand in its chain spoils those behind it in the table (nft_table_validate).
    const table = lines[index]?.split(' ')[2] ?? ''
    if (reason.endsWith('Operation not supported') && tables.has(table)) continue
    tables.add(table)
    bad.set(index, reason)
  }
  return bad
}

/** What a rule is made of, whatever values it has: expressions with their keys, operators and lengths. */
function shapeOf(expressions: readonly AnyExpression[]): string {
  return expressions.map(expressionShape).join(' ')
}

function expressionShape(expression: AnyExpression): string {
  const table: AttributeTable | undefined = expressionTables[expression.name as keyof typeof expressionTables]
  const parts = Object.entries(expression).flatMap(([key, value]: [string, unknown]) => {
    const type = table?.rows[key]?.type as { readonly names?: object } | undefined
    if (key === 'name' || /Register$/.test(key)) return []
    if (type?.names !== undefined || /^(length|offset|size|base|type|level)$/.test(key))
      return `${key}=${String(value)}`
    if (value instanceof Uint8Array) return `${key}:${value.length}`
    if (key === 'expression') return `(${expressionShape(value as AnyExpression)})`
    if (key === 'expressions') return `(${shapeOf(value as AnyExpression[])})`
    return key
  })
  return `${expression.name}[${parts.join(' ')}]`
}

/** `payload.base`, of every attribute of every expression that occurs. */
function attributesOf(expressions: Iterable<AnyExpression>, seen: Set<string>): Set<string> {
  for (const { name, ...attributes } of expressions) {
    for (const [key, value] of Object.entries(attributes)) {
      seen.add(`${name}.${key}`)
      if (key === 'expression') attributesOf([value as AnyExpression], seen)
      if (key === 'expressions') attributesOf(value as AnyExpression[], seen)
    }
  }
  return seen
}

/** What this nft cannot say, and what the kernel says otherwise when it is asked: sets by their names, not by numbers. */
const unsaid = [
  'bitwise.secondSourceRegister',
  'dynset.setId',
  'hash.setName',
  'hash.setId',
  ...['number', 'type', 'flags', 'headerSize', 'expression'].map((key) => `inner.${key}`),
  ...['isSet', 'milliseconds'].map((key) => `last.${key}`),
  'lookup.setId',
  ...['extension', 'revision', 'info'].map((key) => `match.${key}`),
  'numgen.setName',
  'numgen.setId',
  'objref.setId',
  ...['extension', 'revision', 'info'].map((key) => `target.${key}`),
  ...['key', 'destinationRegister', 'mode'].map((key) => `tunnel.${key}`),
]
/** Expressions of which kernels may lack the module: what the corpus has of them is then refused. */
const byModule: ReadonlySet<string> = new Set(['queue', 'flow_offload'])

/** What this libnftnl prints otherwise: it has no word for one key. */
const likeOurs = (text: string): string => text.replaceAll('[ ct load unknown =>', '[ ct load id =>')

/** Lines that nft prints and does not take: its fields have no name under a mask, its numbers no type in a set. */
const hasNoWords = (line: string): boolean =>
  /\bunknown\b|\[invalid type\]|\(@|arp htype (!= )?256\/8/.test(line)
/** Lines that nft lists and does not take again, and what has no words in its syntax. */
const isNotTaken = (line: string): boolean =>
  /icmpv6 parameter-problem|elements = .* quota |cgroupv2|vlan dei & 31|frag reserved2 & 7|\[ /.test(line)
const named = { interfaceName: (index: number) => (index === 1 ? 'lo' : undefined) }

/** How long elements have left is another thing for each. */
const linesOf = (listing: string): string[] => listing.replaceAll(/ expires [\ddhms]+/g, '').split('\n')
/** nft makes a range of a set that has no more than one. */
const asTaken = (line: string): string => line.replace(/\{ (\d+-\d+) \}/, '$1')

void t.test('what nft writes survives reading and sending', { timeout: 120_000 }, async (t) => {
  const [from, to] = [await place(t), await place(t)]
  const trial = new Trial(to)
  await trial.of([...frame, ...things()])
  const base = [...trial.taken]
  await trial.of(alone(), base)
  await trial.of(together(trial.taken), base)
  for (const [line, reason] of trial.refused) t.comment(`refused: ${line}: ${reason}`)
  t.equal((await from.nft(['-f', '-'], [...trial.taken, ''].join('\n'))).code, 0)
  await to.nft(['flush', 'ruleset'])
  const ruleset = await from.nftables.ruleset()
  await copy(ruleset, to.nftables)

  await t.test('the dumps are the same bytes', async (t) => {
    const [one, other] = [await dumps(from.netns), await dumps(to.netns)]
    for (const kind of Object.keys(kinds) as KindName[]) {
      const differ = one[kind].flatMap((text, index) => (text === other[kind][index] ? [] : [index]))
      t.equal(other[kind].length, one[kind].length, `as many ${kind}`)
      t.same(
        differ.slice(0, 5).map((index) => other[kind][index]),
        differ.slice(0, 5).map((index) => one[kind][index]),
        `${kind}: ${differ.length} of ${one[kind].length} differ`,
      )
    }
  })

  await t.test('and to nft', async (t) => {
    const [one, other] = await Promise.all([from.nft(['list', 'ruleset']), to.nft(['list', 'ruleset'])])
    t.match(one, { code: 0, stdout: /table inet t {/ })
    const [lines, others] = [linesOf(one.stdout), linesOf(other.stdout)]
    t.same(
      others.filter((line, index) => line !== lines[index]).slice(0, 5),
      lines.filter((line, index) => line !== others[index]).slice(0, 5),
    )
  })

  await t.test('and printed as nft lists it', async (t) => {
    const { stdout } = await from.nft(['list', 'ruleset'])
    const ours = linesOf(printRuleset(ruleset, named))
    const theirs = linesOf(stdout)
    t.equal(ours.length, theirs.length)
    const differ = theirs.flatMap((line, index) =>
      line === ours[index] || hasNoWords(line) ? [] : [[line, ours[index]]],
    )
    t.same(differ.slice(0, 5), [], `${differ.length} of ${theirs.length} lines`)
    t.comment(`${theirs.filter(hasNoWords).length} of ${theirs.length} lines are none that nft takes`)
  })

  await t.test('and what is printed says the same to nft', async (t) => {
    const text = linesOf(printRuleset(ruleset, named))
    const said = text.filter((line) => !isNotTaken(line))
    t.comment(`${text.length - said.length} of ${text.length} lines are none that this nft takes`)
    t.ok(text.length - said.length < text.length / 100)
    const again = await place(t)
    const { code, stderr } = await again.nft(['-f', '-'], said.join('\n'))
    t.equal(code, 0, stderr.slice(0, 2000))
    const lines = linesOf(printRuleset(await again.nftables.ruleset(), named))
    t.same(
      lines.filter((line, index) => line !== asTaken(said[index] ?? '')).slice(0, 5),
      said
        .map(asTaken)
        .filter((line, index) => line !== lines[index])
        .slice(0, 5),
    )
  })

  await t.test('and printed as nft prints the bytecode', async (t) => {
    const { code, stdout } = await from.nft(['--debug=netlink', 'list', 'ruleset'])
    t.equal(code, 0)
    const theirs = [...stdout.matchAll(/^[a-z\d]+ t \w+ \d+.*\n(?: {2}.*\n)*/gm)].map(([text]) =>
      likeOurs(text),
    )
    const ours = ruleset.rules.map((rule) => `${formatRule(rule)}\n`)
    t.equal(theirs.length, ours.length)
    t.same(
      ours.filter((text, index) => text !== theirs[index]).slice(0, 5),
      theirs.filter((text, index) => text !== ours[index]).slice(0, 5),
    )
  })

  await t.test('objects say what nft was told', async (t) => {
    const inIp = ruleset.objects.filter(({ family }) => family === 'ip')
    const told = Object.fromEntries(inIp.map(({ name, data }) => [name, data]))
    t.match(told, {
      c: { packets: 4n, bytes: 200n },
      partly: { bytes: 25n * 2n ** 20n, consumed: 7n, flags: [] },
      l: { rate: 400n, unitSeconds: 60, burst: 7, type: 'packets' },
      lb: { rate: 2n ** 20n, unitSeconds: 1, burst: 512, type: 'bytes', flags: ['inverted'] },
      h: { helper: 'ftp', family: 'ip', protocol: 'tcp' },
      tt: { family: 'ip', protocol: 'tcp' },
      e: { family: 'ip', protocol: 'tcp', port: 5432, timeoutMilliseconds: 3_600_000, size: 12 },
      sp: { maximumSegmentSize: 1460, windowScale: 9 },
    })
  })

  await t.test('of so many shapes', async (t) => {
    const shapes = new Set(ruleset.rules.map(({ expressions }) => shapeOf(expressions ?? [])))
    t.comment(`${ruleset.rules.length} rules, ${shapes.size} shapes, ${ruleset.sets.length} sets`)
    t.ok(shapes.size >= 2000, `${shapes.size} shapes`)
  })

  await t.test('every attribute of every expression occurs, but these', async (t) => {
    const seen = attributesOf(
      ruleset.rules.flatMap(({ expressions }) => expressions ?? []),
      new Set(),
    )
    const unseen: string[] = []
    for (const [name, table] of Object.entries(expressionTables) as [string, AttributeTable][]) {
      const keys = table.list.filter(({ type }) => type.padding !== true).map(({ key }) => key)
      const missing = keys.filter((key) => !seen.has(`${name}.${key}`))
      t.comment(`${name}: ${keys.map((key) => (missing.includes(key) ? `(${key})` : key)).join(' ')}`)
      unseen.push(...missing.map((key) => `${name}.${key}`))
    }
    t.same(
      unseen.filter((key) => !byModule.has(key.split('.')[0]!)),
      unsaid,
    )
  })
})

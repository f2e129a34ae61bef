/** `viaduct nft` beside Debian's nft(8), in namespaces of our own. */
import type { Test } from 'tap'
import { run } from '../../src/cli/nft/index.js'
import { toJson } from '../../src/json.js'
import { NetworkNamespace, openUdp } from '../../src/net/index.js'
import { addRule, ip, meta, Nftables, type Ruleset } from '../../src/nftables/index.js'
import { type Outcome, outcomeOf } from '../unit/support/outcome.js'
import { ensurePeers, follow, peer, program, start, startPeer, type Told } from './command.js'
import { kernelTest } from './kernel-test.js'

interface Place {
  readonly netns: NetworkNamespace
  readonly nftables: Nftables
  readonly nft: (...words: readonly string[]) => Promise<string>
  readonly viaduct: (...words: readonly string[]) => Promise<Outcome>
}

function commandTest(name: string, work: (t: Test, place: Place) => Promise<void>): void {
  kernelTest(name, { needs: { nftables: true } }, async (t) => {
    await ensurePeers('nftables')
    const netns = NetworkNamespace.create()
    try {
      const nftables = await Nftables.open({ netns })
      try {
        await work(t, {
          netns,
          nftables,
          nft: (...words) => peer(netns, ['nft', ...words]),
          viaduct: (...words) => outcomeOf((streams) => run(words, streams, { netns })),
        })
      } finally {
        nftables.close()
      }
    } finally {
      netns.close()
    }
  })
}

const tables = `
table inet t {
  counter c1 { packets 3 bytes 4 }
  quota q { 25 mbytes }
  set s { type ipv4_addr; elements = { 10.0.0.1 } }
  map m { type inet_service : verdict; elements = { 80 : accept } }
  chain in { type filter hook input priority 0; policy drop; tcp dport vmap @m; tcp dport { 1, 2 } drop; iif lo jump sub; }
  chain sub { counter name c1; udp dport 53 accept comment "names"; }
}
table ip t { chain in { counter; }; }
table ip6 empty { }
`

/** What of a ruleset as JSON lines have it. */
function linesOf(ruleset: Partial<Ruleset>): object[] {
  const kinds = [
    ['tables', 'table'],
    ['objects', 'object'],
    ['flowtables', 'flowtable'],
    ['chains', 'chain'],
    ['sets', 'set'],
    ['elements', 'elements'],
    ['rules', 'rule'],
  ] as const
  return kinds.flatMap(([part, kind]) =>
    (ruleset[part] ?? []).map((object) => JSON.parse(toJson({ kind, object })) as object),
  )
}

commandTest('lists hold what is asked for', async (t, { nftables, nft, viaduct }) => {
  t.strictSame(await viaduct('list', 'ruleset'), { exitCode: 0, stdout: '', stderr: '' })
  await nft(tables)
  const ruleset = await nftables.ruleset()
  const json = async (...words: string[]): Promise<object[]> => {
    const { exitCode, stdout, stderr } = await viaduct('list', ...words, '--json')
    t.strictSame([exitCode, stderr], [0, ''], words.join(' '))
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as object)
  }
  const inInet = <T extends { readonly family: string }>(list: readonly T[]): T[] =>
    list.filter(({ family }) => family === 'inet')
  const inet = { tables: inInet(ruleset.tables) }
  t.strictSame(await json('ruleset'), linesOf(ruleset))
  t.strictSame(
    await json('table', 'inet', 't'),
    linesOf(await nftables.ruleset({ family: 'inet', table: 't' })),
  )
  t.strictSame(await json('ruleset', 'ip'), linesOf(await nftables.ruleset({ family: 'ip' })))
  t.strictSame(
    await json('rules', 'inet'),
    linesOf({ ...inet, chains: inInet(ruleset.chains), rules: inInet(ruleset.rules) }),
  )
  t.strictSame(await json('tables'), linesOf({ tables: ruleset.tables }))
  t.strictSame(await json('chains', 'inet', 't'), linesOf({ ...inet, chains: inInet(ruleset.chains) }))
  const sets = ruleset.sets.filter(({ name }) => name === 's')
  const maps = ruleset.sets.filter(({ name }) => name === 'm')
  t.strictSame(
    await json('sets'),
    linesOf({ tables: ruleset.tables, sets }),
    'neither maps nor those of rules',
  )
  t.strictSame(await json('maps', 'inet'), linesOf({ ...inet, sets: maps }))
  t.strictSame(
    await json('counters', 'inet'),
    linesOf({ ...inet, objects: ruleset.objects.filter(({ type }) => type === 'counter') }),
  )
  t.strictSame(await json('objects', 'inet'), linesOf({ ...inet, objects: ruleset.objects }))
  t.strictSame(await json('ct', 'helpers', 'inet'), linesOf(inet))
  const elements = ruleset.elements.filter(({ set }) => set === 'm')
  t.strictSame(await json('map', 'inet', 't', 'm'), linesOf({ ...inet, sets: maps, elements }))
  const sub = <T extends { readonly family: string }>(list: readonly T[], key: keyof T): T[] =>
    inInet(list).filter((one) => one[key] === 'sub')
  t.strictSame(
    await json('chain', 'inet', 't', 'sub'),
    linesOf({ ...inet, chains: sub(ruleset.chains, 'name'), rules: sub(ruleset.rules, 'chain') }),
  )
  t.equal((await viaduct('list', 'tables')).stdout, await nft('list', 'tables'))
})

commandTest('lists are what nft lists', async (t, { nft, viaduct }) => {
  await nft(tables)
  const same = async (...words: string[]): Promise<void> => {
    const { stdout, exitCode } = await viaduct('list', ...words)
    t.equal(exitCode, 0)
    t.equal(stdout, await nft('list', ...words), words.join(' '))
  }
  await same('ruleset')
  await same('ruleset', 'inet')
  await same('table', 'inet', 't')
  await same('chain', 'inet', 't', 'in')
  await same('chain', 't', 'in')
  await same('set', 'inet', 't', 's')
  await same('map', 'inet', 't', 'm')
  await same('counter', 'inet', 't', 'c1')
  t.equal((await viaduct('list', 'ruleset', '-a')).stdout, await nft('-a', 'list', 'ruleset'))
})

commandTest('what is not there is told', async (t, { nft, viaduct }) => {
  await nft(tables)
  const missing = async (words: readonly string[], stderr: string): Promise<void> => {
    t.strictSame(await viaduct('list', ...words), {
      exitCode: 1,
      stdout: '',
      stderr: `viaduct nft: ${stderr}\n`,
    })
  }
  await missing(['table', 'x'], 'there is no table ip x (viaduct nft list tables shows which there are)')
  await missing(
    ['rules', 'inet', 'x'],
    'there is no table inet x (viaduct nft list tables shows which there are)',
  )
  await missing(
    ['sets', 'inet', 'x'],
    'there is no table inet x (viaduct nft list tables shows which there are)',
  )
  await missing(
    ['chain', 'inet', 't', 'x'],
    'there is no chain inet t x (viaduct nft list chains shows which there are)',
  )
  await missing(
    ['set', 'inet', 't', 'm'],
    'there is no set inet t m (viaduct nft list sets shows which there are)',
  )
  await missing(
    ['counter', 'inet', 't', 'q'],
    'there is no counter inet t q (viaduct nft list counters shows which there are)',
  )
})

commandTest('what is monitored is what nft monitors', async (t, { netns, nft }) => {
  await nft('table ip earlier { set s { type ipv4_addr; flags interval; }; }')
  const theirs = startPeer(netns, ['nft', 'monitor'])
  const all = follow(run, ['monitor'], netns)
  const gone = follow(run, ['monitor', 'destroy', 'chains'], netns)
  const json = follow(run, ['monitor', '--json'], netns)
  try {
    const marked = (told: Told): boolean => told.lines.some((line) => line.includes('marker'))
    for (const told of [theirs, all, gone, json]) {
      await told.until(marked, () => nft('table ip marker { chain marker { }; }; delete table ip marker'))
    }
    await nft('add table ip z')
    await nft('add chain ip z c { type filter hook input priority 7; }; add chain ip z d')
    await nft(
      'add set ip z s { type ipv4_addr; }; add map ip z m { type ipv4_addr : mark; }; add counter ip z n',
    )
    await nft('add rule ip z c counter; add element ip z s { 1.2.3.4 }')
    await nft('add rule ip z c iif lo tcp dport { 80, 443 } accept')
    await nft('add element ip earlier s { 10.0.0.0/8, 192.0.2.1, 198.51.100.0-198.51.100.9 }')
    await nft('delete element ip earlier s { 10.0.0.0/8 }')
    await nft('flush chain ip z c')
    await nft('delete table ip z')
    await nft('add table ip last')
    const isLast = (line: string): boolean => /\blast\b/.test(line)
    for (const told of [theirs, all, json]) await told.until(({ lines }) => lines.some(isLast))
    await gone.until(({ lines }) => lines.some((line) => line === 'delete chain ip z d'))
    const heads = (lines: readonly string[]): string[] =>
      lines
        .slice(
          lines.findIndex((line) => line === 'add table ip z'),
          lines.findIndex(isLast),
        )
        .map((line) => line.trimEnd().replace(/;? \}$/, ' }'))
    t.strictSame(heads(all.lines), heads(theirs.lines))
    t.ok(heads(all.lines).length > 15)
    const chains = gone.lines.filter((line) => line.includes('ip z'))
    t.strictSame(chains, ['delete chain ip z c', 'delete chain ip z d'])
    const events = json.lines.map((line) => JSON.parse(line) as { event: string; kind?: string })
    t.match(
      events.find((event) => toJson(event).includes('"last"')),
      { event: 'made', kind: 'table', object: { family: 'ip', name: 'last' } },
    )
    t.ok(events.some(({ event }) => event === 'generation'))
  } finally {
    await theirs.end()
    t.strictSame([await all.end(), await gone.end(), await json.end()], [0, 0, 0])
  }
})

kernelTest(
  'what is traced is what nft traces, with the rules',
  { needs: { nftables: true } },
  async (t, sandbox) => {
    await ensurePeers('nftables')
    const net = await sandbox({ hosts: ['client', 'server'], links: [['client', 'server']] })
    const { client, server } = net.hosts
    const { netns } = server
    const nftables = await Nftables.open({ netns })
    const table = { family: 'inet', table: 't' } as const
    const transaction = nftables
      .transaction()
      .add('table', { family: 'inet', name: 't' })
      .add('chain', { ...table, name: 'in', hook: 'input', priority: 'filter' })
      .add('chain', { ...table, name: 'sub' })
    addRule(transaction, { ...table, chain: 'in' }, meta.nftrace.set(1))
    transaction.add('rule', {
      ...table,
      chain: 'in',
      comment: 'to sub',
      expressions: [{ name: 'immediate', destinationRegister: 0, data: { code: 'jump', chain: 'sub' } }],
    })
    addRule(transaction, { ...table, chain: 'sub' }, ip.saddr.is('203.0.113.1'), meta.mark.set(9))
    await transaction.commit()
    await server.serve((_, response) => response.end('x'), { port: 80 })

    const theirs = startPeer(netns, ['nft', 'monitor', 'trace'])
    const ours = follow(run, ['trace'], netns)
    const json = follow(run, ['trace', '--json'], netns)
    try {
      for (const told of [theirs, ours, json]) {
        await told.until(
          ({ lines }) => lines.length > 0,
          () => client.ping(server.address),
        )
      }
      const idOf = (line: string): string => line.split(' ')[2]!
      const before = new Set([...theirs.lines, ...ours.lines].map(idOf))
      await client.fetch(`http://${server.address}/`)
      await client.ping(server.address6)
      const udp = await openUdp({ netns: client.netns })
      await new Promise<void>((resolve, reject) => {
        udp.send('hello', 4242, server.address, (error) => (error === null ? resolve() : reject(error)))
      })
      udp.close()
      for (const told of [theirs, ours]) {
        await told.until(({ lines }) => lines.some((line) => / udp dport 4242 /.test(`${line} `)))
        const id = /id (\w+) .* udp dport 4242/.exec(
          told.lines.find((line) => line.includes('dport 4242'))!,
        )![1]!
        await told.until(({ lines }) => lines.some((line) => line.includes(`${id} inet t in policy accept`)))
      }
      await json.until(({ lines }) => lines.some((line) => line.includes('"dport":4242')))

      /** Packets that both saw whole: they did not begin to look at the same moment, and ids come again. */
      const common = new Set(
        theirs.lines
          .map(idOf)
          .filter((id) => !before.has(id) && ours.lines.some((line) => idOf(line) === id)),
      )
      const kinds = (lines: readonly string[], kind: RegExp): string[] =>
        lines.filter((line) => common.has(idOf(line)) && kind.test(line)).map((line) => line.trimEnd())
      const packets = (lines: readonly string[]): string[] =>
        kinds(lines, / packet: /).map((line) =>
          line
            .replace(/ @\w+,\d+,\d+ 0x[\da-f]+/g, '')
            // nft's names of ICMP's codes are those of another type, and several flags are a number there.
            .replace(/ (icmp\w*) code \S+.*/, ' $1')
            .replace(
              / tcp flags (== )?(\S+( \| \S+)*)/,
              (_, _equals, flags: string) =>
                ` tcp flags ${/^\w+$/.test(flags) && !flags.startsWith('0x') ? flags : '…'}`,
            )
            .replace(/ ether type \S+/g, '')
            // As /etc/protocols calls it.
            .replace('nexthdr ipv6-icmp', 'nexthdr icmpv6'),
        )
      t.ok(common.size >= 4)
      t.strictSame(packets(ours.lines), packets(theirs.lines))
      t.strictSame(
        kinds(ours.lines, / (policy|verdict) \w+( meta.*)?$/),
        kinds(theirs.lines, / (policy|verdict) \w+ *( meta.*)?$/),
      )
      const verdicts = (lines: readonly string[]): string[] =>
        kinds(lines, / rule /).map((line) => line.replace(/ # handle \d+(?= \(verdict)/, ''))
      t.strictSame(verdicts(ours.lines), verdicts(theirs.lines))
      const [first, second] = await nftables.rules({ ...table, chain: 'in' })
      t.ok(ours.lines.some((line) => line.endsWith(` # handle ${first!.handle} (verdict continue)`)))
      t.ok(
        ours.lines.some((line) =>
          line.endsWith(`comment "to sub" # handle ${second!.handle} (verdict jump sub)`),
        ),
      )
      const events = json.lines.map(
        (line) => JSON.parse(line) as { rule?: { handle: number }; ruleHandle?: number },
      )
      t.ok(events.every(({ rule, ruleHandle }) => rule?.handle === ruleHandle))
      t.match(
        events.find((event) => toJson(event).includes('"dport":4242')),
        {
          packet: { ip: { daddr: server.address }, udp: { dport: 4242, length: 13 } },
          incomingName: /\w/,
          rule: { table: 't' },
        },
      )
      await t.test('a rule that changed is read anew', async (t) => {
        await nftables.transaction().delete('table', { family: 'inet', name: 't' }).commit()
        await transactionAgain(nftables)
        await ours.until(
          ({ lines }) => lines.some((line) => line.includes('comment "again"')),
          () => client.ping(server.address),
        )
        t.pass()
      })
    } finally {
      await theirs.end()
      t.strictSame([await ours.end(), await json.end()], [0, 0])
      nftables.close()
    }
  },
)

/** The same names and handles, with another rule. */
async function transactionAgain(nftables: Nftables): Promise<void> {
  const table = { family: 'inet', table: 't' } as const
  const transaction = nftables
    .transaction()
    .add('table', { family: 'inet', name: 't' })
    .add('chain', { ...table, name: 'in', hook: 'input', priority: 'filter' })
    .add('chain', { ...table, name: 'sub' })
  addRule(transaction, { ...table, chain: 'in', comment: 'again' }, meta.nftrace.set(1))
  await transaction.commit()
}

commandTest('as a program, until ^C', async (t, { netns, nft }) => {
  const monitor = start(process.execPath, [...program(netns), 'nft', 'monitor', 'new', 'tables'])
  let number = 0
  await monitor.until(
    ({ lines }) => lines.length > 0,
    () => nft(`add table ip t${number++}`),
  )
  t.match(monitor.lines[0], /^add table ip t\d+$/)
  t.equal(await monitor.end(), 0)
  t.equal(monitor.stderr, '')
})

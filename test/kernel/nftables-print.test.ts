/** Rulesets in nft's syntax: what is printed is what Debian's nft prints of the same namespace, and what it takes. */
import t, { type Test } from 'tap'
import {
  type Operation,
  printRule,
  printRuleset,
  printScript,
  type Transaction,
} from '../../src/nftables/index.js'
import { nft } from '../../src/nftables/datatypes.js'
import { type Header, headers } from '../../src/nftables/print/headers.js'
import { place, type Place } from './nft.js'

const listOf = (count: number, one: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => one(index)).join(', ')

/** Sets of every type, more elements than a line takes; every flag; chains at every kind of place. */
const script = `
table inet t {
  flags dormant
  comment "a table"
  set s_all { type ipv4_addr; flags interval,timeout; auto-merge; timeout 1h; gc-interval 5s; size 100; policy memory; counter; comment "x"; elements = { 10.0.0.0/24, 10.0.9.0-10.0.9.7 } }
  set s_a4 { type ipv4_addr; elements = { ${listOf(7, (i) => `10.0.${i}.1`)} } }
  set s_a6 { type ipv6_addr; elements = { ${listOf(5, (i) => `2001:db8::${i + 1}`)} } }
  set s_ports { type inet_service; elements = { ${listOf(12, (i) => String(80 + i))} } }
  set s_hardware { type ether_addr; elements = { ${listOf(5, (i) => `02:00:00:00:00:0${i}`)} } }
  set s_names { type ifname; elements = { ${listOf(12, (i) => `"eth${i}"`)} } }
  set s_wild { type ifname; flags interval; elements = { "eth*", "lo" } }
  set s_dscps { type dscp; elements = { ${listOf(12, String)} } }
  set s_states { type ct_state; elements = { new, established, related, invalid } }
  set s_icmps { type icmp_type; elements = { ${listOf(12, String)} } }
  set s_icmp6s { type icmpv6_type; elements = { ${listOf(12, String)} } }
  set s_hours { typeof meta hour; elements = { 1, 2, 3 } }
  set s_times { type time; elements = { ${listOf(9, (i) => `${i + 1}s`)} } }
  set s_kinds { type pkt_type; elements = { host, broadcast, multicast, other, 7 } }
  set s_ethers { type ether_type; elements = { ip, ip6, arp, vlan, 0x1234 } }
  set s_realms { type realm; elements = { 1, 2, 3 } }
  set s_devices { type iface_type; elements = { ether, ppp, loopback, ipip, 77 } }
  set s_indexes { type iface_index; elements = { 1, 2, 3, 4, 5, 6 } }
  set s_statuses { type ct_status; elements = { dnat, snat, assured, 0, dying, expected } }
  set s_groups { type devgroup; elements = { 0, 1, 2 } }
  set s_lengths { typeof ip length; elements = { 1, 2, 3, 4, 5, 6 } }
  set s_mobile { type mh_type; elements = { 1, 2, 99 } }
  set s_families { type nf_proto; elements = { 1, 2, 3, 10 } }
  set s_dccps { type dccp_pkttype; elements = { 1, 2, 3, 4, 5, 15 } }
  set s_igmps { type igmp_type; elements = { 5, 0x11, 0x12, 0x16 } }
  set s_booleans { type boolean; elements = { 0, 1 } }
  set s_directions { type ct_dir; elements = { 0, 1 } }
  set s_codes { type icmp_code; elements = { 0, 1, 2, 3, 4 } }
  set s_codes6 { type icmpv6_code; elements = { 0, 1, 2, 3, 4 } }
  set s_codesx { type icmpx_code; elements = { 0, 1, 2, 3, 4 } }
  set s_classes { type classid; elements = { 1:1, 1:2, 1:3, 0:4, 5:0, 0, 4294967295 } }
  set s_users { type uid; elements = { 0, 1, 2, 3, 4, 5 } }
  set s_operations { type arp_op; elements = { 0, 1, 2, 3, 4, 5 } }
  set s_ecns { type ecn; elements = { 0, 1, 2, 3 } }
  set s_addresses { type fib_addrtype; elements = { 0, 1, 2, 3, 11 } }
  set s_protocols { type inet_proto; elements = { 0, 1, 6, 17, 58, 132, 255 } }
  set s_flags { type tcp_flag; elements = { syn, ack, fin } }
  set s_pairs { type ipv4_addr . inet_service; flags constant; elements = { 1.1.1.1 . 1, 1.1.1.2 . 2, 1.1.1.3 . 3 } }
  set s_typed { typeof ip daddr . tcp dport . meta mark; elements = { 1.1.1.1 . 80 . 7 } }
  set s_directed { typeof ct original ip saddr; elements = { 1.1.1.1 } }
  map s_marks { type ipv4_addr : mark; flags interval; elements = { ${listOf(7, (i) => `10.0.${i}.0/24 : ${i}`)} } }
  map s_mapped { typeof ip saddr : ip daddr . tcp dport; elements = { 1.1.1.1 : 2.2.2.2 . 80 } }
  map s_timed { type mark : mark; flags timeout; elements = { ${listOf(7, (i) => `${i} timeout 1h comment "c${i}" : ${i}`)} } }
  map s_verdicts { type mark : verdict; }
  chain ingress {
    type filter hook ingress devices = { lo } priority -10; comment "a chain"; policy drop;
  }
  chain nat {
    type nat hook postrouting priority srcnat + 10;
  }
  chain far {
    type nat hook postrouting priority srcnat + 11;
  }
  chain between {
    type filter hook input priority -149; policy drop;
  }
  chain near {
    type filter hook input priority security - 10;
  }
  chain elsewhere {
    type nat hook output priority -100;
  }
  chain plain {
    tcp dport @s_ports counter packets 1 bytes 2 accept comment "a rule"
  }
}
table netdev n {
  chain e {
    type filter hook egress device lo priority filter + 5;
  }
}
table arp a {
  chain e {
    type filter hook input priority filter;
  }
}
table ip empty {
}
`

const options = { interfaceName: (index: number) => (index === 1 ? 'lo' : undefined) }
const withoutExpiry = (text: string): string => text.replaceAll(/ expires [\dhms]+/g, '')

t.test('every type of set and every kind of chain is printed as nft prints it', async (t) => {
  const { nftables, nft } = await place(t)
  await nft(script)
  const text = printRuleset(await nftables.ruleset(), options)
  t.equal(withoutExpiry(text), withoutExpiry(await nft('list', 'ruleset')))
})

t.test('with handles, as nft -a', async (t) => {
  const { nftables, nft } = await place(t)
  await nft(script)
  const text = printRuleset(await nftables.ruleset(), { ...options, handles: true })
  t.equal(withoutExpiry(text), withoutExpiry(await nft('-a', 'list', 'ruleset')))
})

t.test('every field of every header is one of nft, at the place that nft has it', async (t) => {
  const { nftables, nft } = await place(t)
  // nft lists one of them by another word than it takes.
  const taken = (text: string): string =>
    text.replace('parameter-problem', 'param-problem').replace('vlan cfi', 'vlan dei')
  const fields = Object.values<Header>(headers).flatMap(({ name, fields }) =>
    fields.map((one) => `${name} ${one.name}`),
  )
  const sets = fields.map((text, index) => `set s${index} { typeof ${taken(text)}; }`)
  await nft(`table inet t {\n${sets.join('\n')}\n}\n`)
  const text = printRuleset(await nftables.ruleset())
  t.equal(text, await nft('list', 'ruleset'))
  t.ok(fields.length > 60)
})

/** What a transaction would do, done by nft instead. */
async function twice(
  t: Test,
  fill: (transaction: Transaction) => void,
  before?: string,
): Promise<{ readonly script: string; readonly same: readonly [string, string] }> {
  const [ours, theirs] = [await place(t), await place(t)]
  if (before !== undefined) {
    await ours.nft(before)
    await theirs.nft(before)
  }
  const transaction = ours.nftables.transaction()
  fill(transaction)
  const script = printScript(transaction, { ...options, known: await ours.nftables.ruleset() })
  await transaction.commit()
  await theirs.nft(script)
  const listed = async ({ nft }: Place): Promise<string> => withoutExpiry(await nft('-a', 'list', 'ruleset'))
  return { script, same: [await listed(ours), await listed(theirs)] }
}

t.test('a transaction is printed as a script that makes the same', async (t) => {
  const at = { family: 'inet', table: 't' } as const
  const { script, same } = await twice(t, (transaction) => {
    transaction
      .add('table', { family: 'inet', name: 't', comment: 'with "marks"' })
      .create('chain', { ...at, name: 'c', hook: 'input', priority: -10, policy: 'drop', comment: 'a chain' })
      .add('chain', { ...at, name: 'd' })
      .add('set', {
        ...at,
        name: 's',
        keyType: 7,
        keyLength: 4,
        flags: ['interval', 'timeout'],
        timeoutMilliseconds: 3_600_000,
        comment: 'a set',
      })
      .add('elements', {
        ...at,
        set: 's',
        elements: [
          { key: Uint8Array.of(10, 0, 0, 0), comment: 'ten' },
          { key: Uint8Array.of(11, 0, 0, 0), flags: ['interval-end'] },
        ],
      })
      .add('object', { ...at, name: 'o', type: 'counter', data: { packets: 1n, bytes: 2n }, comment: 'one' })
      .add('object', { ...at, name: 'h', type: 'ct-helper', data: { helper: 'ftp', protocol: 'tcp' } })
      .add('rule', {
        ...at,
        chain: 'c',
        comment: 'a rule',
        expressions: [{ name: 'objref', type: 'counter', object: 'o' }],
      })
      .insert('rule', { ...at, chain: 'c', expressions: [{ name: 'notrack' }] })
  })
  t.match(
    script,
    /^add table inet t \{ comment "with 'marks'"; \}\ncreate chain inet t c \{ type filter hook input/,
  )
  t.match(script, /\nadd element inet t s \{ 10\.0\.0\.0\/8 comment "ten" \}\n/)
  t.equal(same[0].replace('"with "marks""', `"with 'marks'"`), same[1])
})

t.test('and one that changes what is there', async (t) => {
  const before = `table inet t {
    set s { type inet_service; elements = { 1, 2, 3 } }
    map m { type ipv4_addr : verdict; elements = { 1.1.1.1 : accept, 2.2.2.2 : drop } }
    set gone { type mark; }
    counter c { }
    chain a {
      counter
      drop
      accept
    }
    chain b { type filter hook input priority 0; }
    chain empty { }
  }
  table ip other { }`
  const at = { family: 'inet', table: 't' } as const
  const { same, script } = await twice(
    t,
    (transaction) => {
      transaction
        .delete('elements', { ...at, set: 's', elements: [{ key: Uint8Array.of(0, 2) }] })
        .create('elements', { ...at, set: 's', elements: [{ key: Uint8Array.of(0, 80) }] })
        .add('elements', {
          ...at,
          set: 'm',
          elements: [{ key: Uint8Array.of(3, 3, 3, 3), data: { code: 'jump', chain: 'a' } }],
        })
        .delete('set', { ...at, name: 'gone' })
        .delete('object', { ...at, name: 'c', type: 'counter' })
        .delete('chain', { ...at, name: 'empty' })
        .flush('chain', { ...at, name: 'a' })
        .add('rule', {
          ...at,
          chain: 'a',
          expressions: [{ name: 'immediate', destinationRegister: 0, data: { code: 'return' } }],
        })
        .delete('table', { family: 'ip', name: 'other' })
    },
    before,
  )
  t.match(script, /\nadd element inet t m \{ 3\.3\.3\.3 : jump a \}\n/)
  t.equal(same[0], same[1])
})

t.test('what nft has no words for is said as a comment', (t) => {
  const operations: Operation[] = [
    { verb: 'rename', kind: 'chain', object: { family: 'ip', table: 't', handle: 7, name: 'n' } as never },
    { verb: 'add', kind: 'elements', object: { family: 'ip', table: 't', set: 's', elements: [{}, {}] } },
    {
      verb: 'add',
      kind: 'rule',
      object: { family: 'ip', table: 't', chain: 'c', positionId: 3, expressions: [] },
    },
  ]
  for (const line of printScript({ operations }).trimEnd().split('\n')) t.match(line, /^# /)
  t.equal(
    printScript({
      operations: [{ verb: 'flush', kind: 'table', object: { family: 'unspecified' } as never }],
    }),
    'flush ruleset\n',
  )
  t.end()
})

t.test('what comes from elsewhere does not reach a terminal as it is', (t) => {
  const text = printRule({
    family: 'ip',
    table: 't',
    chain: 'c',
    comment: 'red \u001b[31m\nand a line',
    expressions: [{ name: 'counter', packets: 1n, bytes: 2n }, { name: 'unheard' }],
  })
  t.equal(text, 'counter packets 1 bytes 2 [ unheard ] comment "red \\x1b[31m\\x0aand a line"')
  t.end()
})

t.test('types have the numbers that nft gives to them', async (t) => {
  const { nftables, nft: run } = await place(t)
  const unqualified = new Set(['integer', 'string', 'll_addr', 'ct_label', 'ct_event', 'date', 'hour', 'day'])
  const names = Object.keys(nft.numbers).filter((name) => !unqualified.has(name))
  await run(`table ip t {\n${names.map((name) => `set s_${name} { type ${name}; }`).join('\n')}\n}\n`)
  const numbers = (await nftables.sets()).map(({ name, keyType }) => [name.slice(2), keyType])
  t.strictSame(
    Object.fromEntries(numbers),
    Object.fromEntries(Object.entries(nft.numbers).filter(([name]) => names.includes(name))),
  )
})

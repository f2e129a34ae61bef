/** Rules of the builder beside the same rules of Debian's nft: both lists are to say the same. */
import t from 'tap'
import {
  accept,
  addRule,
  concat,
  counter,
  ct,
  dnat,
  drop,
  endpoint4,
  fib,
  goto,
  icmp,
  icmpv6,
  insertRule,
  ip,
  ip6,
  jhash,
  jump,
  limit,
  log,
  lookup,
  masquerade,
  meta,
  NamedMap,
  NamedSet,
  notrack,
  numgen,
  otherwise,
  type Part,
  put,
  putEntry,
  quota,
  raw,
  redirect,
  reject,
  returnVerdict,
  snat,
  tcp,
  th,
  tproxy,
  types,
  udp,
  VerdictMap,
  vmap,
} from '../../src/nftables/builder/index.js'
import {
  type Data,
  formatExpression,
  printRuleset,
  printScript,
  type Rule,
  type Ruleset,
} from '../../src/nftables/index.js'
import { place } from './nft.js'

const family = 'inet'
const table = 't'
const where = { family, table } as const

const clients = new NamedSet({ ...where, name: 'clients' }, types.ipv4Addr, {
  flags: ['timeout', 'dynamic'],
  size: 100,
})
const networks = new NamedSet({ ...where, name: 'networks' }, types.ipv4Addr, { comment: 'a set' })
const pairs = new NamedSet(
  { ...where, name: 'pairs' },
  types.concatenated([types.ipv4Addr, types.inetService]),
)
const verdicts = new VerdictMap(
  { ...where, name: 'verdicts' },
  types.concatenated([types.ipv4Addr, types.inetProto, types.inetService]),
)
const marks = new NamedMap({ ...where, name: 'marks' }, types.inetService, types.mark)
const backends = new NamedMap({ ...where, name: 'backends' }, types.ipv4Addr, endpoint4)
const seen = new NamedMap({ ...where, name: 'seen' }, types.ipv4Addr, types.mark, {
  flags: ['timeout', 'dynamic'],
  size: 50,
})
const ports = new NamedMap({ ...where, name: 'ports' }, types.ipv4Addr, types.inetService, {
  flags: ['timeout', 'dynamic'],
  size: 50,
})

const ranges = new NamedSet({ ...where, name: 'ranges' }, types.ipv4Addr, {
  autoMerge: true,
  comment: 'merged',
})
const markRanges = new NamedSet({ ...where, name: 'markRanges' }, types.mark, { flags: ['interval'] })
const areas = new NamedSet(
  { ...where, name: 'areas' },
  types.concatenated([types.ipv4Addr, types.inetService]),
  { flags: ['interval'] },
)
const portRanges = new VerdictMap({ ...where, name: 'portRanges' }, types.inetService, {
  flags: ['interval'],
})

const setsOfNft = `
  set ranges { type ipv4_addr; flags interval; auto-merge; comment "merged"; elements = { 10.0.0.0/7, 10.0.0.0-10.9.9.9, 240.0.0.0/4 } }
  set markRanges { type mark; flags interval; elements = { 1, 5-9 } }
  set areas { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 192.0.2.1 . 443 } }
  map portRanges { type inet_service : verdict; flags interval; elements = { 80-90 : accept, 443 : drop } }
  set clients { type ipv4_addr; size 100; flags dynamic,timeout; }
  set networks { type ipv4_addr; comment "a set"; elements = { 10.0.0.1, 10.0.0.2 } }
  set pairs { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 80 } }
  map verdicts { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.1.1.1 . tcp . 80 : goto x, 10.1.1.2 . udp . 53 : drop } }
  map marks { type inet_service : mark; elements = { 80 : 0x1, 443 : 0x2 } }
  map backends { type ipv4_addr : ipv4_addr . inet_service; elements = { 10.0.0.9 : 10.9.9.9 . 8080 } }
  map seen { type ipv4_addr : mark; size 50; flags dynamic,timeout; }
  map ports { type ipv4_addr : inet_service; size 50; flags dynamic,timeout; }
`

/** What nft writes, and what the builder does. */
const rules: Readonly<Record<string, readonly [nft: string, ...parts: readonly Part[]][]>> = {
  x: [['counter packets 0 bytes 0 accept', counter, accept]],
  filter: [
    ['ct state established,related accept', ct.state.has('established', 'related'), accept],
    ['ct state new ct mark set meta mark', ct.state.has('new'), ct.mark.set(meta.mark)],
    ['iifname "lo" accept', meta.iifname.is('lo'), accept],
    ['oifname != "eth*" drop', meta.oifname.isNot('eth*'), drop],
    ['ip saddr 10.0.0.1 drop', ip.saddr.is('10.0.0.1'), drop],
    ['ip saddr 10.0.0.0/13 return', ip.saddr.within('10.0.0.0/13'), returnVerdict],
    ['ip daddr != 192.168.0.0/16 jump x', ip.daddr.notWithin('192.168.0.0/16'), jump('x')],
    ['ip6 daddr 2001:db8::/33 goto x', ip6.daddr.within('2001:db8::/33'), goto('x')],
    ['tcp dport 22 accept', tcp.dport.is(22), accept],
    ['tcp dport { 80, 443 } counter packets 0 bytes 0', tcp.dport.in([80, 443]), counter],
    ['udp sport != { 53, 123 } drop', udp.sport.notIn([53, 123]), drop],
    ['tcp dport 1000-2000 accept', tcp.dport.between(1000, 2000), accept],
    ['meta mark 0x10-0x20 accept', meta.mark.between(0x10, 0x20), accept],
    ['tcp flags syn,rst drop', tcp.flags.has('syn', 'rst'), drop],
    ['icmp type 8 accept', icmp.type.is('echo-request'), accept],
    [
      'icmpv6 type { 128, nd-neighbor-solicit } accept',
      icmpv6.type.in(['echo-request', 'nd-neighbor-solicit']),
      accept,
    ],
    ['ip saddr @networks accept', ip.saddr.in(networks), accept],
    ['ip saddr != @networks drop', ip.saddr.notIn(networks), drop],
    ['ip saddr . tcp dport @pairs accept', concat(ip.saddr, tcp.dport).in(pairs), accept],
    [
      'ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 81 } accept',
      concat(ip.saddr, tcp.dport).in([
        ['10.0.0.1', 80],
        ['10.0.0.2', 81],
      ]),
      accept,
    ],
    [
      'ip daddr . meta l4proto . th dport vmap @verdicts',
      vmap(concat(ip.daddr, meta.l4proto, th.dport), verdicts),
    ],
    ['meta mark set 0x00000010', meta.mark.set(0x10)],
    ['meta mark set tcp dport map @marks', meta.mark.set(lookup(tcp.dport, marks))],
    ['limit rate 10/minute burst 7 packets accept', limit({ rate: 10, per: 'minute', burst: 7 }), accept],
    ['limit rate over 5/second burst 5 packets drop', limit({ rate: 5, per: 'second', over: true }), drop],
    ['quota over 1000 bytes drop', quota({ bytes: 1000n, over: true }), drop],
    [
      'log prefix "seen " level info flags ip options',
      log({ prefix: 'seen ', level: 'info', flags: ['ip-options'] }),
    ],
    ['log group 3', log({ group: 3 })],
    ['reject with icmpx admin-prohibited', reject('admin-prohibited')],
    ['meta l4proto tcp reject with tcp reset', reject('tcp-reset')],
    ['fib daddr type local accept', fib('daddr').type.is('local'), accept],
    ['fib saddr . iif oif 0 drop', fib('saddr', 'iif').oif.is(0), drop],
    ['meta skuid 1000 accept', meta.skuid.is(1000), accept],
    ['add @clients { ip saddr timeout 10s }', put('add', clients, ip.saddr, { timeoutMilliseconds: 10_000 })],
    [
      'update @clients { ip saddr timeout 1m }',
      put('update', clients, ip.saddr, { timeoutMilliseconds: 60_000 }),
    ],
    [
      'update @seen { ip saddr timeout 1m : meta mark }',
      putEntry('update', seen, ip.saddr, meta.mark, { timeoutMilliseconds: 60_000 }),
    ],
    // What the value needs is asked before the key is loaded: both take registers.
    [
      'update @ports { ip saddr timeout 1m : tcp dport }',
      putEntry('update', ports, ip.saddr, tcp.dport, { timeoutMilliseconds: 60_000 }),
    ],
    [
      'meta mark set jhash ip saddr mod 16 seed 0x7',
      meta.mark.set(jhash(ip.saddr, { modulus: 16, seed: 7 })),
    ],
    ['meta mark set numgen random mod 8', meta.mark.set(numgen('random', { modulus: 8 }))],
    ['meta nftrace set 1', meta.nftrace.set(1)],
    ['ct status dnat accept', ct.status.has('dnat'), accept],
    // Fields that stand side by side are compared at once, in either order.
    ['ip ttl 64 ip protocol tcp accept', ip.ttl.is(64), ip.protocol.is('tcp'), accept],
    ['tcp dport 5 tcp sport 6 accept', tcp.dport.is(5), tcp.sport.is(6), accept],
    ['udp sport 5 udp dport 6 accept', udp.sport.is(5), udp.dport.is(6), accept],
    ['icmp type 8 icmp code 0 accept', icmp.type.is(8), icmp.code.is(0), accept],
    ['ip6 nexthdr 17 ip6 hoplimit 5 accept', ip6.nexthdr.is(17), ip6.hoplimit.is(5), accept],
    ['ip saddr 10.0.0.1 ip daddr 10.0.0.2 accept', ip.saddr.is('10.0.0.1'), ip.daddr.is('10.0.0.2'), accept],
    ['ip protocol tcp ip saddr 10.0.0.1', ip.protocol.is('tcp'), ip.saddr.is('10.0.0.1')],
    ['tcp sport 5 tcp dport != 6', tcp.sport.is(5), tcp.dport.isNot(6)],
    ['ip ttl 5 ct state new ip daddr 10.0.0.1', ip.ttl.is(5), ct.state.has('new'), ip.daddr.is('10.0.0.1')],
    // Ranges and prefixes.
    ['tcp dport != 1000-2000 accept', tcp.dport.notBetween(1000, 2000), accept],
    ['meta mark != 0x10-0x20 accept', meta.mark.notBetween(0x10, 0x20), accept],
    [
      'ip saddr 10.1.0.0/16 ip daddr 10.2.3.0/24',
      ip.saddr.within('10.1.0.0/16'),
      ip.daddr.within('10.2.3.0/24'),
    ],
    ['ip saddr 10.1.2.3/32', ip.saddr.within('10.1.2.3/32')],
    ['ip saddr 10.0.0.0/9', ip.saddr.within('10.99.0.0/9')],
    ['ip6 saddr 2001:db8::/32', ip6.saddr.within('2001:db8::/32')],
    // Sets in a rule: one value is compared, ranges make it a set of intervals.
    ['tcp dport { 5 } accept', tcp.dport.in([5]), accept],
    ['tcp dport != { 5 } accept', tcp.dport.notIn([5]), accept],
    ['tcp dport { 5-7 } accept', tcp.dport.in([{ from: 5, to: 7 }]), accept],
    ['ip saddr != { 10.0.0.0/13 } accept', ip.saddr.notIn(['10.0.0.0/13']), accept],
    ['iifname { "eth*" } accept', meta.iifname.in(['eth*']), accept],
    ['tcp dport { 80-90, 443 } accept', tcp.dport.in([443, { from: 80, to: 90 }]), accept],
    [
      'tcp dport { 80-85, 83-90, 91 } accept',
      tcp.dport.in([{ from: 83, to: 90 }, { from: 80, to: 85 }, 91]),
      accept,
    ],
    [
      'ip saddr { 10.0.0.0/8, 11.0.0.0/8, 10.1.0.0/16, 192.0.2.1 } accept',
      ip.saddr.in(['10.0.0.0/8', '192.0.2.1', '11.0.0.0/8', '10.1.0.0/16']),
      accept,
    ],
    ['ip saddr { 0.0.0.0/8, 240.0.0.0/4 } accept', ip.saddr.in(['0.0.0.0/8', '240.0.0.0/4']), accept],
    ['ip6 saddr { 2001:db8::/32, ::1 } accept', ip6.saddr.in(['2001:db8::/32', '::1']), accept],
    ['meta mark { 5-9, 6 } accept', meta.mark.in([{ from: 5, to: 9 }, 6]), accept],
    ['meta mark { 5, 6 } accept', meta.mark.in([5, 6]), accept],
    ['iifname { lo, "eth*" } accept', meta.iifname.in(['lo', 'eth*']), accept],
    ['iifname { lo, eth0 } accept', meta.iifname.in(['lo', 'eth0']), accept],
    [
      'ip saddr . tcp dport { 10.0.0.0/8 . 80-90, 192.0.2.1 . 443 } accept',
      concat(ip.saddr, tcp.dport).in([
        ['10.0.0.0/8', { from: 80, to: 90 }],
        ['192.0.2.1', 443],
      ]),
      accept,
    ],
    [
      'ip saddr . meta mark { 10.0.0.1 . 5-6, 10.0.0.2 . 8 } accept',
      concat(ip.saddr, meta.mark).in([
        ['10.0.0.1', { from: 5, to: 6 }],
        ['10.0.0.2', 8],
      ]),
      accept,
    ],
    ['tcp dport . tcp sport { 5 . 6 } accept', concat(tcp.dport, tcp.sport).in([[5, 6]]), accept],
    // Maps in a rule.
    [
      'tcp dport vmap { 80 : accept, 90-100 : drop, 101-102 : jump x }',
      vmap(tcp.dport, [
        [{ from: 101, to: 102 }, jump('x')],
        [80, accept],
        [{ from: 90, to: 100 }, { code: 'drop' }],
      ]),
    ],
    [
      'ip saddr . tcp dport vmap { 10.0.0.1 . 80 : accept }',
      vmap(concat(ip.saddr, tcp.dport), [[['10.0.0.1', 80], accept]]),
    ],
    [
      'tcp dport vmap { 5 : goto x, * : drop }',
      vmap(tcp.dport, [
        [5, goto('x')],
        [otherwise, drop],
      ]),
    ],
    [
      'meta mark set tcp dport map { 80 : 0x1, 90-100 : 0x2 }',
      meta.mark.set(
        lookup(
          tcp.dport,
          [
            [80, 1],
            [{ from: 90, to: 100 }, 2],
          ],
          types.mark,
        ),
      ),
    ],
    [
      'meta mark set ip saddr . tcp dport map { 10.0.0.1 . 80 : 0x1, * : 0x7 }',
      meta.mark.set(
        lookup(
          concat(ip.saddr, tcp.dport),
          [
            [['10.0.0.1', 80], 1],
            [otherwise, 7],
          ],
          types.mark,
        ),
      ),
    ],
    ['ip saddr @ranges accept', ip.saddr.in(ranges), accept],
    ['meta mark @markRanges accept', meta.mark.in(markRanges), accept],
    ['ip daddr . tcp dport @areas accept', concat(ip.daddr, tcp.dport).in(areas), accept],
    ['tcp dport vmap @portRanges', vmap(tcp.dport, portRanges)],
  ],
  raw: [['notrack', notrack]],
  pre: [
    ['dnat ip to 10.0.0.7', dnat({ address: '10.0.0.7' })],
    ['tcp dport 80 dnat ip to 10.0.0.7:8080', tcp.dport.is(80), dnat({ address: '10.0.0.7', port: 8080 })],
    [
      'tcp dport 81 dnat ip6 to [2001:db8::1]:8081',
      tcp.dport.is(81),
      dnat({ address: '2001:db8::1', port: 8081 }),
    ],
    [
      'meta l4proto tcp dnat ip to ip daddr map @backends',
      meta.l4proto.is('tcp'),
      dnat({ endpoint: lookup(ip.daddr, backends), family: 'ip' }),
    ],
    [
      'dnat ip to tcp dport map { 82 : 10.0.0.1 . 8080, 83 : 10.0.0.2 . 8081 }',
      dnat({
        endpoint: lookup(
          tcp.dport,
          [
            [82, ['10.0.0.1', 8080]],
            [83, ['10.0.0.2', 8081]],
          ],
          endpoint4,
        ),
        family: 'ip',
      }),
    ],
    ['tcp dport 25 redirect to :2525', tcp.dport.is(25), redirect({ port: 2525 })],
  ],
  post: [
    [
      'oifname "eth0" masquerade fully-random',
      meta.oifname.is('eth0'),
      masquerade({ flags: ['fully-random'] }),
    ],
    [
      'ip saddr 10.0.0.0/8 snat ip to 192.0.2.1 random',
      ip.saddr.within('10.0.0.0/8'),
      snat({ address: '192.0.2.1', flags: ['random'] }),
    ],
  ],
  mangle: [
    [
      'meta l4proto tcp tproxy ip to 127.0.0.1:8080 accept',
      meta.l4proto.is('tcp'),
      tproxy({ address: '127.0.0.1', port: 8080 }),
      accept,
    ],
  ],
}

const chains = {
  x: '',
  filter: 'type filter hook forward priority filter; policy accept;',
  raw: 'type filter hook prerouting priority raw; policy accept;',
  pre: 'type nat hook prerouting priority dstnat; policy accept;',
  post: 'type nat hook postrouting priority srcnat; policy accept;',
  mangle: 'type filter hook prerouting priority mangle; policy accept;',
} as const

t.test('what the builder makes is what nft makes', async (t) => {
  const [ours, theirs] = [await place(t), await place(t)]
  const transaction = ours.nftables.transaction().add('table', { family, name: table })
  transaction.add('chain', { ...where, name: 'x' })
  transaction.add('chain', {
    ...where,
    name: 'filter',
    hook: 'forward',
    priority: 'filter',
    policy: 'accept',
  })
  transaction.add('chain', { ...where, name: 'raw', hook: 'prerouting', priority: 'raw', policy: 'accept' })
  transaction.add('chain', {
    ...where,
    name: 'pre',
    type: 'nat',
    hook: 'prerouting',
    priority: 'dstnat',
    policy: 'accept',
  })
  transaction.add('chain', {
    ...where,
    name: 'post',
    type: 'nat',
    hook: 'postrouting',
    priority: 'srcnat',
    policy: 'accept',
  })
  transaction.add('chain', {
    ...where,
    name: 'mangle',
    hook: 'prerouting',
    priority: 'mangle',
    policy: 'accept',
  })
  const named = [clients, networks, pairs, verdicts, marks, backends, seen, ports]
  for (const set of [...named, ranges, markRanges, areas, portRanges]) transaction.add('set', set.input)
  transaction.add('elements', networks.elementsOf(['10.0.0.1', '10.0.0.2']))
  transaction.add('elements', pairs.elementsOf([['10.0.0.1', 80]]))
  transaction.add(
    'elements',
    verdicts.entriesOf([
      [['10.1.1.1', 'tcp', 80], { code: 'goto', chain: 'x' }],
      [['10.1.1.2', 'udp', 53], { code: 'drop' }],
    ]),
  )
  transaction.add(
    'elements',
    marks.entriesOf([
      [80, 1],
      [443, 2],
    ]),
  )
  transaction.add('elements', backends.entriesOf([['10.0.0.9', ['10.9.9.9', 8080]]]))
  transaction.add(
    'elements',
    ranges.elementsOf(['10.0.0.0/7', { from: '10.0.0.0', to: '10.9.9.9' }, '240.0.0.0/4']),
  )
  transaction.add('elements', markRanges.elementsOf([1, { from: 5, to: 9 }]))
  transaction.add(
    'elements',
    areas.elementsOf([
      ['10.0.0.0/8', { from: 80, to: 90 }],
      ['192.0.2.1', 443],
    ]),
  )
  transaction.add(
    'elements',
    portRanges.entriesOf([
      [{ from: 80, to: 90 }, accept],
      [443, { code: 'drop' }],
    ]),
  )
  for (const [chain, list] of Object.entries(rules)) {
    for (const [text, ...parts] of list)
      addRule(transaction, { ...where, chain, comment: text.slice(0, 120).replaceAll('"', "'") }, ...parts)
  }
  await transaction.commit()
  const text = Object.entries(chains)
    .map(
      ([name, hook]) =>
        `chain ${name} {\n${hook}\n${rules[name]!.map(([nft]) => `${nft} comment ${JSON.stringify(nft.slice(0, 120)).replaceAll('\\"', "'")}`).join('\n')}\n}`,
    )
    .join('\n')
  await theirs.nft(`table ${family} ${table} {\n${setsOfNft}\n${text}\n}\n`)
  const listed = (said: string): string[] =>
    said
      .split('\n')
      .map((line) => line.replace(/ comment ".*"$/, '').trim())
      .sort()
  const list = await ours.nft('list', 'ruleset')
  t.same(listed(list), listed(await theirs.nft('list', 'ruleset')))
  t.equal(printRuleset(await ours.nftables.ruleset(), { interfaceName }), list, 'printed as nft prints it')
  const again = await place(t)
  await again.nft(printScript(transaction, { interfaceName }))
  // nft makes a range of a set that has no more than one.
  const asTaken = list.replaceAll(/ \{ (\w+-\w+) \} accept comment/g, ' $1 accept comment')
  t.equal(await again.nft('list', 'ruleset'), asTaken, 'and as a script of nft it makes the same')
  const [one, other] = [await ours.nftables.ruleset(), await theirs.nftables.ruleset()]
  t.same(one.rules.map(bytesOf), other.rules.map(bytesOf), 'register by register, and byte by byte')
  t.same(anonymous(one), anonymous(other), 'and so are the sets that stand in rules')
})

/** But for hashes, which are computed in the register that they go to. */
const bytesOf = ({ chain, expressions = [] }: Rule): unknown =>
  expressions.some(({ name }) => name === 'hash') ? 'a hash' : [chain, expressions.map(formatExpression)]

/** Sets without a name of their own: what they are, and their elements in an order that the kernel does not give. */
function anonymous({ sets, elements }: Ruleset): unknown {
  const hex = (data: Data | undefined): unknown =>
    data instanceof Uint8Array ? Buffer.from(data).toString('hex') : data
  return sets
    .filter(({ flags }) => flags?.includes('anonymous'))
    .map(({ name, flags, keyType, keyLength, dataType, dataLength, fields, autoMerge }) => [
      { name, flags, keyType, keyLength, dataType, dataLength, fields, autoMerge },
      elements
        .find(({ set }) => set === name)!
        .elements.map((one) =>
          JSON.stringify([hex(one.key), hex(one.keyEnd), hex(one.data), one.flags, hex(one.userData)]),
        )
        .sort(),
    ])
}

const interfaceName = (index: number) => (index === 1 ? 'lo' : undefined)

t.test('a rule goes before the others, and any expression into it', async (t) => {
  const { nftables, nft } = await place(t)
  const transaction = nftables
    .transaction()
    .add('table', { family, name: table })
    .add('chain', { ...where, name: 'c' })
  addRule(transaction, { ...where, chain: 'c' }, counter)
  insertRule(
    transaction,
    { ...where, chain: 'c', comment: 'first' },
    raw({ name: 'meta', key: 'cpu', destinationRegister: 1 }),
    tcp.dport.in([1, 2]),
    drop,
  )
  await transaction.commit()
  t.match(
    await nft('list', 'chain', family, table, 'c'),
    /tcp dport { 1, 2 } drop comment "first"\n\s+counter packets/,
  )
})

t.test('each family refuses in its own words', async (t) => {
  const { nftables, nft } = await place(t)
  const reasons = ['no-route', 'port-unreachable', 'host-unreachable', 'admin-prohibited'] as const
  const transaction = nftables.transaction()
  for (const family of ['ip', 'ip6'] as const) {
    transaction
      .add('table', { family, name: 't' })
      .add('chain', { family, table: 't', name: 'c', hook: 'input' })
    for (const reason of reasons) addRule(transaction, { family, table: 't', chain: 'c' }, reject(reason))
  }
  await transaction.commit()
  const said = async (family: string): Promise<string[]> =>
    [...(await nft('list', 'table', family, 't')).matchAll(/reject.*/g)].map(([text]) => text)
  const icmp = ['net-unreachable', '', 'host-unreachable', 'admin-prohibited']
  const icmpv6 = ['no-route', '', 'addr-unreachable', 'admin-prohibited']
  t.strictSame(
    await said('ip'),
    icmp.map((code) => (code === '' ? 'reject' : `reject with icmp ${code}`)),
  )
  t.strictSame(
    await said('ip6'),
    icmpv6.map((code) => (code === '' ? 'reject' : `reject with icmpv6 ${code}`)),
  )
})

t.test('what cannot be is refused, with what was expected', (t) => {
  const transaction = { add: () => transaction, insert: () => transaction } as never
  const refused =
    (...parts: readonly Part[]) =>
    () =>
      addRule(transaction, { ...where, chain: 'c' }, ...parts)
  t.throws(refused(ip.saddr.is('::1')), { name: 'ValidationError', path: 'ipv4_addr' })
  t.throws(refused(tcp.dport.is(65536)), { name: 'ValidationError', path: 'inet_service' })
  t.throws(refused(ip.saddr.within('10.0.0.0/33')), { name: 'ValidationError' })
  t.throws(refused(meta.iifname.is('a'.repeat(16))), { name: 'ValidationError', path: 'ifname' })
  t.throws(refused(ct.state.has('nothing' as never)), { name: 'ValidationError', path: 'ct_state' })
  t.throws(refused(tcp.dport.in([{ from: 9, to: 8 }])), { name: 'ValidationError', path: 'inet_service' })
  t.throws(refused(ip.saddr.in(['10.0.0.0/33', '10.0.0.1'])), { name: 'ValidationError', path: 'ipv4_addr' })
  t.throws(() => networks.elementsOf(['10.0.0.0/8']), { name: 'ValidationError', path: 'ipv4_addr' })
  const two = types.concatenated([types.ipv4Addr, types.mark])
  t.throws(() => new NamedSet({ ...where, name: 'x' }, two, { autoMerge: true }), {
    path: 'autoMerge',
  } as never)
  t.throws(refused(dnat({ endpoint: lookup(ip.daddr, backends) })), {
    name: 'ValidationError',
    path: 'nat.family',
  })
  t.end()
})

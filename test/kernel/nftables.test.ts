/** nf_tables of the running kernel, in namespaces of our own; what Debian's nft says of it is the judge. */
import t from 'tap'
import { isBatchError } from '../../src/errors/index.js'
import { Nftables, type Ruleset } from '../../src/nftables/index.js'
import { many } from './kernel-test.js'
import { copy, place } from './nft.js'

function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  )
}

const script = `
table inet t {
  comment "a table"
  counter c { packets 1 bytes 2; comment "an object"; }
  quota q { over 10 mbytes; }
  limit l { rate 5/minute burst 7 packets; }
  ct helper h { type "ftp" protocol tcp; }
  set s { type ipv4_addr; flags interval; comment "a set"; elements = { 10.0.0.0/8 comment "an element", 192.168.1.1-192.168.1.9 } }
  set d { type ipv4_addr . inet_service; timeout 1h; size 1000; flags dynamic,timeout; }
  set e { type inet_service; counter; elements = { 80, 443 } }
  map m {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.1.1.1 . tcp . 80 : goto x, 10.1.1.2 . udp . 53 : drop }
  }
  map r { type ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80-90 : 10.9.9.9 . 8080 } }
  map o { type inet_service : counter; elements = { 22 : "c" } }
  chain x { comment "a chain"; counter accept; }
  chain in {
    type filter hook input priority filter - 5; policy drop;
    ct state established,related accept comment "a rule"
    iifname "lo" accept
    tcp dport { 22, 80-90 } ct state new limit rate 10/second burst 5 packets counter accept
    ip saddr @s meta mark set 0x10 log prefix "hi " level warn flags all
    ip daddr . meta l4proto . th dport vmap @m
    add @d { ip saddr . tcp dport timeout 10m }
    counter name tcp dport map @o
    reject with icmpx admin-prohibited
  }
  chain nat {
    type nat hook prerouting priority dstnat
    dnat ip to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }
    dnat ip to ip daddr . tcp dport map @r
  }
}
table netdev n {
  chain i {
    type filter hook ingress device "lo" priority 0;
    counter
  }
}
table arp a {
  chain o {
    type filter hook output priority 3;
    arp operation request counter
  }
}
table bridge b {
  chain f {
    type filter hook forward priority filter;
    ether type ip ip ttl 1 drop
  }
}
table ip6 s {
  chain p {
    type nat hook postrouting priority srcnat;
    oifname "eth*" masquerade fully-random
  }
}
`

t.test('a ruleset of nft is read, and sent again into an empty namespace', async (t) => {
  const [from, to] = [await place(t), await place(t)]
  await from.nft(script)
  await copy(await from.nftables.ruleset(), to.nftables)
  t.equal(await to.nft('list', 'ruleset'), await from.nft('list', 'ruleset'))
  const [one, other] = [await from.nftables.ruleset(), await to.nftables.ruleset()]
  t.same(strip(other), strip(one), 'and reads the same')
})

/** Without what differs from load to load. */
function strip(ruleset: Ruleset): unknown {
  const dropped = new Set([
    'handle',
    'previous',
    'id',
    'use',
    'generation',
    'count',
    'expirationMilliseconds',
    'setId',
  ])
  return JSON.parse(
    JSON.stringify(ruleset, (key, value: unknown) => {
      if (dropped.has(key)) return undefined
      if (typeof value === 'bigint') return String(value)
      if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
      if (key === 'elements' && Array.isArray(value)) {
        return value.map((element) => element as unknown).sort((a, b) => (text(a) < text(b) ? -1 : 1))
      }
      return value
    }),
  )
}
const text = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'bigint'
      ? String(inner)
      : inner instanceof Uint8Array
        ? Buffer.from(inner).toString('hex')
        : inner,
  )

t.test('each verb does what nft has it do', async (t) => {
  const { nftables, nft } = await place(t)
  const family = 'inet'
  const rule = (bytes: bigint) =>
    ({ family, table: 't', chain: 'c', expressions: [{ name: 'counter', bytes, packets: 0n }] }) as const
  const made = await nftables
    .transaction()
    .create('table', { family, name: 't', comment: 'ours' })
    .create('chain', { family, table: 't', name: 'c', hook: 'forward', priority: 'filter', policy: 'drop' })
    .add('rule', rule(2n))
    .insert('rule', rule(1n))
    .add('rule', { ...rule(3n), comment: 'last' })
    .commit({ echo: true })
  const handleOf = (index: number): number => (made.made.get(index)![0] as { handle: number }).handle
  const bytes = async (): Promise<unknown[]> =>
    (await nftables.rules({ family, table: 't', chain: 'c' })).map(
      ({ expressions }) => (expressions![0] as { bytes: bigint }).bytes,
    )
  t.same(await bytes(), [1n, 2n, 3n])
  await nftables
    .transaction()
    .replace('rule', { ...rule(20n), handle: handleOf(2) })
    .insert('rule', { ...rule(15n), position: handleOf(2) })
    .add('rule', { ...rule(16n), position: handleOf(3) })
    .delete('rule', { family, table: 't', chain: 'c', handle: handleOf(4) })
    .rename('chain', { family, table: 't', handle: handleOf(1), name: 'c' })
    .commit()
    .then(
      () => t.fail('a chain of that name is there'),
      (error: unknown) => t.ok(isBatchError(error)),
    )
  t.same(await bytes(), [1n, 2n, 3n], 'all of it or nothing')
  await nftables
    .transaction()
    .replace('rule', { ...rule(20n), handle: handleOf(2) })
    .delete('rule', { family, table: 't', chain: 'c', handle: handleOf(4) })
    .add('rule', { ...rule(16n), position: handleOf(3) })
    .commit()
  t.same(await bytes(), [1n, 16n, 20n])
  await nftables.transaction().flush('chain', { family, table: 't', name: 'c' }).commit()
  t.same(await bytes(), [])
  t.match(await failure(nftables.transaction().create('table', { family, name: 't' }).commit()), {
    failures: [{ error: { code: 'EEXIST', attribute: { path: 'name' } } }],
  })
  await nftables.transaction().add('table', { family, name: 't' }).commit()
  await nftables
    .transaction()
    .destroy('table', { family, name: 'nobody' })
    .destroy('chain', { family, table: 't', name: 'c' })
    .commit()
  t.match(await nft('list', 'ruleset'), /^table inet t {\n\s+comment "ours"\n}\n$/)
  await nftables.transaction().flushRuleset().commit()
  t.equal(await nft('list', 'ruleset'), '')
})

const ruleCount = many(10_000)
t.test(`${ruleCount} operations of which 50 are bad: all 50 named, nothing applied`, async (t) => {
  const { nftables } = await place(t)
  const family = 'ip'
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('chain', { family, table: 't', name: 'c' })
    .commit()
  const before = await nftables.generation()
  const transaction = nftables.transaction()
  const bad: number[] = []
  for (let index = 0; index < ruleCount; index++) {
    const isBad = index % (ruleCount / 50) === 2
    if (isBad) bad.push(index)
    transaction.add('rule', {
      family,
      table: 't',
      chain: 'c',
      expressions: [
        { name: 'counter' },
        {
          name: 'immediate',
          destinationRegister: 0,
          data: isBad ? { code: 'jump', chain: 'nowhere' } : { code: 'accept' },
        },
      ],
    })
  }
  const error = await transaction.commit().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  t.ok(isBatchError(error))
  if (!isBatchError(error)) return
  t.same(
    error.failures.map(({ index }) => index),
    bad,
  )
  for (const { error: each } of error.failures) {
    t.match(each, {
      code: 'ENOENT',
      operation: 'nftables.addRule',
      attribute: { path: /^expressions\[1\]/ },
    })
  }
  t.equal(await nftables.generation(), before)
  t.same(await nftables.rules({ family, table: 't' }), [])
})

t.test('who decides on what was read is told when somebody was faster', async (t) => {
  const { nftables, nft } = await place(t)
  const ifGeneration = await nftables.generation()
  await nft('add', 'table', 'inet', 'theirs')
  const transaction = nftables.transaction().add('table', { family: 'inet', name: 'ours' })
  await t.rejects(transaction.commit({ ifGeneration }), { code: 'ERESTART', kernelMessage: /was changed/ })
  let rounds = 0
  const seen = await nftables.retrying(async (retried) => {
    const tables = await nftables.tables()
    if (++rounds === 1) await nft('add', 'table', 'inet', 'again')
    retried.add('table', { family: 'inet', name: `ours-${tables.length}` })
    return tables.length
  })
  t.same([rounds, seen], [2, 2])
  t.same(
    (await nftables.tables()).map(({ name }) => name),
    ['theirs', 'again', 'ours-2'],
  )
})

t.test('a table that is owned is nobody else’s, and goes with its owner', async (t) => {
  const { netns, nftables, nft } = await place(t)
  const owner = await Nftables.open({ netns })
  await owner
    .transaction()
    .add('table', { family: 'inet', name: 'mine', flags: ['owner'] })
    .commit()
  t.match(await failure(nftables.transaction().delete('table', { family: 'inet', name: 'mine' }).commit()), {
    failures: [{ error: { code: 'EPERM', hint: new RegExp(`owned by process ${process.pid} \\(.+\\)`) } }],
  })
  t.match(
    await failure(
      nftables
        .transaction()
        .add('table', { family: 'inet', name: 'ours' })
        .add('chain', { family: 'inet', table: 'mine', name: 'c' })
        .commit(),
    ),
    { failures: [{ index: 1, error: { code: 'EPERM', hint: /owned by process/ } }] },
  )
  t.match(await nft('list', 'tables'), /mine/)
  // No event tells of it (nft_rcv_nl_event), but it is done when the socket is closed.
  owner.close()
  t.equal(await nft('list', 'tables'), '')
})

t.test('what anybody changes is told, and where one transaction ends', async (t) => {
  const { nftables, nft } = await place(t)
  const events = nftables.monitor()
  await nft('add table inet t; add chain inet t c; add rule inet t c counter')
  const told: unknown[] = []
  for await (const event of events) {
    told.push(
      event.event === 'generation'
        ? event.processName
        : 'kind' in event
          ? [event.event, event.kind]
          : event.event,
    )
    if (event.event === 'generation') break
  }
  t.same(told, [['made', 'table'], ['made', 'chain'], ['made', 'rule'], 'nft'])
})

const elementCount = many(100_000)
t.test(`${elementCount} elements go in parts, and come back`, async (t) => {
  const { nftables } = await place(t)
  const family = 'ip'
  const count = elementCount
  const key = (index: number): Uint8Array => Uint8Array.of(10, index >> 16, (index >> 8) & 255, index & 255)
  function* elements() {
    for (let index = 0; index < count; index++) yield { key: key(index), data: key(index) }
  }
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('set', {
      family,
      table: 't',
      name: 'm',
      flags: ['map'],
      keyType: 7,
      keyLength: 4,
      dataType: 7,
      dataLength: 4,
      id: 1,
    })
    .add('elements', { family, table: 't', set: 'm', elements: elements() })
    .commit()
  const read = await nftables.elements({ family, table: 't', name: 'm' })
  t.equal(read.elements.length, count)
  // The kernel makes the set's table larger just then.
  t.equal(new Set(read.elements.map(({ key: one }) => one!.join())).size, count, 'each of them')
  t.ok(read.elements.every(({ key: one, data }) => Buffer.compare(one!, data as Uint8Array) === 0))
  await nftables
    .transaction()
    .delete('elements', { family, table: 't', set: 'm', elements: [{ key: key(5) }] })
    .commit()
  t.equal((await nftables.elements({ family, table: 't', name: 'm' })).elements.length, count - 1)
  await nftables.transaction().flush('set', { family, table: 't', name: 'm' }).commit()
  t.equal((await nftables.elements({ family, table: 't', name: 'm' })).elements.length, 0)
})

t.test('elements that can be gone through once are sent each time', async (t) => {
  const { nftables } = await place(t)
  const set = { family: 'ip', table: 't', name: 's', keyType: 7, keyLength: 4 } as const
  await nftables.transaction().add('table', { family: 'ip', name: 't' }).add('set', set).commit()
  const elements = [1, 2, 3].map((last) => ({ key: Uint8Array.of(10, 0, 0, last) }))
  const transaction = nftables
    .transaction()
    .add('elements', { family: 'ip', table: 't', set: 's', elements: elements.values() })
  await transaction.check()
  t.equal((await nftables.elements(set)).elements.length, 0)
  await transaction.commit()
  t.equal((await nftables.elements(set)).elements.length, 3)
})

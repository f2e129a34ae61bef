/** Routing rules as the running kernel has them. */
import type { KernelError } from '../../src/errors/index.js'
import type { Rule, RuleInput } from '../../src/rtnetlink/index.js'
import { rule as table } from '../../src/rtnetlink/wire.js'
import { asGiven, knownHere, samples } from '../lab/support/rtnetlink-samples.js'
import { ip } from './ip.js'
import { kernelTest } from './kernel-test.js'

const one = { hosts: ['one'] } as const

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

/** The sample's addresses are without the lengths of their prefixes. */
function withPrefixes({ from, to, ...more }: (typeof samples.rule.records)[number]): RuleInput {
  const length = from?.includes(':') === true ? 48 : 16
  return {
    ...more,
    ...(from === undefined ? { family: 'ipv4' } : { from: `${from}/${length}` }),
    ...(to === undefined ? {} : { to: `${to}/${length}` }),
  } as RuleInput
}

kernelTest('every attribute of rules', {}, async (t, sandbox) => {
  const { rules } = (await sandbox(one)).hosts.one.rtnetlink
  for (const whole of samples.rule.records) {
    const record = knownHere(table, whole)
    const input = withPrefixes(record)
    await rules.add(input)
    const read = (await rules.list({ priority: record.priority }))[0]!
    t.strictSame(asGiven(read, input), input, Object.keys(input).join(', '))
    // As it was read, it names itself.
    await rules.delete(read)
    t.same(await rules.list({ priority: record.priority }), [])
    await rules.add(read)
    t.strictSame((await rules.list({ priority: record.priority }))[0], read)
    await rules.delete(input)
  }
})

kernelTest('iproute2 reads rules as they were made', {}, async (t, sandbox) => {
  const { one: host } = (await sandbox(one)).hosts
  const { rules } = host.rtnetlink
  const made: readonly (readonly [RuleInput, object])[] = [
    [
      {
        from: '10.1.0.0/16',
        to: '10.2.0.0/16',
        incomingDevice: 'lo',
        firewallMark: 0x10,
        firewallMask: 0xf0,
        priority: 100,
        suppressPrefixLength: 0,
        suppressGroup: 3,
        table: 1000,
        users: { first: 5, last: 7 },
        ipProtocol: 'tcp',
        sourcePorts: { first: 1000, last: 2000 },
        destinationPorts: 80,
        tunnelId: 99n,
      },
      {
        priority: 100,
        src: '10.1.0.0',
        srclen: 16,
        dst: '10.2.0.0',
        dstlen: 16,
        fwmark: '0x10',
        fwmask: '0xf0',
        iif: 'lo',
        uid_start: 5,
        uid_end: 7,
        ipproto: 'tcp',
        sport_start: 1000,
        sport_end: 2000,
        dport: 80,
        tun_id: 99,
        table: '1000',
        suppress_prefixlen: 0,
        suppress_ifgroup: '3',
        protocol: 'static',
      },
    ],
    [
      { from: '10.9.0.0/16', invert: true, priority: 101, goto: 32_766 },
      { priority: 101, not: null, src: '10.9.0.0', srclen: 16, goto: 32_766 },
    ],
    [
      { family: 'ipv4', tos: 0x10, action: 'blackhole', priority: 102 },
      { priority: 102, src: 'all', tos: '0x10', action: 'blackhole' },
    ],
    [
      { family: 'ipv6', firewallMark: 7, priority: 103, table: 100 },
      { priority: 103, src: 'all', fwmark: '0x7', table: '100' },
    ],
    [
      { family: 'ipv4', priority: 104, action: 'unreachable' },
      { priority: 104, action: 'unreachable' },
    ],
    [
      { to: '10.3.0.0/16', priority: 105, action: 'nop' },
      { priority: 105, dst: '10.3.0.0', dstlen: 16 },
    ],
    [
      { to: '2001:db8::/32', priority: 106 },
      { priority: 106, dst: '2001:db8::', dstlen: 32, table: 'main' },
    ],
  ]
  for (const [input] of made) await rules.add(input)
  const said = (await Promise.all([ip(host, '-4', 'rule'), ip(host, '-6', 'rule')])).flatMap(
    (all) => all ?? [],
  )
  for (const [{ priority }, told] of made) {
    const read = await rules.list({ priority })
    t.equal(read.length, 1, `priority ${priority}`)
    if (said.length > 0)
      t.match(
        said.find((rule) => rule['priority'] === priority),
        told,
      )
  }
})

kernelTest(
  'rules are listed in their order, added once, and deleted by what is said',
  {},
  async (t, sandbox) => {
    const { rules } = (await sandbox(one)).hosts.one.rtnetlink
    const own = (await rules.list()).filter(({ protocol }) => protocol !== 'kernel')
    t.same(own, [])
    t.match(await rules.list({ family: 'ipv4' }), [
      { priority: 0, table: 255, action: 'lookup', protocol: 'kernel' },
      { priority: 32_766, table: 254 },
      { priority: 32_767, table: 253 },
    ])
    await rules.add({ from: '2001:db8::/32', table: 1000 })
    await rules.add({ from: '192.0.2.0/24', table: 1000 })
    await rules.add({ from: '192.0.2.7', table: 1001, priority: 5 })
    const short = (list: readonly Rule[]) => list.map(({ from, table, priority }) => [from, table, priority])
    t.same(short(await rules.list({ table: 1000 })), [
      ['192.0.2.0/24', 1000, 32_765],
      ['2001:db8::/32', 1000, 32_765],
    ])
    t.same(short(await rules.list({ family: 'ipv6', table: 1000 })), [['2001:db8::/32', 1000, 32_765]])
    t.same(short(await rules.list({ table: 1001 })), [['192.0.2.7/32', 1001, 5]])
    t.match(await failure(rules.add({ from: '192.0.2.7', table: 1001, priority: 5 })), {
      code: 'EEXIST',
      operation: 'rtnetlink.addRule',
      object: { from: '192.0.2.7', table: 1001, priority: 5 },
    })
    await rules.delete({ family: 'ipv4', table: 1001 })
    await rules.delete({ from: '2001:db8::/32' })
    t.match(await failure(rules.delete({ from: '2001:db8::/32' })), {
      code: 'ENOENT',
      operation: 'rtnetlink.deleteRule',
    })
    t.same(short(await rules.list({ priority: 32_765 })), [['192.0.2.0/24', 1000, 32_765]])
    t.match(await failure(rules.add({ from: '10.0.0.0/8', destinationPorts: { first: 9, last: 8 } })), {
      code: 'EINVAL',
      kernelMessage: 'Invalid dport range',
    })
    t.match(await failure(rules.delete({ family: 'ipv4' })), { name: 'ValidationError', path: 'rule' })
    t.equal((await rules.list({ family: 'ipv4', table: 255 })).length, 1, 'the first of all is still there')
  },
)

kernelTest('a rule decides which table a packet goes by', {}, async (t, sandbox) => {
  const { a, b } = (await sandbox({ hosts: ['a', 'b'], links: [['a', 'b']] })).hosts
  const { routes, rules } = a.rtnetlink
  await b.rtnetlink.addresses.add({ device: 'lo', address: '192.0.2.1/32' })
  await rules.add({ to: '192.0.2.0/24', action: 'prohibit', priority: 2 })
  t.match(await failure(a.ping('192.0.2.1', { deadlineMilliseconds: 500 })), { code: 'EACCES' })
  await routes.add({ destination: '192.0.2.0/24', gateway: b.address, table: 1000 })
  await rules.add({ to: '192.0.2.0/24', table: 1000, priority: 1 })
  t.equal((await a.ping('192.0.2.1', { deadlineMilliseconds: 10_000 })).address, '192.0.2.1')
  await rules.delete({ family: 'ipv4', priority: 1 })
  t.match(await failure(a.ping('192.0.2.1', { deadlineMilliseconds: 500 })), { code: 'EACCES' })
})

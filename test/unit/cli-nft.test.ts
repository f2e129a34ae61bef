/** What of `viaduct nft` needs no kernel: words, headers of packets, and what is said if it fails. */
import t from 'tap'
import { commands, run } from '../../src/cli/nft/index.js'
import { wantedOf as listed } from '../../src/cli/nft/list.js'
import { wantedOf as monitored } from '../../src/cli/nft/monitor.js'
import { headersOf, headersText } from '../../src/cli/nft/packet.js'
import { nouns } from '../../src/cli/nft/nouns.js'
import { traceText } from '../../src/cli/nft/trace.js'
import type { NftablesEvent, TraceEvent } from '../../src/nftables/index.js'
import { FakeKernel } from '../../src/testing/index.js'
import { type Outcome, outcomeOf } from './support/outcome.js'

const nft = (words: readonly string[], transport?: FakeKernel): Promise<Outcome> =>
  outcomeOf((streams) => run(words, streams, { transport }))

void t.test('what is to be listed', async (t) => {
  t.match(listed(['ruleset']), { what: 'ruleset', selection: { family: undefined, table: undefined } })
  t.match(listed(['ruleset', 'ip6']), { selection: { family: 'ip6', table: undefined } })
  t.match(listed(['rules', 'inet', 'ip']), { what: 'rules', selection: { family: 'inet', table: 'ip' } })
  t.match(listed(['ct', 'helpers', 'ip']), { what: 'all', noun: { plural: 'ct-helpers' } })
  t.match(listed(['table', 'x']), { what: 'ruleset', selection: { family: 'ip', table: 'x' } })
  t.match(listed(['chain', 'inet', 't', 'c']), {
    what: 'one',
    noun: { singular: 'chain' },
    selection: { family: 'inet', table: 't' },
    name: 'c',
  })
})

void t.test('what cannot be meant is told before anything is opened', async (t) => {
  const refused = async (words: readonly string[], stderr: RegExp, exitCode = 2): Promise<void> => {
    const outcome = await nft(words)
    t.match(outcome, { exitCode, stdout: '', stderr }, words.join(' '))
    t.equal(outcome.stderr.split('\n').length, 2, 'one line')
  }
  await refused([], /^viaduct nft: a command is missing: list, monitor, trace\n/)
  await refused(['add', 'table', 't'], /there is no command add: list, monitor, trace/)
  await refused(['list'], /list what\? ruleset, rules, tables/)
  await refused(['list', 'foo'], /there is no list of foo: ruleset, rules, tables/)
  await refused(['list', 'tables', 'x'], /list tables: expected \[FAMILY \[TABLE\]\], got x/)
  await refused(['list', 'sets', 'ip', 't', 'x'], /list sets: expected/)
  await refused(['list', 'table'], /list table: expected \[FAMILY\] TABLE, got/)
  await refused(['list', 'table', 'ip', 'x', 'y'], /list table: expected \[FAMILY\] TABLE, got x y/)
  await refused(['list', 'set', 'ip', 'x'], /list set: expected \[FAMILY\] TABLE NAME, got x/)
  await refused(['monitor', 'old'], /monitor: expected \[new\|destroy\] \[ruleset\|tables/)
  await refused(['monitor', 'new', 'toString'], /monitor: expected/)
  await refused(['trace', 'x'], /trace: expected nothing more, got x/)
  await refused(['list', 'tables', '--xml'], /Unknown option '--xml'/, 255)
  for (const words of [['list', 'ruleset'], ['monitor'], ['trace']]) {
    const kernel = new FakeKernel({ handle: () => ({ code: 'EPERM' }) })
    t.match(await nft(words, kernel), { exitCode: 2, stderr: /^viaduct nft: EPERM: .*CAP_NET_ADMIN.*\n$/ })
  }
})

void t.test('help names every command and list', async (t) => {
  const { stdout, exitCode } = await nft(['-h'])
  t.equal(exitCode, 0)
  for (const name of Object.keys(commands.subcommands)) t.match(stdout, new RegExp(`^ {2}${name}\\b`, 'm'))
  for (const { plural } of nouns) t.ok(stdout.includes(plural), plural)
  t.ok(stdout.split('\n').every((line) => line.length <= 122))
  t.strictSame(await nft(['trace', '--help']), { exitCode: 0, stdout, stderr: '' })
})

void t.test('what is monitored', async (t) => {
  const table = { event: 'made', kind: 'table', object: { family: 'ip', name: 't' } } as NftablesEvent
  const rule = { event: 'gone', kind: 'rule', object: { family: 'ip', table: 't' } } as NftablesEvent
  const generation = { event: 'generation', id: 1 } as const
  const chosen = (...words: string[]) =>
    [table, rule, generation, { event: 'resynchronise' } as const].map(monitored(words))
  t.strictSame(chosen(), [true, true, true, true])
  t.strictSame(chosen('ruleset'), [true, true, true, true])
  t.strictSame(chosen('new'), [true, false, false, true])
  t.strictSame(chosen('destroy', 'rules'), [false, true, false, true])
  t.strictSame(chosen('tables'), [true, false, false, true])
})

/** Bytes as hexadecimal digits. */
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const event = (more: Partial<TraceEvent>): TraceEvent => ({ event: 'trace', family: 'inet', ...more })

void t.test('headers of packets', async (t) => {
  const ip = (protocol: string): Uint8Array =>
    bytes(`45b9 0054 1234 4000 40${protocol} 0000 0a000001 c0000202`)
  const text = (more: Partial<TraceEvent>): string => headersText(headersOf(event(more)))
  const start = 'ip saddr 10.0.0.1 ip daddr 192.0.2.2 ip dscp ef ip ecn ect1 ip ttl 64 ip id 4660'
  t.equal(
    text({
      networkHeader: ip('06'),
      transportHeader: bytes('1f90 01bb 00000001 00000000 5012 ffff 0000 0000'),
    }),
    `${start} ip protocol tcp ip length 84 tcp sport 8080 tcp dport 443 tcp flags syn | ack tcp window 65535`,
  )
  t.equal(
    text({ networkHeader: ip('01'), transportHeader: bytes('0800 0000 0007 0002') }),
    `${start} ip protocol icmp ip length 84 icmp type echo-request icmp code 0 icmp id 7 icmp sequence 2`,
  )
  t.match(
    text({ networkHeader: ip('01'), transportHeader: bytes('2a01 0000 0007 0002') }),
    /icmp type 42 icmp code 1$/,
  )
  t.match(
    text({ networkHeader: ip('84'), transportHeader: bytes('1f90 01bb deadbeef 00000000') }),
    / sctp sport 8080 sctp dport 443 sctp vtag 3735928559$/,
  )
  t.match(text({ networkHeader: ip('59'), transportHeader: bytes('00') }), / ip protocol 89 ip length 84$/)
  t.match(
    text({
      networkHeader: bytes(
        '6b8fffff 0008 3a ff 20010db8000000000000000000000001 20010db8000000000000000000000002',
      ),
      transportHeader: bytes('8700 0000 00000000'),
    }),
    'ip6 saddr 2001:db8::1 ip6 daddr 2001:db8::2 ip6 dscp ef ip6 ecn not-ect ip6 hoplimit 255 ip6 flowlabel 1048575 ' +
      'ip6 nexthdr icmpv6 ip6 length 8 icmpv6 type nd-neighbor-solicit icmpv6 code 0',
  )
  t.equal(
    text({ incomingType: 1, linkHeader: bytes('020000000001 020000000002 0800') }),
    'ether saddr 02:00:00:00:00:02 ether daddr 02:00:00:00:00:01 ether type ip',
  )
  t.equal(
    text({ incomingType: 772, linkHeader: bytes('000000000000 000000000000 0800') }),
    '',
    'loopback has none',
  )
  t.equal(text({ family: 'arp', networkHeader: bytes('0001 0800 06 04 0001') }), '')
  t.equal(text({ networkHeader: ip('06').subarray(0, 19) }), '', 'cut short')
  t.notMatch(text({ networkHeader: ip('06'), transportHeader: bytes('1f90 01bb') }), /tcp sport/)
})

void t.test('what befell a packet, in lines', async (t) => {
  const told = (more: Partial<TraceEvent>): string =>
    traceText({
      ...event({ id: 0xab, table: 't', chain: 'c', ...more }),
      packet: {},
      incomingName: undefined,
      outgoingName: undefined,
    })
  const start = 'trace id 000000ab inet t c'
  t.equal(told({ type: 'policy', policy: 0 }), `${start} policy drop`)
  t.equal(told({ type: 'policy', policy: 1, mark: 5 }), `${start} policy accept meta mark 0x00000005`)
  t.equal(told({ type: 'return', verdict: { code: 'return' } }), `${start} verdict return`)
  t.equal(
    told({ type: 'rule', ruleHandle: 7, verdict: { code: 'goto', chain: 'x' } }),
    `${start} rule handle 7, which is gone (verdict goto x)`,
  )
  t.equal(told({ type: 'rule', verdict: { code: 'continue' } }), '', 'the end of a chain')
})

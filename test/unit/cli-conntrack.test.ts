/** What of `viaduct conntrack` needs no kernel: arguments, what is printed, and what is said if it fails. */
import t from 'tap'
import { ipProtocols } from '../../src/address/index.js'
import { run } from '../../src/cli/conntrack/index.js'
import { filterOf } from '../../src/cli/conntrack/options.js'
import { eventText, flowText } from '../../src/cli/conntrack/text.js'
import { commands } from '../../src/cli/conntrack/index.js'
import { commonOptions, readOptions } from '../../src/cli/options.js'
import type { Flow, FlowFilter } from '../../src/conntrack/index.js'
import { FakeKernel } from '../../src/testing/index.js'
import { type Outcome, outcomeOf } from './support/outcome.js'

const rows = [...commands.subcommands['list']!.options, ...commonOptions]
const filter = (...words: string[]): FlowFilter | undefined => filterOf(readOptions(words, rows).options)
const conntrack = (words: readonly string[], transport?: FakeKernel): Promise<Outcome> =>
  outcomeOf((streams) => run(words, streams, { transport }))

const tuple = {
  protocol: 'tcp',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  sourcePort: 1,
  destinationPort: 2,
} as const
const flow: Flow = {
  family: 'ipv4',
  protocol: 'tcp',
  original: tuple,
  reply: tuple,
  status: [],
  mark: 0,
  zone: 0,
}

void t.test('options are filters', async (t) => {
  t.equal(filter(), undefined)
  t.match(filter('--proto', 'TCP', '-s', '10.0.0.0/8', '--dport=443', '-f', 'ipv4'), {
    family: 'ipv4',
    protocol: 'tcp',
    original: { source: '10.0.0.0/8', destinationPort: 443 },
  })
  t.match(filter('-r', '2001:db8::7', '--reply-port-src', '80'), {
    reply: { source: '2001:db8::7', sourcePort: 80 },
  })
  t.match(filter('-p', '6'), { protocol: 'tcp' })
  t.match(filter('-p', '89'), { protocol: '89' })
  t.match(filter('--icmp-type', '8', '--icmp-code', '0', '--icmp-id', '7'), {
    original: { icmpType: 8, icmpCode: 0, icmpId: 7 },
  })
  t.match(filter('--mark', '0x10/0xf0'), { mark: { value: 16, mask: 240 } })
  t.match(filter('--mark', '7'), { mark: 7 })
  t.match(filter('--zone', '0'), { zone: 0 })
  t.strictSame(filter('-u', 'ASSURED,SEEN_REPLY', '-n', '-g')?.status, [
    'assured',
    'seen-reply',
    'source-nat',
    'destination-nat',
  ])
  t.match(filter('--status', 'snat,hw-offload', '--status-not', 'dying'), {
    status: ['source-nat', 'offloaded-to-hardware'],
    statusNot: ['dying'],
  })
  t.match(filter('--nat', '--helper', 'ftp'), { nat: 'any', helper: 'ftp' })
})

void t.test('a state is of TCP and of SCTP', async (t) => {
  const chosen = (text: string) => {
    const where = filter('--state', text)!.where!
    return [
      { ...flow, tcp: { state: 'established' } },
      { ...flow, tcp: { state: 'syn-received' } },
      { ...flow, sctp: { state: 'established' } },
      { ...flow, sctp: { state: 'cookie-wait' } },
      { ...flow, tcp: {} },
      flow,
    ].flatMap((one, index) => (where(one as Flow) ? [index] : []))
  }
  t.strictSame(chosen('ESTABLISHED'), [0, 2])
  t.strictSame(chosen('SYN_RECV'), [1])
  t.strictSame(chosen('cookie-wait'), [3])
})

void t.test(
  'what cannot be meant is told by the name of its option, before anything is opened',
  async (t) => {
    const refused = async (words: readonly string[], stderr: RegExp, exitCode = 2): Promise<void> => {
      const outcome = await conntrack(words)
      t.match(outcome, { exitCode, stdout: '', stderr }, words.join(' '))
      t.equal(outcome.stderr.split('\n').length, 2, 'one line')
    }
    await refused([], /^viaduct conntrack: a command is missing: list, count, delete, watch\n/)
    await refused(['lst'], /there is no command lst: list, count/)
    await refused(['toString'], /there is no command toString/)
    await refused(['list', '--srk', '10.0.0.1'], /Unknown option '--srk': --help lists them/, 255)
    await refused(['list', '--src'], /--src <value>' argument missing/)
    await refused(['list', '--src', '10.0.0.1', '-s', '10.0.0.2'], /--src is given twice/)
    await refused(['list', '--src', '10.0.0.1', '--orig-src', '10.0.0.2'], /--src is given twice/)
    await refused(['list', 'tcp'], /tcp is no option/)
    await refused(['list', '--src', '10.0.0'], /--src: expected an address, or a prefix .*, got 10\.0\.0$/m)
    await refused(
      ['list', '--src', '10.0.0.1', '--dst', '::1'],
      /--dst: expected of the family of --src, got ::1/,
    )
    await refused(
      ['list', '--proto', 'tpc'],
      new RegExp(`--proto: expected .*${Object.keys(ipProtocols).join(', ')}`),
    )
    await refused(['list', '--proto', '256'], /--proto/)
    await refused(['list', '--dport', '65536'], /--dport: expected a number from 0 to 65535, got 65536/)
    await refused(['list', '--mark', '1/'], /--mark/)
    await refused(['list', '--mark', '1/2/3'], /--mark/)
    await refused(['list', '--mark', '-1'], /--mark|-m/)
    await refused(['list', '--zone', '1e3'], /--zone/)
    await refused(['list', '--status', 'assured,toString'], /--status: expected some of expected, seen-reply/)
    await refused(['list', '--state', 'open'], /--state: expected one of none, syn-sent/)
    await refused(['list', '--family', 'inet'], /--family: expected ipv4 or ipv6/)
    await refused(['delete'], /which flows\? Give a filter .*, or --all/)
    await refused(['delete', '--all', '-p', 'tcp'], /--all is every flow: leave out the filter/)
    await refused(
      ['watch', '-e', 'new,created'],
      /--event: expected some of new, update, destroy, got created/,
    )
    await refused(['watch', '-b', '0'], /--buffer-size: expected bytes, got 0/)
    await refused(['count', '--all'], /Unknown option '--all'/, 255)
  },
)

void t.test('where flows are not to be had', async (t) => {
  const refusing = (code: string) => new FakeKernel({ handle: () => ({ code }) })
  for (const words of [['list'], ['count'], ['delete', '--all'], ['watch']]) {
    const outcome = await conntrack(words, refusing('EPERM'))
    t.match(outcome, { exitCode: 2, stdout: '', stderr: /^viaduct conntrack: EPERM: .*CAP_NET_ADMIN.*\n$/ })
  }
  t.match(await conntrack(['list'], refusing('EINVAL')), {
    exitCode: 2,
    stderr: /^viaduct conntrack: connection tracking is not available here: needs the kernel module/,
  })
})

void t.test('help has a line for every option and command, and every one has help', async (t) => {
  const { stdout, exitCode } = await conntrack(['--help'])
  t.equal(exitCode, 0)
  for (const [name, { options }] of Object.entries(commands.subcommands)) {
    t.match(stdout, new RegExp(`^ {2}${name} +\\w`, 'm'))
    for (const row of options) t.match(stdout, new RegExp(`--${row.name}\\b.* {2}`), row.name)
    t.strictSame(await conntrack([name, '--help']), { exitCode: 0, stdout, stderr: '' })
  }
})

void t.test('flows in text: what the running kernel does not make', async (t) => {
  const line = (more: Partial<Flow>): string => flowText({ ...flow, ...more }, 5_500)
  const ends = 'src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2'
  t.equal(line({}), `tcp      6 ${ends} [UNREPLIED] ${ends}`)
  t.match(line({ status: ['seen-reply', 'assured', 'offloaded'] }), /dport=2 src=.* \[OFFLOAD\]$/)
  t.match(line({ status: ['assured', 'offloaded', 'offloaded-to-hardware'] }), / \[HW_OFFLOAD\]$/)
  t.match(line({ securityContext: 'a:b', mark: 1, zone: 2, use: 1 }), / mark=1 secctx=a:b zone=2 use=1$/)
  t.match(line({ timestamps: { start: 1_999_999_999n } }), / delta-time=4$/)
  t.match(line({ timestamps: { start: 1_999_999_999n, stop: 3_000_000_000n } }), / delta-time=2$/)
  t.match(line({ protocol: 'dccp', dccp: { state: 4 }, timeoutSeconds: 9 }), /^dccp {5}33 9 OPEN src/)
  t.match(line({ protocol: 'dccp', dccp: { state: 77 } }), /^dccp {5}33 77 src/)
  t.equal(eventText({ event: 'new', flow }, 0), `    [NEW] ${line({})}`)
  t.equal(eventText({ event: 'update', flow }, 0), ` [UPDATE] ${line({})}`)
  t.equal(eventText({ event: 'destroy', flow }, 0), `[DESTROY] ${line({})}`)
})

/** `viaduct conntrack` beside Debian's conntrack(8), in namespaces of our own. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { run } from '../../src/cli/conntrack/index.js'
import { runViaduct } from '../../src/cli/viaduct.js'
import { Conntrack, type FlowInput, type FlowProtocol, type Tuple } from '../../src/conntrack/index.js'
import { toJson } from '../../src/json.js'
import { NetworkNamespace, writeFile } from '../../src/net/index.js'
import { type Outcome, outcomeOf } from '../unit/support/outcome.js'
import { ensurePeers, fileOf, follow, peer, program, start, startPeer } from './command.js'
import { kernelTest } from './kernel-test.js'

interface Place {
  readonly netns: NetworkNamespace
  readonly conntrack: Conntrack
  readonly viaduct: (...words: readonly string[]) => Promise<Outcome>
}

function commandTest(name: string, work: (t: Test, place: Place) => Promise<void>): void {
  kernelTest(name, { needs: { conntrack: true }, timeoutSeconds: 120 }, async (t) => {
    await ensurePeers('conntrack')
    const netns = NetworkNamespace.create()
    try {
      const conntrack = await Conntrack.open({ netns })
      try {
        const viaduct = (...words: readonly string[]): Promise<Outcome> =>
          outcomeOf((streams) => run(words, streams, { netns }))
        await work(t, { netns, conntrack, viaduct })
      } finally {
        conntrack.close()
      }
    } finally {
      netns.close()
    }
  })
}

const ends = { source: '10.0.0.1', destination: '192.0.2.10' } as const
const ends6 = { source: '2001:db8::1', destination: '2001:db8::2' } as const
const ports = { sourcePort: 4711, destinationPort: 80 } as const
const timeoutSeconds = 3600

const tcp = (sourcePort: number): Tuple => ({ protocol: 'tcp', ...ends, sourcePort, destinationPort: 80 })
const tcpStates = [
  'none',
  'syn-sent',
  'syn-received',
  'established',
  'fin-wait',
  'close-wait',
  'last-ack',
  'time-wait',
  'close',
  'syn-sent-both',
] as const
const sctpStates = [
  'none',
  'closed',
  'cookie-wait',
  'cookie-echoed',
  'established',
  'shutdown-sent',
  'shutdown-received',
  'shutdown-acknowledgement-sent',
  'heartbeat-sent',
] as const

/** Of everything that the kernel can be made to tell. */
const flows: readonly FlowInput[] = [
  ...tcpStates.map((state, index) => ({ original: tcp(100 + index), timeoutSeconds, tcp: { state } })),
  ...sctpStates.map((state, index) => ({
    original: { ...tcp(100 + index), protocol: 'sctp' } as const,
    timeoutSeconds,
    sctp: { state, verificationTagOriginal: 1, verificationTagReply: 2 },
  })),
  {
    original: { protocol: 'udp', ...ends, ...ports },
    timeoutSeconds,
    status: ['seen-reply', 'assured'],
    mark: 0x17,
  },
  { original: { protocol: 'udp', ...ends, ...ports }, timeoutSeconds, zone: 5, mark: 0xffff_ffff },
  { original: { protocol: 'udp', ...ends, ...ports, sourcePort: 4712, zone: 4 }, timeoutSeconds },
  { original: { protocol: 'udplite', ...ends, ...ports }, timeoutSeconds },
  { original: { protocol: 'icmp', ...ends, icmpType: 8, icmpCode: 0, icmpId: 77 }, timeoutSeconds },
  { original: { protocol: 'icmp', ...ends, icmpType: 13, icmpCode: 0, icmpId: 77 }, timeoutSeconds },
  { original: { protocol: 'gre', ...ends, sourcePort: 0x1234, destinationPort: 0 }, timeoutSeconds },
  ...['esp', 'ah', 'igmp', 'ipip', '89', 'dccp'].map((protocol) => ({
    original: { protocol: protocol as FlowProtocol, ...ends },
    timeoutSeconds,
  })),
  {
    original: { protocol: 'tcp', ...ends6, ...ports },
    timeoutSeconds,
    helper: { name: 'ftp' },
    status: ['seen-reply'],
    tcp: { state: 'established' },
  },
  { original: { protocol: 'icmpv6', ...ends6, icmpType: 128, icmpCode: 0, icmpId: 77 }, timeoutSeconds },
  {
    original: tcp(4711),
    reply: {
      protocol: 'tcp',
      source: '10.0.0.7',
      destination: ends.source,
      sourcePort: 8080,
      destinationPort: 4711,
    },
    timeoutSeconds,
    tcp: { state: 'established' },
  },
  {
    original: tcp(4712),
    timeoutSeconds,
    sourceNat: { address: '198.51.100.1', port: 5555 },
    tcp: { state: 'close' },
  },
  {
    original: tcp(4713),
    timeoutSeconds,
    destinationNat: { address: '10.0.0.8' },
    status: ['assured', 'seen-reply'],
    tcp: { state: 'established' },
  },
]

async function make({ netns, conntrack }: Place): Promise<void> {
  writeFile('/proc/sys/net/netfilter/nf_conntrack_acct', '1', { netns })
  writeFile('/proc/sys/net/netfilter/nf_conntrack_timestamp', '1', { netns })
  const { failures } = await conntrack.createMany(flows)
  if (failures.length > 0) throw failures[0]!.error
}

/** In an order of their own, and without what passes with time. */
function sorted(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/ 35\d\d | 3600 /, ' 36xx ').replace(/delta-time=\d+/, 'delta-time=x'))
    .sort()
}

commandTest('a list is what conntrack -L prints', async (t, place) => {
  await make(place)
  const ours = await place.viaduct('list')
  t.match(ours, { exitCode: 0, stderr: `viaduct conntrack: ${flows.length} flow entries have been shown.\n` })
  t.strictSame(sorted(ours.stdout), sorted(await peer(place.netns, ['conntrack', '-L'])))
  t.equal(sorted(ours.stdout).length, flows.length)
})

commandTest('filters choose what those of conntrack choose', async (t, place) => {
  await make(place)
  const same = [
    '-f ipv6',
    '-p tcp',
    '-p 6 --dport 80',
    '-p udp --sport 4711',
    '-s 10.0.0.1',
    '-s 10.0.0.0/8',
    '-d 2001:db8::2',
    '--orig-dst 192.0.2.10 -p tcp --orig-port-src 4712',
    '-r 10.0.0.7',
    '-q 198.51.100.1',
    '-p tcp --reply-port-src 8080',
    '-p tcp --reply-port-dst 5555',
    '-p icmp --icmp-type 13',
    '-p icmp --icmp-type 8 --icmp-code 0 --icmp-id 77',
    '-m 0x17',
    '-m 0x10/0xf0',
    '-w 5',
    '-u ASSURED',
    '-u SEEN_REPLY',
    '-u ASSURED,SEEN_REPLY',
    '-n',
    '-g',
    '-j',
    ...tcpStates.map((state) => `-p tcp --state ${peerState(state)}`),
    '-p tcp -s 10.1.0.0/16',
  ]
  let chosen = 0
  for (const line of same) {
    const words = line.split(' ')
    const { stdout, exitCode } = await place.viaduct('list', ...words)
    t.equal(exitCode, 0, line)
    t.strictSame(sorted(stdout), sorted(await peer(place.netns, ['conntrack', '-L', ...words])), line)
    t.match(
      await place.viaduct('count', ...words),
      { stdout: `${sorted(stdout).length}\n`, stderr: '' },
      line,
    )
    chosen += sorted(stdout).length
  }
  t.ok(chosen > same.length)
  t.match(await place.viaduct('count'), { stdout: `${flows.length}\n` })
  t.match(await place.viaduct('count', '--status-not', 'seen-reply', '-p', 'tcp'), { stdout: '12\n' })
  t.match(await place.viaduct('count', '-p', 'sctp', '--state', 'SHUTDOWN_RECD'), { stdout: '1\n' })
  t.match(await place.viaduct('count', '--helper', 'ftp', '--json'), { stdout: '{"count":1}\n' })
})

const peerState = (name: string): string =>
  ({ 'syn-received': 'SYN_RECV', 'syn-sent-both': 'SYN_SENT2' })[name] ??
  name.toUpperCase().replaceAll('-', '_')

commandTest('JSON has the flows of the library, one a line', async (t, place) => {
  await make(place)
  const { stdout, stderr } = await place.viaduct('list', '--json', '--proto', 'tcp')
  t.equal(stderr, '')
  const wanted = await place.conntrack.list({ protocol: 'tcp' })
  const plain = (line: string): object => ({ ...(JSON.parse(line) as object), timeoutSeconds: 0 })
  t.strictSame(stdout.trimEnd().split('\n').map(plain), wanted.map(toJson).map(plain))
  t.match(plain(stdout.split('\n')[0]!), { counters: { original: { packets: '0' } } })
})

commandTest('what is deleted is told, and nothing without a filter', async (t, place) => {
  const { viaduct, conntrack } = place
  await make(place)
  t.match(await viaduct('delete'), { exitCode: 2, stdout: '', stderr: /Give a filter/ })
  t.equal(await conntrack.count(), flows.length)
  t.strictSame(await viaduct('delete', '--reply-src', '10.0.0.7'), {
    exitCode: 0,
    stdout: '1 flow entries have been deleted.\n',
    stderr: '',
  })
  t.match(await viaduct('delete', '--reply-src', '10.0.0.7', '--json'), {
    exitCode: 0,
    stdout: '{"deleted":0}\n',
  })
  t.equal(await conntrack.count(), flows.length - 1)
  t.match(await viaduct('delete', '--all', '--json'), { stdout: `{"deleted":${flows.length - 1}}\n` })
  t.equal(await conntrack.count(), 0)
})

commandTest('in another namespace, wherever that is said', async (t, place) => {
  await make(place)
  const counted = { exitCode: 0, stdout: `${flows.length}\n`, stderr: '' }
  const file = fileOf(place.netns)
  t.strictSame(await outcomeOf((streams) => run(['count', '--netns', file], streams)), counted)
  t.strictSame(
    await outcomeOf((streams) =>
      runViaduct(['node', 'viaduct', '--netns', file, 'conntrack', 'count'], streams),
    ),
    counted,
  )
  t.match(await outcomeOf((streams) => run(['count', '--netns', 'viaduct-nowhere'], streams)), {
    exitCode: 2,
    stdout: '',
    stderr: /^viaduct conntrack: ENOENT: netns\.open \(netns=viaduct-nowhere\): .*\n$/,
  })
})

/** Begins, changes and ends. */
async function live(conntrack: Conntrack, flow: FlowInput): Promise<void> {
  const key = { ...flow.original, zone: flow.zone }
  await conntrack.create(flow)
  await conntrack.update(key, { mark: 7 })
  await conntrack.delete(key)
}

commandTest('what is watched is what conntrack -E prints', async (t, { netns, conntrack }) => {
  writeFile('/proc/sys/net/netfilter/nf_conntrack_acct', '1', { netns })
  const theirs = startPeer(netns, ['conntrack', '-E'])
  const all = follow(run, ['watch'], netns)
  const some = follow(run, ['watch', '-e', 'DESTROY', '-p', 'udp'], netns)
  const json = follow(run, ['watch', '-e', 'NEW', '--json'], netns)
  try {
    // Until everybody listens.
    const marker: FlowInput = { original: { protocol: 'udp', ...ends, ...ports }, timeoutSeconds }
    for (const told of [theirs, all, some, json]) {
      await told.until(
        ({ lines }) => lines.length > 0,
        () => live(conntrack, marker),
      )
    }
    const from = 20_000
    const made: FlowInput[] = [
      { original: tcp(from), timeoutSeconds, tcp: { state: 'established' } },
      {
        original: { protocol: 'udp', ...ends, sourcePort: from, destinationPort: 53 },
        timeoutSeconds,
        mark: 9,
      },
      { original: { protocol: 'icmp', ...ends, icmpType: 8, icmpCode: 0, icmpId: from }, timeoutSeconds },
      {
        original: { protocol: 'udp', ...ends6, sourcePort: from, destinationPort: 53 },
        timeoutSeconds,
        zone: 3,
      },
    ]
    const last: FlowInput = { original: tcp(from + 1), timeoutSeconds, tcp: { state: 'close' } }
    const lastUdp: FlowInput = { original: { ...tcp(from + 1), protocol: 'udp' }, timeoutSeconds }
    for (const flow of [...made, last, lastUdp]) await live(conntrack, flow)
    const isLast = (line: string): boolean => /\[DESTROY\] udp .*sport=20001/.test(line)
    for (const told of [theirs, all, some]) await told.until(({ lines }) => lines.some(isLast))
    await json.until(({ lines }) => lines.some((line) => line.includes('"udp"') && line.includes('20001')))
    const mine = (lines: readonly string[]): string[] => lines.filter((line) => /(sport|id)=2000/.test(line))
    // Of an event a mark of 0 may be told or not, which a flow does not show, and who caused it.
    const same = (line: string): string => line.replace(/ \[USERSPACE\].*| mark=0\b/g, '')
    t.strictSame(sorted(mine(all.lines).join('\n')), sorted(mine(theirs.lines).map(same).join('\n')))
    t.equal(mine(all.lines).length, 18)
    t.strictSame(
      mine(some.lines),
      mine(all.lines).filter((line) => line.startsWith('[DESTROY] udp')),
    )
    t.ok(json.lines.every((line) => (JSON.parse(line) as { event: string }).event === 'new'))
  } finally {
    await theirs.end()
    const codes = [await all.end(), await some.end(), await json.end()]
    t.strictSame(codes, [0, 0, 0], 'to be interrupted is no failure')
  }
})

commandTest(
  'watching goes on behind events that were lost, and ends with ^C',
  async (t, { netns, conntrack }) => {
    const watch = start(process.execPath, [...program(netns), 'conntrack', 'watch', '-b', '1'])
    try {
      const marker: FlowInput = { original: { protocol: 'udp', ...ends, ...ports }, timeoutSeconds }
      await watch.until(
        ({ lines }) => lines.length > 0,
        () => live(conntrack, marker),
      )
      watch.process.stdout!.pause()
      // More than a pipe and both ends of it hold: it waits for who reads, and the kernel for it.
      const many = Array.from({ length: 5000 }, (_, index): FlowInput => ({
        original: { protocol: 'udp', ...ends, sourcePort: 10_000 + index, destinationPort: 53 },
        timeoutSeconds,
      }))
      await conntrack.createMany(many)
      watch.process.stdout!.resume()
      await watch.until(({ stderr }) => stderr.includes('\n'))
      t.match(watch.stderr, /^viaduct conntrack: events were lost, and it goes on: .*--buffer-size.*\n/)
      const before = watch.lines.length
      await watch.until(
        ({ lines }) => lines.slice(before).some((line) => line.includes('sport=4711')),
        () => live(conntrack, marker),
      )
    } finally {
      t.equal(await watch.end(), 0)
    }
  },
)

commandTest(
  'a hundred thousand flows in little memory, and as far as somebody reads',
  async (t, { netns, conntrack }) => {
    const count = 100_000
    const many = Array.from({ length: count }, (_, index): FlowInput => ({
      original: {
        protocol: 'udp',
        source: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
        destination: ends.destination,
        ...ports,
      },
      timeoutSeconds,
    }))
    const { applied } = await conntrack.createMany(many)
    t.equal(applied, count)
    // A list of all of them does not fit.
    const words = ['--max-old-space-size=48', ...program(netns), 'conntrack', 'list']
    const { stdout, stderr } = await promisify(execFile)(process.execPath, words, { maxBuffer: 1 << 26 })
    t.equal(stdout.split('\n').length - 1, count)
    t.equal(stderr, `viaduct conntrack: ${count} flow entries have been shown.\n`)
    const head = await promisify(execFile)('sh', ['-c', '"$0" "$@" | head -n 1', process.execPath, ...words])
    t.match(head.stdout, /^udp .*\n$/)
    t.equal(head.stderr, '')
  },
)

/** Connection tracking of the running kernel, in namespaces of our own: flows made by hand and by packets. */
import { release } from 'node:os'
import type { Test } from 'tap'
import {
  Conntrack,
  type ConntrackEvent,
  type ConntrackOptions,
  type Flow,
  type FlowFilter,
  type FlowInput,
  type Tuple,
} from '../../src/conntrack/index.js'
import { isBatchError, isKernelError } from '../../src/errors/index.js'
import { connectTcp, listenTcp, NetworkNamespace, writeFile } from '../../src/net/index.js'
import { isOlder } from '../../src/netlink/newer.js'
import { Nftables } from '../../src/nftables/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { uses } from '../lab/support/features.js'
import { kernelTest, many } from './kernel-test.js'

interface Place {
  readonly netns: NetworkNamespace
  readonly conntrack: Conntrack
}

/** In a namespace of its own, with a client. */
function flowTest(
  name: string,
  work: (t: Test, place: Place) => Promise<void>,
  { timeoutSeconds, ...options }: ConntrackOptions & { readonly timeoutSeconds?: number } = {},
): void {
  kernelTest(name, { needs: { conntrack: true, nftables: true }, timeoutSeconds }, async (t) => {
    const netns = NetworkNamespace.create()
    try {
      const conntrack = await Conntrack.open({ ...options, netns })
      try {
        await work(t, { netns, conntrack })
      } finally {
        conntrack.close()
      }
    } finally {
      netns.close()
    }
  })
}

const client = '198.51.100.1'
const virtual = '192.0.2.10'

/** A connection to a virtual address that a real server answers. */
function balanced(index: number, server: string): FlowInput {
  const sourcePort = 1024 + (index % 60_000)
  const source = `10.${100 + Math.floor(index / 60_000)}.0.1`
  return {
    original: { protocol: 'tcp', source, destination: virtual, sourcePort, destinationPort: 80 },
    reply: {
      protocol: 'tcp',
      source: server,
      destination: source,
      sourcePort: 8080,
      destinationPort: sourcePort,
    },
    timeoutSeconds: 600,
    tcp: { state: 'established' },
  }
}

function tcp(sourcePort: number): Tuple {
  return { protocol: 'tcp', source: client, destination: virtual, sourcePort, destinationPort: 80 }
}

/** So that packets are tracked: a rule that asks for it. */
async function track(netns: NetworkNamespace, labels = false): Promise<void> {
  const nftables = await Nftables.open({ netns })
  const rtnetlink = await Rtnetlink.open({ netns })
  try {
    await rtnetlink.links.set('lo', { up: true })
    const table = { family: 'inet', table: 't', chain: 'c' } as const
    const transaction = nftables
      .transaction()
      .add('table', { family: 'inet', name: 't' })
      .add('chain', { family: 'inet', table: 't', name: 'c', hook: 'output', priority: 'filter' })
      .add('rule', { ...table, expressions: [{ name: 'ct', key: 'state', destinationRegister: 8 }] })
    if (labels) {
      const data = new Uint8Array(16)
      transaction.add('rule', {
        ...table,
        expressions: [
          // Of packets of protocol 253 alone: there are none.
          { name: 'meta', key: 'l4proto', destinationRegister: 8 },
          { name: 'cmp', sourceRegister: 8, operation: '==', data: Uint8Array.of(253) },
          { name: 'immediate', destinationRegister: 1, data },
          { name: 'ct', key: 'label', sourceRegister: 1 },
        ],
      })
    }
    await transaction.commit()
  } finally {
    nftables.close()
    rtnetlink.close()
  }
}

async function all<T>(from: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const each of from) list.push(each)
  return list
}

async function take<T>(from: AsyncIterator<T>, count: number): Promise<T[]> {
  const list: T[] = []
  while (list.length < count) {
    const next = await from.next()
    if (next.done === true) break
    list.push(next.value)
  }
  return list
}

flowTest('everything that can be given is read back', async (t, { netns, conntrack }) => {
  await track(netns, true)
  writeFile('/proc/sys/net/netfilter/nf_conntrack_acct', '1', { netns })
  writeFile('/proc/sys/net/netfilter/nf_conntrack_timestamp', '1', { netns })
  const labels = Uint8Array.of(1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7)
  const first: FlowInput = {
    original: tcp(1000),
    reply: {
      protocol: 'tcp',
      source: '10.0.0.7',
      destination: client,
      sourcePort: 8080,
      destinationPort: 1000,
    },
    timeoutSeconds: 4000,
    mark: 0xfedcba98,
    zone: 65535,
    status: ['assured', 'seen-reply', 'fixed-timeout'],
    labels,
    helper: { name: 'ftp' },
    tcp: {
      state: 'close-wait',
      flagsOriginal: { flags: ['liberal', 'window-scale'], mask: ['liberal', 'window-scale'] },
      flagsReply: {
        flags: ['selective-acknowledgement', 'window-scale'],
        mask: ['selective-acknowledgement', 'window-scale'],
      },
      windowScaleOriginal: 7,
      windowScaleReply: 14,
    },
    sequenceAdjustment: {
      original: { position: 4_000_000_000, offsetBefore: -5, offsetAfter: 7 },
      reply: { position: 1, offsetBefore: 2, offsetAfter: -3 },
    },
    synproxy: { initialSequence: 4_000_000_001, initialTimestamp: 2, timestampOffset: 3 },
  }
  const before = BigInt(Date.now()) * 1_000_000n
  await conntrack.create(first)
  const found = await conntrack.get({ ...first.original, zone: 65535 })
  const { timeoutSeconds, timestamps, id, use, ...rest } = found!
  t.ok(timeoutSeconds! > 3900 && timeoutSeconds! <= 4000)
  t.ok(timestamps!.start! >= before && timestamps!.stop === undefined)
  t.ok(id! > 0 && use! >= 1)
  t.same(rest, {
    family: 'ipv4',
    protocol: 'tcp',
    original: first.original,
    reply: first.reply,
    status: ['seen-reply', 'assured', 'confirmed', 'sequence-adjusted', 'fixed-timeout', 'helper'],
    mark: 0xfedcba98,
    zone: 65535,
    labels,
    helper: { name: 'ftp' },
    tcp: {
      state: 'close-wait',
      windowScaleOriginal: 7,
      windowScaleReply: 14,
      flagsOriginal: { flags: ['window-scale', 'liberal'], mask: [] },
      flagsReply: { flags: ['window-scale', 'selective-acknowledgement'], mask: [] },
    },
    sequenceAdjustment: first.sequenceAdjustment,
    synproxy: first.synproxy,
    counters: { original: { packets: 0n, bytes: 0n }, reply: { packets: 0n, bytes: 0n } },
  })
  t.equal(await conntrack.get(first.original), undefined, 'another zone is another place')
  t.same((await conntrack.get({ ...first.reply!, zone: 65535 }))?.id, id, 'and by the other tuple')
  t.same(
    (await conntrack.list()).map((flow) => flow.id),
    [id],
  )
})

flowTest(
  'flows of each protocol, of both families and of zones in one direction',
  async (t, { conntrack }) => {
    const v6 = { source: '2001:db8::1', destination: '2001:db8::2' }
    const v4 = { source: client, destination: virtual }
    const ports = { sourcePort: 65535, destinationPort: 1 }
    const given: Record<string, FlowInput> = {
      udp: { original: { protocol: 'udp', ...v6, ...ports }, timeoutSeconds: 30 },
      sctp: {
        original: { protocol: 'sctp', ...v4, ...ports },
        timeoutSeconds: 30,
        sctp: { state: 'established', verificationTagOriginal: 4_000_000_000, verificationTagReply: 1 },
      },
      icmp: {
        original: { protocol: 'icmp', ...v4, icmpType: 8, icmpCode: 0, icmpId: 7 },
        timeoutSeconds: 30,
      },
      icmpv6: {
        original: { protocol: 'icmpv6', ...v6, icmpType: 128, icmpCode: 0, icmpId: 7 },
        timeoutSeconds: 30,
      },
      gre: { original: { protocol: 'gre', ...v4, ...ports }, timeoutSeconds: 30 },
      esp: { original: { protocol: 'esp', ...v4 }, timeoutSeconds: 30 },
      '99': { original: { protocol: '99' as 'tcp', ...v4 }, timeoutSeconds: 30 },
      tcp: {
        original: { ...tcp(5), zone: 3 },
        timeoutSeconds: 30,
        sourceNat: { address: '203.0.113.1', lastAddress: '203.0.113.1', port: 700, lastPort: 700 },
      },
    }
    const outcome = await conntrack.createMany(Object.values(given))
    t.same(outcome, { applied: 8, failures: [], notSent: 0 })
    const read = new Map((await conntrack.list()).map((flow) => [flow.protocol as string, flow]))
    t.same([...read.keys()].sort(), Object.keys(given).sort())
    for (const [name, flow] of read) t.same(flow.original, given[name]!.original, name)
    t.equal(read.get('udp')?.family, 'ipv6')
    t.same(read.get('sctp')?.sctp, given['sctp']!.sctp)
    t.match(read.get('icmp')?.reply, { icmpType: 0, icmpId: 7, source: virtual })
    t.match(read.get('icmpv6')?.reply, { icmpType: 129, source: '2001:db8::2' })
    t.same(read.get('esp')?.reply, { protocol: 'esp', source: virtual, destination: client })
    const { reply, status, zone } = read.get('tcp')!
    t.match(
      reply,
      { destination: '203.0.113.1', destinationPort: 700 },
      'the kernel tells how it was translated',
    )
    t.ok(status.includes('source-nat') && zone === 0)
    for (const flow of read.values()) {
      t.same((await conntrack.get(flow))?.id, flow.id, `${flow.protocol} is found by what was read`)
      await conntrack.delete(flow)
    }
    t.equal(await conntrack.count(), 0)
  },
)

flowTest('each filter finds what fits, and nothing else', async (t, { conntrack }) => {
  const reply = (source: string, destinationPort: number): Tuple => ({
    protocol: 'tcp',
    source,
    destination: client,
    sourcePort: 8080,
    destinationPort,
  })
  const v6 = { source: '2001:db8::1', destination: '2001:db8::2' }
  const flows: Record<string, FlowInput> = {
    a: {
      original: tcp(1),
      reply: reply('10.0.0.1', 1),
      timeoutSeconds: 60,
      mark: 0x11,
      tcp: { state: 'established' },
    },
    b: { original: tcp(2), reply: reply('10.0.1.1', 2), timeoutSeconds: 60, mark: 0x21, status: ['assured'] },
    c: {
      original: tcp(3),
      reply: reply('10.0.0.1', 3),
      timeoutSeconds: 60,
      zone: 4,
      helper: { name: 'ftp' },
    },
    d: {
      original: { ...tcp(4), zone: 4 },
      timeoutSeconds: 60,
      sourceNat: { address: '203.0.113.1' },
      status: ['assured', 'seen-reply'],
    },
    e: {
      original: { ...tcp(5), protocol: 'udp' },
      timeoutSeconds: 60,
      destinationNat: { address: '10.0.0.1', port: 53 },
    },
    f: { original: { protocol: 'tcp', ...v6, sourcePort: 1, destinationPort: 2 }, timeoutSeconds: 60 },
    g: {
      original: { protocol: 'udp', ...v6, destination: '2001:db8:1::2', sourcePort: 1, destinationPort: 2 },
      timeoutSeconds: 60,
    },
    h: {
      original: {
        protocol: 'icmp',
        source: client,
        destination: virtual,
        icmpType: 8,
        icmpCode: 0,
        icmpId: 77,
      },
      timeoutSeconds: 60,
    },
    i: {
      original: { protocol: 'sctp', source: client, destination: virtual, sourcePort: 1, destinationPort: 2 },
      timeoutSeconds: 60,
      sctp: { state: 'closed', verificationTagOriginal: 1, verificationTagReply: 2 },
    },
  }
  for (const [name, flow] of Object.entries(flows)) {
    await conntrack.create(flow).catch((error: unknown) => t.fail(name, { error }))
  }
  const nameOf = ({ protocol, original }: Flow): string =>
    Object.entries(flows).find(
      ([, flow]) =>
        flow.original.protocol === protocol &&
        flow.original.sourcePort === original.sourcePort &&
        flow.original.destination === original.destination,
    )![0]
  const cases: readonly (readonly [FlowFilter, string])[] = [
    [{}, 'abcdefghi'],
    [{ family: 'ipv4' }, 'abcdehi'],
    [{ family: 'ipv6' }, 'fg'],
    [{ protocol: 'tcp' }, 'abcdf'],
    [{ protocol: 'tcp', family: 'ipv6' }, 'f'],
    [{ protocol: 'udp' }, 'eg'],
    [{ original: { source: client } }, 'abcdehi'],
    [{ original: { destination: virtual }, protocol: 'udp' }, 'e'],
    [{ original: { source: '198.51.100.2' } }, ''],
    [{ original: { source: '198.51.100.0/24', destinationPort: 80 }, protocol: 'tcp' }, 'abcd'],
    [{ original: { sourcePort: 1 } }, 'afgi'],
    [{ original: { source: client, sourcePort: 1 }, protocol: 'tcp' }, 'a'],
    [{ original: { source: client, sourcePort: 2 }, protocol: 'sctp' }, ''],
    [{ original: { source: client, sourcePort: 1 }, protocol: 'sctp' }, 'i'],
    [{ reply: { source: '10.0.0.1' } }, 'ace'],
    [{ reply: { source: '10.0.0.0/23' } }, 'abce'],
    [{ reply: { source: '10.0.0.1', sourcePort: 8080 }, protocol: 'tcp' }, 'ac'],
    [{ original: { sourcePort: 3 }, reply: { source: '10.0.0.1' }, protocol: 'tcp' }, 'c'],
    [{ original: { source: '2001:db8::1' } }, 'fg'],
    [{ original: { source: '2001:DB8:0::1', destination: '2001:db8::2' } }, 'f'],
    [{ original: { destination: '2001:db8:1::/48' } }, 'g'],
    [{ original: { icmpId: 77 } }, 'h'],
    [{ original: { icmpType: 0 } }, ''],
    [{ zone: 4 }, 'cd'],
    [{ zone: 0 }, 'abefghi'],
    [{ mark: 0x11 }, 'a'],
    [{ mark: 0 }, 'cdefghi'],
    [{ mark: { value: 1, mask: 0xf } }, 'ab'],
    [{ mark: { value: 0x20, mask: 0xf0 } }, 'b'],
    [{ status: ['assured'] }, 'bd'],
    [{ status: ['assured'], statusNot: ['seen-reply'] }, 'b'],
    [{ statusNot: ['assured'] }, 'acefghi'],
    [{ nat: 'source' }, 'd'],
    [{ nat: 'destination' }, 'e'],
    [{ nat: 'any' }, 'de'],
    [{ nat: 'none' }, 'abcfghi'],
    [{ tcpState: 'established' }, 'a'],
    [{ sctpState: 'closed' }, 'i'],
    [{ helper: 'ftp' }, 'c'],
    [{ where: ({ original }) => original.destinationPort === 2 }, 'fgi'],
  ]
  for (const [filter, names] of cases) {
    const text = JSON.stringify(filter)
    const found = await conntrack.list(filter)
    t.equal(found.map(nameOf).sort().join(''), names, text)
    t.equal(await conntrack.count(filter), names.length, `the number of ${text}`)
  }
  t.equal((await all(conntrack.stream({ protocol: 'udp' }))).length, 2)
  t.equal(await conntrack.count(), 9)
})

const flowCount = many(100_000)
flowTest(
  `all flows of a dead real server among ${flowCount} are ended by one call, and no others`,
  async (t, { conntrack }) => {
    const servers = Array.from({ length: 20 }, (_, index) => `10.0.0.${index + 1}`)
    const each = flowCount / servers.length
    function* flows() {
      for (let index = 0; index < flowCount; index++) yield balanced(index, servers[index % servers.length]!)
    }
    const { applied, failures } = await conntrack.createMany(flows())
    t.same([applied, failures], [flowCount, []])
    t.equal(await conntrack.count(), flowCount)
    t.equal(await conntrack.deleteMatching({ reply: { source: '10.0.0.7' } }), each)
    const left = new Map<string, number>()
    for await (const { reply } of conntrack.stream())
      left.set(reply.source, (left.get(reply.source) ?? 0) + 1)
    t.same(
      [...left].sort(),
      servers
        .filter((server) => server !== '10.0.0.7')
        .map((server) => [server, each] as const)
        .sort(),
    )
    t.equal(await conntrack.deleteMatching({ reply: { source: '10.0.0.7' } }), 0)
    t.equal(await conntrack.deleteMatching({ reply: { source: '10.0.0.8/29' } }), each * 8, 'chosen here')
    t.equal(await conntrack.updateMatching({ reply: { source: '10.0.0.1' } }, { mark: 9 }), each)
    t.equal(await conntrack.count({ mark: 9 }), each)
    await conntrack.flush()
    t.equal(await conntrack.count(), 0)
  },
  { timeoutSeconds: 240 },
)

flowTest('one flow is ended, and not the one that came after it', async (t, { conntrack }) => {
  const flow = { original: tcp(1), timeoutSeconds: 60 }
  await conntrack.create(flow)
  const read = (await conntrack.get(flow.original))!
  await t.rejects(conntrack.delete({ ...read, id: (read.id! ^ 1) >>> 0 }), {
    code: 'ENOENT',
    operation: 'conntrack.delete',
    object: { protocol: 'tcp', source: client, sourcePort: 1 },
  })
  t.equal(await conntrack.count(), 1)
  await conntrack.delete(read)
  await t.rejects(conntrack.delete(read), { code: 'ENOENT' })
  await conntrack.create(flow)
  await conntrack.delete(flow.original)
  t.equal(await conntrack.get(flow.original), undefined)
})

flowTest(
  'what goes while others are ended is no failure, and an abort tells how far it came',
  async (t, { conntrack }) => {
    await conntrack.createMany(Array.from({ length: 3000 }, (_, index) => balanced(index, '10.0.0.1')))
    let seen = 0
    const ended = conntrack.deleteMatching({
      where: () => {
        // Nothing is left by the time that they are ended.
        if (++seen === 3000) void conntrack.flush()
        return true
      },
    })
    t.ok((await ended) < 3000)
    t.equal(await conntrack.count(), 0)
    const aborted = new AbortController()
    aborted.abort(new Error('enough'))
    await t.rejects(conntrack.deleteMatching({}, { signal: aborted.signal }), { message: 'enough' })
  },
)

flowTest('a change changes what is given', async (t, { conntrack }) => {
  const key = tcp(1)
  await conntrack.create({ original: key, timeoutSeconds: 60, mark: 0xf0, tcp: { state: 'syn-sent' } })
  await conntrack.update(key, { mark: 0x0a, markMask: 0x0f })
  await conntrack.update(key, { timeoutSeconds: 5000 })
  await conntrack.update(key, { status: ['seen-reply'], tcp: { state: 'established' } })
  const read = (await conntrack.get(key))!
  t.match(read, { mark: 0xfa, tcp: { state: 'established' } })
  t.ok(read.status.includes('seen-reply') && read.timeoutSeconds! > 4000)
  await conntrack.update(read, { status: ['assured'], mark: 0 })
  t.match(await conntrack.get(key), { mark: 0, status: ['seen-reply', 'assured', 'confirmed'] })
  await t.rejects(conntrack.update(tcp(2), { mark: 1 }), { code: 'ENOENT' })
  await t.rejects(conntrack.update(key, { helper: { name: 'ftp' } }), { code: 'EOPNOTSUPP' })
})

flowTest(
  'what cannot be meant is refused with its path, and what the kernel refuses is named',
  async (t, { conntrack }) => {
    const flow = { original: tcp(1), timeoutSeconds: 60 }
    const refused: readonly (readonly [unknown, string])[] = [
      [{ ...flow, timeoutSeconds: undefined }, 'flow.timeoutSeconds'],
      [{ ...flow, original: { ...tcp(1), source: undefined } }, 'flow.original.source'],
      [{ ...flow, original: { ...tcp(1), source: '10.0.0.300' } }, 'flow.original.source'],
      [{ ...flow, original: { ...tcp(1), destination: '::1' } }, 'flow.original.destination'],
      [{ ...flow, original: { ...tcp(1), sourcePort: 65536 } }, 'flow.original.sourcePort'],
      [{ ...flow, original: { ...tcp(1), protocol: 'tpc' } }, 'flow.original.protocol'],
      [{ ...flow, mark: -1 }, 'flow.mark'],
      [{ ...flow, status: ['sured'] }, 'flow.status'],
      [{ ...flow, tcp: { state: 'open' } }, 'flow.tcp.state'],
      [{ ...flow, sourceNat: { address: '10.0.0.1', port: -1 } }, 'flow.sourceNat.port'],
      [
        { ...flow, sequenceAdjustment: { reply: { position: -1 } } },
        'flow.sequenceAdjustment.reply.position',
      ],
    ]
    for (const [input, path] of refused) {
      await t.rejects(conntrack.create(input as FlowInput), { code: 'ERR_VIADUCT_VALIDATION', path }, path)
    }
    for (const [filter, path] of [
      [{ original: { source: '10.0.0.0/33' } }, 'filter.original.source'],
      [{ original: { source: '10.0.0.1', destination: '::1' } }, 'filter.original.destination'],
      [{ reply: { sourcePort: -1 } }, 'filter.reply.sourcePort'],
      [{ mark: { value: 1, mask: -1 } }, 'filter.mark.mask'],
      [{ nat: 'both' }, 'filter.nat'],
      [{ zone: -1 }, 'filter.zone'],
      [{ status: ['sured'] }, 'filter.status'],
    ] as const) {
      await t.rejects(conntrack.list(filter as never), { code: 'ERR_VIADUCT_VALIDATION', path }, path)
    }
    await conntrack.create(flow)
    await t.rejects(conntrack.create(flow), { code: 'EEXIST', operation: 'conntrack.create' })
    const outcome = await conntrack.createMany([flow, { ...flow, original: tcp(2) }, { ...flow, mark: -1 }])
    t.match(outcome, {
      applied: 1,
      failures: [
        { index: 0, error: { code: 'EEXIST' } },
        { index: 2, error: { path: 'flow.mark' } },
      ],
    })
  },
)

flowTest('flows of real packets', async (t, { netns, conntrack }) => {
  await track(netns)
  writeFile('/proc/sys/net/netfilter/nf_conntrack_acct', '1', { netns })
  const server = await listenTcp({ netns, address: '127.0.0.1', port: 7070 })
  const socket = await connectTcp({ netns, address: '127.0.0.1', port: 7070 })
  try {
    const [flow, ...others] = await conntrack.list({ protocol: 'tcp', original: { destinationPort: 7070 } })
    t.same(others, [])
    t.match(flow, {
      original: {
        protocol: 'tcp',
        source: '127.0.0.1',
        destination: '127.0.0.1',
        sourcePort: socket.localPort,
      },
      reply: { sourcePort: 7070, destinationPort: socket.localPort },
      status: ['seen-reply', 'assured', 'confirmed'],
      tcp: { state: 'established' },
      counters: { original: { packets: 2n } },
    })
    t.ok(flow!.counters!.reply!.bytes > 40n)
    await conntrack.update(flow!, { mark: 5, timeoutSeconds: 77 })
    t.match(await conntrack.get(flow!), { mark: 5 })
    t.equal(await conntrack.deleteMatching({ original: { destinationPort: 7070 } }), 1)
    uses('conntrack')
  } finally {
    socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
})

flowTest('events tell what begins, changes and ends, in this order', async (t, { conntrack }) => {
  const events = conntrack.events()
  const onlyEnds = conntrack.events({ kinds: ['destroy'], filter: { original: { sourcePort: 2 } } })
  for (const port of [1, 2]) {
    await conntrack.create({ original: tcp(port), timeoutSeconds: 60, tcp: { state: 'syn-sent' } })
    await conntrack.update(tcp(port), { mark: 7 })
    await conntrack.delete(tcp(port))
  }
  const told = await take(events, 6)
  t.same(
    told.map((event) => [event.event, 'flow' in event ? event.flow.original.sourcePort : undefined]),
    [1, 2].flatMap((port) => ['new', 'update', 'destroy'].map((event) => [event, port])),
  )
  t.match(told[1], { flow: { mark: 7, family: 'ipv4', protocol: 'tcp' } })
  t.match(await take(onlyEnds, 1), [{ event: 'destroy', flow: { original: tcp(2) } }])
  await events.return?.()
  await onlyEnds.return?.()
  const stop = new AbortController()
  const stopped = conntrack.events({ signal: stop.signal })
  const next = stopped.next()
  stop.abort(new Error('enough'))
  await t.rejects(next, { message: 'enough' })
})

flowTest('events tell when they were, since Linux 6.14', async (t, { netns, conntrack }) => {
  writeFile('/proc/sys/net/netfilter/nf_conntrack_timestamp', '1', { netns })
  const events = conntrack.events()
  const before = BigInt(Date.now()) * 1_000_000n
  await conntrack.create({ original: tcp(1), timeoutSeconds: 60 })
  const [told] = await take(events, 1)
  await events.return?.()
  if (isOlder(release(), '6.14')) {
    t.match(told, { event: 'new', flow: { eventTime: undefined } })
    return
  }
  t.ok(told?.event === 'new' && told.flow.eventTime! >= before)
  uses('conntrack-event-time')
})

flowTest(
  'events that were lost are told',
  async (t, { conntrack }) => {
    const events = conntrack.events()
    await conntrack.createMany(Array.from({ length: 2000 }, (_, index) => balanced(index, '10.0.0.1')))
    let event: ConntrackEvent | undefined
    let told = 0
    for await (event of events) {
      if (event.event === 'resynchronise') break
      told++
    }
    t.same(event, { event: 'resynchronise' })
    t.ok(told < 2000)
    t.equal(await conntrack.count(), 2000, 'what there is is read anew')
  },
  { receiveBufferBytes: 8192 },
)

flowTest('what each processor counted, and how full the table is', async (t, { conntrack }) => {
  const sum = async (): Promise<number> =>
    (await conntrack.statistics()).reduce((total, { inserted }) => total + (inserted ?? 0), 0)
  const before = await sum()
  await conntrack.create({ original: tcp(1), timeoutSeconds: 60 })
  t.equal((await sum()) - before, 1)
  const statistics = await conntrack.statistics()
  t.same(
    statistics.map(({ cpu }) => cpu),
    statistics.map((_, index) => index),
  )
  const { entries, limit } = await conntrack.usage()
  t.equal(entries, 1)
  t.ok(limit! > 0)
})

flowTest('expectations are made, listed, counted and taken away', async (t, { conntrack }) => {
  const { expectations } = conntrack
  const events = expectations.events()
  const master = { ...tcp(1), destinationPort: 21 }
  // The helper of FTP lets each flow await one.
  const second = { ...tcp(2), destinationPort: 21 }
  for (const original of [master, second]) {
    await conntrack.create({ original, timeoutSeconds: 60, helper: { name: 'ftp' } })
  }
  const tuple: Tuple = {
    protocol: 'tcp',
    source: virtual,
    destination: client,
    sourcePort: 0,
    destinationPort: 5000,
  }
  const mask: Tuple = {
    protocol: 'tcp',
    source: '255.255.255.255',
    destination: '255.255.255.255',
    sourcePort: 0,
    destinationPort: 65535,
  }
  const input = {
    master,
    tuple,
    mask,
    timeoutSeconds: 100,
    helper: 'ftp',
    flags: ['permanent'],
    class: 0,
  } as const
  await expectations.create(input)
  await expectations.create({
    ...input,
    master: second,
    tuple: { ...tuple, destinationPort: 5001 },
    flags: [],
    nat: { direction: 'reply', tuple: { ...tuple, source: '203.0.113.9', sourcePort: 99 } },
  })
  const listed = await expectations.list()
  t.equal(listed.length, 2)
  const one = listed.find((each) => each.tuple.destinationPort === 5000)!
  t.match(one, { family: 'ipv4', master, tuple, mask, helper: 'ftp', flags: ['permanent'], class: 0 })
  t.ok(one.timeoutSeconds! > 0)
  const other = listed.find((each) => each.tuple.destinationPort === 5001)!
  t.match(other.nat, { direction: 'reply', tuple: { source: '203.0.113.9', sourcePort: 99 } })
  t.equal((await expectations.list({ master })).length, 1)
  await conntrack.create({ original: tcp(3), timeoutSeconds: 60 })
  t.same(await expectations.list({ master: tcp(3) }), [], 'a flow without a helper awaits nothing')
  t.same(await expectations.list({ family: 'ipv6' }), [])
  await t.rejects(expectations.list({ master: tcp(9) }), { code: 'ENOENT' })
  await t.rejects(expectations.delete({ ...one, id: (one.id! ^ 1) >>> 0 }), { code: 'ENOENT' })
  await expectations.delete(one)
  t.same(
    (await expectations.list()).map(({ id }) => id),
    [other.id],
  )
  t.match(await take(events, 3), [
    { event: 'new', expectation: { tuple } },
    { event: 'new', expectation: { family: 'ipv4', master: second } },
    { event: 'destroy', expectation: { tuple } },
  ])
  await events.return?.()
  const counted = await expectations.statistics()
  t.equal(
    counted.reduce((total, { created }) => total + created!, 0),
    2,
  )
  await expectations.flush({ helper: 'tftp' })
  t.equal((await expectations.list()).length, 1)
  await expectations.flush()
  t.same(await expectations.list(), [])
  const refusal: unknown = await expectations
    .create({ ...input, master: tcp(8) })
    .catch((error: unknown) => error)
  t.ok(isKernelError(refusal, 'ENOENT') && !isBatchError(refusal))
})

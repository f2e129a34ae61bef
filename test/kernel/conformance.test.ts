/**
 * The runner of packet flows is right where rules are, and says what is wrong where they are not: rules made by hand for
 * one service, right ones and each kind of wrong ones.
 */
import t, { type Test } from 'tap'
import {
  addRule,
  dnat,
  drop,
  endpoint4,
  ip,
  jhash,
  lookup,
  masquerade,
  Nftables,
  numgen,
  type Part,
  reject,
  sctp,
  tcp,
  udp,
} from '../../src/nftables/index.js'
import { leaksSince, openResources } from '../../src/testing/index.js'
import { type OpenProgramming, type Report, runSituations } from '../conformance/run.js'
import { readSituations } from '../conformance/situation.js'

const place = { family: 'inet', table: 'flows' } as const
const [virtual, closed, silent] = ['172.30.0.41', '172.30.0.42', '172.30.0.43']
const [a, b] = ['10.180.0.1', '10.180.2.1']
const node = '192.168.0.2'
const chains = {
  pre: { type: 'nat', hook: 'prerouting', priority: 'dstnat' },
  out: { type: 'nat', hook: 'output', priority: 'dstnat' },
  post: { type: 'nat', hook: 'postrouting', priority: 'srcnat' },
  forward: { hook: 'forward', priority: 'filter' },
  late: { hook: 'output', priority: 'filter' },
} as const
type Rules = Partial<Record<keyof typeof chains, readonly (readonly Part[])[]>>

/** To these, each as often as the others. */
function spread(...endpoints: readonly (readonly [address: string, port: number])[]): Part {
  const entries = endpoints.map(([address, port], index) => [index, [address, port]] as const)
  const random = numgen('random', { modulus: endpoints.length })
  return dnat({ endpoint: lookup(random, entries, endpoint4), family: 'ip' })
}

const toVirtual = (endpoints = spread([a, 8080], [b, 8080])): Part[] => [
  ip.daddr.is(virtual),
  tcp.dport.is(80),
  endpoints,
]
/** What is right: each test spoils a part of it. */
const right: Rules = {
  pre: [toVirtual()],
  out: [toVirtual()],
  post: [
    [ip.saddr.within('203.0.113.0/24'), ip.daddr.within('10.0.0.0/8'), masquerade()],
    [ip.saddr.is(a), ip.daddr.is(a), masquerade()],
    [ip.saddr.is(node), ip.daddr.within('10.0.0.0/8'), masquerade()],
  ],
  forward: [
    [ip.daddr.is(closed), reject()],
    [ip.daddr.is(silent), drop],
  ],
}

/** Rules by hand instead of a dataplane. */
const byHand =
  (...steps: readonly Rules[]): OpenProgramming =>
  async (netns) => {
    const nftables = await Nftables.open({ netns })
    let next = 0
    return {
      async program() {
        const transaction = nftables.transaction()
        if (next > 0) transaction.delete('table', { family: 'inet', name: place.table })
        transaction.add('table', { family: 'inet', name: place.table })
        for (const [name, rules] of Object.entries(steps[next++] ?? {})) {
          transaction.add('chain', { ...place, name, ...chains[name as keyof typeof chains] })
          for (const parts of rules) addRule(transaction, { ...place, chain: name }, ...parts)
        }
        await transaction.commit()
        return () => undefined
      },
      close: () => Promise.resolve(nftables.close()),
    }
  }

const config = {
  family: 'IPv4',
  nodeName: 'test-node',
  nodeIP: node,
  nodeAddresses: [node, '192.168.1.2', '2001:db8::1'],
  clusterCIDR: '10.0.0.0/8',
  serviceCIDRs: '172.30.0.0/16',
  nodePortAddresses: [`${node}/32`],
  masqueradeAll: false,
}
const both = { outcome: 'endpoints', endpoints: [`${a}:8080`, `${b}:8080`] }
const packet = (name: string, from: string, to: string, more: object) => ({
  ...{ name, from, to, port: 80, protocol: 'tcp', masquerade: false },
  ...more,
})
const pod = packet('pod', '10.0.0.2', virtual, both)
const client = packet('client', '203.0.113.2', virtual, { ...both, masquerade: true })
const fromNode = packet('node', node, virtual, { ...both, masquerade: true })
const hairpin = packet('hairpin', a, virtual, { ...both, endpoints: [`${a}:8080`], masquerade: true })
const refused = packet('refused', '10.0.0.2', closed, { outcome: 'reject' })
const dropped = packet('dropped', '10.0.0.2', silent, { outcome: 'drop' })
const untouched = packet('untouched', '203.0.113.2', '192.168.1.2', { outcome: 'none', port: 3001 })
const onwards = packet('onwards', '203.0.113.2', '198.51.100.1', { outcome: 'none' })

const fileOf = (...packets: object[]) => readSituations(JSON.stringify([{ name: 'S', config, packets }]))

async function seen(rules: Rules, ...packets: object[]): Promise<Record<string, string | undefined>> {
  return Object.fromEntries(
    (await reportsOf(fileOf(...packets), byHand(rules))).map(({ packet, wrong }) => [packet, wrong]),
  )
}

async function reportsOf(
  groups: ReturnType<typeof readSituations>,
  open: OpenProgramming,
): Promise<Report[]> {
  const reports: Report[] = []
  await runSituations(groups, open, { report: (report) => reports.push(report) })
  return reports
}

/** The rules are wrong for the packet, and it is told how. */
function wrong(name: string, rules: Rules, packet: { name: string }, told: RegExp): void {
  void t.test(name, async (t: Test) => {
    // The one of the Pod makes the endpoints known.
    const packets = packet === pod ? [pod] : [pod, packet]
    t.match((await seen({ ...right, ...rules }, ...packets))[packet.name], told)
  })
}

t.test('what is right passes, and nothing is left open', async (t) => {
  const before = openResources()
  const all = [pod, client, fromNode, refused, dropped, untouched, onwards]
  t.same(await seen(right, ...all), Object.fromEntries(all.map(({ name }) => [name, undefined])))
  t.same(await leaksSince(before), [])
})

t.test('a Pod reaches itself through the service, masqueraded', async (t) => {
  const rules = { ...right, pre: [toVirtual(spread([a, 8080]))] }
  t.same(await seen(rules, hairpin), { hairpin: undefined })
})

t.test('an endpoint that it must not reach', async (t) => {
  const onlyA = { ...pod, name: 'only a', endpoints: [`${a}:8080`] }
  const told = await seen(right, pod, onlyA)
  t.equal(told['pod'], undefined)
  t.match(told['only a'], /it reached 10\.180\.2\.1:8080, which is none of 10\.180\.0\.1:8080/)
})

wrong(
  'a wrong port of an endpoint',
  { pre: [toVirtual(spread([a, 8080], [b, 8081]))] },
  pod,
  /refused \(TCP reset\)/,
)
wrong(
  'masquerading is missing',
  { post: [] },
  client,
  /saw 203\.0\.113\.2 instead of the node: not masqueraded/,
)
wrong(
  'masquerading where none is due',
  { post: [[masquerade()]] },
  pod,
  /instead of 10\.0\.0\.2: masqueraded/,
)
wrong('silence instead of a refusal', { forward: [[ip.daddr.is(closed), drop]] }, refused, /nobody answered/)
wrong(
  'a refusal instead of silence',
  { forward: [[ip.daddr.is(silent), reject()]] },
  dropped,
  /refused \(port unreachable\)/,
)
wrong(
  'a refusal that says something else',
  { forward: [[ip.daddr.is(closed), reject('admin-prohibited')]] },
  refused,
  /refused \(destination \(code 13\) unreachable\)/,
)
wrong(
  'an endpoint that is never reached',
  { pre: [toVirtual(spread([a, 8080]))] },
  pod,
  /in 40 tries 10\.180\.2\.1:8080 was never/,
)
wrong('nothing is programmed', { pre: [] }, pod, /went on untouched, to 172\.30\.0\.41:80/)
wrong('nothing refuses', { forward: [] }, refused, /went on untouched, to 172\.30\.0\.42:80/)
wrong('nothing drops', { forward: [] }, dropped, /went on untouched, to 172\.30\.0\.43:80/)
wrong(
  'an untouched packet is delivered to an endpoint',
  { pre: [[tcp.dport.is(3001), spread([a, 8080])]] },
  untouched,
  /reached 10\.180\.0\.1:8080 instead of 192\.168\.1\.2:3001/,
)
wrong(
  'an untouched packet is masqueraded',
  { post: [[masquerade()]] },
  onwards,
  /arrived from 100\.64\.\d+\.1:\d+ instead of/,
)
wrong(
  'an untouched packet is dropped',
  { forward: [[ip.daddr.is('198.51.100.1'), drop]] },
  onwards,
  /nobody answered/,
)
wrong(
  'an endpoint sees what is refused afterwards',
  { pre: [[ip.daddr.is(closed), spread([a, 8081])]] },
  refused,
  /servers saw tcp to port 8081 from 10\.0\.0\.2/,
)
wrong(
  'an endpoint sees what nobody answers',
  {
    pre: [[ip.daddr.is(silent), spread([a, 8080])]],
    forward: [[ip.saddr.is(a), drop]],
  },
  dropped,
  /servers saw tcp to port 8080 from 10\.0\.0\.2/,
)

for (const [protocol, dport] of [
  ['udp', udp.dport],
  ['sctp', sctp.dport],
] as const) {
  t.test(`${protocol}: endpoints, refusals, silence, and what goes on`, async (t) => {
    const all = [pod, client, refused, dropped, untouched].map((one) => ({ ...one, protocol }))
    const pre = [[ip.daddr.is(virtual), dport.is(80), spread([a, 8080], [b, 8080])]]
    t.same(
      await seen({ ...right, pre }, ...all),
      Object.fromEntries(all.map(({ name }) => [name, undefined])),
    )
    t.match(await seen({}, ...all), {
      pod: /untouched/,
      client: /untouched/,
      refused: /untouched/,
      dropped: /untouched/,
      untouched: undefined,
    })
    const swapped = [[ip.daddr.is(closed), drop] as const, [ip.daddr.is(silent), reject()] as const]
    t.match(await seen({ ...right, pre, post: [], forward: swapped }, ...all), {
      pod: undefined,
      client: /not masqueraded/,
      refused: /nobody answered/,
      dropped: /port unreachable/,
    })
  })
}

t.test('clients of a service with affinity come from many addresses, and each stays', async (t) => {
  const service = {
    metadata: { name: 'svc1', namespace: 'ns1' },
    spec: { clusterIP: virtual, sessionAffinity: 'ClientIP', ports: [{ port: 80 }] },
  }
  const situation = (...packets: object[]) =>
    readSituations(JSON.stringify([{ name: 'S', config, services: [service], packets }]))
  const entries = Array.from({ length: 16 }, (_, slot) => [slot, [slot % 2 === 0 ? a : b, 8080]] as const)
  const endpoint = lookup(jhash(ip.saddr as never, { modulus: 16, seed: 5 }), entries, endpoint4)
  const sticky = { ...right, pre: [toVirtual(dnat({ endpoint, family: 'ip' }))] }
  t.match(await reportsOf(situation(pod, client), byHand(sticky)), [
    { wrong: undefined },
    { wrong: undefined },
  ])
  // By turns: by chance each of a few clients may be led to the same server twice.
  const turns = [a, b].map((address, slot) => [slot, [address, 8080]] as const)
  const next = dnat({
    endpoint: lookup(numgen('incremental', { modulus: 2 }), turns, endpoint4),
    family: 'ip',
  })
  t.match(await reportsOf(situation(pod), byHand({ ...right, pre: [toVirtual(next)] })), [
    { wrong: /no affinity/ },
  ])
})

t.test('a later step is a change of what the one before has left', async (t) => {
  const steps = readSituations(
    JSON.stringify([
      { name: 'S', config, packets: [pod] },
      { name: 'S (step 2)', config, packets: [{ ...pod, outcome: 'reject' }] },
      { name: 'another', config, packets: [pod] },
    ]),
  )
  t.same(
    steps.map((group) => group.length),
    [2, 1],
  )
  const refusing = { forward: [[ip.daddr.is(virtual), reject()]] }
  const reports = await reportsOf(steps, byHand(right, refusing))
  t.same(
    reports.map(({ situation, wrong }) => [situation, wrong]),
    [
      ['S', undefined],
      ['S (step 2)', undefined],
      ['another', undefined],
    ],
  )
})

t.test('what cannot be programmed fails, with the reason, and nothing is left open', async (t) => {
  const before = openResources()
  const reports = await reportsOf(fileOf(pod, refused), () => Promise.reject(new Error('no such kernel')))
  t.match(reports, [{ wrong: /no such kernel/ }, { wrong: /no such kernel/ }])
  const half = await reportsOf(fileOf(pod, refused), async (netns, node) => ({
    ...(await byHand(right)(netns, node)),
    program: () => Promise.resolve((packet) => (packet.name === 'pod' ? 'its name is taken' : undefined)),
  }))
  t.match(half, [{ wrong: 'its name is taken' }, { wrong: /untouched/ }])
  t.same(await leaksSince(before), [])
})

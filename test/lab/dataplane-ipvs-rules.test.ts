/** The dataplane of IPVS with packets: who reaches which servers, and whom they see. */
import type { Test } from 'tap'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import type { Host } from '../../src/testing/index.js'
import { ipvsTest } from './ipvs-test.js'
import { askedPort, askTcp, askUdp, serveAsked, type Target } from './support/asking.js'
import { uses } from './support/features.js'
import { nft } from './support/nft.js'
import {
  clusterAddress,
  clusterAddress6,
  endpoint,
  endpoint6,
  nodeOf,
  serviceNetwork,
  virtualService,
} from './support/virtual-services.js'

const [a, b] = ['a', 'b'].map((name) => endpoint(name, { port: askedPort })) as [RealServer, RealServer]
const [a6, b6] = ['a', 'b'].map((name) => ({ ...endpoint6(name), port: askedPort })) as [
  RealServer,
  RealServer,
]
/** Not within the range of cluster addresses. */
const balancerAddress = '203.0.113.80'
const externalAddress = '203.0.113.90'

type Ask = (client: Host, target: Target) => Promise<string>

/** Asks as often as there are servers, and once more; tells the answers that came, each once. */
async function answers(ask: Ask, client: Host, target: Target): Promise<string[]> {
  const all = new Set<string>()
  for (let count = 0; count < 3; count++) all.add(await ask(client, target))
  return [...all].sort()
}

/** Which of the servers, and whether they see the client (`client`) or the node. */
async function reached(client: Host, node: Host, target: Target): Promise<string> {
  const seen = new Set<string>()
  const names = new Set<string>()
  for (const answer of await answers(askTcp, client, target)) {
    const [name = '', peer] = answer.split(' ')
    names.add(name)
    if (peer !== undefined)
      seen.add(
        node.interfaces.some(({ address, address6 }) => [address, address6].includes(peer))
          ? 'node'
          : 'client',
      )
  }
  return [...names, ...[...seen].map((who) => `sees ${who}`)].join(' ')
}

ipvsTest('TCP, UDP and SCTP, over IPv4 and IPv6', async (t, sandbox) => {
  const net = await serviceNetwork(sandbox)
  const { client, director, servers } = net.hosts
  await serveAsked(net, [a, b, a6, b6])
  for (const { address } of [a, b]) await servers.serveSctp({ address, port: askedPort, name: address })
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const upserted: VirtualService[] = []
  for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
    upserted.push(virtualService('web', { cluster: [a, b] }, { protocol }))
    upserted.push(virtualService('web', { cluster: [a6, b6] }, { protocol, family: 'ipv6' }))
  }
  const { failures, conditions } = await dataplane.synchronize(upserted)
  t.same([[...failures], [...conditions.values()].flat()], [[], []])

  const node4 = director.towards('servers').address
  const node6 = director.towards('servers').address6
  const [to4, to6] = [
    { address: clusterAddress, port: 80 },
    { address: clusterAddress6, port: 80 },
  ]
  // The client is no Pod: servers see the node.
  t.same(await answers(askTcp, client, to4), [`a ${node4}`, `b ${node4}`], 'TCP over IPv4')
  t.same(await answers(askTcp, client, to6), [`a ${node6}`, `b ${node6}`], 'TCP over IPv6')
  t.same(await answers(askUdp, client, to4), [`a ${node4}`, `b ${node4}`], 'UDP over IPv4')
  t.same(await answers(askUdp, client, to6), [`a ${node6}`, `b ${node6}`], 'UDP over IPv6')
  const names = new Set<string>()
  for (let count = 0; count < 2; count++) {
    const reply = await client.sctpInit({ to: clusterAddress, port: 80, deadlineMilliseconds: 20_000 })
    names.add(reply.name ?? '')
    t.equal(reply.address, clusterAddress, 'SCTP answers from the virtual address')
  }
  t.same([...names].sort(), [a.address, b.address], 'SCTP over IPv4')
  t.equal((await dataplane.synchronize(upserted)).writes, 0, 'the same again writes nothing')
  uses('ipvs-ipv6', 'ipvs-udp', 'ipvs-sctp', 'ipvs-conntrack')
})

ipvsTest(
  'Pods, the node and others come to addresses and node ports of both policies',
  async (t, sandbox) => {
    const net = await serviceNetwork(sandbox)
    const { client, director, pod, servers } = net.hosts
    await serveAsked(net, [a, b])
    await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
    const frontends = (last: number): VirtualService['frontends'] => [
      { kind: 'cluster', address: `10.96.0.${last}`, port: 80 },
      { kind: 'load-balancer', address: `203.0.113.${last}`, port: 80 },
      { kind: 'node-port', port: 30_000 + last },
    ]
    const pools = { cluster: [a, b], local: [a] }
    await dataplane.synchronize([
      virtualService('base', pools, { frontends: frontends(41) }),
      virtualService('external', pools, { frontends: frontends(42), externalTrafficPolicy: 'local' }),
      virtualService('internal', pools, { frontends: frontends(43), internalTrafficPolicy: 'local' }),
      virtualService('both', pools, {
        frontends: frontends(44),
        internalTrafficPolicy: 'local',
        externalTrafficPolicy: 'local',
      }),
    ])
    const hosts = { pod, node: director, outside: client } as const
    const expected: Readonly<
      Record<number, Readonly<Record<keyof typeof hosts, readonly [string, string, string]>>>
    > = {
      41: {
        pod: ['a b sees client', 'a b sees node', 'a b sees node'],
        node: ['a b sees node', 'a b sees node', 'a b sees node'],
        outside: ['a b sees node', 'a b sees node', 'a b sees node'],
      },
      42: {
        pod: ['a b sees client', 'a b sees client', 'a b sees client'],
        node: ['a b sees node', 'a b sees node', 'a b sees node'],
        outside: ['a b sees node', 'a sees client', 'a sees client'],
      },
      43: {
        pod: ['a sees client', 'a b sees node', 'a b sees node'],
        node: ['a sees node', 'a b sees node', 'a b sees node'],
        outside: ['a sees node', 'a b sees node', 'a b sees node'],
      },
      44: {
        pod: ['a sees client', 'a b sees client', 'a b sees client'],
        node: ['a sees node', 'a b sees node', 'a b sees node'],
        outside: ['a sees node', 'a sees client', 'a sees client'],
      },
    }
    for (const [last, ofHosts] of Object.entries(expected)) {
      for (const [who, results] of Object.entries(ofHosts)) {
        const targets = [
          { address: `10.96.0.${last}`, port: 80 },
          { address: `203.0.113.${last}`, port: 80 },
          { address: director.address, port: 30_000 + Number(last) },
        ]
        const found: string[] = []
        for (const target of targets) {
          found.push(await reached(hosts[who as keyof typeof hosts], director, target))
        }
        t.same(found, results, `.${last} from ${who}: cluster address, balancer, node port`)
      }
    }
    t.equal(
      await askTcp(servers, { address: '10.96.0.43', port: 80, from: a.address }),
      `a ${director.towards('servers').address}`,
      'a server that reaches itself sees the node',
    )
    t.equal(
      await askTcp(client, { address: director.towards('servers').address, port: 30_041 }),
      'refused',
      'a node port is of the primary address',
    )
    t.match(await nft(director, 'list ruleset'), 'map services4', 'nft can list the table')
    uses('ipvs-firewall-mark')
  },
)

ipvsTest('what has no servers is refused or dropped, and so is what no service has', async (t, sandbox) => {
  const net = await serviceNetwork(sandbox)
  const { client, director } = net.hosts
  await serveAsked(net, [a, b])
  await director.serveTcp((socket) => socket.end('the node itself'), { port: 8000 })
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const web = virtualService('web', { cluster: [a] })
  const frontends = (last: number): VirtualService['frontends'] => [
    { kind: 'cluster', address: `10.96.0.${last}`, port: 80 },
    { kind: 'external', address: externalAddress, port: last },
    { kind: 'node-port', port: 30_000 + last },
  ]
  await dataplane.synchronize([
    web,
    virtualService('none', {}, { frontends: frontends(20) }),
    virtualService('none', {}, { frontends: frontends(21), protocol: 'udp' }),
    virtualService(
      'elsewhere',
      { cluster: [b] },
      { frontends: frontends(22), internalTrafficPolicy: 'local', externalTrafficPolicy: 'local' },
    ),
  ])
  const cases: readonly (readonly [string, Ask, string, number, string])[] = [
    ['no servers: cluster address', askTcp, '10.96.0.20', 80, 'refused'],
    ['no servers: external address', askTcp, externalAddress, 20, 'refused'],
    ['no servers: node port', askTcp, director.address, 30_020, 'refused'],
    ['no servers, over UDP', askUdp, '10.96.0.21', 80, 'refused'],
    ['none that may be used: cluster address', askTcp, '10.96.0.22', 80, 'silence'],
    ['none that may be used: external address', askTcp, externalAddress, 22, 'silence'],
    ['a port that the service has not', askTcp, clusterAddress, 81, 'refused'],
    ['a port that the node listens at', askTcp, clusterAddress, 8000, 'refused'],
    ['another protocol', askUdp, clusterAddress, 80, 'refused'],
    ['an address that no service has', askTcp, '10.96.0.200', 80, 'silence'],
    ['the node itself', askTcp, director.address, 8000, 'the node itself'],
    ['a service with a server', askTcp, clusterAddress, 80, `a ${director.towards('servers').address}`],
  ]
  for (const [name, ask, address, port, outcome] of cases) {
    t.equal(await ask(client, { address, port }), outcome, name)
  }
  t.equal(
    await askTcp(director, { address: clusterAddress, port: 8000 }),
    'refused',
    'the node is refused, too',
  )
  t.ok((await client.ping(clusterAddress)) !== undefined, 'an address of a service answers a ping')
  await client.rtnetlink.routes.add({ destination: `${clusterAddress}/32`, device: 'eth0', scope: 'link' })
  t.equal(await askTcp(client, { address: clusterAddress, port: 80 }), 'silence', 'on the wire nobody has it')
  await client.rtnetlink.routes.delete({ destination: `${clusterAddress}/32`, device: 'eth0', scope: 'link' })
  const gone = await dataplane.apply({
    upserted: [{ ...web, servers: { ...web.servers, cluster: [], any: false } }],
    deleted: [],
  })
  t.same([...gone.failures], [])
  t.equal(await askTcp(client, { address: clusterAddress, port: 80 }), 'refused', 'its last server is gone')
  await dataplane.apply({ upserted: [], deleted: [web.key] })
  t.equal(await askTcp(client, { address: clusterAddress, port: 80 }), 'silence', 'the service is gone')
})

ipvsTest('source ranges keep others from a balancer’s address alone', async (t: Test, sandbox) => {
  const net = await serviceNetwork(sandbox)
  const { client, director, pod } = net.hosts
  await serveAsked(net, [a])
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const frontends = [
    { kind: 'cluster', address: clusterAddress, port: 80 },
    { kind: 'load-balancer', address: balancerAddress, port: 80 },
  ] as const
  const web = virtualService(
    'web',
    { cluster: [a] },
    { frontends, sourceRanges: ['10.1.0.0/16', ' 10.1.2.0/24 ', '2001:db8::/32'] },
  )
  await dataplane.synchronize([web])
  const to = { address: balancerAddress, port: 80 }
  const seen = director.towards('servers').address
  t.equal(await askTcp(client, { ...to, from: '10.1.2.3' }), `a ${seen}`, 'who may come')
  t.equal(await askTcp(client, to), 'silence', 'who may not')
  t.equal(await askTcp(pod, to), 'silence', 'Pods are as others are')
  t.equal(await askTcp(director, to), 'silence', 'the node, which is not within')
  t.equal(
    await askTcp(client, { address: clusterAddress, port: 80 }),
    `a ${seen}`,
    'the cluster address is for all',
  )
  t.equal((await dataplane.synchronize([web])).writes, 0, 'the same again writes nothing')
  await dataplane.apply({ upserted: [{ ...web, sourceRanges: [`${director.address}/32`] }], deleted: [] })
  t.equal(await askTcp(client, { ...to, from: '10.1.2.3' }), 'silence', 'another range')
  t.equal(await askTcp(director, to), `a ${seen}`, 'the node, which is within')
  await dataplane.apply({ upserted: [{ ...web, sourceRanges: ['0.0.0.0/0'] }], deleted: [] })
  t.equal(await askTcp(client, to), `a ${seen}`, 'everybody')
})

ipvsTest('masqueradeAll is about cluster addresses alone', async (t, sandbox) => {
  const net = await serviceNetwork(sandbox)
  const { client, director, pod } = net.hosts
  await serveAsked(net, [a])
  const node = nodeOf(director, { masqueradeAll: true })
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node })
  const frontends = [
    { kind: 'cluster', address: clusterAddress, port: 80 },
    { kind: 'external', address: externalAddress, port: 80 },
  ] as const
  const pools = { cluster: [a], local: [a] }
  await dataplane.synchronize([virtualService('web', pools, { frontends, externalTrafficPolicy: 'local' })])
  const own = director.towards('servers').address
  t.equal(await askTcp(pod, { address: clusterAddress, port: 80 }), `a ${own}`, 'a Pod, too')
  t.equal(await askTcp(client, { address: externalAddress, port: 80 }), `a ${client.address}`, 'Local')
})

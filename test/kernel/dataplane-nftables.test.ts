/** The nftables dataplane with real packets: a client outside, a node, Pods on it and a server elsewhere. */
import t, { type Test } from 'tap'
import { openNftablesDataplane, type NftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { NodeSettings } from '../../src/dataplane/index.js'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'
import { promisify } from 'node:util'
import { execFile } from 'node:child_process'
import { nftIn } from './nft.js'

const clusterAddress = { ipv4: '172.30.0.10', ipv6: 'fd30::10' }

async function network(t: Test, node: NodeSettings = {}) {
  const net = await sandbox({
    hosts: ['client', 'node', 'a', 'b', 'c'],
    links: [
      ['client', 'node'],
      ['node', 'a'],
      ['node', 'b'],
      ['node', 'c'],
    ],
    settings: { node: { defaultRoute: 'client', sysctls: { 'net.ipv4.conf.all.rp_filter': 0 } } },
  })
  t.teardown(() => net.close())
  const { hosts } = net
  const peers: string[] = []
  for (const host of [hosts.a, hosts.b, hosts.c]) {
    await host.serve(
      (request, response) => {
        peers.push(request.socket.remoteAddress!)
        response.end(host.name)
      },
      { port: 8080 },
    )
  }
  const open = async (): Promise<NftablesDataplane> => {
    const dataplane = await openNftablesDataplane({
      netns: hosts.node.netns,
      node: { serviceRanges: ['172.30.0.0/16', 'fd30::/64'], ...node },
    })
    t.teardown(() => dataplane.close())
    return dataplane
  }
  return { hosts, peers, open }
}

function server(host: Host, family: 'ipv4' | 'ipv6' = 'ipv4', more: Partial<RealServer> = {}): RealServer {
  return { address: family === 'ipv4' ? host.address : host.address6, port: 8080, weight: 1, ...more }
}

function service(
  servers: readonly RealServer[],
  more: Partial<VirtualService> & { readonly name?: string } = {},
): VirtualService {
  const { name = 'web', family = 'ipv4', ...rest } = more
  return {
    key: `default/${name}:http/tcp/${family}`,
    service: `default/${name}`,
    family,
    protocol: 'tcp',
    frontends: [{ kind: 'cluster', address: clusterAddress[family], port: 80 }],
    servers: {
      cluster: servers,
      local: servers.filter(({ isLocal }) => isLocal),
      draining: [],
      any: servers.length > 0,
    },
    internalTrafficPolicy: 'cluster',
    externalTrafficPolicy: 'cluster',
    ...rest,
  }
}

const url = (address: string, port = 80): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}/`

async function ask(host: Host, address: string, times = 1, port = 80): Promise<string[]> {
  const answers: string[] = []
  for (let count = 0; count < times; count++) {
    answers.push((await host.fetch(url(address, port), { headers: { connection: 'close' } })).text())
  }
  return answers
}

for (const family of ['ipv4', 'ipv6'] as const) {
  t.test(`${family}: a cluster address reaches every server, and follows a change`, async (t) => {
    const { hosts, open } = await network(t)
    const { client, node, a, b, c } = hosts
    const dataplane = await open()
    const first = [server(a, family), server(b, family)]
    await dataplane.synchronize([service(first, { family })])
    const seen = new Set(await ask(client, clusterAddress[family], 20))
    t.same([...seen].sort(), ['a', 'b'])
    t.equal((await ask(node, clusterAddress[family]))[0]!.length, 1)
    const applied = await dataplane.apply({
      upserted: [service([server(b, family), server(c, family)], { family })],
      deleted: [],
    })
    t.equal(applied.failures.size, 0)
    const after = new Set(await ask(client, clusterAddress[family], 20))
    t.same([...after].sort(), ['b', 'c'])
    await t.rejects(ask(client, clusterAddress[family], 1, 81), { code: 'ECONNREFUSED' })
    await dataplane.apply({ upserted: [service([], { family })], deleted: [] })
    await t.rejects(ask(client, clusterAddress[family]), { code: 'ECONNREFUSED' })
  })
}

t.test('a restart adopts what is there and writes nothing; nft lists it', async (t) => {
  const { hosts, open } = await network(t, { clusterRanges: ['10.0.1.0/24', '10.0.2.0/24'] })
  const { client, node, a, b } = hosts
  const services = [
    service([server(a), server(b)], { affinitySeconds: 60 }),
    service([server(a, 'ipv4', { weight: 3 }), server(b)], {
      name: 'out',
      frontends: [
        { kind: 'external', address: '192.0.2.1', port: 80 },
        { kind: 'node-port', port: 30080 },
        { kind: 'load-balancer', address: '192.0.2.2', port: 80 },
      ],
      sourceRanges: ['10.0.0.0/24', '10.0.0.0/8'],
      externalTrafficPolicy: 'local',
    }),
    service([server(a, 'ipv6'), server(b, 'ipv6')], { family: 'ipv6', scheduler: 'rr' }),
  ]
  const one = await open()
  t.ok((await one.synchronize(services)).writes > 0)
  t.equal((await one.synchronize(services)).writes, 0)
  const other = await open()
  t.equal((await other.synchronize(services)).writes, 0)
  const listing = (await promisify(execFile)(...nftIn(node.netns, ['list', 'table', 'inet', 'viaduct'])))
    .stdout
  t.match(listing, /map services4/)
  const again = await ask(client, clusterAddress.ipv4, 10)
  t.equal(new Set(again).size, 1, 'a client stays with its server')
  await other.teardown()
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  t.same(await nftables.tables(), [])
})

t.test('a node port, with the node in between; and a server that reaches itself', async (t) => {
  const { hosts, open, peers } = await network(t)
  const { client, node, a } = hosts
  const dataplane = await open()
  await dataplane.synchronize([
    service([server(a, 'ipv4', { isLocal: true })], {
      frontends: [
        { kind: 'node-port', port: 30080 },
        { kind: 'cluster', address: clusterAddress.ipv4, port: 80 },
      ],
    }),
  ])
  t.same(await ask(client, node.address, 1, 30080), ['a'])
  t.same(peers.splice(0), [node.towards('a').address])
  t.same(await ask(node, node.address, 1, 30080), ['a'])
  peers.splice(0)
  t.same(await ask(a, clusterAddress.ipv4), ['a'])
  t.same(peers, [node.towards('a').address])
})

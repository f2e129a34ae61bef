/** What docs/examples/ shows of nf_tables is run. */
import t, { type Test } from 'tap'
import { banWhoKnocks, listBans, pardon } from '../../docs/examples/ban.js'
import { natGateway } from '../../docs/examples/nat-gateway.js'
import { lease } from '../../docs/examples/optimistic.js'
import { tracePacket } from '../../docs/examples/trace-packet.js'
import { accept, addRule, counter, drop, Nftables, tcp, udp } from '../../src/nftables/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'
import { place } from './nft.js'

/** Who runs an example is somewhere: the descriptor of a namespace says where to any copy of the package. */
const at = ({ netns }: Host): { readonly netns: { readonly fd: number } } => ({ netns: { fd: netns.fd } })

async function threeHosts(t: Test) {
  const net = await sandbox({
    hosts: ['inside', 'gateway', 'outside'],
    links: [
      ['inside', 'gateway'],
      ['gateway', 'outside'],
    ],
  })
  t.teardown(() => net.close())
  return net.hosts
}

t.test('the NAT gateway lets hosts out, and publishes a server', async (t) => {
  const { inside, gateway, outside } = await threeHosts(t)
  const [within, without] = [gateway.towards('inside'), gateway.towards('outside')]
  const network = within.address.replace(/\d+$/, '0/24')
  const published = { port: 80, address: inside.address, serverPort: 8080 }
  // Twice: a table that is there is no other than one that is not.
  for (let time = 0; time < 2; time++) {
    await natGateway({ ...at(gateway), inside: { device: within.device, network }, published })
  }
  await inside.serve((_, response) => response.end('inside'), { port: 8080 })
  await outside.serve((request, response) => response.end(request.socket.remoteAddress), { port: 8080 })
  t.equal(
    (await inside.fetch(`http://${outside.address}:8080/`)).text(),
    without.address,
    'under its address',
  )
  t.equal((await outside.fetch(`http://${without.address}/`)).text(), 'inside')
  const refused = outside.connect({ address: inside.address, port: 8080, deadlineMilliseconds: 300 })
  await t.rejects(refused, { code: 'ETIMEDOUT' }, 'and nothing else comes in')
})

t.test('who knocks is banned, and let in again', async (t) => {
  const { inside, gateway } = await threeHosts(t)
  const address = gateway.towards('inside').address
  await gateway.serve((_, response) => response.end('welcome'), { port: 8080 })
  await banWhoKnocks({ ...at(gateway), ports: [23, 2323], seconds: 600 })
  const ask = async (): Promise<string> => (await inside.fetch(`http://${address}:8080/`)).text()
  const knock = (port: number): Promise<unknown> =>
    inside.connect({ address, port, deadlineMilliseconds: 300 })
  t.equal(await ask(), 'welcome')
  await t.rejects(knock(2323), { code: 'ETIMEDOUT' })
  const bans = await listBans(at(gateway))
  t.same([...bans.keys()], [inside.address])
  t.ok(bans.get(inside.address)! > 500)
  await t.rejects(knock(8080), { code: 'ETIMEDOUT' }, 'whatever port it is')
  await pardon(inside.address, at(gateway))
  await pardon(inside.address, at(gateway))
  t.equal(await ask(), 'welcome')
})

t.test('a packet is traced to its end', async (t) => {
  const { inside, gateway, outside } = await threeHosts(t)
  const nftables = await Nftables.open({ netns: gateway.netns })
  t.teardown(() => nftables.close())
  const place = { family: 'inet', table: 't', chain: 'f' } as const
  const change = nftables.transaction().add('table', { family: 'inet', name: 't' })
  change.add('chain', { family: 'inet', table: 't', name: 'f', hook: 'forward', priority: 'filter' })
  addRule(change, place, udp.dport.is(9), counter, accept)
  addRule(change, place, udp.dport.is(7), drop)
  addRule(change, place, tcp.dport.is(7), drop)
  await change.commit()
  const socket = await inside.udp()
  t.teardown(() => socket.close())
  const trace = (port: number): Promise<string[]> =>
    tracePacket({
      ...at(gateway),
      source: inside.address,
      onReady: () => socket.send('x', port, outside.address),
    })
  t.match(await trace(9), [
    /^inet tracing first rule continue .*meta set nftrace/,
    /^inet tracing first rule continue$/,
    /^inet tracing first policy$/,
    /^inet t f rule accept .*immediate reg 0 accept/,
  ])
  t.match((await trace(8)).at(-1), /^inet t f policy/)
  t.match((await trace(7)).at(-1), /^inet t f rule drop/)
  t.same(
    (await nftables.tables()).map(({ name }) => name),
    ['t'],
    'and nothing is left behind',
  )
})

t.test('ports are shared out, each to one', async (t) => {
  const { netns, nft } = await place(t)
  const here = { netns: { fd: netns.fd } }
  const ask = (_: unknown, index: number): Promise<number> => lease(`10.0.0.${index + 1}`, here)
  const ports = await Promise.all(Array.from({ length: 12 }, ask))
  t.same(
    [...ports].sort(),
    Array.from({ length: 12 }, (_, index) => 30_000 + index),
  )
  t.match(await nft('list', 'map', 'inet', 'leases', 'leases'), /30011 : 10\.0\.0\./)
  await t.rejects(lease('10.0.0.99', { ...here, last: 30_011 }), { message: /no port from 30000 to 30011/ })
})

/** A process begins again and has not heard of everything: what was programmed before goes on. */
import { once } from 'node:events'
import { Conntrack } from '../../src/conntrack/index.js'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import type { Dataplane } from '../../src/dataplane/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect } from './support/balanced.js'
import { until } from './support/until.js'
import { clusterAddress, endpoint, nodeOf, virtualService } from './support/virtual-services.js'

const otherAddress = '10.96.0.20'
const to = { address: clusterAddress, port: 80 }
const toOther = { address: otherAddress, port: 80 }

ipvsTest('what nobody has spoken of yet goes on, until somebody does', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const options = { netns: director.netns, node: nodeOf(director) }
  const web = virtualService('web', { cluster: [endpoint('a')] })
  const frontends = [
    { kind: 'cluster', address: otherAddress, port: 80 },
    { kind: 'node-port', port: 30_020 },
  ] as const
  const other = virtualService('other', { cluster: [endpoint('b')] }, { frontends, affinitySeconds: 60 })
  const first = await openIpvsDataplane(options)
  t.same((await first.synchronize([web, other])).failures.size, 0)
  const held = await connect(client, toOther)
  t.equal(held.server, 'b')
  first.close()

  const goesOn = async (): Promise<void> => {
    held.socket.write('?')
    t.equal(String(((await once(held.socket, 'data')) as [Buffer])[0]), 'b', 'its connection goes on')
  }
  const frontendsOf = async (dataplane: Dataplane): Promise<number[]> =>
    (await dataplane.read()).map((service) => service.frontends.length)
  await using second = await openIpvsDataplane(options)
  const kept = await second.synchronize([web], { keepUnknown: true })
  t.equal(kept.writes, 0, 'nothing is touched')
  t.same(await frontendsOf(second), [1, 2])
  const isServed = async (): Promise<void> => {
    t.equal((await connect(client, toOther)).server, 'b', 'it is served')
    t.equal((await connect(client, { address: director.address, port: 30_020 })).server, 'b')
  }
  await isServed()
  await goesOn()
  // Neither a change of somebody else nor a look at everything ends it.
  const moved = virtualService('web', { cluster: [endpoint('c')] })
  await second.apply({ upserted: [moved], deleted: [] })
  t.equal((await connect(client, to)).server, 'c')
  await second.repair()
  await second.synchronize([moved], { keepUnknown: true })
  await isServed()
  // It is spoken of: what it does not have any more goes.
  const changed = { ...other, frontends: frontends.slice(0, 1), affinitySeconds: undefined }
  const plain = { ...changed, servers: { ...other.servers, cluster: [endpoint('b'), endpoint('c')] } }
  await second.apply({ upserted: [plain], deleted: [] })
  t.same(await frontendsOf(second), [1, 1])
  await t.rejects(connect(client, { address: director.address, port: 30_020 }))
  await goesOn()
  t.equal((await second.synchronize([moved, plain])).writes, 0, 'nothing was left over')
  held.socket.destroy()
  await second.teardown()
})

ipvsTest('what nobody wants goes when everything was heard', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const options = { netns: director.netns, node: nodeOf(director) }
  const web = virtualService('web', { cluster: [endpoint('a')] })
  const frontends = [{ kind: 'cluster', address: otherAddress, port: 80 }] as const
  const other = virtualService('other', { cluster: [endpoint('b')] }, { frontends })
  const first = await openIpvsDataplane(options)
  await first.synchronize([web, other])
  first.close()
  await using second = await openIpvsDataplane(options)
  await second.synchronize([web], { keepUnknown: true })
  await second.synchronize([web])
  t.equal((await second.read()).length, 1)
  await t.rejects(connect(client, toOther))
  t.equal((await connect(client, to)).server, 'a')
  await until('nothing is left', async () => (await second.synchronize([web])).writes === 0)
  await second.teardown()
})

ipvsTest('flows of datagrams end with the claim of their service', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const options = { netns: director.netns, node: nodeOf(director) }
  await using conntrack = await Conntrack.open({ netns: director.netns })
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const names = virtualService('names', { cluster: [endpoint('a')] }, { protocol: 'udp' })
  // Kernels from 5.9 on end those of IPVS by themselves, with the service (ip_vs_expire_nodest_conn_flush): not this one.
  const source = { address: client.address, port: 40_000 }
  const real = endpoint('a')
  const flow = {
    original: {
      protocol: 'udp',
      source: source.address,
      sourcePort: source.port,
      destination: to.address,
      destinationPort: to.port,
    },
    reply: {
      protocol: 'udp',
      source: real.address,
      sourcePort: real.port,
      destination: source.address,
      destinationPort: source.port,
    },
    timeoutSeconds: 600,
  } as const
  const flows = async (): Promise<number> =>
    (await conntrack.list({ family: 'ipv4', protocol: 'udp' })).filter(
      ({ original }) => original.destination === clusterAddress,
    ).length
  // One process deletes its service and lives; another one ends when IPVS has let go of it, and claims have not.
  for (const isEnded of [false, true]) {
    const first = await openIpvsDataplane(options)
    await first.synchronize([names])
    await conntrack.create(flow)
    t.equal(await flows(), 1)
    if (isEnded) await ipvs.deleteService({ protocol: 'udp', address: clusterAddress, port: 80 })
    else await first.apply({ upserted: [], deleted: [names.key] })
    first.close()
    await using second = await openIpvsDataplane(options)
    if (isEnded) {
      await second.synchronize([], { keepUnknown: true })
      t.equal(await flows(), 1, 'it may be somebody’s still')
      await second.synchronize([])
    }
    t.equal(await flows(), 0)
  }
  await using last = await openIpvsDataplane(options)
  await last.teardown()
})

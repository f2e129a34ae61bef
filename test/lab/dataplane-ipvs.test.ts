/** The dataplane of IPVS with packets: what a service is there for. */
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, countOf } from './support/balanced.js'
import { endpoint, nodeOf, virtualService } from './support/virtual-services.js'

ipvsTest('a cluster address leads to its servers, and a change of one is one message', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
  const web = virtualService('web', { cluster: [endpoint('a'), endpoint('b')] })

  const first = await dataplane.apply({ upserted: [web], deleted: [] })
  t.same([...first.failures], [], 'nothing fails')
  t.ok(first.writes > 0, 'it writes')
  const names: string[] = []
  for (let count = 0; count < 8; count++) {
    const held = await connect(client, { address: '10.96.0.10', port: 80 })
    names.push(held.server)
    held.socket.destroy()
  }
  t.same(countOf(names), { a: 4, b: 4 }, 'in turns')
  const again = await dataplane.synchronize([web])
  t.equal(again.writes, 0, 'a synchronisation with the same writes nothing')

  const more = { ...web, servers: { ...web.servers, cluster: [...web.servers.cluster, endpoint('c')] } }
  const plan = await dataplane.plan({ upserted: [more], deleted: [] })
  t.match(String(plan), 'ipvs createDestination tcp 10.96.0.10:80 -> 10.0.2.13:8080 weight 1')
  t.equal((await dataplane.apply({ upserted: [more], deleted: [] })).writes, 2, 'IPVS and the hairpin')
  const weighted = {
    ...more,
    servers: { ...more.servers, cluster: [endpoint('a', { weight: 3 }), endpoint('b')] },
  }
  const applied = await dataplane.apply({ upserted: [weighted], deleted: [] })
  t.equal(applied.writes, 3, 'another weight, one that leaves, its hairpin')
  t.match(await dataplane.read(), [
    {
      cluster: [
        { address: '10.0.2.11', weight: 3 },
        { address: '10.0.2.12', weight: 1 },
      ],
    },
  ])

  await dataplane.teardown()
  await using ipvs = await Ipvs.open({ netns: director.netns })
  t.same(await ipvs.services(), [], 'nothing is left in IPVS')
  t.equal(await director.rtnetlink.links.find('viaduct0'), undefined, 'nor the interface')
  t.equal(director.sysctl('net.ipv4.vs.conntrack'), '0', 'settings are as they were')

  // The other dataplane has the name: what it has is left to it.
  await using nftables = await Nftables.open({ netns: director.netns })
  const table = { family: 'inet', name: 'viaduct', comment: 'viaduct nftables, layout 1' } as const
  await nftables.transaction().add('table', table).commit()
  const refusal = { name: 'UnsupportedError', message: /the nftables dataplane has it/ }
  await t.rejects(dataplane.synchronize([web]), refusal)
  await t.rejects(dataplane.teardown(), refusal)
  t.match(await nftables.tables(), [table])
})

/** A process begins again and has not heard of everything: what was programmed before goes on. */
import { once } from 'node:events'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import type { Dataplane } from '../../src/dataplane/index.js'
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

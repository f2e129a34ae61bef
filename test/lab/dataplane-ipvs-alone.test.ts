/** The dataplane of IPVS on a kernel without nf_tables: what it serves then, and what it says of the rest. */
import { openDataplane } from '../../src/dataplane/index.js'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { askTcp, askUdp } from './support/asking.js'
import { balanced, connect } from './support/balanced.js'
import { hasTables } from './support/tables.js'
import { clusterAddress, endpoint, endpoint6, nodeOf, virtualService } from './support/virtual-services.js'

ipvsTest('without nf_tables addresses are served, and what is missing is told', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const options = { netns: director.netns, node: nodeOf(director) }
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const foreign = { protocol: 'tcp', address: '10.96.0.50', port: 80 } as const
  await ipvs.createService({ ...foreign, scheduler: 'rr' })
  const isAlone = !(await hasTables(options))
  // Where nf_tables are missing IPVS is what auto takes.
  const first = isAlone ? await openDataplane(options) : await openIpvsDataplane(options)
  if (isAlone) t.match(first.chosenBecause, /^nf_tables cannot be used here: /)
  t.equal(first.kind, 'ipvs')
  t.equal(
    first.capabilities.missing.some(({ reason }) => reason === 'NoNftables'),
    isAlone,
  )
  const frontends = [
    { kind: 'cluster', address: clusterAddress, port: 80 },
    { kind: 'node-port', port: 30_080 },
  ] as const
  const services = [
    virtualService('web', { cluster: [endpoint('a'), endpoint('b')] }, { frontends }),
    virtualService('web', { cluster: [endpoint6('a')] }, { family: 'ipv6' }),
    virtualService('names', { cluster: [endpoint('c')] }, { protocol: 'udp' }),
    virtualService('none', {}, { frontends: [{ kind: 'cluster', address: '10.96.0.20', port: 80 }] }),
  ]
  const { failures, conditions } = await first.synchronize(services)
  t.same([...failures], [])
  if (isAlone) t.match(conditions.get(services[0]!.key), [{ reason: 'NodePortNotServed' }])
  const held = [
    await connect(client, { address: clusterAddress, port: 80 }),
    await connect(client, { address: clusterAddress, port: 80 }),
  ]
  t.same(held.map(({ server }) => server).sort(), ['a', 'b'])
  t.equal((await connect(client, { address: 'fd00:96::10', port: 80 })).server, 'a')
  t.equal(await askUdp(client, { address: clusterAddress, port: 80 }), 'c')
  t.equal(await askTcp(client, { address: '10.96.0.20', port: 80 }), 'refused', 'IPVS refuses by itself')
  first.close()

  await using second = await openIpvsDataplane(options)
  t.equal((await second.synchronize(services)).writes, 0, 'another process adopts it')
  t.equal((await second.synchronize([])).writes > 0, true)
  t.same(
    (await ipvs.services()).map(({ address }) => address),
    [foreign.address],
    'ours are gone, theirs stay',
  )
  await second.teardown()
  t.equal(await director.rtnetlink.links.find('viaduct0'), undefined)
})

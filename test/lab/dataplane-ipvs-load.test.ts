/** New connections without a pause while a node goes through everything: none fails. */
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import type { RealServer } from '../../src/model/index.js'
import type { Host } from '../../src/testing/index.js'
import { ipvsTest } from './ipvs-test.js'
import { clusterAddress, nodeOf, virtualService } from './support/virtual-services.js'
import { Traffic } from './traffic.js'

const port = 7000
/** New connections in a second, and of each stretch between two acts. */
const [rate, stretch] = [60, 150]
const key = { protocol: 'tcp', address: clusterAddress, port: 80 } as const

ipvsTest('no connection fails', async (t, sandbox) => {
  const { hosts } = await sandbox({
    hosts: ['client', 'director', 'a', 'b', 'c'],
    links: [
      ['client', 'director'],
      ['director', 'a'],
      ['director', 'b'],
      ['director', 'c'],
    ],
  })
  const { client, director, a, b, c } = hosts
  await using traffic = await Traffic.compile()
  for (const host of [a, b, c]) await traffic.serve(host, port)
  const of = (host: Host, weight = 1): RealServer => ({ address: host.address, port, weight })
  const options = { netns: director.netns, node: nodeOf(director) }
  let wanted = virtualService('web', { cluster: [of(a), of(b)] })
  const open = async () => {
    const opened = await openIpvsDataplane(options)
    const { failures, writes } = await opened.synchronize([wanted])
    t.same([...failures], [])
    return { opened, writes }
  }
  let dataplane = (await open()).opened
  const apply = async (cluster: RealServer[], draining: RealServer[] = []): Promise<void> => {
    wanted = virtualService('web', { cluster, draining })
    t.same([...(await dataplane.apply({ upserted: [wanted], deleted: [] })).failures], [])
  }

  const load = traffic.load(client, clusterAddress, 80, rate)
  await load.answered(stretch)
  await apply([of(a), of(c)])
  const replaced = Date.now()
  await load.answered(stretch)
  const drained = { from: 0, to: 0 }
  await apply([of(a)], [of(c)])
  drained.from = Date.now()
  await load.answered(stretch)
  drained.to = Date.now()
  await apply([of(a, 2), of(b)])
  await load.answered(stretch)
  dataplane.close()
  await load.answered(stretch)
  const again = await open()
  dataplane = again.opened
  t.equal(again.writes, 0, 'another process adopts it')
  await load.answered(stretch)
  await dataplane.apply({ upserted: [{ ...wanted, scheduler: 'rr' }], deleted: [] })
  await load.answered(stretch)
  await apply([of(a), of(b), of(c)])
  await load.answered(stretch)
  const { answers, failures, bySecond } = await load.stop()
  t.same(failures, [], `${answers.length} connections, ${bySecond.toFixed(0)} a second`)
  const between = (from: number, to: number) =>
    new Set(answers.filter(({ startedAt }) => startedAt > from && startedAt < to).map(({ server }) => server))
  t.notOk(between(replaced, drained.from).has('b'), 'who was replaced gets none')
  t.same([...between(drained.from, drained.to)], ['a'], 'nor does who drains')
  t.same([...between(drained.to, Date.now())].sort(), ['a', 'b', 'c'])

  // Between somebody's deletion and its repair clients may fail; they are counted apart.
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const during = traffic.load(client, clusterAddress, 80, rate)
  await during.answered(10)
  await ipvs.deleteDestination(key, of(a))
  await dataplane.repair()
  await during.answered(10)
  await ipvs.deleteService(key)
  await dataplane.repair()
  await during.answered(10)
  t.comment(`${(await during.stop()).failures.length} failed between a deletion and its repair`)
  const after = traffic.load(client, clusterAddress, 80, rate)
  await after.answered(stretch)
  t.same((await after.stop()).failures, [], 'none after it')
  dataplane.close()
})

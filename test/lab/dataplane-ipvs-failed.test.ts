/** Servers of IPVS that have failed without a word: what becomes of the connections that they had. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, type Held } from './support/balanced.js'
import { until } from './support/until.js'
import { clusterAddress, endpoint, nodeOf, virtualService } from './support/virtual-services.js'

const to = { address: clusterAddress, port: 80 }

ipvsTest(
  'the connections of a server that has failed are reset, and those of one that is out stay',
  async (t, sandbox) => {
    const { client, director } = (await balanced(sandbox)).hosts
    await using dataplane = await openIpvsDataplane({ netns: director.netns, node: nodeOf(director) })
    const [a, b] = [endpoint('a'), endpoint('b')]
    await dataplane.synchronize([virtualService('web', { cluster: [a, b] })])
    const held: Held[] = []
    for (let count = 0; count < 4; count++) held.push(await connect(client, to))
    const ofB = held.filter(({ server }) => server === 'b').map(({ socket }) => socket)
    const ofA = held.filter(({ server }) => server === 'a').map(({ socket }) => socket)
    t.equal(ofB.length, 2)
    // Nobody has this address.
    const { device } = director.towards('servers')
    await director.rtnetlink.neighbours.replace({
      device,
      address: b.address,
      linkAddress: '02:00:00:ff:ff:ff',
    })
    await dataplane.apply({ upserted: [virtualService('web', { cluster: [a] })], deleted: [] })
    await using ipvs = await Ipvs.open({ netns: director.netns })
    const servers = async (): Promise<readonly string[]> => {
      const [service] = await ipvs.list()
      return service!.destinations.map(({ address, weight }) => `${address} ${weight}`).sort()
    }
    t.same(await servers(), [`${a.address} 1`, `${b.address} 0`], 'out is drained')
    t.notOk(ofB.some(({ closed }) => closed))

    // Without nf_tables nothing has the kernel track connections here: nobody knows whom to ask.
    const isTracked = dataplane.capabilities.missing.every(({ reason }) => reason !== 'NoNftables')
    const ended = ofB.slice(0, isTracked ? 2 : 1).map(async (socket: Socket) => {
      const [error] = (await once(socket, 'error', { signal: AbortSignal.timeout(10_000) })) as [
        NodeJS.ErrnoException,
      ]
      return error.code
    })
    ofB[0]!.write('?')
    await dataplane.apply({ upserted: [virtualService('web', { cluster: [a], failed: [b] })], deleted: [] })
    await until('it is gone', async () => (await servers()).length === 1, { deadlineSeconds: 5 })
    const codes = await Promise.all(ended)
    t.same(
      codes,
      codes.map(() => 'ECONNRESET'),
      'one that has sent, and one that waits',
    )
    ofA[0]!.write('?')
    t.equal(String((await once(ofA[0]!, 'data'))[0]), 'a', 'others go on')
  },
)

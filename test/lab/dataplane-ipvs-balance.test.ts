/** Who gets how many of a thousand new connections, for each way to choose. */
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import type { VirtualService } from '../../src/model/index.js'
import { type Datagram, sendDatagrams } from '../kernel/support/datagrams.js'
import { Random, seeded } from '../kernel/support/seeds.js'
import { ipvsTest } from './ipvs-test.js'
import { until } from './support/until.js'
import { clusterAddress, virtualService } from './support/virtual-services.js'

const connections = 1000
/** By its scheduler: how far a share may be from its weight's. */
const bounds = { rr: 0.001, wrr: 0.005, wlc: 0.02, sh: 0.1, mh: 0.1 } as const
const weights = [3, 1]
const ports = Object.fromEntries(Object.keys(bounds).map((name, index) => [name, 1000 + index]))

/** As many clients as there are connections, each with an address of its own. */
function* clients(random: Random, toPort: number): Generator<Datagram> {
  for (let number = 0; number < connections; number++) {
    const from = `198.18.${random.below(256)}.${random.below(256)}`
    yield { from, fromPort: 1024 + number, to: clusterAddress, toPort }
  }
}

ipvsTest('shares of a thousand connections are those of the weights', async (t, sandbox) => {
  const random = seeded(t)
  // Servers are addresses of a network behind the director where nobody answers: its choice is what is looked at.
  const { hosts } = await sandbox({
    hosts: ['client', 'director', 'servers'],
    links: [
      ['client', 'director'],
      ['director', 'servers'],
    ],
    settings: {
      director: {
        defaultRoute: 'client',
        routes: [{ destination: '10.50.0.0/16', via: 'servers' }],
        sysctls: { 'net.ipv4.conf.all.rp_filter': 0 },
      },
    },
  })
  const { client, director } = hosts
  await using dataplane = await openIpvsDataplane({ netns: director.netns, node: { addresses: [] } })
  const services = Object.keys(bounds).map((scheduler): VirtualService => {
    const cluster = weights.map((weight, index) => ({ address: `10.50.0.${index + 1}`, port: 8080, weight }))
    return virtualService(
      scheduler,
      { cluster },
      {
        scheduler,
        protocol: 'udp',
        frontends: [{ kind: 'cluster', address: clusterAddress, port: ports[scheduler]! }],
      },
    )
  })
  t.same([...(await dataplane.synchronize(services)).failures], [])
  await using ipvs = await Ipvs.open({ netns: director.netns })
  for (const [scheduler, bound] of Object.entries(bounds)) {
    const port = ports[scheduler]!
    await sendDatagrams(client, director, clients(random, port))
    const nearlyAll = async (): Promise<readonly [number, number] | undefined> => {
      const found = await ipvs.destinations({ protocol: 'udp', address: clusterAddress, port })
      const [first = 0, second = 0] = found
        .sort((one, other) => (one.address < other.address ? -1 : 1))
        .map(({ activeConnections, inactiveConnections }) => activeConnections + inactiveConnections)
      return first + second >= connections * 0.95 ? [first, second] : undefined
    }
    // The last of them may still be on their way.
    const counts = await until(`${scheduler}: nearly all were given to somebody`, nearlyAll)
    const [first, second] = counts
    const total = first + second
    t.ok(total <= connections, `${scheduler}: ${total} connections of ${connections} clients`)
    const share = scheduler === 'rr' ? 0.5 : weights[0]! / (weights[0]! + weights[1]!)
    t.ok(Math.abs(first / total - share) <= bound, `${scheduler}: ${counts.join(' and ')}`)
  }
})

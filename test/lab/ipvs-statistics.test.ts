/**
 * Counters and rates, as the library reads them, of traffic that is known. What the CPUs have counted is summed up every
 * two seconds (ip_vs_est.c), and only then seen.
 */
import { once } from 'node:events'
import { Ipvs, IpvsService, type ServiceKey, type ServiceStatistics } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, realPort, server, virtualAddress } from './support/balanced.js'
import { until } from './support/until.js'

const names: ServiceKey = { protocol: 'udp', address: virtualAddress, port: realPort }
const others: ServiceKey = { ...names, port: realPort + 1 }
/** A datagram of one byte, with its headers. */
const datagramBytes = 20 + 8 + 1

ipvsTest('traffic is counted, has rates, and starts from zero again', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await using web = await IpvsService.temporary({ ...names, scheduler: 'rr' }, { ipvs })
  await using other = await IpvsService.temporary({ ...others, scheduler: 'rr' }, { ipvs })
  await web.servers.set([server('a')])
  await other.servers.set([server('a')])
  /** Each from a port of its own: a connection each. */
  const ask = async (port: number): Promise<void> => {
    const socket = await client.udp()
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.send('?', port, virtualAddress)
    await answer
    socket.close()
  }
  for (let count = 1; count <= 5; count++) await ask(names.port)
  await ask(others.port)

  const bytes = BigInt(5 * datagramBytes)
  const five = {
    connections: 5n,
    incomingPackets: 5n,
    outgoingPackets: 5n,
    incomingBytes: bytes,
    outgoingBytes: bytes,
  }
  const { service, servers } = await counted(web, 5)
  t.match(service, five)
  t.match(servers[0]?.statistics, five)
  t.equal(servers[0]?.inactiveConnections, 5)

  let asked = 5
  await until('rates', async () => {
    await ask(names.port)
    asked++
    const { service } = await web.statistics()
    return (
      service.connectionsPerSecond > 0 &&
      service.incomingPacketsPerSecond > 0 &&
      service.outgoingPacketsPerSecond > 0 &&
      service.incomingBytesPerSecond > 0 &&
      service.outgoingBytesPerSecond > 0
    )
  })
  t.pass('every rate moves')

  await counted(web, asked)
  await counted(other, 1)
  await ipvs.zero(names)
  const zeroed = await web.statistics()
  t.match(zeroed.service, { connections: 0n, incomingPackets: 0n, outgoingBytes: 0n })
  t.match(zeroed.servers[0]?.statistics, { connections: 0n, incomingPackets: 0n, outgoingBytes: 0n })
  t.equal((await other.statistics()).service.connections, 1n, 'the other keeps its own')
  await ask(names.port)
  await counted(web, 1)
  t.pass('it counts on from zero')
  await ipvs.zero()
  t.equal((await other.statistics()).service.connections, 0n, 'and all at once')
})

/** Resolves when the service has counted so many connections. */
function counted(service: IpvsService, connections: number): Promise<ServiceStatistics> {
  return until(`${connections} connections are counted`, async () => {
    const statistics = await service.statistics()
    const of = [statistics.service, ...statistics.servers.map((server) => server.statistics)]
    return of.every((one) => one.connections === BigInt(connections)) ? statistics : undefined
  })
}

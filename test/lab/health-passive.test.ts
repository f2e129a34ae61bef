/** What IPVS' own numbers tell of servers that refuse, that do not answer, and that do. */
import { once } from 'node:events'
import { ipvsPassive } from '../../src/health/index.js'
import { Ipvs, IpvsService, isKernelError, type ServiceKey } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, realPort, server, virtualAddress } from './support/balanced.js'
import { until } from './support/until.js'

const key: ServiceKey = { protocol: 'tcp', address: virtualAddress, port: realPort }
const rounds = 5

ipvsTest('IPVS tells which servers’ connections come about', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await using web = await IpvsService.temporary({ ...key, scheduler: 'rr' }, { ipvs })
  const well = server('a')
  const refuses = { ...server('b'), port: 9 }
  const silent = { ...server('c'), address: '10.0.2.99' }
  await web.servers.set([well, refuses, silent])
  // Packets to it go to nobody.
  const { device } = director.towards('servers')
  await director.rtnetlink.neighbours.replace({
    device,
    address: silent.address,
    linkAddress: '02:00:00:ff:ff:ff',
  })
  const passive = ipvsPassive(ipvs, key)
  const told = async () =>
    Object.fromEntries(
      [...(await passive())].map(({ address, connections, failures }) => [
        address,
        { connections, failures },
      ]),
    )
  t.same((await told())[well.address], { connections: 0, failures: 0 })

  const ended = { answered: 0, refused: 0 }
  const end = new AbortController()
  const asked = Array.from({ length: 3 * rounds }, async () => {
    try {
      const socket = await client.connect({
        address: virtualAddress,
        port: realPort,
        deadlineMilliseconds: 60_000,
        signal: end.signal,
      })
      // Closed with something unread it would be reset.
      await once(socket, 'data')
      socket.end()
      ended.answered++
    } catch (error) {
      if (isKernelError(error, 'ECONNREFUSED')) ended.refused++
    }
  })
  await until('two of three know', () => ended.answered === rounds && ended.refused === rounds)
  t.equal((await told())[silent.address]!.failures, 0, 'nothing is known of those that wait')
  await until('they are summed up', async () => (await told())[silent.address]!.connections === rounds)
  t.same(await told(), {
    [well.address]: { connections: rounds, failures: 0 },
    [refuses.address]: { connections: rounds, failures: rounds },
    [silent.address]: { connections: rounds, failures: rounds },
  })
  end.abort(new Error('over'))
  await Promise.all(asked)
})

/** What the dataplane of IPVS sends to the kernel: no more than has to be, and no deletion of what is not its own. */
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import type { VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { many } from '../kernel/kernel-test.js'
import { burst } from '../kernel/support/modelled.js'
import { seeded } from '../kernel/support/seeds.js'
import { ipvsTest } from './ipvs-test.js'
import { watchedTransports, type Write } from './support/ipvs-watched.js'
import { hasTables } from './support/tables.js'
import { virtualService } from './support/virtual-services.js'

const node = { addresses: ['10.9.0.1', 'fd09::1'] }

async function namespace(): Promise<NetworkNamespace> {
  const netns = NetworkNamespace.create()
  await using rtnetlink = await Rtnetlink.open({ netns })
  // IPVS asks for the route to a server.
  await rtnetlink.links.set('lo', { up: true })
  return netns
}

async function recorded(netns: NetworkNamespace) {
  let writes: Write[] = []
  const dataplane = await openIpvsDataplane(
    { netns, node },
    watchedTransports(netns, (sent) => void writes.push(...sent)),
  )
  const take = (): Write[] => {
    const taken = writes
    writes = []
    return taken
  }
  // What opening asks is refused on purpose (Transaction.check).
  take()
  return { dataplane, take }
}

function service(index: number, servers: number): VirtualService {
  const cluster = Array.from({ length: servers }, (_, number) => ({
    address: `10.${number}.0.${index + 1}`,
    port: 8080,
    weight: 1,
  }))
  const frontends = [{ kind: 'cluster', address: `172.30.0.${index + 1}`, port: 80 }] as const
  return virtualService(`s${index}`, { cluster }, { frontends })
}

ipvsTest('one server more or less costs the same at 5 and at 200 services', async (t) => {
  const costs: unknown[] = []
  for (const count of [5, 200]) {
    await using netns = await namespace()
    const { dataplane, take } = await recorded(netns)
    const services = Array.from({ length: count }, (_, index) => service(index, 2))
    t.same([...(await dataplane.synchronize(services)).failures], [])
    const made = take().filter(
      ({ what, about }) => what === 'ipvs newService' && about.startsWith('172.30.'),
    ).length
    t.equal(made, count, 'they are made')
    const told: unknown[] = []
    const change = async (what: string, upserted: VirtualService): Promise<void> => {
      const { writes } = await dataplane.apply({ upserted: [upserted], deleted: [] })
      const sent = take()
      t.equal(writes === 0, sent.length === 0, `${what}: what it says is what it sends`)
      t.ok(sent.length <= 4, `${what}: ${sent.map((one) => one.what).join(', ')}`)
      told.push({ what, sent })
    }
    await change('one more', service(3, 3))
    await change('one less', service(3, 2))
    const { servers, ...rest } = service(4, 2)
    const heavier = servers.cluster.map((one, index) => ({ ...one, weight: index + 1 }))
    await change('a weight', { ...rest, servers: { ...servers, cluster: heavier } })
    await change('nothing', { ...rest, servers: { ...servers, cluster: heavier } })
    costs.push(told)
    dataplane.close()

    const again = await recorded(netns)
    const now = [...services.slice(0, 4), { ...rest, servers: { ...servers, cluster: heavier } }]
    t.equal((await again.dataplane.synchronize([...now, ...services.slice(5)])).writes, 0)
    t.same(again.take(), [], 'a restart writes nothing')
    await again.dataplane.repair()
    t.same(again.take(), [], 'nor does a repair of what is whole')
    again.dataplane.close()
  }
  t.same(costs[1], costs[0])
})

ipvsTest('no deletion names what is not ours', async (t) => {
  const random = seeded(t)
  await using netns = await namespace()
  const tables = await hasTables({ netns })
  const [address, mark] = ['172.31.9.9', 0x7600_0000]
  await using ipvs = await Ipvs.open({ netns })
  await using rtnetlink = await Rtnetlink.open({ netns })
  await using nftables = await Nftables.open({ netns })
  await ipvs.createService({ protocol: 'tcp', address, port: 80, scheduler: 'rr' })
  await ipvs.createService({ firewallMark: mark, family: 'ipv4', scheduler: 'rr' })
  await rtnetlink.links.add({ kind: 'dummy', name: 'other0' })
  await rtnetlink.addresses.add({ device: 'other0', address: `${address}/32` })
  if (tables) {
    const others = nftables.transaction()
    for (const [family, name] of [
      ['inet', 'other'],
      ['ip', 'viaduct'],
    ] as const) {
      others.add('table', { family, name }).add('chain', { family, table: name, name: 'prerouting' })
    }
    await others.commit()
  }
  const theirs = async () => ({
    services: (await ipvs.services()).map(({ address, firewallMark }) => address ?? firewallMark).sort(),
    addresses: (await rtnetlink.addresses.list())
      .map((one) => one.address)
      .filter((one) => one.startsWith(address)),
    chains: tables
      ? (await nftables.chains()).map(({ family, table, name }) => `${family} ${table} ${name}`)
      : [],
  })
  const before = await theirs()

  const { dataplane, take } = await recorded(netns)
  await dataplane.synchronize([])
  const services = new Map<string, VirtualService>()
  for (let round = 0; round < 3; round++) {
    const { upserted, deleted } = burst(random, services, many(50) === 50 ? 60 : 15)
    // One that wants what they have.
    const taker = virtualService('taker', {}, { frontends: [{ kind: 'external', address, port: 80 }] })
    await dataplane.apply({ upserted: [...upserted, taker], deleted })
    for (const key of deleted) services.delete(key)
    for (const one of upserted) services.set(one.key, one)
    if (round === 1) await dataplane.synchronize([...services.values()].slice(0, 3))
  }
  await dataplane.teardown()
  dataplane.close()
  const sent = take()
  t.ok(sent.some(({ isDelete }) => isDelete))
  const strays = sent.filter(
    ({ what, about }) =>
      about === address ||
      // That it is asked for is refused.
      (about === `mark ${mark}` && what !== 'ipvs newService') ||
      (what.startsWith('nft') && about !== 'inet viaduct'),
  )
  t.same(strays, [])
  t.same(await theirs(), before, 'and all of it is as it was')
})

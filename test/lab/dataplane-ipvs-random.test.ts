/**
 * Random sequences of changes on the dataplane of IPVS: whatever happened, the kernel has what a fresh programming of the same
 * services makes. A run is repeated with `VIADUCT_SEED`.
 */
import type { Test } from 'tap'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import { keyOf } from '../../src/ipvs/input.js'
import type { NetworkNamespace } from '../../src/net/index.js'
import { type ElementInput, Nftables } from '../../src/nftables/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { many } from '../kernel/kernel-test.js'
import { burst, Modelled } from '../kernel/support/modelled.js'
import { type Random, seeded } from '../kernel/support/seeds.js'
import { ipvsTest } from './ipvs-test.js'
import { contentOf, differenceOf } from './support/ipvs-content.js'
import { hasTables } from './support/tables.js'

/** Under emulation a tenth. */
const [bursts, most] = many(50) === 50 ? [40, 60] : [5, 30]
const node = {
  addresses: ['10.9.0.1', 'fd09::1'],
  clusterRanges: ['10.1.0.0/16', 'fd00:1::/32'],
  serviceRanges: ['172.30.0.0/16', 'fd30::/64'],
}
const place = { family: 'inet', table: 'viaduct' } as const

/** Beside services of somebody else; one of them has an address that virtual services want, too. */
async function modelled(t: Test): Promise<{ model: Modelled; tables: boolean }> {
  const model = await Modelled.open(t, {
    open: (netns) => openIpvsDataplane({ netns, node }),
    contentOf,
    difference: differenceOf,
  })
  const tables = await hasTables({ netns: model.netns })
  for (const netns of [model.netns, model.fresh]) {
    await using ipvs = await Ipvs.open({ netns })
    await using rtnetlink = await Rtnetlink.open({ netns })
    // IPVS asks for the route to a server.
    await rtnetlink.links.set('lo', { up: true })
    await ipvs.createService({ firewallMark: 0x7600_0000, family: 'ipv4', scheduler: 'rr' })
    // Without a table it is the address that says whose a service is.
    const address = tables ? '172.30.0.1' : '192.0.2.1'
    await ipvs.createService({ protocol: 'tcp', address, port: 80, scheduler: 'wlc' })
    await ipvs.createDestination({ protocol: 'tcp', address, port: 80 }, { address: '192.0.2.7', port: 80 })
  }
  await model.dataplane.synchronize([])
  return { model, tables }
}

/** Something that another program does to what is ours. */
async function meddle(random: Random, netns: NetworkNamespace, tables: boolean): Promise<string> {
  await using ipvs = await Ipvs.open({ netns })
  await using rtnetlink = await Rtnetlink.open({ netns })
  await using nftables = await Nftables.open({ netns })
  const services = (await ipvs.list()).filter(({ service: { address, firewallMark, port } }) =>
    firewallMark === undefined
      ? address !== '192.0.2.1' && !(address === '172.30.0.1' && port === 80)
      : firewallMark > 0x7600_0000,
  )
  const one = services.length === 0 ? undefined : random.of(services)
  const key = one && keyOf(one.service)
  const acts: Record<string, () => Promise<unknown>> = {
    'deletes a service': async () => key && (await ipvs.deleteService(key)),
    'deletes servers': async () => {
      for (const server of one?.destinations ?? []) {
        if (random.once(2)) await ipvs.deleteDestination(key!, server)
      }
    },
    'changes weights': async () => {
      for (const server of one?.destinations ?? []) {
        await ipvs.setDestination(key!, {
          address: server.address,
          port: server.port,
          weight: random.below(9),
        })
      }
    },
    'adds a server': async () =>
      key &&
      (await ipvs.createDestination(key, {
        address: one.service.family === 'ipv4' ? '192.0.2.66' : '2001:db8::66',
        port: 66,
      })),
    'changes the scheduler': async () => key && (await ipvs.setService({ ...key, scheduler: 'lblc' })),
    'deletes an address': async () => {
      const link = await rtnetlink.links.find('viaduct0')
      const ours = (await rtnetlink.addresses.list()).filter(
        ({ device, scope }) => device === link?.index && scope === 'universe',
      )
      if (ours.length > 0) {
        await rtnetlink.addresses.delete({ device: 'viaduct0', address: random.of(ours).address })
      }
    },
    'takes the interface down': () => rtnetlink.links.set('viaduct0', { up: false }),
    'deletes the interface': () => rtnetlink.links.delete('viaduct0'),
  }
  const ofTables: typeof acts = {
    'deletes the table': () =>
      nftables.transaction().delete('table', { family: 'inet', name: 'viaduct' }).commit(),
    'empties a chain or adds a rule': async () => {
      const { name } = random.of((await nftables.chains(place)).filter(({ table }) => table === 'viaduct'))
      const drop = { name: 'immediate', destinationRegister: 0, data: { code: 'drop' } } as const
      const transaction = nftables.transaction()
      if (random.once(2)) transaction.flush('chain', { ...place, name })
      else transaction.insert('rule', { ...place, chain: name, expressions: [drop] })
      await transaction.commit()
    },
    'deletes elements': async () => {
      const { elements } = await nftables.ruleset(place)
      const transaction = nftables.transaction()
      for (const { set, elements: list } of elements) {
        if (/-ranges|affinity/.test(set) && !set.startsWith('source-ranges')) continue
        const some = random
          .some(list as readonly ElementInput[], 0, 5)
          .map(({ key, keyEnd }) => ({ key, keyEnd }))
        if (some.length > 0) transaction.delete('elements', { ...place, set, elements: some })
      }
      if (transaction.operations.length > 0) await transaction.commit()
    },
    'empties a set': async () => {
      const { name } = random.of(await nftables.sets(place))
      await nftables
        .transaction()
        .flush('set', { ...place, name })
        .commit()
    },
  }
  const all = tables ? { ...acts, ...ofTables } : acts
  const name = random.of(Object.keys(all))
  await all[name]!()
  return name
}

ipvsTest('bursts of changes end in what a fresh start makes', async (t) => {
  const random = seeded(t)
  const { model, tables } = await modelled(t)
  let changes = 0
  for (let round = 0; round < bursts; round++) {
    const change = burst(random, model.services, most)
    changes += change.upserted.length + change.deleted.length
    const isAll = random.once(6)
    if (isAll) await model.synchronize(change)
    else await model.apply(change)
    const found = await model.differences()
    if (!t.same(found, [], `burst ${round} (${isAll ? 'synchronize' : 'apply'})`)) return
    if (random.once(3) || round === 0) {
      if (!t.equal(await model.restart(), 0, `burst ${round}: a restart writes nothing`)) return
    }
    if (round === 0 || random.once(2)) {
      const did = await meddle(random, model.netns, tables)
      const isRepair = random.once(2)
      if (isRepair) await model.dataplane.repair()
      else await model.synchronize({ upserted: [], deleted: [] })
      const left = await model.differences()
      if (!t.same(left, [], `burst ${round}: ${did}; ${isRepair ? 'repair' : 'synchronize'}`)) return
    }
  }
  t.comment(`${changes} changes, ${model.services.size} services`)
  model.close()
})

ipvsTest('what an earlier process programmed stays until somebody speaks of it', async (t) => {
  const random = seeded(t)
  const { model } = await modelled(t)
  for (let round = 0; round < Math.ceil(bursts / 4); round++) {
    await model.apply(burst(random, model.services, most))
    // What nothing but a hairpin of is there, for want of an address, is not found again.
    const heard = new Set(random.some([...model.services.keys()]))
    await model.restartKnowing(heard)
    const isHairpin = (line: string): boolean => /^[+-] hairpin/.test(line)
    const kept = (await model.differences()).filter((line) => !isHairpin(line))
    if (!t.same(kept, [], `round ${round}: a restart that has heard of some`)) return
    const late = [...model.services.values()].filter(({ key }) => !heard.has(key) && random.once(2))
    t.equal((await model.dataplane.apply({ upserted: late, deleted: [] })).failures.size, 0)
    const adopted = (await model.differences()).filter((line) => !isHairpin(line))
    if (!t.same(adopted, [], `round ${round}: some are adopted`)) return
    for (const { key } of late) heard.add(key)
    for (const key of model.services.keys()) if (!heard.has(key)) model.services.delete(key)
    await model.synchronize(burst(random, model.services, most))
    if (!t.same(await model.differences(), [], `round ${round}: what nobody wants is gone`)) return
  }
  model.close()
})

/** Virtual addresses on an interface: put on, taken off, known again, and what is not ours left alone. */
import { VirtualAddresses } from '../../src/edge/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import { forgetOwners } from './support/older-addresses.js'

const network = { hosts: ['one', 'two'], links: [['one', 'two']] } as const
const addresses = ['10.0.1.100/24', '192.0.2.10', 'fd00:1::100/64', '2001:db8::10']
const written = ['10.0.1.100/24', '192.0.2.10/32', '2001:db8::10/128', 'fd00:1::100/64']

async function list(host: Host, device = 'eth0'): Promise<string[]> {
  const all = await host.rtnetlink.addresses.list({ device })
  return all
    .map(({ address }) => address)
    .filter((address) => !address.startsWith('fe80'))
    .sort()
}
const own = ['10.0.1.1/24', 'fd00:1::1/64']

kernelTest('addresses are put on and taken off', {}, async (t, sandbox) => {
  const { one, two } = (await sandbox(network)).hosts
  t.same(await list(one), own)
  const virtual = await VirtualAddresses.open({ netns: one.netns, device: 'eth0', addresses })
  t.same(await list(one), own, 'opening changes nothing')
  t.match(await virtual.put(), { changed: virtual.addresses, foreign: [] })
  t.same(await list(one), [...own, ...written].sort())
  t.match(await virtual.put(), { changed: [], foreign: [] }, 'a second time nothing is to be done')
  const all = await one.rtnetlink.addresses.list({ device: 'eth0' })
  const find = (address: string) => all.find((entry) => entry.address === address)!
  t.match(find('10.0.1.100/24'), { label: 'eth0:viaduct', flags: ['secondary', 'permanent'], protocol: 118 })
  t.match(find('fd00:1::100/64').flags, ['no-dad', 'deprecated', 'permanent'], 'usable at once')
  t.notOk(find('fd00:1::100/64').flags.includes('tentative'))
  await two.ping('10.0.1.100')
  await two.ping('fd00:1::100')
  const routes = await one.rtnetlink.routes.list({ family: 'ipv6' })
  t.ok(
    routes.some(({ destination, metric }) => destination === 'fd00:1::/64' && metric === 256),
    'the route to the network is the old one',
  )
  t.same([...(await virtual.remove()).changed].sort(), written)
  t.same(await list(one), own)
  await virtual.put()
  await virtual.close()
  t.same(await list(one), own, 'closing takes them off, too')
})

kernelTest('what others have put there is left alone', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const { addresses: raw } = one.rtnetlink
  const theirs = ['10.0.1.100/24', 'fd00:1::100/64', '2001:db8::77/128']
  for (const address of theirs)
    await raw.add({ device: 'eth0', address, flags: address.includes(':') ? ['no-dad'] : [] })
  const virtual = await VirtualAddresses.open({ netns: one.netns, device: 'eth0', addresses })
  t.same(await virtual.put(), {
    changed: ['192.0.2.10/32', '2001:db8::10/128'],
    foreign: ['10.0.1.100/24', 'fd00:1::100/64'],
  })
  t.same((await virtual.remove()).foreign.length, 2)
  t.same(await list(one), [...own, ...theirs].sort())
  await virtual.close()
  t.same(await list(one), [...own, ...theirs].sort())
})

kernelTest('those of a process that is gone are known again', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const options = { netns: one.netns, device: 'eth0' }
  // Never closed: as if it had been killed.
  const killed = await VirtualAddresses.open({ ...options, addresses, owner: 200 })
  await killed.put()
  const stranger = await VirtualAddresses.open({ ...options, addresses, owner: 201 })
  t.equal((await stranger.remove()).foreign.length, 4, 'another owner’s are not its own')
  await stranger.close()
  const changed = await VirtualAddresses.open({
    ...options,
    addresses: ['192.0.2.10', '192.0.2.11'],
    owner: 200,
  })
  t.same(await changed.put(), { changed: ['192.0.2.11/32'], foreign: [] })
  t.same(
    await list(one),
    [...own, '192.0.2.10/32', '192.0.2.11/32'].sort(),
    'those of an earlier list are gone',
  )
  await changed.close()
  t.same(await list(one), own)
  await killed.close()
})

for (const device of ['eth0', 'enp0s31f6']) {
  for (const owner of [undefined, 200]) {
    const whose = `${device}, ${owner ?? 'the usual owner'}`
    kernelTest(`before Linux 5.18 they are known by other marks: ${whose}`, {}, async (t, sandbox) => {
      const { one } = (await sandbox(network)).hosts
      if (device !== 'eth0') await one.rtnetlink.links.add({ kind: 'bridge', name: device, up: true })
      const left = async (): Promise<string[]> =>
        (await list(one, device)).filter((address) => !own.includes(address))
      const mine = ['192.0.2.10/24', '2001:db8::10/64']
      const options = { netns: one.netns, device, owner }
      const virtual = await VirtualAddresses.open({ ...options, addresses: mine })
      await virtual.put()
      await forgetOwners(one, device)
      t.same(await virtual.put(), { changed: [], foreign: [] }, 'they are ours')
      const stranger = await VirtualAddresses.open({ ...options, addresses: mine, owner: 201 })
      t.same([...(await stranger.put()).foreign].sort(), mine, 'and not another’s')
      await stranger.close()
      t.same(await left(), mine)

      if (owner !== undefined) {
        const later = await VirtualAddresses.open({ ...options, addresses: ['192.0.2.11'] })
        await later.put()
        t.same(await left(), ['192.0.2.11/32'], 'those of an earlier list are gone')
        await later.close()
        await virtual.put()
        await forgetOwners(one, device)
      }
      t.same([...(await virtual.remove()).changed].sort(), mine)
      t.same(await left(), [])
      // The same without any mark.
      for (const address of mine) await one.rtnetlink.addresses.add({ device, address })
      t.same([...(await virtual.put()).foreign].sort(), mine)
      await virtual.close()
      t.same(await left(), mine)
    })
  }
}

kernelTest('the kernel takes no other addresses away with ours', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const virtual = await VirtualAddresses.open({
    netns: one.netns,
    device: 'eth0',
    addresses: ['198.51.100.1/24'],
  })
  await virtual.put()
  // After ours, in its prefix: to the kernel this is a secondary one.
  await one.rtnetlink.addresses.add({ device: 'eth0', address: '198.51.100.7/24' })
  const before = one.sysctl('net.ipv4.conf.eth0.promote_secondaries')
  await virtual.remove()
  t.same(await list(one), [...own, '198.51.100.7/24'].sort())
  t.equal(one.sysctl('net.ipv4.conf.eth0.promote_secondaries'), before)
  await virtual.close()
})

kernelTest('an interface that is gone', {}, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const virtual = await VirtualAddresses.open({ netns: one.netns, device: 'eth9', addresses })
  await t.rejects(virtual.put(), { code: 'ENODEV' })
  t.same(await virtual.remove(), { changed: [], foreign: [] })
  await virtual.close()
  await t.rejects(VirtualAddresses.open({ device: 'eth0', addresses: ['10.0.0.300'] }), {
    code: 'ERR_VIADUCT_VALIDATION',
    path: 'addresses[0]',
  })
  await t.rejects(VirtualAddresses.open({ device: 'eth0', addresses, owner: 3 }), {
    code: 'ERR_VIADUCT_VALIDATION',
    path: 'owner',
  })
})

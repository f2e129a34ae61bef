/** Hosts that serve a virtual address by direct routing, with real packets. */
import { prepareRealServer, undoRealServer } from '../../src/edge/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import { until } from './support/edge.js'
import { forgetOwners } from './support/older-addresses.js'

const network = { hosts: ['client', 'one', 'two'], links: [['client', 'one', 'two']] } as const
const virtual = '10.0.1.100'
const settings = ['net.ipv4.conf.all.arp_ignore', 'net.ipv4.conf.all.arp_announce']
const read = (host: Host): string[] => settings.map((name) => host.sysctl(name))
const onLo = async (host: Host): Promise<string[]> =>
  (await host.rtnetlink.addresses.list({ device: 'lo' })).map(({ address }) => address).sort()
const itsOwn = ['127.0.0.1/8', '::1/128']

kernelTest('a real server serves an address that it does not answer for', {}, async (t, sandbox) => {
  const { client, one, two } = (await sandbox(network)).hosts
  for (const host of [one, two]) {
    await host.serve((_request, response) => response.end(host.name), { port: 8080 })
  }
  const before = read(one)
  const change = await prepareRealServer({ netns: one.netns, addresses: [virtual, 'fd00:1::100'] })
  await prepareRealServer({ netns: two.netns, addresses: [virtual, 'fd00:1::100'] })
  t.same(change, {
    addresses: [`${virtual}/32`, 'fd00:1::100/128'],
    foreign: [],
    settings: { 'net/ipv4/conf/all/arp_ignore': '1', 'net/ipv4/conf/all/arp_announce': '2' },
  })
  t.same(await onLo(one), [...itsOwn, `${virtual}/32`, 'fd00:1::100/128'].sort())
  const [entry] = (await one.rtnetlink.addresses.list({ device: 'lo' })).filter(
    ({ address }) => address === `${virtual}/32`,
  )
  t.match(entry, { scope: 'host', protocol: 119 })
  // Nobody answers: the client's question ends.
  for (const [address, family] of [
    [virtual, 'ipv4'],
    ['fd00:1::100', 'ipv6'],
  ] as const) {
    await t.rejects(client.ping(address, { deadlineMilliseconds: 100 }))
    const known = await client.rtnetlink.neighbours.list({ family })
    t.equal(
      known.find((each) => each.address === address)?.linkAddress,
      undefined,
      `${address} has no answer`,
    )
    // As a director sends it: to the hardware address of the real server, with the destination as it is.
    for (const host of [one, two]) {
      const { address: linkAddress } = await host.rtnetlink.links.get('eth0')
      await client.rtnetlink.neighbours.replace({ device: 'eth0', address, linkAddress })
      const url = family === 'ipv4' ? `http://${address}:8080/` : `http://[${address}]:8080/`
      t.equal((await client.fetch(url)).text(), host.name)
    }
    await client.rtnetlink.neighbours.delete({ device: 'eth0', address })
  }
  t.match(await prepareRealServer({ netns: one.netns, addresses: [virtual, 'fd00:1::100'] }), {
    addresses: [],
    settings: {},
  })
  await prepareRealServer({ netns: one.netns, addresses: ['10.0.1.101'] })
  t.same(await onLo(one), [...itsOwn, '10.0.1.101/32'].sort(), 'the list is what it was given last')
  const undone = await undoRealServer({ netns: one.netns })
  t.same(undone.addresses, ['10.0.1.101/32'])
  t.same(read(one), before)
  t.same(await onLo(one), itsOwn)
  t.equal((await one.rtnetlink.links.get('lo')).alias, undefined)
  t.match(await undoRealServer({ netns: one.netns }), { addresses: [], settings: {} }, 'a second time')
})

kernelTest('without the settings both would answer', {}, async (t, sandbox) => {
  const { client, one } = (await sandbox(network)).hosts
  await one.rtnetlink.addresses.add({ device: 'lo', address: virtual, scope: 'host' })
  await client.ping(virtual).catch(() => undefined)
  await until(async () =>
    (await client.rtnetlink.neighbours.list()).some(
      ({ address, linkAddress }) => address === virtual && linkAddress !== undefined,
    ),
  )
  t.match(await prepareRealServer({ netns: one.netns, addresses: [virtual] }), { foreign: [`${virtual}/32`] })
  await undoRealServer({ netns: one.netns })
  t.ok((await onLo(one)).includes(`${virtual}/32`), 'what somebody else has put there stays')
})

kernelTest('before Linux 5.18 what was prepared is known by other marks', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const { netns } = one
  await prepareRealServer({ netns, addresses: [virtual, 'fd00:1::100'] })
  await forgetOwners(one, 'lo')
  t.match(await prepareRealServer({ netns, addresses: ['10.0.1.101'] }), { foreign: [] })
  t.same(await onLo(one), [...itsOwn, '10.0.1.101/32'].sort(), 'the list is what it was given last')
  await forgetOwners(one, 'lo')
  t.match(await undoRealServer({ netns }), { addresses: ['10.0.1.101/32'] })
  t.same(await onLo(one), itsOwn)
})

kernelTest('settings by interface, and what is stricter stays', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  one.sysctl('net.ipv4.conf.eth0.arp_ignore', 2)
  const { settings: changed } = await prepareRealServer({
    netns: one.netns,
    addresses: [virtual],
    devices: ['eth0'],
  })
  t.same(changed, { 'net/ipv4/conf/eth0/arp_announce': '2' })
  t.equal(one.sysctl('net.ipv4.conf.all.arp_ignore'), '0')
  // Set back by somebody: a second time it is set again, and the first value is the one to restore.
  one.sysctl('net.ipv4.conf.eth0.arp_announce', 1)
  await prepareRealServer({ netns: one.netns, addresses: [virtual], devices: ['eth0'] })
  t.equal(one.sysctl('net.ipv4.conf.eth0.arp_announce'), '2')
  await undoRealServer({ netns: one.netns })
  t.equal(one.sysctl('net.ipv4.conf.eth0.arp_announce'), '0')
  t.equal(one.sysctl('net.ipv4.conf.eth0.arp_ignore'), '2')
})

kernelTest('what cannot be meant', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const { netns } = one
  const refused = (path: string) => ({ code: 'ERR_VIADUCT_VALIDATION', path })
  await t.rejects(prepareRealServer({ netns, addresses: ['10.0.1.100/24'] }), refused('addresses[0]'))
  await t.rejects(
    prepareRealServer({ netns, addresses: [virtual], devices: ['eth7'] }),
    refused('devices[0]'),
  )
  await one.rtnetlink.links.set('lo', { alias: 'of somebody else' })
  await t.rejects(prepareRealServer({ netns, addresses: [virtual] }), { code: 'ERR_VIADUCT_UNSUPPORTED' })
  t.same(await onLo(one), itsOwn, 'nothing was done')
  t.same(read(one), ['0', '0'])
})

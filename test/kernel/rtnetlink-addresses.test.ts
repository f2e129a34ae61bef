/** Addresses as the running kernel has them, and as iproute2 reads them. */
import { ip } from './ip.js'
import { kernelTest } from './kernel-test.js'

kernelTest('iproute2 reads addresses as they were given', {}, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  const { addresses, links } = one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  await addresses.add({ device: 'br0', address: '192.0.2.1/24', broadcast: '192.0.2.255', label: 'br0:1' })
  await addresses.add({ device: 'br0', address: '192.0.2.9/24', metric: 7, flags: ['no-prefix-route'] })
  await addresses.add({ device: 'br0', address: '10.0.0.1', peer: '10.0.0.2/31', scope: 'link' })
  await addresses.add({
    device: 'br0',
    address: '2001:db8::1/64',
    flags: ['no-dad'],
    validSeconds: 3600,
    preferredSeconds: 0,
  })
  const about = { device: 'br0', address: '2001:db8::1/64' }
  t.match((await addresses.list({ device: 'br0' })).find(({ address }) => address === about.address)?.flags, [
    'no-dad',
    'deprecated',
  ])
  const said = await ip(one, 'address', 'show', 'dev', 'br0')
  if (said === undefined) return
  const told = said[0]?.['addr_info'] as readonly Record<string, unknown>[]
  const of = (local: string) => told.find((each) => each['local'] === local)
  t.match(of('192.0.2.1'), { prefixlen: 24, broadcast: '192.0.2.255', label: 'br0:1', scope: 'global' })
  t.match(of('192.0.2.9'), { prefixlen: 24, metric: 7, noprefixroute: true, secondary: true })
  t.match(of('10.0.0.1'), { prefixlen: 31, address: '10.0.0.2', scope: 'link' })
  t.match(of('2001:db8::1'), { prefixlen: 64, nodad: true, deprecated: true, preferred_life_time: 0 })
  const left = of('2001:db8::1')?.['valid_life_time'] as number
  t.ok(left > 3500 && left <= 3600, `valid for ${left} seconds`)
  await addresses.replace({ ...about, flags: ['no-dad'] })
  const again = (await ip(one, 'address', 'show', 'dev', 'br0'))?.[0]?.['addr_info']
  t.match(
    (again as readonly Record<string, unknown>[]).find((each) => each['local'] === '2001:db8::1'),
    { preferred_life_time: 0xffff_ffff, valid_life_time: 0xffff_ffff },
  )
})

/** Neighbours as the running kernel has them. */
import type { KernelError } from '../../src/errors/index.js'
import { neighbour as table } from '../../src/rtnetlink/wire.js'
import { asGiven, knownHere, samples } from '../lab/support/rtnetlink-samples.js'
import { ip } from './ip.js'
import { kernelTest } from './kernel-test.js'

const pair = { hosts: ['one', 'two'], links: [['one', 'two']] } as const

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

kernelTest('every attribute of neighbours', {}, async (t, sandbox) => {
  const { neighbours } = (await sandbox(pair)).hosts.one.rtnetlink
  for (const whole of samples.neighbour.records) {
    const record = knownHere(table, whole)
    await neighbours.add({ device: 'eth0', ...record } as never)
    const read = (await neighbours.list()).find(({ address }) => address === record.address)
    t.strictSame(asGiven(read, record), record)
  }
})

kernelTest('neighbours are added, replaced and deleted', {}, async (t, sandbox) => {
  const { one } = (await sandbox(pair)).hosts
  const { neighbours, links } = one.rtnetlink
  const { index } = await links.get('eth0')
  const key = { device: 'eth0', address: '10.0.1.77' }
  await neighbours.add({ ...key, linkAddress: '02:00:00:00:00:77' })
  await neighbours.add({
    device: index,
    address: 'fd00:1::77',
    linkAddress: '02:00:00:00:00:78',
    state: 'stale',
    flags: ['router', 'externally-learned'],
    protocol: 'zebra',
  })
  const find = async (address: string) =>
    (await neighbours.list({ device: 'eth0' })).find((each) => each.address === address)
  t.match(await find('10.0.1.77'), {
    device: index,
    family: 'ipv4',
    linkAddress: '02:00:00:00:00:77',
    state: 'permanent',
    proxy: false,
    cache: { references: Number },
  })
  t.match(await find('fd00:1::77'), {
    family: 'ipv6',
    linkAddress: '02:00:00:00:00:78',
    state: 'stale',
    flags: ['externally-learned', 'router'],
    protocol: 'zebra',
  })
  const said = await ip(one, 'neigh', 'show', 'dev', 'eth0')
  if (said !== undefined) {
    t.match(
      said.find(({ dst }) => dst === '10.0.1.77'),
      { lladdr: '02:00:00:00:00:77', state: ['PERMANENT'] },
    )
    t.match(
      said.find(({ dst }) => dst === 'fd00:1::77'),
      {
        lladdr: '02:00:00:00:00:78',
        state: ['STALE'],
        router: null,
        extern_learn: null,
      },
    )
  }
  t.match(await failure(neighbours.add({ ...key, linkAddress: '02:00:00:00:00:01' })), {
    code: 'EEXIST',
    operation: 'rtnetlink.addNeighbour',
    object: key,
  })
  await neighbours.replace({ ...key, linkAddress: '02:00:00:00:00:79', state: 'reachable' })
  t.match(await find('10.0.1.77'), { linkAddress: '02:00:00:00:00:79', state: 'reachable' })
  await neighbours.delete(key)
  t.equal(await find('10.0.1.77'), undefined)
  t.match(await failure(neighbours.delete(key)), { code: 'ENOENT', operation: 'rtnetlink.deleteNeighbour' })
  t.match(await failure(neighbours.add({ ...key, device: 'eth9' })), {
    code: 'ENODEV',
    operation: 'rtnetlink.addNeighbour',
  })
  t.match(await failure(neighbours.add({ ...key, linkAddress: '02:00' })), {
    code: 'EINVAL',
    kernelMessage: 'Invalid link address',
  })
})

kernelTest('one that is used is found by itself', {}, async (t, sandbox) => {
  const { one, two } = (await sandbox(pair)).hosts
  await one.ping(two.address, { deadlineMilliseconds: 10_000 })
  const { address } = await two.rtnetlink.links.get('eth0')
  const found = await one.rtnetlink.neighbours.list({ family: 'ipv4' })
  t.match(
    found.find((each) => each.address === two.address),
    { linkAddress: address, state: /reachable|delay|stale|permanent/ },
  )
})

kernelTest('addresses that a link answers for', {}, async (t, sandbox) => {
  const { one } = (await sandbox(pair)).hosts
  const { neighbours, links } = one.rtnetlink
  const { index } = await links.get('eth0')
  const key = { device: 'eth0', address: '10.0.9.1', proxy: true }
  await neighbours.add(key)
  await neighbours.add({ device: 'eth0', address: 'fd00:9::1', proxy: true })
  const short = async (filter: object) =>
    (await neighbours.list({ proxy: true, ...filter })).map(({ address, device, proxy }) => [
      address,
      device,
      proxy,
    ])
  t.same(await short({}), [
    ['10.0.9.1', index, true],
    ['fd00:9::1', index, true],
  ])
  t.same(await short({ family: 'ipv6' }), [['fd00:9::1', index, true]])
  t.same(await short({ device: 'lo' }), [])
  const said = await ip(one, 'neigh', 'show', 'proxy')
  if (said !== undefined) t.match(said, [{ dst: '10.0.9.1', dev: 'eth0', proxy: null }, { dst: 'fd00:9::1' }])
  t.notOk(
    (await neighbours.list()).some(({ proxy }) => proxy),
    'which are no neighbours',
  )
  await neighbours.delete(key)
  t.same(await short({ family: 'ipv4' }), [])
  t.match(await failure(neighbours.delete(key)), { code: 'ENOENT' })
})

kernelTest('neighbours of one link, and of the ports of one bridge', {}, async (t, sandbox) => {
  const { neighbours, links } = (await sandbox({ hosts: ['one'] })).hosts.one.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  for (const [name, number] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    await links.add({ kind: 'veth', name, up: true, data: { peer: { name: `${name}-far` } } })
    for (const address of [`10.0.0.${number}`, `2001:db8::${number}`]) {
      await neighbours.add({ device: name, address, linkAddress: `02:00:00:00:00:0${number}` })
    }
  }
  await links.set('a', { master: 'br0' })
  const permanent = async (filter: object) =>
    (await neighbours.list(filter)).filter(({ state }) => state === 'permanent').map(({ address }) => address)
  t.same(await permanent({ device: 'a' }), ['10.0.0.1', '2001:db8::1'])
  t.same(await permanent({ device: 'b', family: 'ipv6' }), ['2001:db8::2'])
  t.same(await permanent({ master: 'br0' }), ['10.0.0.1', '2001:db8::1'])
  t.same(new Set(await permanent({})), new Set(['10.0.0.1', '2001:db8::1', '10.0.0.2', '2001:db8::2']))
})

/** Checks of real servers in namespaces: those that answer, refuse, hang, and cannot be reached at all. */
import { Conntrack } from '../../src/conntrack/index.js'
import { HealthMonitor, withoutConntrack } from '../../src/health/index.js'
import { addRule, ct, drop, Nftables } from '../../src/nftables/index.js'
import { Sockdiag } from '../../src/sockdiag/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest, many } from './kernel-test.js'
import { HealthLog } from './support/health.js'

const rules = {
  intervalMilliseconds: 50,
  transitionIntervalMilliseconds: 20,
  timeoutMilliseconds: 200,
  rise: 2,
  fall: 2,
  damping: false,
} as const

/** What is sent to the address arrives nowhere: a server that hangs. Null mends it. */
async function losePackets(host: Host, address: string, lose: boolean): Promise<void> {
  const device = host.interfaces[0]!.device
  if (lose) {
    await host.rtnetlink.neighbours.replace({ device, address, linkAddress: '02:00:00:ff:ff:ff' })
  } else await host.rtnetlink.neighbours.delete({ device, address })
}

kernelTest('TCP: servers that answer, refuse, hang, and have no route', {}, async (t, sandbox) => {
  const net = await sandbox({ hosts: ['director', 'a', 'b', 'c'], links: [['director', 'a', 'b', 'c']] })
  const { director, a, b, c } = net.hosts
  for (const host of [a, c]) await host.serveTcp(() => undefined, { port: 80 })
  await losePackets(director, c.address, true)
  await director.rtnetlink.routes.add({ destination: '203.0.113.0/24', type: 'unreachable' })
  const monitor = new HealthMonitor()
  try {
    const log = new HealthLog(monitor)
    const addresses = [a.address, b.address, c.address, '203.0.113.1']
    monitor.set('web', {
      servers: addresses.map((address) => ({ address, port: 80, weight: 1 })),
      check: { kind: 'tcp', netns: director.netns },
      rules: { ...rules, mostOut: 1 },
    })
    await log.until('up', a.address)
    t.match((await log.until('down', b.address)).reason, /^refused/)
    t.match((await log.until('down', c.address)).reason, /^timed-out/)
    t.match((await log.until('check-blocked', '203.0.113.1')).reason, /^no-route/)
    const weights = () =>
      Object.fromEntries(monitor.serversOf('web')!.map(({ address, weight }) => [address, weight]))
    t.same(weights(), { [a.address]: 1, [b.address]: 0, [c.address]: 0, '203.0.113.1': 1 })
    t.equal(
      monitor.health('web')!.servers[3]!.verdict,
      'unknown',
      'nothing is known of what cannot be checked',
    )

    // They come back, and the one that was well goes.
    await b.serveTcp(() => undefined, { port: 80 })
    await losePackets(director, c.address, false)
    await log.until('put-back', b.address)
    await log.until('put-back', c.address)
    await losePackets(director, a.address, true)
    t.match((await log.until('taken-out', a.address)).reason, /^down: timed-out/)
    t.same(weights(), { [a.address]: 0, [b.address]: 1, [c.address]: 1, '203.0.113.1': 1 })
  } finally {
    monitor.close()
  }
})

kernelTest('thousands of checks leave neither TIME_WAIT nor entries of conntrack', {}, async (t, sandbox) => {
  const net = await sandbox({ hosts: ['director', 'server'], links: [['director', 'server']] })
  const { director, server } = net.hosts
  await server.serveTcp((socket) => socket.resume(), { port: 80 })
  // A chain that asks for states turns connection tracking on.
  await using nftables = await Nftables.open({ netns: director.netns })
  const table = { family: 'inet', table: 'tracks' } as const
  const transaction = nftables
    .transaction()
    .add('table', { family: 'inet', name: 'tracks' })
    .add('chain', { ...table, name: 'in', hook: 'input', priority: 'filter' })
  addRule(transaction, { ...table, chain: 'in' }, ct.state.has('invalid'), drop)
  await transaction.commit()
  const { netns } = director
  const untracked = await withoutConntrack(0x77, { netns })
  await using conntrack = await Conntrack.open({ netns: director.netns })
  const run = async (mark: number | undefined, handshake: 'half' | 'full', checks: number): Promise<void> => {
    const monitor = new HealthMonitor()
    try {
      const servers = Array.from({ length: 50 }, (_, index) => ({
        address: server.address,
        port: 1000 + index,
        weight: 1,
      }))
      monitor.set('web', {
        servers,
        check: { kind: 'tcp', port: 80, netns: director.netns, mark, handshake },
        rules: { intervalMilliseconds: 5, transitionIntervalMilliseconds: 5, timeoutMilliseconds: 5000 },
      })
      while (monitor.counts.checks < checks) await new Promise((resolve) => setImmediate(resolve))
      t.equal(monitor.counts.passed, monitor.counts.checks, 'all of them passed')
    } finally {
      monitor.close()
    }
  }
  const timeWaits = async (host: Host): Promise<number> => {
    await using sockdiag = await Sockdiag.open({ netns: host.netns })
    return (await sockdiag.sockets({ protocol: 'tcp', states: ['time-wait'] })).length
  }
  await run(undefined, 'half', 20)
  t.ok((await conntrack.count()) > 0, 'without the mark there are entries')
  const before = await conntrack.count()
  for (const handshake of ['half', 'full'] as const) await run(0x77, handshake, many(2000))
  t.ok((await conntrack.count()) <= before, 'with the mark there are none')
  t.equal(await timeWaits(director), 0)
  t.equal(await timeWaits(server), 0)

  // It is done again as often as one likes, and undone as a whole.
  const names = async () => (await nftables.tables()).map(({ name }) => name).sort()
  const again = await withoutConntrack(0x77, { nftables })
  const other = await withoutConntrack(0xffff_ffff, { nftables })
  t.same(await names(), ['tracks', 'viaduct-checks-77', 'viaduct-checks-ffffffff'])
  t.equal((await nftables.rules({ family: 'inet', table: 'viaduct-checks-77' })).length, 2)
  await again.close()
  await untracked.close()
  await other.close()
  t.same(await names(), ['tracks'])
  await run(0x77, 'half', 20)
  t.ok((await conntrack.count()) > before, 'and then there are entries')

  // What is somebody else's is left alone.
  await nftables.transaction().add('table', { family: 'inet', name: 'viaduct-checks-77' }).commit()
  await t.rejects(withoutConntrack(0x77, { netns }), { code: 'EEXIST' })
  await again.close()
  t.same(await names(), ['tracks', 'viaduct-checks-77'])
  await t.rejects(withoutConntrack(0), { path: 'mark' } as never)
})

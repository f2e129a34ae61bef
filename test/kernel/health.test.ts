/** Checks of real servers in namespaces: those that answer, refuse, hang, and cannot be reached at all. */
import { HealthMonitor } from '../../src/health/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
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

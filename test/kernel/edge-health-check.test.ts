/** Health-check node ports, asked over the wire. */
import { HealthCheckServer } from '../../src/edge/index.js'
import { kernelTest } from './kernel-test.js'

const network = { hosts: ['balancer', 'node'], links: [['balancer', 'node']] } as const

kernelTest('a node says how many endpoints it has', {}, async (t, sandbox) => {
  const { balancer, node } = (await sandbox(network)).hosts
  const server = new HealthCheckServer({ netns: node.netns })
  const ask = (port: number, address = node.address) =>
    balancer.fetch(`http://${address}:${port}/healthz`, { deadlineMilliseconds: 2000 })
  try {
    t.same(
      await server.set([
        { service: 'shop/web', port: 31000, localEndpoints: 2 },
        { service: 'shop/mail', port: 31001, localEndpoints: 0 },
      ]),
      [],
    )
    const well = await ask(31000)
    t.equal(well.status, 200)
    t.match(well.headers, { 'content-type': 'application/json', 'x-load-balancing-endpoint-weight': '2' })
    t.same(well.json(), {
      service: { namespace: 'shop', name: 'web' },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    })
    const none = await ask(31001)
    t.equal(none.status, 503)
    t.match(none.json(), { service: { name: 'mail' }, localEndpoints: 0 })
    t.equal((await ask(31000, `[${node.address6}]`)).status, 200, 'by IPv6, too')
    server.setHealthy(false)
    const ill = await ask(31000)
    t.equal(ill.status, 503)
    t.match(ill.json(), { localEndpoints: 2, serviceProxyHealthy: false })
    server.setHealthy(true)
    await server.set([{ service: 'shop/web', port: 31000, localEndpoints: 0 }])
    t.equal((await ask(31000)).status, 503, 'it follows')
    await t.rejects(ask(31001), { code: 'ECONNREFUSED' })
    // A port that somebody has: the others answer, and it is tried again.
    const other = await node.serveTcp(() => undefined, { port: 31002 })
    const checks = [
      { service: 'shop/taken', port: 31002, localEndpoints: 1 },
      { service: 'shop/web', port: 31000, localEndpoints: 1 },
    ]
    t.match(await server.set(checks), [{ service: 'shop/taken', port: 31002, error: { code: 'EADDRINUSE' } }])
    t.equal((await ask(31000)).status, 200)
    other.close()
    t.same(await server.set(checks), [])
    t.equal((await ask(31002)).status, 200)
  } finally {
    await server.close()
  }
  await t.rejects(ask(31000), { code: 'ECONNREFUSED' })
  t.same(await server.set([{ service: 'shop/web', port: 31000, localEndpoints: 1 }]), [])
  await t.rejects(ask(31000), { code: 'ECONNREFUSED' }, 'closed for good')
})

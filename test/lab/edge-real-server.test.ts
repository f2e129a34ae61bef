/** Real servers behind tunnels: what IPVS wraps is taken out and answered. */
import { prepareRealServer, undoRealServer, VirtualAddresses } from '../../src/edge/index.js'
import { IpvsService } from '../../src/ipvs/index.js'
import { kernelTest } from '../kernel/kernel-test.js'

/** On one network: answers go straight to the client, for a director drops what comes from its own address. */
const network = {
  hosts: ['client', 'director', 'server'],
  links: [['client', 'director', 'server']],
} as const

for (const [kind, virtual, url] of [
  ['ipip', '10.0.1.100', 'http://10.0.1.100:8080/'],
  ['ip6tnl', 'fd00:1::100', 'http://[fd00:1::100]:8080/'],
] as const) {
  kernelTest(`a real server behind ${kind}`, { needs: { ipvs: true, links: [kind] } }, async (t, sandbox) => {
    const { client, director, server } = (await sandbox(network)).hosts
    const device = kind === 'ipip' ? 'tunl0' : 'ip6tnl0'
    // Its own tunnel would start from a virtual address that the host prefers, which the server takes for its own.
    const addresses = await VirtualAddresses.open({
      netns: director.netns,
      device: 'eth0',
      addresses: [virtual],
    })
    await addresses.put()
    server.sysctl('net.ipv4.conf.all.rp_filter', 1)
    const wasUp = (await server.rtnetlink.links.find(device))?.up ?? false
    await server.serve((_request, response) => response.end('served'), { port: 8080 })
    const service = await IpvsService.ensure(
      { protocol: 'tcp', address: virtual, port: 8080 },
      { netns: director.netns },
    )
    try {
      const address = kind === 'ipip' ? server.address : server.address6
      await service.servers.set([{ address, port: 8080, forwardingMethod: 'tunnel' }])
      await prepareRealServer({ netns: server.netns, addresses: [virtual], tunnels: [kind] })
      t.ok((await server.rtnetlink.links.get(device)).up)
      t.equal((await client.fetch(url)).text(), 'served')
      await undoRealServer({ netns: server.netns })
      t.equal((await server.rtnetlink.links.get(device)).up, wasUp)
      t.equal(server.sysctl('net.ipv4.conf.all.rp_filter'), '1', 'others are not loosened')
    } finally {
      await service.delete()
      await service.close()
      await addresses.close()
    }
  })
}

/** Real servers behind tunnels: what IPVS wraps is taken out and answered. */
import { prepareRealServer, undoRealServer } from '../../src/edge/index.js'
import { IpvsService } from '../../src/ipvs/index.js'
import { kernelTest } from '../kernel/kernel-test.js'

const layout = {
  hosts: ['client', 'director', 'server'],
  links: [
    ['client', 'director'],
    ['director', 'server'],
  ],
  settings: { director: { forwarding: true } },
} as const

for (const [kind, virtual, url] of [
  ['ipip', '192.0.2.10', 'http://192.0.2.10:8080/'],
  ['ip6tnl', '2001:db8::10', 'http://[2001:db8::10]:8080/'],
] as const) {
  kernelTest(`a real server behind ${kind}`, { needs: { ipvs: true, links: [kind] } }, async (t, sandbox) => {
    const { client, director, server } = (await sandbox(layout)).hosts
    const device = kind === 'ipip' ? 'tunl0' : 'ip6tnl0'
    const full = kind === 'ipip' ? 32 : 128
    await director.rtnetlink.addresses.add({
      device: 'lo',
      address: `${virtual}/${full}`,
      flags: kind === 'ipip' ? [] : ['no-dad'],
    })
    server.sysctl('net.ipv4.conf.all.rp_filter', 1)
    const before = {
      up: (await server.rtnetlink.links.find(device))?.up ?? false,
      filter: kind === 'ipip' ? server.readFile('/proc/sys/net/ipv4/conf/all/rp_filter') : '',
    }
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
      t.equal((await server.rtnetlink.links.get(device)).up, before.up)
      t.equal(server.sysctl('net.ipv4.conf.all.rp_filter'), '1', 'others are not loosened')
    } finally {
      await service.delete()
      await service.close()
    }
  })
}

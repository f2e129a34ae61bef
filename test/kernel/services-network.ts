/** A client outside, a node that keeps services, and servers behind it: what tests of services have in common. */
import type { Test } from 'tap'
import type { RealServer, VirtualService } from '../../src/model/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'

/** A cluster address that every test may take. */
export const clusterAddress = { ipv4: '172.30.0.10', ipv6: 'fd30::10' }
/** Where servers listen. */
export const serverPort = 8080

/** Servers `a`, `b` and `c` answer with their names; `peers` are the clients that they saw. */
export async function serviceNetwork(t: Test) {
  const net = await sandbox({
    hosts: ['client', 'node', 'a', 'b', 'c'],
    links: [
      ['client', 'node'],
      ['node', 'a'],
      ['node', 'b'],
      ['node', 'c'],
    ],
    // A node has a route to cluster addresses, whichever that is: else its own clients could not begin.
    settings: { node: { defaultRoute: 'client', sysctls: { 'net.ipv4.conf.all.rp_filter': 0 } } },
  })
  t.teardown(() => net.close())
  const { hosts } = net
  const peers: string[] = []
  for (const host of [hosts.a, hosts.b, hosts.c]) {
    await host.serve(
      (request, response) => {
        peers.push(request.socket.remoteAddress!)
        response.end(host.name)
      },
      { port: serverPort },
    )
  }
  return { hosts, peers }
}

/** A server of a host. */
export function server(
  host: Host,
  family: 'ipv4' | 'ipv6' = 'ipv4',
  more: Partial<RealServer> = {},
): RealServer {
  const address = family === 'ipv4' ? host.address : host.address6
  return { address, port: serverPort, weight: 1, ...more }
}

/** A virtual service at the cluster address, port 80, unless said otherwise. */
export function virtualService(
  servers: readonly RealServer[],
  more: Partial<VirtualService> & { readonly name?: string } = {},
): VirtualService {
  const { name = 'web', family = 'ipv4', protocol = 'tcp', ...rest } = more
  return {
    key: `default/${name}:80/${protocol}/${family}`,
    service: `default/${name}`,
    family,
    protocol,
    frontends: [{ kind: 'cluster', address: clusterAddress[family], port: 80 }],
    servers: {
      cluster: servers,
      local: servers.filter(({ isLocal }) => isLocal),
      draining: [],
      any: servers.length > 0,
    },
    internalTrafficPolicy: 'cluster',
    externalTrafficPolicy: 'cluster',
    ...rest,
  }
}

/** What servers answer to so many requests, each on a connection of its own. */
export async function ask(host: Host, address: string, times = 1, port = 80): Promise<string[]> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}/`
  const answers: string[] = []
  for (let count = 0; count < times; count++) {
    answers.push((await host.fetch(url, { headers: { connection: 'close' } })).text())
  }
  return answers
}

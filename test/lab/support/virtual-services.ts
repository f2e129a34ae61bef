/** Virtual services whose servers are those of balanced.ts, for tests of dataplanes. */
import type { NodeSettings } from '../../../src/dataplane/dataplane.js'
import type { RealServer, VirtualService } from '../../../src/model/index.js'
import type { Host, Sandbox } from '../../../src/testing/index.js'
import type { MakeSandbox } from '../../kernel/kernel-test.js'
import { realPort, server, server6 } from './balanced.js'

export const clusterAddress = '10.96.0.10'
export const clusterAddress6 = 'fd00:96::10'

/** As `balanced`, with a Pod that is none of the servers. */
export async function serviceNetwork(
  sandbox: MakeSandbox,
): Promise<Sandbox<'client' | 'director' | 'servers' | 'pod'>> {
  const to = 'director' as const
  const net = await sandbox({
    hosts: ['client', 'director', 'servers', 'pod'],
    links: [
      ['client', 'director'],
      ['director', 'servers'],
      ['director', 'pod'],
    ],
    settings: {
      director: {
        routes: [{ destination: '10.1.0.0/16', via: 'client' }],
        // Every refusal is to be told, not so many a second.
        sysctls: { 'net.ipv4.icmp_ratemask': 0 },
      },
      servers: {
        addresses: ['a', 'b', 'c'].flatMap((name) => [
          { address: `${server(name).address}/24`, towards: to },
          ...(name === 'c' ? [] : [{ address: `${server6(name).address}/64`, towards: to }]),
        ]),
      },
    },
  })
  const { rtnetlink } = net.hosts.client
  await rtnetlink.routes.add({ destination: '10.1.0.0/16', type: 'local', table: 255, device: 'lo' })
  return net
}

/** The node that the director is: Pods are the networks of its servers and of the Pod. */
export function nodeOf(director: Host, more: NodeSettings = {}): NodeSettings {
  const { address, address6 } = director
  return {
    addresses: [address, address6],
    clusterRanges: ['10.0.2.0/23', 'fd00:2::/63'],
    serviceRanges: ['10.96.0.0/16', 'fd00:96::/112'],
    ...more,
  }
}

export function endpoint(name: string, more: Partial<RealServer> = {}): RealServer {
  return { address: server(name).address, port: realPort, weight: 1, ...more }
}

export function endpoint6(name: string): RealServer {
  return { address: server6(name).address, port: realPort, weight: 1 }
}

type Servers = VirtualService['servers']

/** TCP over IPv4 at `clusterAddress`, port 80, with every policy `cluster` unless said. */
export function virtualService(
  name: string,
  servers: Partial<Servers>,
  more: Partial<VirtualService> = {},
): VirtualService {
  const { family = 'ipv4', protocol = 'tcp' } = more
  const { cluster = [], local = [], draining = [] } = servers
  return {
    key: `test/${name}:80/${protocol}/${family}`,
    service: `test/${name}`,
    family,
    protocol,
    frontends: [{ kind: 'cluster', address: family === 'ipv4' ? clusterAddress : clusterAddress6, port: 80 }],
    internalTrafficPolicy: 'cluster',
    externalTrafficPolicy: 'cluster',
    ...more,
    servers: { ...servers, cluster, local, draining, any: servers.any ?? cluster.length > 0 },
  }
}

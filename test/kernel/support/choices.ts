/** A node that gives connections of many clients to servers, and connection tracking that says to whom. */
import type { Test } from 'tap'
import { Conntrack } from '../../../src/conntrack/index.js'
import { openNftablesDataplane } from '../../../src/dataplane/nftables/dataplane.js'
import type { RealServer } from '../../../src/model/index.js'
import { sandbox } from '../../../src/testing/index.js'
import { type Datagram, sendDatagrams } from './datagrams.js'

export type Family = 'ipv4' | 'ipv6'

/** Servers are addresses of a network behind the node, where nobody answers: it is the node's choice that is looked at. */
export async function choiceNetwork(t: Test) {
  const net = await sandbox({
    hosts: ['client', 'node', 'servers'],
    links: [
      ['client', 'node'],
      ['node', 'servers'],
    ],
    settings: {
      node: {
        defaultRoute: 'client',
        routes: [
          { destination: '10.50.0.0/16', via: 'servers' },
          { destination: 'fd50::/64', via: 'servers' },
        ],
        sysctls: { 'net.ipv4.conf.all.rp_filter': 0 },
      },
    },
  })
  t.teardown(() => net.close())
  const { client, node } = net.hosts
  const dataplane = await openNftablesDataplane({ netns: node.netns, statistics: true })
  const conntrack = await Conntrack.open({ netns: node.netns, receiveBufferBytes: 64 * 1024 * 1024 })
  t.teardown(() => {
    dataplane.close()
    conntrack.close()
  })
  await dataplane.synchronize([])

  /** What each client was given, by its address and port. */
  const choices = async (family: Family, datagrams: Iterable<Datagram>): Promise<Map<string, string>> => {
    await conntrack.flush()
    await sendDatagrams(client, node, datagrams)
    const found = new Map<string, string>()
    for await (const { original, reply } of conntrack.stream({ family, protocol: 'udp' })) {
      found.set(`${original.source} ${original.sourcePort}`, `${reply.source} ${reply.sourcePort}`)
    }
    return found
  }
  return { node, dataplane, choices }
}

export function servers(weights: readonly number[], family: Family = 'ipv4'): RealServer[] {
  return weights.map((weight, index) => ({
    address: family === 'ipv4' ? `10.50.0.${index + 1}` : `fd50::${(index + 1).toString(16)}`,
    port: 8080,
    weight,
  }))
}
export function nameOf({ address, port }: RealServer): string {
  return `${address} ${port}`
}

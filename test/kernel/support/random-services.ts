/** Virtual services as they come: every kind, policy and protocol, with frontends that others may have, too. */
import type { Frontend, RealServer, VirtualService } from '../../../src/model/index.js'
import type { Random } from './seeds.js'

const names = Array.from({ length: 40 }, (_, index) => `s${index}`)
const protocols = ['tcp', 'udp', 'sctp'] as const
const policies = ['cluster', 'cluster', 'local'] as const
const schedulers = [undefined, undefined, 'random', 'rr', 'wrr', 'sh', 'mh', 'lc'] as const
const affinities = [undefined, undefined, undefined, 1, 60, 10_800] as const
const kinds = ['cluster', 'cluster', 'external', 'load-balancer', 'node-port'] as const
const ranges = {
  ipv4: ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '192.0.2.7/32', '10.0.0.128/25', '10.1.0.0/15'],
  ipv6: ['fd00::/8', 'fd00:1::/32', '::/0', '2001:db8::7/128', 'fd00::8000/113'],
}
const mostServers = 12

export function randomKey(random: Random): string {
  return keyOf(random.of(names), random.of(protocols), random.once(2) ? 'ipv4' : 'ipv6')
}
function keyOf(name: string, protocol: string, family: string): string {
  return `default/${name}:80/${protocol}/${family}`
}

export function randomService(random: Random, key = randomKey(random)): VirtualService {
  const [, service, protocol, family] = /^(.*):80\/(.*)\/(.*)$/.exec(key) as unknown as [
    string,
    string,
    VirtualService['protocol'],
    VirtualService['family'],
  ]
  const cluster = randomServers(random, family)
  const local = cluster.filter(({ isLocal }) => isLocal === true)
  return {
    key,
    service,
    family,
    protocol,
    frontends: randomFrontends(random, family),
    servers: {
      cluster,
      local,
      draining: random.once(4) ? randomServers(random, family, 'draining') : [],
      any: cluster.length > 0 || random.once(4),
    },
    internalTrafficPolicy: random.of(policies),
    externalTrafficPolicy: random.of(policies),
    affinitySeconds: random.of(affinities),
    scheduler: random.of(schedulers),
    sourceRanges: random.once(3) ? random.some(ranges[family]) : undefined,
  }
}

/** The same service with one thing changed. */
export function changedService(random: Random, service: VirtualService): VirtualService {
  const other = randomService(random, service.key)
  const { cluster } = service.servers
  const kept = cluster.filter(() => !random.once(4))
  const servers = (cluster: readonly RealServer[]): VirtualService['servers'] => ({
    cluster,
    local: cluster.filter(({ isLocal }) => isLocal === true),
    draining: [],
    any: cluster.length > 0,
  })
  return random.of<() => VirtualService>([
    () => ({ ...service, frontends: other.frontends }),
    () => ({ ...service, frontends: [...service.frontends].reverse() }),
    () => ({ ...service, servers: other.servers }),
    () => ({ ...service, servers: servers(kept) }),
    () => ({ ...service, servers: servers([...cluster].reverse()) }),
    () => ({ ...service, servers: servers(cluster.map((one) => ({ ...one, weight: weightOf(random) }))) }),
    () => ({ ...service, servers: servers(cluster.map((one) => ({ ...one, isLocal: random.once(2) }))) }),
    () => ({ ...service, affinitySeconds: other.affinitySeconds }),
    () => ({ ...service, scheduler: other.scheduler }),
    () => ({ ...service, sourceRanges: other.sourceRanges }),
    () => ({ ...service, internalTrafficPolicy: other.internalTrafficPolicy }),
    () => ({ ...service, externalTrafficPolicy: other.externalTrafficPolicy }),
    () => other,
  ])()
}

function weightOf(random: Random): number {
  return random.once(2) ? 1 : random.of(random.once(20) ? [100, 1000, 65_535] : [1, 2, 3, 6])
}

function randomServers(random: Random, family: VirtualService['family'], kind = 'ready'): RealServer[] {
  const count = random.once(6) ? 0 : 1 + random.below(mostServers)
  const hosts = random.some(
    Array.from({ length: 30 }, (_, index) => index + 1),
    count,
    count,
  )
  const net = kind === 'ready' ? 1 : 2
  return hosts.map((host) => ({
    address: family === 'ipv4' ? `10.${net}.0.${host}` : `fd00:${net}::${host.toString(16)}`,
    port: random.of([80, 8080, 53]),
    weight: weightOf(random),
    isLocal: random.of([true, false, undefined]),
  }))
}

function randomFrontends(random: Random, family: VirtualService['family']): Frontend[] {
  const found = new Map<string, Frontend>()
  for (let left = random.once(12) ? 0 : 1 + random.below(4); left > 0; left--) {
    const kind = random.of(kinds)
    const port = random.of([53, 80, 443])
    if (kind === 'node-port') {
      const nodePort = 30_000 + random.below(60)
      found.set(String(nodePort), { kind, port: nodePort })
      continue
    }
    const [net, host] = [{ cluster: 30, external: 31, 'load-balancer': 32 }[kind], 1 + random.below(40)]
    const address = family === 'ipv4' ? `172.${net}.0.${host}` : `fd${net}::${host.toString(16)}`
    found.set(`${address} ${port}`, { kind, address, port })
  }
  return [...found.values()]
}

/** Everything that a node goes through, under load: no request may fail. */
import type { Test } from 'tap'
import { openNftablesDataplane, type NftablesDataplane } from '../../../src/dataplane/nftables/dataplane.js'
import type { RealServer, VirtualService } from '../../../src/model/index.js'
import { Nftables } from '../../../src/nftables/index.js'
import type { Host } from '../../../src/testing/index.js'
import { until } from '../../lab/support/until.js'
import { clusterAddress, server, serviceNetwork, virtualService } from '../services-network.js'
import { keepTranslating } from './keep-translating.js'
import { Load, loadPort, serveLoad } from './load.js'
import { seeded } from './seeds.js'

interface Gap {
  readonly from: number
  readonly to: number
}

export async function underLoad(t: Test, milliseconds: number): Promise<void> {
  const random = seeded(t)
  const { hosts } = await serviceNetwork(t)
  const { client, node, a, b, c } = hosts
  await keepTranslating(t, node)
  const served = new Map<Host, { close(): void }>()
  for (const host of [a, b, c]) served.set(host, await serveLoad(host))
  const service = (ready: readonly RealServer[], draining: readonly RealServer[] = []): VirtualService => {
    const one = virtualService(ready)
    return { ...one, servers: { ...one.servers, draining } }
  }
  const of = (host: Host, weight = 1): RealServer => server(host, 'ipv4', { port: loadPort, weight })
  /** Others, whose changes go on beside. */
  const others = Array.from({ length: 50 }, (_, index) =>
    virtualService([of(a), of(b)], {
      name: `other${index}`,
      frontends: [{ kind: 'cluster', address: `172.30.1.${index + 1}`, port: 80 }],
    }),
  )

  let wanted = service([of(a), of(b), of(c)])
  const open = async (): Promise<NftablesDataplane> => {
    const dataplane = await openNftablesDataplane({ netns: node.netns })
    await dataplane.synchronize([wanted, ...others])
    return dataplane
  }
  let dataplane = await open()
  t.teardown(() => dataplane.close())
  const apply = async (next: VirtualService): Promise<void> => {
    wanted = next
    const { failures } = await dataplane.apply({ upserted: [wanted], deleted: [] })
    t.equal(failures.size, 0)
  }
  await using nftables = await Nftables.open({ netns: node.netns })
  const address = clusterAddress.ipv4
  const load = new Load(client, { address, port: 80, staying: 20, fresh: 8 })
  const gaps: Gap[] = []
  /** When an endpoint was killed. */
  const kills = new Map<string, Gap>()

  /** Every connection that comes now is given by what was applied. */
  const newAnswers = async (count: number): Promise<Map<string, number>> => {
    load.count()
    await until('new connections are answered', () => {
      let sum = 0
      for (const one of load.answers.values()) sum += one
      return sum >= count
    })
    return load.answers
  }

  const place = { family: 'inet', table: 'viaduct' } as const
  const acts: Record<string, () => Promise<void>> = {
    weights: () => apply(service([of(a, 1 + random.below(5)), of(b, 1 + random.below(5)), of(c)])),
    affinity: () => apply({ ...service([of(a), of(b), of(c)]), affinitySeconds: 1 + random.below(100) }),
    scheduler: () => apply({ ...service([of(a), of(b), of(c)]), scheduler: random.of(['rr', 'mh', 'sh']) }),
    'others change': async () => {
      for (const other of random.some(others, 10, 30)) {
        const servers = random.some([of(a), of(b), of(c)], 1)
        const next = { ...other, servers: { ...other.servers, cluster: servers } }
        await dataplane.apply({ upserted: [next], deleted: [] })
      }
    },
    draining: async () => {
      await apply(service([of(a), of(b)], [of(c)]))
      const answers = await newAnswers(50)
      t.notOk(answers.has('c'), 'who drains gets no new connections')
      await apply(service([of(a), of(b), of(c)]))
      await until('it is given connections again', () => load.answers.has('c'))
    },
    restart: async () => {
      dataplane.close()
      dataplane = await open()
    },
    synchronize: async () => {
      await dataplane.synchronize([wanted, ...others])
    },
    'repair of nothing': async () => {
      await dataplane.repair()
    },
    'foreign deletion': async () => {
      const repaired = new Promise<void>((resolve, reject) => {
        const stop = dataplane.watch(() => {
          stop()
          dataplane.repair().then(() => resolve(), reject)
        })
      })
      const from = performance.now()
      const what = random.below(3)
      const transaction = nftables.transaction()
      if (what === 0) transaction.delete('table', { family: 'inet', name: 'viaduct' })
      else if (what === 1) transaction.flush('set', { ...place, name: 'services4' })
      else transaction.flush('chain', { ...place, name: 'dispatch' })
      await transaction.commit()
      await repaired
      gaps.push({ from, to: performance.now() })
    },
    'a server is killed': async () => {
      await apply(service([of(a), of(b)]))
      await newAnswers(20)
      const from = performance.now()
      served.get(c)!.close()
      await until('its connections have ended', () => ![...load.staying.values()].includes('c'))
      kills.set('c', { from, to: performance.now() })
      served.set(c, await serveLoad(c))
      await apply(service([of(a), of(b), of(c)]))
      judge()
    },
  }

  const counts = { killed: 0, inGaps: 0 }
  const judge = (): void => {
    for (const failure of load.failures.splice(0)) {
      const within = ({ from, to }: Gap): boolean => failure.failed >= from && failure.began <= to
      const kill = failure.server === undefined ? undefined : kills.get(failure.server)
      if (failure.kind === 'staying' && kill !== undefined && within(kill)) counts.killed++
      else if (failure.kind === 'new' && gaps.some(within)) counts.inGaps++
      else t.fail(`${failure.kind} of ${failure.server ?? 'nobody'}: ${failure.error.message}`)
    }
  }

  const started = performance.now()
  // Each once at least, then at random.
  const queue = Object.keys(acts)
  while (performance.now() - started < milliseconds || queue.length > 0) {
    const name = queue.shift() ?? random.of(Object.keys(acts))
    await acts[name]!()
    // Requests go on between two of them.
    const before = load.requests
    await until(`requests after: ${name}`, () => load.requests >= before + 50)
    judge()
  }
  await load.end()
  judge()
  const seconds = (performance.now() - started) / 1000
  t.comment(`${load.requests} requests, ${Math.round(load.requests / seconds)} a second`)
  t.comment(`of killed endpoints ${counts.killed}, between a deletion and its repair ${counts.inGaps}`)
  const lengths = gaps.map(({ from, to }) => to - from).sort((one, other) => one - other)
  t.comment(`gaps: ${lengths.map((length) => length.toFixed(0)).join(', ')} ms`)
  t.ok(lengths[lengths.length >> 1]! <= 200, 'repaired within 200 ms')
}

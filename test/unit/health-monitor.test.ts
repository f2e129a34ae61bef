/** The monitor: lists that change, services shaped, numbers of the kernel, and its end. Without a network. */
import t from 'tap'
import { type HealthEvent, HealthMonitor, type PassiveSample } from '../../src/health/index.js'
import type { VirtualService } from '../../src/model/index.js'

const servers = [1, 2, 3, 4].map((last) => ({ address: `10.0.0.${last}`, port: 80, weight: 1 }))
const rules = {
  intervalMilliseconds: 10,
  transitionIntervalMilliseconds: 5,
  fall: 1,
  rise: 1,
  damping: false,
} as const

/** Until something is so, as of the changes that the monitor tells of. */
async function until(
  monitor: HealthMonitor,
  isSo: (events: readonly HealthEvent[]) => boolean,
): Promise<void> {
  const seen: HealthEvent[] = []
  for await (const event of monitor.events({ signal: AbortSignal.timeout(10_000) })) {
    if (event.event !== 'resynchronise') seen.push(event)
    if (isSo(seen)) return
  }
}

const has = (event: HealthEvent['event'], address?: string) => (events: readonly HealthEvent[]) =>
  events.some((one) => one.event === event && (address === undefined || one.server?.address === address))

const service: VirtualService = {
  key: 'web',
  service: 'default/web',
  family: 'ipv4',
  protocol: 'tcp',
  frontends: [],
  servers: { cluster: servers, local: servers.slice(0, 2), draining: [], any: true },
  internalTrafficPolicy: 'cluster',
  externalTrafficPolicy: 'cluster',
}

t.test('a list that changes keeps what is known, and a service is shaped by it', async (t) => {
  await using monitor = new HealthMonitor()
  const bad = new Set(['10.0.0.1', '10.0.0.2'])
  const check = { kind: 'own', run: ({ address }: { address: string }) => !bad.has(address) } as const
  const both = until(monitor, (events) =>
    ['10.0.0.1', '10.0.0.2'].every((one) => has('taken-out', one)(events)),
  )
  const told: (readonly string[])[] = []
  monitor.watch((keys) => told.push(keys))
  monitor.set('web', { servers, check, rules })
  await both
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(told.length > 0 && told.every(([key]) => key === 'web'))
  t.same(
    monitor.serversOf('web')!.map(({ weight }) => weight),
    [0, 0, 1, 1],
  )
  const { cluster, local, draining } = monitor.shape(service).servers
  t.same(
    cluster.map(({ address }) => address),
    ['10.0.0.3', '10.0.0.4'],
  )
  t.equal(local.length, 1, 'of this node no more than the cap are out')
  t.ok(draining.some(({ address }) => !cluster.concat(local).some((one) => one.address === address)))
  t.equal(monitor.shape({ ...service, key: 'other' }).servers, service.servers)

  // Of three, one may be out: the other is kept in, without being asked anew.
  monitor.set('web', { servers: servers.slice(0, 3), check, rules: { ...rules, onFailure: 'remove' } })
  t.same(
    monitor.health('web')!.servers.map(({ verdict, place }) => `${verdict} ${place}`),
    ['down out', 'down kept', 'up in'],
  )
  t.equal(monitor.serversOf('web')!.length, 2)
  t.throws(() => monitor.set('web', { servers: [servers[0]!, servers[0]!], check }), {
    message: /^servers\[1\]/,
  })
  t.equal(monitor.health('web')!.servers.length, 3, 'nothing was changed by what was refused')
  t.equal(monitor.delete('web'), true)
  t.equal(monitor.serversOf('web'), undefined)
})

t.test('the sorry server takes the place of servers that are down, until they are up', async (t) => {
  await using monitor = new HealthMonitor()
  let isWell = false
  const sorryServer = { address: '10.0.9.9', port: 80, weight: 1 }
  const lost = until(monitor, has('quorum-lost'))
  monitor.set('web', {
    servers,
    check: { kind: 'own', run: () => isWell },
    rules: { ...rules, sorryServer, onFailure: 'remove' },
  })
  await lost
  t.same(monitor.serversOf('web'), [sorryServer])
  t.same(monitor.shape(service).servers.local, [sorryServer])
  const met = until(monitor, has('quorum-met'))
  isWell = true
  await met
  t.notOk(monitor.serversOf('web')!.includes(sorryServer))
})

t.test(
  'one that is down and falls silent has its connections ended then, if that is asked for',
  async (t) => {
    await using monitor = new HealthMonitor()
    let answer: () => boolean | Promise<boolean> = () => false
    const silence = new Promise<boolean>(() => undefined)
    const check = {
      kind: 'own',
      run: ({ address }: { address: string }) => address !== '10.0.0.1' || answer(),
    } as const
    const given = { ...rules, timeoutMilliseconds: 20, onFailure: 'end-connections' } as const
    const out = until(monitor, has('taken-out', '10.0.0.1'))
    monitor.set('web', { servers, check, rules: given })
    await out
    const addresses = (list: readonly { address: string }[] = []): string[] =>
      list.map(({ address }) => address)
    t.same(addresses(monitor.shape(service).servers.draining), ['10.0.0.1'], 'it says no')
    t.equal(monitor.serversOf('web')!.length, 4)
    const keys = new Promise<readonly string[]>((resolve) => monitor.watch(resolve))
    const ended = until(monitor, has('connections-ended', '10.0.0.1'))
    answer = () => silence
    await ended
    t.same(await keys, ['web'], 'who watches is told')
    const { draining, failed } = monitor.shape(service).servers
    t.same([addresses(draining), addresses(failed)], [[], ['10.0.0.1']])
    t.equal(monitor.serversOf('web')!.length, 3)
  },
)

t.test('where nobody is left clients are refused', async (t) => {
  await using monitor = new HealthMonitor()
  const out = until(monitor, (events) => servers.every(({ address }) => has('taken-out', address)(events)))
  monitor.set('web', { servers, check: { kind: 'own', run: () => false }, rules: { ...rules, mostOut: 1 } })
  await out
  const { cluster, local, any } = monitor.shape(service).servers
  t.same({ cluster, local, any }, { cluster: [], local: [], any: false })
  const elsewhere = { ...service, servers: { ...service.servers, cluster: [], local: [] } }
  t.equal(monitor.shape(elsewhere).servers.any, true, 'the policy keeps what it says of others')
})

t.test('servers are ejected by the numbers that come in, and return', async (t) => {
  await using monitor = new HealthMonitor()
  let turn = 0
  const passive = (): PassiveSample[] => {
    turn++
    return servers.map(({ address, port }) => ({
      address,
      port,
      connections: turn * 100,
      failures: address === '10.0.0.3' && turn < 4 ? turn * 80 : turn,
    }))
  }
  const ejected = until(monitor, has('ejected', '10.0.0.3'))
  const returned = until(monitor, has('returned', '10.0.0.3'))
  const ejection = { intervalMilliseconds: 20, baseMilliseconds: 50 }
  monitor.set('web', {
    servers,
    check: { kind: 'own', run: () => true },
    rules: { ...rules, ejection },
    passive,
  })
  await ejected
  await returned
  t.pass()
})

t.test('a check that throws where it is made, and one that never ends, hold up nobody', async (t) => {
  await using monitor = new HealthMonitor()
  const down = until(monitor, has('down', '10.0.0.1'))
  const up = until(monitor, has('up', '10.0.0.2'))
  const check = {
    kind: 'own',
    run: ({ address }: { address: string }) =>
      address !== '10.0.0.1' || new Promise<boolean>(() => undefined),
  } as const
  monitor.set('web', { servers, check, rules: { ...rules, timeoutMilliseconds: 30 } })
  await up
  await down
  t.match(monitor.health('web')!.servers[0]!.reason, /^timed-out/)
})

t.test('it ends when it is closed or aborted: events are over, and nothing is begun any more', async (t) => {
  const controller = new AbortController()
  const monitor = new HealthMonitor({ signal: controller.signal })
  let runs = 0
  monitor.set('web', { servers, check: { kind: 'own', run: () => ++runs > 0 }, rules })
  await until(monitor, has('up'))
  const events = monitor.events()
  controller.abort()
  const rest: unknown[] = []
  for await (const event of events) rest.push(event)
  const before = runs
  // A timer of the monitor's would have been due long ago.
  for (const until = performance.now() + 50; performance.now() < until;)
    await new Promise((resolve) => setImmediate(resolve))
  t.equal(runs, before)
  t.throws(() => monitor.set('web', { servers, check: { kind: 'tcp' } }), { message: /^monitor/ })
  const signal = AbortSignal.abort(new Error('enough'))
  t.throws(() => monitor.events({ signal }), { message: 'enough' })
  t.throws(() => new HealthMonitor({ signal }), { message: 'enough' })
})

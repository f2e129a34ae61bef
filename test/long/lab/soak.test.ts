/** Minutes of load and of changes: nothing fails, nothing grows. */
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type DestinationInput, Ipvs, IpvsService, type ServiceKey } from '../../../src/index.js'
import { openResources } from '../../../src/testing/index.js'
import { kernelTest } from '../../kernel/kernel-test.js'

// Without a collection before it, a figure of the heap says nothing.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const seconds = Number(process.env.VIADUCT_LONG_SECONDS ?? 180)
const key: ServiceKey = { protocol: 'tcp', address: '192.0.2.10', port: 7000 }
const names = ['a', 'b', 'c', 'd', 'e'] as const
const options = { needs: { ipvs: true }, timeoutSeconds: seconds * 3 + 120 }

kernelTest(
  `servers come and go for ${seconds} s under load, and no connection is lost`,
  options,
  async (t, sandbox) => {
    const net = await sandbox({
      hosts: ['client', 'director', ...names],
      links: [
        ['client', 'director'],
        ['director', ...names],
      ],
      settings: { director: { addresses: ['192.0.2.10/32'] } },
    })
    const { client, director } = net.hosts
    for (const name of names) {
      await net.hosts[name].serveTcp((socket) => socket.on('error', () => undefined).write(name), {
        port: key.port,
      })
    }
    await using web = await IpvsService.temporary({ ...key, scheduler: 'wlc' }, { netns: director.netns })
    const server = (name: (typeof names)[number]): DestinationInput => ({
      address: net.hosts[name].address,
      port: key.port,
    })
    await web.servers.set([server('a')])

    const until = performance.now() + seconds * 1000
    const failures: string[] = []
    let answered = 0
    const lane = async (): Promise<void> => {
      while (performance.now() < until) {
        try {
          const socket = await client.connect({ address: key.address, port: key.port })
          const closed = once(socket, 'close')
          await once(socket, 'data', { signal: AbortSignal.timeout(20_000) })
          answered++
          socket.resetAndDestroy()
          await closed
        } catch (error) {
          failures.push((error as Error).message)
        }
      }
    }
    const load = Promise.all([lane(), lane(), lane(), lane()])
    let changes = 0
    let deleted = 0
    for (let round = 1; performance.now() < until; round++) {
      // Every set of servers but the empty one, in an order that repeats seldom.
      const wanted = names.filter((_, bit) => (((round * 11) % 31) + 1) & (1 << bit)).map(server)
      const change = await web.servers.set(wanted, { removed: 'drain', drainTimeoutSeconds: 60 })
      changes += change.added.length + change.removed.length
      deleted += change.removed.filter(({ drain }) => drain?.drained === true).length
      t.match(
        change.removed,
        change.removed.map(() => ({ drain: { drained: true, remaining: 0 } })),
      )
    }
    await load
    t.same(
      failures,
      [],
      `all of ${answered} connections were answered while ${changes} servers came and went`,
    )
    t.ok(answered > seconds * 20 && deleted > seconds / 10)
  },
)

kernelTest('changes without end: memory and descriptors stay flat', options, async (t, sandbox) => {
  const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
  await using ipvs = await Ipvs.open({ netns })
  await ipvs.createService(key)
  const round = async (): Promise<void> => {
    const batch = ipvs.batch()
    for (let index = 0; index < 500; index++) {
      const destination = { address: `10.0.${index >> 8}.${index & 255}`, port: 80 }
      batch.createDestination(key, destination)
      batch.setDestination(key, { ...destination, weight: index })
      batch.deleteDestination(key, { ...destination, port: 81 })
    }
    const { applied, failures } = await batch.send()
    if (applied !== 1000 || failures.length !== 500)
      throw new Error(`${applied} applied, ${failures.length} failed`)
    if ((await ipvs.list())[0]?.destinations.length !== 500) throw new Error('the list is not whole')
    await using other = await Ipvs.open({ netns })
    await other.deleteService(key)
    await other.createService(key)
  }
  const memory = async (): Promise<number> => {
    for (let index = 0; index < 5; index++) {
      collect()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return process.memoryUsage().heapUsed
  }
  for (let index = 0; index < 20; index++) await round()
  const before = { memory: await memory(), descriptors: openResources().descriptors.size }
  const until = performance.now() + seconds * 500
  let rounds = 0
  for (; performance.now() < until; rounds++) await round()
  const after = { memory: await memory(), descriptors: openResources().descriptors.size }
  t.equal(after.descriptors, before.descriptors)
  const growth = after.memory / before.memory - 1
  t.ok(growth < 0.05, `the heap grew by ${(growth * 100).toFixed(1)} % in ${rounds} rounds of 1,500 changes`)
})

/** A network that falls apart with a virtual router and a client on each side, and comes together again. */
import t, { type Test } from 'tap'
import { VirtualRouter } from '../../src/edge/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest, type MakeSandbox } from './kernel-test.js'
import { until } from './support/edge.js'
import { Keepalived, lacksKeepalived } from './support/keepalived.js'

const addresses = ['10.0.1.100/24', 'fd00:1::100/64'] as const

/** One that takes part; what it has is seen by the addresses of its host. */
interface Router {
  close(): Promise<void>
}
type Start = (host: Host, role: Role, addresses: readonly string[]) => Promise<Router>

/** The lesser one speaks seldom: mostly it hears the better one first when they meet, and has to tell it. */
const roles = {
  better: { priority: 200, intervalCentiseconds: 10 },
  lesser: { priority: 100, intervalCentiseconds: 50 },
} as const
type Role = keyof typeof roles

const startOurs = (host: Host, role: Role, addresses: readonly string[]): Promise<VirtualRouter> =>
  VirtualRouter.start({
    netns: host.netns,
    device: 'eth0',
    addresses,
    vrrp: { virtualRouterId: 7, ...roles[role] },
    // Once: nothing is put right by being said again.
    announce: { afterMilliseconds: [0] },
  })

async function partition(
  t: Test,
  sandbox: MakeSandbox,
  addresses: readonly string[],
  starts: Readonly<Record<Role, Start>>,
): Promise<void> {
  const net = await sandbox({
    hosts: ['better', 'left', 'lesser', 'right', 'between'],
    links: [
      ['better', 'left', 'between'],
      // The same network, with other addresses.
      { hosts: ['lesser', 'right', 'between'], ipv4: '10.0.1.50/24', ipv6: 'fd00:1::50/64' },
    ],
  })
  const { better, left, lesser, right, between } = net.hosts
  const { links } = between.rtnetlink
  const data = { multicastSnooping: false, spanningTree: 0, forwardDelay: 0 }
  await links.add({ kind: 'bridge', name: 'bridge', data })
  for (const name of ['eth0', 'eth1']) await links.set(name, { master: 'bridge' })
  await links.set('bridge', { up: true })
  for (const host of [better, lesser]) {
    await host.serve((_request, response) => response.end(host.name), { port: 8080 })
  }
  const plain = addresses.map((address) => address.split('/')[0]!)
  const has = async (host: Host): Promise<number> => {
    const own = (await host.rtnetlink.addresses.list()).map(({ address }) => address)
    return addresses.filter((address) => own.includes(address)).length
  }
  const all = addresses.length
  const ask = async (client: Host): Promise<string> => {
    const answers = new Set<string>()
    for (const address of plain) {
      const host = address.includes(':') ? `[${address}]` : address
      const response = await client.fetch(`http://${host}:8080/`, { headers: { connection: 'close' } })
      answers.add(response.text())
    }
    return [...answers].join()
  }
  /** Where a client sends what is for the addresses. */
  const sendsTo = async (client: Host, host: Host): Promise<boolean> => {
    const { address } = await host.rtnetlink.links.get('eth0')
    const known = await client.rtnetlink.neighbours.list({ device: 'eth0' })
    return plain.every((one) => known.some((entry) => entry.address === one && entry.linkAddress === address))
  }

  const routers: Router[] = []
  try {
    routers.push(await starts.better(better, 'better', addresses))
    await until(async () => (await has(better)) === all)
    routers.push(await starts.lesser(lesser, 'lesser', addresses))
    t.same([await ask(left), await ask(right)], ['better', 'better'])
    t.equal(await has(lesser), 0)

    for (let times = 1; times <= 2; times++) {
      await links.set('bridge', { up: false })
      await until(async () => (await has(lesser)) === all)
      await until(() => sendsTo(right, lesser))
      t.same([await ask(left), await ask(right)], ['better', 'lesser'], 'both are master, each on its side')

      const from = performance.now()
      await links.set('bridge', { up: true })
      await until(async () => (await has(lesser)) === 0)
      // The better one was master all along, and the client would go on sending to the other one.
      const took = (await until(() => sendsTo(right, better))) - from
      t.comment(`put right after ${Math.round(took)} ms`)
      t.same([await ask(left), await ask(right)], ['better', 'better'])
      t.equal(await has(better), all)
    }
  } finally {
    for (const router of routers) await router.close()
  }
  await until(async () => (await has(better)) + (await has(lesser)) === 0)
}

kernelTest(
  'after a partition there is one master, and everybody knows which',
  { timeoutSeconds: 60 },
  async (t, sandbox) => {
    const told: string[] = []
    let lesser: VirtualRouter | undefined
    await partition(t, sandbox, addresses, {
      better: async (...options) => {
        const router = await startOurs(...options)
        router.leader.subscribe(({ event }) => void told.push(event))
        return router
      },
      lesser: async (...options) => (lesser = await startOurs(...options)),
    })
    t.match(lesser?.status(), { isLeader: false, hasAddresses: false, foreign: [], error: undefined })
    t.match(told.splice(-1), ['lost'], 'when it was closed')
    t.same([...new Set(told)], ['acquired', 'contested'], 'the better one has never been anything else')
  },
)

if (lacksKeepalived !== undefined) t.fail(lacksKeepalived)
else {
  const startTheirs =
    (t: Test, words: readonly string[]): Start =>
    async (host, role, addresses) => {
      const { priority, intervalCentiseconds } = roles[role]
      const keepalived = new Keepalived(host, {
        folder: t.testdir({}),
        virtualRouterId: 7,
        priority,
        intervalSeconds: intervalCentiseconds / 100,
        addresses,
        words,
      })
      t.teardown(() => keepalived.kill())
      await until(
        () => keepalived.output.includes('Entering BACKUP STATE'),
        () => keepalived.output,
      )
      return { close: () => keepalived.stop() }
    }
  const [address] = addresses

  kernelTest('the same with keepalived as the better one', { timeoutSeconds: 60 }, async (t, sandbox) => {
    // It announces again when it hears of the other, but for what it does by itself some time after a take-over.
    const better = startTheirs(t, ['garp_lower_prio_repeat 1', 'garp_lower_prio_delay 0'])
    await partition(t, sandbox, [address], { better, lesser: startOurs })
  })

  kernelTest('the same with keepalived as the lesser one', { timeoutSeconds: 60 }, async (t, sandbox) => {
    const lesser = startTheirs(t, ['higher_prio_send_advert true'])
    await partition(t, sandbox, [address], { better: startOurs, lesser })
  })
}

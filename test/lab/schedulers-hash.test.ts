/** Schedulers that hash: the same client, or the same address, to the same server; and who moves when one leaves. */
import type { Test } from 'tap'
import { Ipvs, type SchedulerFlag, type ServiceKey } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { type Balanced, balanced, connect, countOf, server, virtualAddress } from './support/balanced.js'
import { isHere, uses } from './support/features.js'
import { type Flow, Flows, refused } from './support/flows.js'
import { markIncoming } from './support/marks.js'

/** Packets of the same ports belong to the same connection, which keeps its server: so each round has its own. */
let lastPort = 20_000
const nextPort = (): number => ++lastPort

const clients = Array.from({ length: 120 }, (_, index) => `10.1.0.${index}`)
const names = ['a', 'b', 'c', 'd', 'e']

/** A UDP service by hash, asked by every client. */
class Hashed {
  readonly key: ServiceKey & { readonly port: number }
  readonly #ipvs: Ipvs
  readonly #flows: Flows

  private constructor(ipvs: Ipvs, flows: Flows) {
    this.key = { protocol: 'udp', address: virtualAddress, port: nextPort() }
    this.#ipvs = ipvs
    this.#flows = flows
  }

  static async start(
    ipvs: Ipvs,
    flows: Flows,
    scheduler: string,
    schedulerFlags: readonly SchedulerFlag[],
    weightOf: (name: string) => number = () => 1,
  ): Promise<Hashed> {
    const hashed = new Hashed(ipvs, flows)
    await ipvs.createService({ ...hashed.key, scheduler, schedulerFlags })
    for (const name of names)
      await ipvs.createDestination(hashed.key, server(name, { weight: weightOf(name) }))
    return hashed
  }

  /** The server of each client, by new connections. Every other time they come in the opposite order. */
  async ask(): Promise<string[]> {
    const { address, port } = this.key as { address: string; port: number }
    const sourcePort = nextPort()
    const order = (list: readonly string[]): string[] =>
      sourcePort % 2 === 0 ? list.toReversed() : [...list]
    return order(
      await this.#flows.ask(order(clients).map((source) => ({ source, sourcePort, address, port }))),
    )
  }

  /** The same for one client that comes from many ports. */
  askFromPorts(count: number): Promise<string[]> {
    const { address, port } = this.key as { address: string; port: number }
    return this.#flows.ask(
      Array.from({ length: count }, () => ({ source: '10.1.1.1', sourcePort: nextPort(), address, port })),
    )
  }

  setWeight(name: string, weight: number): Promise<void> {
    return this.#ipvs.setDestination(this.key, server(name, { weight }))
  }

  remove(name: string): Promise<void> {
    return this.#ipvs.deleteDestination(this.key, server(name))
  }
}

/** How many of those whose server was another one (than `name`) have got another than before. */
function movedOf(
  before: readonly string[],
  after: readonly string[],
  isMeant: (server: string) => boolean,
): number {
  return before.filter((server, index) => isMeant(server) && server !== after[index]).length
}

const notB = (name: string): boolean => name !== 'b'
const isB = (name: string): boolean => name === 'b'
const clientsOf = (name: string, all: readonly string[]): number => all.filter((one) => one === name).length

ipvsTest('schedulers that hash keep clients with their servers', async (t, sandbox) => {
  const net = await balanced(sandbox)
  await using ipvs = await Ipvs.open({ netns: net.hosts.director.netns })
  const flows = new Flows(net.hosts.client)
  for (const scheduler of ['sh', 'mh'] as const) {
    await t.test(`${scheduler}: the same client, the same server`, async (t) => {
      const hashed = await Hashed.start(ipvs, flows, scheduler, [], (name) => (name === 'a' ? 4 : 1))
      const first = await hashed.ask()
      t.same(await hashed.ask(), first, `each of ${clients.length} clients once more`)
      const counts = countOf(first)
      t.same(Object.keys(counts), names)
      t.ok(
        counts['a']! >= 40 && counts['a']! <= 80,
        `a has half of the weight, and ${counts['a']} of 120 clients`,
      )
      for (const name of names.slice(1)) {
        t.ok(counts[name]! >= 7 && counts[name]! <= 25, `${name} has an eighth, and ${counts[name]} clients`)
      }
      t.equal(new Set(await hashed.askFromPorts(24)).size, 1, 'from whatever port it comes')
      const byPort = await Hashed.start(ipvs, flows, scheduler, [`${scheduler}-port`])
      t.ok(
        new Set(await byPort.askFromPorts(24)).size >= 3,
        `unless the flag ${scheduler}-port says otherwise`,
      )
    })

    await t.test(`${scheduler}: a server of weight 0`, async (t) => {
      const refusing = await Hashed.start(ipvs, flows, scheduler, [])
      const first = await refusing.ask()
      await refusing.setWeight('b', 0)
      const then = await refusing.ask()
      t.equal(movedOf(first, then, notB), 0, 'all others keep their servers')
      t.equal(clientsOf(refused, then), clientsOf('b', first), 'its own are refused')

      const falling = await Hashed.start(ipvs, flows, scheduler, [`${scheduler}-fallback`])
      t.same(await falling.ask(), first, 'the flag changes nothing as long as all are there')
      await falling.setWeight('b', 0)
      const fallen = await falling.ask()
      t.equal(movedOf(first, fallen, notB), 0)
      t.same(
        Object.keys(countOf(fallen)),
        ['a', 'c', 'd', 'e'],
        'with the flag fallback its own go to others',
      )
      if (scheduler !== 'mh') return
      await falling.remove('b')
      const gone = await falling.ask()
      t.equal(movedOf(first, gone, notB), 0)
      t.ok(movedOf(fallen, gone, () => true) > 0, 'some of them once more when it is deleted')
    })
  }

  await t.test('mh: few move when a server leaves, and come back with it', async (t) => {
    const hashed = await Hashed.start(ipvs, flows, 'mh', [])
    const first = await hashed.ask()
    await hashed.remove('b')
    const then = await hashed.ask()
    const moved = movedOf(first, then, () => true)
    const most = (2 * clients.length) / names.length
    t.ok(moved <= most, `${moved} of ${clients.length} clients moved, at most ${most} may`)
    t.equal(movedOf(first, then, isB), clientsOf('b', first), 'all of its own among them')
    t.notOk(then.includes(refused))
    await ipvs.createDestination(hashed.key, server('b'))
    t.same(await hashed.ask(), first)
  })

  await t.test('sh: most move when a server leaves', async (t) => {
    const hashed = await Hashed.start(ipvs, flows, 'sh', [])
    const first = await hashed.ask()
    await hashed.remove('b')
    const moved = movedOf(first, await hashed.ask(), notB)
    t.ok(moved > 45, `${moved} clients of other servers moved: the table is dealt anew`)
  })

  await t.test('sh: with weights above 1 most move at weight 0 already', async (t) => {
    const hashed = await Hashed.start(ipvs, flows, 'sh', [], () => 10)
    const first = await hashed.ask()
    await hashed.setWeight('b', 0)
    const then = await hashed.ask()
    const moved = movedOf(first, then, notB)
    t.ok(moved > 45, `${moved} clients of other servers moved`)
    t.ok(then.includes(refused), 'and a bucket in each round stays with it')
  })

  await t.test('sh and mh: by TCP, too', async (t) => {
    for (const scheduler of ['sh', 'mh']) {
      const udp = await Hashed.start(ipvs, flows, scheduler, [])
      const expected = await udp.ask()
      const key: ServiceKey = { ...udp.key, protocol: 'tcp' }
      await ipvs.createService({ ...key, scheduler })
      for (const name of names) await ipvs.createDestination(key, server(name))
      for (const index of [1, 2, 3, 4, 5, 6]) {
        for (let round = 1; round <= 2; round++) {
          const { address, port } = key as { address: string; port: number }
          const target = { address, port, localAddress: clients[index] }
          const { server: who, socket } = await connect(net.hosts.client, target)
          socket.resetAndDestroy()
          t.equal(who, expected[index], `${scheduler}: ${clients[index]} has ${who} by UDP and TCP`)
        }
      }
    }
  })

  uses('scheduler-sh', 'scheduler-mh')
  if (await isHere('nftables-mark')) {
    await t.test('by destination', (t) => checkByDestination(t, net, ipvs, flows))
    uses('scheduler-dh', 'scheduler-lblc', 'scheduler-lblcr')
  }
})

/** For transparent caches: many addresses in one service, which a firewall mark makes. */
async function checkByDestination(t: Test, { hosts }: Balanced, ipvs: Ipvs, flows: Flows): Promise<void> {
  const schedulers = ['dh', 'lblc', 'lblcr']
  const network = (index: number): string => `198.51.100.${index * 64}`
  await markIncoming(
    hosts.director,
    new Map(schedulers.map((_, index) => [`${network(index)}/26`, index + 1])),
  )
  for (const [index, scheduler] of schedulers.entries()) {
    const key: ServiceKey = { firewallMark: index + 1, family: 'ipv4' }
    await ipvs.createService({ ...key, scheduler })
    for (const name of names) await ipvs.createDestination(key, server(name))
    const visit = (client: string): Promise<string[]> => {
      const sourcePort = nextPort()
      return flows.ask(
        Array.from({ length: 50 }, (_, host): Flow => {
          const address = network(index).replace(/\d+$/, (first) => String(Number(first) + host))
          return { source: client, sourcePort, address, port: 53 }
        }),
      )
    }
    const first = await visit('10.1.0.1')
    t.same(Object.keys(countOf(first)), names, `${scheduler}: 50 addresses have every server among them`)
    t.same(
      await visit('10.1.0.2'),
      first,
      `${scheduler}: the same address has the same server for all clients`,
    )
    await ipvs.setDestination(key, server('b', { weight: 0 }))
    const then = await visit('10.1.0.1')
    t.equal(movedOf(first, then, notB), 0, `${scheduler}: at weight 0 all other addresses stay`)
    t.equal(clientsOf(refused, then), scheduler === 'dh' ? clientsOf('b', first) : 0, 'dh refuses its own')
    t.notOk(then.includes('b'))
  }
}

/** A client that keeps reaching an address while it goes from host to host, and what its neighbour table says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { VirtualRouter, type VirtualRouterOptions } from '../../src/edge/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import { edgeProcess } from './support/edge-process.js'
import { startLeader, until } from './support/edge.js'

const network = { hosts: ['one', 'two', 'client'], links: [['one', 'two', 'client']] } as const
const intervalCentiseconds = 10
/** Three intervals, and what the requirement leaves for the rest. */
const mostMilliseconds = 3 * intervalCentiseconds * 10 + 200

interface Answer {
  readonly at: number
  readonly by: string
}

/** Asks who has the address, in a new connection each time. */
class Client {
  readonly answers: Answer[] = []
  readonly #end = new AbortController()
  readonly #running: Promise<void>
  constructor(host: Host, url: string) {
    this.#running = this.#run(host, url)
  }
  async #run(host: Host, url: string): Promise<void> {
    const { signal } = this.#end
    while (!signal.aborted) {
      try {
        const response = await host.fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(60)]) })
        this.answers.push({ at: performance.now(), by: response.text() })
      } catch {
        // It asks again.
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  async untilAnsweredBy(name: string): Promise<void> {
    await until(
      () => this.answers.at(-1)?.by === name,
      () => `${name} answers`,
    )
  }
  /** The longest time without an answer. */
  get longestGap(): number {
    return Math.max(...this.answers.slice(1).map(({ at }, index) => at - this.answers[index]!.at))
  }
  async end(): Promise<void> {
    this.#end.abort()
    await this.#running
  }
}

async function neighbour(client: Host, address: string): Promise<string | undefined> {
  const all = await client.rtnetlink.neighbours.list({ device: 'eth0' })
  return all.find((entry) => entry.address === address)?.linkAddress
}

async function serve(...hosts: Host[]): Promise<void> {
  for (const host of hosts) await host.serve((_request, response) => response.end(host.name), { port: 8080 })
}

const options = (address: string, priority: number, more: object = {}) =>
  ({
    device: 'eth0',
    addresses: [address],
    vrrp: { virtualRouterId: 7, intervalCentiseconds, priority, ...more },
  }) satisfies VirtualRouterOptions

for (const [family, address, url] of [
  ['IPv4', '10.0.1.100/24', 'http://10.0.1.100:8080/'],
  ['IPv6', 'fd00:1::100/64', 'http://[fd00:1::100]:8080/'],
] as const) {
  kernelTest(`a client follows the address: ${family}`, { timeoutSeconds: 60 }, async (t, sandbox) => {
    const { one, two, client } = (await sandbox(network)).hosts
    await serve(one, two)
    const plain = address.split('/')[0]!
    const hardware = async (host: Host) => (await host.rtnetlink.links.get('eth0')).address
    const routers = new Map<string, VirtualRouter>()
    const start = async (host: Host, priority: number): Promise<void> => {
      routers.set(host.name, await VirtualRouter.start({ ...options(address, priority), netns: host.netns }))
    }
    await start(one, 200)
    await start(two, 100)
    const asking = new Client(client, url)
    try {
      await asking.untilAnsweredBy('one')
      t.equal(await neighbour(client, plain), await hardware(one))
      t.same(routers.get('two')!.status(), {
        isLeader: false,
        hasAddresses: false,
        foreign: [],
        error: undefined,
      })

      // In order: nobody waits for a silence.
      asking.answers.length = 1
      await routers.get('one')!.close()
      await routers.get('one')!.close()
      await asking.untilAnsweredBy('two')
      t.equal(await neighbour(client, plain), await hardware(two))
      t.comment(`in order: ${Math.round(asking.longestGap)} ms without an answer`)
      t.ok(asking.longestGap < 10 * intervalCentiseconds + 200)
      t.notOk((await one.rtnetlink.addresses.list()).some((entry) => entry.address === address))
      const left = (await one.rtnetlink.addresses.list({ device: 'eth0' })).map((entry) => entry.address)
      t.ok(left.includes('10.0.1.1/24') && left.includes('fd00:1::1/64'), 'everything else stays')

      // The better one comes back, and is waited for by nobody.
      await start(one, 200)
      asking.answers.length = 0
      await asking.untilAnsweredBy('one')
      t.equal(await neighbour(client, plain), await hardware(one))

      // Cut off from one moment to the next.
      asking.answers.splice(0, asking.answers.length - 1)
      const gone = performance.now()
      await one.rtnetlink.links.set('eth0', { up: false })
      await asking.untilAnsweredBy('two')
      const took = performance.now() - gone
      t.comment(
        `cut off: answered again after ${Math.round(took)} ms; ${Math.round(asking.longestGap)} ms without`,
      )
      t.ok(asking.longestGap <= mostMilliseconds, `at most ${mostMilliseconds} ms`)
      t.equal(await neighbour(client, plain), await hardware(two))
    } finally {
      await asking.end()
      for (const router of routers.values()) await router.close()
    }
    for (const host of [one, two]) {
      t.notOk((await host.rtnetlink.addresses.list()).some((entry) => entry.address === address))
    }
  })
}

/** A virtual router in a process of its own. */
async function startProcess(t: Test, host: Host, options: VirtualRouterOptions) {
  const path = `/proc/${process.pid}/fd/${host.netns.fd}`
  const child = spawn(process.execPath, [edgeProcess, path, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await closed
  }
  t.teardown(() => end('SIGKILL'))
  await once(child.stdout, 'data')
  return end
}

kernelTest('what a killed process has left is its own again', { timeoutSeconds: 60 }, async (t, sandbox) => {
  const { one, two, client } = (await sandbox(network)).hosts
  await serve(one, two)
  const has = async (host: Host): Promise<boolean> =>
    (await host.rtnetlink.addresses.list()).some(({ address }) => address === '10.0.1.100/24')
  const other = await VirtualRouter.start({ ...options('10.0.1.100/24', 100), netns: two.netns })
  const end = await startProcess(t, one, options('10.0.1.100/24', 200))
  const asking = new Client(client, 'http://10.0.1.100:8080/')
  try {
    await asking.untilAnsweredBy('one')
    asking.answers.splice(0, asking.answers.length - 1)
    const killed = performance.now()
    await end('SIGKILL')
    // Its host still has the address and answers: the announcement is what moves the client.
    await asking.untilAnsweredBy('two')
    t.comment(`killed: moved after ${Math.round(performance.now() - killed)} ms`)
    t.ok(await has(one), 'nobody has taken it off')
    const again = await startProcess(t, one, options('10.0.1.100/24', 50))
    t.notOk(await has(one), 'it is backup now, and has nothing')
    t.ok(await has(two))
    await again('SIGTERM')
    t.notOk(await has(one))
  } finally {
    await asking.end()
    await other.close()
  }
  t.notOk(await has(two))
})

kernelTest(
  'a backup that was held up does not take over from a master that is there',
  {},
  async (t, sandbox) => {
    const { one, two } = (await sandbox(network)).hosts
    const end = await startProcess(t, one, options('10.0.1.100/24', 200))
    const backup = await startLeader(two, { ...options('', 100).vrrp, addresses: ['10.0.1.100'] })
    try {
      await until(() => backup.leader.status().received > 3)
      const { received } = backup.leader.status()
      // Twice as long as a silence that it would take for the master's end.
      const asleep = new Int32Array(new SharedArrayBuffer(4))
      Atomics.wait(asleep, 0, 0, 8 * intervalCentiseconds * 10)
      await until(() => backup.leader.status().received > received + 8)
      t.same(backup.told, [])
    } finally {
      await end('SIGTERM')
      await backup.leader.close()
      await backup.leader.close()
    }
  },
)

kernelTest('an address that somebody takes off comes back', {}, async (t, sandbox) => {
  const { one } = (await sandbox(network)).hosts
  const router = await VirtualRouter.start({ ...options('10.0.1.100/24', 255), netns: one.netns })
  const has = async (): Promise<boolean> =>
    (await one.rtnetlink.addresses.list()).some(({ address }) => address === '10.0.1.100/24')
  try {
    await until(has)
    await one.rtnetlink.addresses.delete({ device: 'eth0', address: '10.0.1.100/24' })
    await until(has)
    t.match(router.status(), { isLeader: true, hasAddresses: true, error: undefined })
  } finally {
    await router.close()
  }
})

kernelTest('announcements are repeated', {}, async (t, sandbox) => {
  const { one, client } = (await sandbox(network)).hosts
  const { hardwareAddress } = client.interfaces[0]!
  const announce = { afterMilliseconds: [0, 50], refreshMilliseconds: 50 }
  const router = await VirtualRouter.start({ ...options('10.0.1.100/24', 255), netns: one.netns, announce })
  const { address: right } = await one.rtnetlink.links.get('eth0')
  try {
    // A neighbour that is known wrongly is put right by the next one, as often as it happens.
    for (let times = 0; times < 3; times++) {
      const wrong = {
        device: 'eth0',
        address: '10.0.1.100',
        linkAddress: hardwareAddress,
        state: 'stale',
      } as const
      await client.rtnetlink.neighbours.replace(wrong)
      await until(async () => (await neighbour(client, '10.0.1.100')) === right)
    }
    t.equal(router.status().error, undefined)
  } finally {
    await router.close()
  }
})

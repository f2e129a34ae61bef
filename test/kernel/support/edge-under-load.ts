/**
 * Two balancers in front of ten nodes, and clients that go on asking while nodes and balancers are killed and come back, one after
 * the other. Every request that fails is accounted for: it began or was under way while a failure could not be known yet.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { isKernelError } from '../../../src/errors/index.js'
import { type Host, sandbox } from '../../../src/testing/index.js'
import { type BalancerInput, type BalancerLine, balancerProcess } from './balancer.js'
import { until } from './edge.js'
import { Load, loadPort, serveLoad } from './load.js'

const address = '10.0.1.100/24'
const intervalCentiseconds = 20
const rules = { intervalMilliseconds: 200, timeoutMilliseconds: 250, fall: 2, jitter: 0.1 } as const
/** How long after a failure requests may begin that fail. */
const bounds = {
  /** Nobody answers any more. */
  node: rules.fall * (rules.intervalMilliseconds + rules.timeoutMilliseconds) + 50,
  /** The node refuses. */
  process: rules.fall * rules.intervalMilliseconds * (1 + rules.jitter) + 50,
  balancer: 3 * intervalCentiseconds * 10 + 200,
} as const
/** Shorter than the second after which what has got lost is sent again: a request that is lost has failed. */
const patienceMilliseconds = 900

/** A balancer's process, and what it has told. */
class Balancer {
  readonly host: Host
  readonly out = new Set<string>()
  isReady = false
  isMaster = false
  acquired = 0
  #child: ChildProcess | undefined
  readonly #input: BalancerInput

  constructor(host: Host, input: BalancerInput) {
    this.host = host
    this.#input = input
  }

  async start(): Promise<void> {
    const path = `/proc/${process.pid}/fd/${this.host.netns.fd}`
    const child = spawn(process.execPath, [balancerProcess, path, JSON.stringify(this.#input)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    createInterface({ input: child.stdout }).on('line', (line) =>
      this.#take(JSON.parse(line) as BalancerLine),
    )
    await until(
      () => this.isReady,
      () => `${this.host.name} is ready`,
    )
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
    this.isReady = this.isMaster = false
    this.out.clear()
  }

  #take(line: BalancerLine): void {
    if (line.event === 'ready') this.isReady = true
    else if (line.event === 'out') this.out.add(line.address)
    else if (line.event === 'in') this.out.delete(line.address)
    else if (line.event === 'lost') this.isMaster = false
    else if (line.event === 'acquired') {
      this.isMaster = true
      this.acquired++
    }
  }
}

interface Kill {
  readonly what: keyof typeof bounds
  readonly from: number
  /** Who begins by then may fail. */
  readonly to: number
}

export async function edgeUnderLoad(t: Test, milliseconds: number): Promise<void> {
  const names = Array.from({ length: 10 }, (_, index) => `node${index + 1}`)
  const net = await sandbox({
    hosts: ['one', 'two', 'here', 'there', ...names],
    links: [
      ['one', 'two', 'here', 'there'],
      ['one', 'two', ...names],
    ],
  })
  t.teardown(() => net.close())
  const hosts = net.hosts as Readonly<Record<string, Host>>
  const nodes = names.map((name) => hosts[name]!)
  const served = new Map<Host, Awaited<ReturnType<typeof serveLoad>>>()
  for (const node of nodes) served.set(node, await serveLoad(node))

  const input: BalancerInput = {
    address,
    intervalCentiseconds,
    rules,
    services: [
      {
        metadata: { name: 'web' },
        spec: { type: 'LoadBalancer', ports: [{ port: 80, nodePort: loadPort }] },
      },
    ],
    nodes: nodes.map(({ name, address }) => ({
      metadata: { name },
      status: {
        conditions: [{ type: 'Ready', status: 'True' }],
        addresses: [{ type: 'InternalIP', address }],
      },
    })),
  }
  const balancers = [new Balancer(hosts['one']!, input), new Balancer(hosts['two']!, input)] as const
  t.teardown(() => Promise.all(balancers.map((balancer) => balancer.kill())))
  await Promise.all(balancers.map((balancer) => balancer.start()))
  await until(() => balancers.some(({ isMaster }) => isMaster))
  const [to] = address.split('/')
  const options = {
    address: to!,
    port: 80,
    staying: 0,
    fresh: 20,
    pauseMilliseconds: 300,
    patienceMilliseconds,
  }
  const loads = ['here', 'there'].map((name) => new Load(hosts[name]!, options))

  const kills: Kill[] = []
  /** How long after a kill the last request began that failed. */
  const last: Record<Kill['what'], number[]> = { node: [], process: [], balancer: [] }
  let accounted = 0
  const judge = (): void => {
    for (const { began, failed, error } of loads.flatMap(({ failures }) => failures.splice(0))) {
      const kill = kills.findLast(({ from }) => from <= failed)
      if (kill !== undefined && began <= kill.to) accounted++
      else t.fail(`${error.message}: began ${Math.round(began - (kill?.from ?? NaN))} ms after the last kill`)
      if (kill === undefined) continue
      const times = last[kill.what]
      times.push(Math.max(began - kill.from, 0))
    }
  }
  const killed = async (what: Kill['what'], work: () => Promise<void>): Promise<void> => {
    const from = performance.now()
    await work()
    kills.push({ what, from, to: performance.now() + bounds[what] })
  }
  const requests = (): number => loads.reduce((sum, load) => sum + load.requests, 0)
  /** So many requests more are answered, on connections made from now on. */
  const answered = async (count: number): Promise<void> => {
    const before = requests()
    await until(
      () => requests() >= before + count,
      () => 'requests are answered',
    )
  }
  const master = (): Balancer => balancers.find(({ isMaster }) => isMaster)!
  /** Beyond what it may fail for, and some requests after that. */
  const over = async (): Promise<void> => {
    await until(() => performance.now() > kills.at(-1)!.to)
    await answered(20)
  }
  const isKnown = (node: Host, isOut: boolean) => () =>
    balancers.every(({ out }) => out.has(node.address) === isOut)

  let turn = 0
  const nextNode = (): Host => nodes[turn++ % nodes.length]!
  const afterTakeOver = async (gone: Balancer): Promise<void> => {
    const other = balancers.find((balancer) => balancer !== gone)!
    await until(() => other.isMaster)
    await over()
  }
  const acts: Record<string, () => Promise<void>> = {
    'a node’s server is killed': async () => {
      const node = nextNode()
      await killed('process', () => Promise.resolve(served.get(node)!.close()))
      await until(isKnown(node, true))
      await over()
      served.set(node, await serveLoad(node))
      await until(isKnown(node, false))
    },
    'a node vanishes': async () => {
      const node = nextNode()
      await killed('node', () => node.rtnetlink.links.set('eth0', { up: false }))
      await until(isKnown(node, true))
      await over()
      await node.rtnetlink.links.set('eth0', { up: true })
      await until(isKnown(node, false))
    },
    'the master’s process is killed': async () => {
      const gone = master()
      await killed('balancer', () => gone.kill())
      await afterTakeOver(gone)
      await gone.start()
    },
    'the master vanishes': async () => {
      const gone = master()
      const { links, addresses } = gone.host.rtnetlink
      await killed('balancer', async () => {
        for (const { device } of gone.host.interfaces) await links.set(device, { up: false })
        await gone.kill()
      })
      await afterTakeOver(gone)
      // A host that boots has none of it.
      await addresses.delete({ device: 'eth0', address }).catch((error: unknown) => {
        if (!isKernelError(error, 'EADDRNOTAVAIL')) throw error
      })
      for (const { device } of gone.host.interfaces) await links.set(device, { up: true })
      await gone.start()
    },
  }

  const started = performance.now()
  let done = 0
  try {
    await answered(100)
    const all = Object.entries(acts)
    while (performance.now() - started < milliseconds || done < all.length) {
      const [name, act] = all[done++ % all.length]!
      const before = balancers.reduce((sum, { acquired }) => sum + acquired, 0)
      await act()
      await answered(20)
      judge()
      const times = balancers.reduce((sum, { acquired }) => sum + acquired, 0) - before
      t.equal(times, name.includes('master') ? 1 : 0, `${name}: taken over ${times} times`)
    }
  } finally {
    for (const load of loads) await load.end()
  }
  judge()
  const seconds = (performance.now() - started) / 1000
  t.comment(
    `${done} failures in ${Math.round(seconds)} s, ${Math.round(requests() / seconds)} requests a second`,
  )
  t.comment(`${accounted} of ${requests() + accounted} requests failed`)
  t.ok(accounted > 0, 'failures are felt')
  for (const [what, times] of Object.entries(last)) {
    const most = Math.round(Math.max(0, ...times))
    t.comment(
      `${what}: ${times.length} failed, the last began ${most} ms after it, of at most ${Math.round(bounds[what as Kill['what']])}`,
    )
  }
}

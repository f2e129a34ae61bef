/** A node whose services have their servers checked, clients that ask them all the time, and servers that go and come back. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { Conntrack, type Flow } from '../../../src/conntrack/index.js'
import { openDataplane } from '../../../src/dataplane/index.js'
import { type ChecksOf, HealthMonitor, ServiceChecks } from '../../../src/health/index.js'
import { Reconciler } from '../../../src/reconciler/index.js'
import { type Host, sandbox, type Served } from '../../../src/testing/index.js'
import { until } from '../../lab/support/until.js'
import { clusterAddress } from '../services-network.js'

/** Where servers listen: TCP and UDP. */
export const port = 9090
/** Beyond what rules promise: for a machine that others use, too. */
export const grace = 200
/**
 * A connection that does not come about in so long is given up: it was sent to a server that is gone. Before the second SYN, which
 * might go to another one, and long enough for a machine that is busy.
 */
const patience = 900

export interface HealingOptions {
  /** Of servers. */
  readonly names: readonly string[]
  readonly checksOf: (nodeNetns: Host['netns']) => ChecksOf
}

export class Healing {
  readonly client: Host
  readonly node: Host
  readonly monitor = new HealthMonitor()
  readonly reconciler: Reconciler
  readonly #hosts: ReadonlyMap<string, Host>
  readonly #served = new Map<string, Served>()

  private constructor(
    hosts: ReadonlyMap<string, Host>,
    dataplane: Awaited<ReturnType<typeof openDataplane>>,
    checksOf: HealingOptions['checksOf'],
  ) {
    this.client = hosts.get('client')!
    this.node = hosts.get('node')!
    this.#hosts = hosts
    const shaper = new ServiceChecks(this.monitor, checksOf(this.node.netns))
    this.reconciler = new Reconciler({ dataplane, shaper })
  }

  static async open(t: Test, { names, checksOf }: HealingOptions): Promise<Healing> {
    const net = await sandbox({
      hosts: ['client', 'node', ...names],
      links: [['client', 'node'], { hosts: ['node', ...names], switch: true }],
      settings: { node: { defaultRoute: 'client', sysctls: { 'net.ipv4.conf.all.rp_filter': 0 } } },
    })
    t.teardown(() => net.close())
    const hosts = new Map(Object.entries(net.hosts))
    const dataplane = await openDataplane({ kind: 'nftables', netns: hosts.get('node')!.netns })
    const healing = new Healing(hosts, dataplane, checksOf)
    for (const name of names) await healing.serve(name)
    t.teardown(async () => {
      await healing.reconciler.close()
      healing.monitor.close()
      dataplane.close()
    })
    await healing.reconciler.start()
    return healing
  }

  host(name: string): Host {
    return this.#hosts.get(name)!
  }

  server(name: string, family: 'ipv4' | 'ipv6' = 'ipv4'): { address: string; port: number } {
    const { address, address6 } = this.host(name)
    return { address: family === 'ipv4' ? address : address6, port }
  }

  /** Answers each line with its name. */
  async serve(name: string): Promise<void> {
    const answers = (socket: Socket): unknown => socket.on('data', () => socket.write(name))
    this.#served.set(name, await this.host(name).serveTcp(answers, { port }))
  }

  /** As a process that is killed: its kernel closes what it had. */
  kill(name: string): void {
    this.#served.get(name)!.close()
  }

  /** Nothing comes of it any more, and nothing gets there. */
  async vanish(name: string): Promise<void> {
    const { rtnetlink, interfaces } = this.host(name)
    await rtnetlink.links.set(interfaces[0]!.device, { up: false })
  }

  /** IPv4 alone: the kernel has forgotten its addresses of IPv6. */
  async comeBack(name: string): Promise<void> {
    const { rtnetlink, interfaces } = this.host(name)
    await rtnetlink.links.set(interfaces[0]!.device, { up: true })
    const gateway = this.node.towards(name).address
    await rtnetlink.routes.replace({ destination: '0.0.0.0/0', gateway })
  }

  /** One service of these hosts, at the cluster address; resolves when all of them are up. */
  async serveAll(names: readonly string[]): Promise<void> {
    this.reconciler.upsert({
      name: 'web',
      address: clusterAddress.ipv4,
      ports: [{ port: 80, targetPort: port }],
      servers: names.map((name) => this.server(name)),
    })
    await this.reconciler.settled()
    await this.allUp()
  }

  /** When all servers of all services have been asked, and are up. */
  async allUp(): Promise<void> {
    const isUp = (key: string): boolean =>
      this.monitor.health(key)!.servers.every(({ verdict }) => verdict === 'up')
    await until('all are up', () => this.monitor.keys().every(isUp))
  }

  /** When the dataplane gives it nothing, of any service that is checked. */
  async isOut(name: string): Promise<void> {
    const { address, address6 } = this.host(name)
    const isIts = (key: string): boolean =>
      this.monitor
        .health(key)!
        .servers.every(
          ({ server, place }) =>
            (server.address !== address && server.address !== address6) || place === 'out',
        )
    await until(`${name} is out`, () => this.monitor.keys().every(isIts))
    await this.reconciler.settled()
  }

  /** Flows that go through the node to a server. */
  async flowsTo(name: string): Promise<Flow[]> {
    const { address, address6 } = this.host(name)
    await using conntrack = await Conntrack.open({ netns: this.node.netns })
    const where = ({ reply }: Flow): boolean => reply.source === address || reply.source === address6
    return await conntrack.list({ where })
  }

  /** A connection through a service, answered once. */
  async connect({
    from = this.client,
    family = 'ipv4',
    address = clusterAddress[family],
    port = 80,
  }: Way = {}): Promise<Kept> {
    const signal = AbortSignal.timeout(patience)
    const socket = await from.connect({ address, port, signal })
    const kept = new Kept(socket)
    signal.addEventListener('abort', () => kept.isAsked || socket.destroy())
    await kept.ask()
    return kept
  }
}

/** Where a connection goes, and where it comes from: the client, unless said. */
export interface Way {
  readonly from?: Host
  readonly family?: 'ipv4' | 'ipv6'
  /** The cluster address unless said. */
  readonly address?: string
  /** 80 unless said. */
  readonly port?: number
}

/** A connection that is kept. */
export class Kept {
  /** Who is at its other end. */
  by = ''
  readonly #socket: Socket
  /** When and of what it ended. */
  readonly ended: Promise<{ readonly at: number; readonly code: string }>
  /** Whether it has ended. */
  isOver = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true).on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      let code = 'ended'
      socket.once('error', (error: NodeJS.ErrnoException) => (code = error.code ?? error.message))
      socket.once('end', () => socket.destroy())
      socket.once('close', () => {
        this.isOver = true
        resolve({ at: performance.now(), code })
      })
    })
  }

  get isAsked(): boolean {
    return this.by !== ''
  }

  /** @throws if it ends instead */
  async ask(): Promise<string> {
    this.send()
    const ended = this.ended.then(({ code }) => Promise.reject(new Error(code)))
    const [bytes] = (await Promise.race([once(this.#socket, 'data'), ended])) as [Buffer]
    return (this.by = String(bytes))
  }

  send(): void {
    this.#socket.write('?')
  }

  /** In good order, unless nobody is there any more. */
  async end(): Promise<void> {
    this.#socket.end()
    const givenUp = setTimeout(() => this.destroy(), patience)
    await this.ended
    clearTimeout(givenUp)
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** A request. `by` is undefined where it failed. */
export interface Request {
  readonly kind: 'new' | 'kept'
  /** Its place in the list that the load was given. */
  readonly client: number
  readonly began: number
  readonly ended: number
  readonly by: string | undefined
}

/** Others have something to do, too. */
const pauseMilliseconds = 10

/** Clients that ask all the time: each over one connection for so many requests, then over another one. */
export class Load {
  readonly requests: Request[] = []
  readonly #healing: Healing
  readonly #open = new Set<Kept>()
  readonly #running: Promise<unknown>
  #isStopped = false

  /** @param requestsPerConnection  Of each client. */
  constructor(healing: Healing, requestsPerConnection: readonly number[]) {
    this.#healing = healing
    this.#running = Promise.all(requestsPerConnection.map((requests, client) => this.#run(client, requests)))
  }

  async #run(client: number, requests: number): Promise<void> {
    while (!this.#isStopped) {
      await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds))
      const kept = await this.#request({ kind: 'new', client }, async () => {
        const made = await this.#healing.connect()
        return [made.by, made] as const
      })
      if (kept === undefined) continue
      this.#open.add(kept)
      for (let count = 1; count < requests && !this.#isStopped; count++) {
        await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds))
        const ask = async () => [await kept.ask(), true] as const
        const isAnswered = await this.#request({ kind: 'kept', client }, ask)
        if (isAnswered === undefined) break
      }
      await kept.end()
      this.#open.delete(kept)
    }
  }

  async #request<T>(
    who: Pick<Request, 'kind' | 'client'>,
    make: () => Promise<readonly [string, T]>,
  ): Promise<T | undefined> {
    const began = performance.now()
    const [by, made] = await make().catch(() => [undefined, undefined] as const)
    // One that was given up at the end says nothing.
    if (!this.#isStopped || by !== undefined) {
      this.requests.push({ ...who, began, ended: performance.now(), by })
    }
    return made
  }

  /** Those that began since and are over. */
  since(time: number): Request[] {
    return this.requests.filter(({ began }) => began >= time)
  }

  /** When every client has made so many requests since, the names of who answered. */
  async heard(time: number, count = 3): Promise<string[]> {
    const clients = new Set(this.requests.map(({ client }) => client))
    const found = await until('every client is through', () => {
      const requests = this.since(time)
      const isThrough = [...clients].every(
        (client) => requests.filter((one) => one.client === client).length >= count,
      )
      return isThrough && requests
    })
    return [...new Set(found.map(({ by }) => by ?? 'nobody'))].sort()
  }

  /** Those that failed. */
  get failed(): Request[] {
    return this.requests.filter(({ by }) => by === undefined)
  }

  async stop(): Promise<readonly Request[]> {
    this.#isStopped = true
    for (const kept of this.#open) kept.destroy()
    await this.#running
    return this.requests
  }
}

/** Draining and replacing servers under load, with a connection held through it all. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import {
  type DestinationInput,
  type DrainResult,
  Ipvs,
  IpvsService,
  type ServersChange,
  type ServiceKey,
  type SetServersOptions,
} from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import type { MakeSandbox } from '../kernel/kernel-test.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere } from './support/features.js'
import { markIncoming } from './support/marks.js'
import { type Load, Traffic } from './traffic.js'

const virtualAddress = '192.0.2.10'
const port = 7000
/** New connections a second beside the held one: under QEMU's emulation, and where code runs natively. */
const leastRate = process.env.VIADUCT_LAB === undefined || process.env.VIADUCT_LAB === 'uml' ? 200 : 50
const rate = leastRate * 2

interface Net {
  readonly client: Host
  readonly director: Host
  readonly servers: readonly Host[]
  readonly web: IpvsService
}

async function network(sandbox: MakeSandbox, traffic: Traffic): Promise<Net> {
  const net = await sandbox({
    hosts: ['client', 'director', 'a', 'b', 'c'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b', 'c'],
    ],
    settings: { director: { addresses: [`${virtualAddress}/32`] } },
  })
  const { client, director, a, b, c } = net.hosts
  const servers = [a, b, c]
  await Promise.all(servers.map((server) => traffic.serve(server, port)))
  const web = await IpvsService.create(
    { protocol: 'tcp', address: virtualAddress, port, scheduler: 'rr' },
    { netns: director.netns },
  )
  return { client, director, servers, web }
}

function named(host: Host): DestinationInput {
  return { address: host.address, port }
}

async function word(socket: Socket): Promise<string> {
  return String((await once(socket, 'data', { signal: AbortSignal.timeout(10_000) }))[0])
}

async function hold(client: Host): Promise<{ socket: Socket; server: string; ask: () => Promise<string> }> {
  const socket = await client.connect({ address: virtualAddress, port })
  socket.on('error', () => undefined)
  const server = await word(socket)
  const ask = async (): Promise<string> => {
    const answer = word(socket)
    socket.write('?')
    return answer
  }
  return { socket, server, ask }
}

/** Replaces the server that a connection is held to by another, under load. */
async function replaceUnderLoad(
  sandbox: MakeSandbox,
  options: SetServersOptions,
): Promise<{
  load: Load
  change: ServersChange
  held: string
  answersWhileHeld: number
  setAt: number
  broke: boolean
}> {
  await using traffic = await Traffic.compile()
  const { client, servers, web } = await network(sandbox, traffic)
  const [first, second, third] = servers as [Host, Host, Host]
  await web.servers.set([named(first), named(second)])
  const held = await hold(client)
  const load = traffic.load(client, virtualAddress, port, rate)
  await load.answered(20)
  const others = servers.filter(({ name }) => name !== held.server)
  const replacing = web.servers.set(others.map(named), options)
  if (options.removed === 'drain') await quiesced(web)
  const setAt = Date.now()
  let answersWhileHeld = 0
  let broke = false
  try {
    // The held connection goes on while others come and go beside it.
    for (; answersWhileHeld < 10; answersWhileHeld++) {
      await load.answered(4)
      if ((await held.ask()) !== held.server) throw new Error('another server answers')
    }
  } catch {
    broke = true
  }
  held.socket.destroy()
  const change = await replacing
  await load.answered(20)
  const result = await load.stop()
  await web.close()
  if (third.name === held.server) throw new Error('the third server was not there yet')
  return { load: result, change, held: held.server, answersWhileHeld, setAt, broke }
}

async function quiesced(web: IpvsService): Promise<void> {
  for await (const event of web.watch({ intervalSeconds: 0.02, signal: AbortSignal.timeout(20_000) })) {
    if (event.type === 'statistics' && event.servers.some(({ weight }) => weight === 0)) return
  }
  throw new Error('no server got weight 0')
}

function checkLoad(t: Test, { answers, failures, bySecond }: Load): void {
  t.same(failures, [], 'no connection failed')
  t.ok(
    answers.every(({ server }) => /^[abc]$/.test(server)),
    'every reply names its server',
  )
  t.ok(bySecond >= leastRate, `${bySecond.toFixed(0)} new connections a second, at least ${leastRate}`)
}

ipvsTest(
  'a server is replaced under load: the held connection goes on, no other is lost',
  async (t, sandbox) => {
    const { load, change, held, answersWhileHeld, setAt, broke } = await replaceUnderLoad(sandbox, {
      removed: 'drain',
      drainTimeoutSeconds: 120,
    })
    checkLoad(t, load)
    t.notOk(broke, 'the held connection was answered all the time')
    t.equal(answersWhileHeld, 10)
    t.match(change, {
      added: [{ port }],
      removed: [{ drain: { drained: true, remaining: 0, deleted: true } }],
    })
    t.equal(change.unchanged.length, 1)
    const late = load.answers.filter(({ startedAt }) => startedAt > setAt)
    t.ok(late.length > 0)
    t.notOk(
      late.some(({ server }) => server === held),
      'no new connection went to the drained server',
    )
    t.ok(new Set(late.map(({ server }) => server)).size === 2, 'both others serve')
  },
)

ipvsTest('without the draining step the same test sees the held connection break', async (t, sandbox) => {
  const { broke } = await replaceUnderLoad(sandbox, { removed: 'delete' })
  t.ok(broke)
})

ipvsTest('at the deadline a drain tells how many connections were left', async (t, sandbox) => {
  await using traffic = await Traffic.compile()
  const { client, servers, web } = await network(sandbox, traffic)
  const [a, b] = servers as [Host, Host, Host]
  await web.servers.set([named(a)])
  const held = await hold(client)
  await web.servers.add(named(b))
  const kept = await web.drain(named(a), { timeoutSeconds: 0.2, onTimeout: 'keep' })
  t.same(kept, {
    drained: false,
    remaining: 1,
    persistent: 0,
    deleted: false,
    overtaken: false,
  } satisfies DrainResult)
  const [still] = (await web.servers.list()).filter(({ address }) => address === a.address)
  t.match(still, { weight: 0, activeConnections: 1 })
  t.equal(await held.ask(), 'a', 'and the connection is still there')

  const abort = new AbortController()
  const aborted = web.drain(named(a), { timeoutSeconds: 60, signal: abort.signal })
  abort.abort()
  await t.rejects(aborted, { name: 'AbortError' })
  t.equal((await web.servers.list()).length, 2, 'an abort leaves it at weight 0')

  const overtaken = web.drain(named(a), { timeoutSeconds: 60 })
  await web.servers.update({ ...named(a), weight: 1 })
  t.match(await overtaken, { overtaken: true, deleted: false }, 'somebody gave it weight again')

  const robbed = web.drain(named(a), { timeoutSeconds: 60 })
  await quiesced(web)
  await web.servers.remove(named(a))
  t.match(await robbed, { drained: false, remaining: 1, overtaken: true, deleted: false }, 'it was deleted')
  await web.servers.add(named(a))

  const deleted = await web.drain(named(a), { timeoutSeconds: 0.2 })
  t.match(deleted, { drained: false, remaining: 1, deleted: true })
  t.equal((await web.servers.list()).length, 1)
  await t.rejects(web.drain(named(a)), { code: 'ENOENT' })

  held.socket.destroy()
  const other = await hold(client)
  t.equal(other.server, 'b')
  const closing = web.drain(named(b), { timeoutSeconds: 60 })
  await web.close()
  await t.rejects(closing, { name: 'AbortError' }, 'close() ends the waiting, too')
  other.socket.destroy()
})

async function oneServer(sandbox: MakeSandbox): Promise<Record<'client' | 'director' | 'a', Host>> {
  const net = await sandbox({
    hosts: ['client', 'director', 'a'],
    links: [
      ['client', 'director'],
      ['director', 'a'],
    ],
    settings: { director: { addresses: [`${virtualAddress}/32`] } },
  })
  return net.hosts
}

ipvsTest('a UDP drain waits for flows, which are all inactive to IPVS', async (t, sandbox) => {
  const { client, director, a } = await oneServer(sandbox)
  await a.serveUdp((_bytes, _from, reply) => reply(Buffer.from('a')), { port })
  await using web = await IpvsService.temporary(
    { protocol: 'udp', address: virtualAddress, port, scheduler: 'rr' },
    { netns: director.netns },
  )
  await web.servers.set([named(a)])
  const socket = await client.udp()
  const ask = async (): Promise<string> => {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.send('?', port, virtualAddress)
    return String((await answer)[0])
  }
  t.equal(await ask(), 'a')
  const drain = await web.drain(named(a), { timeoutSeconds: 0.5, onTimeout: 'keep' })
  t.match(drain, { drained: false, remaining: 1 })
  t.match(await web.drain(named(a), { connections: 'active' }), { drained: true, deleted: true })

  await web.servers.add(named(a))
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await ipvs.setTimeouts({ udpSeconds: 1 })
  t.equal(await ask(), 'a', 'the flow goes on, with the timeout of now')
  t.match(
    await web.drain(named(a)),
    { drained: true, remaining: 0, deleted: true },
    'it ends when its flows do',
  )
})

ipvsTest('an SCTP drain waits for associations, whatever their state', async (t, sandbox) => {
  const { client, director, a } = await oneServer(sandbox)
  a.serveSctp({ port, name: 'a' })
  await using web = await IpvsService.temporary(
    { protocol: 'sctp', address: virtualAddress, port, scheduler: 'rr' },
    { netns: director.netns },
  )
  await web.servers.set([named(a)])
  t.match(await client.sctpInit({ to: virtualAddress, port, deadlineMilliseconds: 20_000 }), { name: 'a' })
  const drain = await web.drain(named(a), { timeoutSeconds: 0.5, onTimeout: 'keep' })
  t.match(drain, { drained: false, remaining: 1 })
  t.match(await web.drain(named(a), { connections: 'active' }), { drained: true, deleted: true })
})

ipvsTest('a drain behind a firewall mark waits for flows where there are some', async (t, sandbox) => {
  if (!(await isHere('nftables-mark'))) return void t.pass('without nftables nothing is marked')
  await using traffic = await Traffic.compile()
  const net = await sandbox({
    hosts: ['client', 'director', 'a', 'b'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b'],
    ],
    settings: { director: { addresses: [`${virtualAddress}/32`] } },
  })
  const { client, director, a, b } = net.hosts
  await markIncoming(director, new Map([[virtualAddress, 7]]))
  await a.serveUdp((_bytes, _from, reply) => reply(Buffer.from('a')), { port })
  await traffic.serve(b, port)
  await using web = await IpvsService.temporary(
    { firewallMark: 7, family: 'ipv4', scheduler: 'rr' },
    { netns: director.netns },
  )
  await web.servers.set([named(a)])
  const socket = await client.udp()
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
  socket.send('?', port, virtualAddress)
  t.equal(String((await answer)[0]), 'a')
  await web.servers.update({ ...named(a), weight: 0 })
  await web.servers.add(named(b))
  const held = await hold(client)
  t.equal(held.server, 'b')
  held.socket.destroy()
  const { removed } = await web.servers.set([], {
    removed: 'drain',
    drainTimeoutSeconds: 5,
    onTimeout: 'keep',
  })
  const drains = new Map(removed.map(({ address, drain }) => [address, drain]))
  t.match(drains.get(a.address), { drained: false, remaining: 1 }, 'the UDP flow is still there')
  t.match(drains.get(b.address), { drained: true, deleted: true }, 'the TCP connection has ended')
})

ipvsTest(
  'persistent clients come back to a server of weight 0, unless their templates expire',
  async (t, sandbox) => {
    await using traffic = await Traffic.compile()
    const { client, director, servers, web: other } = await network(sandbox, traffic)
    await other.delete()
    const [a, b] = servers as [Host, Host, Host]
    const persistent: ServiceKey = { protocol: 'tcp', address: virtualAddress, port: port + 1 }
    await using web = await IpvsService.temporary(
      { ...persistent, scheduler: 'rr', persistenceTimeoutSeconds: 300 },
      { netns: director.netns },
    )
    const again = async (): Promise<string> => {
      const socket = await client.connect({ address: virtualAddress, port: persistent.port })
      const name = await word(socket)
      socket.destroy()
      return name
    }
    await web.servers.set([named(a)])
    const held = await client.connect({ address: virtualAddress, port: persistent.port })
    t.equal(await word(held), 'a')
    await web.servers.add(named(b))
    const kept = await web.drain(named(a), { timeoutSeconds: 0.1, onTimeout: 'keep' })
    t.match(kept, { drained: false, remaining: 1 })
    t.ok(kept.persistent >= 1, `${kept.persistent} persistence templates are reported`)
    t.equal(await again(), 'a', 'its template sends the client back')
    await web.drain(named(a), { expireTemplates: true, timeoutSeconds: 0.1, onTimeout: 'keep' })
    t.equal(director.sysctl('net.ipv4.vs.expire_quiescent_template'), '1')
    t.equal(await again(), 'b', 'and then no more')
    held.destroy()
    t.match(await web.drain(named(a), { timeoutSeconds: 20 }), { drained: true, deleted: true })
  },
)

/**
 * The process is killed at every message of a change, one after the other. Whatever it had done, connections go on, packets
 * go to servers of before or of after; and the next start makes it what was wanted.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { Conntrack } from '../../src/conntrack/index.js'
import { openNftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import type { Host } from '../../src/testing/index.js'
import { contentOf, difference } from './support/content.js'
import { type Killed, killedProcess } from './support/killed-process.js'
import { keepTranslating } from './support/keep-translating.js'
import { ask, clusterAddress, server, serviceNetwork, virtualService } from './services-network.js'

const steadyAddress = '172.30.0.20'
const mostSends = 200

interface Situation {
  readonly before: readonly VirtualService[] | undefined
  readonly upserted: readonly VirtualService[]
  readonly deleted: readonly string[]
  /** What new connections of the client may meet at any time. */
  readonly check?: ((when: 'between' | 'after') => Promise<void>) | undefined
  /** Something that is under way before each round. */
  readonly begin?: (() => Promise<void>) | undefined
}

/** A connection that was there before all, through a service that does not change. */
async function steady(t: Test, hosts: Record<'client' | 'node' | 'a', Host>) {
  await hosts.a.serveTcp((socket) => socket.pipe(socket), { port: 7000 })
  const service = virtualService([server(hosts.a, 'ipv4', { port: 7000 })], {
    name: 'steady',
    frontends: [{ kind: 'cluster', address: steadyAddress, port: 7 }],
  })
  const dataplane = await openNftablesDataplane({ netns: hosts.node.netns })
  await dataplane.synchronize([service])
  const socket = await hosts.client.connect({ address: steadyAddress, port: 7 })
  t.teardown(() => socket.destroy())
  const echo = async (): Promise<void> => {
    const answered = once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    socket.write('x')
    await answered
  }
  await echo()
  await dataplane.teardown()
  return { service, echo }
}

async function network(t: Test) {
  const { hosts } = await serviceNetwork(t)
  const fresh = NetworkNamespace.create()
  t.teardown(() => fresh.close())
  await keepTranslating(t, hosts.node)
  const { service, echo } = await steady(t, hosts)
  const node = { addresses: [hosts.node.address] }

  /** What the table has if it is made at once. */
  const contentOfFresh = async (services: readonly VirtualService[]): Promise<string[]> => {
    const dataplane = await openNftablesDataplane({ netns: fresh, node })
    await dataplane.synchronize(services)
    const content = await contentOf(fresh)
    await dataplane.teardown()
    return content
  }

  const eachSend = async ({ check, begin, ...given }: Situation): Promise<void> => {
    const before = given.before === undefined ? undefined : [service, ...given.before]
    const upserted = before === undefined ? [service, ...given.upserted] : given.upserted
    const killed: Killed = { node, before, upserted, deleted: given.deleted }
    const after = new Map<string, VirtualService>((before ?? []).map((one) => [one.key, one]))
    for (const key of given.deleted) after.delete(key)
    for (const one of upserted) after.set(one.key, one)
    const wanted = await contentOfFresh([...after.values()])
    const file = path.join(tmpdir(), `viaduct-killed-${process.pid}.json`)
    writeFileSync(file, JSON.stringify(killed))
    t.teardown(() => rmSync(file, { force: true }))
    let send = 1
    for (let isOver = false; !isOver; send++) {
      if (send > mostSends) throw new Error('it does not come to an end')
      const first = await openNftablesDataplane({ netns: hosts.node.netns, node })
      await first.synchronize(before ?? [])
      if (before === undefined) await first.teardown()
      first.close()
      await begin?.()
      const namespace = `/proc/${process.pid}/fd/${hosts.node.netns.fd}`
      const child = spawn(process.execPath, [killedProcess, namespace, file, String(send)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
      isOver = code === 0
      if (!isOver && signal !== 'SIGKILL') throw new Error(`the child ended with ${code ?? signal}`)
      await echo()
      await check?.('between')
      await using dataplane = await openNftablesDataplane({ netns: hosts.node.netns, node })
      const applied = await dataplane.synchronize(after.values())
      t.same(difference(await contentOf(hosts.node.netns), wanted), [], `killed before send ${send}`)
      if (isOver) t.equal(applied.writes, 0, 'nothing was left to be done')
      await echo()
      await check?.('after')
    }
    t.ok(send > 2, `${send - 2} sends`)
  }
  return { hosts, eachSend }
}

void t.test('the first programming', { timeout: 120_000 }, async (t) => {
  const { hosts, eachSend } = await network(t)
  const { client, a, b } = hosts
  await eachSend({
    before: undefined,
    upserted: [virtualService([server(a), server(b)])],
    deleted: [],
    check: async (when) => {
      if (when === 'after') t.match((await ask(client, clusterAddress.ipv4))[0], /^[ab]$/)
    },
  })
})

void t.test('a change that takes new chains', { timeout: 120_000 }, async (t) => {
  const { hosts, eachSend } = await network(t)
  const { client, a, b, c } = hosts
  await eachSend({
    before: [virtualService([server(a), server(b)])],
    upserted: [
      virtualService([server(b), server(c, 'ipv4', { weight: 2 })], { affinitySeconds: 60, scheduler: 'rr' }),
    ],
    deleted: [],
    check: async (when) => {
      // At every moment there is a whole service: the one of before, or the one of after.
      t.match((await ask(client, clusterAddress.ipv4))[0], when === 'after' ? /^[bc]$/ : /^[abc]$/)
    },
  })
})

void t.test('flows of datagrams leave the server that is gone', { timeout: 120_000 }, async (t) => {
  const { hosts, eachSend } = await network(t)
  const { client, a, b } = hosts
  for (const host of [a, b]) {
    await host.serveUdp((_bytes, _from, reply) => reply(Buffer.from(host.name)), { port: 8080 })
  }
  const udp = (host: Host): VirtualService => virtualService([server(host)], { protocol: 'udp' })
  const socket = await client.udp()
  const answer = async (): Promise<string> => {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.send('?', 80, clusterAddress.ipv4)
    return String((await answered)[0])
  }
  await eachSend({
    before: [udp(a)],
    upserted: [udp(b)],
    deleted: [],
    begin: async () => void t.equal(await answer(), 'a'),
    check: async (when) => {
      if (when === 'after') t.equal(await answer(), 'b')
    },
  })
})

void t.test('flows of datagrams end with the frontends that go', { timeout: 120_000 }, async (t) => {
  const { hosts, eachSend } = await network(t)
  const { client, node, a } = hosts
  await a.serveUdp((_bytes, _from, reply) => reply(Buffer.from('a')), { port: 8080 })
  const udp = (name: string, frontends: VirtualService['frontends']): VirtualService =>
    virtualService([server(a)], { name, protocol: 'udp', frontends })
  const kept = { kind: 'cluster', address: clusterAddress.ipv4, port: 80 } as const
  const nodePort = { kind: 'node-port', port: 30_053 } as const
  const gone = { kind: 'external', address: '192.0.2.53', port: 53 } as const
  const whole = udp('gone', [gone])
  const socket = await client.udp()
  const asked = [
    [kept.address, kept.port],
    [node.address, nodePort.port],
    [gone.address, gone.port],
  ] as const
  await using conntrack = await Conntrack.open({ netns: node.netns })
  const flows = async (): Promise<(number | undefined)[]> =>
    (await conntrack.list({ family: 'ipv4', protocol: 'udp' }))
      .map(({ original }) => original.destinationPort)
      .sort((one, other) => one! - other!)
  await eachSend({
    before: [udp('kept', [kept, nodePort]), whole],
    upserted: [udp('kept', [kept])],
    deleted: [whole.key],
    begin: async () => {
      for (const [address, port] of asked) {
        const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
        socket.send('?', port, address)
        await answered
      }
      t.same(await flows(), [53, 80, 30_053])
    },
    check: async (when) => {
      if (when === 'after') t.same(await flows(), [80])
    },
  })
})

void t.test('services go, with the chains that nobody needs any more', { timeout: 120_000 }, async (t) => {
  const { hosts, eachSend } = await network(t)
  const { client, a } = hosts
  // Other ports of an address that stays: there clients are refused at once.
  const before = Array.from({ length: 70 }, (_, index) =>
    virtualService([server(a)], {
      name: `s${index}`,
      affinitySeconds: index + 1,
      frontends: [{ kind: 'cluster', address: steadyAddress, port: 8000 + index }],
    }),
  )
  await eachSend({
    before,
    upserted: [],
    deleted: before.map(({ key }) => key),
    begin: async () => void t.same(await ask(client, steadyAddress, 1, 8000), ['a']),
    check: async (when) => {
      if (when === 'after') await t.rejects(ask(client, steadyAddress, 1, 8000), { code: 'ECONNREFUSED' })
    },
  })
})

void t.test('flows of a service that was deleted while no process ran end, too', async (t) => {
  const { hosts } = await serviceNetwork(t)
  const { client, node, a } = hosts
  await a.serveUdp((_bytes, _from, reply) => reply(Buffer.from('a')), { port: 8080 })
  const frontends = [{ kind: 'cluster', address: steadyAddress, port: 53 }] as const
  const steady = virtualService([server(a)], { name: 'steady', protocol: 'udp', frontends })
  const first = await openNftablesDataplane({ netns: node.netns })
  await first.synchronize([virtualService([server(a)], { protocol: 'udp' }), steady])
  const socket = await client.udp()
  for (const [port, address] of [
    [80, clusterAddress.ipv4],
    [53, steadyAddress],
  ] as const) {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.send('?', port, address)
    await answered
  }
  first.close()
  await using dataplane = await openNftablesDataplane({ netns: node.netns })
  await dataplane.synchronize([steady])
  await using conntrack = await Conntrack.open({ netns: node.netns })
  const flows = await conntrack.list({ family: 'ipv4', protocol: 'udp' })
  t.same(
    flows.map(({ original }) => original.destination),
    [steadyAddress],
  )
})

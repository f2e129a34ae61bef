/** Persistent clients: who counts as one, how long they stay, and what lets them go. */
import type { Test } from 'tap'
import { Ipvs, type IpvsConnection, type ServiceKey, type ServiceOptions } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import {
  type Balanced,
  balanced,
  connect,
  otherPort,
  realPort,
  server,
  server6,
  virtualAddress,
  virtualAddress6,
} from './support/balanced.js'
import { isHere, uses } from './support/features.js'
import { Flows } from './support/flows.js'
import { markIncoming } from './support/marks.js'
import { until } from './support/until.js'

interface Bench {
  readonly net: Balanced
  readonly ipvs: Ipvs
  readonly flows: Flows
}

let lastPort = 20_000
const nextPort = (): number => ++lastPort
const timeoutSeconds = 600

/** A service of `a` and `b` in turn, so that nobody gets the same server twice but by persistence. */
async function service(ipvs: Ipvs, key: ServiceKey, options: ServiceOptions, ofPort?: number): Promise<void> {
  await ipvs.createService({ ...key, scheduler: 'rr', persistenceTimeoutSeconds: timeoutSeconds, ...options })
  const servers = key.address?.includes(':') === true ? server6 : server
  for (const name of ['a', 'b']) {
    await ipvs.createDestination(key, { ...servers(name), ...(ofPort === undefined ? {} : { port: ofPort }) })
  }
}

const udpService = (): ServiceKey & { readonly port: number; readonly address: string } => ({
  protocol: 'udp',
  address: virtualAddress,
  port: nextPort(),
})

/** The server of a new flow from this client. */
async function ask(
  { flows }: Bench,
  { address, port }: { readonly address: string; readonly port: number },
  source: string,
  text?: string,
): Promise<string> {
  const [name] = await flows.ask([{ source, sourcePort: nextPort(), address, port, text }])
  return name!
}

/** The server of a new TCP connection. */
async function dial(
  { net }: Bench,
  target: { readonly address: string; readonly port: number; readonly localAddress: string },
): Promise<string> {
  const { server: name, socket } = await connect(net.hosts.client, target)
  socket.resetAndDestroy()
  return name
}

async function templates(ipvs: Ipvs, key: ServiceKey): Promise<IpvsConnection[]> {
  const found: IpvsConnection[] = []
  for await (const one of ipvs.connections({ service: key, template: true })) found.push(one)
  return found
}

const checks: Readonly<Record<string, (t: Test, bench: Bench) => Promise<void>>> = {
  async 'a client stays with its server'(t, bench) {
    const key = udpService()
    await service(bench.ipvs, key, {})
    const first = await ask(bench, key, '10.1.0.1')
    const second = await ask(bench, key, '10.1.0.2')
    t.not(second, first, 'the next client gets the next server')
    for (let round = 1; round <= 3; round++) {
      // In another order than the servers' turns, which would tell the same.
      t.equal(await ask(bench, key, '10.1.0.2'), second)
      t.equal(await ask(bench, key, '10.1.0.1'), first)
      t.equal(await ask(bench, key, '10.1.0.1'), first)
    }
    const kept = await templates(bench.ipvs, key)
    t.same(kept.map(({ client }) => client.address).sort(), ['10.1.0.1', '10.1.0.2'])
    t.ok(
      kept.every(
        ({ expiresSeconds }) => expiresSeconds > timeoutSeconds - 60 && expiresSeconds <= timeoutSeconds,
      ),
    )
    const persistent = (await bench.ipvs.destinations(key)).map((one) => one.persistentConnections)
    t.same(persistent, [1, 1], 'each server has one')
  },

  async 'with a netmask, a network is one client'(t, bench) {
    const key = udpService()
    await service(bench.ipvs, key, { persistenceNetmask: 24 })
    const first = await ask(bench, key, '10.1.0.1')
    t.equal(await ask(bench, key, '10.1.0.200'), first)
    t.not(await ask(bench, key, '10.1.1.1'), first)
    t.same((await templates(bench.ipvs, key)).map(({ client }) => client.address).sort(), [
      '10.1.0.0',
      '10.1.1.0',
    ])
  },

  async 'over IPv6 it is a prefix length'(t, bench) {
    const key = { protocol: 'tcp', address: virtualAddress6, port: nextPort() } as const
    await service(bench.ipvs, key, { persistenceNetmask: 64 })
    const from = (localAddress: string): Promise<string> => dial(bench, { ...key, localAddress })
    const first = await from('fd00:1::1')
    t.equal(await from('fd00:1::9'), first)
    const second = await from('fd00:9::1')
    t.not(second, first)
    t.equal(await from('fd00:9::9'), second)
  },

  async 'a service of port 0 keeps a client over all ports'(t, bench) {
    const key = { protocol: 'tcp', address: virtualAddress, port: 0 } as const
    await service(bench.ipvs, key, {}, 0)
    const from = (localAddress: string, port: number): Promise<string> =>
      dial(bench, { address: virtualAddress, port, localAddress })
    const first = await from('10.1.0.1', realPort)
    const second = await from('10.1.0.2', realPort)
    t.not(second, first)
    t.equal(await from('10.1.0.2', otherPort), second)
    t.equal(await from('10.1.0.1', otherPort), first)
  },

  async 'a server of weight 0 keeps its clients'(t, bench) {
    const key = udpService()
    await service(bench.ipvs, key, {})
    const first = await ask(bench, key, '10.1.0.1')
    await bench.ipvs.setDestination(key, server(first, { weight: 0 }))
    t.equal(await ask(bench, key, '10.1.0.1'), first)
    t.not(await ask(bench, key, '10.1.0.3'), first, 'and gets no others')
    await bench.ipvs.settings.set({ expireQuiescentTemplate: true })
    try {
      const then = await ask(bench, key, '10.1.0.1')
      t.not(then, first, 'unless expire_quiescent_template is set')
      t.equal(await ask(bench, key, '10.1.0.1'), then)
    } finally {
      await bench.ipvs.settings.set({ expireQuiescentTemplate: false })
    }
  },

  async 'clients of a server that is deleted get another'(t, bench) {
    const key = udpService()
    await service(bench.ipvs, key, {})
    const first = await ask(bench, key, '10.1.0.1')
    await bench.ipvs.deleteDestination(key, server(first))
    const then = await ask(bench, key, '10.1.0.1')
    t.not(then, first)
    await bench.ipvs.createDestination(key, server(first))
    t.equal(await ask(bench, key, '10.1.0.1'), then, 'and stay there')
  },

  async 'without persistence they change from one to the other'(t, bench) {
    const key = udpService()
    await service(bench.ipvs, key, { persistenceTimeoutSeconds: 0 })
    const first = await ask(bench, key, '10.1.0.1')
    t.not(await ask(bench, key, '10.1.0.1'), first)
    t.equal(await ask(bench, key, '10.1.0.1'), first)
    t.same(await templates(bench.ipvs, key), [])
  },

  async 'the timeout runs from the last new connection on, and then the next server may come'(t, bench) {
    const seconds = 3
    const key = udpService()
    // The template lives as long as a connection needs it, so that one must be gone before.
    await bench.ipvs.setTimeouts({ udpSeconds: 1 })
    await service(bench.ipvs, key, { persistenceTimeoutSeconds: seconds })
    const first = await ask(bench, key, '10.1.0.1')
    t.equal(await ask(bench, key, '10.1.0.1'), first)
    const asked = performance.now()
    await until(
      'the template is gone',
      async () => (await templates(bench.ipvs, key)).length === 0 || undefined,
      {
        everyMilliseconds: 100,
      },
    )
    const lasted = (performance.now() - asked) / 1000
    t.ok(lasted > seconds - 0.5 && lasted < seconds + 5, `it lasted ${lasted.toFixed(1)} s`)
    t.not(await ask(bench, key, '10.1.0.1'), first)
  },
}

/** Of UDP alone: beside where a client comes from counts the Call-ID of what it says (`ip_vs_sip_ct_match`). */
async function checkSip(t: Test, bench: Bench): Promise<void> {
  const key = udpService()
  await service(bench.ipvs, key, { persistenceEngine: 'sip', persistenceNetmask: 24 })
  const call = (id: string, source: string): Promise<string> =>
    ask(
      bench,
      key,
      source,
      `OPTIONS sip:a@example.net SIP/2.0\r\nCall-ID: ${id}\r\nContent-Length: 0\r\n\r\n`,
    )
  const first = await call('one', '10.1.0.1')
  const second = await call('two', '10.1.0.1')
  t.not(second, first, 'another call of the same client')
  t.equal(await call('two', '10.1.0.3'), second, 'the same call from the same network')
  t.equal(await call('one', '10.1.0.2'), first)
  const kept = await templates(bench.ipvs, key)
  t.same(kept.map((one) => [one.client.address, one.persistenceEngine, one.persistenceData]).sort(), [
    ['10.1.0.0', 'sip', 'one'],
    ['10.1.0.0', 'sip', 'two'],
  ])
}

/** One mark for several ports is one service, and one template. */
async function checkMark(t: Test, bench: Bench): Promise<void> {
  const key: ServiceKey = { firewallMark: 7, family: 'ipv4' }
  await markIncoming(bench.net.hosts.director, new Map([['198.51.100.1', 7]]))
  await service(bench.ipvs, key, {}, 0)
  const from = (localAddress: string, port: number): Promise<string> =>
    dial(bench, { address: '198.51.100.1', port, localAddress })
  const first = await from('10.1.0.1', realPort)
  const second = await from('10.1.0.2', realPort)
  t.not(second, first)
  t.equal(await from('10.1.0.2', otherPort), second)
  t.equal(await from('10.1.0.1', otherPort), first)
  t.equal((await templates(bench.ipvs, key)).length, 2)
}

ipvsTest('persistence', async (t, sandbox) => {
  const net = await balanced(sandbox)
  await using ipvs = await Ipvs.open({ netns: net.hosts.director.netns })
  const bench = { net, ipvs, flows: new Flows(net.hosts.client) }
  for (const [name, check] of Object.entries(checks)) await t.test(name, (t) => check(t, bench))
  if (await isHere('ipvs-persistence-engine-sip')) {
    await t.test('the engine sip: a call stays with its server', (t) => checkSip(t, bench))
    uses('ipvs-persistence-engine-sip')
  }
  if (await isHere('nftables-mark')) {
    await t.test('a service by firewall mark keeps a client over all ports', (t) => checkMark(t, bench))
  }
})

/** Masqueraded connections and the director that they pass through: it is killed, and another one goes on with them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { Ipvs, type IpvsConnection, ipvsSettings, syncConnections } from '../../src/index.js'
import type { Host } from '../../src/testing/index.js'
import { type MakeSandbox, many } from '../kernel/kernel-test.js'
import { ipvsTest } from './ipvs-test.js'
import {
  clientDevice,
  type DirectorInput,
  directorProcess,
  serverDevice,
  serverPort,
  servicePort,
  startDirector,
  virtual,
} from './support/director.js'
import { uses } from './support/features.js'
import { until } from './support/until.js'

const isSlow = many(50) !== 50

/** In a process of its own. Ends it and cuts the host off. */
async function startKillable(t: Test, host: Host, input: DirectorInput): Promise<() => Promise<void>> {
  const path = `/proc/${process.pid}/fd/${host.netns.fd}`
  const child = spawn(process.execPath, [directorProcess, path, JSON.stringify(input)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await closed
  }
  t.teardown(kill)
  await Promise.race([
    once(child.stdout, 'data'),
    closed.then(() => Promise.reject(new Error('the director has ended'))),
  ])
  return async () => {
    await kill()
    for (const device of [clientDevice, serverDevice]) await host.rtnetlink.links.set(device, { up: false })
  }
}

/** What comes back, or undefined where the connection is ended. */
function ask(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve(undefined)
    socket.once('data', (bytes) => resolve(String(bytes)))
    socket.once('close', () => resolve(undefined))
    socket.write('?')
  })
}

async function failOver(
  t: Test,
  sandbox: MakeSandbox,
  how: Pick<DirectorInput, 'by' | 'family' | 'syncs'>,
): Promise<void> {
  const { syncs, family } = how
  const { service, gateway, length } = virtual[family]
  const [own, another, everywhere] =
    family === 'ipv4'
      ? (['address', '10.0.2.11', '0.0.0.0/0'] as const)
      : (['address6', 'fd00:2::11', '::/0'] as const)
  const net = await sandbox({
    hosts: ['client', 'first', 'second', 'servers'],
    links: [
      ['client', 'first', 'second'],
      ['servers', 'first', 'second'],
    ],
    settings: {
      servers: {
        addresses: [{ address: `${another}/${length}`, towards: 'first' }],
        defaultRoute: false,
        routes: [{ destination: everywhere, via: gateway }],
      },
    },
  })
  const { client, first, second, servers } = net.hosts
  const addresses = [servers[own], another]
  for (const address of addresses) {
    await servers.serveTcp(
      (socket) => socket.on('error', () => undefined).on('data', () => socket.write(address)),
      { address, port: serverPort },
    )
  }
  const input = { ...how, servers: addresses, intervalCentiseconds: isSlow ? 100 : 50 }
  const kill = await startKillable(t, first, { ...input, priority: 200 })
  const other = await startDirector(second.netns, { ...input, priority: 100 })
  try {
    await until('the first is master', async () =>
      (await first.rtnetlink.addresses.list()).some(({ address }) => address === `${gateway}/${length}`),
    )
    const connect = async (): Promise<Socket> =>
      (await client.connect({ address: service, port: servicePort })).on('error', () => undefined)
    const sockets: Socket[] = []
    for (let count = 0; count < 6; count++) sockets.push(await connect())
    const began = performance.now()
    // Two are silent until the first director is gone: the kernel's usual settings would not tell them.
    const before = new Map<Socket, string | undefined>()
    for (const socket of sockets.slice(2)) before.set(socket, await ask(socket))
    t.same([...new Set(before.values())].sort(), [...addresses].sort(), 'both servers have some')
    t.notOk(other.router.leader.isLeader, 'the first one has the address')

    if (syncs) {
      const known = async (): Promise<IpvsConnection[]> => {
        const found: IpvsConnection[] = []
        for await (const one of other.ipvs.connections({ state: 'ESTABLISHED' }, { origins: true }))
          found.push(one)
        return found
      }
      const told = await until('all are known', async () => {
        const found = await known()
        return found.length === sockets.length && found
      })
      t.comment(`known to the other after ${Math.round(performance.now() - began)} ms`)
      t.same([...new Set(told.map(({ origin }) => origin))], ['sync'])
    }

    const killed = performance.now()
    await kill()
    await until('the second is master', () => other.router.status().hasAddresses, { deadlineSeconds: 60 })
    const answers = await Promise.all(sockets.map(ask))
    t.comment(`answered after ${Math.round(performance.now() - killed)} ms`)
    if (syncs) {
      for (const [index, socket] of sockets.entries()) {
        t.ok(addresses.includes(answers[index] ?? ''), `connection ${index} goes on`)
        if (before.has(socket)) t.equal(answers[index], before.get(socket), 'with the same server')
      }
    } else t.same([...new Set(answers)], [undefined], 'none goes on')
    t.ok(addresses.includes((await ask(await connect())) ?? ''), 'a new one is served')
    const passes = other.passes()
    if (passes !== undefined) {
      // Its own interface has the address now, and the table is compared with what it is to be.
      await until('everything is compared', () => other.passes()! >= passes + 2, { deadlineSeconds: 60 })
      t.same(await Promise.all(sockets.map(ask)), answers, 'they go on after that')
      t.ok(addresses.includes((await ask(await connect())) ?? ''), 'and new ones are served')
    }
    for (const socket of sockets) socket.destroy()
    await other.close()
    await using ipvs = await Ipvs.open({ netns: second.netns })
    t.same(await ipvs.daemons(), [], 'no daemon is left')
    t.match(await ipvs.settings.read(), {
      syncThreshold: ipvsSettings.syncThreshold.initially,
      syncRefreshPeriodSeconds: 0,
    })
  } finally {
    await other.close()
  }
}

ipvsTest('connections go on through another director when theirs is killed', async (t, sandbox) => {
  await failOver(t, sandbox, { by: 'ipvs', family: 'ipv4', syncs: true })
  uses('ipvs-sync-daemon')
})

ipvsTest('connections of IPv6 do, too', async (t, sandbox) => {
  await failOver(t, sandbox, { by: 'ipvs', family: 'ipv6', syncs: true })
})

ipvsTest('without synchronisation they end', async (t, sandbox) => {
  await failOver(t, sandbox, { by: 'ipvs', family: 'ipv4', syncs: false })
})

ipvsTest('connections of a dataplane’s services go on, too', async (t, sandbox) => {
  await failOver(t, sandbox, { by: 'dataplane', family: 'ipv4', syncs: true })
})

ipvsTest('daemons that run already are gone on with, if they are the same', async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one', 'two'], links: [['one', 'two']] })).hosts
  await using ipvs = await Ipvs.open({ netns: one.netns })
  await ipvs.settings.set({ syncThreshold: { threshold: 2, period: 10 }, backupOnly: true })
  const options = { interface: 'eth0', syncId: 9, multicastTtl: 2 }
  await ipvs.startDaemon({ ...options, state: 'master' })
  const sync = await syncConnections(ipvs, { ...options, refreshSeconds: 5 })
  t.match(await ipvs.daemons(), [
    { ...options, state: 'master' },
    { ...options, state: 'backup' },
  ])
  const set = { syncThreshold: { threshold: 0, period: 0 }, syncRefreshPeriodSeconds: 5, backupOnly: false }
  t.match(await ipvs.settings.read(), set)

  await t.rejects(syncConnections(ipvs, { ...options, syncId: 10 }), { code: 'EEXIST' })
  t.equal((await ipvs.daemons()).length, 2, 'they go on')
  t.match(await ipvs.settings.read(), set)

  await sync.close()
  await sync.close()
  const before = {
    syncThreshold: { threshold: 2, period: 10 },
    syncRefreshPeriodSeconds: 0,
    backupOnly: true,
  }
  t.match(await ipvs.settings.read(), before)
  t.same(await ipvs.daemons(), [])
  await t.rejects(syncConnections(ipvs, { interface: 'eth9' }), { code: 'ENODEV' })
  t.match(await ipvs.settings.read(), before, 'nothing is left of one that could not be started')
})

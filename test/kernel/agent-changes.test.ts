/** `viaduct run` while everything around it changes: files, its configuration, itself, and another one beside it. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { TakenPorts } from '../../src/agent/taken-ports.js'
import { openNftablesDataplane } from '../../src/dataplane/nftables/dataplane.js'
import type { ModelObject } from '../../src/model/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { until } from '../lab/support/until.js'
import { ensurePeers, peer, startPeer } from './command.js'
import { ask, clusterAddress, serverPort, serviceNetwork } from './services-network.js'
import { keepTranslating } from './support/keep-translating.js'
import { killedAtAnyMoment } from './support/killed-agent.js'
import { Load, loadPort, serveLoad } from './support/load.js'
import { differences, replaceFile, shortForm } from './support/programmed.js'
import { place, pod, runCommand, says, service, startCommand } from './support/running.js'
import { seeded } from './support/seeds.js'

t.test('three thousand files: the kernel has what they say, whatever becomes of them', async (t) => {
  const random = seeded(t)
  const { hosts, folder, write, configure, start, asked } = await place(t)
  const { node, a } = hosts
  const many = path.join(folder, 'many')
  await mkdir(many)
  await configure({ manifests: [many] })
  const wanted = new Map<string, readonly string[]>()
  const addressOf = (at: number): string => `172.30.${1 + (at >> 7)}.${1 + (at & 127)}`
  const textOf = (at: number, server: string): string =>
    shortForm(`web-${at}`, addressOf(at), [server], serverPort)
  const fill = async (at: number, server: string): Promise<void> => {
    await replaceFile(many, `${at}.yaml`, textOf(at, server))
    wanted.set(addressOf(at), [server])
  }
  const all = [...Array(3000).keys()]
  for (const at of all) await fill(at, '10.50.0.1')
  await write(service('web', clusterAddress.ipv4), pod('one', a.address))
  wanted.set(clusterAddress.ipv4, [a.address])
  const running = await start()
  await using dataplane = await openNftablesDataplane({ netns: node.netns })
  const has = (): Promise<string[]> => differences(dataplane, wanted)
  const soon = (what: string): Promise<unknown> =>
    until(what, async () => (await has()).length === 0, { everyMilliseconds: 100 })
  t.strictSame(await has(), [], 'when it says that it runs')

  for (const at of random.some(all, 300, 300)) await fill(at, `10.50.1.${1 + random.below(250)}`)
  await soon('a burst of changes')

  // A writer that takes its time: what the file held stands, and others go on.
  const whole = textOf(7, '10.50.0.7')
  await writeFile(path.join(many, '7.yaml'), whole.slice(0, whole.length / 2))
  await until('it is told of', () => running.stderr.includes('7.yaml'))
  await fill(8, '10.50.0.8')
  await soon('another file beside the one that is half there')
  t.match((await asked('status')).code, 1)
  await writeFile(path.join(many, '7.yaml'), whole)
  wanted.set(addressOf(7), ['10.50.0.7'])
  await soon('it is whole')

  await rm(path.join(many, '9.yaml'))
  wanted.delete(addressOf(9))
  await soon('one is removed')
  await rename(path.join(many, '10.yaml'), path.join(many, 'ten.json'))
  await fill(11, '10.50.0.11')
  await soon('one has another name, and is the same')

  const before = new Map(wanted)
  await rename(many, `${many}.away`)
  wanted.clear()
  wanted.set(clusterAddress.ipv4, [a.address])
  await soon('the folder is away')
  await rename(`${many}.away`, many)
  for (const [address, servers] of before) wanted.set(address, servers)
  await soon('it is back')
  t.match(await asked('status'), { code: 0 })
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.strictSame(await has(), [])
})

t.test('killed at any moment, it goes on with what was written last', (t) => killedAtAnyMoment(t, 8))

t.test('ten other configurations under load: no request fails, and no connection is lost', async (t) => {
  const { hosts, folder, write, configure, start, asked } = await place(t)
  const { client, node, a, b, c } = hosts
  await ensurePeers('bind9-dnsutils')
  await keepTranslating(t, node)
  for (const host of [a, b, c]) await serveLoad(host)
  const address = clusterAddress.ipv4
  const ports = { ports: [{ port: 80, targetPort: loadPort }] }
  await write(
    service('web', address, ports),
    pod('one', a.address),
    pod('two', b.address),
    pod('three', c.address),
  )
  const running = await start()
  await using nftables = await Nftables.open({ netns: node.netns })
  const load = new Load(client, { address, port: 80, staying: 10, fresh: 4 })
  const settings = { name: 'node', serviceRanges: ['172.30.0.0/16'] }
  const dns = (port: number) => ({ listen: [{ address: node.address, port }] })
  const health = { checks: [{ check: { kind: 'tcp' }, rules: { intervalMilliseconds: 100 } }] }
  interface Configured {
    readonly dataplane?: { readonly name: string; readonly [more: string]: unknown }
    readonly dns?: ReturnType<typeof dns>
    readonly [more: string]: unknown
  }
  const configurations: readonly Configured[] = [
    { node: { ...settings, masqueradeAll: true } },
    { node: { ...settings, clusterRanges: ['10.244.0.0/16'] }, health },
    { health, dns: dns(53) },
    { dns: dns(5353) },
    { dataplane: { name: 'second' }, dns: dns(5353) },
    { dataplane: { name: 'second', statistics: true } },
    { dataplane: { name: 'third', masqueradeBit: 0x8000 }, health, log: { level: 'debug' } },
    { reconcile: { coalesceMilliseconds: 5, repairIntervalMilliseconds: 100 } },
    { dns: dns(53), healthCheckNodePorts: { enabled: false } },
    { conntrack: { udpTimeoutSeconds: 20 } },
  ]
  const times = (text: string): number => running.stderr.split(text).length - 1
  for (const [round, one] of configurations.entries()) {
    await configure(one)
    running.process.kill('SIGHUP')
    await running.until(() => times('"msg":"reloaded"') === round + 1)
    const name = one.dataplane?.name ?? 'viaduct'
    t.strictSame(
      (await nftables.tables()).map((table) => table.name).sort(),
      ['other', name].sort(),
      `${JSON.stringify(one)}: its table, and none that was before`,
    )
    const port = one.dns?.listen[0]!.port
    if (port !== undefined) {
      const dig = ['dig', '+short', '-p', String(port), `@${node.address}`, 'web.default.svc.cluster.local']
      t.equal((await peer(client.netns, dig)).trim(), address)
    }
    const before = load.requests
    await until('requests go on', () => load.requests >= before + 40)
    t.match(await asked('status'), { code: 0 })
  }

  // One that cannot be had: somebody has the port.
  await configure({ dns: dns(53) })
  running.process.kill('SIGHUP')
  await running.until(() => times('"msg":"reloaded"') === configurations.length + 1)
  await node.serve((_, response) => response.end(), { port: 5454 })
  await configure({ dataplane: { name: 'fourth' }, dns: dns(5454) })
  running.process.kill('SIGHUP')
  await says(running, 'not reloaded')
  const dig = ['dig', '+short', `@${node.address}`, 'web.default.svc.cluster.local']
  t.equal((await peer(client.netns, dig)).trim(), address, 'names are answered where they were')
  t.strictSame((await nftables.tables()).map((table) => table.name).sort(), ['other', 'viaduct'])
  await load.end()
  t.strictSame(load.failures, [], `${load.requests} requests`)
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.ok(await readFile(path.join(folder, 'state'), 'utf8'))
})

t.test('two with different names do not see each other', async (t) => {
  const { hosts, folder, socket, configure, write, start, asked } = await place(t)
  const { client, node, a, b } = hosts
  const [one, two] = ['172.30.0.10', '172.31.0.10']
  await configure()
  await write(service('web', one), pod('one', a.address))
  const otherManifests = path.join(folder, 'other.yaml')
  const otherSocket = path.join(folder, 'run', 'other.sock')
  await replaceFile(folder, 'other.yaml', shortForm('web', two, [b.address], serverPort))
  const words = ['run', '--config', path.join(folder, 'other-config.yaml'), '-f', otherManifests]
  await writeFile(
    path.join(folder, 'other-config.yaml'),
    JSON.stringify({
      apiVersion: 'viaduct/v1',
      kind: 'Configuration',
      dataplane: { name: 'other' },
      node: { serviceRanges: ['172.31.0.0/16'] },
      state: { file: path.join(folder, 'other-state') },
      control: { socket: otherSocket },
      log: { level: 'info' },
    }),
  )
  const first = await start()
  const startOther = async () => {
    const second = startCommand(node.netns, words)
    t.teardown(() => second.process.kill('SIGKILL'))
    await says(second, '"msg":"running"')
    return second
  }
  const second = await startOther()
  const answers = async () => [await ask(client, one), await ask(client, two)].flat()
  t.strictSame(await answers(), ['a', 'b'])
  await write(service('web', one), pod('one', b.address))
  await replaceFile(folder, 'other.yaml', shortForm('web', two, [a.address], serverPort))
  await until('each follows its own', async () => (await answers()).join() === 'b,a')
  const repairs = async (at: string): Promise<unknown> => {
    const { stdout } = await runCommand(node.netns, ['status', '--json', '--socket', at])
    return (JSON.parse(stdout) as { counts: { repairs: number } }).counts.repairs
  }
  t.strictSame([await repairs(socket), await repairs(otherSocket)], [0, 0], 'nothing is taken for a change')
  second.process.kill('SIGKILL')
  await second.ended
  t.strictSame(await answers(), ['b', 'a'])
  const again = await startOther()
  again.process.kill('SIGTERM')
  await again.ended
  t.match(await runCommand(node.netns, [...words, '--teardown']), { code: 0, stdout: /removed: nftables/ })
  await using nftables = await Nftables.open({ netns: node.netns })
  t.strictSame(
    (await nftables.tables()).map(({ name }) => name),
    ['viaduct'],
  )
  t.strictSame(await ask(client, one), ['b'], 'the other one is as it was')
  t.match(await asked('status'), { code: 0 })
  t.equal(await repairs(socket), 0)
  first.process.kill('SIGTERM')
  t.equal(await first.ended, 0)
})

t.test('who has a port is looked at for services that ask for node ports, and for no others', async (t) => {
  const { node } = (await serviceNetwork(t)).hosts
  // Each has looked before anybody listened.
  const [taken, ...askers] = await Promise.all(Array.from({ length: 4 }, () => TakenPorts.open(node.netns)))
  const listen = "require('node:net').createServer().listen(30123, () => console.log('listens'))"
  const other = startPeer(node.netns, [process.execPath, '-e', listen])
  t.teardown(() => other.process.kill('SIGKILL'))
  await other.until(({ lines }) => lines.includes('listens'))
  const holder = (): string | undefined => taken!.holder(30123, 'tcp')
  const ports = [{ port: 80 }]
  const others = [
    { kind: 'Service', metadata: { name: 'web' }, spec: { type: 'ClusterIP', ports } },
    { kind: 'Service', metadata: { name: 'web' } },
    { kind: 'Pod', metadata: { name: 'web' } },
    { name: 'web', ports },
    { name: 'web', ports: 7 },
    { name: 'web', ports: [null] },
  ] as unknown as ModelObject[]
  // By then what it has read is a tenth of a second old, or this would prove nothing.
  const opened = performance.now()
  await until('it is old', () => performance.now() - opened > 150)
  for (const one of others) {
    await taken!.refreshFor(one)
    t.equal(holder(), undefined, JSON.stringify(one))
  }
  const asking = [
    { kind: 'Service', metadata: { name: 'web' }, spec: { type: 'NodePort', ports } },
    { kind: 'Service', metadata: { name: 'web' }, spec: { type: 'LoadBalancer', ports } },
    { name: 'web', ports: [{ port: 80, nodePort: true }] },
  ] as unknown as ModelObject[]
  for (const [index, one] of asking.entries()) {
    const asked = askers[index]!
    // What is a tenth of a second old is looked at again.
    await until(JSON.stringify(one), async () => {
      await asked.refreshFor(one)
      return asked.holder(30123, 'tcp')?.startsWith('node (')
    })
  }
})

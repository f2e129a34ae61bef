/** `viaduct run` as people use it: a process of its own, a folder of manifests, real packets, and the commands that ask it. */
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Nftables } from '../../src/nftables/index.js'
import { until } from '../lab/support/until.js'
import { readSysctl } from '../../src/net/index.js'
import type { Host } from '../../src/testing/index.js'
import { ensurePeers, peer } from './command.js'
import { ask, clusterAddress, serverPort } from './services-network.js'
import { place, pod, runCommand, says, service, startCommand } from './support/running.js'

/** A connection that this host has, of however many it takes. */
async function heldAt(client: Host, address: string, host: Host): Promise<Socket> {
  const others: Socket[] = []
  try {
    for (;;) {
      const socket = await client.connect({ address, port: 80 })
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
      const [answer] = (await once(socket, 'data')) as [Buffer]
      if (String(answer).endsWith(host.name)) return socket
      others.push(socket)
    }
  } finally {
    for (const socket of others) socket.destroy()
  }
}

/** Nobody answers at all, which takes longer to be told than a refusal. */
async function isServed(client: Host, address = clusterAddress.ipv4): Promise<boolean> {
  const signal = AbortSignal.timeout(300)
  const connection = await client.connect({ address, port: 80, signal }).catch(() => undefined)
  connection?.destroy()
  return connection !== undefined
}

t.test('a folder becomes packets, is followed, and outlives the process', async (t) => {
  const { hosts, manifests, state, words, write, configure, start, asked } = await place(t)
  const { node, client, a, b, c } = hosts
  const address = clusterAddress.ipv4
  await ensurePeers('bind9-dnsutils')
  const dns = { dns: { listen: [{ address: node.address }] } }
  const named = async (name: string): Promise<string> =>
    (
      await peer(client.netns, ['dig', '+short', `@${node.address}`, `${name}.default.svc.cluster.local`])
    ).trim()
  await configure(dns)
  await write(service('web', address), pod('one', a.address))
  const running = await start()
  t.strictSame(await ask(client, address, 2), ['a', 'a'])
  t.equal(await named('web'), address)
  t.equal(await named('later'), '')

  await write(service('web', address), pod('one', b.address))
  await until('the Pod is another one', async () => (await ask(client, address)).join() === 'b')
  t.strictSame((await asked('status')).code, 0)
  const services = await asked('get', 'services', '--json')
  t.match(JSON.parse(services.stdout), {
    name: 'web',
    addresses: [address],
    servers: [1, 1],
    state: 'programmed',
  })
  t.match((await asked('describe', 'service', 'web')).stdout, /Written in +.*manifests.yaml:1:1/)

  const explained = await asked('explain', `${address}:80`, '--json')
  t.match(JSON.parse(explained.stdout), {
    verdict: 'forwarded',
    candidates: [{ address: b.address, port: serverPort }],
  })
  const other = await asked('explain', `${address}:81`, '--json')
  t.match(JSON.parse(other.stdout), { verdict: 'rejected' })
  await t.rejects(ask(client, address, 1, 81), { cause: { code: 'ECONNREFUSED' } }, 'and so it is')

  await write(service('web', address), pod('one', b.address), pod('two', c.address))
  await until('there are two', async () => new Set(await ask(client, address, 8)).size === 2)
  const held = await heldAt(client, address, b)
  t.match(await asked('drain', b.address, '--wait', '--timeout', '0'), {
    code: 1,
    stdout: /gets no new connections/,
    stderr: /has 1 connection still/,
  })
  const waiting = asked('drain', b.address, '--wait')
  held.destroy()
  t.match(await waiting, { code: 0, stdout: /its connections have ended/ })
  t.strictSame(new Set(await ask(client, address, 8)), new Set(['c']), 'the drained one gets none')
  t.match(
    (await asked('get', 'endpoints')).stdout,
    new RegExp(`${b.address.replaceAll('.', '\\.')} .* draining .* drained by hand`),
  )

  await configure({ ...dns, health: { checks: [{ check: { kind: 'tcp' } }] } })
  running.process.kill('SIGHUP')
  await says(running, '"msg":"reloaded"')
  t.match(await asked('status'), { code: 0, stdout: /2 servers checked, 0 down/ })
  t.strictSame(
    new Set(await ask(client, address, 4)),
    new Set(['c']),
    'drained over a change of the configuration',
  )

  // Until it is saved: the next start has nothing else.
  await until('it is saved', async () => (await readFile(state, 'utf8').catch(() => '')).includes(b.address))
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.strictSame(await ask(client, address), ['c'], 'it goes on forwarding')
  t.match(await asked('status'), { code: 3, stderr: /nobody answers/ })

  await rm(manifests)
  await using nftables = await Nftables.open({ netns: node.netns })
  await nftables.transaction().delete('table', { family: 'inet', name: 'viaduct' }).commit()
  t.notOk(await isServed(client), 'as after a reboot')
  const again = await start()
  t.strictSame(
    new Set(await ask(client, address, 4)),
    new Set(['c']),
    'at once, without its folder, and drained still',
  )
  t.match(await asked('status'), { code: 1, stdout: /no such file/ })
  t.match((await asked('drain', b.address, '--undo')).stdout, /gets connections again/)
  await write(service('web', address), pod('one', b.address))
  await until(
    'what is not there any more goes',
    async () => new Set(await ask(client, address, 8)).size === 1,
  )
  t.strictSame(await ask(client, address), ['b'])
  again.process.kill('SIGTERM')
  t.equal(await again.ended, 0)

  const torn = await runCommand(node.netns, [...words, '--teardown'])
  t.match(torn, { code: 0, stdout: /removed: nftables/ })
  t.strictSame(
    (await nftables.tables()).map(({ name }) => name),
    [],
    'nothing is left in the kernel',
  )
  await t.rejects(stat(state), { code: 'ENOENT' })
})

t.test('a process that is killed at any moment leaves what the next one goes on with', async (t) => {
  const { hosts, socket, write, start, asked } = await place(t)
  const { client, a, b } = hosts
  const address = clusterAddress.ipv4
  await write(service('web', address), pod('one', a.address))
  let running = await start()
  for (const [round, host] of [b, a, b].entries()) {
    // It is in the middle of reading, programming or saving it.
    await write(service('web', address), pod('one', host.address))
    if (round > 0)
      await until('it is seen', async () => (await asked('get', 'endpoints')).stdout.includes(host.address))
    running.process.kill('SIGKILL')
    await running.ended
    t.equal((await ask(client, address)).length, 1, 'somebody answers')
    running = await start()
    await until('the last word counts', async () => (await ask(client, address)).join() === host.name)
  }
  t.equal((await stat(socket)).mode & 0o777, 0o600)
})

t.test('what cannot be meant is told with its place, and nothing is done', async (t) => {
  const { hosts, folder, config, state, words, write, configure, start, asked } = await place(t)
  const { client, node, a } = hosts
  const address = clusterAddress.ipv4
  await write(service('web', address), pod('one', a.address))
  await writeFile(
    config,
    'apiVersion: viaduct/v1\nkind: Configuration\nhealth:\n  checks:\n    - check:\n        kind: tpc\nnodes: {}\ndns:\n  ttlSeconds: -1\n',
  )
  const refused = await runCommand(node.netns, words)
  t.equal(refused.code, 2)
  t.match(refused.stderr, /config\.yaml:6:\d+: health\.checks\[0\]\.check\.kind: expected .*"tpc"/)
  t.match(refused.stderr, /config\.yaml:7:\d+: nodes: there is no field "nodes" here: node is meant\?/)
  t.match(refused.stderr, /config\.yaml:9:\d+: dns\.ttlSeconds: expected an integer/)

  await configure()
  const dry = await runCommand(node.netns, [...words, '--dry-run'])
  t.match(dry, { code: 0, stdout: new RegExp(`${address.replaceAll('.', '\\.')}.*`) })
  t.match(dry.stdout, /1 virtual services on nftables: \d+ changes/)
  t.notOk(await isServed(client), 'nothing was done')

  await writeFile(state, '{"viaduct":"state","version":1}\n{"checksum":"0"}\n')
  const running = await start()
  await says(running, 'its checksum is another one')
  t.strictSame(await ask(client, address), ['a'], 'a state that is broken is told of, and not used')
  t.match(
    await runCommand(node.netns, words),
    { code: 2, stderr: /no other process answers/ },
    'a second one',
  )

  await configure({ state: { file: path.join(folder, 'other') } })
  running.process.kill('SIGHUP')
  await says(running, 'not reloaded')
  t.strictSame(await ask(client, address), ['a'])
  await configure()

  await rm(state, { force: true })
  await until('it is saved anew', async () => {
    await asked('drain', '192.0.2.200')
    return stat(state).catch(() => undefined)
  })
  t.equal((await stat(state)).mode & 0o777, 0o600)
  await rm(state)
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
})

t.test('a disk that is full, or may not be written, stops nothing', async (t) => {
  const { hosts, folder, state, write, configure, start, asked } = await place(t)
  const { client, a, b } = hosts
  const address = clusterAddress.ipv4
  const disk = path.join(folder, 'disk')
  await mkdir(disk)
  const mount = (...words: readonly string[]) => promisify(execFile)('mount', [...words, disk])
  await mount('-t', 'tmpfs', '-o', 'size=16k', 'viaduct-test')
  t.teardown(() => promisify(execFile)('umount', [disk]))
  await configure({ state: { file: path.join(disk, 'state') } })
  await writeFile(path.join(disk, 'other'), Buffer.alloc(16 << 10)).catch(() => undefined)
  await write(service('web', address), pod('one', a.address))
  const running = await start()
  await says(running, 'ENOSPC')
  t.match(await asked('status'), { code: 1, stdout: /StateNotSaved.*ENOSPC/s })
  await write(service('web', address), pod('one', b.address))
  await until('it goes on', async () => (await ask(client, address)).join() === 'b')
  await rm(path.join(disk, 'other'))
  t.match(await asked('drain', '192.0.2.200'), { code: 0 })
  await says(running, 'the state is saved again')
  t.match(await asked('status'), { code: 0 })
  await mount('-o', 'remount,ro')
  await asked('drain', '192.0.2.201')
  await says(running, 'EROFS')
  t.strictSame(await ask(client, address), ['b'])
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  await t.rejects(stat(state), { code: 'ENOENT' }, 'and nothing is written elsewhere')
})

t.test('at the edge nodes are the servers', async (t) => {
  const { hosts, write, configure, start, asked } = await place(t)
  const { client, a, b } = hosts
  await configure({ node: {}, edge: { pools: { public: ['172.30.1.0/28'] } } })
  const node = (name: string, address: string, isReady = true): object => ({
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name },
    spec: {},
    status: {
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
      addresses: [{ type: 'InternalIP', address }],
    },
  })
  const web = service('web', '10.96.0.1', {
    type: 'LoadBalancer',
    ports: [{ port: 80, targetPort: 80, nodePort: serverPort }],
  })
  await write(web, node('one', a.address), node('two', b.address, false))
  const running = await start()
  const [view] = (await asked('get', 'services', '--json')).stdout.trim().split('\n')
  const { external } = JSON.parse(view!) as { external: string[] }
  t.match(external, [/^172\.30\.1\./])
  t.strictSame(new Set(await ask(client, external[0]!, 4)), new Set(['a']))
  t.match((await asked('get', 'nodes')).stdout, /one +Ready .*\ntwo +NotReady /)
  await write(web, node('one', a.address, false), node('two', b.address))
  await until('the other node has it', async () => (await ask(client, external[0]!)).join() === 'b')
  t.notOk(await isServed(client, '10.96.0.1'), 'cluster addresses are for nodes')
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.strictSame(await ask(client, external[0]!), ['b'])
})

t.test('a configuration that cannot be begun leaves what ran before', async (t) => {
  const { hosts, folder, state, socket, words, write, configure, start, asked } = await place(t)
  const { node, client, a } = hosts
  const address = clusterAddress.ipv4
  const taken = 5353
  await ensurePeers('bind9-dnsutils')
  await node.serve((_, response) => response.end(), { port: taken })
  const named = (): Promise<string> =>
    peer(client.netns, ['dig', '+short', `@${node.address}`, 'web.default.svc.cluster.local'])
  const dns = (port: number) => ({ dns: { listen: [{ address: node.address, port }] } })
  const udpTimeout = (): string | undefined =>
    readSysctl('net/netfilter/nf_conntrack_udp_timeout', { netns: node.netns })
  await write(service('web', address), pod('one', a.address))

  await configure(dns(taken))
  const refused = await runCommand(node.netns, words)
  t.match(refused, { code: 1, stderr: /EADDRINUSE/ })
  t.equal(refused.stderr.trim().split('\n').length, 1, 'in a line')
  await t.rejects(stat(socket), { code: 'ENOENT' })
  await writeFile(socket, 'mine')
  t.match(await runCommand(node.netns, words), { code: 2, stderr: /something else is there/ })
  t.equal(await readFile(socket, 'utf8'), 'mine')
  await rm(socket)

  const untouched = udpTimeout()
  await configure({ ...dns(53), conntrack: { udpTimeoutSeconds: 77 } })
  let running = await start()
  t.equal(udpTimeout(), '77')
  running.process.kill('SIGKILL')
  await running.ended
  await configure(dns(53))
  running = await start()
  t.equal(udpTimeout(), untouched, 'what it was is known, however soon it was killed')

  const reload = async (more: object, told: string): Promise<void> => {
    await configure(more)
    const before = running.stderr.length
    running.process.kill('SIGHUP')
    await running.until(({ stderr }) => stderr.slice(before).includes(`"msg":"${told}`))
  }
  await reload({ ...dns(taken), node: { name: 'other' } }, 'not reloaded')
  t.equal((await named()).trim(), address, 'names are answered still')
  t.strictSame(await ask(client, address), ['a'])
  t.match(await asked('status'), { code: 0 })
  await reload({ ...dns(53), dataplane: { name: 'viaduct', statistics: true } }, 'reloaded')
  t.strictSame(await ask(client, address), ['a'], 'the same table by its name')
  await reload({ ...dns(53), dataplane: { name: 'another' } }, 'reloaded')
  t.strictSame(await ask(client, address), ['a'], 'another table')
  await using nftables = await Nftables.open({ netns: node.netns })
  t.strictSame(
    (await nftables.tables()).map(({ name }) => name),
    ['another'],
  )

  await reload({ ...dns(53), dataplane: { name: 'another' }, log: { level: 'debug' } }, 'reloaded')
  await configure({ ...dns(53), dataplane: { name: 'another' }, log: { level: 'warn' } })
  running.process.kill('SIGHUP')
  await until('it says less', async () => {
    const { length } = running.stderr
    await asked('drain', '192.0.2.200')
    return running.stderr.length === length
  })

  const teardown = (): Promise<{ code: number | null; stdout: string; stderr: string }> =>
    runCommand(node.netns, [...words, '--teardown'])
  t.match(await teardown(), { code: 2, stderr: /no other process answers/ }, 'not under somebody who runs')
  t.strictSame(await ask(client, address), ['a'])
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  t.match(await teardown(), { code: 0, stdout: 'removed: nftables\n' })
  t.match(await teardown(), { code: 0, stdout: 'removed: nothing\n' })
  await t.rejects(stat(state), { code: 'ENOENT' })
  t.strictSame(await readdir(path.join(folder, 'run')), [])
})

t.test(
  'a health-check node port that cannot be opened is told once, and opened when it can be',
  async (t) => {
    const { hosts, write, configure, start, asked } = await place(t)
    const { node, client, a, b } = hosts
    const port = 32_100
    const late = '192.0.2.77'
    await configure({ healthCheckNodePorts: { addresses: [late] } })
    const web = service('web', clusterAddress.ipv4, {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: port,
    })
    await write(web, pod('one', a.address))
    const running = await start()
    await says(running, 'cannot be opened')
    await write(web, pod('one', b.address))
    await until('it is followed', async () => (await ask(client, clusterAddress.ipv4)).join() === 'b')
    t.match(await asked('status'), {
      code: 1,
      stdout: /NotListening: .*32100 of default\/web.*EADDRNOTAVAIL/,
    })
    t.equal(running.stderr.split('cannot be opened').length, 2, 'once')
    await node.rtnetlink.addresses.add({ address: `${late}/32`, device: 'lo' })
    await write(web, pod('one', a.address), pod('two', b.address))
    const url = `http://${late}:${port}/`
    await until('it answers', async () => {
      const answer = await client.fetch(url, { headers: { connection: 'close' } }).catch(() => undefined)
      return answer !== undefined && answer.text().includes('"localEndpoints":2')
    })
    t.match(await asked('status'), { code: 0 })
    running.process.kill('SIGTERM')
    t.equal(await running.ended, 0)
  },
)

t.test('nodes in one folder and services in another meet, and addresses stay over a restart', async (t) => {
  const { hosts, folder, socket, state, words, write, configure, start, asked } = await place(t)
  const { client, node, a } = hosts
  const nodes = path.join(folder, 'nodes.yaml')
  const well = await a.serve((_, response) => response.end('ok'), { port: 10_256 })
  t.teardown(() => well.close())
  const one = {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name: 'one' },
    spec: {},
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      addresses: [{ type: 'InternalIP', address: a.address }],
    },
  }
  await writeFile(nodes, JSON.stringify(one))
  const balanced = (name: string, more: object = {}): object =>
    service(name, '10.96.0.1', {
      type: 'LoadBalancer',
      ports: [{ port: 80, targetPort: 80, nodePort: serverPort }],
      ...more,
    })
  const edge = { pools: { public: ['172.30.1.0/28'] }, nodeHealthPort: 10_256 }
  await configure({ node: {}, manifests: [nodes], edge, allocate: { nodePorts: '30000-30010' } })
  await write(balanced('first'), balanced('web'))
  const running = await start()
  t.match(running.stderr, /config\.yaml:1:\d+: allocate: nothing is picked by it at the edge/)
  const external = async (): Promise<Record<string, string>> => {
    const { stdout } = await asked('get', 'services', '--json')
    const views = stdout.trim().split('\n')
    return Object.fromEntries(
      views.map((line) => {
        const { name, external } = JSON.parse(line) as { name: string; external: string[] }
        return [name, external[0]!]
      }),
    )
  }
  const before = (await external())['web']!
  t.strictSame(await ask(client, before), ['a'], 'whose health was asked in the namespace')
  await until('it is saved', async () => (await readFile(state, 'utf8').catch(() => '')).includes(before))
  running.process.kill('SIGKILL')
  await running.ended
  await write(balanced('web'))
  const again = await start()
  await until('the first one has gone', async () => Object.keys(await external()).length === 1)
  t.equal((await external())['web'], before)
  again.process.kill('SIGTERM')
  t.equal(await again.ended, 0)

  // A node that does not answer is waited for, and meanwhile it starts.
  well.close()
  const silent = await a.serve(() => undefined, { port: 10_256 })
  await write(balanced('web'), { ...one, metadata: { name: 'silent' } })
  const starting = startCommand(node.netns, words)
  t.teardown(() => starting.process.kill('SIGKILL'))
  await until('it starts', () => stat(socket).catch(() => undefined))
  t.match(await asked('status'), { code: 1, stderr: /it is starting/ })
  starting.process.kill('SIGHUP')
  await says(starting, '"msg":"reloaded"')
  starting.process.kill('SIGTERM')
  t.equal(await starting.ended, 0)
  const ended = startCommand(node.netns, words)
  t.teardown(() => ended.process.kill('SIGKILL'))
  await until('it starts', () => stat(socket).catch(() => undefined))
  ended.process.kill('SIGTERM')
  t.equal(await ended.ended, 0)
  t.notMatch(ended.stderr, '"msg":"running"', 'a start that is ended is none')
  silent.close()
})

t.test('whatever is sent to the control socket, it goes on answering', async (t) => {
  const { hosts, socket, write, start, asked } = await place(t)
  await write(service('web', clusterAddress.ipv4), pod('one', hosts.a.address))
  const running = await start()
  const send = (bytes: Uint8Array | string): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const connection = connect(socket, () => connection.end(bytes))
      connection.on('data', (piece) => (text += String(piece)))
      connection.on('error', () => undefined)
      connection.on('close', () => resolve(text))
    })
  let seed = 1
  const random = (): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff
  for (let round = 0; round < 300; round++) {
    const noise = Uint8Array.from({ length: Math.ceil(random() * 200) }, () => Math.floor(random() * 256))
    const head = ['', 'GET ', 'POST /v1/drain HTTP/1.1\r\ncontent-length: 5\r\n\r\n', 'GET /v1/status'][
      round % 4
    ]!
    await send(Buffer.concat([Buffer.from(head), noise]))
  }
  t.match(await send(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`), /^HTTP\/1.1 431/, 'too long a head')
  const post = (body: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath: socket, path: '/v1/drain', method: 'POST' }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  t.equal(await post('x'), 400)
  t.equal(await post('{"server":{"a":1}}'), 400)
  t.equal(await post(`{"server":"${'1'.repeat(60_000)}"}`), 400)
  t.equal(await post(' '.repeat(70_000)), 400, 'too long a body')
  t.match(await asked('get', 'pods'), { code: 2, stderr: /services, endpoints or nodes/ })
  t.match(await asked('describe', 'service', 'none'), { code: 2, stderr: /viaduct get services/ })
  t.match(await asked('drain', 'nobody'), { code: 2, stderr: /an address/ })
  t.match(await asked('explain', '1.2.3.4:0'), { code: 2, stderr: /port/ })
  t.match(await asked('status'), { code: 0 })
  t.strictSame(await ask(hosts.client, clusterAddress.ipv4), ['a'])
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
})

/** Sandboxes: hosts that reach each other the way the plan says, and nothing left of them. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NetworkNamespace } from '../../src/net/index.js'
import { NETLINK_ROUTE, openSocket } from '../../src/netlink/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { leaksSince, openResources, requires, sandbox } from '../../src/testing/index.js'
import type { KernelError } from '../../src/errors/index.js'
import { kernelTest } from './kernel-test.js'

const pair = { hosts: ['client', 'server'], links: [['client', 'server']] } as const

kernelTest('HTTP over IPv4 and IPv6', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  const web = await server.serve((request, response) => {
    response.setHeader('x-from', request.socket.remoteAddress ?? '')
    request.pipe(response)
  })
  t.match(await client.fetch(web.url(server.address), { method: 'POST', body: 'a' }), {
    status: 200,
    ok: true,
    headers: { 'x-from': '10.0.1.1' },
  })
  const six = await client.fetch(web.url(server.address6), { method: 'POST', body: '{"b":1}' })
  t.same([six.headers['x-from'], six.json()], ['fd00:1::1', { b: 1 }])
})

kernelTest('through a host that forwards, to hosts on a switch', {}, async (t, sandbox) => {
  const { client, director, a, b } = (
    await sandbox({
      hosts: ['client', 'director', 'a', 'b'],
      links: [
        ['client', 'director'],
        ['director', 'a', 'b'],
      ],
    })
  ).hosts
  for (const host of [a, b]) {
    await host.serve((_, response) => response.end(host.name), { port: 80 })
    for (const address of [host.address, `[${host.address6}]`]) {
      t.equal((await client.fetch(`http://${address}/`)).text(), host.name)
    }
  }
  t.equal((await a.ping(b.address)).address, b.address, 'on one switch without the director')
  t.equal((await a.ping(b.address6)).address, b.address6)
  t.equal(director.sysctl('net.ipv4.ip_forward'), '1')
  t.equal(client.sysctl('net.ipv4.ip_forward'), '0')
  t.match(director.towards('b'), { device: 'eth1', address: '10.0.2.1', address6: 'fd00:2::1', mtu: 1500 })
  t.throws(() => client.towards('a'), { path: 'host' } as Error & { path: string })
})

kernelTest('addresses, routes, MTU and settings as asked', {}, async (t, sandbox) => {
  const net = await sandbox({
    hosts: ['client', 'director', 'real'],
    links: [
      { hosts: ['client', 'director'], ipv4: '192.0.2.0/24', ipv6: null, mtu: 1400 },
      { hosts: ['director', 'real'], ipv6: '2001:db8:5::/64', switch: true },
    ],
    settings: {
      client: { defaultRoute: false, routes: [{ destination: '10.0.2.0/24', via: 'director' }] },
      director: { addresses: [{ address: '198.51.100.1/32', towards: 'client' }], forwarding: true },
      real: {
        addresses: ['203.0.113.9/32', '2001:db8:9::9/128'],
        sysctls: { 'net.ipv4.conf.all.arp_ignore': 1 },
      },
    },
  })
  const { client, director, real } = net.hosts
  t.equal((await client.ping(real.address)).address, '10.0.2.2')
  t.same([client.address, client.address6, real.address6], ['192.0.2.1', '', '2001:db8:5::2'])
  const routes = await client.rtnetlink.routes.list({ family: 'ipv4' })
  t.same(
    routes.map(({ destination, gateway }) => [destination, gateway]),
    [
      ['10.0.2.0/24', '192.0.2.2'],
      ['192.0.2.0/24', undefined],
    ],
  )
  t.equal((await client.rtnetlink.links.get('eth0')).mtu, 1400)
  t.equal((await director.rtnetlink.links.get('eth0')).mtu, 1400)
  const own = await real.rtnetlink.addresses.list({ device: 'lo' })
  t.same(own.map(({ address }) => address).sort(), [
    '127.0.0.1/8',
    '2001:db8:9::9/128',
    '203.0.113.9/32',
    '::1/128',
  ])
  t.equal(real.sysctl('net.ipv4.conf.all.arp_ignore'), '1')
  t.equal(real.sysctl('net.ipv4.conf.all.arp_ignore', 2), '2')
  t.throws(() => real.sysctl('kernel.hostname', 'x'), { path: 'name' } as Error & { path: string })
  t.match(
    (await director.rtnetlink.addresses.list({ device: 'eth0' })).map(({ address }) => address),
    ['192.0.2.2/24', '198.51.100.1/32'],
  )
})

kernelTest('TCP and UDP servers and sockets', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  const echo = await server.serveTcp((socket) => socket.pipe(socket))
  const socket = await client.connect({ address: server.address, port: echo.port, localPort: 4321 })
  socket.write('ping')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.equal(answer.toString(), 'ping')
  t.equal(socket.localPort, 4321)
  echo.close()
  await once(socket, 'close')
  t.match(
    await failure(client.connect({ address: server.address, port: echo.port })),
    { code: 'ECONNREFUSED', operation: 'tcp.connect' },
    'nobody listens once it is closed',
  )

  const names = await server.serveUdp((bytes, from, reply) =>
    reply(Buffer.from(`${bytes.length} ${from.address}`)),
  )
  const udp = await client.udp()
  udp.send('abc', names.port, server.address)
  const [reply] = (await once(udp, 'message')) as [Buffer]
  t.equal(reply.toString(), '3 10.0.1.1')
})

kernelTest('a server that cannot listen for both families listens for neither', {}, async (t, sandbox) => {
  const { server } = (await sandbox(pair)).hosts
  for (const serve of [
    (address?: string) => server.serveTcp(() => undefined, { port: 8080, address }),
    (address?: string) => server.serveUdp(() => undefined, { port: 8080, address }),
  ]) {
    const other = await serve(server.address6)
    t.match(await failure(serve()), { code: 'EADDRINUSE' })
    const again = await serve('0.0.0.0')
    t.equal(again.port, 8080, 'what listened for IPv4 was closed')
    for (const served of [other, again]) served.close()
  }
})

kernelTest('ping answers, or says that nobody does', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  t.equal((await client.ping(server.address)).address, '10.0.1.2')
  t.equal((await client.ping(server.address6)).address, 'fd00:1::2')
  t.match(await failure(client.ping('10.0.1.77', { deadlineMilliseconds: 50 })), { code: 'ETIMEDOUT' })
})

kernelTest('SCTP without SCTP in the kernel', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  const responder = await server.serveSctp({ port: 5000, name: 'server one' })
  for (const to of [server.address, server.address6]) {
    t.match(await client.sctpInit({ to, port: 5000 }), { address: to, port: 5000, name: 'server one' })
  }
  t.equal(responder.answered, 2)
  t.match(
    await failure(client.sctpInit({ to: server.address, port: 5001, deadlineMilliseconds: 100 })),
    { operation: 'sctp.init' },
    'another port does not answer',
  )
})

kernelTest('each host has files of its own', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  await server.serveTcp(() => undefined, { address: '0.0.0.0', port: 4242 })
  const listening = /:1092 00000000:0000 0A/
  t.match(server.readFile('/proc/net/tcp'), listening)
  t.notMatch(client.readFile('/proc/net/tcp'), listening)
})

kernelTest('what cannot be asked for is refused before anything is made', {}, async (t, sandbox) => {
  const bad = [
    [{ hosts: ['a', 'a'] }, 'hosts[1]'],
    [{ hosts: ['a'], links: [['a', 'b']] }, 'links[0][1]'],
    [{ hosts: ['a', 'b'], links: [['a']] }, 'links[0]'],
    [{ hosts: ['a', 'b'], links: [['a', 'a']] }, 'links[0][1]'],
    [{ hosts: ['a', 'b'], links: [{ hosts: ['a', 'b'], ipv4: 'fd00::/64' }] }, 'links[0].ipv4'],
    [{ hosts: ['a', 'b'], settings: { a: { defaultRoute: 'b' } } }, 'settings.a.defaultRoute'],
    [{ hosts: ['a'], settings: { c: {} } }, 'settings'],
  ] as const
  for (const [options, path] of bad) {
    t.match(
      await failure(sandbox(options as Parameters<typeof sandbox>[0])),
      { name: 'ValidationError', path },
      path,
    )
  }
})

kernelTest('a sandbox that fails half-way leaves nothing', {}, async (t) => {
  const before = openResources()
  const error = await failure(
    sandbox({
      ...pair,
      settings: { server: { addresses: ['192.0.2.1/32', '192.0.2.1/32'] } },
    }),
  )
  t.match(error, { code: 'EEXIST', operation: 'rtnetlink.addAddress', object: { address: '192.0.2.1/32' } })
  t.same(await leaksSince(before), [])
})

kernelTest('closing ends servers, connections and requests under way', {}, async (t) => {
  const before = openResources()
  const net = await sandbox(pair)
  const { client, server } = net.hosts
  const silent = await server.serve(() => undefined)
  const echo = await server.serveTcp((socket) => socket.pipe(socket))
  const socket = await client.connect({ address: server.address6, port: echo.port })
  const asked = failure(client.fetch(silent.url(server.address)))
  const pinged = failure(client.ping('10.0.1.9', { deadlineMilliseconds: 10_000 }))
  const named = failure(client.sctpInit({ to: server.address, port: 9 }))
  socket.write('x')
  await once(socket, 'data')
  const closed = once(socket, 'close')
  await net.close()
  await closed
  for (const error of await Promise.all([asked, pinged, named])) t.type(error, Error)
  t.same(await leaksSince(before), [])
  await net.close()
  t.match(await failure(client.fetch('http://10.0.1.2/')), { message: 'the host client is closed' })
})

kernelTest('what was closed by hand a moment ago hinders no closing', {}, async (t) => {
  const before = openResources()
  const net = await sandbox(pair)
  const socket = await net.hosts.client.udp()
  socket.close()
  await net.close()
  t.same(await leaksSince(before), [])
})

kernelTest('an answer that is none rejects a request', {}, async (t, sandbox) => {
  const { client, server } = (await sandbox(pair)).hosts
  const switching = await server.serveTcp((socket) =>
    socket.on('data', () =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
    ),
  )
  t.match(await failure(client.fetch(`http://${server.address}:${switching.port}/`)), { code: 'ECONNRESET' })
})

kernelTest('leaks are found, and told by name', {}, async (t) => {
  const before = openResources()
  const namespace = NetworkNamespace.create()
  t.match(await leaksSince(before), [/^descriptor \d+: net:\[\d+\]$/])
  namespace.close()
  const name = `viaduct-leak-${process.pid}`
  NetworkNamespace.createNamed(name).close()
  try {
    const leaks = await leaksSince(before)
    t.ok(leaks.includes(`namespace ${name}`))
  } finally {
    NetworkNamespace.delete(name)
  }
  const leaks = await leaksSince(before)
  t.notOk(leaks.includes(`namespace ${name}`))
})

kernelTest('a process that is killed leaves nothing', {}, async (t) => {
  const script = `
    import { sandbox } from '${new URL('../../src/testing/index.js', import.meta.url).href}'
    const net = await sandbox({ hosts: ['a', 'b', 'c'], links: [['a', 'b'], ['a', 'b', 'c']] })
    const { address } = await net.hosts.a.ping(net.hosts.b.address)
    process.stdout.write(net.hosts.a.netns.fd + ' ' + address)
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [told] = (await once(child.stdout, 'data')) as [Buffer]
  const [fd, address] = told.toString().split(' ')
  t.equal(address, '10.0.1.2')

  // One end of a pair is put into its host a. It goes when that namespace goes.
  const namespace = NetworkNamespace.create()
  const rtnetlink = await Rtnetlink.open({ netns: namespace })
  const events = openSocket({ protocol: NETLINK_ROUTE, netns: namespace })
  const netns = { path: `/proc/${child.pid}/fd/${fd}` }
  await rtnetlink.links.add({ kind: 'veth', name: 'probe', data: { peer: { name: 'probe', netns } } })
  const gone = new Promise<void>((resolve) => {
    events.subscribe?.(1, () => {
      void rtnetlink.links.find('probe').then((link) => {
        if (link === undefined) resolve()
      })
    })
  })
  child.kill('SIGKILL')
  await gone
  t.equal(await rtnetlink.links.find('probe'), undefined, 'its namespaces are gone')
  events.close()
  rtnetlink.close()
  namespace.close()
})

t.test('a test that leaves something open fails, and says what', async (t) => {
  const file = (name: string): string => new URL(name, import.meta.url).href
  const script = `
    import { kernelTest } from '${file('kernel-test.js')}'
    import { NetworkNamespace, openRaw } from '${file('../../src/net/index.js')}'
    kernelTest('clean', {}, async (t) => t.pass())
    kernelTest('namespace', {}, async (t) => { NetworkNamespace.create(); t.pass() })
    kernelTest('socket', {}, async (t) => { openRaw({ protocol: 1 }); t.pass() })
    kernelTest('asks too much', { needs: { kernel: '99.0' } }, async (t) => t.pass())`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  t.match(stdout, /^ok 1 - clean/m)
  t.match(stdout, /not ok 2 - left open: descriptor \d+: net:\[\d+\]/)
  t.match(stdout, /^not ok 2 - namespace/m)
  t.match(stdout, /not ok 2 - left open: descriptor \d+: socket:\[\d+\]/)
  t.match(stdout, /^not ok 3 - socket/m)
  t.match(stdout, /^ok 4 - asks too much # SKIP needs Linux 99.0 \(this is /m)
})

t.test('what this machine can do, or why it cannot', async (t) => {
  t.equal(requires({}), undefined)
  t.equal(
    requires({ kernel: '3.10', links: ['veth', 'bridge'], sysctls: ['net.ipv4.ip_forward'] }),
    undefined,
  )
  t.match(requires({ kernel: '99.0' }), /^needs Linux 99\.0 \(this is \d/)
  t.match(requires({ capabilities: ['CAP_NET_ADMIN', 'CAP_MAGIC'] }), /CAP_MAGIC is no capability/)
  t.match(
    requires({ sysctls: ['net.ipv4.no_such_thing'] }),
    /^needs net.ipv4.no_such_thing to be writable: ENOENT/,
  )
  t.match(
    requires({ sandbox: false, sysctls: ['net.ipv4.no_such_thing'] }),
    /no_such_thing/,
    'what is not needed hides nothing else',
  )
  t.match(requires({ ipvs: false, links: ['nonsense' as 'dummy'] }), /^needs links of kind nonsense/)
  // Without any capability, as in an ordinary container.
  const script = `
    import { requires } from '${new URL('../../src/testing/index.js', import.meta.url).href}'
    console.log(JSON.stringify([{ sandbox: true }, { ipvs: true }, { kernel: '3.10' }].map((needs) => requires(needs) ?? null)))`
  const { stdout } = spawnSync(
    'setpriv',
    [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      '--bounding-set=-all',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8' },
  )
  t.same(JSON.parse(stdout), [
    'needs the capability CAP_SYS_ADMIN',
    'needs the capability CAP_SYS_ADMIN',
    null,
  ])
})

t.test('the example of a container fails where it must run and cannot', (t) => {
  const file = fileURLToPath(new URL('../../docs/examples/integration-test.js', import.meta.url))
  const run = (env: NodeJS.ProcessEnv): ReturnType<typeof spawnSync> =>
    spawnSync('setpriv', ['--bounding-set=-all', process.execPath, '--test-reporter=tap', file], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    })
  const skipped = run({})
  t.match(String(skipped.stdout), /# SKIP needs the capability CAP_SYS_ADMIN/)
  t.equal(skipped.status, 0)
  const failed = run({ MUST_RUN: '1' })
  t.match(String(failed.stdout), /^# fail 1$/m)
  t.equal(failed.status, 1)
  t.end()
})

function failure(work: Promise<unknown>): Promise<KernelError> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => error as KernelError,
  )
}

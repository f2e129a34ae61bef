/** What docs/examples/ shows is run. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startProxy } from '../../docs/examples/proxy.js'
import { IpvsService, type ServiceKey } from '../../src/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { ipvsTest } from './ipvs-test.js'

ipvsTest('the integration test of a privileged container passes', async (t) => {
  const file = fileURLToPath(new URL('../../docs/examples/integration-test.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--test-reporter=tap', file])
  t.match(stdout, /^# pass 1$/m)
  t.match(stdout, /^# fail 0$/m)
  t.match(stdout, /^# skipped 0$/m)
})

ipvsTest('the demo shows what it says, and leaves nothing behind', async (t) => {
  const file = fileURLToPath(new URL('../demo/demo.js', import.meta.url))
  const before = NetworkNamespace.list()
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 170_000 })
  t.match(stdout, /a {2}█+ 30 .*\n {2}b {2}█+ 20 .*\n {2}c {2}█+ 10 /, 'spread by weight')
  t.match(stdout, /the long connection has had 20 answers from a meanwhile/)
  t.match(stdout, /added 1, removed 1, unchanged 2; every one of \d+ requests was answered, none lost/)
  t.match(stdout, /^TCP {2}192\.0\.2\.10:80 wrr\n( {2}-> 10\.0\.2\.\d:8080 +Masq +[123] .*\n){3}/m)
  t.match(stdout, /Done; nothing is left behind\.\n$/)
  t.same(NetworkNamespace.list(), before)
})

ipvsTest('the proxy sends its users to the backends that announced themselves', async (t, sandbox) => {
  const key: ServiceKey = { protocol: 'tcp', address: '192.0.2.10', port: 7000 }
  const net = await sandbox({
    hosts: ['client', 'director', 'a', 'b'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b'],
    ],
    settings: { director: { addresses: ['192.0.2.10/32'] } },
  })
  const { client, director, a, b } = net.hosts
  for (const host of [a, b]) {
    await host.serveTcp((socket) => socket.on('error', () => undefined).end(host.name), { port: 7000 })
  }
  const { netns } = director
  const proxy = await startProxy({ service: { ...key, scheduler: 'rr' }, netns, leaseSeconds: 60 })
  // The control server is on this process' own loopback.
  const control = (method: string, backend: string, query = ''): Promise<Response> =>
    fetch(`http://127.0.0.1:${proxy.controlPort}/backends/${backend}${query}`, { method })
  const ask = async (): Promise<string> => {
    const socket = await client.connect({ address: key.address, port: key.port })
    return String((await once(socket, 'data'))[0])
  }

  t.equal((await control('PUT', `${a.address}:7000`)).status, 204)
  t.equal((await control('PUT', `${b.address}:7000`, '?weight=2')).status, 204)
  t.equal((await control('PUT', `${b.address}:7000`, '?weight=-2')).status, 400)
  t.equal((await control('PUT', 'nonsense')).status, 404)
  t.same([await ask(), await ask()].sort(), ['a', 'b'])

  t.equal((await control('DELETE', `${a.address}:7000`)).status, 202)
  const web = await IpvsService.find(key, { netns })
  for await (const event of web!.watch({ intervalSeconds: 0.05 })) {
    if (event.type === 'statistics' && event.servers.length === 1) break
  }
  t.same([await ask(), await ask()], ['b', 'b'])
  await proxy.close()
  t.equal(await ask(), 'b', 'the proxy is gone, its users are not')
  await web!.delete()
})

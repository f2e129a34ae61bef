/** DNS over the wire, asked by the programs that people ask with: dig and nslookup, in hosts of their own. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { decode, encode } from 'dns-packet'
import type { Test } from 'tap'
import { DnsServer, type DnsServerOptions } from '../../src/dns/index.js'
import { type ModelObject, ServiceModel } from '../../src/model/index.js'
import type { Host } from '../../src/testing/index.js'
import { overTcp, overUdp, queryBytes } from '../conformance/dns/client.js'
import { kernelTest, type MakeSandbox } from './kernel-test.js'

const run = promisify(execFile)
const network = { hosts: ['client', 'server'], links: [['client', 'server']] } as const

/** A program in a host. */
async function inside(host: Host, ...[program, ...args]: readonly [string, ...string[]]): Promise<string> {
  const words = [`--net=/proc/${process.pid}/fd/${host.netns.fd}`, program, ...args]
  // Some of them say by their status that a name is not there.
  const { stdout } = await run('nsenter', words, { timeout: 20_000 }).catch(
    (error: unknown) => error as { stdout: string },
  )
  return stdout
}

const dig = (host: Host, ...args: string[]): Promise<string> =>
  inside(host, 'dig', '+tries=1', '+time=5', '+nocookie', ...args)
const short = async (host: Host, ...args: string[]): Promise<string[]> =>
  (await dig(host, '+short', ...args)).split('\n').filter((line) => line !== '')

function service(name: string, spec: object, namespace = 'default'): ModelObject {
  return { kind: 'Service', metadata: { name, namespace }, spec }
}

function slice(of: string, addresses: readonly string[]): ModelObject {
  return {
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: { name: `${of}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ports: [{ name: 'http', port: 8080 }],
  } as unknown as ModelObject
}

const web = service('web', {
  clusterIP: '10.96.0.7',
  clusterIPs: ['10.96.0.7', 'fd00::7'],
  ports: [{ name: 'http', port: 80 }],
})

async function twoHosts(sandbox: MakeSandbox, options: (server: Host) => DnsServerOptions = () => ({})) {
  const { client, server: host } = (await sandbox(network)).hosts
  const listen = [{ address: host.address }, { address: host.address6 }]
  const dns = await DnsServer.start({ listen, netns: host.netns, ...options(host) })
  dns.model.upsert(web)
  return { client, host, dns, at: `@${host.address}` }
}

/** Ends the server, whatever happens. */
function dnsTest(
  name: string,
  work: (t: Test, found: Awaited<ReturnType<typeof twoHosts>>) => Promise<void>,
  options?: (server: Host) => DnsServerOptions,
): void {
  kernelTest(name, {}, async (t, sandbox) => {
    const found = await twoHosts(sandbox, options)
    try {
      await work(t, found)
      t.match(found.dns.counts, { failed: 0 })
      t.equal(found.dns.error, undefined)
    } finally {
      await found.dns.close()
    }
  })
}

dnsTest(
  'dig gets what a service has, from the address that it asked',
  async (t, { client, host, dns, at }) => {
    const name = 'web.default.svc.cluster.local'
    t.same(await short(client, at, name, 'A'), ['10.96.0.7'])
    t.same(await short(client, at, name, 'AAAA'), ['fd00::7'])
    t.same(await short(client, at, `_http._tcp.${name}`, 'SRV'), [`0 100 80 ${name}.`])
    t.same(await short(client, at, '-x', '10.96.0.7'), [`${name}.`])
    t.same(await short(client, at, '-x', 'fd00::7'), [`${name}.`])
    t.same(await short(client, at, 'dns-version.cluster.local', 'TXT'), ['"1.1.0"'])
    t.same(await short(client, `@${host.address6}`, name), ['10.96.0.7'], 'over IPv6')
    t.same(await short(client, at, '+tcp', name), ['10.96.0.7'], 'over TCP')
    t.match(
      await dig(client, at, 'WEB.Default.svc.cluster.local'),
      /\nWEB\.Default\.svc\.cluster\.local\.\t?\s*5\s+IN\s+A\s+10\.96\.0\.7/,
    )
    const missing = await dig(client, at, 'nope.default.svc.cluster.local')
    t.match(missing, /status: NXDOMAIN.*\n;; flags: qr aa rd;/)
    t.match(
      missing,
      /\ncluster\.local\.\s+5\s+IN\s+SOA\s+ns\.dns\.cluster\.local\. hostmaster\.cluster\.local\. \d+ /,
    )
    t.match(await dig(client, at, name, 'MX'), /status: NOERROR[^]*ANSWER: 0, AUTHORITY: 1[^]*\sSOA\s/)
    t.match(await dig(client, at, 'example.com'), /status: REFUSED/)
    t.match(await dig(client, at, 'cluster.local', 'AXFR'), /Transfer failed/)
    t.match(await dig(client, at, 'version.bind', 'TXT', 'CH'), /status: REFUSED/)
    t.match(await dig(client, at, '+edns=1', '+noednsneg', name), /status: BADVERS/)
    // Those of another address of the same host are another socket's.
    const [first, second] = dns.addresses
    t.same([first?.port, second?.port], [53, 53])
  },
)

dnsTest('a change is in the next answer', async (t, { client, dns, at }) => {
  const name = 'web.default.svc.cluster.local'
  t.same(await short(client, at, name), ['10.96.0.7'])
  dns.model.upsert(service('web', { clusterIP: '10.96.0.8', ports: [] }))
  t.same(await short(client, at, name), ['10.96.0.8'])
  t.same(await short(client, at, '-x', '10.96.0.7'), [])
  dns.model.delete({ kind: 'Service', name: 'web' })
  t.match(await dig(client, at, name), /status: NXDOMAIN/)
  dns.model.upsert(service('db', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }))
  t.match(await dig(client, at, 'db.default.svc.cluster.local'), /status: NXDOMAIN/)
  dns.model.upsert(slice('db', ['10.1.0.1', '10.1.0.2']))
  t.same((await short(client, at, 'db.default.svc.cluster.local')).sort(), ['10.1.0.1', '10.1.0.2'])
  const firsts = new Set<string | undefined>()
  for (let time = 0; time < 4; time++)
    firsts.add((await short(client, at, 'db.default.svc.cluster.local'))[0])
  t.equal(firsts.size, 2, 'each is the first in its turn')
  dns.setNamespaces(['told'])
  t.match(await dig(client, at, 'told.svc.cluster.local'), /status: NOERROR/)
  dns.setNamespaces([])
  t.match(await dig(client, at, 'told.svc.cluster.local'), /status: NXDOMAIN/)
})

dnsTest('nslookup finds short names by its search list', async (t, { client, host, dns }) => {
  dns.model.upsert(
    service(
      'kube-dns',
      { clusterIP: '10.96.0.10', ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] },
      'kube-system',
    ),
  )
  const folder = mkdtempSync(path.join(tmpdir(), 'viaduct-dns-'))
  try {
    const file = path.join(folder, 'resolv.conf')
    const search = 'search default.svc.cluster.local svc.cluster.local cluster.local'
    writeFileSync(file, `nameserver ${host.address}\n${search}\noptions ndots:5\n`)
    const look = (name: string): Promise<string> => {
      // A mount namespace of its own, in which resolv.conf is that of a Pod.
      const words = `mount --bind ${file} "$(readlink -f /etc/resolv.conf)" && nslookup ${name}`
      return inside(client, 'unshare', '--mount', 'sh', '-c', words)
    }
    t.match(await look('web'), /Name:\s+web\.default\.svc\.cluster\.local\nAddress: 10\.96\.0\.7/)
    t.match(
      await look('kube-dns.kube-system'),
      /Name:\s+kube-dns\.kube-system\.svc\.cluster\.local\nAddress: 10\.96\.0\.10/,
    )
    t.match(await look('web.default'), /Name:\s+web\.default\.svc\.cluster\.local/)
    t.match(await look('nope'), /can't find nope: (NXDOMAIN|REFUSED)/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

dnsTest('what does not fit comes by TCP', async (t, { client, dns, at }) => {
  const addresses = Array.from({ length: 250 }, (_, index) => `10.1.0.${index}`)
  dns.model.upsert(service('db', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }))
  dns.model.upsert(slice('db', addresses))
  const name = 'db.default.svc.cluster.local'
  const cut = await dig(client, at, '+ignore', '+noedns', name)
  t.match(cut, /flags: qr aa tc rd;/)
  t.match(cut, /MSG SIZE {2}rcvd: (49\d|50\d|51[0-2])\n/)
  t.match(
    await dig(client, at, '+ignore', '+bufsize=4096', name),
    /MSG SIZE {2}rcvd: 12[12]\d\n/,
    'no more than we send',
  )
  t.same((await short(client, at, name)).sort(), [...addresses].sort(), 'dig asks again')
  t.equal((await short(client, at, `_http._tcp.${name}`, 'SRV')).length, 250)
})

const upstreamTest = (
  name: string,
  work: (t: Test, found: Awaited<ReturnType<typeof withUpstream>>) => Promise<void>,
): void =>
  kernelTest(name, {}, async (t, sandbox) => {
    const found = await withUpstream(sandbox)
    try {
      await work(t, found)
      t.match(found.dns.counts, { failed: 0 })
    } finally {
      await found.dns.close()
    }
  })

/** Three hosts: one that asks, ours, and the rest of the world, which knows the names below example.com. */
async function withUpstream(sandbox: MakeSandbox) {
  const {
    client,
    server: host,
    world,
  } = (
    await sandbox({
      hosts: ['client', 'server', 'world'],
      links: [
        ['client', 'server'],
        ['server', 'world'],
      ],
    } as const)
  ).hosts
  const state = { isSilent: false, isRefusing: false, asked: 0 }
  const say = (message: Buffer, isTcp: boolean): Buffer => {
    const query = decode(message)
    const question = query.questions![0]!
    state.asked++
    const [label] = question.name.toLowerCase().split('.')
    const rcode = state.isRefusing ? 5 : label === 'nope' ? 3 : 0
    const isLong = label === 'long' && !isTcp
    const answers =
      rcode !== 0 || isLong
        ? []
        : question.type === 'PTR'
          ? [{ type: 'PTR' as const, name: question.name, ttl: 60, data: 'host.example.com' }]
          : [{ type: 'A' as const, name: question.name, ttl: 60, data: '192.0.2.80' }]
    const flags = 0x0180 | rcode | (isLong ? 0x0200 : 0)
    // In small letters, as some servers have it.
    return encode({
      type: 'response',
      id: query.id,
      flags,
      questions: [{ ...question, name: question.name.toLowerCase() }],
      answers,
    })
  }
  await world.serveUdp(
    (bytes, _from, reply) => {
      if (state.isSilent) return
      const message = Buffer.from(bytes)
      const id = message.readUInt16BE(0)
      // What is not the answer comes first: of another id, and of another question.
      const forged = say(message, false)
      forged.writeUInt16BE((id + 1) & 0xffff, 0)
      forged[forged.length - 1]! ^= 1
      reply(forged)
      reply(encode({ type: 'response', id, questions: [{ name: 'other.example', type: 'A' }] }))
      reply(say(message, false))
    },
    { port: 53 },
  )
  await world.serveTcp(
    (socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', (bytes: Buffer) => {
        const answer = say(bytes.subarray(2), true)
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        socket.write(Buffer.concat([length, answer]))
      })
    },
    { port: 53 },
  )
  const there = world.towards('server').address
  // Nobody is at the first: a port that nobody listens to.
  const dead = `${there}:5353`
  const upstreams = [dead, there]
  const address = host.towards('client').address
  const dns = await DnsServer.start({
    listen: [{ address }],
    netns: host.netns,
    upstreams,
    upstreamTimeoutMilliseconds: 500,
  })
  dns.model.upsert(web)
  return { client, dns, state, at: `@${address}` }
}

upstreamTest('other names are asked for elsewhere', async (t, { client, dns, state, at }) => {
  t.same(await short(client, at, 'www.example.com'), ['192.0.2.80'], 'though the first one is not there')
  const whole = await dig(client, at, 'WWW.example.com')
  t.match(whole, /flags: qr rd ra;/)
  t.match(whole, /\n;WWW\.example\.com\./, 'the question as it was asked')
  t.match(await dig(client, at, 'nope.example.com'), /status: NXDOMAIN/)
  t.same(await short(client, at, 'long.example.com'), ['192.0.2.80'], 'over TCP where it was cut')
  t.same(await short(client, at, '+tcp', 'www.example.com'), ['192.0.2.80'])
  t.same(
    await short(client, at, '-x', '192.0.2.80'),
    ['host.example.com.'],
    'addresses that are no service have names there',
  )
  t.same(await short(client, at, '-x', '10.96.0.7'), ['web.default.svc.cluster.local.'])
  dns.model.upsert(service('ext', { type: 'ExternalName', externalName: 'www.example.com' }))
  t.same(await short(client, at, 'ext.default.svc.cluster.local'), ['www.example.com.', '192.0.2.80'])
  dns.model.upsert(service('lost', { type: 'ExternalName', externalName: 'nope.example.com' }))
  t.match(
    await dig(client, at, 'lost.default.svc.cluster.local'),
    /status: NXDOMAIN[^]*CNAME\s+nope\.example\.com\./,
  )
  t.match(await dig(client, at, '+norecurse', 'www.example.com'), /status: REFUSED/)
  const { asked } = state
  t.match(await dig(client, at, 'nope.default.svc.cluster.local'), /status: NXDOMAIN/)
  t.equal(state.asked, asked, 'our own names are not')
  state.isRefusing = true
  t.match(await dig(client, at, 'www.example.com'), /status: REFUSED/)
  state.isRefusing = false
  state.isSilent = true
  t.match(await dig(client, at, 'www.example.com'), /status: SERVFAIL/)
  t.match(await dig(client, at, 'ext.default.svc.cluster.local'), /status: SERVFAIL/)
  t.same(await short(client, at, 'web.default.svc.cluster.local'), ['10.96.0.7'], 'nobody holds us up')
})

kernelTest('TCP: many queries on a connection, and no more connections than are allowed', {}, async (t) => {
  const tcp = { mostConnectionsPerClient: 2, idleMilliseconds: 300 }
  const dns = await DnsServer.start({ listen: [{ address: '127.0.0.1', port: 0 }], tcp })
  try {
    dns.model.upsert(web)
    const place = dns.addresses[0]!
    const queries = Array.from({ length: 500 }, (_, id) =>
      queryBytes('web.default.svc.cluster.local', 'A', { id }),
    )
    const answers = await overTcp(place, queries)
    t.same(
      answers.map((answer) => answer.readUInt16BE(0)).sort((a, b) => a - b),
      [...queries.keys()],
    )
    t.ok(answers.every((answer) => decode(answer).answers?.length === 1))
    // Byte by byte, and then the client has no more to say.
    const slow = connect(place.port, place.address)
    slow.setNoDelay(true)
    const message = Buffer.concat([Buffer.from([0, queries[7]!.length]), queries[7]!])
    for (const byte of message) slow.write(Uint8Array.of(byte))
    slow.end()
    const [answer] = (await once(slow, 'data')) as [Buffer]
    t.equal(answer.readUInt16BE(2), 7)
    await once(slow, 'close')
    // Idle ones are ended; a third is not let in.
    const [first, second] = [connect(place.port, place.address), connect(place.port, place.address)]
    await Promise.all([once(first, 'connect'), once(second, 'connect')])
    const third = connect(place.port, place.address)
    third.on('error', () => undefined)
    const begun = performance.now()
    await once(third, 'close')
    t.ok(performance.now() - begun < 290, 'at once')
    await Promise.all([once(first.resume(), 'close'), once(second.resume(), 'close')])
    t.equal(dns.counts.ended, 3)
    // What is no DNS is ended, too.
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 3, 1, 2, 3])]) {
      const stranger = connect(place.port, place.address)
      stranger.on('error', () => undefined)
      stranger.write(bytes)
      await once(stranger.resume(), 'close')
    }
    t.equal(dns.counts.ended, 5)
    t.equal((await overTcp(place, [queries[0]!])).length, 1, 'and others are answered')
    t.equal(dns.counts.failed, 0)
  } finally {
    await dns.close()
  }
})

kernelTest('answers over UDP are limited for a network, and who is cut comes by TCP', {}, async (t) => {
  const rateLimit = { responsesPerSecond: 0.001, burst: 3, slip: 1 }
  await using dns = await DnsServer.start({ listen: [{ address: '127.0.0.1', port: 0 }], rateLimit })
  dns.model.upsert(web)
  const place = dns.addresses[0]!
  const message = queryBytes('web.default.svc.cluster.local', 'A', { udpBytes: 1232 })
  const ask = async () => {
    const bytes = await overUdp(place, message)
    const { flag_tc: isCut, answers } = decode(bytes)
    return { isCut, count: answers?.length, bytes: bytes.length }
  }
  for (let time = 0; time < 3; time++) t.match(await ask(), { isCut: false, count: 1 })
  t.match(await ask(), { isCut: true, count: 0, bytes: message.length - 11 })
  t.match(decode(await overUdp(place, queryBytes('nope.default.svc.cluster.local', 'A'))), {
    rcode: 'NXDOMAIN',
  })
  t.equal(decode((await overTcp(place, [message]))[0]!).answers?.length, 1)
  t.equal(dns.counts.limited, 1)
})

kernelTest('a server says where it cannot listen', {}, async (t) => {
  await using dns = await DnsServer.start({ listen: [{ address: '127.0.0.1', port: 0 }] })
  const { port } = dns.addresses[0]!
  await t.rejects(DnsServer.start({ listen: [{ address: '127.0.0.1', port }] }), { code: 'EADDRINUSE' })
  await t.rejects(DnsServer.start({ listen: [{ address: '192.0.2.1', port: 0 }] }), { code: 'EADDRNOTAVAIL' })
  await t.rejects(DnsServer.start({ listen: [{ address: '0.0.0.0', port: 0 }] }), /listen\[0\]\.address/)
  await t.rejects(DnsServer.start({ listen: [{ address: 'localhost', port: 0 }] }), /listen\[0\]\.address/)
  await t.rejects(DnsServer.start({ upstreams: ['dns.example.com'] }), /upstreams\[0\]/)
})

kernelTest('it answers for a model that somebody else takes changes from', {}, async (t) => {
  const model = new ServiceModel()
  model.upsert(web)
  model.take()
  await using dns = await DnsServer.start({ model, listen: [{ address: '127.0.0.1', port: 0 }] })
  const count = async (name: string) =>
    decode(await overUdp(dns.addresses[0]!, queryBytes(`${name}.default.svc.cluster.local`, 'A'))).answers
      ?.length
  t.equal(await count('web'), 1, 'what was there before')
  model.upsert(service('other', { clusterIP: '10.96.0.8' }))
  t.same(model.take().services, ['default/other'])
  t.equal(await count('other'), 1)
  model.delete({ kind: 'Service', name: 'other' })
  t.same(model.take().services, ['default/other'])
  t.equal(await count('other'), 0)
})

kernelTest('a connection on which somebody asks is not idle', {}, async (t) => {
  const tcp = { idleMilliseconds: 3000 }
  await using dns = await DnsServer.start({ listen: [{ address: '127.0.0.1', port: 0 }], tcp })
  const { port, address } = dns.addresses[0]!
  const socket = connect(port, address)
  const query = queryBytes('svc.cluster.local', 'A')
  for (let time = 0; time < 3; time++) {
    if (time > 0) await new Promise((resolve) => setTimeout(resolve, 1700))
    socket.write(Buffer.concat([Uint8Array.of(0, query.length), query]))
    await once(socket, 'data')
  }
  t.equal(dns.counts.tcp, 3, 'more than three seconds after it was made')
  socket.destroy()
})

kernelTest('many are asked elsewhere at once, and a connection waits for its turn', {}, async (t) => {
  const warnings: string[] = []
  const warn = (warning: Error) => void warnings.push(warning.message)
  process.on('warning', warn)
  await using world = await DnsServer.start({
    zones: ['example.com'],
    listen: [{ address: '127.0.0.1', port: 0 }],
  })
  world.model.upsert(web)
  const upstreams = [`127.0.0.1:${world.addresses[0]!.port}`]
  await using dns = await DnsServer.start({
    listen: [{ address: '127.0.0.1', port: 0 }],
    upstreams,
    tcp: { mostPipelined: 8 },
  })
  const place = dns.addresses[0]!
  const queries = Array.from({ length: 200 }, (_, id) =>
    queryBytes('web.default.svc.example.com', 'A', { id }),
  )
  const overOne = await overTcp(place, queries)
  t.equal(new Set(overOne.map((answer) => answer.readUInt16BE(0))).size, 200)
  t.ok(overOne.every((answer) => decode(answer).answers?.length === 1))
  const overMany = await Promise.all(queries.map((query) => overUdp(place, query)))
  t.ok(overMany.every((answer) => decode(answer).answers?.length === 1))
  t.match(dns.counts, { forwarded: 400, failed: 0 })
  await new Promise(setImmediate)
  t.same(warnings, [])
  process.off('warning', warn)
})

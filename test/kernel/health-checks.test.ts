/** Every kind of check against real servers that pass, fail, hang, reset, talk garbage and show bad certificates. */
import { createServer as createHttp2Server, createSecureServer, type Http2Server } from 'node:http2'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { foldedComplement, sum16 } from '../../src/address/index.js'
import { type Check, type CheckResult, HealthMonitor } from '../../src/health/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import {
  authority,
  clientCertificate,
  clientKey,
  expiredCertificate,
  futureCertificate,
  ownCertificate,
  serverCertificate,
  serverKey,
} from './support/certificates.js'

interface Place {
  readonly client: Host
  readonly server: Host
  /** What the first check says: `passed`, `failed wrong-answer`, `not-run no-route`. */
  readonly say: (port: number, check: Check, address?: string) => Promise<string>
  /** The same in its parts. */
  readonly explain: (port: number, check: Check, address?: string) => Promise<Explained>
}

interface Explained {
  readonly outcome: CheckResult['outcome']
  readonly reason: string | undefined
  readonly message: string
  readonly share: number | undefined
}

let nextPort = 5000

function checkTest(name: string, work: (t: Test, place: Place) => Promise<void>): void {
  kernelTest(name, {}, async (t, sandbox) => {
    const net = await sandbox({ hosts: ['client', 'server'], links: [['client', 'server']] })
    const { client, server } = net.hosts
    const monitor = new HealthMonitor()
    try {
      const explain = async (port: number, check: Check, address = server.address): Promise<Explained> => {
        const key = `${name} ${nextPort++}`
        const rules = {
          timeoutMilliseconds: 400,
          intervalMilliseconds: 60_000,
          transitionIntervalMilliseconds: 60_000,
        }
        const events = monitor.events()
        monitor.set(key, {
          servers: [{ address, port, weight: 1 }],
          check: check.kind === 'own' ? check : { ...check, netns: client.netns },
          rules,
        })
        for await (const event of events) {
          if (event.event !== 'resynchronise' && event.service === key) break
        }
        const { result } = monitor.health(key)!.servers[0]!.last!
        monitor.delete(key)
        const { outcome } = result
        return outcome === 'passed'
          ? { outcome, reason: undefined, message: '', share: result.share }
          : { outcome, reason: result.reason, message: result.message, share: undefined }
      }
      const say = async (...asked: Parameters<typeof explain>): Promise<string> => {
        const { outcome, reason, share } = await explain(...asked)
        return [outcome, reason, share].filter((part) => part !== undefined).join(' ')
      }
      await work(t, { client, server, say, explain })
    } finally {
      monitor.close()
    }
  })
}

/** Servers that are none, for any protocol over TCP. */
async function badServers(server: Host) {
  const quiet = await server.serveTcp(() => undefined)
  const resets = await server.serveTcp((socket) => socket.on('data', () => socket.resetAndDestroy()))
  const ends = await server.serveTcp((socket) => socket.on('data', () => socket.end()))
  const babbles = await server.serveTcp((socket) => {
    socket.write(Buffer.from('\x00\x01\xff\xfe rubbish \r\n\r\n'.repeat(50), 'latin1'))
  })
  return { quiet: quiet.port, resets: resets.port, ends: ends.port, babbles: babbles.port, nobody: 9 }
}

checkTest('HTTP', async (t, { server, say }) => {
  const seen: string[] = []
  const { port } = await server.serve((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host} ${String(request.headers['x-key'])}`)
    if (request.url === '/down') response.statusCode = 503
    if (request.url === '/half') response.setHeader('x-weight', '50%')
    if (request.url === '/hang') return
    if (request.url === '/endless') {
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(8192), () => setImmediate(more))
      }
      return more()
    }
    response.end(`it is well: ${request.url}`)
  })
  t.equal(await say(port, { kind: 'http' }), 'passed')
  const check = {
    kind: 'http',
    method: 'POST',
    path: '/a?b',
    host: 'web.test',
    headers: { 'x-key': 'k' },
  } as const
  t.equal(await say(port, check), 'passed')
  t.equal(await say(port, { kind: 'http' }, server.address6), 'passed', 'over IPv6')
  t.same(seen.slice(0, 2), [`GET / ${server.address}:${port} undefined`, 'POST /a?b web.test k'])
  t.equal(await say(port, { kind: 'http', path: '/down' }), 'failed wrong-answer')
  t.equal(await say(port, { kind: 'http', path: '/down', status: [200, [500, 503]] }), 'passed')
  t.equal(await say(port, { kind: 'http', path: '/x', body: /well: .x$/ }), 'passed')
  t.equal(await say(port, { kind: 'http', path: '/x', body: 'ill' }), 'failed wrong-answer')
  t.equal(await say(port, { kind: 'http', path: '/hang' }), 'failed timed-out')
  t.equal(
    await say(port, { kind: 'http', path: '/endless', body: 'y' }),
    'failed wrong-answer',
    'no more is read than is looked at',
  )
  t.equal(await say(port, { kind: 'http', path: '/half', weightHeader: 'X-Weight' }), 'passed 0.5')
  const bad = await badServers(server)
  t.equal(await say(bad.quiet, { kind: 'http' }), 'failed timed-out')
  t.equal(await say(bad.resets, { kind: 'http' }), 'failed reset')
  t.equal(await say(bad.ends, { kind: 'http' }), 'failed reset')
  t.equal(await say(bad.babbles, { kind: 'http' }), 'failed malformed')
  t.equal(await say(bad.nobody, { kind: 'http' }), 'failed refused')
  t.throws(
    () =>
      new HealthMonitor().set('x', {
        servers: [{ address: '10.0.1.2', port: 1, weight: 1 }],
        check: { kind: 'http', path: '/ a' },
      }),
    { message: /^check\.path/ },
  )
})

checkTest('HTTPS: certificates are verified', async (t, { server, say }) => {
  const tls = { cert: serverCertificate, key: serverKey }
  const { port } = await server.serve((_, response) => response.end('ok'), { tls })
  t.equal(await say(port, { kind: 'http', tls: { ca: authority } }), 'passed', 'by its address')
  t.equal(await say(port, { kind: 'http', tls: { ca: authority, serverName: 'server.test' } }), 'passed')
  t.equal(await say(port, { kind: 'http', host: 'server.test', tls: { ca: authority } }), 'passed')
  t.equal(
    await say(port, { kind: 'http', tls: { ca: authority, serverName: 'other.test' } }),
    'failed certificate',
  )
  t.equal(await say(port, { kind: 'http', tls: true }), 'failed certificate', 'nobody known vouches for it')
  t.equal(await say(port, { kind: 'http', tls: { verify: false } }), 'passed')
  t.equal(
    await say(port, { kind: 'http', tls: { ca: authority } }, server.address6),
    'failed certificate',
    'another address',
  )
  const mutual = await server.serve((_, response) => response.end('ok'), {
    tls: { ...tls, ca: authority, requestCert: true },
  })
  const own = { cert: clientCertificate, key: clientKey }
  t.equal(await say(mutual.port, { kind: 'http', tls: { ca: authority, ...own } }), 'passed')
  t.match(await say(mutual.port, { kind: 'http', tls: { ca: authority } }), /^failed (tls|reset)$/)
  const bad = await badServers(server)
  t.equal(await say(bad.quiet, { kind: 'http', tls: true }), 'failed timed-out')
  t.equal(await say(bad.resets, { kind: 'http', tls: true }), 'failed reset')
  t.equal(await say(bad.ends, { kind: 'http', tls: true }), 'failed reset')
  t.equal(await say(bad.babbles, { kind: 'http', tls: true }), 'failed tls')
  const set = () =>
    new HealthMonitor().set('x', {
      servers: [{ address: '10.0.1.2', port: 1, weight: 1 }],
      check: { kind: 'http', tls: { cert: 'secret', key: 'secret' } },
    })
  t.throws(set, { message: /^check\.tls(?!.*secret)/ }, 'a key is not told')
})

checkTest('HTTPS: what is wrong with a certificate is said', async (t, { server, explain }) => {
  for (const [cert, trusted, message] of [
    [
      serverCertificate,
      { ca: authority, serverName: 'other.test' },
      'it is for other names (ERR_TLS_CERT_ALTNAME_INVALID)',
    ],
    [serverCertificate, {}, 'nobody who is trusted vouches for it (UNABLE_TO_VERIFY_LEAF_SIGNATURE)'],
    [expiredCertificate, { ca: expiredCertificate }, 'it has expired (CERT_HAS_EXPIRED)'],
    [futureCertificate, { ca: futureCertificate }, 'it is not valid yet (CERT_NOT_YET_VALID)'],
    [ownCertificate, {}, 'it is signed by itself (DEPTH_ZERO_SELF_SIGNED_CERT)'],
    [ownCertificate, { ca: ownCertificate }, undefined],
    [expiredCertificate, { verify: false }, undefined],
  ] as const) {
    const served = await server.serve((_, response) => response.end('ok'), {
      tls: { cert, key: serverKey },
    })
    const said = await explain(served.port, { kind: 'http', tls: trusted })
    if (message === undefined) t.equal(said.outcome, 'passed')
    else t.match(said, { outcome: 'failed', reason: 'certificate', message })
    served.close()
  }
})

/** HTTP/2 on connections of the host's own. */
async function serveHttp2(host: Host, server: Http2Server): Promise<number> {
  server.on('sessionError', () => undefined)
  return (await host.serveTcp((socket: Socket) => server.emit('connection', socket))).port
}

checkTest('HTTP/2', async (t, { server, say }) => {
  const port = await serveHttp2(
    server,
    createHttp2Server((request, response) => {
      if (request.url === '/hang') return
      if (request.url === '/cut') return response.stream.close(2)
      response.statusCode = request.url === '/down' ? 500 : 200
      response.end(`${request.method} ${request.authority}`)
    }),
  )
  t.equal(await say(port, { kind: 'http2' }), 'passed')
  t.equal(await say(port, { kind: 'http2', host: 'a.test', body: 'GET a.test' }), 'passed')
  t.equal(await say(port, { kind: 'http2', body: 'PUT' }), 'failed wrong-answer')
  t.equal(await say(port, { kind: 'http2', path: '/down' }), 'failed wrong-answer')
  t.equal(await say(port, { kind: 'http2', path: '/hang' }), 'failed timed-out')
  t.equal(await say(port, { kind: 'http2', path: '/cut' }), 'failed reset')
  const secure = createSecureServer({ cert: serverCertificate, key: serverKey }, (_, response) =>
    response.end('ok'),
  )
  const securePort = await serveHttp2(server, secure)
  t.equal(await say(securePort, { kind: 'http2', tls: { ca: authority } }), 'passed')
  t.equal(await say(securePort, { kind: 'http2', tls: true }), 'failed certificate')
  const old = await server.serve((_, response) => response.end('ok'), {
    tls: { cert: serverCertificate, key: serverKey },
  })
  t.equal(await say(old.port, { kind: 'http2', tls: { ca: authority } }), 'failed tls', 'HTTP/1.1 alone')
  const bad = await badServers(server)
  t.equal(await say(bad.quiet, { kind: 'http2' }), 'failed timed-out')
  t.equal(await say(bad.resets, { kind: 'http2' }), 'failed reset')
  t.equal(await say(bad.ends, { kind: 'http2' }), 'failed reset')
  t.equal(await say(bad.babbles, { kind: 'http2' }), 'failed malformed')
})

checkTest('gRPC health', async (t, { server, say }) => {
  const replies: Record<string, { status?: number; raw?: number[]; code?: string }> = {
    '': { status: 1 },
    sick: { status: 2 },
    gone: { code: '5' },
    garbage: { raw: [0, 0, 0, 0, 9, 8, 1] },
    compressed: { raw: [1, 0, 0, 0, 2, 8, 1] },
    newer: { raw: [0, 0, 0, 0, 7, 0x12, 3, 1, 2, 3, 8, 1] },
  }
  const health = createHttp2Server()
  const asked: string[] = []
  health.on('stream', (stream, headers) => {
    const parts: Buffer[] = []
    stream.on('error', () => undefined)
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('end', () => {
      const request = Buffer.concat(parts)
      asked.push(`${headers[':path']} ${headers['content-type']} ${request.toString('hex')}`)
      const reply = replies[request.subarray(7).toString()]!
      const trailers = { 'grpc-status': reply.code ?? '0' }
      if (reply.code !== undefined) {
        return stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', ...trailers },
          { endStream: true },
        )
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers(trailers))
      stream.end(Uint8Array.from(reply.raw ?? [0, 0, 0, 0, 2, 8, reply.status!]))
    })
  })
  const port = await serveHttp2(server, health)
  t.equal(await say(port, { kind: 'grpc' }), 'passed')
  t.equal(await say(port, { kind: 'grpc', service: 'sick' }), 'failed not-serving')
  t.equal(await say(port, { kind: 'grpc', service: 'gone' }), 'failed not-serving')
  t.equal(await say(port, { kind: 'grpc', service: 'garbage' }), 'failed malformed')
  t.equal(await say(port, { kind: 'grpc', service: 'compressed' }), 'failed malformed')
  t.equal(
    await say(port, { kind: 'grpc', service: 'newer' }),
    'passed',
    'fields that are not known are skipped',
  )
  t.same(asked.slice(0, 2), [
    '/grpc.health.v1.Health/Check application/grpc 0000000000',
    '/grpc.health.v1.Health/Check application/grpc 00000000060a047369636b',
  ])
  const plain = await serveHttp2(
    server,
    createHttp2Server((_, response) => response.end('hello')),
  )
  t.equal(await say(plain, { kind: 'grpc' }), 'failed wrong-answer')
  const bad = await badServers(server)
  t.equal(await say(bad.babbles, { kind: 'grpc' }), 'failed malformed')
  t.equal(await say(bad.quiet, { kind: 'grpc' }), 'failed timed-out')
})

checkTest('UDP', async (t, { client, server, say }) => {
  const { port } = await server.serveUdp((bytes, _, reply) => {
    if (bytes.length > 0) reply(Buffer.from(`echo ${Buffer.from(bytes).toString()}`))
  })
  t.equal(await say(port, { kind: 'udp', payload: 'ping' }), 'passed')
  t.equal(await say(port, { kind: 'udp', payload: 'ping' }, server.address6), 'passed')
  t.equal(await say(port, { kind: 'udp', payload: 'ping', answer: 'echo ping' }), 'passed')
  t.equal(await say(port, { kind: 'udp', payload: 'ping', answer: /^echo p/ }), 'passed')
  t.equal(await say(port, { kind: 'udp', payload: 'ping', answer: Uint8Array.of(0) }), 'failed wrong-answer')
  t.equal(await say(port, { kind: 'udp' }), 'failed timed-out')
  t.equal(await say(port, { kind: 'udp', silence: 'passes' }), 'passed')
  t.equal(await say(9, { kind: 'udp', silence: 'passes' }), 'failed refused')
  t.equal(await say(9, { kind: 'udp', localAddress: '192.0.2.7' }), 'not-run no-address')
  await client.rtnetlink.routes.add({ destination: '203.0.113.0/24', type: 'prohibit' })
  t.equal(await say(9, { kind: 'udp' }, '203.0.113.1'), 'not-run no-permission')
})

checkTest('DNS', async (t, { server, say }) => {
  /** By the first label: flags, and records as type and data. */
  const zone: Record<
    string,
    { flags?: number; records?: [number, number[]][]; change?: (bytes: Buffer) => Buffer }
  > = {
    good: {
      records: [
        [5, [0]],
        [1, [192, 0, 2, 1]],
      ],
    },
    six: { records: [[28, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]] },
    empty: {},
    nx: { flags: 0x8183 },
    cut: { records: [[1, [192, 0, 2, 1]]], change: (bytes) => bytes.subarray(0, -2) },
    stranger: {
      records: [[1, [192, 0, 2, 1]]],
      change: (bytes) => (bytes.writeUInt16BE(bytes.readUInt16BE() ^ 1), bytes),
    },
    other: { records: [[1, [192, 0, 2, 1]]], change: (bytes) => (bytes.write('x', 13), bytes) },
    loop: {
      records: [[1, [192, 0, 2, 1]]],
      change: (bytes) => Buffer.concat([bytes.subarray(0, 12), Buffer.from([0xc0, 12]), bytes.subarray(14)]),
    },
    noise: { change: () => Buffer.from('no DNS') },
  }
  const answerTo = (bytes: Uint8Array): Buffer => {
    const query = Buffer.from(bytes)
    const {
      flags = 0x8180,
      records = [],
      change = (one: Buffer) => one,
    } = zone[query.subarray(13, 13 + query[12]!).toString()]!
    const head = Buffer.from(query)
    head.writeUInt16BE(flags, 2)
    head.writeUInt16BE(records.length, 6)
    const answers = records.map(([type, data]) =>
      Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 5, 0, data.length, ...data]),
    )
    return change(Buffer.concat([head, ...answers]))
  }
  const { port } = await server.serveUdp((bytes, _, reply) => reply(answerTo(bytes)))
  const ask = (name: string, more: object = {}) => say(port, { kind: 'dns', name: `${name}.test`, ...more })
  t.equal(await ask('good'), 'passed')
  t.equal(await ask('good', { addresses: ['192.0.2.9', '192.0.2.1'] }), 'passed')
  t.equal(await ask('good', { addresses: ['192.0.2.9'] }), 'failed wrong-answer')
  t.equal(await ask('good', { type: 'AAAA' }), 'failed wrong-answer')
  t.equal(await ask('six', { type: 'AAAA', addresses: ['2001:db8:0::1'] }), 'passed')
  t.equal(await ask('empty'), 'failed wrong-answer')
  t.equal(await ask('nx'), 'failed wrong-answer')
  t.equal(await ask('nx', { responseCode: 'NXDOMAIN' }), 'passed')
  t.equal(await ask('cut'), 'failed malformed')
  t.equal(await ask('other'), 'failed malformed')
  t.equal(await ask('loop'), 'failed malformed')
  t.equal(await ask('noise'), 'failed malformed')
  t.equal(await ask('stranger'), 'failed timed-out', 'another identifier is not believed')
  t.equal(await say(9, { kind: 'dns', name: 'a.test' }), 'failed refused')

  // What does not fit into a datagram is asked for over TCP.
  zone['long'] = { flags: 0x8380, records: [[1, [192, 0, 2, 1]]], change: (bytes) => bytes.subarray(0, -4) }
  t.equal(await ask('long'), 'failed refused', 'nobody listens there')
  let overTcp = 0
  const { port: tcpPort } = await server.serveTcp(
    (socket) => {
      socket.on('data', (part: Buffer) => {
        overTcp++
        t.equal(part.readUInt16BE(), part.length - 2)
        const name = part.subarray(15, 15 + part[14]!).toString()
        if (name === 'hang') return
        const answer = name === 'ends' ? Buffer.from('cut') : answerTo(part.subarray(2))
        const length = Buffer.alloc(2)
        length.writeUInt16BE(name === 'ends' ? 100 : answer.length)
        // In pieces.
        socket.write(length.subarray(0, 1))
        setImmediate(() => {
          socket.write(Buffer.concat([length.subarray(1), answer.subarray(0, 20)]))
          if (name === 'ends') return socket.end()
          setImmediate(() => socket.write(answer.subarray(20)))
        })
      })
    },
    { port },
  )
  t.equal(tcpPort, port)
  zone['long'] = { ...zone['long'], change: (bytes) => bytes }
  t.equal(await ask('long', { addresses: ['192.0.2.1'] }), 'passed')
  t.equal(overTcp, 1)
  t.equal(await ask('good'), 'passed')
  t.equal(overTcp, 1, 'what fits is not asked for again')
  const tcp = { transport: 'tcp' } as const
  t.equal(await ask('good', tcp), 'passed')
  t.equal(await ask('nx', tcp), 'failed wrong-answer')
  t.equal(await ask('cut', tcp), 'failed malformed')
  t.equal(await ask('stranger', tcp), 'failed malformed', 'nobody else can have sent that')
  t.equal(await ask('hang', tcp), 'failed timed-out')
  t.equal(await ask('ends', tcp), 'failed reset')
  t.equal(overTcp, 7)
  t.equal(await say(9, { kind: 'dns', name: 'a.test', ...tcp }), 'failed refused')
})

checkTest('ping', async (t, { client, server, say }) => {
  t.equal(await say(0, { kind: 'ping' }), 'passed')
  t.equal(await say(0, { kind: 'ping' }, server.address6), 'passed')
  server.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
  t.equal(await say(0, { kind: 'ping' }), 'failed timed-out')
  await client.rtnetlink.routes.add({ destination: '203.0.113.0/24', type: 'unreachable' })
  t.equal(await say(0, { kind: 'ping' }, '203.0.113.1'), 'not-run no-route')
  t.equal(await say(0, { kind: 'ping', localAddress: '192.0.2.7' }), 'not-run no-address')
})

for (const [socket, range] of [
  ['raw', '1 0'],
  ['ping', '0 2147483647'],
] as const) {
  checkTest(`ping: what ICMP says of it decides at once (${socket} sockets)`, async (t, place) => {
    const { client, server, explain } = place
    client.sysctl('net.ipv4.ping_group_range', range)
    server.sysctl('net.ipv4.ip_forward', 1)
    server.sysctl('net.ipv6.conf.all.forwarding', 1)
    // The server is a router, too: of what it says of each destination.
    const far = async (destination: string, type: 'unreachable' | 'prohibit' | 'blackhole' | 'unicast') => {
      const v6 = destination.includes(':')
      await client.rtnetlink.routes.add({ destination, gateway: v6 ? server.address6 : server.address })
      const back = { gateway: v6 ? client.address6 : client.address }
      await server.rtnetlink.routes.add({ destination, type, ...(type === 'unicast' ? back : {}) })
      return destination.replace(/\/.*/, v6 ? '1' : '')
    }
    const says = (address: string) => explain(0, { kind: 'ping' }, address)
    const told = (text: string, code: string) => (socket === 'raw' ? `ICMP: ${text}` : code)
    for (const [destination, type, text, code] of [
      ['203.0.113.1/32', 'unreachable', 'host unreachable', 'EHOSTUNREACH'],
      ['203.0.113.2/32', 'prohibit', 'communication prohibited', 'EHOSTUNREACH'],
      ['2001:db8:1::/64', 'unreachable', 'no route', 'ENETUNREACH'],
      ['2001:db8:2::/64', 'prohibit', 'communication prohibited', 'EACCES'],
    ] as const) {
      const { reason, message } = await says(await far(destination, type))
      t.equal(reason, 'unreachable', `${destination} ${type}`)
      t.match(message, told(text, code))
    }
    t.match(await says(await far('203.0.113.3/32', 'blackhole')), { reason: 'timed-out' })
    // The first router is one too many.
    client.sysctl('net.ipv4.ip_default_ttl', 1)
    client.sysctl('net.ipv6.conf.all.hop_limit', 1)
    client.sysctl('net.ipv6.conf.eth0.hop_limit', 1)
    for (const destination of ['203.0.113.4/32', '2001:db8:4::/64']) {
      const { reason, message } = await says(await far(destination, 'unicast'))
      t.equal(reason, 'unreachable', destination)
      t.match(message, told('time exceeded', 'EHOSTUNREACH'))
    }

    // Somebody else's error is not believed: it quotes a packet that is not quite the one that was sent.
    server.sysctl('net.ipv4.icmp_echo_ignore_all', 1)
    const raw = server.raw({ protocol: 1 })
    const answer = async (change: (packet: Uint8Array) => unknown) => {
      const { bytes, address } = await raw.receive()
      const packet = Uint8Array.from(bytes)
      change(packet)
      const message = new Uint8Array(8 + packet.length)
      message.set([3, 1])
      message.set(packet, 8)
      new DataView(message.buffer).setUint16(2, foldedComplement(sum16(message)))
      raw.send(message, { address })
    }
    /** Behind the IP header: type, code, checksum, identifier, sequence number, payload. */
    const changes = {
      identifier: (packet: Uint8Array) => (packet[24]! ^= 1),
      // The kernel matches ping sockets by the identifier alone.
      ...(socket === 'raw' && {
        destination: (packet: Uint8Array) => (packet[19]! ^= 1),
        payload: (packet: Uint8Array) => (packet[30]! ^= 1),
      }),
    }
    for (const [what, change] of Object.entries(changes)) {
      const [said] = await Promise.all([says(server.address), answer(change)])
      t.equal(said.reason, 'timed-out', what)
    }
    const [said] = await Promise.all([says(server.address), answer(() => undefined)])
    t.equal(said.reason, 'unreachable', 'its own is')
    raw.close()
  })
}

checkTest('agents', async (t, { server, say }) => {
  const lines = async (line: string) => {
    const { port } = await server.serveTcp((socket) => socket.end(line))
    return say(port, { kind: 'agent' })
  }
  t.equal(await lines('75%\n'), 'passed 0.75')
  t.equal(await lines('up 30%'), 'passed 0.3')
  t.equal(await lines('ready\r\n'), 'passed 1')
  t.equal(await lines('drain\n'), 'passed 0')
  t.equal(await lines('down # disk full\n'), 'failed not-serving')
  t.equal(await lines('99999%\n'), 'failed malformed')
  t.equal(await lines(''), 'failed malformed')
  t.equal(await lines('x'.repeat(100_000)), 'failed malformed')
  const echo = await server.serveTcp((socket) => socket.pipe(socket))
  t.equal(await say(echo.port, { kind: 'agent', send: '10%\n' }), 'passed 0.1')
})

checkTest('functions of the user', async (t, { say }) => {
  const own = (run: () => unknown) => say(1, { kind: 'own', run: run as () => boolean })
  t.equal(await own(() => undefined), 'passed')
  t.equal(await own(() => Promise.resolve(true)), 'passed')
  t.equal(await own(() => false), 'failed own')
  t.equal(await own(() => ({ outcome: 'passed', share: 0.2 })), 'passed 0.2')
  t.equal(await own(() => ({ outcome: 'passed', share: -1 })), 'not-run error')
  t.equal(await own(() => 'yes'), 'not-run error')
  t.equal(await own(() => Promise.reject(new Error('no'))), 'failed own')
  t.equal(await own(() => new Promise(() => undefined)), 'failed timed-out')
})

checkTest(
  'TCP: whole and half handshakes, from an address, through another one, with a mark',
  async (t, { client, server, say }) => {
    const seen: (string | undefined)[] = []
    const { port } = await server.serveTcp((socket) => seen.push(socket.remoteAddress))
    t.equal(await say(port, { kind: 'tcp' }), 'passed')
    t.equal(await say(port, { kind: 'tcp' }, server.address6), 'passed')
    await client.rtnetlink.addresses.add({ device: 'eth0', address: '10.0.1.77/32' })
    t.equal(await say(port, { kind: 'tcp', handshake: 'full', localAddress: '10.0.1.77' }), 'passed')
    t.equal(
      await say(1, { kind: 'tcp', address: server.address, port, handshake: 'full' }, '203.0.113.9'),
      'passed',
    )
    // Of half ones the server's program has heard nothing; the whole ones came, in their order.
    for (let turn = 0; seen.length < 2 && turn < 1000; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    t.same(seen, ['10.0.1.77', client.address])
    t.equal(await say(port, { kind: 'tcp', localAddress: '192.0.2.7' }), 'not-run no-address')
    t.equal(await say(port, { kind: 'tcp', device: 'nope0' }), 'not-run error')
    t.equal(await say(port, { kind: 'tcp', device: 'eth0' }), 'passed')
    // The mark chooses a way that leads nowhere.
    await client.rtnetlink.routes.add({ destination: '0.0.0.0/0', type: 'unreachable', table: 77 })
    await client.rtnetlink.rules.add({ family: 'ipv4', priority: 1, firewallMark: 7, table: 77 })
    t.equal(await say(port, { kind: 'tcp', mark: 7 }), 'not-run no-route')
    t.equal(await say(port, { kind: 'tcp', mark: 8 }), 'passed')
  },
)

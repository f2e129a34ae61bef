/** What a kernel cannot be made to do: be older than this one, lose its module, answer nonsense. */
import t from 'tap'
import { Ipvs, type IpvsOperation, IpvsService, isKernelError, isUnsupportedError } from '../../src/index.js'
import { command, top } from '../../src/ipvs/wire.js'
import { type FakeAnswer, FakeKernel, fakeReply, type FakeRequest } from '../../src/testing/index.js'

const web = { protocol: 'tcp', address: '192.0.2.1', port: 80 } as const

function kernel(handle: (request: FakeRequest) => FakeAnswer): FakeKernel {
  return new FakeKernel({ families: [{ name: 'IPVS', handle }] })
}

const rates = {
  connectionsPerSecond: 1,
  incomingPacketsPerSecond: 2,
  outgoingPacketsPerSecond: 3,
  incomingBytesPerSecond: 4,
  outgoingBytesPerSecond: 5,
}
const counters = {
  connections: 4_294_967_295n,
  incomingPackets: 1n,
  outgoingPackets: 2n,
  incomingBytes: 2n ** 40n,
  outgoingBytes: 3n,
}
const service = {
  family: 'ipv4',
  ...web,
  scheduler: 'rr',
  flags: { flags: 2, mask: 0xffffffff },
  persistenceTimeoutSeconds: 0,
  persistenceNetmask: 32,
}

/** IPVS_SVC_ATTR_STATS as kernels before 4.1 send it, alone. */
function oldStatistics(): Uint8Array {
  const bytes = new Uint8Array(3 * 8 + 2 * 12 + 5 * 8)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [number, value] of [...Object.values(counters), ...Object.values(rates)].entries()) {
    const wide = number === 3 || number === 4
    view.setUint16(at, wide ? 12 : 8, true)
    view.setUint16(at + 2, number + 1, true)
    if (wide) view.setBigUint64(at + 4, BigInt(value), true)
    else view.setUint32(at + 4, Number(value), true)
    at += wide ? 12 : 8
  }
  return bytes
}

void t.test('a kernel before 4.1 has 32-bit statistics alone', async (t) => {
  const fake = kernel(() => [
    fakeReply(top, { service: { ...service, unknown: [{ type: 10, bytes: oldStatistics() }] } }),
  ])
  const ipvs = await Ipvs.open({ transport: fake })
  t.match((await ipvs.service(web))?.statistics, { ...counters, ...rates })
  ipvs.close()
  t.ok(fake.closed)
})

void t.test('a kernel that has both is read by the 64-bit ones', async (t) => {
  const fake = kernel(() => [
    fakeReply(top, {
      service: {
        ...service,
        unknown: [{ type: 10, bytes: oldStatistics() }],
        statistics: { ...counters, ...rates, connections: 2n ** 33n },
      },
    }),
  ])
  const ipvs = await Ipvs.open({ transport: fake })
  t.equal((await ipvs.service(web))?.statistics.connections, 2n ** 33n)
  ipvs.close()
})

void t.test(
  'no IPVS in the kernel is an error that says what it needs, and closes what was opened',
  async (t) => {
    const fake = new FakeKernel({ families: [{ name: 'other', handle: () => undefined }] })
    await t.rejects(Ipvs.open({ transport: fake }), { name: 'UnsupportedError', needs: /modprobe ip_vs/ })
    t.ok(fake.closed)
    t.ok(
      isUnsupportedError(
        await Ipvs.open({
          transport: new FakeKernel({ families: [{ name: 'x', handle: () => undefined }] }),
        }).catch((error: unknown) => error),
      ),
    )
  },
)

void t.test(
  'a family whose number is stale is resolved anew, for one command, a dump and a batch',
  async (t) => {
    const fake = kernel((request) => (request.isDump ? [] : undefined))
    const ipvs = await Ipvs.open({ transport: fake })
    fake.reload('IPVS')
    await ipvs.createService(web)
    fake.reload('IPVS')
    t.same(await ipvs.services(), [])
    fake.reload('IPVS')
    const outcome = await ipvs.apply([{ operation: 'createService', service: web }])
    t.match(outcome, { applied: 1, failures: [] })
    const created = fake.requests.filter(
      (request) => request.family === 'IPVS' && request.command === command.newService,
    )
    t.equal(created.length, 2, 'each was done once')
    fake.unload('IPVS')
    await t.rejects(ipvs.createService(web), { code: 'ENOENT' })
    ipvs.close()
  },
)

void t.test('ENOENT of a destination is not taken for a stale number', async (t) => {
  let calls = 0
  const fake = kernel(() => {
    calls++
    return { code: 'ENOENT' }
  })
  const ipvs = await Ipvs.open({ transport: fake })
  await t.rejects(ipvs.deleteDestination(web, { address: '10.0.0.1' }), {
    code: 'ENOENT',
    hint: /no such destination/,
  })
  t.equal(calls, 1, 'it was sent once')
  ipvs.close()
})

void t.test(
  'a family number below the controller’s is refused: requests of type 0 are acknowledged and do nothing',
  async (t) => {
    const fake = kernel(() => undefined)
    fake.disturb({
      replies: (bytes) => {
        const copy = bytes.slice()
        // CTRL_ATTR_FAMILY_ID, wherever it stands.
        for (let at = 0; at + 6 < copy.length; at += 2) {
          if (copy[at] === 6 && copy[at + 1] === 0 && copy[at + 2] === 1 && copy[at + 3] === 0)
            copy.fill(0, at + 4, at + 6)
        }
        return copy
      },
    })
    await t.rejects(Ipvs.open({ transport: fake }), {
      name: 'MalformedMessageError',
      message: /no number for family/,
    })
  },
)

void t.test('a batch names each bad operation, ours and the kernel’s, and applies the others', async (t) => {
  const fake = kernel((request) => {
    const { destination } = request.decode(top)
    return destination?.weight === 13 ? { code: 'ERANGE' } : undefined
  })
  const ipvs = await Ipvs.open({ transport: fake })
  function* operations(): Generator<IpvsOperation> {
    for (let index = 0; index < 5000; index++) {
      const weight = index % 1000 === 7 ? 13 : index % 1000 === 8 ? -1 : 1
      yield {
        operation: 'createDestination',
        service: web,
        destination: { address: `10.0.${index >> 8}.${index & 255}`, weight },
      }
    }
  }
  const outcome = await ipvs.apply(operations())
  t.equal(outcome.applied, 4990)
  t.same(
    outcome.failures.map(({ index }) => index),
    [7, 8, 1007, 1008, 2007, 2008, 3007, 3008, 4007, 4008],
  )
  t.match(outcome.failures[0], {
    operation: 'ipvs.createDestination',
    object: { service: web, destination: { address: '10.0.0.7' } },
    error: { code: 'ERANGE', hint: /weight/ },
  })
  t.match(outcome.failures[1]?.error, { path: 'destination.weight', value: -1 })
  ipvs.close()
})

void t.test('an abort in the middle of a batch tells what was applied and what was never sent', async (t) => {
  const abort = new AbortController()
  const fake = kernel(() => undefined)
  const ipvs = await Ipvs.open({ transport: fake })
  function* operations(): Generator<IpvsOperation> {
    for (let index = 0; index < 10_000; index++) {
      if (index === 3000) abort.abort()
      yield {
        operation: 'deleteDestination',
        service: web,
        destination: { address: `10.0.${index >> 8}.${index & 255}` },
      }
    }
  }
  const outcome = await ipvs.apply(operations(), { signal: abort.signal })
  t.ok(outcome.applied > 0 && outcome.notSent > 0)
  t.ok(outcome.applied + outcome.notSent > 3000, 'of a generator those that it was asked for')
  await t.rejects(ipvs.apply(operations(), { signal: abort.signal }), { name: 'AbortError' })
  ipvs.close()
})

void t.test('what the kernel lost of a batch is called unknown, not applied', async (t) => {
  const fake = kernel(() => undefined)
  const ipvs = await Ipvs.open({ transport: fake })
  fake.disturb(undefined, { lost: 1 })
  const outcome = await ipvs.apply([
    { operation: 'createService', service: web },
    { operation: 'createService', service: { ...web, port: 81 } },
  ])
  t.equal(outcome.applied, 0)
  t.same(
    outcome.failures.map(({ error }) => isKernelError(error) && error.code),
    ['ENOBUFS', 'ENOBUFS'],
  )
  ipvs.close()
})

void t.test('attributes of a newer kernel survive, through an update, too', async (t) => {
  const unknown = [{ type: 99, bytes: Uint8Array.of(1, 2, 3) }]
  const destination = {
    address: '10.0.0.1',
    family: 'ipv4',
    port: 80,
    forwardingMethod: 'tunnel',
    tunnelType: 'ipip',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: { ...counters, ...rates },
    unknown,
  }
  const sent: unknown[] = []
  const fake = kernel((request) => {
    if (request.command === command.getService) {
      return [fakeReply(top, { service: { ...service, statistics: { ...counters, ...rates }, unknown } })]
    }
    if (request.command === command.getDestination) return [fakeReply(top, { destination })]
    const { service: changedService, destination: changed } = request.decode(top)
    sent.push(changed?.unknown ?? changedService?.unknown)
    return undefined
  })
  const ipvs = await Ipvs.open({ transport: fake })
  const found = await IpvsService.find(web, { ipvs })
  t.match(await found?.servers.list(), [{ unknown }])
  await found?.servers.update({ address: '10.0.0.1', weight: 5 })
  await found?.update({ scheduler: 'wlc' })
  t.same(sent, [unknown, unknown])
  ipvs.close()
})

void t.test('a service of a protocol that is not known here is listed like others', async (t) => {
  const foreign = { ...service, protocol: '50', statistics: { ...counters, ...rates } }
  const asked: unknown[] = []
  const fake = kernel((request) => {
    if (request.command === command.getService) {
      return [foreign, { ...foreign, protocol: 'tcp' }].map((service) => fakeReply(top, { service }))
    }
    asked.push(request.decode(top).service?.protocol)
    return []
  })
  const ipvs = await Ipvs.open({ transport: fake })
  t.match(await ipvs.list(), [{ service: { protocol: '50' } }, { service: { protocol: 'tcp' } }])
  t.same(asked, ['50', 'tcp'])
  ipvs.close()
})

void t.test('a sync daemon that could not do what is asked is refused', async (t) => {
  const fake = kernel(() => undefined)
  const ipvs = await Ipvs.open({ transport: fake })
  const daemon = { state: 'backup', interface: 'eth0' } as const
  const groups = { multicastGroup: '224.0.0.81', multicastGroup6: 'ff02::81' }
  await t.rejects(ipvs.startDaemon({ ...daemon, syncId: 256 }), /daemon\.syncId/)
  await t.rejects(ipvs.startDaemon({ ...daemon, syncId: -1 }), /daemon\.syncId/)
  await t.rejects(ipvs.startDaemon({ ...daemon, ...groups }), /daemon\.multicastGroup6/)
  await ipvs.startDaemon({ ...daemon, syncId: 255 })
  const started = fake.requests.filter((request) => request.command === command.newDaemon)
  t.equal(started.length, 1)
  ipvs.close()
})

void t.test(
  'a service is changed off the event loop: another scheduler is waited for in the kernel',
  async (t) => {
    const fake = kernel(() => undefined)
    const here: number[] = []
    const ipvs = await Ipvs.open({
      transport: {
        exchangeSync(request, length, kind, deadline) {
          here.push(request[16]!)
          return fake.exchangeSync!(request, length, kind, deadline)
        },
        exchange: (request, length, kind, deadline) => fake.exchange(request, length, kind, deadline),
        close: () => fake.close(),
      },
    })
    await Promise.all([
      ipvs.createService(web),
      ipvs.setService({ ...web, scheduler: 'rr' }),
      ipvs.deleteService(web),
    ])
    t.same(
      fake.requests.slice(-3).map((request) => request.command),
      [command.newService, command.setService, command.deleteService],
      'in the order that they were asked for',
    )
    t.ok(here.includes(command.newService))
    t.notOk(here.includes(command.setService))
    ipvs.close()
  },
)

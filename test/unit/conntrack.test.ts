/** What is put into requests for flows, and what becomes of answers that no real kernel can be made to give. */
import t, { type Test } from 'tap'
import { Conntrack, type Flow, type FlowFilter } from '../../src/conntrack/index.js'
import { tables as tuples } from '../../src/conntrack/tuple.js'
import { conntrack as table, globalStatistics } from '../../src/conntrack/wire.js'
import { isBatchError } from '../../src/errors/index.js'
import { attribute, attributeTable, nested } from '../../src/netlink/index.js'
import { type FakeAnswer, FakeKernel, fakeReply, type FakeRequest } from '../../src/testing/index.js'

const [newFlow, getFlow, deleteFlow, getUsage] = [0x100, 0x101, 0x102, 0x105]
const attributesAt = 20

/** Tuples of a filter are incomplete: as they stand on the wire. */
const filterTable = attributeTable('CTA', {
  ...table.rows,
  original: attribute(1, 'CTA_TUPLE_ORIG', nested(tuples.tuple)),
  reply: attribute(2, 'CTA_TUPLE_REPLY', nested(tuples.tuple)),
})

const tuple = (sourcePort: number) =>
  ({
    protocol: 'tcp',
    source: '10.0.0.1',
    destination: '10.0.0.2',
    sourcePort,
    destinationPort: 80,
  }) as const

/** As the kernel tells a flow: `struct nfgenmsg` with the family in its first byte, then attributes. */
function told(record: object, family = 2) {
  return { type: newFlow, payload: Uint8Array.of(family, 0, 0, 0, ...fakeReply(table, record).payload) }
}

function flow(sourcePort: number, id = sourcePort) {
  return told({ original: tuple(sourcePort), reply: tuple(sourcePort), id })
}

async function open(t: Test, handle: (request: FakeRequest) => FakeAnswer) {
  const kernel = new FakeKernel({
    handle: (request) =>
      request.type === getUsage
        ? [
            {
              type: getUsage,
              payload: Uint8Array.of(0, 0, 0, 0, ...fakeReply(globalStatistics, { entries: 5 }).payload),
            },
          ]
        : handle(request),
  })
  const conntrack = await Conntrack.open({ transport: kernel })
  t.teardown(() => conntrack.close())
  kernel.requests.length = 0
  return { kernel, conntrack }
}

t.test('the kernel is asked for what it can choose by, and never for what it does wrong', async (t) => {
  const { kernel, conntrack } = await open(t, () => [])
  const asked = async (filter: FlowFilter): Promise<readonly [family: number, record: object]> => {
    kernel.requests.length = 0
    await conntrack.list(filter)
    const [request] = kernel.requests
    return [request!.payload[0]!, request!.decode(filterTable, attributesAt)]
  }
  t.same(await asked({}), [0, {}])
  t.same(await asked({ family: 'ipv6' }), [10, {}])
  t.same(await asked({ protocol: 'tcp' }), [0, {}], 'it wants a family')
  t.same(await asked({ reply: { source: '10.0.0.7' } }), [
    2,
    { reply: { addresses: { sourceIPv4: '10.0.0.7' }, transport: {} }, filter: { reply: ['source'] } },
  ])
  t.match(await asked({ protocol: 'udp', original: { source: '10.0.0.7', destinationPort: 53 } }), [
    2,
    {
      original: { transport: { number: 'udp', destinationPort: 53 } },
      filter: { original: ['source', 'protocol-number', 'destination-port'] },
    },
  ])
  t.match(await asked({ protocol: 'sctp', original: { source: '10.0.0.7', destinationPort: 53 } }), [
    2,
    { filter: { original: ['source', 'protocol-number'] } },
  ])
  t.match(await asked({ protocol: 'tcp', reply: { source: '10.0.0.7', sourcePort: 80 } }), [
    2,
    { filter: { original: ['protocol-number'], reply: ['source', 'protocol-number', 'source-port'] } },
  ])
  t.same(await asked({ original: { source: '10.0.0.0/8' } }), [2, {}])
  t.same(await asked({ original: { source: '2001:db8::1' } }), [10, {}])
  t.same(await asked({ zone: 3, mark: 7 }), [0, { zone: 3, mark: 7, markMask: 0xffffffff }])
  t.same(await asked({ status: ['assured'], nat: 'none' }), [
    0,
    { status: ['assured'], statusMask: ['assured', 'source-nat', 'destination-nat'] },
  ])
  t.same(await asked({ nat: 'any', helper: 'ftp', tcpState: 'close' }), [0, {}])
})

t.test('a kernel that leaves a filter out of account, or refuses it, is chosen for here', async (t) => {
  const { kernel, conntrack } = await open(t, (request) => {
    const { mark } = request.decode(table, attributesAt)
    return mark === undefined ? [flow(1), flow(2), flow(3)] : { code: 'EOPNOTSUPP' }
  })
  t.same(
    (await conntrack.list({ original: { sourcePort: 2 } })).map(({ id }) => id),
    [2],
  )
  t.same(await conntrack.list({ mark: 9 }), [])
  t.equal(kernel.requests.length, 3)
  t.equal(await conntrack.count(), 5, 'the kernel counts')
})

t.test('entries that come twice are told once, and different ones that share an id each', async (t) => {
  const { conntrack } = await open(t, () => [
    flow(1),
    flow(2),
    flow(1),
    flow(3, 2),
    flow(2),
    flow(3, 2),
    flow(4, 0xffffffff),
  ])
  t.same(
    (await conntrack.list()).map(({ original, id }) => [original.sourcePort, id]),
    [
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 0xffffffff],
    ],
  )
})

t.test('what was lost or cut is read again before anything is told', async (t) => {
  const { kernel, conntrack } = await open(t, () => [flow(1), flow(2)])
  kernel.disturb({ lost: 1 }, { interrupted: true })
  const seen: Flow[] = []
  for await (const each of conntrack.stream()) seen.push(each)
  t.same(
    seen.map(({ id }) => id),
    [1, 2],
  )
  t.equal(kernel.requests.length, 3)
  kernel.disturb({ lost: 1 }, { lost: 1 }, { lost: 1 }, { lost: 1 })
  await t.rejects(conntrack.list(), { code: 'ENOBUFS', operation: 'conntrack.list' })
})

t.test('flows are ended with their id and zone; the others are told if some cannot be', async (t) => {
  const { kernel, conntrack } = await open(t, (request) => {
    if (request.type === getFlow) {
      return [flow(1), told({ original: { ...tuple(2), zone: 4 }, reply: tuple(2), id: 2 }), flow(3), flow(4)]
    }
    const port = request.decode(table, attributesAt).original?.sourcePort
    return port === 3 ? { code: 'ENOENT' } : port === 4 ? { code: 'EPERM' } : undefined
  })
  const error: unknown = await conntrack.deleteMatching({}).catch((reason: unknown) => reason)
  t.ok(isBatchError(error))
  t.match(error, {
    applied: 2,
    failures: [{ index: 3, object: { sourcePort: 4 }, error: { code: 'EPERM' } }],
  })
  const deletions = kernel.requests.filter(({ type }) => type === deleteFlow)
  t.same(
    deletions.map((request) => {
      const { original, zone, id } = request.decode(table, attributesAt)
      return [original!.sourcePort, original!.zone, zone, id]
    }),
    [
      [1, undefined, 0, 1],
      [2, undefined, 4, 2],
      [3, undefined, 0, 3],
      [4, undefined, 0, 4],
    ],
  )
})

t.test('what the kernel points at is told by the path that the caller knows', async (t) => {
  let offset = 0
  const { kernel, conntrack } = await open(t, () => ({ code: 'EINVAL', offset }))
  const create = () => conntrack.create({ original: tuple(1), timeoutSeconds: 5, tcp: { state: 'close' } })
  await create().catch(() => undefined)
  const { bytes } = kernel.requests[0]!
  // The first attribute that holds port 80 in network order.
  offset = Buffer.from(bytes).indexOf(Uint8Array.of(0, 80)) - 4
  await t.rejects(create(), { code: 'EINVAL', attribute: { path: 'flow.original.destinationPort' } })
})

t.test('a kernel without conntrack is told as such', async (t) => {
  const transport = new FakeKernel({ handle: () => ({ code: 'EINVAL' }) })
  await t.rejects(Conntrack.open({ transport }), {
    code: 'ERR_VIADUCT_UNSUPPORTED',
    needs: /nf_conntrack_netlink/,
  })
  t.ok(transport.closed)
})

import fc from 'fast-check'
import t from 'tap'
import { isMalformedMessageError } from '../../src/errors/index.js'
import { type ConnectionFilter, type IpvsConnection, parseConnections } from '../../src/ipvs/connections.js'

const heading = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n'
const table =
  heading +
  'TCP C0A80001 C350 C0A80064 0050 0A000007 1F90 ESTABLISHED     899\n' +
  'UDP C0A80002 14E9 C0A80064 0035 0A000008 0035 UDP             299\n' +
  'TCP 2001:0db8:0000:0000:0000:0000:0000:0001 D431 2001:0db8:0000:0000:0000:0000:0000:0064 01BB 0A000009 01BB SYN_RECV         59\n' +
  'SCTP C0A80003 0001 C0A80064 0B59 0A000007 0B59 C-ECHOED          3\n' +
  'TCP C0A80000 0000 C0A80064 0050 0A000007 1F90 ASSURED         360\n' +
  'IP  C0A80002 0000 0000002A 0000 0A000007 0050 NONE             59\n' +
  'IP  2001:0db8:0000:0000:0000:0000:0000:0000 0000 0000:002b:0000:0000:0000:0000:0000:0000 0000 2001:0db8:0000:0000:0000:0000:0000:0009 0050 NONE             59\n' +
  'UDP C0A80002 0000 C0A80064 13C4 0A000007 13C4 UDP             299 sip a84b4c76e66710 @pc33.example\n'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

async function parse(
  content: string | readonly Uint8Array[],
  filter?: ConnectionFilter,
  origins?: boolean,
): Promise<IpvsConnection[]> {
  const found: IpvsConnection[] = []
  const pieces = typeof content === 'string' ? [bytes(content)] : content
  for await (const connection of parseConnections(pieces, filter, { origins })) found.push(connection)
  return found
}

void t.test('every kind of line is read', async (t) => {
  const found = await parse(table)
  t.equal(found.length, 8)
  t.strictSame(found[0], {
    protocol: 'tcp',
    family: 'ipv4',
    client: { address: '192.168.0.1', port: 50_000 },
    virtual: { address: '192.168.0.100', port: 80 },
    firewallMark: undefined,
    destination: { address: '10.0.0.7', port: 8080 },
    state: 'ESTABLISHED',
    expiresSeconds: 899,
    template: false,
    persistenceEngine: undefined,
    persistenceData: undefined,
    origin: undefined,
  })
  t.match(found[1], { protocol: 'udp', state: 'UDP', template: false })
  t.match(found[2], {
    family: 'ipv6',
    client: { address: '2001:db8::1', port: 54_321 },
    virtual: { address: '2001:db8::64', port: 443 },
    destination: { address: '10.0.0.9', port: 443 },
    expiresSeconds: 59,
  })
  t.match(found[3], { protocol: 'sctp', state: 'C-ECHOED' })
  t.match(found[4], { template: true, state: 'ASSURED', client: { address: '192.168.0.0', port: 0 } })
  t.match(found[5], { protocol: 'ip', template: true, firewallMark: 42, virtual: undefined })
  t.match(found[6], { family: 'ipv6', template: true, firewallMark: 43, virtual: undefined })
  t.match(found[7], {
    template: true,
    persistenceEngine: 'sip',
    persistenceData: 'a84b4c76e66710 @pc33.example',
  })
})

void t.test('the other file tells where an entry came from', async (t) => {
  const content =
    'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n' +
    'TCP C0A80001 C350 C0A80064 0050 0A000007 1F90 ESTABLISHED LOCAL      899\n' +
    'TCP C0A80001 C351 C0A80064 0050 0A000007 1F90 ESTABLISHED SYNC       179\n'
  const found = await parse(content, {}, true)
  t.strictSame(
    found.map(({ origin, expiresSeconds }) => [origin, expiresSeconds]),
    [
      ['local', 899],
      ['sync', 179],
    ],
  )
})

void t.test('any cut of the file gives the same connections', async (t) => {
  const whole = await parse(table)
  const content = bytes(table)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: content.length }), { maxLength: 30 }),
      async (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), content.length]
        // One buffer for all pieces, as reading a file has it: what is kept must be a copy.
        const buffer = new Uint8Array(content.length)
        function* pieces(): Generator<Uint8Array> {
          for (const [index, from] of places.slice(0, -1).entries()) {
            const piece = content.subarray(from, places[index + 1])
            buffer.fill(0xff)
            buffer.set(piece)
            yield buffer.subarray(0, piece.length)
          }
        }
        const found: IpvsConnection[] = []
        for await (const connection of parseConnections(pieces())) found.push(connection)
        t.strictSame(found, whole)
      },
    ),
    { numRuns: 200 },
  )
})

void t.test('filters leave in what they name', async (t) => {
  const ports = async (filter: ConnectionFilter): Promise<number[]> =>
    (await parse(table, filter)).map((found) => found.client.port)
  t.strictSame(await ports({ protocol: 'udp' }), [5353, 0])
  t.strictSame(await ports({ service: { protocol: 'tcp', address: '192.168.0.100', port: 80 } }), [50_000, 0])
  t.strictSame(await ports({ service: { protocol: 'udp', address: '192.168.0.100', port: 0 } }), [5353, 0])
  t.strictSame(await ports({ service: { protocol: 'tcp', address: '2001:DB8::64', port: 443 } }), [54_321])
  t.equal((await parse(table, { service: { firewallMark: 42, family: 'ipv4' } })).length, 1)
  t.equal((await parse(table, { service: { firewallMark: 42, family: 'ipv6' } })).length, 0)
  t.equal((await parse(table, { service: { firewallMark: 43, family: 'ipv6' } })).length, 1)
  t.strictSame(await ports({ destination: { address: '10.0.0.7', port: 8080 } }), [50_000, 0])
  t.equal((await parse(table, { destination: { address: '10.0.0.7' } })).length, 5)
  t.strictSame(await ports({ client: '192.168.0.2', template: false }), [5353])
  t.strictSame(await ports({ client: '192.168.0.2/31', template: false }), [5353, 1])
  t.equal((await parse(table, { client: '0.0.0.0/0' })).length, 6)
  t.strictSame(await ports({ client: '2001:db8::/32', template: false }), [54_321])
  t.strictSame(await ports({ clientPort: 50_000 }), [50_000])
  t.strictSame(await ports({ state: 'ESTABLISHED' }), [50_000])
  t.strictSame(await ports({ state: ['SYN_RECV', 'C-ECHOED'] }), [54_321, 1])
  t.equal((await parse(table, { template: true })).length, 4)
  t.strictSame(await ports({ protocol: 'tcp', state: 'UDP' }), [])
})

void t.test('a filter that cannot be meant is refused', async (t) => {
  await t.rejects(parse(table, { client: '10.0.0' }), {
    name: 'ValidationError',
    path: 'filter.client',
    value: '10.0.0',
  })
  await t.rejects(parse(table, { destination: { address: '' } }), {
    name: 'ValidationError',
    path: 'filter.destination.address',
  })
})

void t.test('what is no connection is refused with its place', async (t) => {
  const good = 'TCP C0A80001 C350 C0A80064 0050 0A000007 1F90 ESTABLISHED     899\n'
  const bad = {
    'an empty line': '\n',
    'a short address': good.replace('C0A80001', 'C0A8001'),
    'no hexadecimal': good.replace('C0A80001', 'C0A8000G'),
    'a long port': good.replace('C350', '0C350'),
    'no port': good.replace(' 1F90', ''),
    'no seconds': good.replace('     899', ''),
    'negative seconds': good.replace('899', '-899'),
    'many seconds': good.replace('899', '9'.repeat(40)),
    'two families': good.replace('C0A80064', '2001:0db8:0000:0000:0000:0000:0000:0064'),
    'IPv6 without colons': good.replaceAll('C0A80001', '2001-0db8-0000-0000-0000-0000-0000-0001'),
    'control characters': good.replace('ESTABLISHED', 'EST\u0007LISHED'),
    'no end': good.trimEnd(),
    'no end, and much of it': `TCP ${'C'.repeat(5000)}`,
  }
  for (const [what, line] of Object.entries(bad)) {
    const error: unknown = await parse(good + line).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.ok(isMalformedMessageError(error), what)
    const { offset } = error as { offset: number }
    t.ok(offset >= good.length && offset <= good.length + line.length, `${what}: the place is in its line`)
  }
})

void t.test('an entry that is being removed has no seconds left', async (t) => {
  const [found] = await parse('TCP C0A80001 C350 C0A80064 0050 0A000007 1F90 CLOSE       73786976294838206\n')
  t.equal(found?.expiresSeconds, 0)
})

void t.test('hostile bytes end in a typed error or in connections', async (t) => {
  const content = bytes(table)
  const mutated = fc
    .array(fc.tuple(fc.nat(content.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 8,
    })
    .map((changes) => {
      const copy = content.slice()
      for (const [at, value] of changes) copy[at] = value
      return copy
    })
  let refused = 0
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })),
      fc.boolean(),
      async (input, origins) => {
        try {
          for (const found of await parse([input], {}, origins)) {
            if (found.client.port > 65_535 || found.destination.address === '') throw new Error('nonsense')
          }
        } catch (error) {
          if (!isMalformedMessageError(error)) throw error
          refused++
        }
      },
    ),
    { numRuns: 3000 },
  )
  t.ok(refused > 1000, `${refused} refused`)
})

void t.test('stopping early stops the reading', async (t) => {
  let ended = false
  function* pieces(): Generator<Uint8Array> {
    try {
      yield bytes(table)
      yield bytes(table.slice(heading.length))
    } finally {
      ended = true
    }
  }
  for await (const connection of parseConnections(pieces())) {
    t.equal(connection.protocol, 'tcp')
    break
  }
  t.ok(ended)
})

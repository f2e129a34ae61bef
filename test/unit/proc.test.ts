import fc from 'fast-check'
import t from 'tap'
import { formatAddress } from '../../src/address/index.js'
import { isMalformedMessageError } from '../../src/errors/index.js'
import { forwardingMethods, parseProcTable, parseTotals, type ProcTable } from '../../src/ipvs/proc.js'

const heading =
  'IP Virtual Server version 1.2.1 (size=4096)\n' +
  'Prot LocalAddress:Port Scheduler Flags\n' +
  '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n'
/** As Linux 6.1 wrote it. */
const recorded =
  heading +
  'UDP  0A0000C8:0035 wlc ops  \n' +
  '  -> [2001:0db8:0000:0000:0000:0000:0000:0007]:0035      Tunnel  1      0          0         \n' +
  'TCP  [0000:0000:0000:0000:0000:0000:0102:0304]:01BB wlc \n' +
  'TCP  C0000201:0050 wlc  \n' +
  '  -> 7F000001:0050      Masq    1      0          0         \n' +
  '  -> 0A000003:1F90      Local   0      7          12345678  \n' +
  '  -> 0A000001:0050      Route   65536  4294967295 0         \n' +
  'SCTP  C0000201:0B59 wlc ops  persistent 90000 FFFFFFFF\n' +
  'FWM  FFFFFFFF sh persistent 90000 80000000\n' +
  'FWM  00000002 rr \n' +
  '  -> 0A000009:0000      Bypass  2147483647 0          0         \n'

const parse = (text: string): ProcTable => parseProcTable(new TextEncoder().encode(text))

interface Line {
  readonly key: string
  readonly destinations: string[]
}

/** The table in words that tell every column. */
function told(table: ProcTable): Line[] {
  const { services, destinations, longAddresses } = table
  const address = (columns: typeof services | typeof destinations, index: number): string => {
    const bytes = new Uint8Array(columns.isIPv6[index] === 1 ? 16 : 4)
    const view = new DataView(bytes.buffer)
    const number = columns.address[index]!
    if (bytes.length === 4) view.setUint32(0, number)
    else for (let word = 0; word < 4; word++) view.setUint32(word * 4, longAddresses[number * 4 + word]!)
    return `${formatAddress(bytes)} ${columns.port[index]!}`
  }
  return Array.from({ length: services.count }, (_, index) => {
    const rows: string[] = []
    for (let at = services.firstDestination[index]!; at < services.firstDestination[index + 1]!; at++) {
      const method = forwardingMethods[destinations.forwardingMethod[at]!]!
      const { weight, activeConnections, inactiveConnections } = destinations
      rows.push(
        `${address(destinations, at)} ${method} ${weight[at]!} ${activeConnections[at]!} ${inactiveConnections[at]!}`,
      )
    }
    const protocol = services.protocol[index]!
    return {
      key: protocol === 0 ? `mark ${services.address[index]!}` : `${protocol} ${address(services, index)}`,
      destinations: rows,
    }
  })
}

void t.test('every kind of line of /proc/net/ip_vs is read', async (t) => {
  t.strictSame(told(parse(recorded)), [
    { key: '17 10.0.0.200 53', destinations: ['2001:db8::7 53 Tunnel 1 0 0'] },
    { key: '6 ::102:304 443', destinations: [] },
    {
      key: '6 192.0.2.1 80',
      destinations: [
        '127.0.0.1 80 Masq 1 0 0',
        '10.0.0.3 8080 Local 0 7 12345678',
        '10.0.0.1 80 Route 65536 4294967295 0',
      ],
    },
    { key: '132 192.0.2.1 2905', destinations: [] },
    { key: 'mark 4294967295', destinations: [] },
    { key: 'mark 2', destinations: ['10.0.0.9 0 Bypass 2147483647 0 0'] },
  ])
  t.strictSame(told(parse(heading)), [], 'a table without services')
})

void t.test('whatever table the kernel writes is read back', async (t) => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  const endpoint = fc.tuple(address, fc.integer({ min: 0, max: 65_535 }))
  const count = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: 0xffff_ffff }))
  const destination = fc.tuple(endpoint, fc.nat(5), fc.integer({ min: -1, max: 0x7fff_ffff }), count, count)
  const service = fc.tuple(endpoint, fc.constantFrom('TCP', 'UDP', 'SCTP'), fc.array(destination))
  fc.assert(
    fc.property(fc.array(service), (services) => {
      let text = heading
      const expected: Line[] = []
      for (const [key, protocol, destinations] of services) {
        text += `${protocol}  ${written(key)} wrr  \n`
        const number = { TCP: 6, UDP: 17, SCTP: 132 }[protocol]
        const rows: string[] = []
        for (const [to, method, weight, active, inactive] of destinations) {
          const name = forwardingMethods[method]!
          const columns = `${name.padEnd(7)} ${String(weight).padEnd(6)} ${String(active).padEnd(10)} ${String(inactive).padEnd(10)}`
          text += `  -> ${written(to)}      ${columns}\n`
          rows.push(`${formatAddress(to[0])} ${to[1]} ${name} ${weight} ${active} ${inactive}`)
        }
        expected.push({ key: `${number} ${formatAddress(key[0])} ${key[1]}`, destinations: rows })
      }
      t.strictSame(told(parse(text)), expected)
    }),
    { numRuns: 60 },
  )

  function written([bytes, number]: readonly [Uint8Array, number]): string {
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    const text = bytes.length === 4 ? hex.toUpperCase() : `[${hex.match(/..../g)!.join(':')}]`
    return `${text}:${number.toString(16).toUpperCase().padStart(4, '0')}`
  }
})

void t.test('more services and destinations than columns begin with', async (t) => {
  const services = 40_000
  let text = heading
  for (let index = 0; index < services; index++) {
    text += `FWM  ${(index + 1).toString(16).padStart(8, '0')} rr \n`
    for (let at = 0; at < 7; at++)
      text += `  -> 0A00000${at}:0050      Masq    ${index} 0          0         \n`
  }
  const table = parse(text)
  t.equal(table.services.count, services)
  t.equal(table.destinations.count, services * 7)
  t.equal(table.services.address[services - 1], services)
  t.equal(table.services.firstDestination[services], services * 7)
  t.equal(table.destinations.weight[services * 7 - 1], services - 1)
})

void t.test('what is no such file is refused, and nothing loops', async (t) => {
  for (const text of [
    `${heading}TCP`,
    `${heading}TCP\n`,
    `${heading}TCP  \n`,
    `${heading}ICMP  0A000001:0050 rr \n`,
    `${heading}TCP  0A00001:0050 rr \n`,
    `${heading}TCP  0A000001 rr \n`,
    `${heading}TCP  [2001:0db8:0000:0000:0000:0000:0000:0007:0050 rr \n`,
    `${heading}  -> 0A000001:0050      Masq    1      0          0         \n`,
    `${heading}TCP  0A000001:0050 rr \n  -> 0A000001:0050      Masq    1      0          \n`,
    `${heading}TCP  0A000001:0050 rr \n  \n`,
    `${heading}TCP  0A000001:0050 rr \n  -> 0A000001:0050      Masq    1      0          0`,
  ]) {
    t.throws(() => parse(text), { code: 'ERR_VIADUCT_MALFORMED' }, JSON.stringify(text.slice(heading.length)))
  }
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...' \n-[]:>0AFTUSWMPC'.split('')), maxLength: 200 }),
      (text) => {
        try {
          parse(heading + text)
        } catch (error) {
          t.ok(isMalformedMessageError(error), String(error))
        }
      },
    ),
    { numRuns: 500 },
  )
})

void t.test('the totals', async (t) => {
  const text =
    '   Total Incoming Outgoing         Incoming         Outgoing\n' +
    '   Conns  Packets  Packets            Bytes            Bytes\n' +
    '     1F4  1000000        0 FFFFFFFFFFFFFFFF              10A\n' +
    '\n' +
    ' Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
    '       A       FF        0             1000                1\n'
  t.strictSame(parseTotals(text), {
    connections: 500n,
    incomingPackets: 0x1000000n,
    outgoingPackets: 0n,
    incomingBytes: 0xffff_ffff_ffff_ffffn,
    outgoingBytes: 266n,
    connectionsPerSecond: 10,
    incomingPacketsPerSecond: 255,
    outgoingPacketsPerSecond: 0,
    incomingBytesPerSecond: 4096,
    outgoingBytesPerSecond: 1,
  })
  t.throws(() => parseTotals('nothing of the kind\n'), { code: 'ERR_VIADUCT_MALFORMED' })
})

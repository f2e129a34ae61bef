import fc from 'fast-check'
import t from 'tap'
import { parseAddress } from '../../src/address/index.js'
import { type Format, plainFormat } from '../../src/cli/ipvsadm/command.js'
import { type ListedDestination, type ListedService, ServiceList } from '../../src/cli/ipvsadm/listed.js'
import { ServiceNames } from '../../src/cli/ipvsadm/names.js'
import {
  destinationLine,
  destinationRule,
  endpointText,
  largeNumber,
  numericEndpoint,
  serviceLine,
  serviceRule,
  title,
} from '../../src/cli/ipvsadm/print.js'
import { difference, inOrder, mergeSort } from '../../src/cli/ipvsadm/sort.js'
import { addressText, looseIPv4, wholeNumber } from '../../src/cli/ipvsadm/text.js'
import { TextWriter } from '../../src/cli/ipvsadm/writer.js'

const plain: Format = { ...plainFormat, numeric: true }

function words(address: string): Uint32Array {
  const bytes = parseAddress(address)!
  const view = new DataView(bytes.buffer)
  return Uint32Array.from({ length: 4 }, (_, word) =>
    word * 4 < bytes.length ? view.getUint32(word * 4) : 0,
  )
}

const web: ListedService = {
  family: 2,
  protocol: 6,
  address: words('192.0.2.1'),
  port: 80,
  scheduler: 'wlc',
  flags: { flags: 2, mask: 0xffff_ffff },
  timeoutSeconds: 360,
  netmask: 0xffff_ffff,
}
const server: ListedDestination = {
  family: 2,
  address: words('10.0.0.7'),
  port: 8080,
  forwardingMethod: 0,
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
}
const statistics = {
  connections: 4_294_967_296n,
  incomingPackets: 100_000_000n,
  outgoingPackets: 0n,
  incomingBytes: 99_999_999n,
  outgoingBytes: 18_446_744_073_709_551_615n,
  connectionsPerSecond: 1,
  incomingPacketsPerSecond: 2,
  outgoingPacketsPerSecond: 3,
  incomingBytesPerSecond: 400_000_000,
  outgoingBytesPerSecond: 5,
}

void t.test('large numbers are nine characters, or all their digits', async (t) => {
  const cases: readonly (readonly [bigint, string, string])[] = [
    [0n, '        0', '        0'],
    [99_999_999n, ' 99999999', ' 99999999'],
    [100_000_000n, '  100000K', ' 100000000'],
    [999_999_999n, '  999999K', ' 999999999'],
    [1_000_000_000n, '    1000M', ' 1000000000'],
    [99_999_999_999n, '   99999M', ' 99999999999'],
    [100_000_000_000n, '     100G', ' 100000000000'],
    [99_999_999_999_999n, '   99999G', ' 99999999999999'],
    [100_000_000_000_000n, '     100T', ' 100000000000000'],
    [18_446_744_073_709_551_615n, '18446744T', ' 18446744073709551615'],
  ]
  for (const [value, short, exact] of cases) {
    t.equal(largeNumber(value, false), short)
    t.equal(largeNumber(value, true), exact)
    if (value < 2n ** 53n) t.equal(largeNumber(Number(value), false), short, 'a rate is a number')
  }
})

void t.test('services', async (t) => {
  const line = (service: Partial<ListedService>, format: Partial<Format> = {}): string =>
    serviceLine({ ...web, ...service }, { ...plain, ...format }, numericEndpoint)
  t.equal(line({}), 'TCP  192.0.2.1:80 wlc\n')
  t.equal(line({ protocol: 132, scheduler: 'rr' }), 'SCTP 192.0.2.1:80 rr\n')
  t.equal(line({ family: 10, address: words('2001:db8::1') }), 'TCP  [2001:db8::1]:80 wlc\n')
  const mark = { protocol: undefined, address: undefined, port: undefined }
  t.equal(line({ ...mark, firewallMark: 7 }), 'FWM  7 wlc\n')
  t.equal(line({ ...mark, family: 10, firewallMark: 4_294_967_295 }), 'FWM  -1 IPv6 wlc\n')
  const flags = (bits: number): Pick<ListedService, 'flags'> => ({
    flags: { flags: bits, mask: 0xffff_ffff },
  })
  t.equal(line({ ...flags(0x18), scheduler: 'sh' }), 'TCP  192.0.2.1:80 sh (sh-fallback,sh-port)\n')
  t.equal(line({ ...flags(0x20), scheduler: 'mh' }), 'TCP  192.0.2.1:80 mh ()\n')
  t.equal(line({ ...flags(0x38), scheduler: 'rr' }), 'TCP  192.0.2.1:80 rr (flag-1,flag-2,flag-3)\n')
  t.equal(line(flags(1)), 'TCP  192.0.2.1:80 wlc persistent 360\n')
  t.equal(
    line({ ...flags(5), netmask: 0xffff_ff00, engine: 'sip' }),
    'TCP  192.0.2.1:80 wlc persistent 360 mask 255.255.255.0 pe sip ops\n',
  )
  t.equal(
    line({ statistics }, { stats: true }),
    `${'TCP  192.0.2.1:80'.padEnd(33)}    4294M  100000K        0 9999999918446744T\n`,
  )
  t.equal(
    line({ statistics }, { rate: true }),
    `${'TCP  192.0.2.1:80'.padEnd(33)}        1        2        3  400000K        5\n`,
  )
})

void t.test('real servers', async (t) => {
  const line = (destination: Partial<ListedDestination>, format: Partial<Format> = {}): string =>
    destinationLine({ ...server, ...destination }, web, { ...plain, ...format }, numericEndpoint)
  t.equal(line({}), '  -> 10.0.0.7:8080                Masq    1      0          0         \n')
  t.equal(
    line({ forwardingMethod: 2, tunnelType: 1, tunnelPort: 6080, tunnelFlags: 2 }, { tunInfo: true }),
    '  -> 10.0.0.7:8080                Tunnel  gue:6080:r+c  1      0          0         \n',
  )
  t.equal(
    line({ forwardingMethod: 2, tunnelType: 2, tunnelFlags: 1 }, { tunInfo: true }),
    '  -> 10.0.0.7:8080                Tunnel  gre:+c        1      0          0         \n',
  )
  t.equal(
    line({}, { tunInfo: true }),
    '  -> 10.0.0.7:8080                Masq    n/a           1      0          0         \n',
  )
  t.equal(
    line({ upperThreshold: 4_294_967_295, lowerThreshold: 3 }, { thresholds: true }),
    '  -> 10.0.0.7:8080                4294967295 3          0          0         \n',
  )
  t.equal(
    line({ persistentConnections: 12, activeConnections: 7 }, { persistentConn: true }),
    '  -> 10.0.0.7:8080                1         12          7          0         \n',
  )
  t.equal(
    line({ statistics }, { rate: true }),
    '  -> 10.0.0.7:8080                       1        2        3  400000K        5\n',
  )
  t.match(line({ forwardingMethod: 4 }), / Bypass /)
})

void t.test('the headings of each kind of list', async (t) => {
  const second = (format: Partial<Format>): string => title({ ...plain, ...format }).split('\n')[0]!
  t.equal(
    second({ stats: true }),
    'Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes',
  )
  t.equal(
    second({ rate: true }),
    'Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS',
  )
  t.equal(
    second({ thresholds: true }),
    'Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ',
  )
  t.equal(
    second({ persistentConn: true }),
    'Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ',
  )
  t.equal(second({ stats: true, thresholds: true }), second({ stats: true }), 'the first kind counts')
})

void t.test('lines that -R reads', async (t) => {
  const rule = (service: Partial<ListedService>): string =>
    serviceRule({ ...web, ...service }, numericEndpoint)
  t.equal(rule({}), '-A -t 192.0.2.1:80 -s wlc\n')
  t.equal(
    rule({ flags: { flags: 0x2d, mask: 0xffff_ffff }, scheduler: 'sh', engine: 'sip', netmask: 0xff00_0000 }),
    '-A -t 192.0.2.1:80 -s sh -p 360 -M 255.0.0.0 --pe sip -o -b sh-fallback,flag-3\n',
  )
  const mark = { protocol: undefined, address: undefined, port: undefined, firewallMark: 4_294_967_295 }
  t.equal(rule({ ...mark, family: 10 }), '-A -f 4294967295 -6 -s wlc\n')
  const destination = (given: Partial<ListedDestination>): string =>
    destinationRule({ ...server, ...given }, web, numericEndpoint)
  t.equal(destination({}), '-a -t 192.0.2.1:80 -r 10.0.0.7:8080 -m -w 1\n')
  t.equal(
    destination({ upperThreshold: 9, lowerThreshold: 3 }),
    '-a -t 192.0.2.1:80 -r 10.0.0.7:8080 -m -w 1 -x 9 -y 3\n',
  )
  t.equal(
    destination({ forwardingMethod: 2, tunnelType: 1, tunnelPort: 6080, tunnelFlags: 1 }),
    '-a -t 192.0.2.1:80 -r 10.0.0.7:8080 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum\n',
  )
  t.match(destination({ forwardingMethod: 4 }), /^# /, 'what no option can make is a comment')
})

void t.test('names are cut as ipvsadm cuts them', async (t) => {
  const long = 'a'.repeat(70)
  t.equal(endpointText(long, false, '80').length, 59)
  const named = (): string => endpointText(long, false, '80')
  t.equal(serviceLine(web, plain, named), `TCP  ${'a'.repeat(28)} wlc\n`)
  t.equal(destinationLine(server, web, plain, named).slice(0, 34), `  -> ${'a'.repeat(28)} `)
})

void t.test('addresses as the C library writes and reads them', async (t) => {
  const text = (address: string): string => addressText(words(address), 0, address.includes(':'))
  for (const address of [
    '192.0.2.1',
    '255.255.255.255',
    '::',
    '::1',
    '2001:db8::1',
    '::ffff:192.0.2.1',
    '::ffff',
  ]) {
    t.equal(text(address), address)
  }
  t.equal(text('::102:304'), '::1.2.3.4', 'unlike RFC 5952')
  t.equal(text('::1:0'), '::0.1.0.0')
  const loose: readonly (readonly [string, string | undefined])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['10.1', '10.0.0.1'],
    ['10.1.2', '10.1.0.2'],
    ['1', '0.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['010.0.0.1', '8.0.0.1'],
    ['4294967295', '255.255.255.255'],
    ['10.16777215', '10.255.255.255'],
    ['10.0.0.1 and more', '10.0.0.1'],
    ['10.16777216', undefined],
    ['4294967296', undefined],
    ['256.0.0.1', undefined],
    ['10.0.0.256', undefined],
    ['10.0.0.1.2', undefined],
    ['10..1', undefined],
    ['08.0.0.1', undefined],
    ['0x', undefined],
    ['', undefined],
    ['host', undefined],
  ]
  for (const [given, expected] of loose) t.equal(looseIPv4(given), expected, given)
  t.equal(wholeNumber(' +7', 0, 10), 7)
  for (const given of ['', '7x', '0x7', '11', '-1', '7 '])
    t.equal(wholeNumber(given, 0, 10), undefined, given)
})

void t.test('services are in the order that ipvsadm sorts them in', async (t) => {
  const list = new ServiceList()
  // The first two are more than 2^31 apart: the difference, cut to 32 bits, has the wrong sign.
  const addresses = ['192.0.2.1', '10.0.0.1', '192.0.2.2', '2001:db8::2', '2001:db8::1']
  for (const address of addresses) {
    list.push({ ...web, family: address.includes(':') ? 10 : 2, address: words(address) })
  }
  list.push({ ...web, protocol: 17, address: words('1.1.1.1') })
  list.push({ ...web, protocol: undefined, address: undefined, port: undefined, firewallMark: 7 })
  list.push({ ...web, protocol: undefined, address: undefined, port: undefined, firewallMark: 0xffff_ffff })
  list.push({ ...web, port: 79 })
  const order = mergeSort(inOrder(list.length), list.compare)
  t.strictSame(
    Array.from(order, (index) => serviceLine(list.at(index), plain, numericEndpoint).trim().slice(5, -4)),
    [
      '-1',
      '192.0.2.1:79',
      '192.0.2.1:80',
      '192.0.2.2:80',
      '10.0.0.1:80',
      '1.1.1.1:80',
      '[2001:db8::1]:80',
      '[2001:db8::2]:80',
      '7',
    ],
  )
})

void t.test('merging sorts whatever can be sorted, and equals stay in their order', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), (values) => {
      const order = mergeSort(inOrder(values.length), (a, b) => values[a]! - values[b]!)
      const expected = values.map((_, index) => index).sort((a, b) => values[a]! - values[b]! || a - b)
      t.strictSame(Array.from(order), expected)
    }),
    { numRuns: 50 },
  )
  // 0 < 2^31-1 < 2^32-2 < 0: a circle. What the C library's qsort makes of it.
  const circle = [0, 0x7fff_ffff, 0xffff_fffe]
  const order = mergeSort(Int32Array.of(2, 1, 0), (a, b) => difference(circle[a]!, circle[b]!))
  t.strictSame(Array.from(order), [2, 0, 1])
})

void t.test('bytes and strings make the same line', async (t) => {
  const count = fc.integer({ min: 0, max: 0xffff_ffff })
  const port = fc.integer({ min: 0, max: 65_535 })
  const weight = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff })
  const decoder = new TextDecoder()
  fc.assert(
    fc.property(
      count,
      port,
      fc.nat(5),
      weight,
      count,
      count,
      (word, port, method, weight, active, inactive) => {
        const writer = new TextWriter()
        writer.arrow(word, port)
        writer.forwarding(method, weight, active, inactive)
        const destination = {
          ...server,
          address: Uint32Array.of(word, 0, 0, 0),
          port,
          forwardingMethod: method,
          weight,
          activeConnections: active,
          inactiveConnections: inactive,
        }
        const text = [...writer.rest()].map((piece) => decoder.decode(piece)).join('')
        t.equal(text, destinationLine(destination, web, plain, numericEndpoint))
      },
    ),
    { numRuns: 200 },
  )
})

void t.test('text of any length goes through in pieces', async (t) => {
  const writer = new TextWriter()
  const decoder = new TextDecoder()
  let expected = ''
  let written = ''
  for (let line = 0; line < 3000; line++) {
    const text = line === 1500 ? `${'ß'.repeat(200_000)}\n` : `line ${line} ${'x'.repeat(line % 300)}\n`
    expected += text
    writer.text(text)
    for (const piece of writer.full()) written += decoder.decode(piece)
  }
  for (const piece of writer.rest()) written += decoder.decode(piece)
  t.ok(written === expected)
  t.strictSame([...writer.rest()], [], 'nothing comes twice')
})

void t.test('names of services', async (t) => {
  const names = new ServiceNames(
    'tcpmux\t\t1/tcp\t# comment\nhttp 80/tcp www\nwww 81/tcp\ndomain 53/udp\n\n# http 82/tcp\nbroken\n',
  )
  t.equal(names.port('http', 'tcp'), 80)
  t.equal(names.port('www', 'tcp'), 80, 'an alias of the first line')
  t.equal(names.port('domain', 'tcp'), undefined)
  t.equal(names.name(80, 'tcp'), 'http')
  t.equal(names.name(82, 'tcp'), undefined)
  t.equal(names.name(53, 'udp'), 'domain')
})

import { isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import {
  canonicalAddress,
  formatAddress,
  lengthOfDotted,
  lengthOfNetmask,
  netmaskOfLength,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '../../src/address/index.js'

const randomBytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zeros are where `::` goes wrong.
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
    .map((list) => Uint8Array.from(list)),
)

void t.test('bytes survive text', async (t) => {
  fc.assert(
    fc.property(randomBytes, (bytes) => {
      const text = formatAddress(bytes)
      const back = parseAddress(text)
      return (
        isIP(text) === (bytes.length === 4 ? 4 : 6) && back !== undefined && Buffer.compare(back, bytes) === 0
      )
    }),
    { numRuns: 20_000 },
  )
  t.pass('20,000 addresses')
})

void t.test('what is an address is what Node calls one, but for zones', async (t) => {
  const pieces = fc.constantFrom(
    '0',
    '1',
    'ff',
    '::',
    ':',
    '.',
    '255',
    '256',
    '01',
    'g',
    '1.2.3.4',
    'ffff',
    '10000',
    ' ',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join('')
      return (parseAddress(text) !== undefined) === (isIP(text) !== 0)
    }),
    { numRuns: 100_000 },
  )
  fc.assert(
    fc.property(fc.ipV6(), (text) => (parseAddress(text) !== undefined) === (isIP(text) !== 0)),
    { numRuns: 5_000 },
  )
  t.equal(parseAddress('fe80::1%eth0'), undefined)
})

void t.test('IPv6 is written as RFC 5952 says', async (t) => {
  const cases: [string, string][] = [
    ['2001:0DB8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:c000:0201', '::ffff:192.0.2.1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1::', '1::'],
    ['::1.2.3.4', '::102:304'],
  ]
  for (const [given, wanted] of cases) t.equal(canonicalAddress(given), wanted, given)
})

void t.test('netmasks and lengths', async (t) => {
  for (let length = 0; length <= 32; length++) t.equal(lengthOfNetmask(netmaskOfLength(length)), length)
  t.same([0, 1, 24, 32].map(netmaskOfLength), [0, 0x8000_0000, 0xffff_ff00, 0xffff_ffff])
  t.equal(lengthOfNetmask(0xff00_ff00), undefined)
  t.same(['255.255.255.0', '255.0.255.0', '::', 'x'].map(lengthOfDotted), [
    24,
    undefined,
    undefined,
    undefined,
  ])
})

void t.test('prefixes', async (t) => {
  t.same(parsePrefix('10.1.2.3/8'), { family: 'ipv4', address: '10.1.2.3', length: 8 })
  t.same(parsePrefix('2001:db8::'), { family: 'ipv6', address: '2001:db8::', length: 128 })
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '/8', '::/129', '10.0.0.0/08', 'x/8']) {
    t.equal(parsePrefix(bad), undefined, bad)
  }
  const block = parsePrefix('192.0.2.128/25')!
  t.ok(prefixContains(block, '192.0.2.200'))
  t.notOk(prefixContains(block, '192.0.2.1'))
  t.notOk(prefixContains(block, '::1'))
  t.ok(prefixContains(parsePrefix('::/0')!, '2001:db8::1'))
})

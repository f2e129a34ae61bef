/** Frames that announce addresses, byte by byte. */
import t from 'tap'
import { foldedComplement, parseAddress, parseMac, pseudoHeaderSum, sum16 } from '../../src/address/index.js'
import { announcementsOf } from '../../src/edge/announcement.js'

const hardware = parseMac('02:00:00:00:00:07')!
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('gratuitous ARP, as a request and as a reply', (t) => {
  const [request, reply, ...rest] = announcementsOf('192.0.2.10', hardware)
  t.same(rest, [])
  t.match(request, { destination: 'ff:ff:ff:ff:ff:ff', etherType: 0x0806 })
  const head = 'ffffffffffff' + '020000000007' + '0806' + '0001' + '0800' + '06' + '04'
  const sender = '020000000007' + 'c000020a'
  t.equal(hex(request!.bytes), head + '0001' + sender + '000000000000' + 'c000020a')
  t.equal(hex(reply!.bytes), head + '0002' + sender + '020000000007' + 'c000020a')
  t.end()
})

t.test('an unsolicited neighbour advertisement that overrides', (t) => {
  const [{ bytes, destination, etherType }, ...rest] = announcementsOf('2001:db8::10', hardware) as [
    { bytes: Uint8Array; destination: string; etherType: number },
  ]
  t.same(rest, [])
  t.same([destination, etherType], ['33:33:00:00:00:01', 0x86dd])
  t.equal(
    hex(bytes.subarray(0, 22)),
    '333300000001' + '020000000007' + '86dd' + '60000000' + '0020' + '3a' + 'ff',
  )
  const message = bytes.subarray(54)
  t.equal(hex(message.subarray(0, 2)), '8800')
  t.equal(hex(message.subarray(4)), 'a0000000' + '20010db8000000000000000000000010' + '0201' + '020000000007')
  const sum =
    sum16(message) + pseudoHeaderSum(parseAddress('2001:db8::10')!, parseAddress('ff02::1')!, 32, 58)
  t.equal(foldedComplement(sum), 0, 'its checksum')
  const [host] = announcementsOf('2001:db8::10', hardware, false)
  t.equal(host!.bytes[58], 0x20, 'of a host that is no router')
  t.end()
})

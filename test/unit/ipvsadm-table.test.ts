/** The table where netlink and /proc do not say the same: something came or went between the two readings. */
import t from 'tap'
import { type Format, plainFormat } from '../../src/cli/ipvsadm/command.js'
import { type ListedDestination, type ListedService, ServiceList } from '../../src/cli/ipvsadm/listed.js'
import { endpointText } from '../../src/cli/ipvsadm/print.js'
import { renderTable, type TableSource } from '../../src/cli/ipvsadm/table.js'
import { parseProcTable } from '../../src/ipvs/proc.js'

const plain: Format = { ...plainFormat, numeric: true, nosort: true }
const usual = {
  scheduler: 'rr',
  flags: { flags: 2, mask: 0xffff_ffff },
  timeoutSeconds: 0,
  netmask: 0xffff_ffff,
}
const address = (last: number): Uint32Array => Uint32Array.of(0x0a00_0000 + last, 0, 0, 0)
const service = (last: number): ListedService => ({
  ...usual,
  family: 2,
  protocol: 6,
  address: address(last),
  port: 80,
})
const long = (last: number): ListedService => ({
  ...usual,
  family: 10,
  protocol: 6,
  address: Uint32Array.of(0x2001_0db8, 0, 0, last),
  port: 80,
})
const mark = (family: number): ListedService => ({ ...usual, family, firewallMark: 7 })
/** What netlink says has weight 1000 and more, what /proc says has less. */
const server = (last: number): ListedDestination => ({
  family: 2,
  address: address(last),
  port: 80,
  forwardingMethod: 0,
  weight: 1000 + last,
  upperThreshold: 0,
  lowerThreshold: 0,
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
})

const heading = '1\n2\n3\n'
const line = (last: number): string =>
  `  -> 0A00000${last}:0050      Masq    ${String(last).padEnd(6)} 0          0         \n`

function source(
  services: readonly ListedService[],
  proc: string | undefined,
): TableSource & { asked: number[] } {
  const list = new ServiceList()
  services.forEach((one) => list.push(one))
  const asked: number[] = []
  return {
    asked,
    info: { version: 0x010201, connectionTableSize: 4096 },
    services: async () => list,
    destinations: async (_, indices) => {
      asked.push(...indices)
      return indices.map((index) => [server(index)])
    },
    procTable: async () =>
      proc === undefined ? undefined : parseProcTable(new TextEncoder().encode(heading + proc)),
  }
}

async function rendered(
  from: TableSource,
  format = plain,
  names?: Parameters<typeof renderTable>[2],
): Promise<string[]> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const piece of renderTable(from, format, names)) text += decoder.decode(piece)
  return text
    .split('\n')
    .slice(3, -1)
    .map((one) => one.replace(/ +/g, ' ').trim())
}

void t.test('both say the same: /proc alone tells of real servers', async (t) => {
  const from = source(
    [service(1), long(2), mark(2), mark(10)],
    `TCP  0A000001:0050 rr  \n${line(1)}${line(2)}` +
      `TCP  [2001:0db8:0000:0000:0000:0000:0000:0002]:0050 rr \n${line(3)}` +
      `FWM  00000007 rr \n${line(4)}FWM  00000007 rr \n${line(5)}`,
  )
  t.strictSame(await rendered(from), [
    'TCP 10.0.0.1:80 rr',
    '-> 10.0.0.1:80 Masq 1 0 0',
    '-> 10.0.0.2:80 Masq 2 0 0',
    'TCP [2001:db8::2]:80 rr',
    '-> 10.0.0.3:80 Masq 3 0 0',
    'FWM 7 rr',
    '-> 10.0.0.4:80 Masq 4 0 0',
    'FWM 7 IPv6 rr',
    '-> 10.0.0.5:80 Masq 5 0 0',
  ])
  t.strictSame(from.asked, [])
})

void t.test('a service that came meanwhile, one that went, and marks that could be either', async (t) => {
  const from = source(
    [service(1), service(2), long(3), mark(2), mark(10)],
    // The first is gone from netlink's list, the second came after it was made.
    `TCP  0A000009:0050 rr  \n${line(9)}TCP  0A000002:0050 rr  \n${line(2)}` +
      `TCP  [2001:0db8:0000:0000:0000:0000:0000:0003]:0050 rr \n${line(3)}` +
      `FWM  00000007 rr \n${line(4)}`,
  )
  t.strictSame(await rendered(from), [
    'TCP 10.0.0.1:80 rr',
    '-> 10.0.0.0:80 Masq 1000 0 0',
    'TCP 10.0.0.2:80 rr',
    '-> 10.0.0.2:80 Masq 2 0 0',
    'TCP [2001:db8::3]:80 rr',
    '-> 10.0.0.3:80 Masq 3 0 0',
    'FWM 7 rr',
    '-> 10.0.0.3:80 Masq 1003 0 0',
    'FWM 7 IPv6 rr',
    '-> 10.0.0.4:80 Masq 1004 0 0',
  ])
  t.strictSame(from.asked, [0, 3, 4], 'the kernel is asked about these alone')
})

void t.test('without /proc, and for what /proc does not show, netlink tells all', async (t) => {
  const expected = ['TCP 10.0.0.1:80 rr', '-> 10.0.0.0:80 Masq 1000 0 0']
  t.strictSame(await rendered(source([service(1)], undefined)), expected)
  const from = source([service(1)], `TCP  0A000001:0050 rr  \n${line(1)}`)
  t.strictSame(await rendered(from, { ...plain, tunInfo: true }), [
    'TCP 10.0.0.1:80 rr',
    '-> 10.0.0.0:80 Masq n/a 1000 0 0',
  ])
})

void t.test(
  'names are looked up for every address that is printed, and cut where ipvsadm cuts',
  async (t) => {
    let asked: string[] = []
    const from = source([service(1), service(2)], `TCP  0A000002:0050 rr  \n${line(3)}`)
    const lines = await rendered(from, { ...plain, numeric: false }, async (addresses) => {
      asked = [...addresses].sort()
      return (words, at, isIPv6) =>
        endpointText(`host-${words[at]! & 255}.of-a-long-domain.example`, isIPv6, 'http')
    })
    t.strictSame(asked, ['10.0.0.0', '10.0.0.1', '10.0.0.2', '10.0.0.3'])
    t.strictSame(lines, [
      'TCP host-1.of-a-long-domain.exam rr',
      '-> host-0.of-a-long-domain.exam Masq 1000 0 0',
      'TCP host-2.of-a-long-domain.exam rr',
      '-> host-3.of-a-long-domain.exam Masq 3 0 0',
    ])
  },
)

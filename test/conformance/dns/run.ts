/** Runs cases: a server for each, on the loopback, asked over UDP and over TCP. */
import { decode, type DecodedPacket } from 'dns-packet'
import { DnsServer } from '../../../src/dns/index.js'
import { comparable, type DnsCase, type DnsQuery, plainName } from './cases.js'
import { expectedOf, overTcp, overUdpOrTcp, queryBytes } from './client.js'

/** What came of one query. */
export interface DnsReport {
  readonly name: string
  /** `web.default.svc.cluster.local A` */
  readonly query: string
  /** Undefined if it is right. */
  readonly wrong: string | undefined
}

export async function runDnsCases(
  cases: readonly DnsCase[],
  report: (report: DnsReport) => void,
): Promise<void> {
  for (const one of cases) await runCase(one, report)
}

async function runCase(one: DnsCase, report: (report: DnsReport) => void): Promise<void> {
  const { name, zone, podRecords, namespaces, objects, queries } = one
  const listen = [{ address: '127.0.0.1', port: 0 }]
  await using server = await DnsServer.start({ zones: [zone], podRecords, namespaces, listen })
  const problems = objects.flatMap((object) => server.model.upsert(object)?.message ?? [])
  const place = server.addresses[0]!
  for (const query of queries) {
    const wrong: string[] = []
    for (const transport of ['udp', 'tcp'] as const) {
      const found = await ask(place, query, transport).catch((error: unknown) => String(error))
      if (found !== undefined) wrong.push(`over ${transport.toUpperCase()}: ${found}`)
    }
    const why = wrong.length === 0 ? undefined : [...wrong, ...problems].join('; ')
    report({ name, query: `${query.name} ${query.type}`, wrong: why })
  }
}

async function ask(
  server: { readonly address: string; readonly port: number },
  query: DnsQuery,
  transport: 'udp' | 'tcp',
): Promise<string | undefined> {
  const message = queryBytes(query.name, query.type, { udpBytes: 1232 })
  const answer =
    transport === 'udp'
      ? await overUdpOrTcp(server, message)
      : decode((await overTcp(server, [message]))[0] ?? Buffer.alloc(0))
  return judge(answer, query, message)
}

function judge(answer: DecodedPacket, query: DnsQuery, message: Buffer): string | undefined {
  const { rcode } = answer as DecodedPacket & { readonly rcode: string }
  if (answer.id !== message.readUInt16BE(0)) return 'the answer is to another query'
  if (rcode !== query.rcode) return `${rcode} instead of ${query.rcode}`
  const asked = plainName(query.name)
  if (answer.questions?.[0]?.name !== query.name.replace(/\.$/, ''))
    return 'the question is not as it was asked'
  const got = new Set((answer.answers ?? []).map((record) => comparable(expectedOf(record))))
  const wanted = new Set(query.answers.map(comparable))
  const lacking = [...wanted].filter((one) => !got.has(one))
  const extra = [...got].filter((one) => !wanted.has(one))
  if (lacking.length > 0 || extra.length > 0) {
    return [...lacking.map((one) => `lacks ${one}`), ...extra.map((one) => `has ${one}`)].join(', ')
  }
  if (rcode !== 'NXDOMAIN' && !(rcode === 'NOERROR' && got.size === 0)) return undefined
  const isOfZone = (name: string): boolean => asked === name || asked.endsWith(`.${name}`)
  const hasSoa = (answer.authorities ?? []).some(
    (record) => record.type === 'SOA' && (got.size > 0 || isOfZone(plainName(record.name))),
  )
  return hasSoa ? undefined : 'no SOA says how long that holds'
}

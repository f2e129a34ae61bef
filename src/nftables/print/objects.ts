/** What stateful objects say, a line each. */
import { forEachAttribute, NLA_TYPE_MASK } from '../../netlink/index.js'
import type { NftObject, ObjectInput } from '../kinds.js'
import { durationText } from './datatypes.js'
import { numberOf } from '../numbers.js'
import { connlimitText, limitText, quotaText } from './state.js'

/** Names and defaults of states, by attribute (nfnetlink_cttimeout.h; nf_conntrack_proto_tcp.c, …_udp.c). */
const timeoutStates: Readonly<
  Partial<Record<string, readonly (readonly [name: string, seconds: number])[]>>
> = {
  tcp: [
    ['syn_sent', 120],
    ['syn_recv', 60],
    ['established', 432_000],
    ['fin_wait', 120],
    ['close_wait', 60],
    ['last_ack', 30],
    ['time_wait', 120],
    ['close', 10],
    ['syn_sent2', 120],
    ['retrans', 300],
    ['unack', 300],
  ],
  udp: [
    ['unreplied', 30],
    ['replied', 120],
  ],
}

/** As nft prints them: those that are not the default. */
function timeoutsText(protocol: string, bytes: Uint8Array): string {
  const states = timeoutStates[protocol] ?? []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const said: string[] = []
  forEachAttribute(view, 0, bytes.length, (type, at, length) => {
    const state = states[(type & NLA_TYPE_MASK) - 1]
    const seconds = Number(numberOf(bytes.subarray(at, at + length)))
    if (state !== undefined && seconds !== state[1]) said.push(`${state[0]} : ${seconds}`)
  })
  return said.join(', ')
}

type Data = Readonly<Record<string, never>>
const layer3 = (data: { readonly family?: string }): string[] =>
  data.family === undefined ? [] : [`l3proto ${data.family}`]

/** What stands in its braces. */
export function objectLines({ type, data }: NftObject | ObjectInput): string[] {
  if (data === undefined || data instanceof Uint8Array) return []
  const any = data as Data
  switch (type) {
    case 'counter':
      return [`packets ${any.packets ?? 0} bytes ${any.bytes ?? 0}`]
    case 'quota':
      return [quotaText(any)]
    case 'limit':
      return [limitText(any)]
    case 'connlimit':
      return [connlimitText(any)]
    case 'ct-helper':
      return [`type "${String(any.helper)}" protocol ${String(any.protocol)}`, ...layer3(any)]
    case 'ct-timeout':
      return [
        `protocol ${String(any.protocol)}`,
        ...layer3(any),
        `policy = { ${timeoutsText(any.protocol ?? '', any.timeouts ?? new Uint8Array())} }`,
      ]
    case 'ct-expectation':
      return [
        `protocol ${String(any.protocol)}`,
        `dport ${String(any.port)}`,
        `timeout ${durationText(BigInt(any.timeoutMilliseconds ?? 0))}`,
        `size ${String(any.size)}`,
        ...layer3(any),
      ]
    case 'synproxy': {
      const flags = (any.flags ?? []) as readonly string[]
      const options = [
        ...(flags.includes('timestamp') ? ['timestamp'] : []),
        ...(flags.includes('sack-permitted') ? ['sack-perm'] : []),
      ]
      return [
        ...(flags.includes('mss') ? [`mss ${String(any.maximumSegmentSize)}`] : []),
        ...(flags.includes('wscale') ? [`wscale ${String(any.windowScale)}`] : []),
        ...(options.length === 0 ? [] : [options.join(' ')]),
      ]
    }
    case 'secmark':
      return [`"${String(any.context)}"`]
    case 'tunnel':
      return tunnelLines(any)
  }
}

/** nft of Debian 12 has no words for them; these are those of newer ones. */
function tunnelLines(data: Data): string[] {
  const { id, ip, ip6, sourcePort, destinationPort, tos, ttl } = data as {
    readonly [key: string]: number | undefined
  } & { readonly ip?: Addresses; readonly ip6?: Addresses }
  const addresses = (family: string, of: Addresses | undefined): string[] =>
    of === undefined ? [] : [`${family} saddr ${of.source ?? ''}`, `${family} daddr ${of.destination ?? ''}`]
  const line = (word: string, value: number | undefined): string[] =>
    value === undefined ? [] : [`${word} ${value}`]
  return [
    ...line('id', id),
    ...addresses('ip', ip),
    ...addresses('ip6', ip6),
    ...line('sport', sourcePort),
    ...line('dport', destinationPort),
    ...line('tos', tos),
    ...line('ttl', ttl),
  ]
}
interface Addresses {
  readonly source?: string
  readonly destination?: string
}

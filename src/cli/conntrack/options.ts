/** The options of `viaduct conntrack`, a row each: which flows are meant, as conntrack(8) has it, and a few more. */
import { ipProtocols } from '../../address/index.js'
import { compileFilter, type FlowFilter } from '../../conntrack/filter.js'
import type { FlowStatus } from '../../conntrack/flow.js'
import { sctpState, status, tcpState } from '../../conntrack/wire.js'
import { isValidationError } from '../../errors/index.js'
import { usage } from '../command.js'
import type { OptionRow } from '../options.js'

interface FilterRow extends OptionRow {
  /** Where it stands in a filter, for what is refused there. */
  readonly path: string
  /** Undefined for what cannot be meant. */
  read(text: string): FlowFilter | undefined
  readonly expected?: string | undefined
}

/** Decimal, or hexadecimal with `0x`. */
function numberOf(text: string, most: number): number | undefined {
  const number = /^(?:\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : NaN
  return number <= most ? number : undefined
}

const member = (side: 'original' | 'reply', name: string, value: unknown): FlowFilter | undefined =>
  value === undefined ? undefined : { [side]: { [name]: value } }

type Naming = Pick<OptionRow, 'name' | 'also' | 'short'>

function address(side: 'original' | 'reply', end: string, naming: Naming, help: string): FilterRow {
  return {
    ...naming,
    value: 'ADDRESS[/N]',
    help,
    path: `${side}.${end}`,
    read: (text) => member(side, end, text),
  }
}

function number(
  side: 'original' | 'reply',
  key: string,
  naming: Naming,
  value: string,
  most: number,
  help: string,
): FilterRow {
  return {
    ...naming,
    value,
    help,
    path: `${side}.${key}`,
    read: (text) => member(side, key, numberOf(text, most)),
    expected: `a number from 0 to ${most}`,
  }
}

const port = (side: 'original' | 'reply', key: string, naming: Naming, help: string): FilterRow =>
  number(side, key, naming, 'PORT', 0xffff, help)

/** What conntrack(8) and the library call the same. */
const otherNames: Readonly<Record<string, string>> = {
  snat: 'source-nat',
  dnat: 'destination-nat',
  offload: 'offloaded',
  'hw-offload': 'offloaded-to-hardware',
  'syn-recv': 'syn-received',
  'syn-sent2': 'syn-sent-both',
  'shutdown-recd': 'shutdown-received',
  'shutdown-ack-sent': 'shutdown-acknowledgement-sent',
  'heartbeat-acked': 'heartbeat-acknowledged',
}

/** `SYN_SENT` is `syn-sent`. */
function nameOf<T extends string>(text: string, names: Readonly<Record<T, number>>): T | undefined {
  const plain = text.toLowerCase().replaceAll('_', '-')
  const name = otherNames[plain] ?? plain
  return Object.hasOwn(names, name) ? (name as T) : undefined
}

function statusOf(text: string, key: 'status' | 'statusNot'): FlowFilter | undefined {
  const flags = text.split(',').map((name) => nameOf(name, status.names))
  return flags.includes(undefined) ? undefined : { [key]: flags as FlowStatus[] }
}
const someStatus = `some of ${Object.keys(status.names).join(', ')}`

function protocolOf(text: string): FlowFilter | undefined {
  const name = text.toLowerCase()
  if (Object.hasOwn(ipProtocols, name)) return { protocol: name as keyof typeof ipProtocols }
  const number = numberOf(text, 255)
  if (number === undefined) return undefined
  const known = Object.entries(ipProtocols).find(([, value]) => value === number)
  return { protocol: (known?.[0] ?? String(number)) as NonNullable<FlowFilter['protocol']> }
}

function markOf(text: string): FlowFilter | undefined {
  const [value, mask, ...more] = text.split('/').map((part) => numberOf(part, 0xffff_ffff))
  if (value === undefined || more.length > 0) return undefined
  if (!text.includes('/')) return { mark: value }
  return mask === undefined ? undefined : { mark: { value, mask } }
}

const states = [...new Set([...Object.keys(tcpState.names), ...Object.keys(sctpState.names)])]

/** TCP's and SCTP's trackers share names: which is meant says the protocol. */
function stateOf(text: string): FlowFilter | undefined {
  const tcp = nameOf(text, tcpState.names)
  const sctp = nameOf(text, sctpState.names)
  if (tcp === undefined && sctp === undefined) return undefined
  return {
    where: (flow) =>
      (tcp !== undefined && flow.tcp?.state === tcp) || (sctp !== undefined && flow.sctp?.state === sctp),
  }
}

export const filterRows: readonly FilterRow[] = [
  {
    name: 'family',
    short: 'f',
    value: 'ipv4|ipv6',
    help: 'both unless said',
    path: 'family',
    read: (text) => (text === 'ipv4' || text === 'ipv6' ? { family: text } : undefined),
    expected: 'ipv4 or ipv6',
  },
  {
    name: 'proto',
    also: ['protonum'],
    short: 'p',
    value: 'PROTOCOL',
    help: 'a name (tcp, udp, icmp, …) or a number',
    path: 'protocol',
    read: protocolOf,
    expected: `a number from 0 to 255, or one of ${Object.keys(ipProtocols).join(', ')}`,
  },
  address('original', 'source', { name: 'src', also: ['orig-src'], short: 's' }, 'who began: a client'),
  address('original', 'destination', { name: 'dst', also: ['orig-dst'], short: 'd' }, 'what it spoke to'),
  port('original', 'sourcePort', { name: 'sport', also: ['orig-port-src'] }, 'the port of who began'),
  port('original', 'destinationPort', { name: 'dport', also: ['orig-port-dst'] }, 'what it spoke to'),
  address('reply', 'source', { name: 'reply-src', short: 'r' }, 'who answers: a real server'),
  address('reply', 'destination', { name: 'reply-dst', short: 'q' }, 'where answers go'),
  port('reply', 'sourcePort', { name: 'reply-sport', also: ['reply-port-src'] }, 'the port of who answers'),
  port('reply', 'destinationPort', { name: 'reply-dport', also: ['reply-port-dst'] }, 'where answers go'),
  number('original', 'icmpType', { name: 'icmp-type' }, 'TYPE', 255, 'of ICMP and ICMPv6'),
  number('original', 'icmpCode', { name: 'icmp-code' }, 'CODE', 255, 'the same'),
  number('original', 'icmpId', { name: 'icmp-id' }, 'ID', 0xffff, 'the same'),
  {
    name: 'mark',
    short: 'm',
    value: 'VALUE[/MASK]',
    help: 'all bits of the mark, or those of the mask',
    path: 'mark',
    read: markOf,
    expected: 'a number from 0 to 4294967295, and perhaps a mask: 0x10/0xf0',
  },
  {
    name: 'zone',
    short: 'w',
    value: 'ZONE',
    help: 'of both directions or one; 0 for none',
    path: 'zone',
    read(text) {
      const zone = numberOf(text, 0xffff)
      return zone === undefined ? undefined : { zone }
    },
    expected: 'a number from 0 to 65535',
  },
  {
    name: 'status',
    short: 'u',
    value: 'FLAG,…',
    help: 'with all of these: assured, seen-reply, …',
    path: 'status',
    read: (text) => statusOf(text, 'status'),
    expected: someStatus,
  },
  {
    name: 'status-not',
    value: 'FLAG,…',
    help: 'with none of these; of unreplied ones, seen-reply',
    path: 'statusNot',
    read: (text) => statusOf(text, 'statusNot'),
    expected: someStatus,
  },
  {
    name: 'state',
    value: 'STATE',
    help: 'of TCP and SCTP: established, time-wait, …',
    path: 'where',
    read: stateOf,
    expected: `one of ${states.join(', ')}`,
  },
  {
    name: 'helper',
    value: 'NAME',
    help: 'who reads the payload: ftp, …',
    path: 'helper',
    read: (text) => ({ helper: text }),
  },
  {
    name: 'src-nat',
    short: 'n',
    help: 'whose source is translated',
    path: 'status',
    read: () => ({ status: ['source-nat'] }),
  },
  {
    name: 'dst-nat',
    short: 'g',
    help: 'whose destination is translated',
    path: 'status',
    read: () => ({ status: ['destination-nat'] }),
  },
  {
    name: 'nat',
    also: ['any-nat'],
    short: 'j',
    help: 'where either is',
    path: 'nat',
    read: () => ({ nat: 'any' }),
  },
]

/** Of delete. */
export const all: OptionRow = { name: 'all', help: 'every flow of the namespace (instead of a filter)' }
/** Of watch. */
export const watchOptions: readonly OptionRow[] = [
  {
    name: 'event',
    also: ['event-mask'],
    short: 'e',
    value: 'KIND,…',
    help: 'of new, update, destroy; all unless said',
  },
  {
    name: 'buffer-size',
    short: 'b',
    value: 'BYTES',
    help: 'what is kept while nobody reads; 16777216 unless said',
  },
]

/** Undefined if no option of these was given. @throws UsageError */
export function filterOf(options: ReadonlyMap<string, string>): FlowFilter | undefined {
  const parts: FlowFilter[] = []
  for (const row of filterRows) {
    const text = options.get(row.name)
    if (text === undefined) continue
    const part = row.read(text)
    if (part === undefined) throw usage(`--${row.name}: expected ${row.expected ?? row.value}, got ${text}`)
    parts.push(part)
  }
  if (parts.length === 0) return undefined
  const filter = parts.reduce((all, part) => ({
    ...all,
    ...part,
    original: { ...all.original, ...part.original },
    reply: { ...all.reply, ...part.reply },
    status: [...(all.status ?? []), ...(part.status ?? [])],
  }))
  return checked(filter)
}

/** What only shows when all of it is looked at together is told by the name of its option. */
function checked(filter: FlowFilter): FlowFilter {
  const optionOf = (path: string): string => {
    const row = filterRows.find((one) => one.path === path.replace('filter.', ''))
    return row === undefined ? path : `--${row.name}`
  }
  try {
    compileFilter(filter)
    return filter
  } catch (error) {
    if (!isValidationError(error)) throw error
    const expected = error.expected.replace(/filter\.[\w.]+/g, optionOf)
    throw usage(`${optionOf(error.path)}: expected ${expected}, got ${String(error.value)}`)
  }
}

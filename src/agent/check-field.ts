/** Health checks as a file says them, by their kinds: what is a function, bytes or an expression cannot be written. Pure. */
import { isObject } from '../model/reading.js'
import { recordTypes, responseCodes, type RecordType } from '../health/checks/dns-wire.js'
import { CheckResources, startOf } from '../health/checks/index.js'
import { type HealthRules, rulesOf } from '../health/rules.js'
import type { Check } from '../health/index.js'
import {
  address,
  type Field,
  type Fields,
  flag,
  integer,
  judged,
  list,
  map,
  namespace,
  object,
  oneOf,
  refuse,
  simple,
  text,
} from './schema.js'

const anyText = text('text', () => true)
const pem = text('PEM')
const port = integer(1, 65_535)

const tls = constantOr(
  true,
  object({ serverName: text('a name'), ca: pem, cert: pem, key: pem, verify: flag }),
)
const place = {
  address,
  mark: integer(0, 2 ** 32 - 1),
  localAddress: address,
  device: text('the name of an interface'),
  netns: namespace,
}
const http = {
  ...place,
  port,
  method: text('a method of HTTP'),
  path: text('a path'),
  host: text('a host'),
  headers: map(anyText),
  tls,
  status: list(simple('a status, or two of them', statusOf)),
  body: anyText,
  bodyBytes: integer(1, 2 ** 31 - 1),
  weightHeader: text('the name of a header'),
}
const byKind: Readonly<Record<Exclude<Check['kind'], 'own'>, Fields>> = {
  agent: { ...place, port, send: anyText },
  dns: {
    ...place,
    port,
    name: text('a name'),
    type: oneOf(...(Object.keys(recordTypes) as RecordType[])),
    responseCode: oneOf(...responseCodes),
    addresses: list(address),
    transport: oneOf('udp', 'tcp'),
  },
  grpc: { ...place, port, service: anyText, host: text('a host'), tls },
  http,
  http2: http,
  ping: { ...place, payloadBytes: integer(0, 65_507) },
  tcp: { ...place, port, handshake: oneOf('half', 'full') },
  udp: { ...place, port, payload: anyText, answer: anyText, silence: oneOf('fails', 'passes') },
}
const kind = oneOf(...(Object.keys(byKind) as (keyof typeof byKind)[]))
const fieldsOf: ReadonlyMap<unknown, Field<unknown>> = new Map(
  Object.entries(byKind).map(([name, fields]) => [name, object({ kind, ...fields })]),
)

/** Health has the last word on what each takes: nothing is asked yet. */
const judgedCheck: Field<Check> = judged(
  'a check: its kind and what that takes',
  (value) => {
    const check = value as Check
    startOf(check, { address: '192.0.2.1', port: 1, weight: 1 }, new CheckResources())
    return check
  },
  'check',
)
export const checkField: Field<Check> = {
  expected: judgedCheck.expected,
  read(value, path, problems) {
    if (!isObject(value)) return refuse(problems, path, value, judgedCheck.expected)
    const fields = fieldsOf.get(value['kind'])
    if (fields === undefined)
      return refuse(problems, `${path}.kind`, value['kind'], `a kind of check: ${kind.expected}`)
    return inTurn(fields, judgedCheck).read(value, path, problems)
  },
}

const number = simple('a number', (value) => (typeof value === 'number' ? value : undefined))
export const rulesField: Field<HealthRules> = inTurn(
  object({
    intervalMilliseconds: number,
    transitionIntervalMilliseconds: number,
    jitter: number,
    timeoutMilliseconds: number,
    rise: number,
    fall: number,
    firstDecides: flag,
    initial: oneOf('up', 'down'),
    backoff: constantOr(false, object({ factor: number, mostMilliseconds: number })),
    slowStartMilliseconds: number,
    damping: constantOr(
      false,
      object({ halfLifeMilliseconds: number, reuseAt: number, suppressAt: number, mostMilliseconds: number }),
    ),
    ejection: constantOr(
      false,
      object({
        intervalMilliseconds: number,
        leastConnections: number,
        failureShare: number,
        timesMedian: number,
        baseMilliseconds: number,
        mostMilliseconds: number,
      }),
    ),
    onFailure: oneOf('remove', 'weight-0', 'end-connections'),
    mostOut: number,
    quorum: number,
    hysteresis: number,
    sorryServer: object({ address, port: integer(0, 65_535), weight: number }),
    weightScale: number,
  }),
  judged('rules of health', (value) => {
    rulesOf(value as HealthRules)
    return value as HealthRules
  }),
)

/** The second reads what the first has made, if that found nothing wrong. */
function inTurn<T>(first: Field<unknown>, second: Field<T>): Field<T> {
  return {
    expected: second.expected,
    read(value, path, problems) {
      const before = problems.length
      const read = first.read(value, path, problems)
      return problems.length > before ? undefined : second.read(read, path, problems)
    },
  }
}

function statusOf(value: unknown): unknown {
  const isStatus = (one: unknown): boolean => typeof one === 'number' && Number.isInteger(one)
  return isStatus(value) || (Array.isArray(value) && value.length === 2 && value.every(isStatus))
    ? value
    : undefined
}

function constantOr<C, T>(constant: C, field: Field<T>): Field<C | T> {
  return {
    expected: `${String(constant)}, or ${field.expected}`,
    read: (value, path, problems) => (value === constant ? constant : field.read(value, path, problems)),
  }
}

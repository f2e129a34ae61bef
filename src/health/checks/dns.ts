/** Does it answer a question? */
import { randomInt } from 'node:crypto'
import { canonicalAddress } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import type { RealServer } from '../../model/index.js'
import { type CheckResult, failed, passed } from '../result.js'
import { oneOf } from '../rules.js'
import { type CheckPlace, type StartCheck, targetOf } from './check.js'
import {
  type DnsAnswer,
  encodeName,
  encodeQuery,
  readAnswer,
  type RecordType,
  recordTypes,
  type ResponseCode,
  responseCodes,
} from './dns-wire.js'
import { promised } from './promised.js'
import { send, withSocket } from './udp.js'

/** A question over UDP. */
export interface DnsCheck extends CheckPlace {
  /** A DNS server answers. */
  readonly kind: 'dns'
  /** `service.example.com`; `.` is the root. */
  readonly name: string
  /** `A` unless said. */
  readonly type?: RecordType | undefined
  /** `NOERROR` unless said, and then there must be a record of the type. */
  readonly responseCode?: ResponseCode | undefined
  /** One of these must be among the addresses, for A and AAAA. */
  readonly addresses?: readonly string[] | undefined
}

export function startDns(check: DnsCheck, server: RealServer): StartCheck {
  const type = oneOf('check.type', check.type ?? 'A', Object.keys(recordTypes) as RecordType[])
  const code = oneOf('check.responseCode', check.responseCode ?? 'NOERROR', responseCodes)
  const name = encodeName(check.name)
  const addresses = check.addresses?.map((address, index) => {
    const canonical = canonicalAddress(address)
    if (canonical === undefined)
      throw new ValidationError(`check.addresses[${index}]`, address, 'an IP address')
    return canonical
  })
  const target = targetOf(check, server)
  return promised((run) =>
    withSocket(target, run, async (socket) => {
      const id = randomInt(0x1_0000)
      send(socket, encodeQuery(id, name, type))
      for (;;) {
        const { bytes } = await socket.receive({ signal: run.signal })
        const answer = readAnswer(bytes, name, type)
        if (answer === undefined) return failed('malformed', 'no answer to the question')
        // Somebody guesses: the answer itself may still come.
        if (answer.id === id) return judge(answer, type, code, addresses)
      }
    }),
  )
}

function judge(
  { responseCode, records }: DnsAnswer,
  type: RecordType,
  expected: ResponseCode,
  addresses: readonly string[] | undefined,
): CheckResult {
  const code = responseCodes[responseCode] ?? `response code ${responseCode}`
  if (code !== expected) return failed('wrong-answer', code)
  if (expected !== 'NOERROR') return passed
  const found = records.filter((record) => record.type === recordTypes[type])
  if (found.length === 0) return failed('wrong-answer', `no record of the type ${type}`)
  if (addresses !== undefined && !found.some(({ value }) => addresses.includes(value))) {
    return failed('wrong-answer', 'other addresses')
  }
  return passed
}

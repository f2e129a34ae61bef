/** Does it answer a question? */
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { canonicalAddress } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import { type DatagramSocket, prepareConnect } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { type CheckResult, failed, passed } from '../result.js'
import { oneOf } from '../rules.js'
import { type CheckPlace, type Run, socketPlace, type StartCheck, targetOf } from './check.js'
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
import { CheckError, type CheckResources } from './resources.js'
import { send, withSocket } from './udp.js'

/** A question, over UDP unless said; again over TCP where the answer is truncated. */
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
  /** Over which it is asked; `udp` unless said. Answers that are truncated are asked for over TCP, too, at the same port. */
  readonly transport?: 'udp' | 'tcp' | undefined
}

export function startDns(check: DnsCheck, server: RealServer, resources: CheckResources): StartCheck {
  const type = oneOf('check.type', check.type ?? 'A', Object.keys(recordTypes) as RecordType[])
  const code = oneOf('check.responseCode', check.responseCode ?? 'NOERROR', responseCodes)
  const name = encodeName(check.name)
  const addresses = check.addresses?.map((address, index) => {
    const canonical = canonicalAddress(address)
    if (canonical === undefined)
      throw new ValidationError(`check.addresses[${index}]`, address, 'an IP address')
    return canonical
  })
  const transport = oneOf('check.transport', check.transport ?? 'udp', ['udp', 'tcp'])
  const target = targetOf(check, server)
  const plan = prepareConnect({ ...socketPlace(target), end: 'keep' })
  const verdict = (answer: DnsAnswer | undefined): CheckResult =>
    answer === undefined ? noAnswer : judge(answer, type, code, addresses)
  return promised(async (run) => {
    const asked = { name, type, id: randomInt(0x1_0000) }
    let answer: DnsAnswer | undefined
    if (transport === 'udp') {
      answer = await withSocket(target, run, (socket) => askUdp(socket, asked, run))
      if (answer?.isTruncated !== true) return verdict(answer)
    }
    return verdict(await askTcp(await resources.connect(plan, run), asked))
  })
}

interface Question {
  readonly name: Uint8Array
  readonly type: RecordType
  readonly id: number
}

const noAnswer = failed('malformed', 'no answer to the question')

/** Undefined for what is no answer to the question. */
async function askUdp(
  socket: DatagramSocket,
  { id, name, type }: Question,
  { signal }: Run,
): Promise<DnsAnswer | undefined> {
  send(socket, encodeQuery(id, name, type))
  for (;;) {
    const { bytes } = await socket.receive({ signal })
    const answer = readAnswer(bytes, name, type)
    // Somebody guesses: the answer itself may still come.
    if (answer === undefined || answer.id === id) return answer
  }
}

/** Messages have their lengths before them (RFC 1035, 4.2.2). */
function askTcp(socket: Socket, { id, name, type }: Question): Promise<DnsAnswer | undefined> {
  const query = encodeQuery(id, name, type)
  socket.write(Uint8Array.from([query.length >> 8, query.length & 255, ...query]))
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    socket.on('data', (part: Buffer) => {
      received = Buffer.concat([received, part])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE()) return
      const answer = readAnswer(received.subarray(2, 2 + received.readUInt16BE()), name, type)
      resolve(answer?.id === id ? answer : undefined)
    })
    socket.once('error', reject)
    socket.once('close', () =>
      reject(new CheckError(failed('reset', 'the connection ended before the answer was whole'))),
    )
  })
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

/** What an HTTP answer must be like, whichever version brought it. */
import { METHODS, validateHeaderName, validateHeaderValue } from 'node:http'
import { isIPv6 } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import { type CheckResult, failed, passed } from '../result.js'
import { integer } from '../rules.js'
import type { CheckPlace } from './check.js'
import type { CheckTls } from './tls.js'

/** What is asked, and what must be answered. */
export interface HttpQuestion extends CheckPlace {
  /** `GET` unless said. */
  readonly method?: string | undefined
  /** `/` unless said; with its query. */
  readonly path?: string | undefined
  /** The virtual host that is asked for; address and port unless said. */
  readonly host?: string | undefined
  /** More of them. They never appear in messages. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** HTTPS. The certificate is verified unless that is turned off. */
  readonly tls?: CheckTls | true | undefined
  /** Numbers, and ranges with both ends; 200 to 399 unless said. */
  readonly status?: readonly (number | readonly [number, number])[] | undefined
  /** What must be in the body: text, or what an expression finds in it as UTF-8. */
  readonly body?: string | RegExp | undefined
  /** So much of the body is looked at, and no more is read; 65,536 unless said. */
  readonly bodyBytes?: number | undefined
  /** A header in which the server says what part of its weight it wants: `50%`, or `0` for none. */
  readonly weightHeader?: string | undefined
}

/** A question with everything filled in. */
export interface Question {
  readonly method: string
  readonly path: string
  readonly authority: string
  readonly headers: Readonly<Record<string, string>>
  readonly isStatus: (status: number) => boolean
  readonly body: string | RegExp | undefined
  readonly bodyBytes: number
  readonly weightHeader: string | undefined
}

/** @throws ValidationError */
export function questionOf(check: HttpQuestion, address: string, port: number): Question {
  const { method = 'GET', path = '/', headers = {}, body, weightHeader } = check
  if (!METHODS.includes(method)) throw new ValidationError('check.method', method, 'a method of HTTP')
  if (!/^[/*][\x21-\x7e]*$/.test(path)) {
    throw new ValidationError('check.path', path, 'a path that begins with / and has no blanks')
  }
  const authority = check.host ?? `${isIPv6(address) ? `[${address}]` : address}:${port}`
  for (const [name, value] of Object.entries({ ...headers, host: authority })) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      throw new ValidationError('check.headers', name, 'names and values that HTTP allows')
    }
  }
  // One that remembers where it was would find it every other time.
  const expression = body instanceof RegExp ? new RegExp(body.source, body.flags.replace(/[gy]/g, '')) : body
  return {
    method,
    path,
    authority,
    headers,
    isStatus: statusTest(check.status ?? [[200, 399]]),
    body: expression,
    bodyBytes: integer('check.bodyBytes', check.bodyBytes ?? 65_536, 1, 1 << 26),
    weightHeader: weightHeader?.toLowerCase(),
  }
}

function statusTest(status: NonNullable<HttpQuestion['status']>): (status: number) => boolean {
  const ranges = status.map((one, index) => {
    const [from, to] = typeof one === 'number' ? [one, one] : one
    const path = `check.status[${index}]`
    return [integer(path, from, 100, 599), integer(path, to, from, 599)] as const
  })
  return (number) => ranges.some(([from, to]) => number >= from && number <= to)
}

/** Judges the head; undefined if the body has a say. */
export function judgeHead(
  question: Question,
  status: number | undefined,
  headers: Readonly<Record<string, unknown>>,
): CheckResult | undefined {
  if (status === undefined || !question.isStatus(status)) return failed('wrong-answer', `status ${status}`)
  return question.body === undefined ? withShare(question, headers) : undefined
}

/** Judges as much of the body as there is, or as is looked at. */
export function judgeBody(
  question: Question,
  headers: Readonly<Record<string, unknown>>,
  parts: readonly Uint8Array[],
): CheckResult {
  const text = Buffer.concat(parts).subarray(0, question.bodyBytes).toString('utf8')
  const { body } = question
  const isThere = body === undefined || (typeof body === 'string' ? text.includes(body) : body.test(text))
  return isThere ? withShare(question, headers) : failed('wrong-answer', 'the body is another one')
}

function withShare({ weightHeader }: Question, headers: Readonly<Record<string, unknown>>): CheckResult {
  const value = weightHeader === undefined ? undefined : headers[weightHeader]
  // A server that says nothing, or something else, gets what it had.
  const share = typeof value === 'string' ? readShare(value) : undefined
  return share === undefined ? passed : { outcome: 'passed', share }
}

/** `50%`, `50`: a half. At most ten times the configured weight. */
export function readShare(text: string): number | undefined {
  const percent = /^(\d{1,4})%?$/.exec(text.trim())?.[1]
  return percent === undefined || Number(percent) > 1000 ? undefined : Number(percent) / 100
}

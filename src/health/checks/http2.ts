/** HTTP/2, with TLS or, by prior knowledge, without (RFC 9113, 3.3). */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import { ValidationError } from '../../errors/index.js'
import { prepareConnect } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { resultOfError } from '../classify.js'
import { type CheckResult, failed, quote } from '../result.js'
import { type HttpQuestion, judgeBody, judgeHead, questionOf } from './answer.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'
import { CheckError, type CheckResources } from './resources.js'
import { type CheckTls, planTls, secure } from './tls.js'

/** One request over a connection of its own. */
export interface Http2Check extends HttpQuestion {
  /** HTTP/2, with or without TLS. */
  readonly kind: 'http2'
}

export function startHttp2(check: Http2Check, server: RealServer, resources: CheckResources): StartCheck {
  const target = targetOf(check, server)
  const question = questionOf(check, target.address, target.port)
  for (const name of Object.keys(question.headers)) {
    // RFC 9113, 8.2.2
    if (/^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade)$/i.test(name)) {
      throw new ValidationError('check.headers', name, 'no header of the connection')
    }
  }
  const headers = {
    ...question.headers,
    ':method': question.method,
    ':path': question.path,
    ':authority': question.authority,
  }
  return startExchange(check, server, resources, (exchange) =>
    exchange(headers, undefined, question.bodyBytes).then(({ headers: head, parts }) => {
      const verdict = judgeHead(question, head[':status'], head)
      return verdict ?? judgeBody(question, head, parts)
    }),
  )
}

/** A whole answer. */
export interface Answer {
  readonly headers: IncomingHttpHeaders & { readonly ':status'?: number | undefined }
  readonly trailers: IncomingHttpHeaders
  readonly parts: readonly Uint8Array[]
}

/** Sends a request, and reads no more than so many bytes of its answer's body. */
export type Exchange = (
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | undefined,
  mostBytes: number,
) => Promise<Answer>

/** A check of one exchange; what goes wrong with it is told by what it says of the server. */
export function startExchange(
  check: CheckPlace & { readonly tls?: CheckTls | true | undefined; readonly host?: string | undefined },
  server: RealServer,
  resources: CheckResources,
  work: (exchange: Exchange) => Promise<CheckResult>,
): StartCheck {
  const target = targetOf(check, server)
  const plan = prepareConnect({ ...socketPlace(target), end: 'keep' })
  const tls = check.tls === undefined ? undefined : planTls(check.tls, target.address, check.host, ['h2'])
  return promised(async (run) => {
    const socket = await resources.connect(plan, run)
    let stream: Duplex = socket
    if (tls !== undefined) {
      const secured = await secure(socket, tls)
      if (secured.alpnProtocol !== 'h2')
        throw new CheckError(failed('tls', 'the server does not offer HTTP/2'))
      stream = secured
    }
    const session = connect(tls === undefined ? 'http://server' : 'https://server', {
      createConnection: () => stream,
    })
    run.signal.addEventListener('abort', () => session.destroy(), { once: true })
    return work((headers, body, mostBytes) => exchange(session, headers, body, mostBytes))
  })
}

function exchange(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | undefined,
  mostBytes: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(new CheckError(resultOfHttp2Error(error)))
    session.on('error', fail)
    session.on('goaway', () => fail({ code: 'ECONNRESET' }))
    session.on('close', () => fail({ code: 'ECONNRESET' }))
    const stream = session.request(headers, { endStream: body === undefined })
    let head: Answer['headers'] | undefined
    let trailers: IncomingHttpHeaders = {}
    const parts: Uint8Array[] = []
    let bytes = 0
    const finish = (): void => {
      if (head === undefined) fail({ code: 'ECONNRESET' })
      else resolve({ headers: head, trailers, parts })
    }
    stream.on('response', (received) => {
      head = received
    })
    stream.on('trailers', (received: IncomingHttpHeaders) => {
      trailers = received
    })
    stream.on('data', (part: Uint8Array) => {
      parts.push(part)
      bytes += part.length
      if (bytes >= mostBytes) finish()
    })
    stream.on('end', finish)
    stream.on('error', fail)
    stream.on('close', () => fail({ code: 'ECONNRESET' }))
    if (body !== undefined) stream.end(body)
  })
}

function resultOfHttp2Error(error: unknown): CheckResult {
  const { code } = (error ?? {}) as { code?: unknown }
  if (typeof code === 'string' && code.startsWith('ERR_HTTP2')) {
    // The stream was reset by the server; anything else is what libnghttp2 does not understand.
    return code === 'ERR_HTTP2_STREAM_ERROR' || code === 'ERR_HTTP2_SESSION_ERROR'
      ? failed('reset', quote(code))
      : failed('malformed', quote(code))
  }
  return resultOfError(error)
}
